//! Tokens whose signature has been verified already.
//!
//! Remembered are claims, under the hash of the whole text. Time, audience, tenant, key and the bearer's state are looked
//! at on every hit; failures are never remembered (crates-and-limits.md §2.2).

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use quick_cache::sync::Cache;

use crate::identity::token::Claims;
use crate::identity::token::caller::KnownCaller;

/// A bounded memory of verified tokens.
pub struct TokenCache {
    tokens: Cache<[u8; 32], Arc<VerifiedToken>>,
}

/// What is remembered of a token.
#[derive(Debug)]
pub struct VerifiedToken {
    /// Its claims, proved.
    pub claims: Claims,
    /// The key that proved them; when its issuer stops publishing it the token counts no more.
    pub kid: String,
    /// The caller it spoke for when it was last presented.
    pub(super) spoke_for: ArcSwapOption<KnownCaller>,
}

impl VerifiedToken {
    /// A token whose claims a key has proved.
    pub fn new(claims: Claims, kid: String) -> Self {
        Self { claims, kid, spoke_for: ArcSwapOption::empty() }
    }
}

impl std::fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCache").field("tokens", &self.tokens.len()).finish()
    }
}

impl Default for TokenCache {
    fn default() -> Self {
        Self { tokens: Cache::new(TOKENS_MAX) }
    }
}

impl TokenCache {
    /// The token with this hash, if it is remembered.
    pub fn get(&self, hash: &[u8; 32]) -> Option<Arc<VerifiedToken>> {
        self.tokens.get(hash)
    }

    /// Remembers a token; others may be forgotten for it.
    pub fn insert(&self, hash: [u8; 32], token: Arc<VerifiedToken>) {
        self.tokens.insert(hash, token);
    }

    /// Forgets a token that counts no more.
    pub fn remove(&self, hash: &[u8; 32]) {
        self.tokens.remove(hash);
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.tokens.clear();
    }
}

/// Most tokens remembered; at 16 KiB each the memory stays below 200 MiB whatever the tokens are.
const TOKENS_MAX: usize = 10_000;
