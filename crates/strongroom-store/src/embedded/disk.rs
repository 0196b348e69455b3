//! The file below redb, watched for a failed sync.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(test)]
use std::sync::{Mutex, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

/// A file that remembers whether it ever failed to sync.
#[derive(Debug)]
pub(super) struct Disk {
    file: FileBackend,
    health: Arc<Health>,
}

/// What is known about a disk; it outlives the file being opened again.
///
/// After a failed sync the kernel may call pages clean that never reached the disk, so what is read back proves nothing
/// about durability until the machine has written them again. Nothing may be recovered in place then.
#[derive(Debug, Default)]
pub(super) struct Health {
    sync_failed: AtomicBool,
    #[cfg(test)]
    fault: Mutex<Option<Fault>>,
}

/// A disk that fails, for tests.
#[cfg(test)]
#[derive(Debug)]
pub(super) struct Fault {
    /// How many changes of the file still succeed.
    pub(super) after: u32,
    /// Which change fails then, and from then on.
    pub(super) of: Change,
    /// How it fails.
    pub(super) kind: io::ErrorKind,
    /// Whether the change is made all the same.
    pub(super) made: bool,
}

/// A change of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Write,
    Sync,
}

impl Health {
    pub(super) fn sync_failed(&self) -> bool {
        self.sync_failed.load(Ordering::Acquire)
    }

    fn observe(&self, change: Change, make: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        #[cfg(test)]
        let result = self.fail_on_purpose(change, make);
        #[cfg(not(test))]
        let result = make();
        if result.is_err() && change == Change::Sync {
            self.sync_failed.store(true, Ordering::Release);
        }
        result
    }

    #[cfg(test)]
    pub(super) fn set_fault(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    #[cfg(test)]
    fn fail_on_purpose(&self, change: Change, make: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *fault {
            Some(Fault { after: 0, of, kind, made }) if *of == change => {
                if *made {
                    make()?;
                }
                return Err((*kind).into());
            }
            Some(Fault { after, .. }) => *after = after.saturating_sub(1),
            None => {}
        }
        drop(fault);
        make()
    }
}

impl Disk {
    /// Opens the file and takes it from everybody but its owner.
    pub(super) fn open(path: &Path, health: Arc<Health>) -> Result<Self, DatabaseError> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        Ok(Self { file: FileBackend::new(file)?, health })
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.health.observe(Change::Write, || self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.health.observe(Change::Sync, || self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.health.observe(Change::Write, || self.file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

/// Makes an empty file unless there is one.
pub(super) fn make_file(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path).map(drop)
}

/// Makes the name that a file has in its folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Only the owner reads and writes it.
const FILE_MODE: u32 = 0o600;
