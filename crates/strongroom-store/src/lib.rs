//! Where bytes go: an ordered, revisioned key-value contract, and the engines that keep it.
//!
//! The contract is the intersection that an embedded engine and etcd both give honestly (`docs/decisions`): `get`,
//! `range` at a revision, `commit` of a small batch under preconditions, `watch` from a revision. An answer to
//! `commit` means *durable*.
//!
//! The store is **untrusted**: values arrive sealed, the store learns names and sizes and nothing else. It knows no keys,
//! no roles and no HTTP. It reads no clock; the etcd engine, behind the feature `etcd`, waits for answers only so long.
//!
//! Read first: [`Kv`], [`Commit`], [`Entry`].
//!
//! It fails with [`StoreError`]: what is the engine's trouble (`Unavailable`, `Full`, `Damaged`) is apart from what is the
//! caller's mistake (`TooLarge`, `WrittenTwice`) or lateness (`Compacted`). [`StoreError::OutcomeUnknown`] is neither. A lost race is not an error but [`Outcome::Conflict`].

mod embedded;
mod entries;
#[cfg(feature = "etcd")]
mod etcd;
mod limits;
mod memory;

use std::fmt;
use std::num::NonZeroU64;

use async_trait::async_trait;

pub use embedded::EmbeddedStore;
pub use entries::entries;
#[cfg(feature = "etcd")]
pub use etcd::{EtcdOpenError, EtcdOptions, EtcdStore, EtcdTls, EtcdUser};
pub use limits::{PageBuilder, check_key};
pub use memory::MemoryStore;

/// A point in the history of the whole store. It rises with every commit that changes something; by one, unless the store
/// shares an etcd cluster with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key and its value as they were at the revision that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The store key.
    pub key: String,
    /// The value, sealed by whoever wrote it.
    pub value: Vec<u8>,
    /// The commit that made the key.
    pub created: Revision,
    /// The commit that wrote this value.
    pub modified: Revision,
}

/// What [`Kv::get_unless`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The key does not exist.
    Nothing,
    /// The key has the value of the revision that is known.
    Unchanged,
    /// Its value; not necessarily another one.
    Entry(Entry),
}

/// What must hold for a commit to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// The key does not exist.
    Absent(String),
    /// The key exists and was last written by that commit.
    Unchanged(String, Revision),
}

/// One write of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Make or replace a value.
    Put(String, Vec<u8>),
    /// Remove a key; removing an absent one changes nothing.
    Delete(String),
}

/// A batch that happens whole or not at all. A key is written at most once in it.
///
/// A batch whose preconditions hold but that changes nothing (no writes, or only deletions of absent keys) is committed
/// at the revision it was judged on, and makes no new one: as in etcd.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commit {
    /// All must hold.
    pub preconditions: Vec<Precondition>,
    /// Done in one step.
    pub writes: Vec<Write>,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Durable, at this revision; what it was judged on is durable too.
    Committed(Revision),
    /// A precondition did not hold; nothing was written.
    Conflict,
}

/// A state that an engine shows its readers. No two states of a process are the same one, whatever their revisions: one is
/// never shown again, not even by an engine that was opened anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown(pub NonZeroU64);

/// One page of a range, in the order of the keys' bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// The revision the page was read at: pass it on to read the next page of the same moment.
    pub revision: Revision,
    /// Whether keys of the prefix follow behind the last entry. A page may hold fewer entries than asked for and still be
    /// followed by more: see [`PAGE_BYTES_MAX`].
    pub more: bool,
}

/// A change of one key, in the order of revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The key was made or replaced.
    Put(Entry),
    /// The key was removed by that commit.
    Deleted(String, Revision),
}

/// The changes that follow a revision. Ends (`None`) when the store is closed; a fallen-behind watcher gets
/// [`StoreError::Compacted`] and loads anew. After any error the watch has ended.
///
/// A slow watcher costs little: nothing is queued for it but what an engine sends ahead.
#[async_trait]
pub trait Watch: Send {
    /// All changes of the next commit that touched the prefix, in the order the commit wrote them. May be dropped while it
    /// waits; no change is lost by that.
    async fn next(&mut self) -> Option<Result<Vec<Change>, StoreError>>;
}

/// The ordered, revisioned key-value contract.
#[async_trait]
pub trait Kv: Send + Sync {
    /// One key, as it is now (linearizable).
    ///
    /// # Errors
    /// [`StoreError::KeyLength`] for a key that cannot exist.
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError>;

    /// As [`Kv::get`], for who already has the value that was written at a revision: an engine that knows without reading
    /// it that it is still there says so. Revisions of an engine that does never begin anew while it is open.
    ///
    /// # Errors
    /// As [`Kv::get`].
    async fn get_unless(&self, key: &str, known: Revision) -> Result<Look, StoreError> {
        // Others may write here, and may put a store of an earlier day in its place: who asks looks at the value itself.
        let _ = known;
        Ok(self.get(key).await?.map_or(Look::Nothing, Look::Entry))
    }

    /// Which state readers are shown at this moment, if the engine can tell without asking anybody. As long as it is the same,
    /// so is every key.
    fn shown(&self) -> Option<Shown> {
        None
    }

    /// Keys that begin with `prefix` and come behind `after` (exclusive; `None`: from the first), at most `limit`
    /// (1..=[`LIMIT_MAX`]; what is outside is moved to the nearer end), as they were `at` a revision (`None`: now).
    ///
    /// # Errors
    /// [`StoreError::Compacted`] if that revision is no longer kept, [`StoreError::NotYetCommitted`] if it lies ahead.
    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError>;

    /// Does all writes if all preconditions hold. The answer comes after the commit is durable. Dropping the future does not
    /// take the commit back.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] beyond [`COMMIT_OPERATIONS_MAX`] or [`COMMIT_BYTES_MAX`], [`StoreError::KeyLength`],
    /// [`StoreError::WrittenTwice`], [`StoreError::Full`]: nothing is written. After any other error the commit may or may
    /// not have happened: read before writing again.
    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError>;

    /// Changes under `prefix` behind a revision. A revision that lies ahead is waited for.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] if the changes behind that revision are no longer kept.
    async fn watch(&self, prefix: &str, behind: Revision) -> Result<Box<dyn Watch>, StoreError>;

    /// The revision of the last commit.
    async fn revision(&self) -> Result<Revision, StoreError>;

    /// Makes everything durable and lets go of files; every later call answers [`StoreError::Unavailable`].
    async fn close(&self) -> Result<(), StoreError>;
}

/// Most operations (preconditions and writes together) of one commit: half of what etcd takes.
pub const COMMIT_OPERATIONS_MAX: usize = 64;
/// Most bytes (keys and values) of one commit: a third of what etcd takes.
pub const COMMIT_BYTES_MAX: usize = 512 * 1024;
/// Most entries of one page.
pub const LIMIT_MAX: usize = 1000;
/// Most bytes (keys and values) of one page, unless its first entry alone is larger.
pub const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest store key, in bytes; the shortest has one.
pub const KEY_BYTES_MAX: usize = 512;
/// How many commits back a range may be read. etcd keeps more, if they are not older than its promised age; and it keeps
/// less if somebody else compacts it.
pub const HISTORY_REVISIONS: u64 = 10_000;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine cannot be reached, is closed, or stopped after an earlier error.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The commit may have been done, or may be done yet, or not at all: its answer is lost. Doing the whole work again from
    /// its reads is safe; sending the same writes again without preconditions is not.
    #[error("whether the store has done it is unknown: {0}")]
    OutcomeUnknown(String),
    /// No space left for the write; nothing was written.
    #[error("the store has no space left")]
    Full,
    /// Another process has the data.
    #[error("{path} is in use by another process")]
    Locked {
        /// The file that is locked.
        path: String,
    },
    /// The data on disk is not what was written.
    #[error("{path} is damaged: {detail}")]
    Damaged {
        /// The file.
        path: String,
        /// What was found.
        detail: String,
    },
    /// The data was written by a newer release.
    #[error("{path} has format {found}, this release reads up to {known}")]
    NewerFormat {
        /// The file.
        path: String,
        /// The format found.
        found: u32,
        /// The newest format known.
        known: u32,
    },
    /// The batch is beyond the limits of the contract.
    #[error("a commit of {operations} operations and {bytes} bytes is too large")]
    TooLarge {
        /// Operations in the batch.
        operations: usize,
        /// Bytes in the batch.
        bytes: usize,
    },
    /// A key is empty or longer than [`KEY_BYTES_MAX`].
    #[error("a key of {bytes} bytes is not within 1 to {KEY_BYTES_MAX}")]
    KeyLength {
        /// Bytes of the key.
        bytes: usize,
    },
    /// A batch writes the same key more than once.
    #[error("the key {key} is written twice in one commit")]
    WrittenTwice {
        /// The store key.
        key: String,
    },
    /// No commit has reached this revision.
    #[error("revision {0} is not yet committed")]
    NotYetCommitted(Revision),
    /// The history before this revision is gone.
    #[error("revision {0} is no longer kept")]
    Compacted(Revision),
    /// An operation of the file system failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
