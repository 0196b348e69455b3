//! Requests without a verified caller: counted per address, in a ring of fixed size apart from the log, so that a
//! stranger cannot fill the disk (protocols.md §7).

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use strongroom_core::audit::rfc3339;
use strongroom_types::Timestamp;

/// The ring: `unauthenticated-0.jsonl` and `unauthenticated-1.jsonl`, the fuller one older.
pub struct Strangers(Mutex<Ring>);

struct Ring {
    folder: PathBuf,
    file: File,
    length: u64,
    turn: usize,
    addresses: HashMap<IpAddr, Seen>,
}

struct Seen {
    since_line: u64,
    last_line: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    time: String,
    caller_ip_address: String,
    /// Requests since the line before of this address, this one included.
    count: u64,
    request_uri: &'a str,
    result_signature: &'a str,
}

impl Strangers {
    /// Opens the ring in the log's folder.
    ///
    /// # Errors
    /// What the system says if it cannot be written.
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        let lengths = [0, 1].map(|turn| fs::metadata(path(folder, turn)).map_or(0, |data| data.len()));
        let turn = usize::from(lengths[0] >= RING_FILE_BYTES);
        let file = options().open(path(folder, turn))?;
        let length = file.metadata()?.len();
        Ok(Self(Mutex::new(Ring { folder: folder.to_owned(), file, length, turn, addresses: HashMap::new() })))
    }

    /// Counts a request; writes a line at most once a minute for each address. Trouble with the disk is not the
    /// client's: it is logged and forgotten.
    pub fn saw(&self, address: IpAddr, uri: &str, reason: &str, now: Timestamp) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = ring.due(address, now) {
            let uri = uri.get(..URI_BYTES_MAX).unwrap_or(uri);
            let line = Line {
                time: rfc3339(now),
                caller_ip_address: address.to_string(),
                count,
                request_uri: uri,
                result_signature: reason,
            };
            if let Err(error) = ring.write(&line) {
                tracing::warn!(%error, "unauthenticated requests cannot be recorded");
            }
        }
    }
}

impl Ring {
    /// How many requests a line would stand for, if one is due.
    fn due(&mut self, address: IpAddr, now: Timestamp) -> Option<u64> {
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&address) {
            self.addresses.clear();
        }
        let seen = self
            .addresses
            .entry(address)
            .or_insert(Seen { since_line: 0, last_line: Timestamp::from_millis(i64::MIN) });
        seen.since_line += 1;
        if now < seen.last_line.plus_seconds(LINE_SECONDS) {
            return None;
        }
        seen.last_line = now;
        Some(std::mem::take(&mut seen.since_line))
    }

    fn write(&mut self, line: &Line<'_>) -> std::io::Result<()> {
        if self.length >= RING_FILE_BYTES {
            self.turn = 1 - self.turn;
            self.file = options().open(path(&self.folder, self.turn))?;
            self.file.set_len(0)?;
            self.length = 0;
        }
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.length += bytes.len() as u64;
        self.file.write_all(&bytes)
    }
}

fn path(folder: &Path, turn: usize) -> PathBuf {
    folder.join(format!("unauthenticated-{turn}.jsonl"))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    options
}

/// Each of the two files holds this much.
const RING_FILE_BYTES: u64 = 1024 * 1024;
/// A line for an address at most so often.
const LINE_SECONDS: i64 = 60;
/// Addresses counted at a time.
const ADDRESSES_MAX: usize = 4096;
/// Bytes of the path that are kept.
const URI_BYTES_MAX: usize = 512;
