//! The barrier: nothing above it sees sealed bytes, nothing below it sees anything else.
//!
//! Records are JSON behind a format number, sealed for their place by a [`Sealer`]. Reading one checks that it opens
//! here and is not older than what was seen; writing goes through a [`Transaction`], which carries preconditions and
//! the audit event in the same commit.

mod kept;
mod outbox;
mod outdated;
mod snapshot;
mod transaction;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use strongroom_crypto::Entropy;
use strongroom_crypto::seal::{Opened, Sealer};
use strongroom_store::{Entry, Kv, Page, Revision};
use strongroom_types::{NodeId, Secret};

use crate::ports::{AuditSink, Clock};
use crate::witness::Witness;
use crate::{Error, Result};

use kept::KeptRecords;
pub use kept::{Kept, KeptWhole};
pub use outbox::OutboxOf;
pub(crate) use outdated::Outdated;
pub use transaction::Transaction;

/// A persisted type. When it must change incompatibly the old one is frozen beside it and `FORMAT` rises.
pub trait Record: Serialize + DeserializeOwned {
    /// The number of this layout, written in front of the record.
    const FORMAT: u16;
}

/// A record as it was read: what is needed to replace it later.
#[derive(Debug, Clone)]
pub struct Stored<T> {
    /// Its store key.
    pub key: String,
    /// The record.
    pub value: T,
    /// The commit that wrote it; the precondition of a replacement.
    pub revision: Revision,
    /// Its change number; a replacement has a higher one.
    pub change: u64,
}

/// A page of records as they were read.
pub type Records<T> = PageOf<Stored<T>>;

/// A page of what records were read as.
#[derive(Debug)]
pub struct PageOf<R> {
    /// The records, in the order of their keys.
    pub records: Vec<R>,
    /// The revision they were read at.
    pub revision: Revision,
    /// The last store key looked at, if more may follow.
    pub next: Option<String>,
}

/// The one way to the store.
pub struct Barrier {
    store: Arc<dyn Kv>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    audit: Arc<dyn AuditSink>,
    witness: Arc<Witness>,
    node: NodeId,
    deployment: Arc<Sealer>,
    change_base: u64,
    kept: KeptRecords,
}

impl std::fmt::Debug for Barrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

impl Barrier {
    /// The barrier of a node over a store. `deployment` seals what belongs to the deployment.
    pub fn new(
        store: Arc<dyn Kv>,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
        audit: Arc<dyn AuditSink>,
        witness: Arc<Witness>,
        node: NodeId,
        deployment: Arc<Sealer>,
    ) -> Self {
        Self { store, entropy, clock, audit, witness, node, deployment, change_base: 0, kept: KeptRecords::default() }
    }

    /// The same over a store whose revisions count from there on: the deployment was copied into it.
    pub(crate) fn with_change_base(self, change_base: u64) -> Self {
        Self { change_base, ..self }
    }

    /// The node that works with it.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Seals what belongs to the deployment and to no HSM.
    pub fn deployment(&self) -> &Arc<Sealer> {
        &self.deployment
    }

    /// The source of random bytes.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.entropy
    }

    /// The time of day.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Where events go.
    pub fn audit(&self) -> &Arc<dyn AuditSink> {
        &self.audit
    }

    /// Reads a record, or `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Tampered`] if it does not open here or is older than one that was seen.
    pub async fn read<T: Record>(&self, sealer: &Sealer, key: &str) -> Result<Option<Stored<T>>> {
        let seen = self.witness.highest(key);
        let Some(entry) = self.store.get(key).await? else { return Ok(None) };
        let opened = self.open_entry(sealer, &entry, seen)?;
        stored(entry, &opened).map(Some)
    }

    /// Reads raw sealed bytes: key material.
    pub async fn read_secret(&self, sealer: &Sealer, key: &str) -> Result<Option<(Secret<Vec<u8>>, Revision)>> {
        let seen = self.witness.highest(key);
        let Some(entry) = self.store.get(key).await? else { return Ok(None) };
        let revision = entry.modified;
        let opened = self.open_entry(sealer, &entry, seen)?;
        Ok(Some((opened.plaintext, revision)))
    }

    /// Reads one page of records under a prefix, behind a store key, at a revision.
    pub async fn page<T: Record>(
        &self,
        sealer: &Sealer,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Records<T>> {
        let open = |entry: Entry, seen: Seen| {
            let opened = open_sealed(sealer, &entry)?;
            self.check_seen(&entry.key, opened.change, seen)?;
            stored(entry, &opened)
        };
        self.page_of(prefix, after, limit, at, open).await
    }

    /// Reads one page, each of its records by `open`.
    async fn page_of<R>(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
        open: impl Fn(Entry, Seen) -> Result<R>,
    ) -> Result<PageOf<R>> {
        // What a page shows at an older revision may by now be newer elsewhere: only current reads are witnessed.
        if at.is_some() {
            let page = self.store.range(prefix, after, limit, at).await?;
            return open_page(page, |entry| open(entry, Seen::Earlier));
        }
        let mut attempts_left = PAGE_ATTEMPTS_MAX;
        loop {
            let page = self.store.range(prefix, after, limit, None).await?;
            let opened = open_page(page, |entry| open(entry, Seen::Now));
            attempts_left -= 1;
            match opened {
                // A write that came while the page was on its way has been seen already: the next page shows it. A
                // store that goes on showing old records runs out of attempts.
                Err(Error::Tampered { problem: OLDER, .. }) if attempts_left > 0 => {}
                other => return other,
            }
        }
    }

    /// Refuses what a current page shows and is older than what was seen.
    fn check_seen(&self, key: &str, change: u64, seen: Seen) -> Result<()> {
        match seen {
            Seen::Earlier => Ok(()),
            Seen::Now => self.witness.look(key, change).map_err(|_| older(key)),
        }
    }

    /// Reads all records under a prefix, all at one revision.
    pub async fn all<T: Record>(&self, sealer: &Sealer, prefix: &str) -> Result<Vec<Stored<T>>> {
        let first = self.page(sealer, prefix, None, PAGE, None).await?;
        let (mut all, mut next) = (first.records, first.next);
        while let Some(after) = next {
            let page = self.page(sealer, prefix, Some(&after), PAGE, Some(first.revision)).await?;
            all.extend(page.records);
            next = page.next;
        }
        Ok(all)
    }

    /// The names of all store keys under a prefix behind a key; for jobs that remove them.
    pub async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>> {
        let page = self.store.range(prefix, None, limit, None).await?;
        Ok(page.entries.into_iter().map(|entry| entry.key).collect())
    }

    /// Begins a batch of writes.
    pub fn transaction(&self) -> Transaction<'_> {
        Transaction::new(self)
    }

    /// Opens what a current read found; it must be at least as new as what was seen before the read began.
    fn open_entry(&self, sealer: &Sealer, entry: &Entry, seen: u64) -> Result<Opened> {
        let opened = open_sealed(sealer, entry)?;
        if opened.change < seen {
            return Err(older(&entry.key));
        }
        // Somebody else may have seen a newer one meanwhile.
        let _ = self.witness.look(&entry.key, opened.change);
        Ok(opened)
    }
}

/// Of when a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Now,
    Earlier,
}

fn open_page<R>(page: Page, open: impl Fn(Entry) -> Result<R>) -> Result<PageOf<R>> {
    let next = page.more.then(|| page.entries.last().map(|entry| entry.key.clone())).flatten();
    let records = page.entries.into_iter().map(open).collect::<Result<_>>()?;
    Ok(PageOf { records, revision: page.revision, next })
}

fn stored<T: Record>(entry: Entry, opened: &Opened) -> Result<Stored<T>> {
    let value = decode(&entry.key, opened.plaintext.expose())?;
    Ok(Stored { key: entry.key, value, revision: entry.modified, change: opened.change })
}

fn older(key: &str) -> Error {
    Error::Tampered { key: key.to_owned(), problem: OLDER }
}

fn open_sealed(sealer: &Sealer, entry: &Entry) -> Result<Opened> {
    sealer
        .open(&entry.key, &entry.value)
        .map_err(|_| Error::Tampered { key: entry.key.clone(), problem: "it does not open in its place" })
}

/// The bytes of a record: its format number and JSON.
pub(crate) fn encode<T: Record>(record: &T) -> Result<Secret<Vec<u8>>> {
    let mut bytes = Secret::new(T::FORMAT.to_be_bytes().to_vec());
    serde_json::to_writer(bytes.expose_mut(), record).map_err(|_| Error::Internal("a record does not encode"))?;
    Ok(bytes)
}

/// Reads a record back; the store key is for the error.
pub(crate) fn decode<T: Record>(key: &str, bytes: &[u8]) -> Result<T> {
    let malformed = || Error::Tampered { key: key.to_owned(), problem: "its format is not known" };
    let (format, body) = bytes.split_first_chunk::<2>().ok_or_else(malformed)?;
    if u16::from_be_bytes(*format) != T::FORMAT {
        return Err(malformed());
    }
    serde_json::from_slice(body).map_err(|_| malformed())
}

const PAGE: usize = 500;
/// How often a page is read before what it shows counts as rolled back.
const PAGE_ATTEMPTS_MAX: u32 = 16;
const OLDER: &str = "it is older than one seen before";
