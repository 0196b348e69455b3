//! Records that stay open in memory, so that the same bytes are not opened and read anew for every request.
//!
//! A kept record never answers by itself. Each read asks the store which revision the record has *now*, and the record
//! counts only if it was opened from exactly that: the same revision, or the same sealed bytes, which nobody can make a second
//! time. It must not be older than what the witness has seen, as any other, and it must open for who asks: another domain,
//! epoch or instance finds nothing here.
//!
//! An engine that has its file for itself knows whether anything at all was written since ([`Kv::shown`]). As long as nothing
//! was, what has been asked once need not be asked again.
//!
//! [`Kv::shown`]: strongroom_store::Kv::shown

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use strongroom_crypto::seal::{Opened, SealId, Sealer};
use strongroom_store::{Entry, Look, Revision, Shown};

use super::{Barrier, PageOf, Record, Seen, Stored, older, open_sealed, stored};
use crate::Result;

/// What is kept in memory of a record. It holds no secret: what is kept is not wiped.
pub trait Kept: Send + Sync + Sized + 'static {
    /// The record it is made of.
    type Record: Record;

    /// Takes it from the record.
    fn of(stored: Stored<Self::Record>) -> Self;
}

/// A record that is kept as it is.
pub trait KeptWhole: Record + Send + Sync + 'static {}

impl<T: KeptWhole> Kept for Stored<T> {
    type Record = T;

    fn of(stored: Self) -> Self {
        stored
    }
}

/// The records that are kept, by store key.
pub(super) struct KeptRecords(Cache<String, Arc<KeptRecord>, Weight>);

struct KeptRecord {
    /// What it was opened from.
    seal: SealId,
    revision: Revision,
    change: u64,
    value: Arc<dyn Any + Send + Sync>,
    sealed_bytes: usize,
    /// The state of the store in which it was last found to be the record, 0 if in none.
    confirmed: AtomicU64,
}

impl Default for KeptRecords {
    fn default() -> Self {
        Self(Cache::with_weighter(KEPT_RECORDS, KEPT_BYTES_MAX, Weight))
    }
}

impl KeptRecords {
    /// What is kept of a record, if it opens under this seal.
    fn find<V: Kept>(&self, sealer: &Sealer, key: &str) -> Option<(Arc<KeptRecord>, Arc<V>)> {
        let kept = self.0.get(key).filter(|kept| sealer.opens(&kept.seal))?;
        let value = Arc::downcast(Arc::clone(&kept.value)).ok()?;
        Some((kept, value))
    }
}

impl Barrier {
    /// Reads what is kept of a record, or `None` if there is no such record. It is as new as what [`Barrier::read`] reads.
    ///
    /// # Errors
    /// As [`Barrier::read`].
    pub async fn read_kept<V: Kept>(&self, sealer: &Sealer, key: &str) -> Result<Option<Arc<V>>> {
        // Asked for before anything is read: what is written meanwhile makes another state.
        let shown = self.store.shown();
        let kept = self.kept.find::<V>(sealer, key);
        match kept {
            Some((kept, value)) if kept.is_confirmed(shown) => Ok(Some(value)),
            // Boxed, so that who finds it confirmed, as nearly everybody does, has no room for it.
            kept => Box::pin(self.read_unconfirmed(sealer, key, kept, shown)).await,
        }
    }

    async fn read_unconfirmed<V: Kept>(
        &self,
        sealer: &Sealer,
        key: &str,
        kept: Option<(Arc<KeptRecord>, Arc<V>)>,
        shown: Option<Shown>,
    ) -> Result<Option<Arc<V>>> {
        let seen = self.witness.highest(key);
        let look = match &kept {
            Some((kept, _)) => self.store.get_unless(key, kept.revision).await?,
            None => self.store.get(key).await?.map_or(Look::Nothing, Look::Entry),
        };
        match (look, kept) {
            (Look::Nothing, _) => Ok(None),
            (Look::Unchanged, Some((kept, value))) if kept.change >= seen => {
                kept.confirm(shown);
                Ok(Some(value))
            }
            (Look::Entry(entry), Some((kept, value))) if kept.is(&entry) && kept.change >= seen => {
                kept.confirm(shown);
                Ok(Some(value))
            }
            // The store says so of what nobody has asked about, or of what is older than was seen.
            (Look::Unchanged, _) => Err(older(key)),
            (Look::Entry(entry), _) => {
                let opened = self.open_entry(sealer, &entry, seen)?;
                self.keep(entry, &opened).map(Some)
            }
        }
    }

    /// Reads one page of records, of what is kept of them as far as that is the same.
    ///
    /// # Errors
    /// As [`Barrier::page`].
    pub async fn page_kept<V: Kept>(
        &self,
        sealer: &Sealer,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<PageOf<Arc<V>>> {
        let open = |entry: Entry, seen: Seen| {
            if let Some((kept, value)) = self.kept.find::<V>(sealer, &entry.key).filter(|(kept, _)| kept.is(&entry)) {
                self.check_seen(&entry.key, kept.change, seen)?;
                return Ok(value);
            }
            let opened = open_sealed(sealer, &entry)?;
            self.check_seen(&entry.key, opened.change, seen)?;
            match seen {
                Seen::Now => self.keep(entry, &opened),
                // It may be another one by now.
                Seen::Earlier => Ok(Arc::new(V::of(stored(entry, &opened)?))),
            }
        };
        self.page_of(prefix, after, limit, at, open).await
    }

    fn keep<V: Kept>(&self, entry: Entry, opened: &Opened) -> Result<Arc<V>> {
        let (key, revision, sealed_bytes) = (entry.key.clone(), entry.modified, entry.value.len());
        let value = Arc::new(V::of(stored(entry, opened)?));
        let kept = KeptRecord {
            seal: opened.id,
            revision,
            change: opened.change,
            value: Arc::<V>::clone(&value),
            sealed_bytes,
            confirmed: AtomicU64::new(0),
        };
        self.kept.0.insert(key, Arc::new(kept));
        Ok(value)
    }
}

impl KeptRecord {
    /// Whether it was found to be the record in the state that is shown now.
    fn is_confirmed(&self, shown: Option<Shown>) -> bool {
        shown.is_some_and(|Shown(number)| self.confirmed.load(Ordering::Acquire) == number.get())
    }

    /// It was found to be the record in this state, or in a later one.
    fn confirm(&self, shown: Option<Shown>) {
        if let Some(Shown(number)) = shown {
            self.confirmed.store(number.get(), Ordering::Release);
        }
    }

    /// Whether this is what it was opened from.
    fn is(&self, entry: &Entry) -> bool {
        entry.modified == self.revision && self.seal.is_of(&entry.value)
    }
}

/// About how many bytes a kept record takes: it is text when it is sealed, and about twice as much when it is read. Lists and
/// maps of short texts take more, a few times that.
#[derive(Clone)]
struct Weight;

impl Weighter<String, Arc<KeptRecord>> for Weight {
    fn weight(&self, key: &String, kept: &Arc<KeptRecord>) -> u64 {
        (2 * key.len() + 2 * kept.sealed_bytes + OVERHEAD_BYTES) as u64
    }
}

/// Most of all kept records together, as [`Weight`] counts them.
const KEPT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// As many as that are of usual size.
const KEPT_RECORDS: usize = 16 * 1024;
/// What a record takes besides its text.
const OVERHEAD_BYTES: usize = 256;
