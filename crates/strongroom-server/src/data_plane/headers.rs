//! The headers of Managed HSM's answers (data-plane.md §5), beside those that all planes share. No client needs them.

use std::net::IpAddr;

use http::header::HeaderName;
use http::{HeaderValue, Method, StatusCode, header};
use quick_cache::sync::Cache;

use crate::http::exchange::{Inbound, Outbound, Peer, Whole, empty, with_header, with_static};

/// What every answer carries. `milliseconds` is how long the request was at work.
pub(super) fn dress(answer: Outbound, inbound: &Inbound, milliseconds: i64) -> Outbound {
    let mut answer = with_static(answer, header::CONTENT_SECURITY_POLICY, "default-src 'self'");
    let latency = match milliseconds {
        // Nearly all.
        ..=0 => HeaderValue::from_static("0"),
        milliseconds => HeaderValue::from(milliseconds),
    };
    answer.headers_mut().insert(SERVER_LATENCY, latency);
    if inbound.method == Method::GET {
        return with_static(answer, BUILD_VERSION, env!("CARGO_PKG_VERSION"));
    }
    answer
}

/// What answers to a known caller say about where it asks from, by its address: written once for many requests.
pub(super) struct NetworkInfos(Cache<IpAddr, HeaderValue>);

impl Default for NetworkInfos {
    fn default() -> Self {
        Self(Cache::new(ADDRESSES_MAX))
    }
}

impl NetworkInfos {
    /// What answers to a known caller carry besides.
    pub(super) fn dress(&self, answer: Outbound, peer: Peer) -> Outbound {
        let mut answer = with_static(answer, REGION, "local");
        let address = peer.remote.ip().to_canonical();
        let known = self.0.get(&address);
        let network = known.or_else(|| network_info(address).inspect(|value| self.0.insert(address, value.clone())));
        if let Some(network) = network {
            answer.headers_mut().insert(NETWORK_INFO, network);
        }
        answer
    }
}

fn network_info(address: IpAddr) -> Option<HeaderValue> {
    let family = if address.is_ipv4() { "Ipv4" } else { "Ipv6" };
    HeaderValue::try_from(format!("conn_type={family};addr={address};act_addr_fam={family};")).ok()
}

/// The 401 that asks for a token. A GET has the body `OK`, as recorded; others have none.
pub(super) fn challenge(inbound: &Inbound, challenge: &str) -> Outbound {
    let mut answer = empty(StatusCode::UNAUTHORIZED);
    if inbound.method == Method::GET {
        *answer.body_mut() = Whole::from("OK");
        answer = with_header(answer, header::CONTENT_TYPE.as_str(), "text/plain; charset=utf-8");
    }
    with_header(answer, header::WWW_AUTHENTICATE.as_str(), challenge)
}

/// Clients at a time whose addresses are worth remembering.
const ADDRESSES_MAX: usize = 1024;
const BUILD_VERSION: HeaderName = HeaderName::from_static("x-ms-build-version");
const REGION: HeaderName = HeaderName::from_static("x-ms-keyvault-region");
const NETWORK_INFO: HeaderName = HeaderName::from_static("x-ms-keyvault-network-info");
const SERVER_LATENCY: HeaderName = HeaderName::from_static("x-ms-server-latency");
