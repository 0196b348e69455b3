//! Against a stand-in for a collector, which decodes what it gets.

use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use strongroom_types::Timestamp;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::*;
use crate::audit_log::segment::tests::{Log, event};
use crate::tasks::TaskOwner;

#[derive(Default)]
struct Taken {
    logs: Vec<LogRecord>,
    spans: Vec<Span>,
    refuse: bool,
}

/// A collector on loopback.
struct StandIn {
    endpoint: OtlpEndpoint,
    taken: Arc<Mutex<Taken>>,
}

impl StandIn {
    async fn start(tasks: &Tasks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = OtlpEndpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let taken = Arc::new(Mutex::new(Taken::default()));
        let (shared, connections) = (Arc::clone(&taken), tasks.clone());
        tasks.spawn(async move {
            loop {
                let stream = tokio::select! {
                    () = connections.stopping() => return,
                    accepted = listener.accept() => accepted.unwrap().0,
                };
                let taken = Arc::clone(&shared);
                let answer = service_fn(move |request| take(Arc::clone(&taken), request));
                let http = hyper::server::conn::http1::Builder::new();
                let connection = http.serve_connection(TokioIo::new(stream), answer);
                let stopping = connections.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = stopping.stopping() => {}
                        _ = connection => {}
                    }
                });
            }
        });
        Self { endpoint, taken }
    }

    async fn until(&self, enough: impl Fn(&Taken) -> bool) {
        for _ in 0..2000 {
            if enough(&self.taken.lock().unwrap()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the collector did not get enough");
    }
}

async fn take(
    taken: Arc<Mutex<Taken>>,
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut taken = taken.lock().unwrap();
    let mut answer = http::Response::new(Full::new(Bytes::new()));
    if std::mem::take(&mut taken.refuse) {
        *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        return Ok(answer);
    }
    match path.as_str() {
        "/v1/logs" => {
            let resources = ExportLogsServiceRequest::decode(body).unwrap().resource_logs;
            let scopes = resources.into_iter().flat_map(|resource| resource.scope_logs);
            taken.logs.extend(scopes.flat_map(|scope| scope.log_records));
        }
        "/v1/traces" => {
            let resources = ExportTraceServiceRequest::decode(body).unwrap().resource_spans;
            let scopes = resources.into_iter().flat_map(|resource| resource.scope_spans);
            taken.spans.extend(scopes.flat_map(|scope| scope.spans));
        }
        other => panic!("{other} is no signal"),
    }
    Ok(answer)
}

fn source() -> Source {
    Source { deployment: "d".to_owned(), version: "0" }
}

fn attribute(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue], key: &str) -> Option<Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

fn places(log: &Log, beside: &tempfile::TempDir) -> AuditPlaces {
    AuditPlaces { folder: log.folder.path().to_owned(), position: beside.path().join("position") }
}

#[tokio::test]
async fn every_line_of_the_log_is_exported_once_across_segments_and_restarts() {
    let (log, beside) = (Log::new(2000), tempfile::tempdir().unwrap());
    let mut segments = log.start();
    for number in 0..10 {
        log.append(&mut segments, &[event(number)]);
    }
    let owner = TaskOwner::new();
    let stand_in = StandIn::start(&owner.tasks()).await;
    stand_in.taken.lock().unwrap().refuse = true;
    let roots = RootCertStore::empty();
    let exporting = TaskOwner::new();
    begin(&stand_in.endpoint, source(), places(&log, &beside), &roots, &exporting.tasks()).unwrap();
    let lines = usize::try_from(segments.last()).unwrap();
    stand_in.until(|taken| taken.logs.len() >= lines).await;
    log.append(&mut segments, &[event(20)]);
    stand_in.until(|taken| taken.logs.len() > lines).await;
    while std::fs::read_to_string(beside.path().join("position")).unwrap_or_default().trim()
        != segments.last().to_string()
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(exporting.stop(Duration::from_secs(5)).await);
    log.append(&mut segments, &[event(21)]);
    let exporting = TaskOwner::new();
    begin(&stand_in.endpoint, source(), places(&log, &beside), &roots, &exporting.tasks()).unwrap();
    let last = segments.last();
    let is_last = |record: &LogRecord| {
        attribute(&record.attributes, "strongroom.audit.sequence")
            == Some(Value::IntValue(i64::try_from(last).unwrap()))
    };
    stand_in.until(|taken| taken.logs.iter().any(is_last)).await;
    let taken = stand_in.taken.lock().unwrap();
    let sequences: Vec<_> =
        taken.logs.iter().map(|record| attribute(&record.attributes, "strongroom.audit.sequence")).collect();
    let expected: Vec<_> = (1..=i64::try_from(last).unwrap()).map(|number| Some(Value::IntValue(number))).collect();
    assert_eq!(sequences, expected, "each once, in order");
    let record = taken.logs.iter().find(|record| record.event_name == "AuditEvent").unwrap();
    let Some(Value::StringValue(line)) = record.body.as_ref().and_then(|body| body.value.clone()) else { panic!() };
    assert!(line.starts_with("{\"sequence\":") && line.contains("\"hash\":\""), "{line}");
    assert_eq!(
        attribute(&record.attributes, "strongroom.audit.operation"),
        Some(Value::StringValue("KeyGet".to_owned()))
    );
}

#[tokio::test]
async fn a_request_is_a_span_under_its_id_or_its_clients_trace() {
    let (log, beside) = (Log::new(2000), tempfile::tempdir().unwrap());
    let owner = TaskOwner::new();
    let stand_in = StandIn::start(&owner.tasks()).await;
    let roots = RootCertStore::empty();
    let spans = begin(&stand_in.endpoint, source(), places(&log, &beside), &roots, &owner.tasks()).unwrap();
    let finished = Finished {
        id: Uuid::from_u128(7),
        plane: "managedhsm",
        operation: "KeySign",
        method: http::Method::POST,
        status: 503,
        ended: Timestamp::from_seconds(10),
        took: Duration::from_millis(4),
        traceparent: None,
    };
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned();
    spans.finished(finished.clone());
    spans.finished(Finished { id: Uuid::from_u128(8), status: 200, traceparent: Some(traceparent), ..finished });
    stand_in.until(|taken| taken.spans.len() == 2).await;
    let taken = stand_in.taken.lock().unwrap();
    let (own, of_client) = (&taken.spans[0], &taken.spans[1]);
    assert_eq!((own.name.as_str(), own.trace_id.as_slice()), ("KeySign", &Uuid::from_u128(7).as_bytes()[..]));
    assert_eq!(own.end_time_unix_nano - own.start_time_unix_nano, 4_000_000);
    assert_eq!(own.status.as_ref().unwrap().code, 2, "an error of the server");
    assert_eq!((of_client.trace_id[0], of_client.parent_span_id[7]), (0x4b, 0xb7));
    let id = attribute(&of_client.attributes, "strongroom.request_id");
    assert_eq!(id, Some(Value::StringValue(Uuid::from_u128(8).to_string())));
}

#[test]
fn the_log_can_be_written_out_as_otlp_json() {
    let log = Log::new(2000);
    let mut segments = log.start();
    log.append(&mut segments, &[event(1), event(2)]);
    let mut out = Vec::new();
    export_json(log.folder.path(), 2, &source(), &mut out).unwrap();
    let request: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let records = request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap();
    assert_eq!(records.len(), 2, "{request}");
    assert_eq!(records[0]["traceId"], "00000000000000000000000000000001");
    assert_eq!(records[0]["severityNumber"], 9);
}
