//! Reading the log from a line on, in batches, while it is written.

use std::io;
use std::path::PathBuf;

use crate::audit_log::format::Outline;
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
    /// Whether there may be more at once.
    pub is_whole: bool,
    /// Lines that were removed before they were read.
    pub missing: Option<u64>,
}

impl Follow {
    /// A reader that has taken everything up to a line; 0 begins at the beginning.
    pub fn behind(folder: PathBuf, taken: u64) -> Self {
        Self { folder, taken, place: None, read: None }
    }

    /// Reads the next lines, at most `limit`. Nothing moves before [`Follow::taken`].
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
        }
        let mut place = self.place.filter(|place| place.first == first).unwrap_or(Place { first, offset: 0 });
        let mut lines = LineReader::open_at(&path(&self.folder, first), place.offset)?;
        while followed.lines.len() < limit {
            let Piece::Line(line) = lines.next()? else { break };
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
        followed.is_whole = followed.lines.len() == limit || firsts.last() != Some(&first);
        self.read = followed.last.map(|last| (last, place));
        Ok(followed)
    }

    /// What was read last was taken; the next read goes on behind it.
    pub fn taken(&mut self) {
        if let Some((last, place)) = self.read.take() {
            (self.taken, self.place) = (last, Some(place));
        }
    }

    /// What was read last was not taken; the next read brings it again.
    pub fn again(&mut self) {
        self.read = None;
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
                    follow.again();
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
