//! What readers see: the last durable state, opened once for all of them, and the revisions of the keys they ask for.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use quick_cache::sync::Cache;

use super::engine::Trouble;
use super::snapshot::Snapshot;
use crate::{Look, Revision, Shown};

/// The state that is shown, until the next one is.
///
/// The revisions that are known belong to it. The thread that writes forgets those it changes before anybody sees the new
/// state, and a reader adds one only while the state it read is still shown: so a revision that is known is never older than
/// what somebody has read, of this key or of another.
pub(super) struct Published {
    snapshot: RwLock<Arc<Snapshot>>,
    modified: Cache<String, Revision>,
}

impl Published {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self { snapshot: RwLock::new(Arc::new(snapshot)), modified: Cache::new(KNOWN_MAX) }
    }

    /// The state that is shown now.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows another state, which differs in these keys.
    pub(super) fn replace<'a>(&self, snapshot: Snapshot, written: impl Iterator<Item = &'a str>, number: &ShownNumber) {
        let snapshot = Arc::new(snapshot);
        let mut shown = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        for key in written {
            self.modified.remove(key);
        }
        // Before anybody reads the new state: who knows by this number that a key is as it was has not read a newer one. And not
        // before the revisions are forgotten: who is given the new number must not find them any more.
        number.advance();
        let before = std::mem::replace(&mut *shown, snapshot);
        drop(shown);
        // The last of its readers lets go of its pages, which takes a lock of the engine.
        drop(before);
    }

    /// Whether a key still has the value of a revision; reads it if that is not known.
    pub(super) fn get_unless(&self, key: &str, known: Revision) -> Result<Look, Trouble> {
        if self.modified.get(key) == Some(known) {
            return Ok(Look::Unchanged);
        }
        let snapshot = self.snapshot();
        let Some(entry) = snapshot.get(key)? else { return Ok(Look::Nothing) };
        let shown = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&shown, &snapshot) {
            self.modified.insert(key.to_owned(), entry.modified);
        }
        drop(shown);
        Ok(if entry.modified == known { Look::Unchanged } else { Look::Entry(entry) })
    }
}

/// The number of the state that is shown. It outlives the database, which may be opened again.
#[derive(Debug, Default)]
pub(super) struct ShownNumber {
    /// Odd while there is a state to read, even while there is none.
    changes: AtomicU64,
}

impl ShownNumber {
    /// There is a state now, or another one.
    pub(super) fn advance(&self) {
        self.change(|changes| changes.saturating_add(1) | 1);
    }

    /// There is none.
    pub(super) fn hide(&self) {
        self.change(|changes| changes.saturating_add(2) & !1);
    }

    /// The state that is shown, if there is one.
    pub(super) fn now(&self) -> Option<Shown> {
        let changes = self.changes.load(Ordering::SeqCst);
        (changes % 2 == 1).then(|| NonZeroU64::new(changes).map(Shown)).flatten()
    }

    fn change(&self, next: impl Fn(u64) -> u64) {
        // It cannot fail: there is always a next one.
        let _ = self.changes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |changes| Some(next(changes)));
    }
}

/// Keys whose revision is known: with their names, at most about 30 MiB, and usually a third of it.
const KNOWN_MAX: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_state_is_shown_twice_and_none_while_there_is_none() {
        let number = ShownNumber::default();
        assert_eq!(number.now(), None);
        let mut seen = Vec::new();
        for _ in 0..3 {
            for _ in 0..3 {
                number.advance();
                let now = number.now().unwrap();
                assert_eq!(number.now(), Some(now));
                assert!(!seen.contains(&now));
                seen.push(now);
            }
            number.hide();
            number.hide();
            assert_eq!(number.now(), None);
        }
    }
}
