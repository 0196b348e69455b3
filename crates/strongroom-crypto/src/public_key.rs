//! The public half of a key, as it is shown and stored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serializer};
use strongroom_types::CurveName;

use crate::digest::sha256;

/// A public key: what anyone may see of a key (RFC 7518 §6). Its serde form is a JWK's, binary members in base64url.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(tag = "kty")]
pub enum PublicKey {
    /// An RSA key; both numbers big-endian without leading zeros.
    #[serde(rename = "RSA-HSM")]
    Rsa {
        /// The modulus.
        #[serde(with = "base64url")]
        n: Vec<u8>,
        /// The public exponent.
        #[serde(with = "base64url")]
        e: Vec<u8>,
    },
    /// A point on a curve; both coordinates as long as the field.
    #[serde(rename = "EC-HSM")]
    Ec {
        /// The curve.
        #[serde(rename = "crv")]
        curve: CurveName,
        /// The first coordinate.
        #[serde(with = "base64url")]
        x: Vec<u8>,
        /// The second coordinate.
        #[serde(with = "base64url")]
        y: Vec<u8>,
    },
    /// A symmetric key has nothing to show.
    #[serde(rename = "oct-HSM")]
    Oct,
}

impl PublicKey {
    /// Its thumbprint: SHA-256 over its required members in lexicographic order (RFC 7638 §3), base64url. Key types and
    /// curves have their registered names there. A symmetric key has none: nothing of it may be shown.
    pub fn thumbprint(&self) -> Option<String> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let members = match self {
            Self::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(e), text(n)),
            Self::Ec { curve, x, y } => {
                let curve = match curve {
                    // RFC 8812 §3.1.
                    CurveName::P256K => "secp256k1",
                    CurveName::P256 | CurveName::P384 | CurveName::P521 => curve.as_str(),
                };
                format!(r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#, text(x), text(y))
            }
            Self::Oct => return None,
        };
        Some(text(&sha256(members.as_bytes())))
    }
}

mod base64url {
    use super::*;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        URL_SAFE_NO_PAD.decode(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_is_that_of_a_jwk() {
        for (key, json) in [
            (PublicKey::Rsa { n: vec![255, 254], e: vec![1, 0, 1] }, r#"{"kty":"RSA-HSM","n":"__4","e":"AQAB"}"#),
            (
                PublicKey::Ec { curve: CurveName::P256K, x: vec![0, 1], y: vec![2] },
                r#"{"kty":"EC-HSM","crv":"P-256K","x":"AAE","y":"Ag"}"#,
            ),
            (PublicKey::Oct, r#"{"kty":"oct-HSM"}"#),
        ] {
            assert_eq!(serde_json::to_string(&key).unwrap(), json);
            assert_eq!(serde_json::from_str::<PublicKey>(json).unwrap(), key);
        }
    }
}
