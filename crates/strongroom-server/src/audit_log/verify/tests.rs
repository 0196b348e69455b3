//! Every change of a real log is found.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::audit_log::checkpoint::{Checkpoint, Reason, Signed};
use crate::audit_log::scan::path;
use crate::audit_log::segment::tests::{Log, event};

/// A closed log of several segments, and its checkpoints as kept elsewhere.
struct Written {
    log: Log,
    files: Vec<(PathBuf, Vec<u8>)>,
    outside: PathBuf,
    last: Signed,
    beside: tempfile::TempDir,
}

impl Written {
    fn new() -> Self {
        let log = Log::new(4000);
        let mut segments = log.start();
        for number in 0..20 {
            log.append(&mut segments, &[event(number), event(number + 100)]);
            if number % 7 == 0 {
                log.checkpoint(&mut segments, Reason::Interval);
            }
        }
        let last = log.checkpoint(&mut segments, Reason::Stop);
        let firsts = segments_of(&log);
        assert!(firsts.len() > 3, "{firsts:?}");
        let files = firsts.iter().map(|first| path(log.folder.path(), *first));
        let files = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        let beside = tempfile::tempdir().unwrap();
        let outside = beside.path().join("checkpoint");
        fs::write(&outside, format!("{}\n", last.jws)).unwrap();
        Self { log, files, outside, last, beside }
    }

    fn verify(&self) -> Report {
        self.verify_against(vec![self.outside.clone()])
    }

    fn verify_against(&self, checkpoints: Vec<PathBuf>) -> Report {
        verify(self.log.folder.path(), &Against { key: None, checkpoints }).unwrap()
    }

    fn restore(&self) {
        for (path, bytes) in &self.files {
            fs::write(path, bytes).unwrap();
        }
    }

    /// Every line with its newline.
    fn lines(&self) -> Vec<Vec<u8>> {
        self.files
            .iter()
            .flat_map(|(_, bytes)| bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec))
            .collect()
    }

    /// Puts other lines into the same files; the last file gets what is left.
    fn write_lines(&self, lines: &[Vec<u8>]) {
        let mut rest = lines;
        for (at, (path, bytes)) in self.files.iter().enumerate() {
            let count = bytes.iter().filter(|byte| **byte == b'\n').count().min(rest.len());
            let (these, those) = if at + 1 == self.files.len() { (rest, &[][..]) } else { rest.split_at(count) };
            fs::write(path, these.concat()).unwrap();
            rest = those;
        }
    }
}

fn segments_of(log: &Log) -> Vec<u64> {
    segments(log.folder.path()).unwrap()
}

#[test]
fn an_untouched_log_is_good() {
    let written = Written::new();
    let report = written.verify();
    assert!(report.good, "{:?}", report.findings);
    assert_eq!((report.outside_checkpoints, report.unsigned_lines, report.gap_count), (1, 0, 0));
    assert_eq!(report.last_sequence, written.last.checkpoint.sequence + 1);
}

#[test]
fn every_line_that_is_removed_doubled_or_swapped_is_found() {
    let written = Written::new();
    let lines = written.lines();
    for at in 0..lines.len() {
        let mut removed = lines.clone();
        removed.remove(at);
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at].clone());
        let mut changes = vec![("removed", removed), ("doubled", doubled)];
        if at + 1 < lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            changes.push(("swapped", swapped));
        }
        for (change, changed) in changes {
            written.write_lines(&changed);
            let is_last_removed = change == "removed" && at + 1 == lines.len();
            // The last line of all is the checkpoint that is kept outside; what it covers is still there.
            assert_eq!(written.verify().good, is_last_removed, "line {at} {change}");
        }
    }
}

#[test]
fn a_segment_that_is_removed_is_found() {
    let written = Written::new();
    for (path, bytes) in &written.files {
        fs::remove_file(path).unwrap();
        assert!(!written.verify().good, "{}", path.display());
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn an_end_that_is_cut_off_is_found_by_a_checkpoint_kept_elsewhere() {
    let written = Written::new();
    let lines = written.lines();
    for keep in 0..lines.len() - 1 {
        for (path, _) in &written.files {
            let _ = fs::remove_file(path);
        }
        let mut left = &lines[..keep];
        for (path, bytes) in &written.files {
            let count = bytes.iter().filter(|byte| **byte == b'\n').count().min(left.len());
            let (these, those) = left.split_at(count);
            if !these.is_empty() {
                fs::write(path, these.concat()).unwrap();
            }
            left = those;
        }
        let report = written.verify();
        assert!(!report.good, "kept {keep} lines");
        let cut = report.findings.iter().any(|finding| finding.problem.contains("its end was cut off"));
        assert!(cut, "kept {keep} lines: {:?}", report.findings);
    }
}

#[test]
fn a_log_that_was_put_in_the_place_of_another_is_found() {
    let (one, other) = (Written::new(), Written::new());
    for (path, _) in &one.files {
        fs::remove_file(path).unwrap();
    }
    for (path, bytes) in &other.files {
        fs::write(one.log.folder.path().join(path.file_name().unwrap()), bytes).unwrap();
    }
    let report = one.verify();
    assert!(report.findings.iter().any(|finding| finding.problem.contains(NOT_OURS)), "{:?}", report.findings);
}

#[test]
fn a_log_signed_by_another_key_is_found_by_who_knows_the_right_one() {
    let (one, other) = (Written::new(), Written::new());
    assert!(one.log.verify().good);
    for (path, bytes) in &other.files {
        fs::write(one.log.folder.path().join(path.file_name().unwrap()), bytes).unwrap();
    }
    let report = one.log.verify();
    assert!(report.findings[0].problem.contains("another key for checkpoints"), "{:?}", report.findings);
}

#[test]
fn half_a_checkpoint_kept_elsewhere_is_named_and_the_others_count() {
    let written = Written::new();
    let file = written.beside.path().join("torn");
    fs::write(&file, format!("eyJhb\n{}\n", written.last.jws)).unwrap();
    let report = written.verify_against(vec![file]);
    assert!(report.good && report.outside_checkpoints == 1 && report.notes[0].contains("line 1"), "{report:?}");
}

#[test]
fn every_checkpoint_that_names_a_line_must_fit_it() {
    let written = Written::new();
    let forged = Checkpoint { hash: LineHash::NONE.then(b"x"), ..written.last.checkpoint.clone() };
    let forged = written.log.key().sign(forged).unwrap().jws;
    let file = written.beside.path().join("two");
    for [first, second] in [[&written.last.jws, &forged], [&forged, &written.last.jws]] {
        fs::write(&file, format!("{first}\n{second}\n")).unwrap();
        let report = written.verify_against(vec![file.clone()]);
        assert_eq!((report.finding_count, report.outside_checkpoints), (1, 1), "{:?}", report.findings);
        assert!(report.findings[0].problem.contains("it is not the line that a checkpoint kept elsewhere names"));
    }
    // One that is kept in two places is one.
    let report = written.verify_against(vec![written.outside.clone(), written.outside.clone()]);
    assert!(report.good && report.outside_checkpoints == 1, "{:?}", report.findings);
}

#[test]
fn a_finding_says_where() {
    let written = Written::new();
    let (path, bytes) = &written.files[1];
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let mut changed = lines.iter().map(|line| line.to_vec()).collect::<Vec<_>>();
    changed[2] = String::from_utf8(lines[2].to_vec()).unwrap().replace("KeyGet", "KeyPut").into_bytes();
    fs::write(path, changed.concat()).unwrap();
    let report = written.verify();
    let file = path.file_name().unwrap().to_string_lossy().into_owned();
    let first: u64 = file["audit-".len()..file.len() - ".jsonl".len()].parse().unwrap();
    assert_eq!((report.finding_count, &report.findings[0].file), (1, &file));
    assert_eq!((report.findings[0].line, report.findings[0].sequence), (3, first + 2));
}

#[test]
fn a_folder_without_a_log_is_no_good_log() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(verify(folder.path(), &Against::default()), Err(VerifyError::NoLog { .. })));
    assert!(matches!(verify(&folder.path().join("x"), &Against::default()), Err(VerifyError::Io { .. })));
}

#[test]
fn every_byte_of_a_segment_counts() {
    let written = Written::new();
    let (path, bytes) = written.files.last().unwrap();
    // The rest of the log is the same for each.
    for (other, _) in &written.files[..written.files.len() - 1] {
        assert!(other.exists());
    }
    for at in (0..bytes.len()).step_by(13) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(path, &changed).unwrap();
        let report = written.verify();
        // The newline at the very end: half a line is what a running server leaves, and all before it is there.
        assert_eq!(report.good, at + 1 == bytes.len(), "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_byte_that_is_changed_is_found(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bits in 1_u8..) {
        let written = WRITTEN.get_or_init(|| std::sync::Mutex::new(Written::new()));
        let written = written.lock().unwrap();
        let number = file.index(written.files.len());
        let (path, bytes) = &written.files[number];
        let at = at.index(bytes.len());
        let mut changed = bytes.clone();
        changed[at] ^= bits;
        fs::write(path, &changed).unwrap();
        let report = written.verify();
        written.restore();
        let is_very_last = number + 1 == written.files.len() && at + 1 == bytes.len();
        prop_assert!(!report.good || is_very_last, "{} byte {at}", path.display());
    }

    #[test]
    fn no_bytes_make_the_verifier_fail(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(path(folder.path(), 1), &bytes).unwrap();
        let report = verify(folder.path(), &Against::default()).unwrap();
        prop_assert!(!report.good || !bytes.contains(&b'\n'));
    }
}

static WRITTEN: std::sync::OnceLock<std::sync::Mutex<Written>> = std::sync::OnceLock::new();
