//! The node's own folder: locked while it runs, mode 700, every file in it written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A data folder that this process has to itself until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Held, not used: closing it unlocks.
    _lock: File,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("{} is in use by {}", path.display(), process(*holder))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process that has it, if it left its number.
        holder: Option<u32>,
    },
    /// It is something else.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// What was named.
        path: PathBuf,
    },
    /// Others may look into it, and it has not been ours before.
    #[error("{} is open to others (mode {mode:03o})", path.display())]
    OpenToOthers {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn process(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |holder| format!("process {holder}"))
}

impl DataDir {
    /// Makes the folder if there is none, and takes it for this process.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        make(path)?;
        // Clients read names of files in it from anywhere.
        let path = &fs::canonicalize(path).map_err(at(path))?;
        let lock_path = path.join(LOCK);
        let at_lock = at(&lock_path);
        let mut options = OpenOptions::new();
        let mut lock = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&lock_path)
            .map_err(&at_lock)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // Only for the message; a process that is just starting has not written it yet.
                let _ = lock.read_to_string(&mut text);
                return Err(DataDirError::InUse { path: path.to_owned(), holder: text.trim().parse().ok() });
            }
            Err(error) => return Err(at_lock(error.into())),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(&at_lock)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The text of a file, without surrounding space; `None` if there is no such file.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn read(&self, name: &str) -> Result<Option<String>, DataDirError> {
        Ok(self.read_whole(name)?.map(|text| text.trim().to_owned()))
    }

    /// The text of a file to the last byte, for formats in which space counts; `None` if there is no such file.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn read_whole(&self, name: &str) -> Result<Option<String>, DataDirError> {
        let path = self.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path)(error)),
        }
    }

    /// Writes a file with mode 600: when this returns it is on disk, and nobody ever sees half of it.
    ///
    /// # Errors
    /// [`DataDirError::Io`]; the file is then as it was.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), DataDirError> {
        write_file(&self.join(name), content)
    }

    /// Removes a file; one that is not there is fine.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn remove(&self, name: &str) -> Result<(), DataDirError> {
        let path = self.join(name);
        match fs::remove_file(&path) {
            Ok(()) => sync(&self.path).map_err(at(&self.path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(at(&path)(error)),
        }
    }
}

/// Writes a file with mode 600 by way of `.NAME.new` beside it: when this returns it is on disk, and nobody ever sees half
/// of it.
///
/// # Errors
/// [`DataDirError::Io`]; the file is then as it was.
pub fn write_file(path: &Path, content: &[u8]) -> Result<(), DataDirError> {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let new = path.with_file_name(format!(".{name}.new"));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = write_durably(&new, content).and_then(|()| fs::rename(&new, path)).and_then(|()| sync(folder));
    written.map_err(at(path))
}

/// Makes sure that there is a folder that only its owner can look into.
fn make(path: &Path) -> Result<(), DataDirError> {
    let at_path = at(path);
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(&at_path)?;
            }
            return DirBuilder::new().mode(FOLDER_MODE).create(path).map_err(&at_path);
        }
        Err(error) => return Err(at_path(error)),
        Ok(metadata) if !metadata.is_dir() => return Err(DataDirError::NotAFolder { path: path.to_owned() }),
        Ok(metadata) if metadata.mode() & 0o077 == 0 => return Ok(()),
        Ok(metadata) => {
            // Closing a folder to others that is used for something else as well (a home, /tmp) would break that.
            let ours = path.join(LOCK).exists();
            let empty = fs::read_dir(path).map_err(&at_path)?.next().is_none();
            if !ours && !empty {
                return Err(DataDirError::OpenToOthers { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
            }
        }
    }
    fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE)).map_err(at_path)
}

fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    // What a crash has left there may have any content.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn at(path: &Path) -> impl Fn(io::Error) -> DataDirError + use<> {
    let path = path.to_owned();
    move |source| DataDirError::Io { path: path.clone(), source }
}

const LOCK: &str = "lock";
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_new_folder_and_its_files_belong_to_their_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataDir::open(&parent.path().join("a/b")).unwrap();
        folder.write("file", b"x").unwrap();
        assert_eq!(
            (mode(folder.path()), mode(&folder.join("file")), mode(&folder.join("lock"))),
            (0o700, 0o600, 0o600)
        );
    }

    #[test]
    fn a_second_user_of_a_folder_is_told_who_has_it() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let first = DataDir::open(&path).unwrap();
        let error = DataDir::open(&path).unwrap_err().to_string();
        assert_eq!(error, format!("{} is in use by process {}", path.display(), std::process::id()));
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn an_empty_folder_is_closed_to_others_and_a_used_one_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        fs::write(path.join("somebody's"), "").unwrap();
        let error = DataDir::open(&path).unwrap_err().to_string();
        assert_eq!(error, format!("{} is open to others (mode 755)", path.display()));
        assert_eq!(mode(&path), 0o755);
        fs::remove_file(path.join("somebody's")).unwrap();
        DataDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
        DataDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700, "it was ours before");
    }

    #[test]
    fn a_relative_folder_is_known_by_its_full_name() {
        let parent = tempfile::tempdir_in(".").unwrap();
        let relative = Path::new(parent.path().file_name().unwrap()).join("data");
        assert!(DataDir::open(&relative).unwrap().path().is_absolute());
    }

    #[test]
    fn a_file_is_no_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(DataDir::open(file.path()), Err(DataDirError::NotAFolder { .. })));
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataDir::open(&parent.path().join("data")).unwrap();
        assert_eq!(folder.read("name").unwrap(), None);
        folder.write("name", b"one\n").unwrap();
        fs::write(folder.join(".name.new"), "left by a crash").unwrap();
        folder.write("name", b"two\n").unwrap();
        assert_eq!(folder.read("name").unwrap().as_deref(), Some("two"));
        assert!(!folder.join(".name.new").exists());
        folder.remove("name").unwrap();
        folder.remove("name").unwrap();
        assert_eq!(folder.read("name").unwrap(), None);
    }
}
