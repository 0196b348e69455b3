//! The identity of a security domain: an Ed25519 key made from a seed (RFC 8032).

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::CryptoError;

/// Signs in the name of a security domain.
pub struct DomainIdentity(Ed25519KeyPair);

impl DomainIdentity {
    /// From the 32 bytes of an Ed25519 private key.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, CryptoError> {
        // There is no public key to compare with: it is made from the seed.
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| CryptoError::MalformedMaterial)
    }

    /// The public key.
    pub fn public_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        key
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], CryptoError> {
        let failed = CryptoError::Library("Ed25519");
        let signature = self.0.try_sign(message).map_err(|_| failed.clone())?;
        signature.as_ref().try_into().map_err(|_| failed)
    }
}

impl fmt::Debug for DomainIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DomainIdentity").finish_non_exhaustive()
    }
}

/// Whether an Ed25519 signature is one of this key over the message.
pub fn verify_ed25519(public_key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_key_of_rfc_8032_test_1_comes_from_its_seed() {
        let seed: [u8; 32] = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
            0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ];
        let identity = DomainIdentity::from_seed(&seed).unwrap();
        assert_eq!(&identity.public_key()[..4], &[0xd7, 0x5a, 0x98, 0x01]);
        assert_eq!(&identity.sign(b"").unwrap()[..4], &[0xe5, 0x56, 0x43, 0x00]);
    }

    #[test]
    fn a_signature_holds_for_its_message_and_key_only() {
        let identity = DomainIdentity::from_seed(&[1; 32]).unwrap();
        let signature = identity.sign(b"message").unwrap();
        assert!(verify_ed25519(&identity.public_key(), b"message", &signature));
        assert!(!verify_ed25519(&identity.public_key(), b"massage", &signature));
        assert!(!verify_ed25519(&identity.public_key(), b"message", &signature[..63]));
        let other = DomainIdentity::from_seed(&[2; 32]).unwrap();
        assert!(!verify_ed25519(&other.public_key(), b"message", &signature));
    }
}
