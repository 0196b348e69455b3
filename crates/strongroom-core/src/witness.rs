//! What this node has seen: the highest change number of every record, so that an older one is refused
//! (protocols.md §2).
//!
//! The witness lives in the node's own folder, apart from the store. It may lag behind the store (a crash loses its last
//! moments) and never runs ahead of it, so it refuses only what was really rolled back. It does not notice a rollback
//! of the store *and* of the folder; the threat model says so.

use std::collections::HashMap;
use std::sync::Mutex;

/// Where the witness keeps what it has seen. The server writes it to `DIR/witness`; tests keep it in memory.
pub trait WitnessLog: Send + Sync {
    /// Remembers that a record was seen with this change number. Need not be durable at once.
    fn remember(&self, key: &str, change: u64);
}

/// The highest change numbers seen.
pub struct Witness {
    seen: Mutex<HashMap<String, u64>>,
    log: Box<dyn WitnessLog>,
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
        Self { seen: Mutex::new(remembered), log }
    }

    /// The highest change number seen of a record, 0 if none was. Taken before a read begins, it is what the read must
    /// show at least: what is seen while it is under way may be newer, because writes go on.
    pub fn highest(&self, key: &str) -> u64 {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(key).copied().unwrap_or_default()
    }

    /// Looks at a record's change number: refuses it if it is lower than the highest seen, remembers it if higher.
    pub fn look(&self, key: &str, change: u64) -> Result<(), Older> {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match seen.get_mut(key) {
            Some(highest) if change < *highest => return Err(Older { seen: *highest }),
            Some(highest) if change == *highest => return Ok(()),
            Some(highest) => *highest = change,
            None => {
                seen.insert(key.to_owned(), change);
            }
        }
        self.log.remember(key, change);
        Ok(())
    }

    /// The change number a new write of this record must have at least.
    pub fn next(&self, key: &str) -> u64 {
        let seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.get(key).map_or(1, |highest| highest.saturating_add(1))
    }

    /// Everything seen, for the check at start.
    pub fn all(&self) -> HashMap<String, u64> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Forgets what was seen below a prefix: the operator accepted a rollback.
    pub fn forget_all(&self) {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }
}

/// A log that forgets: for tests and for the first look.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoLog;

impl WitnessLog for NoLog {
    fn remember(&self, _key: &str, _change: u64) {}
}
