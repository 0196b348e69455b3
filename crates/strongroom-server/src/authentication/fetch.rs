//! Reading the key set of an outside issuer: discovery first, then the keys, both bounded in size and time
//! (protocols.md §9).

use std::time::Duration;

use reqwest::{Client, Url};
use rustls::ClientConfig;
use serde::Deserialize;
use strongroom_core::identity::token::KeySet;

use crate::outgoing::Reach;

/// Where the keys of an issuer are read.
pub(super) struct KeySource {
    client: Client,
    issuer: String,
    discovery: Url,
}

/// Why keys cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("{url} answers {status}")]
    Status { url: Url, status: u16 },
    #[error("{url} answers more than {DOCUMENT_BYTES_MAX} bytes")]
    TooLong { url: Url },
    #[error("{url} is no document of OpenID Connect")]
    Malformed { url: Url },
    #[error("discovery names the issuer {found}")]
    OtherIssuer { found: String },
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
        let discovery = Url::parse(&discovery).ok()?;
        let plain = discovery.query().is_none() && discovery.fragment().is_none() && discovery.username().is_empty();
        if discovery.scheme() != "https" || !plain {
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
        let malformed = |url: &Url| FetchError::Malformed { url: url.clone() };
        let body = self.document(self.discovery.clone()).await?;
        let discovery: Discovery = serde_json::from_slice(&body).map_err(|_| malformed(&self.discovery))?;
        // OpenID Connect Discovery §4.3: otherwise anybody's document would do. A slash at the end makes no difference.
        if discovery.issuer.trim_end_matches('/') != self.issuer.trim_end_matches('/') {
            return Err(FetchError::OtherIssuer { found: shortened(&discovery.issuer) });
        }
        let other_host = || FetchError::OtherHost { found: shortened(&discovery.jwks_uri) };
        let keys = Url::parse(&discovery.jwks_uri).map_err(|_| other_host())?;
        // What we connect to is what the configuration lists, not what a document says.
        if keys.origin() != self.discovery.origin() {
            return Err(other_host());
        }
        let set = KeySet::parse(&self.document(keys.clone()).await?).map_err(|_| malformed(&keys))?;
        if set.is_empty() { Err(FetchError::NoKeys) } else { Ok(set) }
    }

    async fn document(&self, url: Url) -> Result<Vec<u8>, FetchError> {
        let mut response = self.client.get(url.clone()).header("accept", "application/json").send().await?;
        if !response.status().is_success() {
            return Err(FetchError::Status { url, status: response.status().as_u16() });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > DOCUMENT_BYTES_MAX {
                return Err(FetchError::TooLong { url });
            }
        }
        Ok(body)
    }
}

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}

const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// For each of the two documents, from connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);
