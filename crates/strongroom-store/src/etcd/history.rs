//! Which revisions may be forgotten. It decides; [`super::EtcdStore::forget`] compacts.
//!
//! Time is counted in ticks, [`TICKS`] of which are the promised age: so nothing here reads a clock. A revision is kept
//! while any of these holds:
//!
//! * it is not older than the promised age, or not more than [`HISTORY_REVISIONS`] commits old;
//! * somebody reads page after page of it, unless it is older than twice the age.
//!
//! Each node decides for itself and from what it has seen itself, so one that has just started compacts nothing. That all
//! compact harms nobody: none goes beyond the first rule, and what is compacted already stays as it is. What is read page by
//! page is spared by the node it is read from alone; under the others' hands such a reader may have to begin anew.
//! A watch that another node's compaction overtook notices it by itself ([`super::watch`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::HISTORY_REVISIONS;

/// What is remembered of the past.
#[derive(Default)]
pub(super) struct History {
    state: Mutex<State>,
    /// The highest revision that this node has compacted to.
    compacted: AtomicU64,
}

#[derive(Default)]
struct State {
    /// The newest revision at each of the last ticks, oldest first.
    samples: VecDeque<u64>,
    /// Revisions that are read page by page, and the ticks since the last page.
    held: BTreeMap<u64, usize>,
}

impl History {
    /// Somebody reads at this revision and may come back for the next page.
    pub(super) fn hold(&self, revision: u64) {
        let mut state = self.state();
        if state.held.len() < HELD_MAX || state.held.contains_key(&revision) {
            state.held.insert(revision, 0);
        }
    }

    /// A tick has passed and this is the newest revision. Says up to where may be compacted, if that is news.
    pub(super) fn tick(&self, newest: u64) -> Option<u64> {
        let mut state = self.state();
        state.held.retain(|_, idle| {
            *idle += 1;
            *idle <= HELD_IDLE_TICKS
        });
        state.samples.push_back(newest);
        while state.samples.len() > 2 * TICKS + 1 {
            state.samples.pop_front();
        }
        let at = |ticks: usize| state.samples.len().checked_sub(ticks + 1).and_then(|index| state.samples.get(index));
        let old = *at(TICKS)?;
        let very_old = at(2 * TICKS).copied().unwrap_or_default();
        let held = state.held.keys().next().copied().unwrap_or(u64::MAX);
        let target = old.min(held.max(very_old)).min(newest.saturating_sub(HISTORY_REVISIONS));
        (target > self.compacted()).then_some(target)
    }

    /// It was done.
    pub(super) fn set_compacted(&self, revision: u64) {
        self.compacted.fetch_max(revision, Ordering::AcqRel);
    }

    /// The highest revision that this node has compacted to.
    pub(super) fn compacted(&self) -> u64 {
        self.compacted.load(Ordering::Acquire)
    }

    /// No code panics while it holds the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ticks in the promised age.
pub(super) const TICKS: usize = 10;
/// How long a page may take to be asked for: longer than the tick that is under way.
const HELD_IDLE_TICKS: usize = 2;
/// Most revisions that are held at once. What comes on top may have to begin anew, as after any compaction.
const HELD_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: u64 = 1_000_000;

    /// Ticks with the same newest revision; the last answer.
    fn ticks(history: &History, count: usize, newest: u64) -> Option<u64> {
        (0..count).map(|_| history.tick(newest)).last().flatten()
    }

    #[test]
    fn what_is_old_enough_is_forgotten_once() {
        let history = History::default();
        assert_eq!(history.tick(FAR), None);
        assert_eq!(ticks(&history, TICKS - 1, 2 * FAR), None);
        assert_eq!(history.tick(2 * FAR), Some(FAR));
        history.set_compacted(FAR);
        assert_eq!(history.tick(3 * FAR), Some(2 * FAR));
        history.set_compacted(2 * FAR);
        assert_eq!(history.tick(3 * FAR), None);
    }

    #[test]
    fn a_quiet_store_keeps_its_last_commits_however_old_they_are() {
        let history = History::default();
        assert_eq!(ticks(&history, 5 * TICKS, HISTORY_REVISIONS), None);
        assert_eq!(ticks(&history, 2 * TICKS, HISTORY_REVISIONS + 7), Some(7));
    }

    #[test]
    fn what_is_read_page_by_page_is_kept_but_not_for_ever() {
        let history = History::default();
        history.tick(FAR);
        history.hold(FAR - 5);
        ticks(&history, TICKS - 1, 2 * FAR);
        assert_eq!(history.tick(2 * FAR), Some(FAR), "nobody came back for the next page");
        history.hold(FAR - 5);
        assert_eq!(history.tick(2 * FAR), Some(FAR - 5));
        for _ in 0..2 * TICKS {
            history.hold(FAR - 5);
            history.tick(3 * FAR);
        }
        assert!(history.tick(3 * FAR) > Some(FAR - 5), "nothing is held for more than twice the age");
    }

    #[test]
    fn only_so_many_revisions_are_held() {
        let history = History::default();
        for revision in 0..2 * HELD_MAX as u64 {
            history.hold(revision);
        }
        assert_eq!(history.state().held.len(), HELD_MAX);
    }
}
