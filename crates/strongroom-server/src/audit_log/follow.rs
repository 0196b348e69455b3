//! Reading the log from a line on, in batches, while it is written.

use std::io;
use std::path::{Path, PathBuf};

use crate::audit_log::format::{LINE_BYTES_READ_MAX, Outline};
use crate::audit_log::scan::{LineReader, Piece, path, segments};

/// Where a reader of the log is.
#[derive(Debug)]
pub struct Follow {
    folder: PathBuf,
    /// The last line that was taken.
    taken: u64,
    /// The segment it is in, and the byte behind it; unknown before the first read.
    place: Option<Place>,
    /// Where the batch that was read last ends.
    read: Option<(u64, Place)>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    first: u64,
    offset: u64,
}

/// Lines behind the last that was taken.
#[derive(Debug, Default)]
pub struct Followed {
    /// Without their newlines.
    pub lines: Vec<String>,
    /// The number of the last of them; `None` if there are none.
    pub last: Option<u64>,
    /// Whether there may be more at once. Without it the reader is at the end of the log, even if there are lines.
    pub has_more: bool,
    /// Lines that were removed before they were read, or are not there. Said once.
    pub missing: Option<u64>,
}

/// Why a log was not read to its end.
#[derive(Debug)]
pub enum EachError<E> {
    /// It cannot be read.
    Read(io::Error),
    /// Who takes its lines failed.
    Take(E),
}

/// Calls a function with all lines behind a number, in order and at most `limit` at once, up to the end of the log.
///
/// # Errors
/// [`EachError`].
pub fn each_batch<E>(
    folder: &Path,
    behind: u64,
    limit: usize,
    mut take: impl FnMut(&[String]) -> Result<(), E>,
) -> Result<(), EachError<E>> {
    let mut follow = Follow::behind(folder.to_owned(), behind);
    loop {
        let followed = follow.next(limit).map_err(EachError::Read)?;
        if followed.last.is_some() {
            take(&followed.lines).map_err(EachError::Take)?;
            follow.taken();
        }
        if !followed.has_more {
            return Ok(());
        }
    }
}

impl Follow {
    /// A reader that has taken everything up to a line; 0 begins at the beginning.
    pub fn behind(folder: PathBuf, taken: u64) -> Self {
        Self { folder, taken, place: None, read: None }
    }

    /// Reads the next lines, at most `limit`. Until [`Follow::taken`] the next read brings them again.
    ///
    /// # Errors
    /// What the system says.
    pub fn next(&mut self, limit: usize) -> io::Result<Followed> {
        let firsts = segments(&self.folder)?;
        let wanted = self.taken.saturating_add(1);
        let mut followed = Followed::default();
        let holds = |first: &&u64| **first <= wanted;
        let first = match firsts.iter().rev().find(holds).or(firsts.first()) {
            Some(first) => *first,
            None => return Ok(followed),
        };
        if first > wanted {
            followed.missing = Some(first - wanted);
            self.taken = first - 1;
        }
        let mut place = self.place.filter(|place| place.first == first).unwrap_or(Place { first, offset: 0 });
        let mut lines = LineReader::open_at(&path(&self.folder, first), place.offset)?;
        while followed.lines.len() < limit {
            let line = match lines.next()? {
                Piece::Line(line) => line,
                // What follows of it is none of ours either.
                Piece::TooLong => {
                    place.offset += LINE_BYTES_READ_MAX;
                    continue;
                }
                Piece::HalfALine(_) | Piece::End => break,
            };
            place.offset += line.len() as u64 + 1;
            let sequence = serde_json::from_slice::<Outline>(line).map(|outline| outline.sequence);
            // A line that is none of ours is not passed on; the verifier names it.
            let Ok(sequence) = sequence else { continue };
            if sequence > self.taken {
                followed.lines.push(String::from_utf8_lossy(line).into_owned());
                followed.last = Some(sequence);
            }
        }
        let next = firsts.iter().find(|next| **next > first);
        if let (None, Some(next)) = (followed.last, next) {
            // The segment ends before it should; the verifier says why. What comes behind is not held back by it.
            followed.missing = Some(next.saturating_sub(wanted));
            self.taken = next.saturating_sub(1);
        }
        followed.has_more = followed.lines.len() == limit || firsts.last() != Some(&first);
        self.read = followed.last.map(|last| (last, place));
        Ok(followed)
    }

    /// What was read last was taken; the next read goes on behind it.
    pub fn taken(&mut self) {
        if let Some((last, place)) = self.read.take() {
            (self.taken, self.place) = (last, Some(place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit_log::segment::tests::{Log, event};

    #[test]
    fn lines_come_once_and_in_order_across_segments() {
        let log = Log::new(1500);
        let mut writer = log.start();
        let mut follow = Follow::behind(log.folder.path().to_owned(), 0);
        let mut seen = Vec::new();
        for number in 0..8 {
            log.append(&mut writer, &[event(number)]);
            loop {
                let followed = follow.next(3).unwrap();
                if followed.last.is_none() {
                    break;
                }
                if number % 3 == 0 {
                    assert_eq!(follow.next(3).unwrap().lines, followed.lines);
                }
                seen.extend(followed.lines);
                follow.taken();
            }
        }
        let numbers: Vec<u64> =
            seen.iter().map(|line| serde_json::from_str::<Outline>(line).unwrap().sequence).collect();
        assert_eq!(numbers, (1..=writer.last()).collect::<Vec<_>>());
    }

    fn all(log: &Log) -> Vec<u64> {
        let mut seen = Vec::new();
        let done = each_batch::<()>(log.folder.path(), 0, 3, |lines| {
            let sequence = |line: &String| serde_json::from_str::<Outline>(line).unwrap().sequence;
            seen.extend(lines.iter().map(sequence));
            Ok(())
        });
        done.unwrap();
        seen
    }

    #[test]
    fn what_stands_behind_a_segment_that_ended_early_is_read() {
        let log = Log::new(1);
        let mut writer = log.start();
        for number in 0..4 {
            log.append(&mut writer, &[event(number)]);
        }
        let firsts = segments(log.folder.path()).unwrap();
        std::fs::write(path(log.folder.path(), firsts[1]), b"").unwrap();
        let expected: Vec<u64> = (1..firsts[1]).chain(firsts[2]..=writer.last()).collect();
        assert_eq!(all(&log), expected);
        let mut follow = Follow::behind(log.folder.path().to_owned(), firsts[1] - 1);
        let followed = follow.next(3).unwrap();
        assert!(followed.has_more && followed.lines.is_empty(), "{followed:?}");
        assert_eq!(followed.missing, Some(firsts[2] - firsts[1]));
    }

    #[test]
    fn a_log_whose_only_segment_has_no_whole_line_has_an_end() {
        let log = Log::new(1);
        std::fs::write(path(log.folder.path(), 9), b"{\"sequence\":9").unwrap();
        assert_eq!(all(&log), Vec::<u64>::new());
        let mut follow = Follow::behind(log.folder.path().to_owned(), 0);
        assert_eq!(follow.next(3).unwrap().missing, Some(8));
        let followed = follow.next(3).unwrap();
        assert!(!followed.has_more && followed.missing.is_none(), "said once: {followed:?}");
    }

    #[test]
    fn a_line_that_is_longer_than_any_of_ours_is_passed_over() {
        let log = Log::new(1 << 20);
        let mut writer = log.start();
        log.append(&mut writer, &[event(1)]);
        let file = path(log.folder.path(), 1);
        let lines = std::fs::read_to_string(&file).unwrap();
        let (first, rest) = lines.split_once('\n').unwrap();
        let long = "x".repeat(usize::try_from(LINE_BYTES_READ_MAX * 2).unwrap() + 5);
        std::fs::write(&file, format!("{first}\n{long}\n{rest}")).unwrap();
        assert_eq!(all(&log), [1, 2, 3]);
    }

    #[test]
    fn what_was_removed_before_it_was_read_is_counted() {
        let log = Log::new(1);
        let mut writer = log.start();
        for number in 0..3 {
            log.append(&mut writer, &[event(number)]);
        }
        let first = segments(log.folder.path()).unwrap()[0];
        std::fs::remove_file(path(log.folder.path(), first)).unwrap();
        let next = segments(log.folder.path()).unwrap()[0];
        let followed = Follow::behind(log.folder.path().to_owned(), 0).next(100).unwrap();
        assert_eq!(followed.missing, Some(next - 1));
    }
}
