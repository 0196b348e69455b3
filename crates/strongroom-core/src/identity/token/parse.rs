//! The compact form (RFC 7515 §7.1), taken apart and bounded. Nothing here is proved.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use strongroom_crypto::digest::sha256;

use crate::identity::token::{Claims, TOKEN_BYTES_MAX, TokenError};

/// A token taken apart. What it says is unproved until a key has verified it.
#[derive(Debug)]
pub struct ParsedToken<'a> {
    header: TokenHeader,
    claims: Claims,
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
}

/// The header of a token (RFC 7515 §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHeader {
    /// The algorithm it claims.
    pub algorithm: Algorithm,
    /// The key it names.
    pub kid: Option<String>,
    /// The certificate it names by SHA-1.
    pub x5t: Option<String>,
    /// The certificate it names by SHA-256.
    pub x5t_s256: Option<String>,
}

#[derive(Deserialize)]
struct WireHeader {
    alg: String,
    kid: Option<String>,
    x5t: Option<String>,
    #[serde(rename = "x5t#S256")]
    x5t_s256: Option<String>,
    crit: Option<serde_json::Value>,
}

impl<'a> ParsedToken<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`TokenError::TooLong`], [`TokenError::Malformed`], [`TokenError::AlgorithmNotAccepted`] for anything but RS256,
    /// PS256 and ES256.
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if claims.contains('.') {
            return Err(TokenError::Malformed);
        }
        let header = Self::header_from(header)?;
        let claims = serde_json::from_slice(&decode(claims)?).map_err(|_| TokenError::Malformed)?;
        Ok(Self { header, claims, signed, signature })
    }

    /// The header.
    pub fn header(&self) -> &TokenHeader {
        &self.header
    }

    /// The claims, unproved.
    pub fn unproved_claims(&self) -> &Claims {
        &self.claims
    }

    pub(super) fn into_claims(self) -> Claims {
        self.claims
    }

    /// The hash under which a verified token is remembered: over the whole text, so that no two tokens share it.
    pub fn hash(text: &str) -> [u8; 32] {
        sha256(text.as_bytes())
    }

    fn header_from(part: &str) -> Result<TokenHeader, TokenError> {
        let wire: WireHeader = serde_json::from_slice(&decode(part)?).map_err(|_| TokenError::Malformed)?;
        // RFC 7515 §4.1.11: an extension that must be understood and is not.
        if wire.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let algorithm = match wire.alg.as_str() {
            "RS256" => Algorithm::RS256,
            "PS256" => Algorithm::PS256,
            "ES256" => Algorithm::ES256,
            _ => return Err(TokenError::AlgorithmNotAccepted),
        };
        Ok(TokenHeader { algorithm, kid: wire.kid, x5t: wire.x5t, x5t_s256: wire.x5t_s256 })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}
