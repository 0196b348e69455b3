//! The open database, and the boundary that redb's errors and panics do not cross.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use redb::{Builder, Database};

use super::disk::{Disk, Health, make_file, sync_folder};
use super::published::{Published, ShownNumber};
use super::snapshot::Snapshot;
use super::tables;
use crate::{Revision, Shown, StoreError};

/// A database that can be opened again after a full disk.
pub(super) struct Engine {
    path: PathBuf,
    history: u64,
    /// Written only by the thread that writes: readers wait for it only while the file is opened again.
    state: RwLock<State>,
    shown: ShownNumber,
    health: Arc<Health>,
}

enum State {
    Open(Open),
    /// The disk was full and the file could not be opened again yet.
    Waiting(String),
    /// It failed for good.
    Stopped(String),
    Closed,
}

/// A database, and what readers see of it. The latter goes first: it holds a part of the former.
struct Open {
    published: Published,
    database: Database,
}

impl Engine {
    pub(super) fn open(path: &Path, history: u64) -> Result<Self, StoreError> {
        let (state, shown, health) = (RwLock::new(State::Closed), ShownNumber::default(), Arc::default());
        let engine = Self { path: path.to_owned(), history, state, shown, health };
        engine.set(State::Open(if engine.exists()? { engine.open_file(path)? } else { engine.found()? }));
        Ok(engine)
    }

    /// How many commits back can be read.
    pub(super) fn history(&self) -> u64 {
        self.history
    }

    /// Reads from the last durable state.
    pub(super) fn read<T>(&self, action: impl FnOnce(&Snapshot) -> Result<T, Trouble>) -> Result<T, StoreError> {
        self.look(|published| action(&published.snapshot()))
    }

    /// Reads from the last durable state, or from what is known of it.
    pub(super) fn look<T>(&self, action: impl FnOnce(&Published) -> Result<T, Trouble>) -> Result<T, StoreError> {
        self.with(|open| action(&open.published)).map_err(|trouble| self.explain(trouble))
    }

    /// Does something with the database, if it is open.
    pub(super) fn run<T>(&self, action: impl FnOnce(&Database) -> Result<T, Trouble>) -> Result<T, Trouble> {
        self.with(|open| action(&open.database))
    }

    /// Shows readers what has become durable, up to a revision, with the keys that were written. Nobody may have been told of
    /// it before.
    pub(super) fn publish<'a>(
        &self,
        revision: Revision,
        written: impl Iterator<Item = &'a str>,
    ) -> Result<(), Trouble> {
        self.with(|open| {
            let snapshot = Snapshot::after(&open.database, revision, self.history)?;
            open.published.replace(snapshot, written, &self.shown);
            Ok(())
        })
    }

    /// Which state readers are shown, if there is one.
    pub(super) fn shown(&self) -> Option<Shown> {
        self.shown.now()
    }

    fn with<T>(&self, action: impl FnOnce(&Open) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let state = self.state();
        match &*state {
            State::Open(open) => caught(|| action(open)),
            State::Waiting(reason) | State::Stopped(reason) => Err(StoreError::Unavailable(reason.clone()).into()),
            State::Closed => Err(closed().into()),
        }
    }

    /// Lets go of the database and opens it again, which finds and keeps the last durable state.
    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        // redb holds the file locked until it is dropped.
        self.set(State::Waiting("it is being opened again".to_owned()));
        match self.open_file(&self.path) {
            Ok(open) => {
                self.set(State::Open(open));
                Ok(())
            }
            Err(error) => {
                self.set(State::Waiting(error.to_string()));
                Err(error)
            }
        }
    }

    /// Opens the database again if a full disk had prevented that; says whether it did.
    pub(super) fn reopen_if_waiting(&self) -> Result<bool, StoreError> {
        let waiting = matches!(*self.state(), State::Waiting(_));
        if waiting {
            self.reopen()?;
        }
        Ok(waiting)
    }

    /// Lets go of the database for good, because what the disk holds is uncertain.
    pub(super) fn stop(&self, reason: &str) {
        tracing::error!(reason, "the store has stopped");
        self.set(State::Stopped(reason.to_owned()));
    }

    /// Writes what makes the next start quick and lets go of the file.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        match self.replace(State::Closed) {
            State::Open(Open { published, database }) => caught(|| {
                drop(published);
                Ok(database.close()?)
            })
            .map_err(|trouble| self.explain(trouble)),
            State::Waiting(reason) | State::Stopped(reason) => Err(StoreError::Unavailable(reason)),
            State::Closed => Ok(()),
        }
    }

    /// Whether it was closed, which it stays.
    pub(super) fn is_closed(&self) -> bool {
        matches!(*self.state(), State::Closed)
    }

    /// Whether what was written may have been lost on the way to the disk although it can be read.
    pub(super) fn sync_failed(&self) -> bool {
        self.health.sync_failed()
    }

    #[cfg(test)]
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Says in the contract's words what went wrong.
    pub(super) fn explain(&self, trouble: Trouble) -> StoreError {
        let path = || self.path.display().to_string();
        let error = match trouble {
            Trouble::Answer(answer) => return answer,
            Trouble::Panicked => {
                return StoreError::Damaged {
                    path: path(),
                    detail: "the engine could not make sense of it".to_owned(),
                };
            }
            Trouble::Engine(error) => *error,
        };
        match error {
            redb::Error::Io(source) if is_full(&source) => StoreError::Full,
            redb::Error::Io(source) if is_nonsense(&source) => {
                StoreError::Damaged { path: path(), detail: source.to_string() }
            }
            redb::Error::Io(source) => self.io_error(source),
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => StoreError::Locked { path: path() },
            redb::Error::PreviousIo | redb::Error::DatabaseClosed | redb::Error::LockPoisoned(_) => {
                StoreError::Unavailable("it failed earlier".to_owned())
            }
            error => StoreError::Damaged { path: path(), detail: error.to_string() },
        }
    }

    /// Makes the file whole under another name and then gives it its own, so that a first start that is interrupted never
    /// leaves half a file where a store is expected.
    fn found(&self) -> Result<Open, StoreError> {
        let mut draft = self.path.clone().into_os_string();
        draft.push(DRAFT_SUFFIX);
        let draft = PathBuf::from(draft);
        make_file(&draft).map_err(|source| self.io_error(source))?;
        let open = match self.open_file(&draft) {
            // Left by a start that was interrupted: nobody was ever answered from it.
            Err(StoreError::Damaged { .. }) => {
                let anew = fs::remove_file(&draft).and_then(|()| make_file(&draft));
                anew.map_err(|source| self.io_error(source))?;
                self.open_file(&draft)?
            }
            opened => opened?,
        };
        // Whoever holds the draft is the only founder, but another may have finished before this one took it.
        if self.exists()? {
            fs::remove_file(&draft).map_err(|source| self.io_error(source))?;
            return self.open_file(&self.path);
        }
        fs::rename(&draft, &self.path)
            .and_then(|()| sync_folder(&self.path))
            .map_err(|source| self.io_error(source))?;
        Ok(open)
    }

    fn open_file(&self, path: &Path) -> Result<Open, StoreError> {
        let opened = caught(|| {
            let disk = Disk::open(path, Arc::clone(&self.health))?;
            // The index above reads everything at start anyway, so verifying everything first costs little: without
            // it a damaged branch page could hide keys without a word.
            let database = Builder::new()
                .set_cache_size(CACHE_BYTES_MAX)
                .set_check_integrity_on_open(true)
                .create_with_backend(disk)?;
            tables::prepare(&database, &self.path.display().to_string())?;
            let published = Published::new(Snapshot::open(&database, self.history)?);
            Ok(Open { published, database })
        });
        opened.map_err(|trouble| self.explain(trouble))
    }

    fn exists(&self) -> Result<bool, StoreError> {
        self.path.try_exists().map_err(|source| self.io_error(source))
    }

    fn io_error(&self, source: io::Error) -> StoreError {
        StoreError::Io { path: self.path.display().to_string(), source }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, state: State) -> State {
        let is_open = matches!(state, State::Open(_));
        self.shown.hide();
        let before = std::mem::replace(&mut *self.state.write().unwrap_or_else(PoisonError::into_inner), state);
        if is_open {
            self.shown.advance();
        }
        before
    }

    /// What was there before is dropped here, its panics included.
    fn set(&self, state: State) {
        let before = self.replace(state);
        if catch_unwind(AssertUnwindSafe(|| drop(before))).is_err() {
            tracing::error!("the store's engine panicked when it was let go");
        }
    }
}

/// Why something could not be done inside the boundary.
pub(super) enum Trouble {
    /// An answer in the contract's words.
    Answer(StoreError),
    /// redb said no.
    Engine(Box<redb::Error>),
    /// redb panicked: it checks its pages less when it reads them than when it opens the file.
    Panicked,
}

impl Trouble {
    pub(super) fn damaged(path: &str, detail: &str) -> Self {
        Self::Answer(StoreError::Damaged { path: path.to_owned(), detail: detail.to_owned() })
    }

    /// Whether there was no space for a write.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Answer(answer) => matches!(answer, StoreError::Full),
            Self::Engine(error) => matches!(&**error, redb::Error::Io(source) if is_full(source)),
            Self::Panicked => false,
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(answer: StoreError) -> Self {
        Self::Answer(answer)
    }
}

macro_rules! from_engine {
    ($($error:ty),*) => {$(
        impl From<$error> for Trouble {
            fn from(error: $error) -> Self {
                Self::Engine(Box::new(error.into()))
            }
        }
    )*};
}

from_engine!(redb::CommitError, redb::DatabaseError, redb::StorageError, redb::TableError, redb::TransactionError);

/// The answer of a store that was closed.
pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("it is closed".to_owned())
}

fn caught<T>(action: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    catch_unwind(AssertUnwindSafe(action)).unwrap_or(Err(Trouble::Panicked))
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// How redb reports a file that it did not write, or that was cut off.
fn is_nonsense(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Most memory for pages of the file: the working set lives above the store, and the system keeps the file's pages anyway.
/// Small, because a job that reads everything, as a backup does, replaces these pages from other threads than the ones
/// that read them first, and each thread's part of the heap keeps what it once held.
const CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Follows the name of a file that is being founded.
const DRAFT_SUFFIX: &str = ".new";
