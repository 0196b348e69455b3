use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use strongroom_core::audit::{Event, Result as EventResult};
use strongroom_core::request::Request;

use super::*;
use crate::audit_log::checkpoint::tests::key;
use crate::audit_log::format::LINE_BYTES_MAX;
use crate::audit_log::verify::{Against, Report, verify};

/// A log in a folder, written with one key.
pub(crate) struct Log {
    pub(crate) folder: tempfile::TempDir,
    key: CheckpointKey,
    terms: SegmentTerms,
    now: Timestamp,
}

impl Log {
    pub(crate) fn new(bytes: u64) -> Self {
        let terms = SegmentTerms { bytes, ..SegmentTerms::default() };
        let (folder, key) = (tempfile::tempdir().unwrap(), key());
        Self { folder, key, terms, now: Timestamp::from_seconds(1_800_000_000) }
    }

    fn signing(&self) -> Signing<'_> {
        Signing { key: &self.key, now: self.now, highest: &Highest::default }
    }

    fn found(&self) -> io::Result<Found> {
        Found::open(self.folder.path(), self.terms)
    }

    pub(crate) fn start(&self) -> Segments {
        self.found().unwrap().start(&self.signing(), Uuid::max()).unwrap().0
    }

    pub(crate) fn append(&self, segments: &mut Segments, events: &[Event<'_>]) {
        let events: Vec<_> = events.iter().map(line).collect();
        let batch = Batch { gap: None, events: &events, checkpoint: None };
        segments.append(&batch, &self.signing()).unwrap();
    }

    pub(crate) fn checkpoint(&self, segments: &mut Segments, reason: Reason) -> Signed {
        let batch = Batch { gap: None, events: &[], checkpoint: Some(reason) };
        segments.append(&batch, &self.signing()).unwrap().unwrap()
    }

    pub(crate) fn verify(&self) -> Report {
        let against = Against { key: Some(self.key.public().clone()), checkpoints: Vec::new() };
        verify(self.folder.path(), &against).unwrap()
    }

    pub(crate) fn key(&self) -> &CheckpointKey {
        &self.key
    }

    fn file(&self, first: u64) -> PathBuf {
        path(self.folder.path(), first)
    }
}

pub(crate) fn event(number: u128) -> Event<'static> {
    let request = Request::internal(Uuid::from_u128(number), Timestamp::default(), "KeyGet", String::new());
    let result = EventResult::success(200);
    owned(&Event::of(&request, &result, Timestamp::default(), None))
}

fn line(event: &Event<'_>) -> EventLine {
    EventLine::of(event).unwrap()
}

/// As it is read from the outbox.
fn owned(event: &Event<'_>) -> Event<'static> {
    serde_json::from_value(serde_json::to_value(event).unwrap()).unwrap()
}

fn good(report: &Report) {
    assert!(report.good, "{:?}", report.findings);
}

#[test]
fn a_new_log_begins_with_a_head_and_a_checkpoint() {
    let log = Log::new(1 << 20);
    let mut segments = log.start();
    log.append(&mut segments, &[event(1), event(2)]);
    assert_eq!(segments.last(), 4);
    let report = log.verify();
    good(&report);
    assert_eq!((report.lines, report.checkpoints, report.unsigned_lines, report.gap_count), (4, 1, 2, 0));
    assert_eq!(fs::metadata(log.file(1)).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn numbers_and_chain_go_on_after_a_restart_and_a_closed_log_has_no_gap() {
    let log = Log::new(1 << 20);
    let mut segments = log.start();
    log.append(&mut segments, &[event(1)]);
    log.checkpoint(&mut segments, Reason::Stop);
    drop(segments);
    let found = log.found().unwrap();
    assert_eq!(found.events, HashSet::from([Uuid::from_u128(1)]));
    assert_eq!(found.checkpoint.unwrap().reason, Reason::Stop);
    let mut segments = log.start();
    log.append(&mut segments, &[event(2)]);
    let report = log.verify();
    good(&report);
    assert_eq!((report.lines, report.checkpoints, report.gap_count), (6, 3, 0));
}

#[test]
fn a_crash_at_any_byte_is_repaired_and_recorded_as_a_gap() {
    let log = Log::new(1 << 20);
    let mut segments = log.start();
    let durable = segments.length;
    log.append(&mut segments, &[event(1), event(2)]);
    let whole = fs::read(log.file(1)).unwrap();
    for length in usize::try_from(durable).unwrap()..=whole.len() {
        fs::write(log.file(1), &whole[..length]).unwrap();
        good(&log.verify());
        log.start();
        let report = log.verify();
        good(&report);
        assert_eq!(report.gap_count, 1, "cut at {length}");
        let torn = whole[..length].iter().rev().take_while(|byte| **byte != b'\n').count() as u64;
        assert_eq!(report.gaps[0].gap.cut_bytes, (torn > 0).then_some(torn));
    }
}

#[test]
fn a_crash_while_a_segment_is_begun_is_repaired() {
    let log = Log::new(1);
    let mut segments = log.start();
    log.append(&mut segments, &[event(1)]);
    let newest = segments.chain.next - 2;
    let head = fs::read(log.file(newest)).unwrap();
    let head_length = head.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for length in 0..=head_length {
        fs::write(log.file(newest), &head[..length]).unwrap();
        let mut again = log.start();
        log.append(&mut again, &[event(2)]);
        good(&log.verify());
        for first in crate::audit_log::scan::segments(log.folder.path()).unwrap() {
            if first > newest {
                fs::remove_file(log.file(first)).unwrap();
            }
        }
        // What was repaired goes back to before the crash.
        let before = fs::read_to_string(log.file(1)).unwrap();
        let lines: Vec<&str> = before.split_inclusive('\n').take(usize::try_from(newest - 1).unwrap()).collect();
        fs::write(log.file(1), lines.concat()).unwrap();
    }
}

#[test]
fn segments_end_by_size_and_by_age() {
    let mut log = Log::new(1500);
    let mut segments = log.start();
    for number in 0..6 {
        log.append(&mut segments, &[event(number)]);
    }
    let by_size = crate::audit_log::scan::segments(log.folder.path()).unwrap().len();
    assert!(by_size > 2, "{by_size}");
    log.terms.bytes = 1 << 20;
    drop(segments);
    let mut segments = log.start();
    log.now = log.now.plus_days(1);
    log.append(&mut segments, &[event(7)]);
    assert_eq!(crate::audit_log::scan::segments(log.folder.path()).unwrap().len(), by_size + 1);
    good(&log.verify());
}

#[test]
fn old_segments_are_removed_and_the_log_says_so() {
    let mut log = Log::new(1);
    log.terms.retention_days = Some(3);
    let mut segments = log.start();
    log.terms = SegmentTerms { retention_days: Some(3), ..log.terms };
    for day in 0..6 {
        log.append(&mut segments, &[event(day)]);
        log.now = log.now.plus_days(1);
    }
    let report = log.verify();
    good(&report);
    assert!(report.first_sequence > 1 && report.removed_through == report.first_sequence - 1, "{report:?}");
    // One more is not by the log's own doing.
    fs::remove_file(log.file(report.first_sequence)).unwrap();
    let report = log.verify();
    assert!(report.findings[0].problem.contains("are missing, and the log does not say"), "{report:?}");
}

#[test]
fn lines_without_a_chain_stay_and_the_chain_covers_them() {
    let log = Log::new(1 << 20);
    let plain = |from: u128, sequence: u64| {
        let lines = (0..3).map(|n| {
            let mut line = serde_json::to_value(event(from + n)).unwrap();
            line["sequence"] = (sequence + u64::try_from(n).unwrap()).into();
            format!("{line}\n")
        });
        lines.collect::<String>()
    };
    fs::write(log.file(1), plain(1, 1)).unwrap();
    fs::write(log.file(4), plain(4, 4) + "{\"half").unwrap();
    let mut segments = log.start();
    log.append(&mut segments, &[event(9)]);
    assert!(log.file(7).exists());
    let report = log.verify();
    good(&report);
    assert_eq!((report.unchained_lines, report.lines, report.gap_count), (6, 10, 1));
    let changed = fs::read_to_string(log.file(1)).unwrap().replacen("Success", "Failed", 1);
    fs::write(log.file(1), changed).unwrap();
    assert!(log.verify().findings[0].problem.contains("names another line as the one before"));
}

#[test]
fn what_no_checkpoint_covers_and_does_not_fit_is_set_aside() {
    let log = Log::new(1 << 20);
    let mut segments = log.start();
    log.append(&mut segments, &[event(1), event(2)]);
    let before = fs::read_to_string(log.file(1)).unwrap();
    let spoiled = before.replace(&Uuid::from_u128(1).to_string(), &Uuid::from_u128(7).to_string());
    fs::write(log.file(1), &spoiled).unwrap();
    assert!(!log.verify().good);
    log.start();
    let report = log.verify();
    good(&report);
    let gap = &report.gaps[0].gap;
    let kept = fs::read_to_string(log.folder.path().join(gap.cut_file.as_ref().unwrap())).unwrap();
    assert_eq!(Some(kept.len() as u64), gap.cut_bytes);
    assert!(spoiled.ends_with(&kept));
}

#[test]
fn a_line_that_a_checkpoint_covers_and_that_does_not_fit_is_no_crash() {
    let log = Log::new(1 << 20);
    let mut segments = log.start();
    log.append(&mut segments, &[event(1), event(2)]);
    log.checkpoint(&mut segments, Reason::Interval);
    let before = fs::read_to_string(log.file(1)).unwrap();
    fs::write(log.file(1), before.replace(&Uuid::from_u128(1).to_string(), &Uuid::from_u128(7).to_string())).unwrap();
    let error = log.found().err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("line 3: it does not fit"), "{error}");
}

/// An event whose every text is as long as a client can make it, and longer.
fn longest(text: &str) -> Event<'static> {
    let text = text.repeat(64 * 1024 / text.len());
    let mut request = Request::internal(Uuid::nil(), Timestamp::default(), "KeyGet", text.clone());
    let caller = Arc::make_mut(&mut request.caller);
    caller.issuer.clone_from(&text);
    caller.name = Some(text.clone());
    caller.application = Some(text.clone());
    let context = &mut request.context;
    context.uri = text.as_str().into();
    for it in [&mut context.operation_version, &mut context.user_agent, &mut context.correlation_id] {
        it.clone_from(&text);
    }
    let result = EventResult { status: 400, code: text.clone().into(), message: text.clone() };
    owned(&Event::of(&request, &result, Timestamp::default(), Some(&text)))
}

#[test]
fn no_text_makes_a_line_longer_than_any_may_be() {
    let log = Log::new(1 << 20);
    let mut segments = log.start();
    for text in ["\"", "\u{1}", "\u{1f511}", "a"] {
        log.append(&mut segments, &[longest(text)]);
    }
    let written = fs::read_to_string(log.file(1)).unwrap();
    for line in written.lines() {
        assert!((line.len() as u64) < LINE_BYTES_MAX, "{} bytes: {}", line.len(), &line[..100]);
    }
    assert!(written.lines().last().unwrap().contains("a…\""), "what was cut says so");
    log.checkpoint(&mut segments, Reason::Interval);
    good(&log.verify());
}

#[test]
fn a_long_line_of_an_earlier_release_stops_neither_a_start_nor_a_verification() {
    let log = Log::new(1 << 20);
    let mut segments = log.start();
    let mut long = event(1);
    long.properties.request_uri = "\"".repeat(usize::try_from(LINE_BYTES_MAX).unwrap()).into();
    log.append(&mut segments, &[long, event(2)]);
    log.checkpoint(&mut segments, Reason::Interval);
    good(&log.verify());
    let mut segments = log.start();
    log.append(&mut segments, &[event(3)]);
    let report = log.verify();
    good(&report);
    assert_eq!(report.gap_count, 1, "the log was not closed");
}

#[test]
fn a_write_that_fails_leaves_nothing_behind() {
    let log = Log::new(1 << 20);
    let mut segments = log.start();
    let (length, chain) = (segments.length, segments.chain);
    segments.file = File::open(log.file(1)).unwrap();
    let batch = Batch { gap: None, events: &[line(&event(1))], checkpoint: None };
    segments.append(&batch, &log.signing()).unwrap_err();
    assert_eq!((segments.length, segments.chain), (length, chain));
    segments.file = options().open(log.file(1)).unwrap();
    log.append(&mut segments, &[event(1)]);
    good(&log.verify());
}
