//! Secrets we make, and the keyed hashes that are all we keep of them (protocols.md §8).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use strongroom_crypto::digest::{constant_time_eq, hmac_sha256};
use strongroom_crypto::{CryptoError, Entropy, Label, Root};
use strongroom_types::{PrincipalId, Secret};

/// What a credential is for; a hash made for one purpose never fits another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    ClientSecret,
    OneTimePassword,
    RefreshToken,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::ClientSecret => b"client-secret",
            Self::OneTimePassword => b"one-time-password",
            Self::RefreshToken => b"refresh-token",
        }
    }
}

/// Hashes credentials under a key of the deployment, so that the stored hashes are useless without it.
pub(super) struct CredentialHasher {
    key: Secret<[u8; 32]>,
}

impl CredentialHasher {
    pub(super) fn new(root: &Root) -> Result<Self, CryptoError> {
        Ok(Self { key: root.derive(Label::CredentialHash, &[b"directory"])? })
    }

    /// The hash of a secret of one principal.
    pub(super) fn hash(&self, purpose: Purpose, owner: PrincipalId, secret: &str) -> CredentialHash {
        // The purpose is separated from the fixed-length owner by a zero byte, which no label has.
        CredentialHash(hmac_sha256(self.key.expose(), &[purpose.label(), &[0], owner.as_bytes(), secret.as_bytes()]))
    }
}

/// HMAC-SHA-256 of a credential; base64url in records, never printed.
#[derive(Clone, Copy)]
pub struct CredentialHash([u8; 32]);

impl PartialEq for CredentialHash {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq(&self.0, &other.0)
    }
}

impl Eq for CredentialHash {}

impl fmt::Debug for CredentialHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialHash(redacted)")
    }
}

impl Serialize for CredentialHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for CredentialHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
        bytes.try_into().map(Self).map_err(|_| serde::de::Error::custom("32 bytes in base64url"))
    }
}

/// Draws a client secret: 256 random bits, base64url.
pub(super) fn draw_secret(entropy: &dyn Entropy) -> Result<Secret<String>, CryptoError> {
    let mut bytes = Secret::new([0; 32]);
    entropy.fill(bytes.expose_mut())?;
    // A secret that began with a hyphen would be taken for a flag by command lines; the prefix also lets scanners find
    // one that leaked.
    Ok(Secret::new(format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.expose()))))
}

/// Draws a one-time password that a person can type: four groups of five base32 characters, 100 random bits.
pub(super) fn draw_one_time_password(entropy: &dyn Entropy) -> Result<Secret<String>, CryptoError> {
    let mut bytes = Secret::new([0u8; GROUPS * GROUP_CHARACTERS]);
    entropy.fill(bytes.expose_mut())?;
    let mut text = Secret::new(String::with_capacity(GROUPS * (GROUP_CHARACTERS + 1)));
    for (position, byte) in bytes.expose().iter().enumerate() {
        if position > 0 && position % GROUP_CHARACTERS == 0 {
            text.expose_mut().push('-');
        }
        let character = BASE32.get(usize::from(byte % 32)).copied().ok_or(CryptoError::Library("base32"))?;
        text.expose_mut().push(char::from(character));
    }
    Ok(text)
}

/// A typed one-time password in the form that is hashed: without blanks and hyphens, upper case.
pub(super) fn normalized(typed: &str) -> Secret<String> {
    Secret::new(typed.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_uppercase()).collect())
}

const GROUPS: usize = 4;
const GROUP_CHARACTERS: usize = 5;
/// RFC 4648 §6; it has no 0, 1, 8, 9, which people misread.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What every secret we make begins with.
const SECRET_PREFIX: &str = "sr_";

#[cfg(test)]
mod tests {
    use strongroom_crypto::SystemEntropy;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_hash_fits_one_secret_one_owner_and_one_purpose() {
        let hasher = CredentialHasher::new(&Root::generate(&SystemEntropy).unwrap()).unwrap();
        let (one, two) = (PrincipalId::from_uuid(Uuid::from_u128(1)), PrincipalId::from_uuid(Uuid::from_u128(2)));
        let hash = hasher.hash(Purpose::ClientSecret, one, "secret");
        assert_eq!(hash, hasher.hash(Purpose::ClientSecret, one, "secret"));
        assert_ne!(hash, hasher.hash(Purpose::ClientSecret, two, "secret"));
        assert_ne!(hash, hasher.hash(Purpose::RefreshToken, one, "secret"));
        assert_ne!(hash, hasher.hash(Purpose::ClientSecret, one, "secreT"));
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<CredentialHash>(&json).unwrap(), hash);
        assert_eq!(format!("{hash:?}"), "CredentialHash(redacted)");
    }

    #[test]
    fn a_one_time_password_is_typed_with_or_without_hyphens_and_case() {
        let password = draw_one_time_password(&SystemEntropy).unwrap();
        let text = password.expose();
        assert_eq!(text.len(), 23);
        assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [5, 5, 5, 5]);
        let typed = format!(" {} ", text.to_lowercase().replace('-', " "));
        assert_eq!(normalized(&typed).expose(), normalized(text).expose());
    }

    #[test]
    fn a_client_secret_has_256_bits() {
        let secret = draw_secret(&SystemEntropy).unwrap();
        let drawn = secret.expose().strip_prefix(SECRET_PREFIX).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(drawn).unwrap().len(), 32);
    }
}
