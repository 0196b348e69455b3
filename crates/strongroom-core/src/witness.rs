//! What this node has seen: the highest change number of every record, so that an older one is refused
//! (protocols.md §2).
//!
//! The witness lives in the node's own folder, apart from the store. It may lag behind the store (a crash loses its last
//! moments) and never runs ahead of it, so it refuses only what was really rolled back. It does not notice a rollback
//! of the store *and* of the folder; the threat model says so.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::layout;

/// Where the witness keeps what it has seen. The server writes it to `DIR/witness`; tests keep it in memory.
pub trait WitnessLog: Send + Sync {
    /// Remembers that records were seen with these change numbers, by their keys. Need not be durable at once.
    fn remember(&self, seen: &[(&str, u64)]);
}

/// The highest change numbers seen.
pub struct Witness {
    seen: Mutex<Seen>,
    log: Box<dyn WitnessLog>,
}

#[derive(Default)]
struct Seen {
    changes: HashMap<String, u64>,
    highest: Highest,
}

/// What was seen, in short: for checkpoints of the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Highest {
    /// How many records.
    pub records: usize,
    /// The highest change number among them.
    pub change: u64,
    /// The change number of each guard, by its store key: it rises with each change of rights or state.
    pub guards: BTreeMap<String, u64>,
}

impl Seen {
    fn of(changes: HashMap<String, u64>) -> Self {
        let mut seen = Self::default();
        for (key, change) in changes {
            seen.set(key, change);
        }
        seen
    }

    fn set(&mut self, key: String, change: u64) {
        self.highest.change = self.highest.change.max(change);
        if layout::is_guard(&key) {
            self.highest.guards.insert(key.clone(), change);
        }
        self.changes.insert(key, change);
    }
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witness").finish_non_exhaustive()
    }
}

/// A record is older than one that was seen in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Older {
    /// The highest change number seen.
    pub seen: u64,
}

impl Witness {
    /// A witness that starts from what was remembered.
    pub fn new(remembered: HashMap<String, u64>, log: Box<dyn WitnessLog>) -> Self {
        Self { seen: Mutex::new(Seen::of(remembered)), log }
    }

    /// The highest change number seen of a record, 0 if none was. Taken before a read begins, it is what the read must
    /// show at least: what is seen while it is under way may be newer, because writes go on.
    pub fn highest(&self, key: &str) -> u64 {
        self.seen().changes.get(key).copied().unwrap_or_default()
    }

    /// Looks at a record's change number: refuses it if it is lower than the highest seen, remembers it if higher.
    pub fn look(&self, key: &str, change: u64) -> Result<(), Older> {
        let mut seen = self.seen();
        match seen.changes.get(key) {
            Some(highest) if change < *highest => return Err(Older { seen: *highest }),
            Some(highest) if change == *highest => return Ok(()),
            Some(_) | None => seen.set(key.to_owned(), change),
        }
        self.log.remember(&[(key, change)]);
        Ok(())
    }

    /// Looks at what a commit of our own has written, all of it in one step. A racing reader may have seen a newer one already.
    pub fn look_at_written(&self, changes: &[(String, u64)]) {
        let mut seen = self.seen();
        let is_newer = |(key, change): &&(String, u64)| seen.changes.get(key).is_none_or(|highest| change > highest);
        let newer: Vec<_> = changes.iter().filter(is_newer).map(|(key, change)| (key.as_str(), *change)).collect();
        for (key, change) in &newer {
            seen.set((*key).to_owned(), *change);
        }
        if !newer.is_empty() {
            self.log.remember(&newer);
        }
    }

    /// The change number a new write of this record must have at least.
    pub fn next(&self, key: &str) -> u64 {
        self.seen().changes.get(key).map_or(1, |highest| highest.saturating_add(1))
    }

    /// Everything seen, for the check at start.
    pub fn all(&self) -> HashMap<String, u64> {
        self.seen().changes.clone()
    }

    /// Everything seen, in short.
    pub fn summary(&self) -> Highest {
        let seen = self.seen();
        Highest { records: seen.changes.len(), ..seen.highest.clone() }
    }

    /// Forgets what was seen below a prefix: the operator accepted a rollback.
    pub fn forget_all(&self) {
        *self.seen() = Seen::default();
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A log that forgets: for tests and for the first look.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoLog;

impl WitnessLog for NoLog {
    fn remember(&self, _seen: &[(&str, u64)]) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_the_guards_and_the_highest_change() {
        let remembered = HashMap::from([("hsm/a/guard".to_owned(), 3), ("hsm/a/1/name/k".to_owned(), 8)]);
        let witness = Witness::new(remembered, Box::new(NoLog));
        witness.look("d/guard", 2).unwrap();
        witness.look("hsm/a/guard", 5).unwrap();
        witness.look("hsm/a/guard", 4).unwrap_err();
        let guards = BTreeMap::from([("d/guard".to_owned(), 2), ("hsm/a/guard".to_owned(), 5)]);
        assert_eq!(witness.summary(), Highest { records: 3, change: 8, guards });
    }

    type Written = Vec<(String, u64)>;

    #[derive(Default, Clone)]
    struct Lines(std::sync::Arc<Mutex<Vec<Written>>>);

    impl WitnessLog for Lines {
        fn remember(&self, seen: &[(&str, u64)]) {
            let seen = seen.iter().map(|(key, change)| ((*key).to_owned(), *change)).collect();
            self.0.lock().unwrap().push(seen);
        }
    }

    #[test]
    fn what_a_commit_wrote_is_remembered_at_once_unless_newer_was_seen() {
        let lines = Lines::default();
        let witness = Witness::new(HashMap::new(), Box::new(lines.clone()));
        witness.look("b", 9).unwrap();
        witness.look_at_written(&[("a".to_owned(), 2), ("b".to_owned(), 4), ("c".to_owned(), 3)]);
        witness.look_at_written(&[("a".to_owned(), 2)]);
        let expected = vec![vec![("b".to_owned(), 9)], vec![("a".to_owned(), 2), ("c".to_owned(), 3)]];
        assert_eq!(*lines.0.lock().unwrap(), expected);
        assert_eq!(["a", "b", "c"].map(|key| witness.highest(key)), [2, 9, 3]);
        witness.look("a", 1).unwrap_err();
    }
}
