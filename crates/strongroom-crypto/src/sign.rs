//! Signing and verifying digests.

use strongroom_types::Algorithm;

use crate::algorithms::{Mechanism, mechanism};
use crate::material::Kind;
use crate::{CryptoError, KeyMaterial};

impl KeyMaterial {
    /// Signs a digest. ECDSA signatures are `r ‖ s`, each as long as the field (RFC 7518 §3.4).
    ///
    /// # Errors
    /// [`CryptoError::UnsuitableAlgorithm`]; [`CryptoError::BadInput`] for a digest of the wrong length.
    pub fn sign(&self, algorithm: Algorithm, digest: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match (&self.kind, mechanism(algorithm)) {
            (Kind::Rsa(key), Mechanism::RsaSignature(row)) => key.sign(row, digest),
            (Kind::Ec(key), Mechanism::Ecdsa(curve)) if curve == key.public().curve() => key.sign(digest),
            _ => Err(CryptoError::UnsuitableAlgorithm { algorithm }),
        }
    }

    /// Whether the signature is one of this key over the digest; a malformed one is not.
    ///
    /// # Errors
    /// [`CryptoError::UnsuitableAlgorithm`]; [`CryptoError::BadInput`] for a digest of the wrong length.
    pub fn verify(&self, algorithm: Algorithm, digest: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
        match (&self.kind, mechanism(algorithm)) {
            (Kind::Rsa(key), Mechanism::RsaSignature(_)) => key.public().verify(algorithm, digest, signature),
            (Kind::Ec(key), Mechanism::Ecdsa(curve)) if curve == key.public().curve() => {
                key.public().verify(digest, signature)
            }
            _ => Err(CryptoError::UnsuitableAlgorithm { algorithm }),
        }
    }
}
