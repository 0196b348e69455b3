//! Environments that somebody vouches for: from an attestation token to the key it may receive secrets under
//! (data-plane.md "Secure key release").
//!
//! Who may vouch is said twice: by the policy of the key, and by the configuration of the server, which alone decides
//! where keys of authorities are read from. Neither is enough without the other.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use strongroom_crypto::RsaPublicKey;
use strongroom_types::Timestamp;

use crate::identity::token::{Claims, ParsedToken, TokenError};
use crate::keys::ReleasePolicy;
use crate::ports::AttestationAuthorities;
use crate::{Error, Result};

/// Why an environment gets nothing. The texts are safe to show to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttestationProblem {
    /// The token does not prove what it says.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token's issuer is in no rule of the policy.
    #[error("the release policy does not trust its issuer")]
    NotInPolicy,
    /// The claims do not fulfil the policy.
    #[error("its claims do not meet the release policy")]
    ClaimsNotMet,
    /// There is no key to wrap for.
    #[error("its claim x-ms-runtime.keys has no RSA key of 2048 to 8192 bits for encryption")]
    NoRecipientKey,
}

/// An attested environment that a policy accepts.
#[derive(Debug)]
pub(crate) struct Environment {
    /// Who vouches for it.
    pub(crate) authority: String,
    /// The name of its key.
    pub(crate) kid: String,
    /// The key that only the environment can open.
    pub(crate) key: RsaPublicKey,
}

impl Environment {
    /// The environment a token speaks for, if the policy accepts it.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for what is no token at all; [`Error::AttestationRefused`] for everything else.
    pub(crate) async fn attested(
        policy: &ReleasePolicy,
        target: &str,
        authorities: &dyn AttestationAuthorities,
        now: Timestamp,
    ) -> Result<Self> {
        let token = ParsedToken::parse(target).map_err(|error| match error {
            TokenError::Malformed | TokenError::TooLong => Error::bad_parameter("target", error.to_string()),
            error => refused(error.into()),
        })?;
        // The policy first: what it does not name is not even asked for its keys.
        let issuer = token.unproved_claims().text("iss").map(str::to_owned);
        let authority = issuer.ok_or_else(|| refused(TokenError::MissingClaim("iss").into()))?;
        if !policy.trusts(&authority) {
            return Err(refused(AttestationProblem::NotInPolicy));
        }
        let claims = authorities.verify(token, now).await.map_err(|error| refused(error.into()))?;
        if !policy.allows(&authority, &claims) {
            return Err(refused(AttestationProblem::ClaimsNotMet));
        }
        let (kid, key) = recipient(&claims).ok_or_else(|| refused(AttestationProblem::NoRecipientKey))?;
        Ok(Self { authority, kid, key })
    }
}

fn refused(problem: AttestationProblem) -> Error {
    Error::AttestationRefused { problem }
}

#[derive(Deserialize)]
struct RuntimeKey {
    kty: String,
    kid: Option<String>,
    #[serde(alias = "use")]
    key_use: Option<String>,
    #[serde(default)]
    key_ops: Vec<String>,
    n: String,
    e: String,
}

/// The first RSA key for encryption among those the environment made.
fn recipient(claims: &Claims) -> Option<(String, RsaPublicKey)> {
    let keys = claims.nested("x-ms-runtime.keys")?.as_array()?;
    keys.iter().take(RUNTIME_KEYS_MAX).find_map(|key| {
        let key = RuntimeKey::deserialize(key).ok()?;
        let encrypts = key.key_use.as_deref() == Some("enc") || key.key_ops.iter().any(|it| it == "encrypt");
        if key.kty != "RSA" || !encrypts {
            return None;
        }
        let number = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
        let (n, e) = (number(&key.n)?, number(&key.e)?);
        let significant = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
        let public = RsaPublicKey::from_components(&significant(&n), &significant(&e)).ok()?;
        let kid = key.kid.unwrap_or_default();
        (kid.len() <= KID_BYTES_MAX).then_some((kid, public))
    })
}

/// Most keys of an environment that are looked at.
const RUNTIME_KEYS_MAX: usize = 16;
const KID_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn kid(keys: &Value) -> Option<String> {
        let claims: Claims = serde_json::from_value(json!({"x-ms-runtime": {"keys": keys}})).unwrap();
        recipient(&claims).map(|(kid, _)| kid)
    }

    /// A modulus of so many bits, odd.
    fn modulus(bits: usize) -> String {
        let mut bytes = vec![0xa5; bits / 8];
        bytes[bits / 8 - 1] |= 1;
        URL_SAFE_NO_PAD.encode(bytes)
    }

    #[test]
    fn the_first_rsa_key_for_encryption_receives() {
        let key = |kid: &str, more: Value| {
            let mut key = json!({"kty": "RSA", "kid": kid, "n": modulus(2048), "e": "AQAB"});
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key
        };
        let signs = key("signs", json!({"key_ops": ["sign"]}));
        let by_ops = key("ops", json!({"key_ops": ["encrypt"]}));
        let by_use = key("use", json!({"key_use": "enc"}));
        let ec = key("ec", json!({"kty": "EC", "key_use": "enc"}));
        assert_eq!(kid(&json!([signs, ec, by_ops, by_use])), Some("ops".to_owned()));
        assert_eq!(kid(&json!([by_use, by_ops])), Some("use".to_owned()));
        assert_eq!(kid(&json!([signs, ec, {"kty": "RSA"}, 7])), None);
        assert_eq!(kid(&json!("none")), None);
    }

    #[test]
    fn a_recipient_key_of_a_wrong_size_receives_nothing() {
        for bits in [1024, 16_384] {
            let keys = json!([{"kty": "RSA", "kid": "k", "key_use": "enc", "n": modulus(bits), "e": "AQAB"}]);
            assert_eq!(kid(&keys), None, "{bits}");
        }
    }
}
