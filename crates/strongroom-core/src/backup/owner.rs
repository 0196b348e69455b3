//! Whether the node that a job belongs to lives.
//!
//! A node says now and then that it lives, in a record of its own: the record of a job is rewritten by its steps only, and
//! a blob store may keep a step waiting for long. Being taken for dead costs a node its attempt and nothing else, so the
//! times of day of two nodes are good enough to tell.

use serde::{Deserialize, Serialize};
use strongroom_types::{NodeId, Timestamp};

use crate::backup::job::JobRecord;
use crate::backup::run::Worker;
use crate::barrier::Record;
use crate::{Core, Error, Result, layout};

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
        let (barrier, owner) = (self.barrier(), JobOwner { heard: self.barrier().clock().now() });
        let key = layout::job_owner(barrier.node());
        let stored = barrier.read::<JobOwner>(barrier.deployment(), &key).await?;
        let mut transaction = barrier.transaction();
        match &stored {
            Some(stored) => transaction.replace(barrier.deployment(), stored, &owner)?,
            None => transaction.create(barrier.deployment(), key, &owner)?,
        }
        match transaction.commit_step().await {
            // Nobody else writes it but this node itself, in the same moment.
            Ok(_) | Err(Error::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
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
