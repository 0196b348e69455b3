//! The collector: one POST for each batch, and a pause after each failure.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prost::Message;
use reqwest::{Client, Url};
use rustls::RootCertStore;

use crate::config::OtlpEndpoint;
use crate::outgoing::{Reach, outgoing};
use crate::tls::error::TlsError;

/// A collector over OTLP/HTTP.
pub(super) struct Collector {
    client: Client,
    endpoint: Url,
    is_failing: AtomicBool,
}

/// The collector did not take a batch.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectorError {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("{url} answers {status}")]
    Status { url: Url, status: u16 },
}

impl Collector {
    /// A client of it. No redirect is followed, no proxy asked.
    pub(super) fn new(endpoint: &OtlpEndpoint, roots: &RootCertStore) -> Result<Self, TlsError> {
        let tls = outgoing(roots, None).map_err(|error| rustls::Error::General(format!("{error:?}")))?;
        // What the configuration names is within reach wherever it is.
        let client = Reach::Everywhere.client(tls).timeout(POST_MAX).build();
        let client = client.map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self { client, endpoint: endpoint.url().clone(), is_failing: AtomicBool::new(false) })
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

    async fn post(&self, signal: &str, body: Vec<u8>) -> Result<(), CollectorError> {
        let mut url = self.endpoint.clone();
        url.set_path(&format!("{}v1/{signal}", self.endpoint.path()));
        let request = self.client.post(url.clone()).header("content-type", "application/x-protobuf");
        let status = request.body(body).send().await?.status();
        if status.is_success() { Ok(()) } else { Err(CollectorError::Status { url, status: status.as_u16() }) }
    }
}

/// For one POST, from connecting to the answer.
const POST_MAX: Duration = Duration::from_secs(10);
