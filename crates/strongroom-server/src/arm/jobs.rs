//! The work behind 202: what the process owner calls at start and every second.

use std::sync::Mutex;

use strongroom_core::pools::{Pools, Progress, Result};
use strongroom_types::Timestamp;
use uuid::Uuid;

use crate::arm::Arm;

/// When deleted HSMs and vaults and old results were last looked at.
#[derive(Debug, Default)]
pub(super) struct LastSweep(Mutex<Option<Timestamp>>);

impl LastSweep {
    /// Whether it is time, and if so it was now.
    fn is_due(&self, now: Timestamp) -> bool {
        let mut last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.is_some_and(|last| last <= now && now < last.plus_seconds(SWEEP_SECONDS)) {
            return false;
        }
        *last = Some(now);
        true
    }
}

impl Arm {
    /// Does all steps of all operations, and once a minute begins the purges that are due. What fails is tried again with
    /// the next call; several nodes may do it at the same time.
    pub async fn run_pending(&self) {
        let now = self.pools.core().barrier().clock().now();
        if self.last_sweep.is_due(now) {
            report("purges that are due", self.pools.begin_due_purges().await);
            report("purges of vaults that are due", self.pools.purge_due_vaults().await);
            report("what purged vaults left", self.pools.sweep_purged_vaults().await);
            report("results of old operations", self.pools.forget_old_operations().await);
        }
        match self.pools.unfinished_operations().await {
            Ok(operations) => {
                for id in operations {
                    report("an operation", finish(&self.pools, id).await);
                }
            }
            Err(error) => report("operations", Err(error)),
        }
    }

    /// Does the first step of an operation that was just asked for, so that most are done at the first poll.
    pub(super) async fn begin(&self, id: Uuid) {
        report("the first step of an operation", self.pools.advance(id).await.map(|_| ()));
    }
}

async fn finish(pools: &Pools, id: Uuid) -> Result<()> {
    for _ in 0..STEPS_MAX {
        if pools.advance(id).await? == Progress::Done {
            return Ok(());
        }
    }
    Ok(())
}

fn report(what: &'static str, result: Result<()>) {
    if let Err(error) = result {
        tracing::warn!(error = &error as &dyn std::error::Error, "{what} failed; it will be tried again");
    }
}

/// How often deleted HSMs and old results are looked at.
const SWEEP_SECONDS: i64 = 60;
/// Most steps of one operation before the others get their turn.
const STEPS_MAX: usize = 200;
