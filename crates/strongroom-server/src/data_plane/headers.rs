//! The headers of Managed HSM's answers (data-plane.md §5), beside those that all planes share. No client needs them.

use std::net::IpAddr;

use http::header::HeaderName;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::Full;

use crate::http::exchange::{Inbound, Outbound, empty, with_header, with_static};

/// What every answer carries. `milliseconds` is how long the request was at work.
pub(super) fn dress(answer: Outbound, inbound: &Inbound, milliseconds: i64) -> Outbound {
    let mut answer = with_static(answer, "content-security-policy", "default-src 'self'");
    answer.headers_mut().insert(SERVER_LATENCY, HeaderValue::from(milliseconds.max(0)));
    if inbound.method == Method::GET {
        return with_static(answer, "x-ms-build-version", env!("CARGO_PKG_VERSION"));
    }
    answer
}

/// What answers to a known caller carry besides.
pub(super) fn dress_for_caller(answer: Outbound, inbound: &Inbound) -> Outbound {
    let family = match inbound.peer.remote.ip().to_canonical() {
        IpAddr::V4(_) => "Ipv4",
        IpAddr::V6(_) => "Ipv6",
    };
    let address = inbound.peer.remote.ip().to_canonical();
    let network = format!("conn_type={family};addr={address};act_addr_fam={family};");
    let answer = with_static(answer, "x-ms-keyvault-region", "local");
    with_header(answer, "x-ms-keyvault-network-info", &network)
}

/// The 401 that asks for a token. A GET has the body `OK`, as recorded; others have none.
pub(super) fn challenge(inbound: &Inbound, challenge: &str) -> Outbound {
    let mut answer = empty(StatusCode::UNAUTHORIZED);
    if inbound.method == Method::GET {
        *answer.body_mut() = Full::from("OK");
        answer = with_header(answer, header::CONTENT_TYPE.as_str(), "text/plain; charset=utf-8");
    }
    with_header(answer, header::WWW_AUTHENTICATE.as_str(), challenge)
}

const SERVER_LATENCY: HeaderName = HeaderName::from_static("x-ms-server-latency");
