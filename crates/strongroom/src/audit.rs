//! `strongroom audit …`: the audit log, read without a server.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;
use strongroom_server::audit_log::checkpoint::PublicJwk;
use strongroom_server::audit_log::follow::{EachError, each_batch};
use strongroom_server::audit_log::verify::{Against, GapSeen, Report, verify};
use strongroom_server::audit_log::{
    FOLDER, Gap, GapReason, NEWEST_CHECKPOINT, Timestamp, earlier_checkpoints, timestamp,
};
use strongroom_server::config::Configuration;

use crate::Failure;
use crate::arguments::{
    AuditCommand, AuditPlace, ExportArguments, ExportFormat, ShowArguments, VerifyArguments, default_data_dir,
};
use crate::serve::say;

/// Does what was asked for.
pub(crate) fn run(command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Verify(arguments) => verify_log(arguments),
        AuditCommand::Show(arguments) => show(arguments),
        AuditCommand::Export(arguments) => export(arguments),
    }
}

/// Where the log lies, and the checkpoints that are kept apart from it.
struct Place {
    log: PathBuf,
    /// The newest one, which the server keeps beside the log.
    newest: PathBuf,
    /// Where `[audit] checkpoint_file` says that they are kept.
    configured: Option<PathBuf>,
}

impl Place {
    fn find(place: AuditPlace) -> Result<Self, Failure> {
        let AuditPlace { config, data_dir } = place;
        let configuration = config.map(|file| Configuration::read(&file)).transpose();
        let configuration = configuration.map_err(|error| Failure {
            cause: error.to_string(),
            remedy: "correct the file, or name the folder with --data-dir".to_owned(),
        })?;
        let Configuration { data_dir: configured, audit, .. } = configuration.unwrap_or_default();
        let data_dir = data_dir.or(configured).or_else(default_data_dir).ok_or_else(|| Failure {
            cause: "no data folder is set, and there is no home folder to look for one in".to_owned(),
            remedy: "use --data-dir DIR".to_owned(),
        })?;
        let (log, newest) = (data_dir.join(FOLDER), data_dir.join(NEWEST_CHECKPOINT));
        Ok(Self { log, newest, configured: audit.checkpoint_file })
    }

    /// The files with checkpoints. One that the operator has named must be there; the file it is renamed to when it is
    /// long, and the one beside the log, need not be.
    fn checkpoints(&self) -> Vec<PathBuf> {
        let earlier = self.configured.as_deref().map(earlier_checkpoints);
        let there = [Some(self.newest.clone()), earlier].into_iter().flatten().filter(|file| file.exists());
        there.chain(self.configured.clone()).collect()
    }
}

/// Which events are shown.
struct Filter {
    operation: Option<String>,
    caller: Option<String>,
    since: Option<Timestamp>,
    failed: bool,
}

impl Filter {
    fn takes(&self, event: &Value) -> bool {
        let Self { operation, caller, since, failed } = self;
        let is = |wanted: &Option<String>, found: &Value| wanted.as_deref().is_none_or(|it| found == it);
        let is_late = since.is_none_or(|since| event["time"].as_str().and_then(timestamp) >= Some(since));
        is(operation, &event["operationName"])
            && is(caller, event.pointer("/identity/oid").unwrap_or(&Value::Null))
            && is_late
            && (!failed || event["resultType"] == "Failed")
    }
}

fn show(arguments: ShowArguments) -> Result<(), Failure> {
    let ShowArguments { place, operation, caller, since, failed, json } = arguments;
    let filter = Filter { operation, caller, since, failed };
    each_line(&Place::find(place)?.log, 0, |line| {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return Ok(()) };
        if !filter.takes(&event) {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        if json { writeln!(out, "{line}") } else { writeln!(out, "{}", summary(&event)) }
    })
}

fn summary(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let status = event
        .pointer("/properties/httpStatusCode")
        .and_then(Value::as_u64)
        .map_or_else(|| "-".to_owned(), |status| status.to_string());
    let (caller, address) =
        (text(event.pointer("/identity/oid").unwrap_or(&Value::Null)), text(&event["callerIpAddress"]));
    let (time, operation, result) =
        (text(&event["time"]), text(&event["operationName"]), text(&event["resultSignature"]));
    format!("{} {time} {operation} {status} {result} {caller} {address} {}", event["sequence"], text(&event["eventId"]))
}

fn export(arguments: ExportArguments) -> Result<(), Failure> {
    let ExportArguments { place, format, after } = arguments;
    let log = Place::find(place)?.log;
    match format {
        ExportFormat::Jsonl => each_line(&log, after, |line| writeln!(std::io::stdout().lock(), "{line}")),
        ExportFormat::OtlpJson => export_otlp(&log, after),
    }
}

#[cfg(feature = "otlp")]
fn export_otlp(log: &Path, after: u64) -> Result<(), Failure> {
    use strongroom_server::audit_log::deployment;
    use strongroom_server::telemetry::{Source, export_json};

    let deployment = deployment(log).map_err(|error| unreadable(log, &error))?.unwrap_or_default();
    let source = Source { deployment, version: env!("CARGO_PKG_VERSION") };
    written_out(log, export_json(log, after, &source, &mut std::io::stdout().lock()))
}

#[cfg(not(feature = "otlp"))]
fn export_otlp(_: &Path, _: u64) -> Result<(), Failure> {
    Err(Failure {
        cause: "this program was built without OpenTelemetry".to_owned(),
        remedy: "use --format jsonl, or build the program with `cargo build --release --features otlp`".to_owned(),
    })
}

/// Calls a function for each line behind a number, in order.
fn each_line(log: &Path, after: u64, mut take: impl FnMut(&str) -> std::io::Result<()>) -> Result<(), Failure> {
    written_out(log, each_batch(log, after, LINES, |lines| lines.iter().try_for_each(|line| take(line))))
}

fn written_out(log: &Path, done: Result<(), EachError<std::io::Error>>) -> Result<(), Failure> {
    match done {
        Ok(()) => Ok(()),
        // Who reads has seen enough.
        Err(EachError::Take(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(EachError::Take(error)) => Err(Failure {
            cause: format!("the output cannot be written: {error}"),
            remedy: "make room where it goes, and do it again".to_owned(),
        }),
        Err(EachError::Read(error)) => Err(unreadable(log, &error)),
    }
}

fn unreadable(log: &Path, error: &impl std::fmt::Display) -> Failure {
    Failure { cause: format!("{}: {error}", log.display()), remedy: READABLE.to_owned() }
}

fn verify_log(arguments: VerifyArguments) -> Result<(), Failure> {
    let VerifyArguments { place, public_key, mut checkpoints, json } = arguments;
    let place = Place::find(place)?;
    checkpoints.extend(place.checkpoints());
    let key = public_key.map(|file| read_key(&file)).transpose()?;
    let verified = verify(&place.log, &Against { key, checkpoints });
    let mut report = verified.map_err(|error| Failure { cause: error.to_string(), remedy: READABLE.to_owned() })?;
    if !place.newest.exists() {
        let newest = place.newest.display();
        report.notes.push(format!("{newest} is not there: it would show whether the end of the log was cut off"));
    }
    say(&if json { as_json(&report)? } else { as_text(&report) });
    match report.findings.first() {
        None => Ok(()),
        Some(first) => Err(Failure {
            cause: format!("the audit log is not as it was written: {first}"),
            remedy: "keep the folder as it is, copy it, and compare it with your last copy and your checkpoints"
                .to_owned(),
        }),
    }
}

fn read_key(file: &Path) -> Result<PublicJwk, Failure> {
    let failed = |problem: String| Failure {
        cause: format!("{}: {problem}", file.display()),
        remedy: "name a file with the JWK that the server keeps in DIR/audit-key.json".to_owned(),
    };
    let text = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}

fn as_json(report: &Report) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(report);
    let text = text.map_err(|error| Failure { cause: error.to_string(), remedy: "please report it".to_owned() })?;
    Ok(format!("{text}\n"))
}

fn as_text(report: &Report) -> String {
    let Report { log, key, segments, lines, first_sequence, last_sequence, checkpoints, .. } = report;
    let mut text = format!(
        "log          {log}\nkey          {key}{}\nlines        {lines} in {segments} segments, {first_sequence} to \
         {last_sequence}\ncheckpoints  {checkpoints} in the log, {} kept apart\nunsigned     {} lines behind the last \
         checkpoint\n",
        if report.key_is_trusted { "" } else { " (as the log says; name your copy with --public-key)" },
        report.outside_checkpoints,
        report.unsigned_lines,
    );
    if report.removed_through > 0 {
        text += &format!("removed      lines up to {}, because they were old\n", report.removed_through);
    }
    if report.unchained_lines > 0 {
        text += &format!("unchained    {} lines of a release before the chain\n", report.unchained_lines);
    }
    if report.gap_count > 0 {
        text += &format!("gaps         {}, the last ones:\n", report.gap_count);
        for gap in &report.gaps {
            text += &describe(gap);
        }
    }
    for note in &report.notes {
        text += &format!("note         {note}\n");
    }
    for finding in &report.findings {
        text += &format!("BROKEN       {finding}\n");
    }
    let more = report.finding_count.saturating_sub(report.findings.len() as u64);
    if more > 0 {
        text += &format!("BROKEN       and {more} more places\n");
    }
    text + if report.good { "The log is as it was written.\n" } else { "" }
}

fn describe(seen: &GapSeen) -> String {
    let GapSeen { sequence, time, gap: Gap { reason, cut_bytes, cut_file, dropped_events } } = seen;
    let mut text = format!("  sequence {sequence} at {time}: ");
    text += match reason {
        GapReason::Crash => "the server before did not close the log",
        GapReason::LogNotWritable => "the log could not be written",
    };
    if let Some(bytes) = cut_bytes {
        text += &format!(", {bytes} bytes were cut off");
    }
    if let Some(file) = cut_file {
        text += &format!(" and kept in {file}");
    }
    if let Some(events) = dropped_events {
        text += &format!(", {events} events were dropped");
    }
    text + "\n"
}

/// Lines read at once.
const LINES: usize = 512;
const READABLE: &str =
    "name the folder of the server with --data-dir, and files that are there, as a user who may read them";
