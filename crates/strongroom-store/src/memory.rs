//! The contract in memory: for tests, and the reference that the other engines are compared with.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::limits::{PageBuilder, check_key};
use crate::{
    Change, Commit, Entry, HISTORY_REVISIONS, Kv, Outcome, Page, Precondition, Revision, Shown, StoreError, Watch,
    Write,
};

/// A store that forgets everything when it is dropped.
///
/// It keeps the whole contract, its history and limits included; only *durable* means nothing here.
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    history: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_history(HISTORY_REVISIONS)
    }

    /// A store that keeps another depth of history, so that a test need not write 10,000 commits to lose one.
    #[must_use]
    pub fn with_history(history: u64) -> Self {
        let state = State {
            keys: BTreeMap::new(),
            log: BTreeMap::new(),
            revision: 0,
            oldest: 0,
            committed: Some(watch::Sender::new(Revision(0))),
        };
        Self { state: Arc::new(Mutex::new(state)), history }
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = lock(&self.state);
        if state.committed.is_none() {
            return Err(closed());
        }
        Ok(state)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Kv for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        check_key(key)?;
        let state = self.open()?;
        let versions = state.keys.get(key).map_or(&[][..], Vec::as_slice);
        Ok(live_at(versions, state.revision).map(|live| live.entry(key)))
    }

    fn shown(&self) -> Option<Shown> {
        let revision = self.open().ok()?.revision;
        NonZeroU64::new(revision.saturating_add(1)).map(Shown)
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        let state = self.open()?;
        let at = at.unwrap_or(Revision(state.revision));
        state.check_kept(at)?;
        let mut page = PageBuilder::new(limit, at);
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let behind = state.keys.range::<str, _>((from, Bound::Unbounded));
        for (key, versions) in behind.take_while(|(key, _)| key.starts_with(prefix)) {
            let Some(live) = live_at(versions, at.0) else { continue };
            if !page.has_room(key, live.value) {
                break;
            }
            page.push(live.entry(key));
        }
        Ok(page.finish())
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        commit.check_limits()?;
        let mut state = self.open()?;
        if !commit.preconditions.iter().all(|precondition| state.holds(precondition)) {
            return Ok(Outcome::Conflict);
        }
        let revision = state.apply(commit.writes);
        state.trim(self.history);
        if let Some(committed) = &state.committed {
            committed.send_replace(revision);
        }
        Ok(Outcome::Committed(revision))
    }

    async fn watch(&self, prefix: &str, behind: Revision) -> Result<Box<dyn Watch>, StoreError> {
        let state = self.open()?;
        if behind.0 < state.oldest {
            return Err(StoreError::Compacted(behind));
        }
        let committed = state.committed.as_ref().ok_or_else(closed)?.subscribe();
        drop(state);
        let state = Arc::clone(&self.state);
        Ok(Box::new(MemoryWatch { state, committed, prefix: prefix.to_owned(), behind, over: false }))
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(Revision(self.open()?.revision))
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.open()?.committed = None;
        Ok(())
    }
}

/// What [`Kv::watch`] hands out; it reads the log, so a slow reader costs the store nothing.
struct MemoryWatch {
    state: Arc<Mutex<State>>,
    committed: watch::Receiver<Revision>,
    prefix: String,
    behind: Revision,
    over: bool,
}

#[async_trait]
impl Watch for MemoryWatch {
    async fn next(&mut self) -> Option<Result<Vec<Change>, StoreError>> {
        while !self.over {
            self.committed.borrow_and_update();
            match self.step() {
                Ok(changes) if changes.is_empty() => self.over = self.committed.changed().await.is_err(),
                Ok(changes) => return Some(Ok(changes)),
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl MemoryWatch {
    /// Moves on to the next commit that touched the prefix, or to the last commit if there is none.
    fn step(&mut self) -> Result<Vec<Change>, StoreError> {
        let state = lock(&self.state);
        if state.committed.is_none() {
            return Ok(Vec::new());
        }
        if self.behind.0 < state.oldest {
            return Err(StoreError::Compacted(self.behind));
        }
        for (revision, keys) in state.log.range((Bound::Excluded(self.behind.0), Bound::Unbounded)) {
            self.behind = Revision(*revision);
            let touched = keys.iter().filter(|key| key.starts_with(&self.prefix));
            let changes: Vec<Change> = touched.map(|key| state.change(key, self.behind)).collect();
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
        Ok(Vec::new())
    }
}

struct State {
    /// The versions of each key, oldest first; a deletion is a version without a value.
    keys: BTreeMap<String, Vec<Version>>,
    /// The keys that each kept commit changed, in the order of the commit.
    log: BTreeMap<u64, Vec<String>>,
    revision: u64,
    /// The oldest revision that can still be read.
    oldest: u64,
    /// Tells the watchers of each commit; `None` once the store is closed.
    committed: Option<watch::Sender<Revision>>,
}

struct Version {
    created: u64,
    modified: u64,
    value: Option<Vec<u8>>,
}

impl State {
    fn check_kept(&self, at: Revision) -> Result<(), StoreError> {
        if at.0 > self.revision {
            return Err(StoreError::NotYetCommitted(at));
        }
        if at.0 < self.oldest {
            return Err(StoreError::Compacted(at));
        }
        Ok(())
    }

    fn current(&self, key: &str) -> Option<Live<'_>> {
        live_at(self.keys.get(key)?, self.revision)
    }

    fn holds(&self, precondition: &Precondition) -> bool {
        match precondition {
            Precondition::Absent(key) => self.current(key).is_none(),
            Precondition::Unchanged(key, revision) => self.current(key).is_some_and(|live| live.modified == revision.0),
        }
    }

    fn apply(&mut self, writes: Vec<Write>) -> Revision {
        let next = self.revision + 1;
        let mut changed = Vec::new();
        for write in writes {
            let (key, value) = match write {
                Write::Put(key, value) => (key, Some(value)),
                Write::Delete(key) => (key, None),
            };
            let created = self.current(&key).map(|live| live.created);
            if value.is_none() && created.is_none() {
                continue;
            }
            let version = Version { created: created.unwrap_or(next), modified: next, value };
            self.keys.entry(key.clone()).or_default().push(version);
            changed.push(key);
        }
        if !changed.is_empty() {
            self.revision = next;
            self.log.insert(next, changed);
        }
        Revision(self.revision)
    }

    /// Forgets what only a read before the kept history could see.
    fn trim(&mut self, history: u64) {
        self.oldest = self.revision.saturating_sub(history);
        let kept = self.log.split_off(&(self.oldest + 1));
        for (revision, changed) in std::mem::replace(&mut self.log, kept) {
            for key in changed {
                let Some(versions) = self.keys.get_mut(&key) else { continue };
                versions.retain(|version| {
                    version.modified > revision || (version.modified == revision && version.value.is_some())
                });
                if versions.is_empty() {
                    self.keys.remove(&key);
                }
            }
        }
    }

    fn change(&self, key: &str, revision: Revision) -> Change {
        let versions = self.keys.get(key).map_or(&[][..], Vec::as_slice);
        match live_at(versions, revision.0) {
            Some(live) => Change::Put(live.entry(key)),
            None => Change::Deleted(key.to_owned(), revision),
        }
    }
}

/// A version that has a value.
struct Live<'a> {
    created: u64,
    modified: u64,
    value: &'a [u8],
}

impl Live<'_> {
    fn entry(&self, key: &str) -> Entry {
        Entry {
            key: key.to_owned(),
            value: self.value.to_vec(),
            created: Revision(self.created),
            modified: Revision(self.modified),
        }
    }
}

fn live_at(versions: &[Version], at: u64) -> Option<Live<'_>> {
    let version = versions.iter().rev().find(|version| version.modified <= at)?;
    let value = version.value.as_deref()?;
    Some(Live { created: version.created, modified: version.modified, value })
}

/// No code panics while it holds the lock half-way through a change, so a poisoned lock still guards a whole state.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> StoreError {
    StoreError::Unavailable("it is closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn history_that_no_read_can_reach_is_forgotten() {
        let store = MemoryStore::with_history(2);
        for round in 0..10_u8 {
            let write = if round == 9 { Write::Delete("k".into()) } else { Write::Put("k".into(), vec![round]) };
            store.commit(Commit { preconditions: vec![], writes: vec![write] }).await.unwrap();
        }
        assert_eq!(lock(&store.state).keys["k"].len(), 3);
        for round in 0..2_u8 {
            let write = Write::Put("other".into(), vec![round]);
            store.commit(Commit { preconditions: vec![], writes: vec![write] }).await.unwrap();
        }
        assert!(!lock(&store.state).keys.contains_key("k"), "a deleted key leaves nothing behind");
        assert_eq!(lock(&store.state).log.len(), 2);
    }
}
