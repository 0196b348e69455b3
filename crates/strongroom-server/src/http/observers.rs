//! Who is told of every answer: the metrics, and OpenTelemetry where it is built in and configured.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use strongroom_core::ports::Clock;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use crate::http::exchange::{Host, Outbound};
use crate::http::limits::{REQUESTS_APART_MAX, REQUESTS_MAX};
use crate::metrics::Metrics;
#[cfg(feature = "otlp")]
use crate::telemetry::{Finished, Spans};

/// Who is told of every answer, and how many requests may be at work. The edges of the public listeners share one.
#[derive(Debug, Clone)]
pub struct Observers {
    /// What is counted.
    pub metrics: Metrics,
    /// Requests at work hold a permit each.
    pub at_work: Arc<Semaphore>,
    /// Where spans go.
    #[cfg(feature = "otlp")]
    pub spans: Option<Spans>,
}

/// A request that has begun.
pub(super) struct Begun {
    at: Instant,
    host: Option<Arc<Host>>,
    #[cfg(feature = "otlp")]
    method: http::Method,
    #[cfg(feature = "otlp")]
    traceparent: Option<String>,
}

impl Default for Observers {
    fn default() -> Self {
        Self {
            metrics: Metrics::new(),
            at_work: Arc::new(Semaphore::new(REQUESTS_MAX)),
            #[cfg(feature = "otlp")]
            spans: None,
        }
    }
}

impl Observers {
    /// The same with requests at work of its own: who watches the server is answered just when everybody else is too many.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { at_work: Arc::new(Semaphore::new(REQUESTS_APART_MAX)), ..self.clone() }
    }

    /// Notes what an answer no longer shows.
    pub(super) fn begin<B>(&self, request: &Request<B>, host: Option<Arc<Host>>) -> Begun {
        #[cfg(not(feature = "otlp"))]
        let _ = request;
        Begun {
            at: Instant::now(),
            host,
            #[cfg(feature = "otlp")]
            method: request.method().clone(),
            #[cfg(feature = "otlp")]
            traceparent: self.spans.as_ref().and_then(|_| {
                let header = request.headers().get("traceparent")?.to_str().ok()?;
                (header.len() <= TRACEPARENT_BYTES).then(|| header.to_owned())
            }),
        }
    }

    /// Tells everybody. Requests to no host of ours are nobody's.
    pub(super) fn end(&self, begun: Begun, id: Uuid, clock: &dyn Clock, answer: &Outbound) {
        let Some(host) = &begun.host else { return };
        let took = begun.at.elapsed();
        self.metrics.answered(&host.plane, answer, took);
        self.tell_spans(&begun, id, clock, took, answer);
    }

    #[cfg(feature = "otlp")]
    fn tell_spans(&self, begun: &Begun, id: Uuid, clock: &dyn Clock, took: Duration, answer: &Outbound) {
        let (Some(spans), Some(host)) = (&self.spans, &begun.host) else { return };
        spans.finished(Finished {
            id,
            plane: crate::metrics::plane(&host.plane),
            operation: crate::metrics::operation(answer),
            method: begun.method.clone(),
            status: answer.status().as_u16(),
            ended: clock.now(),
            took,
            traceparent: begun.traceparent.clone(),
        });
    }

    #[cfg(not(feature = "otlp"))]
    fn tell_spans(&self, _: &Begun, _: Uuid, _: &dyn Clock, _: Duration, _: &Outbound) {}
}

/// A `traceparent` of the only version there is.
#[cfg(feature = "otlp")]
const TRACEPARENT_BYTES: usize = 55;
