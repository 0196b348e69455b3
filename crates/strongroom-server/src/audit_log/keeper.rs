//! Keeps checkpoints apart from the log: the newest in the data folder, each newest one in a file of the operator's choice
//! and at a URL. Whoever cuts off the end of the log must then reach that place as well.
//!
//! It never holds anything up: a place that cannot be reached is logged and shown by `/health`, and gets the next
//! checkpoint, which covers what the missed ones covered.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, Url};
use rustls::RootCertStore;
use tokio::sync::watch;

use crate::audit_log::checkpoint::Signed;
use crate::data_dir::write_file;
use crate::outgoing::{Reach, outgoing};
use crate::tasks::Tasks;
use crate::tls::error::TlsError;

/// The places where checkpoints are kept.
pub struct CheckpointKeeper {
    newest: watch::Receiver<Option<Arc<Signed>>>,
    places: Vec<Kept>,
}

/// One place, and how it is doing.
struct Kept {
    place: Place,
    /// The line of the last checkpoint that is there.
    last: Mutex<u64>,
    is_failing: AtomicBool,
}

enum Place {
    /// A file that holds the newest only.
    Newest(PathBuf),
    /// A file that is appended to.
    File(PathBuf),
    /// An endpoint that takes a POST for each.
    Url(Box<Endpoint>),
}

struct Endpoint {
    client: Client,
    url: Url,
}

/// Why a checkpoint is not there.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("{0}")]
    Folder(#[from] crate::data_dir::DataDirError),
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("{url} answers {status}")]
    Status { url: Url, status: u16 },
    #[error("the write did not end")]
    Interrupted,
}

impl CheckpointKeeper {
    /// Keeps the newest checkpoint in a file of the data folder.
    pub fn new(newest: watch::Receiver<Option<Arc<Signed>>>, file: PathBuf) -> Self {
        Self { newest, places: vec![Kept::at(Place::Newest(file))] }
    }

    /// Appends each to a file as well.
    #[must_use]
    pub fn in_file(mut self, file: PathBuf) -> Self {
        self.places.push(Kept::at(Place::File(file)));
        self
    }

    /// Posts each to an `https` URL as well. No redirect is followed, no proxy asked.
    ///
    /// # Errors
    /// [`TlsError::Stack`] if outgoing TLS cannot be set up.
    pub fn at_url(mut self, url: Url, roots: &RootCertStore) -> Result<Self, TlsError> {
        // What the configuration names is within reach wherever it is.
        let tls = outgoing(roots, None).map_err(|error| rustls::Error::General(format!("{error:?}")))?;
        let client = Reach::Everywhere.client(tls).https_only(true).timeout(POST_MAX).build();
        let client = client.map_err(|error| rustls::Error::General(error.to_string()))?;
        self.places.push(Kept::at(Place::Url(Box::new(Endpoint { client, url }))));
        Ok(self)
    }

    /// Keeps each new checkpoint until the process stops.
    pub fn begin(self: &Arc<Self>, tasks: &Tasks) {
        for number in 0..self.places.len() {
            let (keeper, tasks_of_place) = (Arc::clone(self), tasks.clone());
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
                        keeper.keep(number, &signed).await;
                    }
                }
            });
        }
    }

    /// Keeps the last checkpoint of all, if it is not there yet; for the end of a process.
    pub async fn finish(self: &Arc<Self>) {
        let Some(signed) = self.newest.borrow().clone() else { return };
        for number in 0..self.places.len() {
            self.keep(number, &signed).await;
        }
    }

    /// The places that did not take the last checkpoint.
    pub fn failing(&self) -> Vec<&'static str> {
        self.places.iter().filter(|kept| kept.is_failing.load(Ordering::Acquire)).map(|kept| kept.name()).collect()
    }

    async fn keep(self: &Arc<Self>, number: usize, signed: &Arc<Signed>) {
        let Some(kept) = self.places.get(number) else { return };
        if *kept.last() >= signed.checkpoint.sequence {
            return;
        }
        let done = match &kept.place {
            Place::Url(endpoint) => endpoint.post(&signed.jws).await,
            Place::Newest(_) | Place::File(_) => {
                let (keeper, signed) = (Arc::clone(self), Arc::clone(signed));
                let writing = move || keeper.places.get(number).map_or(Ok(()), |kept| kept.place.write(&signed.jws));
                tokio::task::spawn_blocking(writing).await.unwrap_or(Err(KeepError::Interrupted))
            }
        };
        kept.note(signed.checkpoint.sequence, done);
    }
}

impl std::fmt::Debug for CheckpointKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointKeeper").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

impl Kept {
    fn at(place: Place) -> Self {
        Self { place, last: Mutex::new(0), is_failing: AtomicBool::new(false) }
    }

    fn name(&self) -> &'static str {
        match self.place {
            Place::Newest(_) => "audit-checkpoint",
            Place::File(_) => "audit.checkpoint_file",
            Place::Url(_) => "audit.checkpoint_url",
        }
    }

    fn note(&self, sequence: u64, done: Result<(), KeepError>) {
        let place = self.name();
        match done {
            Ok(()) => {
                *self.last() = sequence;
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

    fn last(&self) -> std::sync::MutexGuard<'_, u64> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn write(&self, jws: &str) -> Result<(), KeepError> {
        match self {
            Self::Newest(path) => Ok(write_file(path, format!("{jws}\n").as_bytes())?),
            Self::File(path) => Ok(append(path, jws)?),
            Self::Url(_) => Ok(()),
        }
    }
}

impl Endpoint {
    async fn post(&self, jws: &str) -> Result<(), KeepError> {
        let request = self.client.post(self.url.clone()).header("content-type", "application/jose");
        let response = request.body(jws.to_owned()).send().await?;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(KeepError::Status { url: self.url.clone(), status: status.as_u16() })
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
/// For one POST, from connecting to the answer.
const POST_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
