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

/// Why the configured issuers cannot be used. Which one it is says its tenant: a URL that is none of an issuer may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum OutsideIssuerError {
    /// The URL is none we would read keys from.
    #[error(
        "[[issuer]] of tenant {tenant}: the url must begin with https:// and have neither user, password, query nor fragment"
    )]
    Url {
        /// The issuer's tenant.
        tenant: TenantId,
    },
    /// Two issuers would speak for the same principals, or one is listed twice.
    #[error("[[issuer]] of tenant {tenant}: its url or its tenant is also another issuer's")]
    Shared {
        /// The issuer's tenant.
        tenant: TenantId,
    },
    /// The file with authorities cannot be read.
    #[error("[[issuer]] of tenant {tenant}: {} cannot be read as PEM certificates: {problem}", path.display())]
    CaFile {
        /// The issuer's tenant.
        tenant: TenantId,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("[[issuer]] of tenant {tenant}: TLS cannot be set up")]
    Tls {
        /// The issuer's tenant.
        tenant: TenantId,
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
            let tenant = issuer.tenant;
            let shared = |other: &Known| other.issuer.url == issuer.url || other.issuer.tenant == tenant;
            if tenant == own_tenant || known.iter().any(shared) {
                return Err(OutsideIssuerError::Shared { tenant });
            }
            let unreadable = |CaFileError { path, problem }| OutsideIssuerError::CaFile { tenant, path, problem };
            let roots = with_authorities(roots, issuer.ca_file.as_deref()).map_err(unreadable)?;
            let client = outgoing(roots).map_err(|_| OutsideIssuerError::Tls { tenant })?;
            let source = KeySource::new(&issuer.url, client, Reach::Everywhere);
            let source = source.ok_or(OutsideIssuerError::Url { tenant })?;
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn mistakes_of_the_configuration_are_named_by_tenant_and_repeat_no_url() {
        let tenant = |number| TenantId::from_uuid(Uuid::from_u128(number));
        let listed = |number, url: &str, ca_file: Option<&str>| OutsideIssuer {
            url: url.to_owned(),
            tenant: tenant(number),
            audience: "api://a".to_owned(),
            claims: ClaimNames::default(),
            ca_file: ca_file.map(PathBuf::from),
        };
        let good = || listed(2, "https://idp.example/hush", None);
        for (bad, part) in [
            (listed(3, "https://:hush@idp.example", None), "neither user, password"),
            (listed(3, "http://idp.example/hush", None), "must begin with https"),
            (listed(3, "https://idp.example/?hush", None), "query nor fragment"),
            (listed(3, "https://idp.example/hush", None), "also another issuer's"),
            (listed(1, "https://other.example/hush", None), "also another issuer's"),
            (listed(3, "https://other.example/hush", Some("/nowhere/ca.pem")), "/nowhere/ca.pem cannot be read"),
        ] {
            let named = bad.tenant.to_string();
            let error = OutsideIssuers::new(vec![good(), bad], tenant(1), &RootCertStore::empty()).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(&named) && shown.contains(part) && !shown.contains("hush"), "{shown}");
        }
    }
}
