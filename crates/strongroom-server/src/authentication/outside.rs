//! Issuers by configuration: Entra ID, Keycloak, AD FS, anything that speaks OpenID Connect (architecture.md §3.3).

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use strongroom_core::identity::token::{ClaimNames, Claims, KeySet, ParsedToken, TokenError, VerificationKey};
use strongroom_types::{TenantId, Timestamp};
use tokio::sync::Mutex;

use crate::authentication::fetch::KeySource;

/// `[[issuer]]`: an issuer whose tokens are taken besides our own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideIssuer {
    /// The token's `iss`, to the letter; discovery is read below it.
    pub url: String,
    /// The tenant its principals belong to. Its tokens cannot choose another, and no other issuer has it.
    pub tenant: TenantId,
    /// An `aud` that is accepted besides the names of our planes.
    pub audience: String,
    /// Which claims say what.
    #[serde(default)]
    pub claims: ClaimNames,
    /// A PEM file of authorities to trust besides the usual ones when its keys are read.
    pub ca_file: Option<PathBuf>,
}

/// Why the configured issuers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutsideIssuerError {
    /// The URL is none we would read keys from.
    #[error("issuer {url}: the url must begin with https:// and have neither query nor fragment")]
    Url {
        /// The URL.
        url: String,
    },
    /// Two issuers would speak for the same principals, or one is listed twice.
    #[error("issuer {url}: its url or its tenant is also another issuer's")]
    Shared {
        /// The URL.
        url: String,
    },
    /// The file with authorities cannot be read.
    #[error("issuer {url}: {} cannot be read as PEM certificates: {problem}", path.display())]
    CaFile {
        /// The URL.
        url: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("issuer {url}: TLS cannot be set up")]
    Tls {
        /// The URL.
        url: String,
    },
}

/// All configured issuers, and the keys read from them.
pub struct OutsideIssuers {
    issuers: Vec<Known>,
}

struct Known {
    issuer: OutsideIssuer,
    source: KeySource,
    held: ArcSwap<Held>,
    reading: Mutex<()>,
}

#[derive(Default)]
struct Held {
    keys: KeySet,
    read: Option<Timestamp>,
    tried: Option<Timestamp>,
}

impl std::fmt::Debug for OutsideIssuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.issuers.iter().map(|known| &known.issuer.url)).finish()
    }
}

impl OutsideIssuers {
    /// Takes the configured issuers. `own_tenant` is the built-in authority's, which none of them may speak for;
    /// `roots` are the authorities that outgoing TLS trusts. Nothing is read before a token needs it.
    ///
    /// # Errors
    /// [`OutsideIssuerError`], all of them mistakes of the configuration.
    pub fn new(
        issuers: Vec<OutsideIssuer>,
        own_tenant: TenantId,
        roots: &RootCertStore,
    ) -> Result<Self, OutsideIssuerError> {
        let mut known: Vec<Known> = Vec::new();
        for issuer in issuers {
            let url = issuer.url.clone();
            let shared = |other: &Known| other.issuer.url == url || other.issuer.tenant == issuer.tenant;
            if issuer.tenant == own_tenant || known.iter().any(shared) {
                return Err(OutsideIssuerError::Shared { url });
            }
            let source = KeySource::new(&url, tls(&issuer, roots)?).ok_or(OutsideIssuerError::Url { url })?;
            known.push(Known { issuer, source, held: ArcSwap::default(), reading: Mutex::new(()) });
        }
        Ok(Self { issuers: known })
    }

    /// No issuers.
    pub fn none() -> Self {
        Self { issuers: Vec::new() }
    }

    /// The configured issuer with this `iss`.
    pub fn find(&self, iss: &str) -> Option<&OutsideIssuer> {
        self.known(iss).map(|known| &known.issuer)
    }

    /// Whether an issuer still publishes a key, as far as is known without asking more than once an hour.
    pub async fn publishes(&self, iss: &str, kid: &str, now: Timestamp) -> bool {
        match self.known(iss) {
            Some(known) => known.key(kid, now).await.is_some(),
            None => false,
        }
    }

    /// Proves that an outside issuer signed a token and that it counts now.
    ///
    /// # Errors
    /// [`TokenError`]; [`TokenError::UnknownIssuer`] before anything is read or computed.
    pub async fn verify(&self, token: ParsedToken<'_>, now: Timestamp) -> Result<Claims, TokenError> {
        let iss = token.unproved_claims().text("iss").ok_or(TokenError::MissingClaim("iss"))?;
        let known = self.known(iss).ok_or(TokenError::UnknownIssuer)?;
        let kid = token.header().kid.clone().ok_or(TokenError::UnknownKey)?;
        known.key(&kid, now).await.ok_or(TokenError::UnknownKey)?.verify(token, now)
    }

    fn known(&self, iss: &str) -> Option<&Known> {
        self.issuers.iter().find(|known| known.issuer.url == iss)
    }
}

impl Known {
    /// The key with this id: from memory, or read again if it is unknown or the memory is old. Read at most once a minute,
    /// whatever tokens come.
    async fn key(&self, kid: &str, now: Timestamp) -> Option<VerificationKey> {
        let held = self.held.load_full();
        if held.age(now).is_some_and(|age| age < FRESH_SECONDS)
            && let Some(key) = held.keys.get(kid)
        {
            return Some(key.clone());
        }
        let old = held.usable(kid, now);
        if held.tried_lately(now) {
            return old;
        }
        // Whoever has an old key does not wait for the one who reads.
        let _reading = match (&old, self.reading.try_lock()) {
            (_, Ok(reading)) => reading,
            (Some(_), Err(_)) => return old,
            (None, Err(_)) => self.reading.lock().await,
        };
        if !self.held.load().tried_lately(now) {
            self.read(now).await;
        }
        self.held.load().usable(kid, now)
    }

    async fn read(&self, now: Timestamp) {
        let held = self.held.load_full();
        let next = match self.source.read().await {
            Ok(keys) => Held { keys, read: Some(now), tried: Some(now) },
            Err(error) => {
                tracing::warn!(issuer = %self.issuer.url, %error, "the keys of an issuer cannot be read");
                Held { keys: held.keys.clone(), read: held.read, tried: Some(now) }
            }
        };
        self.held.store(Arc::new(next));
    }
}

impl Held {
    fn age(&self, now: Timestamp) -> Option<i64> {
        self.read.map(|read| now.seconds() - read.seconds())
    }

    fn tried_lately(&self, now: Timestamp) -> bool {
        self.tried.is_some_and(|tried| now < tried.plus_seconds(TRY_SECONDS))
    }

    fn usable(&self, kid: &str, now: Timestamp) -> Option<VerificationKey> {
        let keeps = self.age(now).is_some_and(|age| age < KEPT_SECONDS);
        keeps.then(|| self.keys.get(kid).cloned()).flatten()
    }
}

fn tls(issuer: &OutsideIssuer, roots: &RootCertStore) -> Result<ClientConfig, OutsideIssuerError> {
    let mut roots = roots.clone();
    if let Some(path) = &issuer.ca_file {
        let failed =
            |problem: String| OutsideIssuerError::CaFile { url: issuer.url.clone(), path: path.clone(), problem };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))? {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| OutsideIssuerError::Tls { url: issuer.url.clone() })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Keys are read again after an hour, so that a withdrawn key is noticed.
const FRESH_SECONDS: i64 = 3600;
/// Keys are used for a day while their issuer cannot be reached.
const KEPT_SECONDS: i64 = 86_400;
/// Keys are read at most once a minute.
const TRY_SECONDS: i64 = 60;
