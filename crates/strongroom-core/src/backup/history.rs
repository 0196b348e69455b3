//! What an instance remembers of its backups and restores: when it was last backed up, which generations were used, and
//! which jobs there were.

use serde::{Deserialize, Serialize};
use strongroom_types::{InstanceId, Timestamp};

use crate::backup::JobId;
use crate::barrier::{Barrier, Record, Stored, Transaction};
use crate::container::KeyContainer;
use crate::guard::Guard;
use crate::layout::{self, Generation};
use crate::request::Request;
use crate::{Core, Result};

/// The record. An instance without one was never backed up nor restored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct BackupHistory {
    /// When a copy of the whole HSM last began to leave it, whatever became of it.
    pub(crate) last_copy: Option<Timestamp>,
    /// When a backup last ended well.
    pub(super) last_backup: Option<Timestamp>,
    /// The highest generation that was ever given out; none is given out twice.
    pub(super) generation: u32,
    /// Generations that are of no use any more and wait to be removed.
    pub(super) abandoned: Vec<u32>,
    /// Jobs that have ended and can still be asked for, oldest first.
    pub(super) ended: Vec<JobId>,
}

impl Record for BackupHistory {
    const FORMAT: u16 = 1;
}

/// What a step of removing old generations left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweptGeneration {
    /// Something was removed; there may be more.
    Some,
    /// Nothing is left.
    Everything,
}

/// The history as it was read, to be written back.
pub(super) struct History {
    stored: Option<Stored<BackupHistory>>,
    instance: InstanceId,
    pub(super) value: BackupHistory,
}

impl History {
    /// Adds what it has become to a commit that happens only if nobody else has changed it.
    pub(super) fn stage(&self, barrier: &Barrier, transaction: &mut Transaction<'_>) -> Result<()> {
        match &self.stored {
            Some(stored) => transaction.replace(barrier.deployment(), stored, &self.value),
            None => transaction.create(barrier.deployment(), layout::backups(self.instance), &self.value),
        }
    }

    /// The next generation. The one in use is never among those that were given out before.
    pub(super) fn next_generation(&mut self, guard: &Guard) -> u32 {
        self.value.generation = self.value.generation.max(guard.generation).saturating_add(1);
        self.value.generation
    }

    /// Takes note of a job's end, and forgets the oldest ones.
    pub(super) fn push_ended(&mut self, transaction: &mut Transaction<'_>, job: JobId) {
        self.value.ended.push(job);
        while self.value.ended.len() > ENDED_JOBS_MAX {
            let forgotten = self.value.ended.remove(0);
            transaction.discard(layout::job(self.instance, forgotten));
        }
    }
}

impl Core {
    /// What is remembered of an instance.
    pub(crate) async fn backup_history(&self, instance: InstanceId) -> Result<BackupHistory> {
        Ok(self.history(instance).await?.value)
    }

    pub(super) async fn history(&self, instance: InstanceId) -> Result<History> {
        let stored =
            self.barrier().read::<BackupHistory>(self.barrier().deployment(), &layout::backups(instance)).await?;
        let value = stored.as_ref().map(|stored| stored.value.clone()).unwrap_or_default();
        Ok(History { stored, instance, value })
    }
}

impl KeyContainer<'_> {
    /// Removes some of a generation that a restore has replaced or did not finish.
    pub async fn sweep_generations(&self, request: &Request) -> Result<SweptGeneration> {
        let core = self.core();
        let mut history = core.history(self.instance()).await?;
        let Some(number) = history.value.abandoned.first().copied() else {
            return Ok(SweptGeneration::Everything);
        };
        let barrier = core.barrier();
        let guard = core.guard(self.instance()).await?;
        let mut transaction = barrier.transaction().detail(format!("generation {number}"));
        // The generation in use cannot become another one while this is committed.
        transaction.expect(&guard);
        let generation = Generation { instance: self.instance(), number };
        let keys = match guard.value.generation == number {
            true => Vec::new(),
            false => barrier.keys(&generation.prefix(), SWEEP_KEYS).await?,
        };
        if keys.is_empty() {
            history.value.abandoned.remove(0);
            history.stage(barrier, &mut transaction)?;
            transaction.commit(request).await?;
        } else {
            keys.into_iter().for_each(|key| transaction.sweep(key));
            transaction.commit_step().await?;
        }
        Ok(SweptGeneration::Some)
    }
}

/// Ended jobs of an instance that can be asked for.
const ENDED_JOBS_MAX: usize = 64;
/// Keys removed in one commit; below the store's limit on operations.
const SWEEP_KEYS: usize = 60;
