//! Attestation authorities by configuration: who may vouch for environments that keys are released to (protocols.md §9).

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use quick_cache::sync::Cache;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use strongroom_core::identity::token::{Claims, KeySet, ParsedToken, TokenError, VerificationKey};
use strongroom_core::ports::AttestationAuthorities;
use strongroom_types::Timestamp;

use crate::authentication::fetch::{DOCUMENT_BYTES_MAX, KeySource};
use crate::authentication::published_keys::PublishedKeys;
use crate::limited_file;
use crate::outgoing::{CaFileError, Reach, outgoing, with_authorities};

/// `[[attestation]]`: an authority whose statements count.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// The token's `iss`, which policies name; a slash at the end makes no difference. Discovery is read below it.
    pub url: String,
    /// A PEM file of authorities to trust besides the usual ones when its keys are read.
    pub ca_file: Option<PathBuf>,
    /// Its keys, so that nothing is read from the network (RFC 7517 §5).
    pub jwks_file: Option<PathBuf>,
}

/// Why the configured authorities cannot be used. Which one it is says its place, counted from 1: its URL may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum AttestationError {
    /// The URL is none we would read keys from.
    #[error(
        "[[attestation]] {number}: the url must begin with https:// and have neither user, password, query nor fragment"
    )]
    Url {
        /// Its place.
        number: usize,
    },
    /// It is listed twice.
    #[error("[[attestation]] {number}: its url is listed twice")]
    Twice {
        /// Its place.
        number: usize,
    },
    /// A file cannot be used.
    #[error("[[attestation]] {number}: {}: {problem}", path.display())]
    File {
        /// Its place.
        number: usize,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("attestation: TLS cannot be set up")]
    Tls,
}

/// The authorities that are trusted here, and their keys.
pub struct Authorities {
    listed: Vec<(String, Keys)>,
    /// In the local profile: authorities on loopback that nobody listed.
    local: Option<Local>,
}

enum Keys {
    Fixed(KeySet),
    Published(PublishedKeys),
}

struct Local {
    tls: ClientConfig,
    seen: Cache<String, Arc<PublishedKeys>>,
}

/// Which authorities count besides those that are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlisted {
    /// None.
    Refused,
    /// Those on loopback: the local profile.
    OnLoopback,
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.listed.iter().map(|(url, _)| url)).finish()
    }
}

impl Authorities {
    /// Takes the configured authorities; `roots` are what outgoing TLS trusts. Nothing is read before a token needs it.
    ///
    /// # Errors
    /// [`AttestationError`], all of them mistakes of the configuration.
    pub fn new(
        configured: &[Attestation],
        unlisted: Unlisted,
        roots: &RootCertStore,
    ) -> Result<Self, AttestationError> {
        let mut listed: Vec<(String, Keys)> = Vec::new();
        for (attestation, number) in configured.iter().zip(1..) {
            let url = bare(&attestation.url).to_owned();
            if listed.iter().any(|(other, _)| *other == url) {
                return Err(AttestationError::Twice { number });
            }
            let keys = attestation.keys(number, roots)?;
            listed.push((url, keys));
        }
        let local = match unlisted {
            Unlisted::Refused => None,
            Unlisted::OnLoopback => {
                let tls = outgoing(roots.clone()).map_err(|_| AttestationError::Tls)?;
                Some(Local { tls, seen: Cache::new(LOCAL_AUTHORITIES_MAX) })
            }
        };
        Ok(Self { listed, local })
    }

    /// The key of a trusted authority.
    async fn key(&self, url: &str, kid: &str, now: Timestamp) -> Result<VerificationKey, TokenError> {
        let found = match self.listed.iter().find(|(listed, _)| listed == url) {
            Some((_, Keys::Fixed(keys))) => keys.get(kid).cloned(),
            Some((_, Keys::Published(keys))) => keys.get(kid, now).await,
            None => self.local.as_ref().ok_or(TokenError::UnknownIssuer)?.keys(url)?.get(kid, now).await,
        };
        found.ok_or(TokenError::UnknownKey)
    }
}

#[async_trait]
impl AttestationAuthorities for Authorities {
    async fn verify(&self, token: ParsedToken<'_>, now: Timestamp) -> Result<Claims, TokenError> {
        let url = token.unproved_claims().text("iss").map(bare).ok_or(TokenError::MissingClaim("iss"))?;
        let kid = token.header().kid.as_deref().ok_or(TokenError::UnknownKey)?;
        // Time before anything is read: an expired token deserves no request of ours.
        token.unproved_claims().check_time(now)?;
        self.key(url, kid, now).await?.verify(token, now)
    }
}

impl Local {
    /// The keys of an authority on loopback, remembered so that they are not read for each token.
    fn keys(&self, url: &str) -> Result<Arc<PublishedKeys>, TokenError> {
        self.seen.get_or_insert_with(url, || {
            let source = KeySource::new(url, self.tls.clone(), Reach::Loopback).ok_or(TokenError::UnknownIssuer)?;
            Ok(Arc::new(PublishedKeys::new(source)))
        })
    }
}

impl Attestation {
    fn keys(&self, number: usize, roots: &RootCertStore) -> Result<Keys, AttestationError> {
        let unreadable = |CaFileError { path, problem }| AttestationError::File { number, path, problem };
        let roots = with_authorities(roots, self.ca_file.as_deref()).map_err(unreadable)?;
        let client = outgoing(roots).map_err(|_| AttestationError::Tls)?;
        let source = KeySource::new(bare(&self.url), client, Reach::Everywhere);
        let source = source.ok_or(AttestationError::Url { number })?;
        let Some(path) = &self.jwks_file else { return Ok(Keys::Published(PublishedKeys::new(source))) };
        let failed = |problem: String| AttestationError::File { number, path: path.clone(), problem };
        let text = limited_file::read(path, DOCUMENT_BYTES_MAX as u64).map_err(|error| failed(error.to_string()))?;
        let keys = KeySet::parse(text.expose()).map_err(|_| failed("is no JSON Web Key Set".to_owned()))?;
        if keys.is_empty() { Err(failed("has no key we could use".to_owned())) } else { Ok(Keys::Fixed(keys)) }
    }
}

/// Authorities are named with and without a slash at the end.
fn bare(url: &str) -> &str {
    url.strip_suffix('/').unwrap_or(url)
}

/// Authorities on loopback whose keys are remembered.
const LOCAL_AUTHORITIES_MAX: usize = 64;

#[cfg(test)]
mod tests;
