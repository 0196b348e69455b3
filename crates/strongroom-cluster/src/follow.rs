//! Feeding the replica: a load at one revision, then the engine's changes behind it. A gap is never possible: what cannot be
//! resumed is loaded again.

use std::sync::Arc;
use std::time::Duration;

use strongroom_store::{Kv, LIMIT_MAX, Page, Revision, StoreError};

use crate::boot_clock::{BootClock, call, within};
use crate::replica::{Load, Replica};
use crate::rules::{Rule, Rules};
use crate::timing::Timing;

/// Follows an engine.
pub(crate) struct Follower {
    pub(crate) engine: Arc<dyn Kv>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) clock: Arc<dyn BootClock>,
    pub(crate) timing: Timing,
    pub(crate) rules: Rules,
}

impl Follower {
    /// Loads everything as it is now.
    ///
    /// # Errors
    /// What the engine says; [`StoreError::Damaged`] if it shows less than before.
    pub(crate) async fn load(&self) -> Result<(), StoreError> {
        let mut load = Load::default();
        // The first page is linearizable: it is not older than anything that was acknowledged before it was asked for.
        let mut page = self.page(None, None).await?;
        let revision = page.revision;
        loop {
            let (more, last) = (page.more, page.entries.last().map(|entry| entry.key.clone()));
            self.replica.add(&mut load, page);
            if !more {
                break;
            }
            page = self.page(last.as_deref(), Some(revision)).await?;
        }
        let replaced = self.replica.replace(load, revision, self.clock.now());
        replaced.map_err(|_| StoreError::Damaged {
            path: "the cluster's store".to_owned(),
            detail: format!("it is at revision {revision} and was ahead of that before"),
        })
    }

    async fn page(&self, after: Option<&str>, at: Option<Revision>) -> Result<Page, StoreError> {
        let page = self.engine.range(EVERYTHING, after, LIMIT_MAX, at);
        call(self.clock.as_ref(), self.timing.page_max(), page).await
    }

    /// Follows the engine for ever.
    pub(crate) async fn run(&self) {
        loop {
            match self.follow().await {
                StoreError::Compacted(behind) => {
                    tracing::info!(%behind, "the store no longer keeps what was missed: loading everything again");
                    self.reload().await;
                }
                error => {
                    tracing::debug!(%error, "the watch of the store ended and is begun again");
                    self.clock.sleep(RETRY).await;
                }
            }
        }
    }

    /// Applies changes until the watch ends.
    async fn follow(&self) -> StoreError {
        let begun = self.engine.watch(EVERYTHING, self.replica.applied());
        let mut watch = match call(self.clock.as_ref(), self.timing.call_max(), begun).await {
            Ok(watch) => watch,
            Err(error) => return error,
        };
        loop {
            // The node's own renewals come by here. A watch that does not show them is dead, whatever it says.
            match within(self.clock.as_ref(), self.timing.serving, watch.next()).await {
                Some(Some(Ok(changes))) => self.replica.apply(changes, self.clock.now()),
                Some(Some(Err(error))) => return error,
                Some(None) => return StoreError::Unavailable("the watch ended".to_owned()),
                None => return StoreError::Unavailable("the watch is silent".to_owned()),
            }
        }
    }

    async fn reload(&self) {
        if !self.rules.hold(Rule::CompactedWatchReloads) {
            return self.skip().await;
        }
        while let Err(error) = self.load().await {
            tracing::warn!(%error, "the store could not be loaded");
            self.clock.sleep(RETRY).await;
        }
    }

    #[cfg(test)]
    async fn skip(&self) {
        if let Ok(revision) = self.engine.revision().await {
            self.replica.skip_to(revision);
        }
    }

    #[cfg(not(test))]
    async fn skip(&self) {}
}

/// The prefix of all keys.
const EVERYTHING: &str = "";
/// Between two attempts to reach the engine.
pub(crate) const RETRY: Duration = Duration::from_millis(200);
