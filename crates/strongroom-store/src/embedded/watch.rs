//! Changes as they come, read from the log at the watcher's own pace.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::engine::Engine;
use crate::{Change, Revision, StoreError, Watch};

/// What [`Kv::watch`](crate::Kv::watch) hands out.
pub(super) struct EmbeddedWatch {
    engine: Arc<Engine>,
    committed: watch::Receiver<Revision>,
    prefix: String,
    behind: Revision,
    over: bool,
}

impl EmbeddedWatch {
    pub(super) fn new(
        engine: Arc<Engine>,
        committed: watch::Receiver<Revision>,
        prefix: &str,
        behind: Revision,
    ) -> Self {
        Self { engine, committed, prefix: prefix.to_owned(), behind, over: false }
    }
}

#[async_trait]
impl Watch for EmbeddedWatch {
    async fn next(&mut self) -> Option<Result<Vec<Change>, StoreError>> {
        while !self.over {
            // Marked as seen before the log is read, so that a commit in between wakes the wait below.
            self.committed.borrow_and_update();
            // The writer drops its end when the store is closed.
            if self.committed.has_changed().is_err() {
                break;
            }
            let step = match self.engine.read(|snapshot| snapshot.step(&self.prefix, self.behind)) {
                Ok(step) => step,
                // Closed between the look above and the read.
                Err(_) if self.engine.is_closed() => break,
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            };
            let advanced = step.behind > self.behind;
            self.behind = step.behind;
            if !step.changes.is_empty() {
                return Some(Ok(step.changes));
            }
            if advanced {
                tokio::task::yield_now().await;
            } else {
                self.over = self.committed.changed().await.is_err();
            }
        }
        self.over = true;
        None
    }
}
