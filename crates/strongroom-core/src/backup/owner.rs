//! Whether the node that a job belongs to lives.
//!
//! A node says now and then that it lives, in a record of its own: the record of a job is rewritten by its steps only, and
//! a blob store may keep a step waiting for long. Being taken for dead costs a node its attempt and nothing else, so the
//! times of day of two nodes are good enough to tell. The record of a node that is silent for long is removed by another
//! one: whatever it owned was anybody's long before.

use serde::{Deserialize, Serialize};
use strongroom_types::{NodeId, Timestamp};

use crate::backup::job::JobRecord;
use crate::backup::run::Worker;
use crate::barrier::{Record, Stored};
use crate::{Core, Error, Result, layout, retry_on_conflict};

/// A node that has worked on jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct JobOwner {
    /// When it last said that it lives.
    heard: Timestamp,
}

impl Record for JobOwner {
    const FORMAT: u16 = 1;
}

impl Core {
    /// Says that this node lives. A node that has jobs at work calls it several times within what others take for death.
    ///
    /// # Errors
    /// What the store says.
    pub async fn keep_jobs(&self) -> Result<()> {
        // The node itself may do so in the same moment, or another one forget it.
        retry_on_conflict!(self.try_keep_jobs())
    }

    /// Forgets some nodes that have not been heard of for long.
    ///
    /// # Errors
    /// What the store says.
    pub async fn forget_job_owners(&self) -> Result<()> {
        match self.try_forget_owners().await {
            // One of them lives after all, or another node was faster.
            Ok(()) | Err(Error::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn try_keep_jobs(&self) -> Result<()> {
        let (barrier, owner) = (self.barrier(), JobOwner { heard: self.barrier().clock().now() });
        let key = layout::job_owner(barrier.node());
        let stored = barrier.read::<JobOwner>(barrier.deployment(), &key).await?;
        let mut transaction = barrier.transaction();
        match &stored {
            Some(stored) => transaction.replace(barrier.deployment(), stored, &owner)?,
            None => transaction.create(barrier.deployment(), key, &owner)?,
        }
        transaction.commit_step().await?;
        Ok(())
    }

    async fn try_forget_owners(&self) -> Result<()> {
        let barrier = self.barrier();
        let owners = barrier.page::<JobOwner>(barrier.deployment(), layout::JOB_OWNERS, None, OWNERS_MAX, None).await?;
        let now = barrier.clock().now();
        let is_gone = |owner: &&Stored<JobOwner>| owner.value.heard.plus_seconds(FORGET_SECONDS) < now;
        let mut transaction = barrier.transaction();
        owners.records.iter().filter(is_gone).take(FORGET_MAX).for_each(|gone| transaction.delete(gone));
        if transaction.writes() > 0 {
            transaction.commit_step().await?;
        }
        Ok(())
    }

    /// Whether a job is another one's, and that one lives.
    pub(super) async fn is_taken(&self, job: &JobRecord, worker: &Worker) -> Result<bool> {
        let Some(owner) = job.owner.filter(|owner| *owner != worker.id) else { return Ok(false) };
        let heard = self.heard_of(owner).await?.map_or(job.renewed, |heard| heard.max(job.renewed));
        Ok(heard.plus_seconds(i64::from(worker.takeover_seconds)) > self.barrier().clock().now())
    }

    async fn heard_of(&self, node: NodeId) -> Result<Option<Timestamp>> {
        let barrier = self.barrier();
        let stored = barrier.read::<JobOwner>(barrier.deployment(), &layout::job_owner(node)).await?;
        Ok(stored.map(|stored| stored.value.heard))
    }
}

/// How long a node is silent before its record is removed; much longer than whoever works on jobs waits for an owner.
const FORGET_SECONDS: i64 = 24 * 3600;
/// Records that are removed in one commit; below the store's limit on operations, which counts preconditions too.
const FORGET_MAX: usize = 24;
/// Records that are looked at: many more than a deployment has nodes.
const OWNERS_MAX: usize = 100;
