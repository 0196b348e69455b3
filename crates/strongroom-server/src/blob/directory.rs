//! A directory of this machine as a blob store: `file:///var/backups/hsm1`.
//!
//! A blob is a file, its path the path below the container. Every step below the configured directory is opened from the
//! one before without following symbolic links, so that nobody leads a backup, or a restore, elsewhere. What is written
//! becomes visible under its name only when it is whole and on the disk.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use percent_encoding::percent_decode_str;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use strongroom_core::blobs::{BlobContainer, BlobCredential, BlobError};
use strongroom_crypto::Entropy;

use crate::blob::{checked_content, checked_path};

/// The directories that the configuration names.
pub(super) struct Directories {
    roots: Vec<PathBuf>,
    entropy: Arc<dyn Entropy>,
}

/// A directory below one of them.
pub(super) struct DirectoryContainer {
    place: Place,
    entropy: Arc<dyn Entropy>,
}

/// Where a container lies: names below a configured directory.
#[derive(Debug, Clone)]
struct Place {
    root: PathBuf,
    below: Vec<String>,
}

impl std::fmt::Debug for Directories {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.roots).finish()
    }
}

impl Directories {
    pub(super) fn new(roots: Vec<PathBuf>, entropy: Arc<dyn Entropy>) -> Self {
        Self { roots, entropy }
    }

    /// Tells an address apart; nothing is opened yet. A SAS is not looked at: some clients cannot leave it out.
    ///
    /// # Errors
    /// [`BlobError::Malformed`], [`BlobError::NotAllowed`] outside the configured directories.
    pub(super) fn open(&self, address: &str, credential: &BlobCredential) -> Result<DirectoryContainer, BlobError> {
        if let BlobCredential::Bearer(_) = credential {
            return Err(BlobError::NotAllowed("a directory takes no token of a managed identity".to_owned()));
        }
        let path = path_of(address)?;
        let place = self.roots.iter().find_map(|root| Place::below(root, &path)).ok_or_else(|| {
            let allowed: Vec<_> = self.roots.iter().map(|root| root.display().to_string()).collect();
            BlobError::NotAllowed(format!(
                "{} is not below a directory for backups: {} ([backup] directories in the configuration)",
                path.display(),
                allowed.join(", ")
            ))
        })?;
        Ok(DirectoryContainer { place, entropy: Arc::clone(&self.entropy) })
    }
}

/// The path in `file:///…`.
fn path_of(address: &str) -> Result<PathBuf, BlobError> {
    let malformed = |problem: &str| BlobError::Malformed(format!("the address of a directory {problem}"));
    let rest = address.strip_prefix("file://").ok_or_else(|| malformed("begins with file:///"))?;
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') || path.contains(['?', '#', '\\']) || path.len() > ADDRESS_MAX {
        return Err(malformed("is file:// and an absolute path, without a query"));
    }
    let path = percent_decode_str(path).decode_utf8().map_err(|_| malformed("is not UTF-8"))?;
    let segments = path.trim_start_matches('/').trim_end_matches('/').split('/');
    if segments.into_iter().any(|name| ["", ".", ".."].contains(&name)) || path.contains(char::is_control) {
        return Err(malformed("has names between single slashes, and neither . nor .."));
    }
    Ok(PathBuf::from(path.trim_end_matches('/')))
}

impl Place {
    fn below(root: &Path, path: &Path) -> Option<Self> {
        let below = path.strip_prefix(root).ok()?.components();
        let names = below.map(|component| match component {
            Component::Normal(name) => name.to_str().map(str::to_owned),
            _ => None,
        });
        Some(Self { root: root.to_owned(), below: names.collect::<Option<_>>()? })
    }

    fn shown(&self, path: &str) -> String {
        let below: String = self.below.iter().map(|name| format!("{name}/")).collect();
        format!("{}/{below}{path}", self.root.display())
    }

    /// Opens the folder that a blob lies in; `missing` says what becomes of folders that are not there.
    fn folder(&self, path: &str, missing: Missing) -> Result<(OwnedFd, String), BlobError> {
        let mut names: Vec<&str> = self.below.iter().map(String::as_str).chain(path.split('/')).collect();
        let file = names.pop().unwrap_or_default().to_owned();
        let failed = |error| self.failure(path, error);
        let mut folder = fs::open(&self.root, FOLDER, Mode::empty()).map_err(failed)?;
        for name in names {
            folder = match fs::openat(&folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
                Err(Errno::NOENT) if missing == Missing::Make => {
                    match fs::mkdirat(&folder, name, Mode::RWXU) {
                        Ok(()) | Err(Errno::EXIST) => fs::fsync(&folder).map_err(failed)?,
                        Err(error) => return Err(failed(error)),
                    }
                    fs::openat(&folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()).map_err(failed)?
                }
                found => found.map_err(failed)?,
            };
        }
        Ok((folder, file))
    }

    fn failure(&self, path: &str, error: Errno) -> BlobError {
        let shown = self.shown(path);
        match error {
            Errno::NOENT => BlobError::NotFound(shown),
            Errno::EXIST => BlobError::AlreadyExists(shown),
            Errno::LOOP | Errno::NOTDIR => {
                BlobError::NotAllowed(format!("{shown}: a symbolic link or a file stands where a folder was expected"))
            }
            Errno::ACCESS | Errno::PERM | Errno::ROFS => BlobError::Refused(format!("{shown}: {error}")),
            error => BlobError::Unavailable(format!("{shown}: {error}")),
        }
    }

    /// Writes a new file; on the disk before this returns.
    fn create(&self, path: &str, content: &[u8], random: [u8; 16]) -> Result<(), BlobError> {
        let failed = |error| self.failure(path, error);
        let (folder, name) = self.folder(path, Missing::Make)?;
        let random = uuid::Builder::from_random_bytes(random).into_uuid().simple();
        let partial = format!(".{name}.{random}.partial");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&folder, partial.as_str(), flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        let made = write_whole(file, content)
            .and_then(|()| rename_new(&folder, &partial, &name))
            .and_then(|()| fs::fsync(&folder));
        made.map_err(|error| {
            // It is gone after a rename, and then this does nothing.
            let _ = fs::unlinkat(&folder, partial.as_str(), AtFlags::empty());
            failed(error)
        })
    }

    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, BlobError> {
        let failed = |error| self.failure(path, error);
        let (folder, name) = self.folder(path, Missing::Fail)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::openat(&folder, name.as_str(), flags, Mode::empty()).map_err(failed)?;
        let stat = fs::fstat(&file).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(BlobError::NotAllowed(format!("{} is no file", self.shown(path))));
        }
        let mut content = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let read = File::from(file).take(most).read_to_end(&mut content);
        read.map_err(|error| BlobError::Unavailable(format!("{}: {error}", self.shown(path))))?;
        if content.len() > limit {
            return Err(BlobError::TooLarge { path: path.to_owned(), limit });
        }
        Ok(content)
    }
}

/// What becomes of a folder that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Fail,
}

fn write_whole(file: OwnedFd, content: &[u8]) -> Result<(), Errno> {
    let mut file = File::from(file);
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Gives a file its name unless there is one of that name.
fn rename_new(folder: &OwnedFd, from: &str, to: &str) -> Result<(), Errno> {
    match fs::renameat_with(folder, from, folder, to, fs::RenameFlags::NOREPLACE) {
        // Some file systems, such as NFS, cannot do that in one step. A second name, then without the first, is as good.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::linkat(folder, from, folder, to, AtFlags::empty())?;
            fs::unlinkat(folder, from, AtFlags::empty())
        }
        done => done,
    }
}

#[async_trait]
impl BlobContainer for DirectoryContainer {
    async fn create(&self, path: &str, content: Vec<u8>) -> Result<(), BlobError> {
        let path = checked_content(path, &content)?.to_owned();
        let random = self.entropy.sixteen().map_err(|_| BlobError::Unavailable("no random bytes".to_owned()))?;
        let place = self.place.clone();
        blocking(move || place.create(&path, &content, random)).await
    }

    async fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, BlobError> {
        let (place, path) = (self.place.clone(), checked_path(path)?.to_owned());
        blocking(move || place.read(&path, limit)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(BlobError::Unavailable("work on the directory was cut off".to_owned())))
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Longest address, in bytes.
const ADDRESS_MAX: usize = 4096;
