//! Issuers by configuration: Entra ID, Keycloak, AD FS, anything that speaks OpenID Connect (architecture.md §3.3).

use std::path::PathBuf;

use rustls::RootCertStore;
use serde::Deserialize;
use strongroom_core::identity::token::{ClaimNames, Claims, ParsedToken, TokenError};
use strongroom_types::{TenantId, Timestamp};

use crate::authentication::fetch::KeySource;
use crate::authentication::published_keys::PublishedKeys;
use crate::outgoing::{CaFileError, Reach, outgoing, with_authorities};

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
    keys: PublishedKeys,
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
            let unreadable =
                |CaFileError { path, problem }| OutsideIssuerError::CaFile { url: url.clone(), path, problem };
            let roots = with_authorities(roots, issuer.ca_file.as_deref()).map_err(unreadable)?;
            let client = outgoing(roots).map_err(|_| OutsideIssuerError::Tls { url: url.clone() })?;
            let source = KeySource::new(&url, client, Reach::Everywhere).ok_or(OutsideIssuerError::Url { url })?;
            known.push(Known { issuer, keys: PublishedKeys::new(source) });
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
            Some(known) => known.keys.get(kid, now).await.is_some(),
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
        known.keys.get(&kid, now).await.ok_or(TokenError::UnknownKey)?.verify(token, now)
    }

    fn known(&self, iss: &str) -> Option<&Known> {
        self.issuers.iter().find(|known| known.issuer.url == iss)
    }
}
