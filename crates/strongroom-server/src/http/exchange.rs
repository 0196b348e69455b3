//! A request as the planes see it, and the answer they give.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use strongroom_core::request::Context as AuditContext;
use strongroom_types::Timestamp;
use uuid::Uuid;

/// A request that has arrived whole: within all limits, on a Host of ours.
#[derive(Debug)]
pub struct Inbound {
    /// Drawn for this request; answered as `x-ms-request-id`.
    pub id: Uuid,
    /// When its last byte had been read.
    pub received: Timestamp,
    /// Both ends of the connection it came on.
    pub peer: Peer,
    /// The method.
    pub method: Method,
    /// Which of our hosts it was sent to.
    pub host: Arc<Host>,
    /// Path and query.
    pub target: Target,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; empty if none.
    pub body: Bytes,
}

/// The target of a request: path and query as sent, in one text that whoever needs it shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    text: Arc<str>,
    path_bytes: usize,
}

impl Target {
    /// A path, and a query without `?`; empty if none.
    pub fn new(path: &str, query: &str) -> Self {
        let text = if query.is_empty() { path.into() } else { [path, "?", query].concat().into() };
        Self { text, path_bytes: path.len() }
    }
}

/// The ends of an accepted connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The client's address.
    pub remote: SocketAddr,
    /// The listener's address it arrived at.
    pub local: SocketAddr,
}

/// The host a request was sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Which plane it belongs to.
    pub plane: Plane,
    /// The `host[:port]` as sent, lower case: for `nextLink`, `Location`, `Azure-AsyncOperation` and the challenge.
    pub authority: String,
    /// The configured domain behind the plane's label with the request's port, such as `localhost:8443`.
    pub domain: String,
}

/// The planes behind the one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plane {
    /// `login.<domain>`.
    Authority,
    /// `management.<domain>`.
    Management,
    /// `graph.<domain>`.
    Graph,
    /// `<hsm>.managedhsm.<domain>`; the label, lower case.
    ManagedHsm(String),
    /// `<vault>.vault.<domain>`; the label, lower case.
    Vault(String),
    /// The instance metadata service, on its own listener under whatever Host; it is never found by name.
    Metadata,
    /// What programs that watch the server read, on its own listener on loopback.
    Monitoring,
}

/// An answer: always whole, never streamed.
pub type Outbound = http::Response<Whole>;

/// The bytes of an answer, and for the metrics the operation that a request asked for, in the words of the audit log. It is not
/// sent.
#[derive(Debug, Clone, Default)]
pub struct Whole {
    bytes: Full<Bytes>,
    operation: Option<&'static str>,
}

impl Whole {
    /// The operation, if a plane has said it.
    pub fn operation(&self) -> Option<&'static str> {
        self.operation
    }
}

impl<T: Into<Bytes>> From<T> for Whole {
    fn from(bytes: T) -> Self {
        Self { bytes: Full::new(bytes.into()), operation: None }
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.bytes).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}

impl Inbound {
    /// The first value of a query parameter, decoded; names are compared without case.
    pub fn query_parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        let query = self.query();
        if query.contains(['%', '+']) {
            let mut parameters = form_urlencoded::parse(query.as_bytes());
            return parameters.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        }
        // Nothing to decode, as in nearly all: what stands there is what is meant.
        let mut parameters = query.split('&').filter(|pair| !pair.is_empty());
        parameters.find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            key.eq_ignore_ascii_case(name).then_some(Cow::Borrowed(value))
        })
    }

    /// A header as text; `None` if absent or not ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The same of a header whose name need not be parsed.
    fn text_of(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The bearer token, if one was sent (RFC 6750 §2.1).
    pub fn bearer_token(&self) -> Option<&str> {
        let value = self.headers.get(header::AUTHORIZATION)?;
        let (scheme, token) = std::str::from_utf8(value.as_bytes()).ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// The path as sent.
    pub fn path(&self) -> &str {
        self.target.text.get(..self.target.path_bytes).unwrap_or_default()
    }

    /// The query as sent, without `?`; empty if none.
    pub fn query(&self) -> &str {
        self.target.text.get(self.target.path_bytes + 1..).unwrap_or_default()
    }

    /// Path and query as sent.
    pub fn uri(&self) -> &Arc<str> {
        &self.target.text
    }

    /// What the audit log will say of this request besides its outcome.
    pub fn context(
        &self,
        operation: &'static str,
        resource_id: impl Into<Arc<str>>,
        success_status: u16,
    ) -> AuditContext {
        let text = |name| self.text_of(&name).unwrap_or_default().to_owned();
        AuditContext {
            operation,
            operation_version: self.query_parameter("api-version").unwrap_or_default().into_owned(),
            resource_id: resource_id.into(),
            success_status,
            client_address: Some(self.peer.remote.ip()),
            uri: Arc::clone(self.uri()),
            user_agent: text(header::USER_AGENT),
            correlation_id: text(CLIENT_REQUEST_ID),
        }
    }

    /// `https://host[:port]` of this request.
    pub fn base_url(&self) -> String {
        format!("https://{}", self.host.authority)
    }
}

/// An answer with a JSON body.
pub fn json<T: Serialize>(status: StatusCode, body: &T) -> Outbound {
    // Room for nearly all answers, so that it need not grow.
    let mut bytes = Vec::with_capacity(BODY_BYTES);
    match serde_json::to_writer(&mut bytes, body) {
        Ok(()) => {
            let mut response = empty(status);
            *response.body_mut() = Whole::from(bytes);
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
            response
        }
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Outbound {
    let mut response = Outbound::new(Whole::default());
    *response.status_mut() = status;
    response.headers_mut().reserve(HEADERS);
    response
}

/// An answer that says when to come back if it is one of 429 or 503: unless what was asked for may have been done already, which
/// is not to be repeated blindly.
pub fn retryable(answer: Outbound, outcome_unknown: bool) -> Outbound {
    let passes = matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    if passes && !outcome_unknown { with_header(answer, header::RETRY_AFTER.as_str(), "1") } else { answer }
}

/// Notes which operation an answer belongs to.
pub fn performed(mut response: Outbound, operation: &'static str) -> Outbound {
    response.body_mut().operation = Some(operation);
    response
}

/// Adds a header that never changes.
pub fn with_static(mut response: Outbound, name: HeaderName, value: &'static str) -> Outbound {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

/// Adds a header; a value that cannot be one is left out.
pub fn with_header(mut response: Outbound, name: &'static str, value: &str) -> Outbound {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// The client's own id of a request.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
/// A key with its public part is shown in 800 bytes.
const BODY_BYTES: usize = 1024;
/// Headers of an answer of the data plane.
const HEADERS: usize = 16;
/// What every plane says, without the stop at its end, if the store's answer to a commit is lost.
pub const OUTCOME_UNKNOWN: &str = "Whether the request was carried out is not known; look before you repeat it";
/// What every plane says, without the stop at its end, of a request whose commit the store would not take.
pub const TOO_LARGE: &str = "The request is too large: ask for less at once";

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A request of which nothing else matters.
    pub(crate) fn asking(method: Method, plane: Plane, target: Target) -> Inbound {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Inbound {
            id: Uuid::nil(),
            received: Timestamp::default(),
            peer: Peer { remote: address, local: address },
            method,
            host: Arc::new(Host { plane, authority: String::new(), domain: String::new() }),
            target,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    fn inbound(query: &str) -> Inbound {
        asking(Method::GET, Plane::Graph, Target::new("/p", query))
    }

    #[test]
    fn a_target_has_the_path_and_the_query_it_was_made_of() {
        for (query, uri) in [("", "/p"), ("a=1&b", "/p?a=1&b")] {
            let inbound = inbound(query);
            assert_eq!((inbound.path(), inbound.query(), &**inbound.uri()), ("/p", query, uri));
        }
    }

    #[test]
    fn a_parameter_is_the_same_whether_anything_of_the_query_is_encoded_or_not() {
        for query in
            ["", "&", "a", "a=", "=a", "a=1", "A=1&a=2", "b&&a=1=2", "b=a&ab=1&a=x", "é=1&a=é", "a=?&a", "a;b=1"]
        {
            for name in ["a", "b", "", "é"] {
                // Another encoded parameter behind it makes no difference.
                let (plain, encoded) = (inbound(query), inbound(&format!("{query}&z=%20")));
                assert_eq!(plain.query_parameter(name), encoded.query_parameter(name), "{query} {name}");
            }
        }
        assert_eq!(inbound("%61=1+2").query_parameter("A").as_deref(), Some("1 2"));
    }
}
