//! Who is asking: from a bearer token to a [`Caller`] (protocols.md §8).
//!
//! A verified token is remembered; its audience, its time, its key and its bearer's state are looked at on every use.
//! Issuer and key must be known before a signature is computed.

mod attempts;
mod attestation;
mod fetch;
mod names;
mod outside;
mod published_keys;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom_core::identity::token::{Claims, OwnTokenError, ParsedToken, TokenCache, TokenError, VerifiedToken};
use strongroom_core::identity::{Directory, IdentityError};
use strongroom_core::request::Caller;
use strongroom_types::Timestamp;

use crate::http::exchange::Inbound;
pub(crate) use attempts::{Attempts, Limits, TooSoon, counted};
pub use attestation::{Attestation, AttestationError, Authorities, Unlisted};
pub use names::{Audience, Issuer, PublicAddress, PublicNames, Resource};
pub use outside::{OutsideIssuer, OutsideIssuerError, OutsideIssuers};

/// Turns bearer tokens into callers, for all planes.
pub struct Authenticator {
    directory: Arc<Directory>,
    names: Arc<PublicNames>,
    outside: Arc<OutsideIssuers>,
    tokens: TokenCache,
    hits: AtomicU64,
    misses: AtomicU64,
    failures: Attempts<IpAddr>,
}

/// How tokens were found so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenCacheStatus {
    /// Verified tokens that are remembered.
    pub tokens: u64,
    /// Tokens that were remembered when they were presented.
    pub hits: u64,
    /// Tokens that had to be verified.
    pub misses: u64,
}

/// Why there is no caller. The texts are safe to show to the client.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// No bearer token was sent.
    #[error("no bearer token was sent")]
    Missing,
    /// The token does not count here.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Too many wrong tokens came from this address; answered as 429.
    #[error("too many wrong tokens came from this address")]
    TooManyFailures {
        /// The next one is looked at in so many seconds.
        retry_after_seconds: i64,
    },
    /// The directory cannot be read; answered as 503.
    #[error("the directory cannot be read")]
    Unavailable(#[source] IdentityError),
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("outside", &self.outside).finish_non_exhaustive()
    }
}

impl From<OwnTokenError> for AuthenticationError {
    fn from(error: OwnTokenError) -> Self {
        match error {
            OwnTokenError::Token(error) => Self::Token(error),
            OwnTokenError::Directory(error) => Self::Unavailable(error),
        }
    }
}

impl Authenticator {
    /// An authenticator for tokens of the directory and of outside issuers, presented under these names.
    pub fn new(directory: Arc<Directory>, names: Arc<PublicNames>, outside: Arc<OutsideIssuers>) -> Self {
        let failures = Attempts::new(UNVERIFIED_LIMITS);
        let (hits, misses) = (AtomicU64::default(), AtomicU64::default());
        Self { directory, names, outside, tokens: TokenCache::default(), hits, misses, failures }
    }

    /// How tokens were found so far.
    pub fn token_cache(&self) -> TokenCacheStatus {
        TokenCacheStatus {
            tokens: self.tokens.len() as u64,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    /// The caller of a request to a plane.
    ///
    /// # Errors
    /// [`AuthenticationError`]; nothing about the request but its token and its address is looked at.
    pub async fn authenticate(
        &self,
        inbound: &Inbound,
        audience: Audience,
        now: Timestamp,
    ) -> Result<Arc<Caller>, AuthenticationError> {
        let text = inbound.bearer_token().ok_or(AuthenticationError::Missing)?;
        let token = self.verified(text, counted(inbound.peer.remote.ip()), now).await?;
        let claims = &token.claims;
        let iss = claims.text("iss").unwrap_or_default();
        let Some(issuer) = self.outside.find(iss) else {
            claims.check_audience(|aud| self.names.accepts(audience, aud, Issuer::BuiltIn))?;
            return Ok(self.directory.own_caller(&token).await?);
        };
        let accepted = |aud: &str| aud == issuer.audience || self.names.accepts(audience, aud, Issuer::Outside);
        claims.check_audience(accepted)?;
        Ok(Arc::new(issuer.claims.caller(claims, issuer.tenant, now)?))
    }

    /// A token whose signature, key and time are good now.
    async fn verified(
        &self,
        text: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Arc<VerifiedToken>, AuthenticationError> {
        let hash = ParsedToken::hash(text);
        if let Some(token) = self.tokens.get(&hash) {
            token.claims.check_time(now)?;
            if self.publishes(&token, now).await {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return Ok(token);
            }
            self.tokens.remove(&hash);
        }
        // Boxed, so that a token that is remembered takes no room for it.
        Box::pin(self.verified_anew(text, hash, address, now)).await
    }

    /// The same of a token that is not remembered.
    async fn verified_anew(
        &self,
        text: &str,
        hash: [u8; 32],
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Arc<VerifiedToken>, AuthenticationError> {
        self.misses.fetch_add(1, Ordering::Relaxed);
        let too_many = |TooSoon { seconds }| AuthenticationError::TooManyFailures { retry_after_seconds: seconds };
        self.failures.check(&address, now).map_err(too_many)?;
        match self.verify(text, now).await {
            Ok(token) => {
                let token = Arc::new(token);
                self.tokens.insert(hash, Arc::clone(&token));
                Ok(token)
            }
            Err(error) => {
                // An expired token is the everyday case, and costs us no signature.
                if matches!(&error, AuthenticationError::Token(reason) if *reason != TokenError::Expired) {
                    self.failures.failed(&address, now);
                }
                Err(error)
            }
        }
    }

    async fn verify(&self, text: &str, now: Timestamp) -> Result<VerifiedToken, AuthenticationError> {
        let token = ParsedToken::parse(text)?;
        let kid = token.header().kid.clone().ok_or(TokenError::UnknownKey)?;
        let outside = token.unproved_claims().text("iss").is_some_and(|iss| self.outside.find(iss).is_some());
        let claims: Claims = if outside {
            self.outside.verify(token, now).await?
        } else {
            self.directory.verify_own(token, now).await?
        };
        Ok(VerifiedToken::new(claims, kid))
    }

    /// A remembered token dies with the key that proved it.
    async fn publishes(&self, token: &VerifiedToken, now: Timestamp) -> bool {
        let iss = token.claims.text("iss").unwrap_or_default();
        match self.outside.find(iss) {
            Some(_) => Box::pin(self.outside.publishes(iss, &token.kid, now)).await,
            None => self.directory.publishes(&token.kid, now),
        }
    }
}

/// Wrong tokens of one address: a broken program gets its answers, a flood does not.
const UNVERIFIED_LIMITS: Limits = Limits { free: 200, delay_seconds_max: 30, forgotten_after_seconds: 300 };

#[cfg(test)]
mod tests;
