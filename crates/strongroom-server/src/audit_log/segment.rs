//! Segment files: numbered by the first sequence in them, only ever appended to.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strongroom_core::audit::Event;
use uuid::Uuid;

/// The segments of a folder, open for appending to the newest.
pub(super) struct Segments {
    folder: PathBuf,
    file: File,
    /// Bytes of the newest segment that are whole lines.
    length: u64,
    next: u64,
}

/// A line: the event and its number.
#[derive(Serialize)]
struct Line<'a> {
    sequence: u64,
    #[serde(flatten)]
    event: &'a Event,
}

/// What is read back of a line.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    sequence: u64,
    event_id: Uuid,
}

impl Segments {
    /// Opens the newest segment, or makes the first. A last line that a crash cut short is cut off.
    pub(super) fn open(folder: &Path) -> std::io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let Some(first) = newest(folder)? else {
            return Self::begin(folder, 1);
        };
        let file = options().open(path(folder, first))?;
        let (length, last) = whole_lines(&file)?;
        file.set_len(length)?;
        Ok(Self { folder: folder.to_owned(), file, length, next: last.map_or(first, |last| last.saturating_add(1)) })
    }

    /// Writes events and makes them durable. After an error nothing of them counts as written.
    pub(super) fn append(&mut self, events: &[Event]) -> std::io::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        if self.length >= SEGMENT_BYTES {
            *self = Self::begin(&self.folder, self.next)?;
        }
        let mut lines = Vec::new();
        for (sequence, event) in (self.next..).zip(events) {
            serde_json::to_writer(&mut lines, &Line { sequence, event })?;
            lines.push(b'\n');
        }
        if let Err(error) = self.write(&lines) {
            // What was written of the batch must not stay as half a line.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length = self.length.saturating_add(lines.len() as u64);
        self.next = self.next.saturating_add(events.len() as u64);
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(lines)?;
        self.file.sync_data()
    }

    fn begin(folder: &Path, first: u64) -> std::io::Result<Self> {
        let file = options().create(true).open(path(folder, first))?;
        // The name must survive a power cut as surely as the lines.
        File::open(folder)?.sync_all()?;
        Ok(Self { folder: folder.to_owned(), file, length: 0, next: first })
    }
}

/// The ids of the events in the newest segment.
pub(super) fn recorded(folder: &Path) -> std::io::Result<HashSet<Uuid>> {
    let Some(first) = newest(folder)? else { return Ok(HashSet::new()) };
    let lines = BufReader::new(File::open(path(folder, first))?).lines();
    lines.map(|line| Ok(serde_json::from_str::<Recorded>(&line?)?.event_id)).collect()
}

/// The length of the whole lines at the beginning, and the sequence of the last.
fn whole_lines(file: &File) -> std::io::Result<(u64, Option<u64>)> {
    let mut reader = BufReader::new(file);
    let (mut length, mut last) = (0, None);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if read == 0 || line.last() != Some(&b'\n') {
            return Ok((length, last));
        }
        match serde_json::from_slice::<Recorded>(&line) {
            Ok(recorded) => last = Some(recorded.sequence),
            // A whole line that is no event was not written by us: say so instead of cutting it off.
            Err(error) => return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, error)),
        }
        length += read as u64;
    }
}

fn newest(folder: &Path) -> std::io::Result<Option<u64>> {
    if !folder.exists() {
        return Ok(None);
    }
    let mut newest = None;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("audit-")?.strip_suffix(".jsonl")?.parse().ok());
        newest = newest.max(number);
    }
    Ok(newest)
}

fn path(folder: &Path, first: u64) -> PathBuf {
    // Padded, so that a listing shows segments in their order.
    folder.join(format!("audit-{first:012}.jsonl"))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// A segment of this length is followed by a new one.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Longest line; headers and paths are bounded by the edge.
const LINE_BYTES_MAX: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use strongroom_core::audit::Result as EventResult;
    use strongroom_core::request::Request;
    use strongroom_types::Timestamp;

    use super::*;

    fn event(number: u128) -> Event {
        let request = Request::internal(Uuid::from_u128(number), Timestamp::default(), "KeyGet", String::new());
        let result = EventResult { status: 200, code: "OK".to_owned(), message: String::new() };
        Event::of(&request, result, Timestamp::default(), None)
    }

    #[test]
    fn numbers_go_on_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        Segments::open(folder.path()).unwrap().append(&[event(1), event(2)]).unwrap();
        let mut again = Segments::open(folder.path()).unwrap();
        assert_eq!(again.next, 3);
        again.append(&[event(3)]).unwrap();
        assert_eq!(recorded(folder.path()).unwrap().len(), 3);
    }

    #[test]
    fn a_line_cut_short_by_a_crash_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        Segments::open(folder.path()).unwrap().append(&[event(1), event(2)]).unwrap();
        let path = path(folder.path(), 1);
        let length = fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 5).unwrap();
        let mut again = Segments::open(folder.path()).unwrap();
        assert_eq!(again.next, 2);
        again.append(&[event(2)]).unwrap();
        assert!(fs::read_to_string(&path).unwrap().ends_with("}\n"));
    }

    #[test]
    fn a_foreign_line_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        Segments::open(folder.path()).unwrap().append(&[event(1)]).unwrap();
        let path = path(folder.path(), 1);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"hello\n").unwrap();
        assert!(Segments::open(folder.path()).is_err());
    }
}
