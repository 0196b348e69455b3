//! A store whose commits fail when a test says so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use strongroom_store::{Commit, Entry, Kv, Outcome, Page, Revision, StoreError, Watch};

/// Any store, with faults in front of it.
///
/// A test keeps one handle to set faults and read counts, and gives a clone of the `Arc` to what it tests. Reads and
/// watches always go through; only commits fail.
pub struct FaultyStore {
    store: Arc<dyn Kv>,
    state: Mutex<State>,
}

/// How a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// Nothing is written, and the caller is not told so: [`StoreError::Unavailable`].
    NotApplied,
    /// Nothing is written, and the caller is told so: [`StoreError::Full`].
    Full,
    /// It is judged and written like any other, but the answer is lost: [`StoreError::OutcomeUnknown`].
    AnswerLost,
}

/// What went through the store since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreCounts {
    /// Commits that were made, those whose answer was lost included.
    pub committed: u64,
    /// Commits that met a conflict, those whose answer was lost included.
    pub conflicts: u64,
    /// Commits that were made to fail.
    pub faults: u64,
    /// Single keys that were read.
    pub gets: u64,
    /// Pages that were read.
    pub ranges: u64,
    /// Entries on those pages.
    pub entries: u64,
}

#[derive(Default)]
struct State {
    next: Option<CommitFault>,
    later: Option<Later>,
    counts: StoreCounts,
}

/// A fault that begins after some commits and stays.
struct Later {
    commits: u64,
    fault: CommitFault,
}

impl FaultyStore {
    /// Puts itself in front of a store, without a fault for now.
    #[must_use]
    pub fn new(store: Arc<dyn Kv>) -> Self {
        Self { store, state: Mutex::default() }
    }

    /// Lets only the next commit fail.
    pub fn fail_next_commit(&self, fault: CommitFault) {
        self.state().next = Some(fault);
    }

    /// Lets that many more commits through (conflicts count as commits) and every one after them fail, until
    /// [`FaultyStore::heal`].
    pub fn fail_commits_after(&self, commits: u64, fault: CommitFault) {
        self.state().later = Some(Later { commits, fault });
    }

    /// Takes back every fault.
    pub fn heal(&self) {
        let mut state = self.state();
        state.next = None;
        state.later = None;
    }

    /// What went through so far.
    #[must_use]
    pub fn counts(&self) -> StoreCounts {
        self.state().counts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The fault of the commit that arrives now.
    fn arrive(&mut self) -> Option<CommitFault> {
        let next = self.next.take();
        let later = match &mut self.later {
            Some(Later { commits: 0, fault }) => Some(*fault),
            Some(Later { commits, .. }) => {
                *commits -= 1;
                None
            }
            None => None,
        };
        let fault = next.or(later);
        self.counts.faults += u64::from(fault.is_some());
        fault
    }
}

#[async_trait]
impl Kv for FaultyStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.state().counts.gets += 1;
        self.store.get(key).await
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        self.state().counts.ranges += 1;
        let page = self.store.range(prefix, after, limit, at).await?;
        self.state().counts.entries += page.entries.len() as u64;
        Ok(page)
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let fault = self.state().arrive();
        match fault {
            Some(CommitFault::NotApplied) => return Err(StoreError::Unavailable(MADE.to_owned())),
            Some(CommitFault::Full) => return Err(StoreError::Full),
            Some(CommitFault::AnswerLost) | None => {}
        }
        let outcome = self.store.commit(commit).await?;
        let mut state = self.state();
        match outcome {
            Outcome::Committed(_) => state.counts.committed += 1,
            Outcome::Conflict => state.counts.conflicts += 1,
        }
        if fault.is_some() { Err(StoreError::OutcomeUnknown(MADE.to_owned())) } else { Ok(outcome) }
    }

    async fn watch(&self, prefix: &str, behind: Revision) -> Result<Box<dyn Watch>, StoreError> {
        self.store.watch(prefix, behind).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.store.revision().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

/// What the errors say.
const MADE: &str = "a test made it fail";

#[cfg(test)]
mod tests {
    use strongroom_store::{MemoryStore, Precondition, Write};

    use super::*;

    fn store() -> FaultyStore {
        FaultyStore::new(Arc::new(MemoryStore::new()))
    }

    async fn put(store: &FaultyStore, key: &str) -> Result<Outcome, StoreError> {
        let writes = vec![Write::Put(key.to_owned(), vec![])];
        store.commit(Commit { preconditions: vec![Precondition::Absent(key.to_owned())], writes }).await
    }

    async fn holds(store: &FaultyStore, key: &str) -> bool {
        store.get(key).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn only_the_next_commit_fails_and_is_not_applied() {
        let store = store();
        store.fail_next_commit(CommitFault::NotApplied);
        assert!(matches!(put(&store, "a").await, Err(StoreError::Unavailable(_))));
        assert!(!holds(&store, "a").await);
        assert_eq!(put(&store, "a").await.unwrap(), Outcome::Committed(Revision(1)));
        store.fail_next_commit(CommitFault::Full);
        assert!(matches!(put(&store, "b").await, Err(StoreError::Full)));
        assert!(!holds(&store, "b").await);
    }

    #[tokio::test]
    async fn a_commit_whose_answer_is_lost_is_applied() {
        let store = store();
        store.fail_next_commit(CommitFault::AnswerLost);
        assert!(matches!(put(&store, "a").await, Err(StoreError::OutcomeUnknown(_))));
        assert!(holds(&store, "a").await);
        assert_eq!(put(&store, "a").await.unwrap(), Outcome::Conflict);
    }

    #[tokio::test]
    async fn commits_fail_after_some_until_the_store_is_healed() {
        let store = store();
        store.fail_commits_after(2, CommitFault::NotApplied);
        for (key, works) in [("a", true), ("b", true), ("c", false), ("d", false)] {
            assert_eq!(put(&store, key).await.is_ok(), works, "{key}");
            assert_eq!(holds(&store, key).await, works, "{key}");
        }
        store.heal();
        assert_eq!(put(&store, "c").await.unwrap(), Outcome::Committed(Revision(3)));
    }

    #[tokio::test]
    async fn everything_that_goes_through_is_counted() {
        let store = store();
        put(&store, "a").await.unwrap();
        put(&store, "a").await.unwrap();
        store.fail_next_commit(CommitFault::AnswerLost);
        put(&store, "b").await.unwrap_err();
        store.fail_next_commit(CommitFault::NotApplied);
        put(&store, "c").await.unwrap_err();
        holds(&store, "a").await;
        store.range("", None, 10, None).await.unwrap();
        let expected = StoreCounts { committed: 2, conflicts: 1, faults: 2, gets: 1, ranges: 1, entries: 2 };
        assert_eq!(store.counts(), expected);
    }

    #[tokio::test]
    async fn an_error_of_the_store_itself_is_passed_on() {
        let store = store();
        store.close().await.unwrap();
        assert!(matches!(put(&store, "a").await, Err(StoreError::Unavailable(_))));
        assert_eq!(store.counts().committed, 0);
    }
}
