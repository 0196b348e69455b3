//! Root secrets, and the keys derived from them.

use aws_lc_rs::hkdf;
use strongroom_types::Secret;

use crate::{CryptoError, Entropy};

/// A 256-bit secret from which keys are derived: the root of a managed HSM (one per epoch), or a deployment key.
///
/// It never encrypts anything itself. Each derived key has one purpose, named by its [`Label`].
#[derive(Debug)]
pub struct Root(Secret<[u8; Root::BYTES]>);

/// What a derived key is for: one key, one purpose, one label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Label {
    /// Seals stored records (protocols.md §2).
    Record,
    /// Wraps the keys of backups (protocols.md §2).
    Backup,
    /// Proves knowledge of the root without revealing it.
    Check,
    /// Hashes client secrets and one-time codes (protocols.md §8).
    CredentialHash,
    /// Signs status tokens and other short-lived values we hand out and take back.
    Token,
    /// Wraps the secrets that hang on a platform root (protocols.md §1).
    Wrap,
}

impl Label {
    const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Record => b"strongroom/record",
            Self::Backup => b"strongroom/backup",
            Self::Check => b"strongroom/check",
            Self::CredentialHash => b"strongroom/credential-hash",
            Self::Token => b"strongroom/token",
            Self::Wrap => b"strongroom/wrap",
        }
    }
}

impl Root {
    /// Length of a root, in bytes.
    pub const BYTES: usize = 32;

    /// Draws a new root.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, CryptoError> {
        let mut secret = Secret::new([0; Self::BYTES]);
        entropy.fill(secret.expose_mut())?;
        Ok(Self(secret))
    }

    /// Takes a root from where it was kept: exactly 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CryptoError> {
        let bytes = <[u8; Self::BYTES]>::try_from(bytes).map_err(|_| CryptoError::MalformedMaterial)?;
        Ok(Self(Secret::new(bytes)))
    }

    /// The secret itself, for those who wrap it: the root provider and the security domain.
    pub fn expose(&self) -> &[u8; Self::BYTES] {
        self.0.expose()
    }

    /// The key for one purpose: HKDF-SHA-512 (RFC 5869) with the label as salt and the context as info. The context is
    /// concatenated; its parts must have fixed lengths, or be the last.
    pub fn derive(&self, label: Label, context: &[&[u8]]) -> Result<Secret<[u8; 32]>, CryptoError> {
        let mut key = Secret::new([0; 32]);
        hkdf::Salt::new(hkdf::HKDF_SHA512, label.as_bytes())
            .extract(self.expose())
            .expand(context, ThirtyTwo)
            .and_then(|okm| okm.fill(key.expose_mut()))
            .map_err(|_| CryptoError::Library("HKDF"))?;
        Ok(key)
    }
}

struct ThirtyTwo;

impl hkdf::KeyType for ThirtyTwo {
    fn len(&self) -> usize {
        32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    #[test]
    fn labels_and_contexts_give_different_keys() {
        let root = Root::generate(&SystemEntropy).unwrap();
        let key = |label, context: &[&[u8]]| *root.derive(label, context).unwrap().expose();
        assert_eq!(key(Label::Record, &[b"a"]), key(Label::Record, &[b"a"]));
        assert_ne!(key(Label::Record, &[b"a"]), key(Label::Backup, &[b"a"]));
        assert_ne!(key(Label::Record, &[b"a"]), key(Label::Record, &[b"b"]));
    }
}
