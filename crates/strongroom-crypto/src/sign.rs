//! Signing and verifying digests. A code (HMAC) counts as a signature.

use strongroom_types::Algorithm;

use crate::algorithms::{Mechanism, mechanism};
use crate::digest::constant_time_eq;
use crate::material::Kind;
use crate::{CryptoError, KeyMaterial};

impl KeyMaterial {
    /// Signs a digest. ECDSA signatures are `r ‖ s`, each as long as the field (RFC 7518 §3.4). HMAC takes a text of any
    /// length as it is.
    ///
    /// # Errors
    /// [`CryptoError::UnsuitableAlgorithm`]; [`CryptoError::BadInput`] for a digest of the wrong length.
    pub fn sign(&self, algorithm: Algorithm, digest: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match (&self.kind, mechanism(algorithm)) {
            (Kind::Rsa(key), Mechanism::RsaSignature(row)) => key.sign(row, digest),
            (Kind::Ec(key), Mechanism::Ecdsa(curve)) if curve == key.public().curve() => key.sign(digest),
            (Kind::Oct(key), Mechanism::Hmac(hash)) => Ok(key.authenticate(hash, digest)),
            _ => Err(CryptoError::UnsuitableAlgorithm { algorithm }),
        }
    }

    /// Whether the signature is one of this key over the digest; a malformed one is not. Codes are compared whole and in
    /// constant time.
    ///
    /// # Errors
    /// [`CryptoError::UnsuitableAlgorithm`]; [`CryptoError::BadInput`] for a digest of the wrong length.
    pub fn verify(&self, algorithm: Algorithm, digest: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
        match (&self.kind, mechanism(algorithm)) {
            (Kind::Rsa(key), Mechanism::RsaSignature(_)) => key.public().verify(algorithm, digest, signature),
            (Kind::Ec(key), Mechanism::Ecdsa(curve)) if curve == key.public().curve() => {
                key.public().verify(digest, signature)
            }
            (Kind::Oct(key), Mechanism::Hmac(hash)) => Ok(constant_time_eq(&key.authenticate(hash, digest), signature)),
            _ => Err(CryptoError::UnsuitableAlgorithm { algorithm }),
        }
    }
}
