//! A replica never has a gap: at each revision it is what the engine was at that revision.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use strongroom_store::{Change, Revision};

use super::world::World;

/// Compares one node's replica with the engine's history, again and again.
pub(super) struct GapCheck {
    world: Arc<World>,
    site: usize,
    commits: usize,
    index: BTreeMap<String, Revision>,
}

impl GapCheck {
    pub(super) fn new(world: Arc<World>, site: usize) -> Self {
        Self { world, site, commits: 0, index: BTreeMap::new() }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.world.executor.sleep(Duration::from_millis(900)).await;
            let Some(node) = self.world.sites[self.site].node() else {
                // The next one may begin at an earlier revision.
                (self.commits, self.index) = (0, BTreeMap::new());
                continue;
            };
            let (applied, index) = node.index();
            self.advance(applied);
            if index != self.index {
                let text = format!("the replica of node {} is not what the store was at {applied}", self.site);
                self.world.history.violation(text);
                return;
            }
        }
    }

    fn advance(&mut self, to: Revision) {
        for (revision, changes) in self.world.ledger.commits(self.commits) {
            if revision > to {
                return;
            }
            self.commits += 1;
            for change in changes {
                match change {
                    Change::Put(entry) => drop(self.index.insert(entry.key, entry.modified)),
                    Change::Deleted(key, _) => drop(self.index.remove(&key)),
                }
            }
        }
    }
}
