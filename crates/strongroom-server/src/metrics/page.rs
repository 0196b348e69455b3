//! `GET /metrics` on the listener for monitoring.

use std::net::IpAddr;

use async_trait::async_trait;
use http::{HeaderValue, Method, StatusCode, header};
use prometheus_client::encoding::text;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::http::exchange::{Inbound, Outbound, Whole, empty, with_header};
use crate::http::planes::Handle;
use crate::metrics::{Look, Metrics};

/// The page that Prometheus reads.
pub struct MetricsPage {
    counted: Registry,
    look: Look,
}

impl std::fmt::Debug for MetricsPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsPage").finish_non_exhaustive()
    }
}

impl MetricsPage {
    /// A page over what is counted and what is looked at.
    pub fn new(metrics: &Metrics, look: Look, version: &'static str) -> Self {
        let mut counted = Registry::default();
        metrics.register(&mut counted);
        counted.register("strongroom_build", "The release", Info::new(vec![("version", version)]));
        Self { counted, look }
    }

    /// The text of the page.
    async fn text(&self) -> Result<String, std::fmt::Error> {
        let mut seen = Registry::default();
        seen.register_collector(Box::new((self.look)().await));
        let mut page = String::new();
        text::encode_registry(&mut page, &self.counted)?;
        text::encode_registry(&mut page, &seen)?;
        text::encode_eof(&mut page)?;
        Ok(page)
    }
}

#[async_trait]
impl Handle for MetricsPage {
    async fn handle(&self, inbound: Inbound) -> Outbound {
        // A name that a web page made its browser resolve to this machine is none of ours.
        if !is_here(&inbound.host.authority) {
            return empty(StatusCode::MISDIRECTED_REQUEST);
        }
        match (&inbound.method, inbound.path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => {}
            (_, "/metrics") => return with_header(empty(StatusCode::METHOD_NOT_ALLOWED), "allow", "GET, HEAD"),
            _ => return empty(StatusCode::NOT_FOUND),
        }
        let Ok(text) = self.text().await else { return empty(StatusCode::INTERNAL_SERVER_ERROR) };
        let mut answer = Outbound::new(Whole::from(text));
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
        answer
    }
}

/// Whether `host[:port]` is an address, or the name of this machine for itself.
fn is_here(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host == "localhost" || host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
