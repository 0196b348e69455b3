//! One pass over the segments, line by line.

use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::Outside;
use super::report::{Finding, GapSeen, Report};
use crate::audit_log::checkpoint::CheckpointVerifier;
use crate::audit_log::format::{
    Chain, CheckpointLine, FORMAT, Gap, Head, LineHash, Outline, Retention, properties, split,
};
use crate::audit_log::scan::{LineReader, Piece, path};

/// Where a pass over the log is.
pub(super) struct Walk {
    folder: PathBuf,
    verifier: Option<CheckpointVerifier>,
    log: Option<Uuid>,
    /// What the next line must be; unknown before the first one.
    chain: Option<Chain>,
    outside: Outside,
    place: Place,
    report: Report,
}

/// Where the line that is looked at stands.
#[derive(Clone, Default)]
struct Place {
    file: String,
    line: u64,
    sequence: u64,
}

impl Walk {
    /// A pass that has not begun. Without a trusted key, that of the first head is taken.
    pub(super) fn new(folder: &Path, trusted: Option<CheckpointVerifier>, mut outside: Outside) -> Self {
        let mut report = Report { notes: std::mem::take(&mut outside.notes), ..Report::default() };
        if let Some(verifier) = &trusted {
            report.key = verifier.thumbprint().to_owned();
            report.key_is_trusted = true;
        }
        let folder = folder.to_owned();
        Self { folder, verifier: trusted, log: None, chain: None, outside, place: Place::default(), report }
    }

    /// Reads one segment.
    pub(super) fn segment(&mut self, first: u64, is_newest: bool) -> io::Result<()> {
        let path = path(&self.folder, first);
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let expected = self.chain.map(|chain| chain.next);
        self.place = Place { file, line: 0, sequence: first };
        self.report.segments += 1;
        if expected.is_some_and(|expected| expected != first) {
            self.found(format!("line {} should come here: a segment is missing", expected.unwrap_or_default()));
        }
        let mut reader = match LineReader::open(&path) {
            // Retention has removed it since the folder was listed; that is known from the log.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        if self.chain.is_none() {
            self.chain = Some(Chain { next: first, previous: LineHash::NONE });
            self.report.first_sequence = first;
        }
        loop {
            let piece = reader.next()?;
            self.place.line += 1;
            match piece {
                Piece::End if self.place.line == 1 && !is_newest => self.found("the segment is empty"),
                Piece::End => {}
                Piece::Line(line) => {
                    self.line(line, first);
                    continue;
                }
                Piece::TooLong => {
                    self.found("the line is longer than any that is written");
                    self.skip_rest_of_line(&mut reader)?;
                    continue;
                }
                Piece::HalfALine(_) if is_newest => self.report.notes.push(HALF_A_LINE.to_owned()),
                Piece::HalfALine(_) => self.found("the line is cut short"),
            }
            return Ok(());
        }
    }

    fn skip_rest_of_line(&mut self, reader: &mut LineReader) -> io::Result<()> {
        while let Piece::TooLong = reader.next()? {}
        Ok(())
    }

    fn line(&mut self, line: &[u8], first: u64) {
        let Some(expected) = self.chain else { return };
        self.report.lines += 1;
        let Ok(outline) = serde_json::from_slice::<Outline>(line) else {
            self.place.sequence = expected.next;
            self.found("it is no JSON object with a sequence");
            self.chain = Some(Chain { next: expected.next.saturating_add(1), ..expected });
            return;
        };
        self.place.sequence = outline.sequence;
        if outline.sequence != expected.next {
            self.found(format!(
                "it should have the number {}: {}",
                expected.next,
                order(outline.sequence, expected.next)
            ));
        }
        let begins = self.place.line == 1;
        let hash = match split(line) {
            Some((body, stated)) => {
                if begins {
                    self.head(line, &outline, first, expected);
                }
                // A head that is the first of all says what stood before it.
                let previous = self.chain.map_or(expected.previous, |chain| chain.previous);
                if previous.then(body) != stated {
                    self.found("its hash does not fit it and the line before");
                }
                stated
            }
            None if self.log.is_none() => {
                self.report.unchained_lines += 1;
                expected.previous.then(line)
            }
            None => {
                self.found("it has no hash");
                expected.previous.then(line)
            }
        };
        if !begins && outline.is::<Head>() {
            self.found("the head of a segment stands within one");
        }
        self.own_records(line, &outline, expected);
        self.chain = Some(Chain { next: outline.sequence.saturating_add(1), previous: hash });
        self.report.last_sequence = outline.sequence;
        self.held_against_outside(outline.sequence, hash);
    }

    /// Looks at the first line of a chained segment.
    fn head(&mut self, line: &[u8], outline: &Outline, first: u64, expected: Chain) {
        let head = properties::<Head>(line).ok().filter(|head| outline.is::<Head>() && head.format == FORMAT);
        let Some(head) = head else { return self.found("the segment does not begin with a head of a known format") };
        if outline.sequence != first {
            self.found("its number is not that of the file's name");
        }
        let unchained = self.log.is_none() && self.report.unchained_lines > 0;
        let is_first_of_all = self.report.lines == 1;
        if unchained && head.unchained_through != Some(expected.next.saturating_sub(1)) {
            self.found("the lines before it have lost their chain, or some of them are missing");
        }
        if is_first_of_all && head.unchained_through.is_some() {
            self.report.notes.push("lines of a release before the chain stood before the first segment".to_owned());
        }
        // What retention has left of lines without a chain cannot be checked: they are covered together.
        let covers_lost_lines = unchained && self.report.first_sequence > 1;
        if is_first_of_all || covers_lost_lines {
            self.chain = Some(Chain { previous: head.previous_hash, ..expected });
        } else if head.previous_hash != expected.previous {
            self.found("it names another line as the one before");
        }
        match self.log {
            Some(log) if log != head.log => self.found("it belongs to another log"),
            Some(_) => {}
            None => self.begin(&head),
        }
        let verifier = CheckpointVerifier::new(&head.key);
        let stated = verifier.as_ref().map(|verifier| verifier.thumbprint().to_owned()).unwrap_or_default();
        if stated != self.report.key {
            self.found("it names another key for checkpoints than the one that is trusted");
        }
    }

    fn begin(&mut self, head: &Head) {
        self.log = Some(head.log);
        self.report.log = head.log.to_string();
        self.report.deployment.clone_from(&head.deployment);
        if self.verifier.is_none() {
            self.verifier = CheckpointVerifier::new(&head.key);
            self.report.key = self.verifier.as_ref().map(|it| it.thumbprint().to_owned()).unwrap_or_default();
        }
    }

    /// Looks at what the log says about itself.
    fn own_records(&mut self, line: &[u8], outline: &Outline, before: Chain) {
        self.report.unsigned_lines += 1;
        if outline.is::<CheckpointLine>() {
            self.report.checkpoints += 1;
            self.report.unsigned_lines = 0;
            if let Some(problem) = self.checkpoint_problem(line, before) {
                self.found(problem);
            }
        } else if outline.is::<Retention>() {
            match properties::<Retention>(line) {
                Ok(it) => self.report.removed_through = self.report.removed_through.max(it.removed_through),
                Err(_) => self.found("it is no record of removed segments"),
            }
        } else if outline.is::<Gap>() {
            match properties::<Gap>(line) {
                Ok(gap) => self.report.gap(GapSeen { sequence: outline.sequence, time: outline.time.clone(), gap }),
                Err(_) => self.found("it is no record of a gap"),
            }
        }
    }

    fn checkpoint_problem(&self, line: &[u8], before: Chain) -> Option<&'static str> {
        let signed = properties::<CheckpointLine>(line).ok();
        let verified = signed.and_then(|signed| self.verifier.as_ref()?.verify(&signed.checkpoint));
        let Some(checkpoint) = verified else { return Some("the checkpoint is not signed by the log's key") };
        if Some(checkpoint.log) != self.log || checkpoint.deployment != self.report.deployment {
            return Some("the checkpoint is of another log");
        }
        if checkpoint.sequence.saturating_add(1) != before.next || checkpoint.hash != before.previous {
            return Some("the checkpoint does not name the line before it: lines before it were changed");
        }
        None
    }

    fn held_against_outside(&mut self, sequence: u64, hash: LineHash) {
        let Some(log) = self.log else { return };
        for kept in self.outside.take(sequence, log) {
            match self.verifier.as_ref().map(|verifier| kept.problem(verifier, hash)) {
                Some(None) => self.report.outside_checkpoints += 1,
                Some(Some(problem)) => self.found(format!("{problem} ({})", kept.place)),
                // The head with the key was found to be broken already.
                None => {}
            }
        }
    }

    /// What is known only at the end: whether the beginning or the end is missing.
    pub(super) fn end(mut self) -> Report {
        let first = self.report.first_sequence;
        if self.log.is_none() && self.report.lines > 0 {
            self.place = Place::default();
            self.found("no line is chained: a release before the chain wrote the log, or its hashes were taken away");
        }
        if first > 1 && self.report.removed_through.saturating_add(1) < first {
            self.place = Place { sequence: 1, ..Place::default() };
            self.found(format!(
                "lines up to {} are missing, and the log does not say that they were removed",
                first - 1
            ));
        }
        let last = self.report.last_sequence;
        for (sequence, log, kept) in self.outside.left() {
            // What was removed because it was old is not there any more, and nothing is wrong with that.
            if sequence < first && Some(log) == self.log {
                continue;
            }
            self.place = Place { sequence, ..Place::default() };
            let problem = kept.problem_without_line(self.verifier.as_ref(), self.log, last);
            self.found(format!("{problem} ({})", kept.place));
        }
        self.report.good = self.report.finding_count == 0;
        self.report
    }

    fn found(&mut self, problem: impl Into<String>) {
        let Place { file, line, sequence } = self.place.clone();
        self.report.found(Finding { file, line, sequence, problem: problem.into() });
    }
}

fn order(found: u64, expected: u64) -> &'static str {
    if found > expected { "lines are missing" } else { "a line stands twice, or lines changed their places" }
}

const HALF_A_LINE: &str =
    "the last line is not finished: a server is writing it, or a crash cut it short and the next start repairs it";
