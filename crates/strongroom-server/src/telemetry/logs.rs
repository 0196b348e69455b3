//! The audit log as log records: each line whole, hash and all, so that the chain can be verified where they are kept.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use serde_json::Value;

use crate::audit_log::follow::{EachError, Follow, Followed, each_batch};
use crate::data_dir::write_file;
use crate::tasks::Tasks;
use crate::telemetry::collector::Collector;
use crate::telemetry::values::{body, number, resource, scope, text};
use crate::telemetry::{AuditPlaces, Source};

/// Hands the log's lines to the collector, in their order, from where it last took them.
pub(super) struct AuditExport {
    places: AuditPlaces,
    source: Source,
    collector: Arc<Collector>,
}

impl AuditExport {
    pub(super) fn new(places: AuditPlaces, source: Source, collector: Arc<Collector>) -> Self {
        Self { places, source, collector }
    }

    /// Exports until the process stops. What is not exported then is exported after the next start.
    pub(super) fn begin(self, tasks: &Tasks) {
        let stopping = tasks.clone();
        tasks.spawn(async move {
            let mut follow = Follow::behind(self.places.folder.clone(), position(&self.places.position));
            loop {
                let read = tokio::task::spawn_blocking(move || {
                    let followed = follow.next(BATCH_LINES);
                    (follow, followed)
                });
                let Ok((at, followed)) = read.await else { return };
                follow = at;
                let pause = self.hand_over(&mut follow, followed).await;
                tokio::select! {
                    () = stopping.stopping() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
    }

    /// Answers with how long to wait for the next batch.
    async fn hand_over(&self, follow: &mut Follow, followed: io::Result<Followed>) -> Duration {
        let followed = match followed {
            Ok(followed) => followed,
            Err(error) => {
                tracing::warn!(%error, "the audit log cannot be read to be exported; it is tried again");
                return AFTER_FAILURE;
            }
        };
        if let Some(missing) = followed.missing {
            tracing::warn!(missing, "lines of the audit log were removed before the collector took them");
        }
        if let Some(last) = followed.last {
            if !self.collector.export("logs", &request(&followed.lines, &self.source)).await {
                return AFTER_FAILURE;
            }
            follow.taken();
            self.remember(last).await;
        }
        if followed.has_more { Duration::ZERO } else { IDLE }
    }

    /// Keeps how far the collector took the log.
    async fn remember(&self, last: u64) {
        let file = self.places.position.clone();
        // It waits for the disk.
        let written = tokio::task::spawn_blocking(move || write_file(&file, format!("{last}\n").as_bytes())).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "lines of the audit log may be exported twice after the next start");
        }
    }
}

/// The number of the last line that the collector took.
fn position(file: &Path) -> u64 {
    std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn request(lines: &[String], source: &Source) -> ExportLogsServiceRequest {
    let logs = ScopeLogs {
        scope: Some(scope("strongroom.audit", source)),
        log_records: lines.iter().filter_map(|line| record(line)).collect(),
        ..ScopeLogs::default()
    };
    let resource_logs =
        vec![ResourceLogs { resource: Some(resource(source)), scope_logs: vec![logs], ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }
}

/// A line of the log as a record; `None` for what is no JSON.
fn record(line: &str) -> Option<LogRecord> {
    let event: Value = serde_json::from_str(line).ok()?;
    let of = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let time = nanoseconds(of("time"));
    let failed = of("resultType") == "Failed";
    let (severity, severity_text) =
        if failed { (SeverityNumber::Warn, "WARN") } else { (SeverityNumber::Info, "INFO") };
    let sequence = event.get("sequence").and_then(Value::as_i64).unwrap_or_default();
    let mut attributes = vec![number("strongroom.audit.sequence", sequence)];
    let texts = [
        ("strongroom.audit.operation", of("operationName")),
        ("strongroom.audit.result", of("resultSignature")),
        ("strongroom.resource_id", of("resourceId")),
        ("strongroom.request_id", of("eventId")),
        ("client.address", of("callerIpAddress")),
        ("enduser.id", event.pointer("/identity/oid").and_then(Value::as_str).unwrap_or_default()),
    ];
    attributes.extend(texts.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| text(key, *value)));
    if let Some(status) = event.pointer("/properties/httpStatusCode").and_then(Value::as_i64) {
        attributes.push(number("http.response.status_code", status));
    }
    let request: Option<uuid::Uuid> = of("eventId").parse().ok();
    Some(LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time,
        severity_number: severity.into(),
        severity_text: severity_text.to_owned(),
        event_name: of("category").to_owned(),
        // The span of the request has the same, unless its client began the trace.
        trace_id: request.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
        attributes,
        body: Some(body(line.to_owned())),
        ..LogRecord::default()
    })
}

fn nanoseconds(time: &str) -> u64 {
    let nanoseconds = time.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_nanosecond);
    u64::try_from(nanoseconds).unwrap_or(0)
}

/// Writes lines behind a number as OTLP/JSON: one export request a line, as the `file` exporter of the collector does.
///
/// # Errors
/// [`EachError`].
pub fn export_json(
    folder: &Path,
    behind: u64,
    source: &Source,
    out: &mut dyn io::Write,
) -> Result<(), EachError<io::Error>> {
    each_batch(folder, behind, BATCH_LINES, |lines| {
        let mut batch = serde_json::to_vec(&request(lines, source))?;
        batch.push(b'\n');
        out.write_all(&batch)
    })
}

/// Lines handed over together.
const BATCH_LINES: usize = 256;
/// How long to wait when there was nothing more to hand over.
const IDLE: Duration = Duration::from_secs(1);
const AFTER_FAILURE: Duration = Duration::from_secs(5);
