//! A request as the planes see it, and the answer they give.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use strongroom_core::request::Context;
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
    pub host: Host,
    /// The path as sent.
    pub path: String,
    /// The query as sent, without `?`; empty if none.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; empty if none.
    pub body: Bytes,
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

/// The operation that a request asked for, in the words of the audit log: planes leave it on their answers for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Performed(pub &'static str);

/// An answer: always whole, never streamed.
pub type Outbound = http::Response<Full<Bytes>>;

impl Inbound {
    /// The first value of a query parameter, decoded; names are compared without case.
    pub fn query_parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.into_owned())
    }

    /// A header as text; `None` if absent or not ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The bearer token, if one was sent (RFC 6750 §2.1).
    pub fn bearer_token(&self) -> Option<&str> {
        let (scheme, token) = self.header(header::AUTHORIZATION.as_str())?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// Path and query as sent, for the audit log.
    pub fn uri(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }

    /// What the audit log will say of this request besides its outcome.
    pub fn context(&self, operation: &'static str, resource_id: String, success_status: u16) -> Context {
        let text = |name: &str| self.header(name).unwrap_or_default().to_owned();
        Context {
            operation,
            operation_version: self.query_parameter("api-version").unwrap_or_default(),
            resource_id,
            success_status,
            client_address: Some(self.peer.remote.ip()),
            uri: self.uri(),
            user_agent: text("user-agent"),
            correlation_id: text("x-ms-client-request-id"),
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
            *response.body_mut() = Full::new(Bytes::from(bytes));
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
    let mut response = Outbound::new(Full::new(Bytes::new()));
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
    response.extensions_mut().insert(Performed(operation));
    response
}

/// Adds a header that never changes.
pub fn with_static(mut response: Outbound, name: &'static str, value: &'static str) -> Outbound {
    response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    response
}

/// Adds a header; a value that cannot be one is left out.
pub fn with_header(mut response: Outbound, name: &'static str, value: &str) -> Outbound {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// A key with its public part is shown in 800 bytes.
const BODY_BYTES: usize = 1024;
/// Headers of an answer of the data plane.
const HEADERS: usize = 16;
/// What every plane says, without the stop at its end, if the store's answer to a commit is lost.
pub const OUTCOME_UNKNOWN: &str = "Whether the request was carried out is not known; look before you repeat it";
/// What every plane says, without the stop at its end, of a request whose commit the store would not take.
pub const TOO_LARGE: &str = "The request is too large: ask for less at once";
