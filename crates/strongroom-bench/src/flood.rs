//! A flood: requests at a rate of its own, whether those before are answered or not.
//!
//! Clients that wait for their answers ask for no more than they are given, however many they are. Here each thread has a
//! schedule: what is due is sent at once, on whichever connection has a stream left, and answers are taken as they come.
//! How late the threads were is part of the outcome: a flood that fell behind says nothing about the server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use tokio::task::JoinSet;

use crate::client::{Endpoint, Http2};
use crate::cores::on_core;
use crate::figures::{Latencies, real, whole};
use crate::load::Asked;
use crate::request::{Answer, Request};
use crate::{MeasureError, now};

/// How much is asked, and from where.
#[derive(Debug, Clone)]
pub struct Flood {
    /// Requests a second, of all threads together.
    pub rate: f64,
    /// For how long they become due.
    pub duration: Duration,
    /// How long after the last request answers are waited for.
    pub patience: Duration,
    /// Connections (HTTP/2) of all threads together; each carries up to 100 requests at a time.
    pub connections: usize,
    /// A thread for each of these cores; one that is bound to none if there are none.
    pub cores: Vec<usize>,
}

/// What came of it.
#[derive(Debug)]
pub struct Flooded {
    /// From the first request to the last.
    pub sending: Duration,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Requests that were sent.
    pub offered: u64,
    /// Requests that were due and not sent, because their thread waited for as many answers as it may.
    pub held_back: u64,
    /// How long after it was due each request was sent.
    pub lateness: Latencies,
    /// Times of what was answered with success, from when it was sent.
    pub latencies: Latencies,
    /// Times of what was refused with 429, from when it was sent.
    pub refusals: Latencies,
    /// Requests that failed in any other way.
    pub failed: u64,
    /// The first failure.
    pub failure: Option<String>,
}

impl Flood {
    /// Requests that one thread may have under way at a time.
    pub fn waiting_per_thread_max(&self) -> usize {
        self.connections_of_a_thread() * STREAMS
    }

    fn threads(&self) -> usize {
        self.cores.len().max(1)
    }

    fn connections_of_a_thread(&self) -> usize {
        self.connections.div_ceil(self.threads())
    }
}

impl Flooded {
    /// Whether requests were sent late: then the generator was the limit.
    pub fn fell_behind(&self) -> bool {
        self.lateness.of_thousand(990).is_some_and(|late| late > LATE_MICROSECONDS)
    }
}

/// Floods a server, from threads of its own.
///
/// # Errors
/// If there is no connection. A request that fails is part of the outcome; it ends the flood early, of all threads.
pub fn run(flood: &Flood, endpoint: &Endpoint, request: &Request) -> Result<Flooded, MeasureError> {
    let request = request.http2()?;
    let cores: Vec<_> =
        if flood.cores.is_empty() { vec![None] } else { flood.cores.iter().copied().map(Some).collect() };
    let part = Part {
        flood,
        rate: flood.rate / real(u64::try_from(flood.threads()).unwrap_or(1)),
        endpoint,
        request: &request,
        over: &AtomicBool::new(false),
    };
    let sent: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = cores.into_iter().map(|core| scope.spawn(move || part.run(core))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(Err(MeasureError::Ended))).collect()
    });
    let mut all = Sent::default();
    for sent in sent {
        all.add(sent?);
    }
    Ok(all.flooded())
}

/// What one thread does.
#[derive(Clone, Copy)]
struct Part<'a> {
    flood: &'a Flood,
    rate: f64,
    endpoint: &'a Endpoint,
    request: &'a http::Request<Full<Bytes>>,
    /// Whether a request failed on any of the threads. A server in trouble is not to be hammered.
    over: &'a AtomicBool,
}

impl Part<'_> {
    fn run(self, core: Option<usize>) -> Result<Sent, MeasureError> {
        let sent = on_core(core, || self.flood()).flatten();
        if sent.is_err() {
            self.over.store(true, Ordering::Relaxed);
        }
        sent
    }

    fn flood(self) -> Result<Sent, MeasureError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(MeasureError::io("no runtime"))?;
        runtime.block_on(async { Ok(self.send(self.connect().await?).await) })
    }

    async fn connect(self) -> Result<Connections, MeasureError> {
        let count = self.flood.connections_of_a_thread();
        let (mut all, mut drivers) = (Vec::with_capacity(count), JoinSet::new());
        for _ in 0..count {
            all.push(Connection { http2: Http2::connect(self.endpoint, &mut drivers).await?, waiting: 0 });
        }
        Ok(Connections { all, next: 0, _drivers: drivers })
    }

    async fn send(self, mut connections: Connections) -> Sent {
        let (mut sent, mut waiting) = (Sent::default(), JoinSet::new());
        let (begun, turns) = (now(), whole(self.rate * self.flood.duration.as_secs_f64()).max(1));
        let mut turn = 0;
        while turn < turns && !self.over.load(Ordering::Relaxed) {
            let due = whole(self.rate * begun.elapsed().as_secs_f64()).clamp(1, turns);
            for turn in turn..due.min(turn + TURNS_AT_ONCE) {
                let due = begun + Duration::from_secs_f64(real(turn) / self.rate);
                self.offer(due, &mut connections, &mut waiting, &mut sent);
            }
            turn = due.min(turn + TURNS_AT_ONCE);
            if turn == due {
                tokio::time::sleep(PAUSE).await;
            } else {
                tokio::task::yield_now().await;
            }
            while let Some(answered) = waiting.try_join_next() {
                sent.take(answered, &mut connections);
            }
            if sent.asked.failed > 0 {
                self.over.store(true, Ordering::Relaxed);
            }
        }
        sent.sending = begun.elapsed();
        let rest = async {
            while let Some(answered) = waiting.join_next().await {
                sent.take(answered, &mut connections);
            }
        };
        let patience = self.flood.patience;
        if tokio::time::timeout(patience, rest).await.is_err() {
            let unanswered = waiting.len();
            let failure = format!("{unanswered} requests were not answered within {patience:?}");
            sent.asked.fail_all(u64::try_from(unanswered).unwrap_or(u64::MAX), failure);
        }
        sent.elapsed = begun.elapsed();
        sent
    }

    /// Sends a request that is due, if a connection has a stream left.
    fn offer(self, due: Instant, connections: &mut Connections, waiting: &mut JoinSet<Answered>, sent: &mut Sent) {
        let Some((number, connection)) = connections.free() else {
            sent.held_back += 1;
            return;
        };
        connection.waiting += 1;
        let begun = now();
        sent.lateness.push(u32::try_from(begun.saturating_duration_since(due).as_micros()).unwrap_or(u32::MAX));
        let answer = connection.http2.send(self.request.clone());
        waiting.spawn(async move {
            let answer = answer.await;
            Answered { connection: number, took: begun.elapsed(), answer }
        });
    }
}

/// The connections of one thread.
struct Connections {
    all: Vec<Connection>,
    next: usize,
    /// What drives them; they end with it.
    _drivers: JoinSet<()>,
}

struct Connection {
    http2: Http2,
    /// Requests on it that are not answered.
    waiting: usize,
}

impl Connections {
    /// The next one with a stream left, and its number.
    fn free(&mut self) -> Option<(usize, &mut Connection)> {
        let count = self.all.len();
        let mut numbers = (0..count).map(|step| (self.next + step) % count);
        let number = numbers.find(|number| self.all.get(*number).is_some_and(|it| it.waiting < STREAMS))?;
        self.next = number + 1;
        Some((number, self.all.get_mut(number)?))
    }
}

/// What came of one request.
struct Answered {
    connection: usize,
    took: Duration,
    answer: Result<Answer, MeasureError>,
}

/// What came of all requests of one thread.
#[derive(Default)]
struct Sent {
    sending: Duration,
    elapsed: Duration,
    held_back: u64,
    lateness: Vec<u32>,
    asked: Asked,
}

impl Sent {
    fn take(&mut self, answered: Result<Answered, tokio::task::JoinError>, connections: &mut Connections) {
        match answered {
            Ok(Answered { connection, took, answer }) => {
                if let Some(connection) = connections.all.get_mut(connection) {
                    connection.waiting -= 1;
                }
                self.asked.count(took, answer);
            }
            Err(_) => self.asked.fail(MeasureError::Ended.to_string()),
        }
    }

    fn add(&mut self, other: Self) {
        let Self { sending, elapsed, held_back, lateness, asked } = other;
        self.sending = self.sending.max(sending);
        self.elapsed = self.elapsed.max(elapsed);
        self.held_back += held_back;
        self.lateness.extend(lateness);
        self.asked.add(asked);
    }

    fn flooded(self) -> Flooded {
        let Asked { answered, refused, failed, failure } = self.asked;
        Flooded {
            sending: self.sending,
            elapsed: self.elapsed,
            offered: u64::try_from(self.lateness.len()).unwrap_or(u64::MAX),
            held_back: self.held_back,
            lateness: Latencies::new(self.lateness),
            latencies: Latencies::new(answered),
            refusals: Latencies::new(refused),
            failed,
            failure,
        }
    }
}

/// Requests at a time on one connection: what every server of HTTP/2 should take at least (RFC 9113 §6.5.2).
const STREAMS: usize = 100;
/// Requests that are sent before answers are looked at again.
const TURNS_AT_ONCE: u64 = 64;
/// How long a thread sleeps that has nothing to send; as finely as the timer goes.
const PAUSE: Duration = Duration::from_millis(1);
/// A thread that sends its requests later than this is not the flood it is meant to be.
const LATE_MICROSECONDS: u32 = 25_000;

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::load::tests::{answering, failing_once, silent};

    fn request() -> Request {
        Request::new(Method::POST, "bare.localhost", "/keys", vec![("x-a", "1".to_owned())], "{}".to_owned())
    }

    /// A fifth of a second.
    fn flood(rate: f64) -> Flood {
        let (duration, patience) = (Duration::from_millis(200), Duration::from_secs(600));
        Flood { rate, duration, patience, connections: 3, cores: Vec::new() }
    }

    #[test]
    fn all_that_is_due_is_offered_and_every_answer_counts() {
        for (status, rate) in [(200, 500.0), (429, 1000.0)] {
            let flooded = run(&flood(rate), &answering(status), &request()).unwrap();
            assert_eq!((flooded.failed, flooded.failure.as_deref()), (0, None));
            assert_eq!(flooded.offered + flooded.held_back, whole(rate / 5.0));
            let answered = (flooded.latencies.count(), flooded.refusals.count());
            let offered = usize::try_from(flooded.offered).unwrap();
            assert_eq!(answered, if status == 200 { (offered, 0) } else { (0, offered) });
            assert!(flooded.elapsed >= flooded.sending);
        }
    }

    #[test]
    fn threads_share_the_rate_and_the_connections() {
        let cores = crate::cores::Cores::choose().map_or_else(Vec::new, |cores| vec![cores.server, cores.generator]);
        let flooded = run(&Flood { cores, ..flood(1000.0) }, &answering(200), &request()).unwrap();
        assert_eq!((flooded.offered + flooded.held_back, flooded.failed), (200, 0));
    }

    #[test]
    fn nothing_waits_for_an_answer_and_what_no_stream_is_left_for_is_held_back() {
        let brief = Flood { patience: Duration::from_millis(1), connections: 2, ..flood(2000.0) };
        let flooded = run(&brief, &silent(), &request()).unwrap();
        let answered = flooded.latencies.count() + flooded.refusals.count();
        assert_eq!((flooded.offered, flooded.held_back, answered, flooded.failed), (200, 200, 0, 200));
        assert_eq!(flooded.failure.unwrap(), "200 requests were not answered within 1ms");
    }

    #[test]
    fn a_failure_that_one_thread_sees_ends_all_of_them() {
        let cores = crate::cores::Cores::choose().map_or_else(Vec::new, |cores| vec![cores.server, cores.generator]);
        let long = Flood { duration: Duration::from_secs(600), cores, ..flood(1000.0) };
        let flooded = run(&long, &failing_once(), &request()).unwrap();
        assert_eq!((flooded.failed, flooded.failure.as_deref()), (1, Some("500 {}")));
        assert!(flooded.sending < long.duration, "nobody went on to the end");
    }

    #[test]
    fn a_failure_ends_it_and_nobody_there_is_an_error() {
        let long = Flood { duration: Duration::from_secs(600), ..flood(1000.0) };
        let flooded = run(&long, &answering(500), &request()).unwrap();
        assert!(flooded.failed > 0 && flooded.failure.as_deref() == Some("500 {}") && flooded.latencies.count() == 0);
        let mut nobody = answering(200);
        "other.localhost".clone_into(&mut nobody.name);
        assert!(matches!(run(&long, &nobody, &request()), Err(MeasureError::Io { .. })), "its name is checked");
    }

    #[test]
    fn a_generator_that_fell_behind_says_so() {
        let mut flooded = Sent { lateness: vec![2000; 1000], ..Sent::default() }.flooded();
        assert!(!flooded.fell_behind());
        flooded.lateness = Latencies::new([vec![2000; 980], vec![30_000; 20]].concat());
        assert!(flooded.fell_behind(), "more than one in a hundred was late");
    }
}
