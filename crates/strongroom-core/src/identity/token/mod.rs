//! Verifying tokens: ours, and those of outside issuers (RFC 7519, RFC 8725).
//!
//! A token is parsed first, which proves nothing; who wants to verify it looks up the issuer and the key it names, and
//! only if both are known is a signature computed. The algorithm belongs to the key, never to the token.

mod cache;
mod caller;
mod claims;
mod key;
mod parse;

pub use cache::{TokenCache, VerifiedToken};
pub use caller::{ClaimNames, OwnTokenError};
pub use claims::Claims;
pub use key::{KeySet, VerificationKey};
pub use parse::{ParsedToken, TokenHeader};

/// Why a token is refused. Safe to show to whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no signed token in compact form.
    #[error("the token is malformed")]
    Malformed,
    /// It is longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is too long")]
    TooLong,
    /// Its algorithm is not one its key may be used with; `none` and keyed hashes never are.
    #[error("the token's algorithm is not accepted")]
    AlgorithmNotAccepted,
    /// Its issuer is not trusted here.
    #[error("the token's issuer is not known here")]
    UnknownIssuer,
    /// Its issuer has no such key.
    #[error("the token was signed with a key its issuer does not publish")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the token's signature is wrong")]
    WrongSignature,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It has not begun.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It is for somebody else.
    #[error("the token is for another audience")]
    WrongAudience,
    /// It lacks a claim we need, or has it in a form we cannot use.
    #[error("the token has no usable claim {0}")]
    MissingClaim(&'static str),
    /// It names another tenant than its issuer may speak for.
    #[error("the token is of another tenant")]
    WrongTenant,
    /// Its bearer has been removed or disabled.
    #[error("the token's bearer does not exist any more or is disabled")]
    BearerGone,
}

/// Longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// How far clocks may differ, in seconds.
pub const SKEW_SECONDS: i64 = 60;

#[cfg(test)]
mod tests;
