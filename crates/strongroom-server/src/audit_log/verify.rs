//! Reading the log back, and saying where it is not as it was written.
//!
//! Every line must follow the one before by number and hash, every checkpoint must be signed and name the line before it,
//! and checkpoints that were kept elsewhere must name lines that are there. One pass, in bounded memory; the server may be
//! running.

mod report;
mod walk;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::audit_log::checkpoint::{CheckpointVerifier, PublicJwk, unverified};
use crate::audit_log::format::LineHash;
use crate::audit_log::scan::segments;

pub use report::{Finding, GapSeen, Report};
use walk::Walk;

/// What a log is held against.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// The key of checkpoints, from a copy that the log's owner cannot change. Without it, the key in the log's first
    /// head is taken, which proves only that the log is of one piece.
    pub key: Option<PublicJwk>,
    /// Files with checkpoints that were kept elsewhere: one compact JWS a line.
    pub checkpoints: Vec<PathBuf>,
}

/// The log cannot be verified at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no log in the folder.
    #[error("{} holds no audit log", folder.display())]
    NoLog {
        /// The folder.
        folder: PathBuf,
    },
    /// The key is none on P-256.
    #[error("the public key is no JWK with \"kty\": \"EC\" and \"crv\": \"P-256\"")]
    Key,
}

/// Checkpoints that were kept elsewhere.
#[derive(Default)]
struct Outside {
    /// By the line and the log they name; each JWS once, with the place where it was read. A line may have several, and
    /// each must fit: one that was made later does not stand for one that was there before.
    by_line: BTreeMap<(u64, Uuid), BTreeMap<String, String>>,
    /// Lines that are none: a crash may leave half of one.
    notes: Vec<String>,
}

struct Kept {
    jws: String,
    place: String,
}

/// Verifies the log in a folder.
///
/// # Errors
/// [`VerifyError`] if there is nothing to verify. That the log is broken is no error: [`Report::findings`] says so.
pub fn verify(folder: &Path, against: &Against) -> Result<Report, VerifyError> {
    let trusted = match &against.key {
        Some(key) => Some(CheckpointVerifier::new(key).ok_or(VerifyError::Key)?),
        None => None,
    };
    // Before the log: it must be as new as they are.
    let outside = Outside::read(&against.checkpoints)?;
    let at_folder = |source| VerifyError::Io { path: folder.to_owned(), source };
    let firsts = segments(folder).map_err(at_folder)?;
    if firsts.is_empty() && outside.by_line.is_empty() {
        return Err(VerifyError::NoLog { folder: folder.to_owned() });
    }
    let mut walk = Walk::new(folder, trusted, outside);
    for (at, first) in firsts.iter().enumerate() {
        let is_newest = at + 1 == firsts.len();
        walk.segment(*first, is_newest).map_err(at_folder)?;
    }
    Ok(walk.end())
}

impl Outside {
    fn read(files: &[PathBuf]) -> Result<Self, VerifyError> {
        let mut outside = Self::default();
        for path in files {
            outside.read_one(path).map_err(|source| VerifyError::Io { path: path.clone(), source })?;
        }
        Ok(outside)
    }

    fn read_one(&mut self, path: &Path) -> io::Result<()> {
        let mut reader = BufReader::new(File::open(path)?);
        let mut line = String::new();
        for number in 1_u64.. {
            line.clear();
            if (&mut reader).take(OUTSIDE_LINE_BYTES_MAX).read_line(&mut line)? == 0 {
                break;
            }
            let jws = line.trim();
            if jws.is_empty() {
                continue;
            }
            let place = format!("{}, line {number}", path.display());
            match unverified(jws) {
                Some(checkpoint) => {
                    let line = (checkpoint.sequence, checkpoint.log);
                    self.by_line.entry(line).or_default().entry(jws.to_owned()).or_insert(place);
                }
                None if self.notes.len() < NOTES_MAX => self.notes.push(format!("{place}: it is no checkpoint")),
                None => {}
            }
        }
        Ok(())
    }

    /// The checkpoints that name a line of a log.
    fn take(&mut self, sequence: u64, log: Uuid) -> impl Iterator<Item = Kept> + use<> {
        kept(self.by_line.remove(&(sequence, log)).unwrap_or_default())
    }

    /// Those that nobody took, with the lines they name.
    fn left(&mut self) -> impl Iterator<Item = (u64, Uuid, Kept)> + use<> {
        let lines = std::mem::take(&mut self.by_line).into_iter();
        lines.flat_map(|((sequence, log), all)| kept(all).map(move |kept| (sequence, log, kept)))
    }
}

fn kept(all: BTreeMap<String, String>) -> impl Iterator<Item = Kept> {
    all.into_iter().map(|(jws, place)| Kept { jws, place })
}

impl Kept {
    /// What is wrong with it, held against the line it names.
    fn problem(&self, verifier: &CheckpointVerifier, hash: LineHash) -> Option<&'static str> {
        match verifier.verify(&self.jws) {
            None => Some(NOT_OURS),
            Some(checkpoint) if checkpoint.hash != hash => {
                Some("it is not the line that a checkpoint kept elsewhere names")
            }
            Some(_) => None,
        }
    }

    /// What is wrong with one whose line is not there.
    fn problem_without_line(
        &self,
        verifier: Option<&CheckpointVerifier>,
        log: Option<Uuid>,
        last: u64,
    ) -> &'static str {
        match verifier.map(|verifier| verifier.verify(&self.jws)) {
            Some(None) => NOT_OURS,
            Some(Some(checkpoint)) if Some(checkpoint.log) != log => {
                "a checkpoint kept elsewhere names another log: this one was put in its place"
            }
            Some(Some(checkpoint)) if checkpoint.sequence <= last => "a checkpoint names this line, which is not there",
            Some(Some(_)) | None => "a checkpoint names this line, but the log ends before it: its end was cut off",
        }
    }
}

const NOT_OURS: &str = "a checkpoint kept elsewhere is not signed by the log's key";
/// Lines of files with checkpoints that are named because they are none.
const NOTES_MAX: usize = 20;
const OUTSIDE_LINE_BYTES_MAX: u64 = 256 * 1024;

#[cfg(test)]
mod tests;
