//! Records handed to an endpoint that the configuration names: one POST each, answered with 2xx or a failure.

use std::time::Duration;

use reqwest::{Body, Client, Url};
use rustls::RootCertStore;

use crate::outgoing::{Reach, host, outgoing};
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

/// An endpoint did not take what it was sent. It is known by its host: the rest of its URL may be a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("{host}: {source}")]
    Http { host: String, source: reqwest::Error },
    #[error("{host} answers {status}")]
    Status { host: String, status: u16 },
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
        let host = host(&url);
        let sent = self.0.post(url).header("content-type", content_type).body(body).send().await;
        match sent.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => Ok(()),
            Ok(status) => Err(PostError::Status { host, status: status.as_u16() }),
            Err(error) => Err(PostError::Http { host, source: error.without_url() }),
        }
    }
}

/// For one POST, from connecting to the answer.
const POST_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_failure_repeats_what_stands_in_the_url_besides_the_host() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        drop(taken);
        let poster = Poster::new(&RootCertStore::empty(), Plain::Refused).unwrap();
        for url in [format!("https://127.0.0.1:{port}/hush?sig=hush"), "http://127.0.0.1:1/hush?sig=hush".to_owned()] {
            let error = poster.post(Url::parse(&url).unwrap(), "text/plain", "x").await.unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("127.0.0.1") && !shown.contains("hush"), "{shown}");
        }
    }
}
