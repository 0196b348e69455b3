//! From a request on a connection to one that a plane can answer, and back.
//!
//! Everything that is the same on all planes happens here, once: the Host, the limits, the body, the request's id and
//! time, panics, the headers of every answer.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::Body;
use quick_cache::sync::Cache;
use strongroom_api::error::ErrorBody;
use strongroom_cluster::Ticket;
use strongroom_core::ports::Clock;
use strongroom_crypto::Entropy;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use uuid::Uuid;

use crate::http::exchange::{Host, Inbound, Outbound, Peer, Plane, Target, json, performed, retryable};
use crate::http::health::{Health, Question};
use crate::http::limits::{BODY_BYTES_MAX, BODY_READ_MAX, DISCARD_MAX, DISCARDED_BYTES_MAX, REQUEST_MAX};
use crate::http::observers::Observers;
use crate::http::planes::{Found, Handle, Planes};
use crate::http::proxies::Proxies;
use crate::http::request_ids::RequestIds;
use crate::membership::Membership;
use crate::metrics::{self, NotAnswered};
use crate::tasks::Tasks;

/// What stands between the connections and the planes.
pub struct Edge {
    planes: Planes,
    /// What hosts meant that were asked for.
    found: Cache<String, Found>,
    health: Arc<Health>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    ids: RequestIds,
    tasks: Tasks,
    observers: Observers,
    proxies: Option<Arc<Proxies>>,
    membership: Membership,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").field("planes", &self.planes).finish_non_exhaustive()
    }
}

/// A whole answer, or the refusal that is sent instead.
type OrRefusal<T> = Result<T, Refusal>;

/// Why the edge did not hand a request on, or its answer back.
#[derive(Debug, Clone, Copy)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
    /// Whether what was asked for may have been done all the same.
    may_be_done: bool,
}

impl Edge {
    /// An edge in front of the planes.
    pub fn new(
        planes: Planes,
        health: Arc<Health>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        tasks: Tasks,
    ) -> Self {
        let (observers, membership) = (Observers::default(), Membership::alone());
        let (found, ids) = (Cache::new(FOUND_MAX), RequestIds::default());
        Self { planes, found, health, clock, entropy, ids, tasks, observers, proxies: None, membership }
    }

    /// The same behind proxies that are believed when they say for whom they speak.
    #[must_use]
    pub fn behind(self, proxies: Option<Arc<Proxies>>) -> Self {
        Self { proxies, ..self }
    }

    /// The same, telling who others tell. Only the public planes share the requests at work with others.
    #[must_use]
    pub fn observed(self, observers: &Observers) -> Self {
        let observers = match self.planes {
            Planes::Public(_) => observers.clone(),
            Planes::Metadata(_) | Planes::Monitoring(_) => observers.apart(),
        };
        Self { observers, ..self }
    }

    /// The same on a node of a cluster, which answers only while it serves. It can be watched all the time.
    #[must_use]
    pub fn of(self, membership: Membership) -> Self {
        match self.planes {
            Planes::Public(_) | Planes::Metadata(_) => Self { membership, ..self },
            Planes::Monitoring(_) => self,
        }
    }

    /// Answers one request. Never fails: whatever goes wrong becomes an answer.
    pub async fn serve<B>(&self, request: Request<B>, peer: Peer) -> Outbound
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let Ok(id) = self.ids.next(self.entropy.as_ref()) else { return finish(NO_ENTROPY.answer(), Uuid::nil()) };
        let closable = request.version() < Version::HTTP_2;
        let found = self.find(&request);
        let host = found.as_ref().ok().map(|found| Arc::clone(&found.host));
        let begun = self.observers.begin(&request, host);
        let answer = match self.try_serve(request, found, peer, id).await {
            Ok(answer) => answer,
            // The rest of the body is thrown away, not parsed as a next request.
            Err(refusal) if closable && refusal.leaves_a_body() => closing(refusal.answer()),
            Err(refusal) => refusal.answer(),
        };
        self.observers.end(begun, id, self.clock.as_ref(), &answer);
        finish(answer, id)
    }

    /// Which host of ours a request is for, and who answers there.
    fn find<B>(&self, request: &Request<B>) -> OrRefusal<Found> {
        let authority = authority(request)?;
        if let Some(found) = self.found.get(authority) {
            return Ok(found);
        }
        let found = self.planes.find(authority).ok_or(MISDIRECTED)?;
        if authority.len() <= AUTHORITY_BYTES_MAX {
            self.found.insert(authority.to_owned(), found.clone());
        }
        Ok(found)
    }

    async fn try_serve<B>(
        &self,
        request: Request<B>,
        found: OrRefusal<Found>,
        peer: Peer,
        id: Uuid,
    ) -> OrRefusal<Outbound>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        if request.version() < Version::HTTP_11 {
            return Err(OLD_VERSION);
        }
        let Found { host, plane } = found?;
        // Scripts wait for it (architecture.md §4), and it must answer while everything else is too busy.
        let asked = Question::of(request.uri().path()).filter(|_| host.plane == Plane::Management);
        if let Some(question) = asked {
            return Ok(performed(self.health.answer(request.method(), question), "Health"));
        }
        let permit = Arc::clone(&self.observers.at_work).try_acquire_owned().map_err(|_| TOO_BUSY)?;
        let peer = self.client(peer, request.headers())?;
        if plane.is_full_for(&host, peer, request.uri().path(), request.headers()) {
            return Err(TOO_BUSY);
        }
        let inbound = self.receive(request, host, peer, id).await?;
        let Ok(ticket) = self.membership.begin() else {
            self.observers.metrics.not_answered(NotAnswered::NotServing);
            return Err(NOT_SERVING);
        };
        let answer = self.handle(plane, inbound, permit, ticket.clone()).await?;
        self.still(ticket, answer, id)
    }

    /// The answer, unless this node may not give it any more: what it rests on may be out of date.
    fn still(&self, ticket: Option<Ticket>, answer: Outbound, id: Uuid) -> OrRefusal<Outbound> {
        if ticket.is_none_or(|ticket| ticket.check().is_ok()) {
            return Ok(answer);
        }
        let (operation, status) = (metrics::operation(&answer), answer.status().as_u16());
        tracing::warn!(request = %id, operation, status, "an answer was withheld: this node had stopped serving, or was too slow");
        self.observers.metrics.not_answered(NotAnswered::Withheld);
        Err(WITHHELD)
    }

    /// Who asks, where a proxy of ours says so in a header.
    fn client(&self, peer: Peer, headers: &HeaderMap) -> OrRefusal<Peer> {
        let Some(proxies) = &self.proxies else { return Ok(peer) };
        let client = proxies.forwarded(peer.remote.ip(), headers).map_err(|_| BAD_FORWARDED)?;
        Ok(client.map_or(peer, |address| Peer { remote: SocketAddr::new(address, 0), ..peer }))
    }

    /// Reads the request to its last byte.
    async fn receive<B>(&self, request: Request<B>, host: Arc<Host>, peer: Peer, id: Uuid) -> OrRefusal<Inbound>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let (mut parts, body) = request.into_parts();
        let keeps_connection = parts.version >= Version::HTTP_2;
        let body = self.read_body(&parts.headers, body, keeps_connection).await?;
        // HTTP/2 has no Host header; the planes need not know which version it was.
        if !parts.headers.contains_key(header::HOST)
            && let Ok(value) = HeaderValue::from_str(&host.authority)
        {
            parts.headers.insert(header::HOST, value);
        }
        Ok(Inbound {
            id,
            received: self.clock.now(),
            peer,
            method: parts.method,
            host,
            target: Target::new(parts.uri.path(), parts.uri.query().unwrap_or_default()),
            headers: parts.headers,
            body,
        })
    }

    async fn read_body<B>(&self, headers: &HeaderMap, mut body: B, keeps_connection: bool) -> OrRefusal<Bytes>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let read = match announced {
            Some(bytes) if bytes > BODY_BYTES_MAX as u64 => Err(BODY_TOO_LARGE),
            // Nothing to wait for, and no time to limit.
            _ if body.is_end_stream() => Ok(Bytes::new()),
            _ => timeout(BODY_READ_MAX, collect(&mut body)).await.unwrap_or(Err(BODY_TOO_SLOW)),
        };
        // Over HTTP/2 the stream is reset. Over HTTP/1.1 most clients read nothing before they have sent everything:
        // a connection closed in their face would look like a network error.
        if read.is_err() && !keeps_connection {
            self.tasks.spawn(discard(body));
        }
        read
    }

    async fn handle(
        &self,
        plane: Arc<dyn Handle>,
        inbound: Inbound,
        permit: OwnedSemaphorePermit,
        ticket: Option<Ticket>,
    ) -> OrRefusal<Outbound> {
        let id = inbound.id;
        let work = Box::pin(async move {
            let work: Work<'_, Outbound> = match &ticket {
                Some(ticket) => Box::pin(ticket.scope(plane.handle(inbound))),
                None => plane.handle(inbound),
            };
            let answer = timeout(REQUEST_MAX, caught(work)).await;
            drop(permit);
            match answer {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(Panicked)) => {
                    tracing::error!(request = %id, "a request panicked and was answered 500: please report this");
                    Err(FAULT)
                }
                Err(_) => {
                    tracing::error!(request = %id, "a request took longer than {REQUEST_MAX:?} and was given up");
                    Err(TOO_SLOW)
                }
            }
        });
        Finishing { work: Some(work), tasks: &self.tasks }.await
    }
}

/// Work that goes on as a task of its own if nobody waits for it any more: a request that arrived whole is done and
/// audited even if its client goes away.
struct Finishing<'a, T: Send + 'static> {
    work: Option<Work<'static, T>>,
    tasks: &'a Tasks,
}

type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl<T: Send + 'static> Future for Finishing<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<T> {
        let Some(work) = self.work.as_mut() else { return Poll::Pending };
        let done = work.as_mut().poll(context);
        if done.is_ready() {
            self.work = None;
        }
        done
    }
}

impl<T: Send + 'static> Drop for Finishing<'_, T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.tasks.spawn(async move { drop(work.await) });
        }
    }
}

struct Panicked;

/// Runs a future; a panic in it becomes an error. What the future held is dropped, so nothing half-done is seen again.
async fn caught<T>(mut work: Work<'_, T>) -> Result<T, Panicked> {
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

/// `host[:port]` of a request (RFC 9112 §3.2, RFC 9113 §8.3.1): exactly one, the same wherever it is said.
fn authority<B>(request: &Request<B>) -> OrRefusal<&str> {
    let mut said = request.headers().get_all(header::HOST).iter();
    let header = said.next().map(HeaderValue::to_str).transpose().map_err(|_| BAD_HOST)?;
    let target = request.uri().authority().map(Authority::as_str);
    if said.next().is_some() {
        return Err(BAD_HOST);
    }
    match (header, target) {
        (Some(header), Some(target)) if !header.eq_ignore_ascii_case(target) => Err(BAD_HOST),
        (Some(authority), _) | (None, Some(authority)) if !authority.is_empty() => Ok(authority),
        _ => Err(BAD_HOST),
    }
}

async fn collect<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> OrRefusal<Bytes> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BODY_BROKEN)?.into_data() else { continue };
        if first.len() + all.len() + data.len() > BODY_BYTES_MAX {
            return Err(BODY_TOO_LARGE);
        }
        // Nearly all bodies arrive in one piece, which then is not copied.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let reading = async {
        let mut left = DISCARDED_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // Whoever is still sending then is cut off.
    let _ = timeout(DISCARD_MAX, reading).await;
}

/// Adds what every answer carries (data-plane.md §5), unless the plane has said something else.
fn finish(mut answer: Outbound, id: Uuid) -> Outbound {
    let headers = answer.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer())) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in COMMON_HEADERS {
        headers.entry(name).or_insert(value);
    }
    answer
}

impl Refusal {
    fn answer(self) -> Outbound {
        retryable(json(self.status, &ErrorBody::new(self.code, self.message)), self.may_be_done)
    }

    fn leaves_a_body(self) -> bool {
        matches!(self.status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT)
    }
}

fn closing(mut answer: Outbound) -> Outbound {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

const fn refusal(status: StatusCode, code: &'static str, message: &'static str) -> Refusal {
    Refusal { status, code, message, may_be_done: false }
}

/// The same for a request that a plane was handed and may have carried out.
const fn unknown(code: &'static str, message: &'static str) -> Refusal {
    Refusal { status: StatusCode::SERVICE_UNAVAILABLE, code, message, may_be_done: true }
}

/// Hosts whose meaning is remembered, and the longest name of them: a quarter of a megabyte.
const FOUND_MAX: usize = 512;
const AUTHORITY_BYTES_MAX: usize = 300;

const OLD_VERSION: Refusal =
    refusal(StatusCode::BAD_REQUEST, "HttpVersionNotSupported", "HTTP/1.1 or HTTP/2 is needed.");
const BAD_HOST: Refusal =
    refusal(StatusCode::BAD_REQUEST, "InvalidHost", "The request must name its host exactly once, in the Host header.");
const BAD_FORWARDED: Refusal =
    refusal(StatusCode::BAD_REQUEST, "InvalidForwardedFor", "The proxy's X-Forwarded-For header holds no address.");
const MISDIRECTED: Refusal =
    refusal(StatusCode::MISDIRECTED_REQUEST, "MisdirectedRequest", "This server has no such host.");
const BODY_TOO_LARGE: Refusal =
    refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "The request body is larger than 1 MiB.");
const BODY_TOO_SLOW: Refusal =
    refusal(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", "The request body did not arrive in time.");
const BODY_BROKEN: Refusal =
    refusal(StatusCode::BAD_REQUEST, "BadRequest", "The request body could not be read to its end.");
const TOO_BUSY: Refusal =
    refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "Too many requests are at work. Try again.");
const TOO_SLOW: Refusal = unknown(
    "ServiceTimeout",
    "The request took too long and was given up. What it changes may be done: look, then try again.",
);
const NOT_SERVING: Refusal = refusal(
    StatusCode::SERVICE_UNAVAILABLE,
    "NotServing",
    "This node of the cluster does not serve at the moment, and has done nothing. Try again, on any node.",
);
const WITHHELD: Refusal = unknown(
    "AnswerWithheld",
    "The request took so long that its answer may be out of date. What it changes may be done: look, then try again.",
);
const NO_ENTROPY: Refusal =
    refusal(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "The random number generator failed. Try again.");
const FAULT: Refusal = refusal(
    StatusCode::INTERNAL_SERVER_ERROR,
    "InternalServerError",
    "The server made a mistake. Its log has the details under the request id.",
);

const COMMON_HEADERS: [(header::HeaderName, HeaderValue); 4] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN")),
];

const REQUEST_ID: header::HeaderName = header::HeaderName::from_static("x-ms-request-id");

#[cfg(test)]
mod tests;
