//! A store whose commits fail when a test says so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use strongroom_store::{Commit, Kv, Look, Outcome, Page, Revision, StoreError, Write};

use crate::wrapped::{Wrap, Wrapped, look};

/// Any store, with faults in front of it.
///
/// A test keeps one handle to set faults and read counts, and gives a clone of the `Arc` to what it tests. Reads and
/// watches always go through; only commits fail.
pub type FaultyStore = Wrapped<Faults>;

/// What is in front of the store.
pub struct Faults {
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
    /// The first value is written as another one, and the caller is not told so.
    Altered,
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
    /// Single keys that were read, those included that were known already.
    pub gets: u64,
    /// Pages that were read.
    pub ranges: u64,
    /// Entries on those pages.
    pub entries: u64,
}

#[derive(Default)]
struct State {
    due: Option<Due>,
    counts: StoreCounts,
}

/// A fault that comes after some commits.
struct Due {
    commits: u64,
    fault: CommitFault,
    stays: bool,
}

impl FaultyStore {
    /// Puts itself in front of a store, without a fault for now.
    #[must_use]
    pub fn new(store: Arc<dyn Kv>) -> Self {
        Self(Faults { store, state: Mutex::default() })
    }
}

impl Faults {
    /// Lets only the next commit fail. As with all of these, a fault that was to come is forgotten.
    pub fn fail_next_commit(&self, fault: CommitFault) {
        self.fail_commit_after(0, fault);
    }

    /// Lets that many more commits through (conflicts count as commits), and only the one after them fail.
    pub fn fail_commit_after(&self, commits: u64, fault: CommitFault) {
        self.state().due = Some(Due { commits, fault, stays: false });
    }

    /// Lets that many more commits through and every one after them fail, until [`Faults::heal`].
    pub fn fail_commits_after(&self, commits: u64, fault: CommitFault) {
        self.state().due = Some(Due { commits, fault, stays: true });
    }

    /// Takes back every fault.
    pub fn heal(&self) {
        self.state().due = None;
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
        let due = self.due.as_mut()?;
        if due.commits > 0 {
            due.commits -= 1;
            return None;
        }
        let fault = due.fault;
        self.due.take_if(|due| !due.stays);
        self.counts.faults += 1;
        Some(fault)
    }
}

#[async_trait]
impl Wrap for Faults {
    fn behind(&self) -> &dyn Kv {
        self.store.as_ref()
    }

    async fn look(&self, key: &str, known: Option<Revision>) -> Result<Look, StoreError> {
        self.state().counts.gets += 1;
        look(self.behind(), key, known).await
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

    async fn commit(&self, mut commit: Commit) -> Result<Outcome, StoreError> {
        let fault = self.state().arrive();
        match fault {
            Some(CommitFault::NotApplied) => return Err(StoreError::Unavailable(MADE.to_owned())),
            Some(CommitFault::Full) => return Err(StoreError::Full),
            Some(CommitFault::Altered) => alter(&mut commit),
            Some(CommitFault::AnswerLost) | None => {}
        }
        let outcome = self.store.commit(commit).await?;
        let mut state = self.state();
        match outcome {
            Outcome::Committed(_) => state.counts.committed += 1,
            Outcome::Conflict => state.counts.conflicts += 1,
        }
        if fault == Some(CommitFault::AnswerLost) {
            return Err(StoreError::OutcomeUnknown(MADE.to_owned()));
        }
        Ok(outcome)
    }
}

fn alter(commit: &mut Commit) {
    let value = commit.writes.iter_mut().find_map(|write| match write {
        Write::Put(_, value) => Some(value),
        Write::Delete(_) => None,
    });
    if let Some(value) = value {
        value.push(0);
    }
}

/// What the errors say.
const MADE: &str = "a test made it fail";

#[cfg(test)]
mod tests {
    use strongroom_store::{MemoryStore, Precondition};

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
    async fn one_commit_fails_after_some() {
        let store = store();
        store.fail_commit_after(1, CommitFault::NotApplied);
        for (key, works) in [("a", true), ("b", false), ("c", true)] {
            assert_eq!(put(&store, key).await.is_ok(), works, "{key}");
        }
    }

    #[tokio::test]
    async fn an_altered_commit_looks_like_any_other() {
        let store = store();
        store.fail_next_commit(CommitFault::Altered);
        assert_eq!(put(&store, "a").await.unwrap(), Outcome::Committed(Revision(1)));
        assert_eq!(store.get("a").await.unwrap().unwrap().value, [0]);
        put(&store, "b").await.unwrap();
        assert!(store.get("b").await.unwrap().unwrap().value.is_empty());
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
