//! What readers see: the last durable state, opened once for all of them, and the revisions of the keys they ask for.

use std::sync::{Arc, PoisonError, RwLock};

use quick_cache::sync::Cache;

use super::engine::Trouble;
use super::snapshot::Snapshot;
use crate::{Look, Revision};

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
    pub(super) fn replace<'a>(&self, snapshot: Snapshot, written: impl Iterator<Item = &'a str>) {
        let snapshot = Arc::new(snapshot);
        let mut shown = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        for key in written {
            self.modified.remove(key);
        }
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

/// Keys whose revision is known: with their names, at most about 30 MiB, and usually a third of it.
const KNOWN_MAX: usize = 50_000;
