//! Keeps checkpoints apart from the log: the newest in the data folder, each newest one in a file of the operator's choice
//! and at a URL. Whoever cuts off the end of the log must then reach that place as well.
//!
//! It never holds anything up: a place that cannot be reached is logged and shown by `/health`, and gets the next
//! checkpoint, which covers what the missed ones covered.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reqwest::Url;
use rustls::RootCertStore;
use tokio::sync::watch;

use crate::audit_log::NEWEST_CHECKPOINT;
use crate::audit_log::checkpoint::Signed;
use crate::data_dir::write_file;
use crate::outgoing::{Plain, PostError, Poster};
use crate::tasks::Tasks;
use crate::tls::error::TlsError;

/// The places where checkpoints are kept.
pub struct CheckpointKeeper {
    newest: watch::Receiver<Option<Arc<Signed>>>,
    places: Vec<Arc<Kept>>,
}

/// One place, and how it is doing.
struct Kept {
    place: Place,
    /// The line of the last checkpoint that is there.
    last: AtomicU64,
    is_failing: AtomicBool,
}

enum Place {
    File(KeptFile),
    /// An endpoint that takes a POST for each.
    Url(Poster, Url),
}

#[derive(Clone)]
enum KeptFile {
    /// Holds the newest only.
    Newest(PathBuf),
    /// Is appended to.
    Each(PathBuf),
}

/// Why a checkpoint is not there.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("{0}")]
    Folder(#[from] crate::data_dir::DataDirError),
    #[error("{0}")]
    Endpoint(#[from] PostError),
    #[error("the write did not end")]
    Interrupted,
}

impl CheckpointKeeper {
    /// Keeps the newest checkpoint in a file of the data folder.
    pub fn new(newest: watch::Receiver<Option<Arc<Signed>>>, file: PathBuf) -> Self {
        Self { newest, places: vec![Kept::at(Place::File(KeptFile::Newest(file)))] }
    }

    /// Appends each to a file as well.
    #[must_use]
    pub fn in_file(mut self, file: PathBuf) -> Self {
        self.places.push(Kept::at(Place::File(KeptFile::Each(file))));
        self
    }

    /// Posts each to an `https` URL as well. No redirect is followed, no proxy asked.
    ///
    /// # Errors
    /// [`TlsError::Stack`] if outgoing TLS cannot be set up.
    pub fn at_url(mut self, url: Url, roots: &RootCertStore) -> Result<Self, TlsError> {
        self.places.push(Kept::at(Place::Url(Poster::new(roots, Plain::Refused)?, url)));
        Ok(self)
    }

    /// Keeps each new checkpoint until the process stops.
    pub fn begin(&self, tasks: &Tasks) {
        for kept in &self.places {
            let (kept, tasks_of_place) = (Arc::clone(kept), tasks.clone());
            let mut newest = self.newest.clone();
            newest.mark_changed();
            tasks.spawn(async move {
                loop {
                    tokio::select! {
                        () = tasks_of_place.stopping() => return,
                        changed = newest.changed() => if changed.is_err() { return },
                    }
                    let signed = newest.borrow_and_update().clone();
                    if let Some(signed) = signed {
                        kept.keep(&signed).await;
                    }
                }
            });
        }
    }

    /// Keeps the last checkpoint of all, if it is not there yet; for the end of a process.
    pub async fn finish(&self) {
        let Some(signed) = self.newest.borrow().clone() else { return };
        for kept in &self.places {
            kept.keep(&signed).await;
        }
    }

    /// The places that did not take the last checkpoint.
    pub fn failing(&self) -> Vec<&'static str> {
        self.places.iter().filter(|kept| kept.is_failing.load(Ordering::Acquire)).map(|kept| kept.name()).collect()
    }
}

impl std::fmt::Debug for CheckpointKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointKeeper").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

impl Kept {
    fn at(place: Place) -> Arc<Self> {
        Arc::new(Self { place, last: AtomicU64::new(0), is_failing: AtomicBool::new(false) })
    }

    fn name(&self) -> &'static str {
        match self.place {
            Place::File(KeptFile::Newest(_)) => NEWEST_CHECKPOINT,
            Place::File(KeptFile::Each(_)) => "audit.checkpoint_file",
            Place::Url(..) => "audit.checkpoint_url",
        }
    }

    /// Brings a checkpoint there, unless it is there already.
    async fn keep(&self, signed: &Signed) {
        let sequence = signed.checkpoint.sequence;
        if self.last.load(Ordering::Acquire) >= sequence {
            return;
        }
        let done = match &self.place {
            Place::Url(poster, url) => {
                let posted = poster.post(url.clone(), "application/jose", signed.jws.clone()).await;
                posted.map_err(KeepError::from)
            }
            Place::File(file) => {
                let (file, jws) = (file.clone(), signed.jws.clone());
                let writing = tokio::task::spawn_blocking(move || file.write(&jws));
                writing.await.unwrap_or(Err(KeepError::Interrupted))
            }
        };
        self.note(sequence, done);
    }

    fn note(&self, sequence: u64, done: Result<(), KeepError>) {
        let place = self.name();
        match done {
            Ok(()) => {
                self.last.store(sequence, Ordering::Release);
                if self.is_failing.swap(false, Ordering::AcqRel) {
                    tracing::info!(place, "audit checkpoints are kept again");
                }
            }
            Err(error) => {
                if !self.is_failing.swap(true, Ordering::AcqRel) {
                    tracing::error!(place, %error, "an audit checkpoint cannot be kept; the next one is tried");
                }
            }
        }
    }
}

impl KeptFile {
    fn write(&self, jws: &str) -> Result<(), KeepError> {
        match self {
            Self::Newest(path) => Ok(write_file(path, format!("{jws}\n").as_bytes())?),
            Self::Each(path) => Ok(append(path, jws)?),
        }
    }
}

/// What a file with checkpoints is renamed to when it is long. One earlier file is kept.
pub fn earlier(path: &Path) -> PathBuf {
    path.with_added_extension("1")
}

fn append(path: &Path, jws: &str) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|file| file.len() >= FILE_BYTES_MAX)
        && let Err(error) = fs::rename(path, earlier(path))
    {
        // A file that can only be appended to cannot be renamed either: a long file is better than none.
        tracing::warn!(%error, file = %path.display(), "the file with checkpoints cannot be renamed; it grows on");
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    // A crash or a full disk may have left half a line, which must not spoil this one.
    let glue = if ends_with_newline(&mut file)? { "" } else { "\n" };
    file.write_all(format!("{glue}{jws}\n").as_bytes())?;
    file.sync_data()
}

fn ends_with_newline(file: &mut fs::File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// A file of this length is renamed to `FILE.1`, in place of the one before, and a new one begins.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests;
