//! The collector: one POST for each batch, and a pause after each failure.

use std::sync::atomic::{AtomicBool, Ordering};

use prost::Message;
use reqwest::Url;
use rustls::RootCertStore;

use crate::config::OtlpEndpoint;
use crate::outgoing::{Plain, PostError, Poster};
use crate::tls::error::TlsError;

/// A collector over OTLP/HTTP.
pub(super) struct Collector {
    poster: Poster,
    endpoint: Url,
    is_failing: AtomicBool,
}

impl Collector {
    /// A client of it. On the machine itself it needs no TLS.
    pub(super) fn new(endpoint: &OtlpEndpoint, roots: &RootCertStore) -> Result<Self, TlsError> {
        let poster = Poster::new(roots, Plain::Allowed)?;
        Ok(Self { poster, endpoint: endpoint.url().clone(), is_failing: AtomicBool::new(false) })
    }

    /// Hands over a batch for one signal (`logs`, `traces`); false if it was not taken.
    pub(super) async fn export(&self, signal: &str, batch: &impl Message) -> bool {
        match self.post(signal, batch.encode_to_vec()).await {
            Ok(()) => {
                if self.is_failing.swap(false, Ordering::AcqRel) {
                    tracing::info!("the OpenTelemetry collector takes records again");
                }
                true
            }
            Err(error) => {
                if !self.is_failing.swap(true, Ordering::AcqRel) {
                    tracing::warn!(%error, "the OpenTelemetry collector does not take records; it is tried again");
                }
                false
            }
        }
    }

    async fn post(&self, signal: &str, body: Vec<u8>) -> Result<(), PostError> {
        let mut url = self.endpoint.clone();
        url.set_path(&format!("{}v1/{signal}", self.endpoint.path()));
        self.poster.post(url, "application/x-protobuf", body).await
    }
}
