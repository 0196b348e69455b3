//! Reading a segment back at a start: how far its lines fit together, and what stands behind them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::audit_log::checkpoint::{Checkpoint, Reason, unverified};
use crate::audit_log::format::{
    Chain, CheckpointLine, Head, LINE_BYTES_READ_MAX, LineHash, Outline, properties, split,
};

/// What a segment holds.
pub(super) struct Scanned {
    /// Where the chain ends behind its last good line. For lines without a chain: what a chain begins with.
    pub(super) chain: Chain,
    /// Its head; `None` if a release before the chain wrote it, or if it has no good line.
    pub(super) head: Option<Head>,
    /// When its head, or its first event, was written; RFC 3339.
    pub(super) began: String,
    /// How many good lines there are, and how many bytes they take.
    pub(super) lines: u64,
    pub(super) length: u64,
    /// What stands behind them.
    pub(super) rest: Rest,
    /// The events among them.
    pub(super) events: HashSet<Uuid>,
    /// The last checkpoint among them.
    pub(super) checkpoint: Option<Checkpoint>,
    /// Whether the last good line is the checkpoint of a server that closed the log.
    pub(super) is_closed: bool,
}

/// What stands behind the good lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// Part of one line: its writing was cut short.
    HalfALine {
        bytes: u64,
    },
    /// Whole lines that do not fit the chain. No checkpoint stands behind the first of them.
    Unfit {
        bytes: u64,
    },
}

/// The segments of a folder by their first sequence, in order.
pub(super) fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = |name: &str| name.strip_prefix("audit-")?.strip_suffix(".jsonl")?.parse::<u64>().ok();
        firsts.extend(name.to_str().and_then(number));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// The file of a segment.
pub(super) fn path(folder: &Path, first: u64) -> PathBuf {
    // Padded, so that a listing shows segments in their order.
    folder.join(format!("audit-{first:012}.jsonl"))
}

/// The deployment whose log it is, as the newest head says; `None` without a head.
///
/// # Errors
/// What the system says if a segment cannot be read.
pub fn deployment(folder: &Path) -> io::Result<Option<String>> {
    for first in segments(folder)?.into_iter().rev() {
        if let Piece::Line(line) = LineReader::open(&path(folder, first))?.next()?
            && let Ok(head) = properties::<Head>(line)
        {
            return Ok(Some(head.deployment));
        }
    }
    Ok(None)
}

/// One line without its newline, or what else there is.
pub(super) enum Piece<'a> {
    Line(&'a [u8]),
    /// What stands at the end without a newline.
    HalfALine(&'a [u8]),
    /// Part of a line that is longer than any of ours.
    TooLong,
    End,
}

/// Reads a file line by line, in bounded memory.
pub(super) struct LineReader {
    reader: BufReader<File>,
    line: Vec<u8>,
}

impl LineReader {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::open_at(path, 0)
    }

    /// Begins at a byte, which must be the first of a line.
    pub(super) fn open_at(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { reader: BufReader::with_capacity(READ_BYTES, file), line: Vec::new() })
    }

    pub(super) fn next(&mut self) -> io::Result<Piece<'_>> {
        self.line.clear();
        let read = (&mut self.reader).take(LINE_BYTES_READ_MAX).read_until(b'\n', &mut self.line)?;
        Ok(match self.line.split_last() {
            None => Piece::End,
            Some((b'\n', line)) => Piece::Line(line),
            Some(_) if read as u64 == LINE_BYTES_READ_MAX => Piece::TooLong,
            Some(_) => Piece::HalfALine(&self.line),
        })
    }
}

/// Reads a segment to the first line that does not fit.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidData`] if a line that a checkpoint covers does not fit: that is no crash.
pub(super) fn scan(folder: &Path, first: u64, unchained: LineHash) -> io::Result<Scanned> {
    let path = path(folder, first);
    let mut lines = LineReader::open(&path)?;
    let mut scanned = Scanned::empty(Chain { next: first, previous: unchained });
    loop {
        match lines.next()? {
            Piece::End => return Ok(scanned),
            Piece::HalfALine(half) => {
                scanned.rest = Rest::HalfALine { bytes: half.len() as u64 };
                return Ok(scanned);
            }
            Piece::Line(line) if scanned.take(line) => {}
            Piece::Line(_) | Piece::TooLong => break,
        }
    }
    if checkpoint_follows(&mut lines)? {
        let line = scanned.lines.saturating_add(1);
        let problem = format!(
            "{}, line {line}: it does not fit the lines before it, although a checkpoint covers it",
            path.display()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    scanned.rest = Rest::Unfit { bytes: fs::metadata(&path)?.len().saturating_sub(scanned.length) };
    Ok(scanned)
}

fn checkpoint_follows(lines: &mut LineReader) -> io::Result<bool> {
    loop {
        match lines.next()? {
            Piece::Line(line) => {
                if serde_json::from_slice::<Outline>(line).is_ok_and(|outline| outline.is::<CheckpointLine>()) {
                    return Ok(true);
                }
            }
            Piece::TooLong => {}
            Piece::HalfALine(_) | Piece::End => return Ok(false),
        }
    }
}

impl Scanned {
    fn empty(chain: Chain) -> Self {
        Self {
            chain,
            head: None,
            began: String::new(),
            lines: 0,
            length: 0,
            rest: Rest::Nothing,
            events: HashSet::new(),
            checkpoint: None,
            is_closed: false,
        }
    }

    /// Takes a line if it fits.
    fn take(&mut self, line: &[u8]) -> bool {
        let Ok(outline) = serde_json::from_slice::<Outline>(line) else { return false };
        let chained = split(line);
        if self.lines == 0 && chained.is_some() {
            let Some(head) = head(line, &outline) else { return false };
            self.chain.previous = head.previous_hash;
            self.head = Some(head);
        }
        let hash = match (chained, &self.head) {
            (Some((body, stated)), Some(_)) if self.chain.previous.then(body) == stated => stated,
            (None, None) => self.chain.previous.then(line),
            _ => return false,
        };
        if outline.sequence != self.chain.next {
            return false;
        }
        self.chain = Chain { next: outline.sequence.saturating_add(1), previous: hash };
        self.lines += 1;
        self.length += line.len() as u64 + 1;
        self.note(line, outline);
        true
    }

    fn note(&mut self, line: &[u8], outline: Outline) {
        self.is_closed = false;
        if outline.is::<CheckpointLine>() {
            let checkpoint = properties::<CheckpointLine>(line).ok().and_then(|it| unverified(&it.checkpoint));
            self.is_closed = checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.reason == Reason::Stop);
            self.checkpoint = checkpoint.or(self.checkpoint.take());
        }
        self.events.extend(outline.event_id);
        if self.began.is_empty() {
            self.began = outline.time;
        }
    }
}

fn head(line: &[u8], outline: &Outline) -> Option<Head> {
    if !outline.is::<Head>() {
        return None;
    }
    properties(line).ok()
}

const READ_BYTES: usize = 64 * 1024;
