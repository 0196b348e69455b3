//! Load: so many clients that each ask again as soon as they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::client::{Client, Clients};
pub use crate::client::{Endpoint, ask_once};
use crate::cores::{on_core, process_time, thread_time};
use crate::figures::{Latencies, per_second};
use crate::request::{Answer, Request};
use crate::{MeasureError, now};

/// The version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: one request at a time on a connection.
    Http1,
    /// HTTP/2: several at a time on a connection.
    Http2,
}

impl Protocol {
    /// Its name in ALPN (RFC 7301).
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// How much is asked.
#[derive(Debug, Clone)]
pub struct Load {
    /// The version of HTTP.
    pub protocol: Protocol,
    /// Requests at a time.
    pub at_once: usize,
    /// For how long.
    pub duration: Duration,
    /// After how many requests it ends at the latest.
    pub operations_max: Option<u64>,
    /// The core of the generator.
    pub core: Option<usize>,
    /// The process that answers, whose processor time is counted.
    pub server: Option<u32>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Times of what was answered with success.
    pub latencies: Latencies,
    /// Times of what was refused with 429.
    pub refusals: Latencies,
    /// Requests that failed in any other way.
    pub failed: u64,
    /// The first failure.
    pub failure: Option<String>,
    /// Processor time of the server.
    pub server_time: Option<Duration>,
    /// Processor time of the generator.
    pub generator_time: Duration,
}

impl Outcome {
    /// Operations that succeeded.
    pub fn operations(&self) -> u64 {
        u64::try_from(self.latencies.count()).unwrap_or(u64::MAX)
    }

    /// The same a second.
    pub fn per_second(&self) -> f64 {
        per_second(self.operations(), self.elapsed)
    }

    /// The server's processor time for one operation, in microseconds.
    pub fn server_microseconds(&self) -> Option<f64> {
        Some(self.server_time?.as_secs_f64() * 1e6 / per_second(self.operations().max(1), Duration::from_secs(1)))
    }

    /// Whether the figure is the generator's and not the server's: its core was full while the server's was not.
    pub fn is_of_the_generator(&self) -> bool {
        let share = |time: Duration| time.as_secs_f64() / self.elapsed.as_secs_f64().max(f64::EPSILON);
        let idle = self.server_time.is_some_and(|time| share(time) < SERVER_BUSY);
        idle && share(self.generator_time) >= GENERATOR_FULL
    }
}

/// Puts the load on a server, from a thread of its own.
///
/// # Errors
/// If there is no connection, or the server's processor time cannot be read. A request that fails is part of the outcome.
pub fn run(load: &Load, endpoint: &Endpoint, request: &Arc<Request>) -> Result<Outcome, MeasureError> {
    on_core(load.core, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(MeasureError::io("no runtime"))?;
        runtime.block_on(drive(load, endpoint, request))
    })?
}

async fn drive(load: &Load, endpoint: &Endpoint, request: &Arc<Request>) -> Result<Outcome, MeasureError> {
    let clients = Clients::connect(endpoint, load.protocol, load.at_once).await?;
    let server_time = || load.server.map(process_time).transpose();
    let before = (server_time()?, thread_time());
    let begun = now();
    let schedule = Arc::new(Schedule {
        end: begun + load.duration,
        operations_max: load.operations_max.unwrap_or(u64::MAX),
        next: AtomicU64::new(0),
    });
    let mut asking = JoinSet::new();
    for client in clients.clients {
        asking.spawn(ask_until_the_end(client, Arc::clone(request), Arc::clone(&schedule)));
    }
    let mut all = Asked::default();
    while let Some(asked) = asking.join_next().await {
        all.add(asked.map_err(|_| MeasureError::Ended)?);
    }
    let elapsed = begun.elapsed();
    let server_time = server_time()?.zip(before.0).map(|(after, before)| after.saturating_sub(before));
    Ok(Outcome {
        elapsed,
        latencies: Latencies::new(all.answered),
        refusals: Latencies::new(all.refused),
        failed: all.failed,
        failure: all.failure,
        server_time,
        generator_time: thread_time().saturating_sub(before.1),
    })
}

/// How long requests are sent.
struct Schedule {
    end: Instant,
    operations_max: u64,
    next: AtomicU64,
}

impl Schedule {
    /// When the next request begins; `None` when there is none any more. The first one is always sent.
    fn turn(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let now = now();
        let over = number >= self.operations_max || (number > 0 && now >= self.end);
        (!over).then_some(now)
    }
}

/// What came of the requests of one client.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) answered: Vec<u32>,
    pub(crate) refused: Vec<u32>,
    pub(crate) failed: u64,
    pub(crate) failure: Option<String>,
}

impl Asked {
    /// Counts what came of a request, and how long that took.
    pub(crate) fn count(&mut self, took: Duration, answer: Result<Answer, MeasureError>) {
        let microseconds = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        match answer {
            Ok(answer) if (200..300).contains(&answer.status) => self.answered.push(microseconds),
            Ok(answer) if answer.status == TOO_MANY_REQUESTS => self.refused.push(microseconds),
            Ok(answer) => self.fail(answer.summary()),
            Err(error) => self.fail(error.to_string()),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        let Self { answered, refused, failed, failure } = other;
        self.answered.extend(answered);
        self.refused.extend(refused);
        self.failed += failed;
        self.failure = self.failure.take().or(failure);
    }

    pub(crate) fn fail(&mut self, failure: String) {
        self.fail_all(1, failure);
    }

    /// Counts requests that failed for the same reason.
    pub(crate) fn fail_all(&mut self, count: u64, failure: String) {
        self.failed += count;
        self.failure.get_or_insert(failure);
    }
}

/// Ends early at a failure: what is measured then is worth nothing, and a server in trouble is not to be hammered.
async fn ask_until_the_end(mut client: Client, request: Arc<Request>, schedule: Arc<Schedule>) -> Asked {
    let mut asked = Asked::default();
    let fixed: Option<Bytes> = request.fixed();
    while let Some(begun) = schedule.turn() {
        let answer = client.ask(&request, fixed.as_ref()).await;
        asked.count(begun.elapsed(), answer);
        if asked.failed > 0 {
            break;
        }
    }
    asked
}

/// Share of a core from which on the generator counts as full.
const GENERATOR_FULL: f64 = 0.95;
/// Share of a core below which the server had time left.
const SERVER_BUSY: f64 = 0.85;
const TOO_MANY_REQUESTS: u16 = 429;

#[cfg(test)]
pub(crate) mod tests;
