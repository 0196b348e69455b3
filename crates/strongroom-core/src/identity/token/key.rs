//! Keys that verify tokens, and sets of them (RFC 7517 §5).

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use strongroom_crypto::RsaPublicKey;
use strongroom_types::Timestamp;
use x509_cert::der::{Decode, Encode};

use crate::identity::token::{Claims, ParsedToken, TokenError};

/// A public key, and the algorithms it may be used with.
#[derive(Clone)]
pub struct VerificationKey {
    key: DecodingKey,
    algorithms: Vec<Algorithm>,
}

impl std::fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerificationKey").field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

impl VerificationKey {
    /// An RSA key from modulus and exponent, base64url.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`] if it is not 2048 to 8192 bits long.
    pub fn rsa(n: &str, e: &str, algorithms: &[Algorithm]) -> Result<Self, TokenError> {
        let [n, e] = [n, e].map(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')));
        let (n, e) = n.ok().zip(e.ok()).ok_or(TokenError::UnknownKey)?;
        let significant = n.iter().skip_while(|byte| **byte == 0).count();
        if !(RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&significant) {
            return Err(TokenError::UnknownKey);
        }
        Ok(Self { key: DecodingKey::from_rsa_raw_components(&n, &e), algorithms: algorithms.to_vec() })
    }

    /// The RSA key of a certificate. The key set vouches for it, so its dates and issuer are not looked at.
    fn certified(certificate: &str, algorithms: &[Algorithm]) -> Option<Self> {
        let der = STANDARD.decode(certificate).ok()?;
        let certificate = x509_cert::Certificate::from_der(&der).ok()?;
        let key = certificate.tbs_certificate().subject_public_key_info().to_der().ok()?;
        let key = RsaPublicKey::from_der(&key).ok()?;
        Some(Self { key: DecodingKey::from_rsa_raw_components(key.n(), key.e()), algorithms: algorithms.to_vec() })
    }

    fn p256(x: &str, y: &str) -> Result<Self, TokenError> {
        let key = DecodingKey::from_ec_components(x, y).map_err(|_| TokenError::UnknownKey)?;
        Ok(Self { key, algorithms: vec![Algorithm::ES256] })
    }

    /// Proves that this key signed the token and that the token counts now, and gives its claims.
    ///
    /// # Errors
    /// [`TokenError::AlgorithmNotAccepted`], [`TokenError::WrongSignature`], and those of [`Claims::check_time`].
    pub fn verify(&self, token: ParsedToken<'_>, now: Timestamp) -> Result<Claims, TokenError> {
        let algorithm = token.header().algorithm;
        if !self.algorithms.contains(&algorithm) {
            return Err(TokenError::AlgorithmNotAccepted);
        }
        // Time first: it costs nothing, and an expired token deserves no signature check.
        token.unproved_claims().check_time(now)?;
        match jsonwebtoken::crypto::verify(token.signature, token.signed.as_bytes(), &self.key, algorithm) {
            Ok(true) => Ok(token.into_claims()),
            _ => Err(TokenError::WrongSignature),
        }
    }
}

/// The keys of an issuer, by `kid`.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: HashMap<String, VerificationKey>,
}

#[derive(Deserialize)]
struct WireKeySet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct WireKey {
    kty: String,
    kid: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// DER in standard base64, the key's own first (RFC 7517 §4.7). Some authorities publish nothing else of a key.
    x5c: Option<Vec<String>>,
}

impl KeySet {
    /// Reads a key set. Keys of other kinds, for other uses or without `kid` are left out (RFC 7517 §5).
    ///
    /// # Errors
    /// [`TokenError::Malformed`] if it is none.
    pub fn parse(json: &[u8]) -> Result<Self, TokenError> {
        let wire: WireKeySet = serde_json::from_slice(json).map_err(|_| TokenError::Malformed)?;
        let usable = |value: serde_json::Value| {
            let key: WireKey = serde_json::from_value(value).ok()?;
            Some((key.kid.clone(), key.verification_key()?))
        };
        Ok(Self { keys: wire.keys.into_iter().take(KEYS_MAX).filter_map(usable).collect() })
    }

    /// The key with this `kid`.
    pub fn get(&self, kid: &str) -> Option<&VerificationKey> {
        self.keys.get(kid)
    }

    /// Whether it has no usable key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl WireKey {
    fn verification_key(&self) -> Option<VerificationKey> {
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        match self.kty.as_str() {
            "RSA" => {
                let algorithms: &[Algorithm] = match self.alg.as_deref() {
                    None => &[Algorithm::RS256, Algorithm::PS256],
                    Some("RS256") => &[Algorithm::RS256],
                    Some("PS256") => &[Algorithm::PS256],
                    Some(_) => return None,
                };
                match (&self.n, &self.e) {
                    (Some(n), Some(e)) => VerificationKey::rsa(n, e, algorithms).ok(),
                    (None, None) => VerificationKey::certified(self.x5c.as_ref()?.first()?, algorithms),
                    _ => None,
                }
            }
            "EC" if self.crv.as_deref() == Some("P-256") && self.alg.as_deref().is_none_or(|alg| alg == "ES256") => {
                VerificationKey::p256(self.x.as_deref()?, self.y.as_deref()?).ok()
            }
            _ => None,
        }
    }
}

const RSA_BYTES_MIN: usize = 2048 / 8;
const RSA_BYTES_MAX: usize = 8192 / 8;
/// Most keys of one issuer that are looked at.
const KEYS_MAX: usize = 64;
