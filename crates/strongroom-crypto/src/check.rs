//! Proving that a key is the one it was: against its public half, or a check value if it has none.
//!
//! A check value is HMAC-SHA-256 under the key over a text of its own. It tells nothing about the key to who does not
//! have it; but whoever has a guess of the key can confirm it, so it is kept as sealed as what it stands beside.

use serde::{Deserialize, Serialize};
use strongroom_types::{Algorithm, CurveName};

use crate::digest::constant_time_eq;
use crate::material::Kind;
use crate::{CryptoError, EcPublicKey, Entropy, KeyMaterial, PublicKey, RsaPublicKey};

/// What a key can be recognised by later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyCheck {
    /// The public half: the key must sign a challenge that it verifies.
    PublicKey(PublicKey),
    /// The check value of a symmetric key.
    Value([u8; 32]),
}

impl KeyMaterial {
    /// What this key can be recognised by.
    pub fn check(&self) -> KeyCheck {
        match &self.kind {
            Kind::Rsa(_) | Kind::Ec(_) => KeyCheck::PublicKey(self.public_key().clone()),
            Kind::Oct(key) => KeyCheck::Value(key.check_value()),
        }
    }

    /// Whether this key is the one that the check was taken from: it answers a new challenge that the old public half
    /// confirms, or has the same check value.
    ///
    /// # Errors
    /// [`CryptoError::Entropy`], or [`CryptoError::Library`] if signing fails.
    pub fn passes(&self, check: &KeyCheck, entropy: &dyn Entropy) -> Result<bool, CryptoError> {
        let mut challenge = [0; CHALLENGE_BYTES];
        entropy.fill(&mut challenge)?;
        match (&self.kind, check) {
            (Kind::Rsa(_), KeyCheck::PublicKey(PublicKey::Rsa { n, e })) => {
                let public = RsaPublicKey::from_components(n, e)?;
                let digest = challenge.get(..32).unwrap_or_default();
                public.verify(Algorithm::Ps256, digest, &self.sign(Algorithm::Ps256, digest)?)
            }
            (Kind::Ec(key), KeyCheck::PublicKey(PublicKey::Ec { curve, x, y })) if key.public().curve() == *curve => {
                let (algorithm, bytes) = match curve {
                    CurveName::P256 => (Algorithm::Es256, 32),
                    CurveName::P256K => (Algorithm::Es256K, 32),
                    CurveName::P384 => (Algorithm::Es384, 48),
                    CurveName::P521 => (Algorithm::Es512, 64),
                };
                let public = EcPublicKey::from_coordinates(*curve, x, y)?;
                let digest = challenge.get(..bytes).unwrap_or_default();
                public.verify(digest, &self.sign(algorithm, digest)?)
            }
            (Kind::Oct(key), KeyCheck::Value(value)) => Ok(constant_time_eq(&key.check_value(), value)),
            (Kind::Rsa(_) | Kind::Ec(_) | Kind::Oct(_), _) => Ok(false),
        }
    }
}

/// As long as the longest digest that is signed.
const CHALLENGE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use strongroom_types::{RsaSize, SymmetricSize};

    use super::*;
    use crate::{KeySpecification, SystemEntropy};

    fn key(specification: KeySpecification) -> KeyMaterial {
        KeyMaterial::generate(specification, &SystemEntropy).unwrap()
    }

    #[test]
    fn a_key_passes_its_own_check_and_no_other() {
        let specifications = [
            KeySpecification::Rsa(RsaSize::Bits2048),
            KeySpecification::Ec(CurveName::P256),
            KeySpecification::Ec(CurveName::P256K),
            KeySpecification::Ec(CurveName::P384),
            KeySpecification::Ec(CurveName::P521),
            KeySpecification::Oct(SymmetricSize::Bits128),
            KeySpecification::Oct(SymmetricSize::Bits256),
        ];
        let keys: Vec<_> = specifications.into_iter().flat_map(|one| [key(one), key(one)]).collect();
        for (position, key) in keys.iter().enumerate() {
            for (other, checked) in keys.iter().enumerate() {
                let passes = key.passes(&checked.check(), &SystemEntropy).unwrap();
                assert_eq!(passes, position == other, "{key:?} against {checked:?}");
            }
            let again = KeyMaterial::from_sealable(key.specification(), key.to_sealable().unwrap().expose()).unwrap();
            assert_eq!(again.check(), key.check());
        }
    }
}
