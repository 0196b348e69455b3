//! Records handed to an endpoint that the configuration names: one POST each, answered with 2xx or a failure.

use std::time::Duration;

use reqwest::{Body, Client, Url};
use rustls::RootCertStore;

use crate::outgoing::{Reach, outgoing};
use crate::tls::error::TlsError;

/// A client of such endpoints. No redirect is followed, no proxy asked.
pub(crate) struct Poster(Client);

/// Whether an endpoint may be spoken to without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    /// If its URL says `http`: a collector on this machine.
    #[cfg(feature = "otlp")]
    Allowed,
    /// Never.
    Refused,
}

/// An endpoint did not take what it was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("{url} answers {status}")]
    Status { url: Url, status: u16 },
}

impl Poster {
    /// A client that trusts these roots.
    pub(crate) fn new(roots: &RootCertStore, plain: Plain) -> Result<Self, TlsError> {
        // What the configuration names is within reach wherever it is.
        let client = Reach::Everywhere.client(outgoing(roots.clone())?);
        let client = client.https_only(plain == Plain::Refused).timeout(POST_MAX).build();
        Ok(Self(client.map_err(|error| rustls::Error::General(error.to_string()))?))
    }

    /// Sends a record.
    pub(crate) async fn post(&self, url: Url, content_type: &str, body: impl Into<Body>) -> Result<(), PostError> {
        let request = self.0.post(url.clone()).header("content-type", content_type);
        let status = request.body(body).send().await?.status();
        if status.is_success() { Ok(()) } else { Err(PostError::Status { url, status: status.as_u16() }) }
    }
}

/// For one POST, from connecting to the answer.
const POST_MAX: Duration = Duration::from_secs(10);
