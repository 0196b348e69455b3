//! `DIR/witness`: what this node has seen, kept apart from the store (protocols.md §2).
//!
//! Lines are appended as records change and put together at the next start. A line that a crash or a full disk cut short
//! is recognised and left out: the witness may forget, but never remembers more than was seen.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_core::witness::WitnessLog;

use crate::data_dir::{DataDir, DataDirError};

/// The file that a running node appends to.
#[derive(Debug)]
pub struct WitnessFile {
    file: File,
    failed: AtomicBool,
}

impl WitnessFile {
    /// Reads what was remembered, writes it back once for each record, and opens the file to append to.
    ///
    /// # Errors
    /// [`DataDirError`] if it cannot be read or written.
    pub fn open(folder: &DataDir) -> Result<(HashMap<String, u64>, Self), DataDirError> {
        let seen = parse(&folder.read_whole(NAME)?.unwrap_or_default());
        let file = Self::start(folder, &seen)?;
        Ok((seen, file))
    }

    /// Forgets everything: the operator accepted a rollback.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reset(folder: &DataDir) -> Result<Self, DataDirError> {
        Self::start(folder, &HashMap::new())
    }

    fn start(folder: &DataDir, seen: &HashMap<String, u64>) -> Result<Self, DataDirError> {
        let mut text = String::new();
        for (key, change) in seen {
            push_line(&mut text, key, *change);
        }
        folder.write(NAME, text.as_bytes())?;
        let path = folder.join(NAME);
        let file = OpenOptions::new().append(true).mode(0o600).open(&path);
        let file = file.map_err(|source| DataDirError::Io { path, source })?;
        Ok(Self { file, failed: AtomicBool::new(false) })
    }
}

impl WitnessLog for WitnessFile {
    fn remember(&self, seen: &[(&str, u64)]) {
        let mut lines = String::with_capacity(seen.iter().map(|(key, _)| key.len() + LINE_BYTES).sum());
        for (key, change) in seen {
            push_line(&mut lines, key, *change);
        }
        // One write of a few short lines at the end of a file is not interleaved with another.
        let failed = (&self.file).write_all(lines.as_bytes()).is_err();
        if failed && !self.failed.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the witness cannot be written: a rollback of the store may go unnoticed after the next start"
            );
        }
    }
}

fn push_line(text: &mut String, key: &str, change: u64) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "#{change}\t{key}\t");
}

/// The highest change number of each key. A line is `#CHANGE<tab>KEY<tab>`, so that half a line with another behind it
/// is no line.
fn parse(text: &str) -> HashMap<String, u64> {
    let mut seen = HashMap::new();
    for line in text.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let [change, key, ""] = parts.as_slice() else { continue };
        let Some(change) = change.strip_prefix('#').and_then(|change| change.parse::<u64>().ok()) else { continue };
        let highest = seen.entry((*key).to_owned()).or_insert(change);
        *highest = change.max(*highest);
    }
    seen
}

const NAME: &str = "witness";
/// Room for what a line has besides its key.
const LINE_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, DataDir) {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataDir::open(&parent.path().join("data")).unwrap();
        (parent, folder)
    }

    #[test]
    fn what_was_seen_is_known_at_the_next_start() {
        let (_parent, folder) = folder();
        let (seen, file) = WitnessFile::open(&folder).unwrap();
        assert!(seen.is_empty());
        file.remember(&[("d/a", 1), ("d/b", 7)]);
        file.remember(&[("d/a", 3)]);
        file.remember(&[("d/a", 2)]);
        let expected = HashMap::from([("d/a".to_owned(), 3), ("d/b".to_owned(), 7)]);
        for _ in 0..2 {
            assert_eq!(WitnessFile::open(&folder).unwrap().0, expected);
        }
        assert_eq!(std::fs::read_to_string(folder.join(NAME)).unwrap().lines().count(), 2, "one line a record");
    }

    #[test]
    fn a_line_that_was_cut_short_is_left_out_wherever_it_was_cut() {
        let line = "#12\thsm/a/guard\t\n";
        let next = "#99\td/b\t\n";
        for cut in 1..line.len() {
            let seen = parse(&format!("{}{next}", &line[..cut]));
            let is_subset =
                seen.iter().all(|(key, change)| matches!((key.as_str(), *change), ("hsm/a/guard", 12) | ("d/b", 99)));
            assert!(is_subset, "cut at {cut}: {seen:?}");
            assert_eq!(parse(&line[..cut]).len(), usize::from(cut == line.len() - 1));
        }
    }

    #[test]
    fn the_very_last_line_counts() {
        let (_parent, folder) = folder();
        WitnessFile::open(&folder).unwrap().1.remember(&[("d/a", 1)]);
        WitnessFile::open(&folder).unwrap().1.remember(&[("d/a", 2)]);
        assert_eq!(WitnessFile::open(&folder).unwrap().0, HashMap::from([("d/a".to_owned(), 2)]));
    }

    #[test]
    fn an_accepted_rollback_is_forgotten() {
        let (_parent, folder) = folder();
        WitnessFile::open(&folder).unwrap().1.remember(&[("d/a", 1)]);
        WitnessFile::reset(&folder).unwrap();
        assert!(WitnessFile::open(&folder).unwrap().0.is_empty());
    }
}
