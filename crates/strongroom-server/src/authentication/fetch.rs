//! Reading the key set of an outside issuer: discovery first, then the keys, both bounded in size and time
//! (protocols.md §9).

use std::time::Duration;

use reqwest::{Client, Url};
use rustls::ClientConfig;
use serde::Deserialize;
use strongroom_core::identity::token::KeySet;

use crate::config::url::without_user;
use crate::outgoing::{Reach, host};

/// Where the keys of an issuer are read.
pub(super) struct KeySource {
    client: Client,
    issuer: String,
    discovery: Url,
}

/// Why keys cannot be read. Who answers is known by its host: the rest of a URL may be a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{host}: {source}")]
    Http { host: String, source: reqwest::Error },
    #[error("{host} answers {status}")]
    Status { host: String, status: u16 },
    #[error("{host} answers more than {DOCUMENT_BYTES_MAX} bytes")]
    TooLong { host: String },
    #[error("what {host} answers is no document of OpenID Connect")]
    Malformed { host: String },
    #[error("discovery at {host} names another issuer: configure the url that it names")]
    OtherIssuer { host: String },
    #[error("discovery names keys at {found}, which is not the issuer's own host and port")]
    OtherHost { found: String },
    #[error("the key set has no key we could use")]
    NoKeys,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl KeySource {
    /// A source below the issuer's URL; `None` if that is no `https` URL within reach.
    pub(super) fn new(issuer: &str, tls: ClientConfig, reach: Reach) -> Option<Self> {
        let discovery = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let discovery = without_user(&discovery)?;
        if discovery.scheme() != "https" || discovery.query().is_some() {
            return None;
        }
        if !reach.admits(&discovery) {
            return None;
        }
        let client = reach.client(tls).https_only(true).timeout(TIMEOUT);
        Some(Self { client: client.build().ok()?, issuer: issuer.to_owned(), discovery })
    }

    /// The issuer's URL.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Reads the keys.
    pub(super) async fn read(&self) -> Result<KeySet, FetchError> {
        let malformed = |url: &Url| FetchError::Malformed { host: host(url) };
        let body = self.document(self.discovery.clone()).await?;
        let discovery: Discovery = serde_json::from_slice(&body).map_err(|_| malformed(&self.discovery))?;
        // OpenID Connect Discovery §4.3: otherwise anybody's document would do. A slash at the end makes no difference.
        if discovery.issuer.trim_end_matches('/') != self.issuer.trim_end_matches('/') {
            return Err(FetchError::OtherIssuer { host: host(&self.discovery) });
        }
        let keys = Url::parse(&discovery.jwks_uri).map_err(|_| malformed(&self.discovery))?;
        // What we connect to is what the configuration lists, not what a document says.
        if keys.origin() != self.discovery.origin() {
            return Err(FetchError::OtherHost { found: shortened(&keys.origin().ascii_serialization()) });
        }
        let set = KeySet::parse(&self.document(keys.clone()).await?).map_err(|_| malformed(&keys))?;
        if set.is_empty() { Err(FetchError::NoKeys) } else { Ok(set) }
    }

    async fn document(&self, url: Url) -> Result<Vec<u8>, FetchError> {
        let failed = |error: reqwest::Error| FetchError::Http { host: host(&url), source: error.without_url() };
        let request = self.client.get(url.clone()).header("accept", "application/json");
        let mut response = request.send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(FetchError::Status { host: host(&url), status: response.status().as_u16() });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > DOCUMENT_BYTES_MAX {
                return Err(FetchError::TooLong { host: host(&url) });
            }
        }
        Ok(body)
    }
}

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}

/// Of a document, and of a file that holds the keys instead.
pub(super) const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// For each of the two documents, from connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;

    use super::*;
    use crate::outgoing::outgoing;

    fn source(issuer: &str) -> Option<KeySource> {
        KeySource::new(issuer, outgoing(RootCertStore::empty()).unwrap(), Reach::Everywhere)
    }

    #[test]
    fn an_issuer_has_an_https_url_without_a_user_a_password_a_query_and_a_fragment() {
        for bad in ["http://a", "https://u@a", "https://u:p@a", "https://:p@a", "https://a?b", "https://a#b", "a", ""] {
            assert!(source(bad).is_none(), "{bad}");
        }
        assert_eq!(source("https://a/b/").unwrap().discovery.path(), "/b/.well-known/openid-configuration");
    }

    #[tokio::test]
    async fn no_failure_repeats_what_stands_in_the_url_besides_the_host() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        drop(taken);
        let error = source(&format!("https://127.0.0.1:{port}/hush")).unwrap().read().await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(matches!(error, FetchError::Http { .. }) && shown.contains("127.0.0.1"), "{shown}");
        assert!(!shown.contains("hush"), "{shown}");
    }
}
