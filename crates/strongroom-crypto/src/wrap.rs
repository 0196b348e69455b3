//! Wrapping and unwrapping other keys.

use strongroom_types::{Algorithm, Secret, SymmetricSize};

use crate::aes::{AesKey, WRAP_OVERHEAD};
use crate::algorithms::{Mechanism, mechanism};
use crate::material::Kind;
use crate::{CryptoError, DecryptInput, EncryptInput, Entropy, KeyMaterial};

impl KeyMaterial {
    /// Wraps a key, with AES key wrap (RFC 3394), with padding (RFC 5649) or without, or an RSA encryption.
    ///
    /// # Errors
    /// [`CryptoError::UnsuitableAlgorithm`]; [`CryptoError::BadInput`] for a key of a length the algorithm cannot take.
    pub fn wrap(&self, algorithm: Algorithm, key: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, CryptoError> {
        match (&self.kind, mechanism(algorithm)) {
            (Kind::Oct(kek), Mechanism::AesKeyWrap(size)) if fits(size, kek) => {
                check_length(key, KEY_BYTES_MIN, "must be a multiple of 8 bytes, at least 16")?;
                kek.wrap(key)
            }
            (Kind::Oct(kek), Mechanism::AesKeyWrapPad) => {
                if key.is_empty() {
                    return Err(CryptoError::BadInput { parameter: "value", problem: "must not be empty" });
                }
                kek.wrap_with_padding(key)
            }
            (Kind::Rsa(_), Mechanism::RsaEncryption(_)) => {
                let encrypted = self.encrypt(algorithm, EncryptInput { value: key, iv: None, aad: None }, entropy)?;
                Ok(encrypted.ciphertext)
            }
            _ => Err(CryptoError::UnsuitableAlgorithm { algorithm }),
        }
    }

    /// Unwraps a key.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] for everything that depends on the key or on what was wrapped;
    /// [`CryptoError::UnsuitableAlgorithm`]; [`CryptoError::BadInput`] for a length AES key wrap never gives.
    pub fn unwrap(&self, algorithm: Algorithm, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError> {
        match (&self.kind, mechanism(algorithm)) {
            (Kind::Oct(kek), Mechanism::AesKeyWrap(size)) if fits(size, kek) => {
                check_length(wrapped, KEY_BYTES_MIN + WRAP_OVERHEAD, "must be a multiple of 8 bytes, at least 24")?;
                kek.unwrap(wrapped)
            }
            (Kind::Oct(kek), Mechanism::AesKeyWrapPad) => {
                check_length(wrapped, 2 * WRAP_OVERHEAD, "must be a multiple of 8 bytes, at least 16")?;
                kek.unwrap_with_padding(wrapped)
            }
            (Kind::Rsa(_), Mechanism::RsaEncryption(_)) => {
                self.decrypt(algorithm, DecryptInput { value: wrapped, iv: None, tag: None, aad: None })
            }
            _ => Err(CryptoError::UnsuitableAlgorithm { algorithm }),
        }
    }
}

/// Smallest key that AES key wrap takes (RFC 3394 §2: two semiblocks).
const KEY_BYTES_MIN: usize = 16;

fn fits(size: Option<SymmetricSize>, kek: &AesKey) -> bool {
    size.is_none_or(|size| size == kek.size())
}

fn check_length(value: &[u8], bytes_min: usize, problem: &'static str) -> Result<(), CryptoError> {
    if value.len() < bytes_min || !value.len().is_multiple_of(WRAP_OVERHEAD) {
        return Err(CryptoError::BadInput { parameter: "value", problem });
    }
    Ok(())
}
