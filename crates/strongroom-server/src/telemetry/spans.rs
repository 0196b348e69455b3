//! Requests as spans: one for each, under the trace that its client began (W3C `traceparent`), or under the request's own id.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use strongroom_types::Timestamp;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::tasks::Tasks;
use crate::telemetry::Source;
use crate::telemetry::collector::Collector;
use crate::telemetry::values::{number, resource, scope, text};

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its id.
    pub id: Uuid,
    /// Its plane.
    pub plane: &'static str,
    /// The operation, in the words of the audit log.
    pub operation: &'static str,
    /// The method.
    pub method: http::Method,
    /// The status of the answer.
    pub status: u16,
    /// When its answer was ready.
    pub ended: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What its client sent as `traceparent`.
    pub traceparent: Option<String>,
}

/// Takes finished requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spans(mpsc::Sender<Finished>);

impl Spans {
    /// Begins to export.
    pub(super) fn begin(collector: Arc<Collector>, source: Source, tasks: &Tasks) -> Self {
        let (sender, mut receiver) = mpsc::channel::<Finished>(QUEUE);
        let stopping = tasks.clone();
        tasks.spawn(async move {
            let mut batch = Vec::new();
            loop {
                let received = tokio::select! {
                    () = stopping.stopping() => 0,
                    received = receiver.recv_many(&mut batch, BATCH_SPANS) => received,
                };
                if received == 0 {
                    return;
                }
                // Not tried again: spans are for looking at what happens now.
                collector.export("traces", &request(&batch, &source)).await;
                batch.clear();
                tokio::select! {
                    () = stopping.stopping() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        });
        Self(sender)
    }

    /// Takes a request, or drops it if too many wait.
    pub fn finished(&self, request: Finished) {
        let _ = self.0.try_send(request);
    }
}

fn request(batch: &[Finished], source: &Source) -> ExportTraceServiceRequest {
    let spans = ScopeSpans {
        scope: Some(scope("strongroom.requests", source)),
        spans: batch.iter().map(span).collect(),
        ..ScopeSpans::default()
    };
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource(source)), scope_spans: vec![spans], ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

fn span(finished: &Finished) -> Span {
    let Finished { id, plane, operation, method, status, ended, took, traceparent } = finished;
    let ended = u64::try_from(ended.millis()).unwrap_or(0).saturating_mul(1_000_000);
    let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    let (trace_id, parent_span_id) =
        traceparent.as_deref().and_then(parent).unwrap_or((id.as_bytes().to_vec(), Vec::new()));
    let code = if *status < 500 { StatusCode::Unset } else { StatusCode::Error };
    Span {
        trace_id,
        span_id: id.as_bytes().get(..8).unwrap_or_default().to_vec(),
        parent_span_id,
        name: (*operation).to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: ended.saturating_sub(took),
        end_time_unix_nano: ended,
        attributes: vec![
            text("strongroom.request_id", id.to_string()),
            text("strongroom.plane", *plane),
            text("http.request.method", method.as_str()),
            number("http.response.status_code", i64::from(*status)),
        ],
        status: Some(Status { code: code.into(), ..Status::default() }),
        ..Span::default()
    }
}

/// Trace and parent of a `traceparent` (W3C Trace Context §3.2): `00-<32 hex>-<16 hex>-<2 hex>`, neither id all zeros.
fn parent(header: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let [version, trace, span, flags] = <[&str; 4]>::try_from(header.split('-').take(5).collect::<Vec<_>>()).ok()?;
    if version != "00" || flags.len() != 2 {
        return None;
    }
    Some((identifier(trace, 16)?, identifier(span, 8)?))
}

fn identifier(hex: &str, length: usize) -> Option<Vec<u8>> {
    let is_hex = hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if hex.len() != length * 2 || !is_hex {
        return None;
    }
    let number = u128::from_str_radix(hex, 16).ok().filter(|number| *number != 0)?;
    Some(number.to_be_bytes().get(16 - length..)?.to_vec())
}

/// Requests that wait to be exported.
const QUEUE: usize = 4096;
/// Spans handed over together.
const BATCH_SPANS: usize = 512;
/// Between two batches, so that a busy server does not make one POST for each request.
const PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_a_client_began_goes_on() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let (trace, span) = parent(good).unwrap();
        assert_eq!((trace[0], trace[15], span[0], span[7]), (0x4b, 0x36, 0x00, 0xb7));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert!(parent(bad).is_none(), "{bad}");
        }
    }
}
