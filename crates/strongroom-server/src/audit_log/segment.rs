//! Segment files: numbered by the first sequence in them, only ever appended to, each begun by a head that names the end
//! of the one before.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use strongroom_core::witness::Highest;
use strongroom_types::Timestamp;
use uuid::Uuid;

use crate::audit_log::checkpoint::{Checkpoint, CheckpointKey, Reason, Signed};
use crate::audit_log::format::{
    Chain, CheckpointLine, EventLine, FORMAT, Gap, GapReason, Head, LineHash, Lines, Outline, Retention,
};
use crate::audit_log::scan::{LineReader, Piece, Rest, Scanned, path, scan, segments};

/// When segments end, and how long they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentTerms {
    /// A segment of this many bytes is followed by a new one.
    pub bytes: u64,
    /// So is one of this age, at its next event.
    pub age: Duration,
    /// Segments that ended so many days ago are removed; `None` keeps them for ever.
    pub retention_days: Option<u32>,
}

impl Default for SegmentTerms {
    fn default() -> Self {
        Self { bytes: 64 * 1024 * 1024, age: Duration::from_secs(24 * 3600), retention_days: None }
    }
}

/// What was found in a folder, before anything in it is changed.
pub(super) struct Found {
    folder: PathBuf,
    terms: SegmentTerms,
    state: State,
    /// The events of the newest segments: what a copy in the outbox is recognised by.
    pub(super) events: HashSet<Uuid>,
    /// The last checkpoint of the newest segments.
    pub(super) checkpoint: Option<Checkpoint>,
}

enum State {
    /// No line at all.
    New,
    /// Lines of a release before the chain.
    Unchained(Chain, Rest, u64),
    Chained {
        first: u64,
        newest: Box<Scanned>,
    },
}

/// The segments of a folder, open for appending to the newest.
pub(crate) struct Segments {
    folder: PathBuf,
    terms: SegmentTerms,
    log: Uuid,
    file: File,
    /// Bytes of the newest segment that are whole lines.
    length: u64,
    /// When the newest segment began.
    began: Timestamp,
    chain: Chain,
    /// The checkpoint at the end of the segment, while the next one cannot be begun and nothing was written behind it.
    ended: Option<Signed>,
}

/// What is written together.
pub(super) struct Batch<'a> {
    pub(super) gap: Option<Gap>,
    pub(super) events: &'a [EventLine],
    pub(super) checkpoint: Option<Reason>,
}

/// What every checkpoint and head needs.
pub(super) struct Signing<'a> {
    pub(super) key: &'a CheckpointKey,
    pub(super) now: Timestamp,
    pub(super) highest: &'a dyn Fn() -> Highest,
}

impl Found {
    /// Looks at a folder, which is made if there is none.
    pub(super) fn open(folder: &Path, terms: SegmentTerms) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut firsts = segments(folder)?;
        let mut found =
            Self { folder: folder.to_owned(), terms, state: State::New, events: HashSet::new(), checkpoint: None };
        while let Some(first) = firsts.pop() {
            let newest = scan(folder, first, LineHash::NONE)?;
            match (newest.lines, newest.rest) {
                // A crash came before its head was written, and the chain ends in the segment before.
                (0, Rest::Nothing | Rest::HalfALine { .. }) => {
                    fs::remove_file(path(folder, first))?;
                    continue;
                }
                // A head is durable before anything follows it.
                (0, Rest::Unfit { .. }) => return Err(no_event(folder, first)),
                _ => {}
            }
            firsts.push(first);
            if newest.head.is_some() {
                found.take_chained(&firsts, first, newest);
            } else {
                found.take_unchained(&firsts)?;
            }
            break;
        }
        Ok(found)
    }

    fn take_chained(&mut self, firsts: &[u64], first: u64, mut newest: Scanned) {
        self.checkpoint = newest.checkpoint.take();
        self.events = std::mem::take(&mut newest.events);
        let before = firsts.iter().rev().nth(1);
        if let Some(before) = before.filter(|_| newest.lines < LINES_ENOUGH) {
            // Outbox records of its last lines may still be there.
            match scan(&self.folder, *before, LineHash::NONE) {
                Ok(before) => {
                    self.events.extend(before.events);
                    self.checkpoint = self.checkpoint.take().or(before.checkpoint);
                }
                Err(error) => {
                    tracing::warn!(%error, "run `strongroom audit verify`: an earlier segment cannot be read")
                }
            }
        }
        self.state = State::Chained { first, newest: Box::new(newest) };
    }

    fn take_unchained(&mut self, firsts: &[u64]) -> io::Result<()> {
        let mut hash = LineHash::NONE;
        for first in firsts {
            let segment = scan(&self.folder, *first, hash)?;
            match segment.rest {
                Rest::Nothing => {}
                Rest::HalfALine { .. } if Some(first) == firsts.last() => {}
                Rest::HalfALine { .. } | Rest::Unfit { .. } => return Err(no_event(&self.folder, *first)),
            }
            hash = segment.chain.previous;
            self.events = segment.events;
            self.state = State::Unchained(segment.chain, segment.rest, *first);
        }
        Ok(())
    }

    /// Repairs what a crash left, and begins or goes on with the newest segment: a head if it is new, a gap if the
    /// server before did not close the log, and a checkpoint.
    pub(super) fn start(self, signing: &Signing<'_>, new_log: Uuid) -> io::Result<(Segments, Signed)> {
        let Self { folder, terms, state, events: _, checkpoint: _ } = self;
        let mut gap = None;
        let mut segments = match state {
            State::New => {
                let chain = Chain { next: 1, previous: LineHash::NONE };
                Segments::begin(&folder, terms, new_log, chain, None, signing)?
            }
            State::Unchained(chain, rest, first) => {
                let path = path(&folder, first);
                if let Rest::HalfALine { bytes } = rest {
                    gap = Some(crash(Some(bytes), None));
                    let file = options().open(&path)?;
                    file.set_len(fs::metadata(&path)?.len().saturating_sub(bytes))?;
                    file.sync_data()?;
                }
                let through = chain.next.saturating_sub(1);
                Segments::begin(&folder, terms, new_log, chain, Some(through), signing)?
            }
            State::Chained { first, newest } => {
                let (cut, kept) = repair(&folder, first, &newest)?;
                if !newest.is_closed || cut.is_some() {
                    gap = Some(crash(cut, kept));
                }
                Segments::go_on(folder, terms, first, *newest, signing)?
            }
        };
        let batch = Batch { gap, events: &[], checkpoint: Some(Reason::Start) };
        let checkpoint = segments.write_batch(&batch, signing)?;
        segments.retain(signing)?;
        checkpoint.map(|checkpoint| (segments, checkpoint)).ok_or_else(|| io::Error::other("no checkpoint was made"))
    }
}

fn no_event(folder: &Path, first: u64) -> io::Error {
    let problem = format!("{} holds a line that is none of this log", path(folder, first).display());
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

fn crash(cut_bytes: Option<u64>, cut_file: Option<String>) -> Gap {
    Gap { reason: GapReason::Crash, cut_bytes, cut_file, dropped_events: None }
}

/// Cuts off what does not belong to the chain. Whole lines that do not fit are what a power cut leaves of a write that was
/// not durable yet; they are kept in a file of their own all the same.
fn repair(folder: &Path, first: u64, newest: &Scanned) -> io::Result<(Option<u64>, Option<String>)> {
    let (bytes, keep) = match newest.rest {
        Rest::Nothing => return Ok((None, None)),
        Rest::HalfALine { bytes } => (bytes, false),
        Rest::Unfit { bytes } => (bytes, true),
    };
    let mut file = options().open(path(folder, first))?;
    let mut kept = None;
    if keep {
        let name = format!("cut-{first:012}-at-{}.bin", newest.length);
        file.seek(SeekFrom::Start(newest.length))?;
        let mut copy = options().create(true).truncate(true).open(folder.join(&name))?;
        io::copy(&mut Read::by_ref(&mut file).take(bytes), &mut copy)?;
        copy.sync_all()?;
        kept = Some(name);
    }
    file.set_len(newest.length)?;
    file.sync_data()?;
    Ok((Some(bytes), kept))
}

impl Segments {
    /// Writes events, with what belongs to them, and makes them durable. After an error nothing of them counts as
    /// written. Answers with the newest checkpoint among them.
    pub(super) fn append(&mut self, batch: &Batch<'_>, signing: &Signing<'_>) -> io::Result<Option<Signed>> {
        let mut ended = None;
        if !batch.events.is_empty() && self.is_due(signing.now) {
            ended = self.end(signing)?;
        }
        Ok(self.write_batch(batch, signing)?.or(ended))
    }

    /// The number of the last line.
    pub(crate) fn last(&self) -> u64 {
        self.chain.next.saturating_sub(1)
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let age = i64::try_from(self.terms.age.as_secs()).unwrap_or(i64::MAX);
        self.length >= self.terms.bytes || now >= self.began.plus_seconds(age)
    }

    /// Ends the segment with a checkpoint and begins the next. Tried again, it goes on with the checkpoint it has.
    fn end(&mut self, signing: &Signing<'_>) -> io::Result<Option<Signed>> {
        if self.ended.is_none() {
            let batch = Batch { gap: None, events: &[], checkpoint: Some(Reason::Segment) };
            self.ended = self.write_batch(&batch, signing)?;
        }
        let next = Self::begin(&self.folder, self.terms, self.log, self.chain, None, signing)?;
        let checkpoint = std::mem::replace(self, next).ended;
        if let Err(error) = self.retain(signing) {
            tracing::warn!(%error, "old segments of the audit log cannot be removed; it will be tried again");
        }
        Ok(checkpoint)
    }

    fn write_batch(&mut self, batch: &Batch<'_>, signing: &Signing<'_>) -> io::Result<Option<Signed>> {
        let Batch { gap, events, checkpoint } = batch;
        let mut lines = Lines::after(self.chain);
        if let Some(gap) = gap {
            lines.record(signing.now, gap.clone())?;
        }
        for event in *events {
            lines.event(event)?;
        }
        let checkpoint = match checkpoint {
            Some(reason) => Some(self.checkpoint(&mut lines, *reason, signing)?),
            None => None,
        };
        self.write(lines)?;
        Ok(checkpoint)
    }

    fn checkpoint(&self, lines: &mut Lines, reason: Reason, signing: &Signing<'_>) -> io::Result<Signed> {
        let checkpoint = signing.key.checkpoint(self.log, lines.chain, reason, signing.now, &(signing.highest)());
        let signed = signing.key.sign(checkpoint).map_err(io::Error::other)?;
        lines.record(signing.now, CheckpointLine { checkpoint: signed.jws.clone() })?;
        Ok(signed)
    }

    fn write(&mut self, lines: Lines) -> io::Result<()> {
        if lines.bytes.is_empty() {
            return Ok(());
        }
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(&lines.bytes))
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What was written of the batch must not stay as half a line.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length = self.length.saturating_add(lines.bytes.len() as u64);
        self.chain = lines.chain;
        self.ended = None;
        Ok(())
    }

    /// Begins a segment with its head, which is durable when this returns.
    fn begin(
        folder: &Path,
        terms: SegmentTerms,
        log: Uuid,
        chain: Chain,
        unchained_through: Option<u64>,
        signing: &Signing<'_>,
    ) -> io::Result<Self> {
        let head = Head {
            format: FORMAT,
            log,
            deployment: signing.key.deployment().to_owned(),
            previous_hash: chain.previous,
            unchained_through,
            key: signing.key.public().clone(),
        };
        let mut lines = Lines::after(chain);
        lines.record(signing.now, head)?;
        let path = path(folder, chain.next);
        // Whatever an attempt before left there was never acknowledged: its number is still free.
        let file = options().create(true).truncate(true).open(&path)?;
        let (folder_of_it, began) = (folder.to_owned(), signing.now);
        let mut begun = Self { folder: folder_of_it, terms, log, file, length: 0, began, chain, ended: None };
        // The name must survive a power cut as surely as the lines.
        if let Err(error) = begun.write(lines).and_then(|()| File::open(folder)?.sync_all()) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(begun)
    }

    fn go_on(
        folder: PathBuf,
        terms: SegmentTerms,
        first: u64,
        newest: Scanned,
        signing: &Signing<'_>,
    ) -> io::Result<Self> {
        let Scanned { chain, head, began, length, .. } = newest;
        let log = head.ok_or_else(|| no_event(&folder, first))?.log;
        let began = timestamp(&began).unwrap_or(signing.now);
        let file = options().open(path(&folder, first))?;
        Ok(Self { folder, terms, log, file, length, began, chain, ended: None })
    }

    /// Removes segments that ended long enough ago. That they are removed is written down before.
    fn retain(&mut self, signing: &Signing<'_>) -> io::Result<()> {
        let Some(days) = self.terms.retention_days else { return Ok(()) };
        let firsts = segments(&self.folder)?;
        let mut old = Vec::new();
        for (first, next) in firsts.iter().zip(firsts.iter().skip(1)) {
            let ended = began(&self.folder, *next)?;
            if ended.is_none_or(|ended| signing.now < ended.plus_days(days)) {
                break;
            }
            old.push((*first, next.saturating_sub(1)));
        }
        let Some((_, removed_through)) = old.last().copied() else { return Ok(()) };
        let mut lines = Lines::after(self.chain);
        lines.record(signing.now, Retention { removed_through, segments: old.len() })?;
        self.write(lines)?;
        for (first, _) in old {
            fs::remove_file(path(&self.folder, first))?;
        }
        File::open(&self.folder)?.sync_all()
    }
}

/// When a segment began, as its first line says.
fn began(folder: &Path, first: u64) -> io::Result<Option<Timestamp>> {
    let mut lines = LineReader::open(&path(folder, first))?;
    let Piece::Line(line) = lines.next()? else { return Ok(None) };
    Ok(serde_json::from_slice::<Outline>(line).ok().and_then(|outline| timestamp(&outline.time)))
}

/// A time as RFC 3339 text, to the millisecond; `None` if it is none.
pub fn timestamp(text: &str) -> Option<Timestamp> {
    Some(Timestamp::from_millis(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// The outbox never lags behind by as many lines.
const LINES_ENOUGH: u64 = 10_000;

#[cfg(test)]
pub(crate) mod tests;
