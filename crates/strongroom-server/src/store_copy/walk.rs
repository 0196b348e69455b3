//! All records of a deployment in the order of their keys, all at one revision.

use std::vec::IntoIter;

use strongroom_cluster::{DRAINS, REGISTRATIONS};
use strongroom_core::layout;
use strongroom_store::{Entry, Kv, LIMIT_MAX, Revision, StoreError};

/// A walk through a store. It leaves out what belongs to the store: registrations of nodes and what says that one is being emptied,
/// the mark of a copy, and the deployment record, which is another one in another store.
pub(super) struct Walk<'a> {
    store: &'a dyn Kv,
    revision: Revision,
    entries: IntoIter<Entry>,
    /// The last key of the page, if more follow.
    last: Option<String>,
}

impl<'a> Walk<'a> {
    /// Begins with the first record, as everything is now.
    pub(super) async fn begin(store: &'a dyn Kv) -> Result<Self, StoreError> {
        let mut walk = Self { store, revision: Revision::default(), entries: Vec::new().into_iter(), last: None };
        walk.turn(None).await?;
        Ok(walk)
    }

    /// The revision that everything is read at.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// The next record.
    pub(super) async fn next(&mut self) -> Result<Option<Entry>, StoreError> {
        loop {
            match (self.entries.next(), self.last.take()) {
                (Some(entry), last) => {
                    self.last = last;
                    if belongs_to_the_deployment(&entry.key) {
                        return Ok(Some(entry));
                    }
                }
                (None, Some(last)) => self.turn(Some((&last, self.revision))).await?,
                (None, None) => return Ok(None),
            }
        }
    }

    async fn turn(&mut self, from: Option<(&str, Revision)>) -> Result<(), StoreError> {
        let (after, at) = from.unzip();
        let page = self.store.range("", after, LIMIT_MAX, at).await?;
        self.last = page.entries.last().filter(|_| page.more).map(|entry| entry.key.clone());
        self.revision = page.revision;
        self.entries = page.entries.into_iter();
        Ok(())
    }
}

fn belongs_to_the_deployment(key: &str) -> bool {
    let of_nodes = [REGISTRATIONS, DRAINS].iter().any(|prefix| key.starts_with(prefix));
    key != layout::DEPLOYMENT && key != layout::COPYING && !of_nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_say_about_themselves_belongs_to_the_store() {
        assert_eq!((layout::NODES, layout::DRAINS), (REGISTRATIONS, DRAINS), "the core looks for records beside them");
        for key in ["node/a-1-1", "drain/a", "copying", "deployment"] {
            assert!(!belongs_to_the_deployment(key), "{key}");
        }
        for key in ["d/hsm/a", "node0", "drained", "audit/outbox/a/b"] {
            assert!(belongs_to_the_deployment(key), "{key}");
        }
    }
}
