//! Hashes of passphrases that people choose: slow on purpose.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use serde::{Deserialize, Serialize};

use crate::{CryptoError, Entropy};

/// A passphrase as it is stored: PBKDF2-HMAC-SHA-512 (RFC 8018 §5.2) with its own salt and number of rounds.
///
/// Making and checking one costs some tenths of a second of one core: keep it off the threads that serve requests.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassphraseHash {
    rounds: NonZeroU32,
    salt: [u8; 16],
    hash: [u8; 32],
}

impl PassphraseHash {
    /// Rounds of a new hash; a stored one keeps the number it was made with.
    pub const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();

    /// Hashes a passphrase under a new salt.
    ///
    /// # Errors
    /// [`CryptoError::Entropy`] if no salt can be drawn.
    pub fn new(passphrase: &str, entropy: &dyn Entropy) -> Result<Self, CryptoError> {
        let salt = entropy.sixteen()?;
        let mut hash = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, Self::ROUNDS, &salt, passphrase.as_bytes(), &mut hash);
        Ok(Self { rounds: Self::ROUNDS, salt, hash })
    }

    /// Whether this is the passphrase; compared in constant time.
    pub fn verify(&self, passphrase: &str) -> bool {
        let Self { rounds, salt, hash } = self;
        pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA512, *rounds, salt, passphrase.as_bytes(), hash).is_ok()
    }
}

impl fmt::Debug for PassphraseHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassphraseHash").field("rounds", &self.rounds).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    #[test]
    fn only_the_passphrase_itself_verifies() {
        let hash = PassphraseHash::new("correct horse battery", &SystemEntropy).unwrap();
        assert!(hash.verify("correct horse battery"));
        assert!(!hash.verify("correct horse batterY"));
        assert!(!hash.verify(""));
    }

    #[test]
    fn the_same_passphrase_hashes_differently_each_time_and_is_not_printed() {
        let (one, two) =
            (PassphraseHash::new("x", &SystemEntropy).unwrap(), PassphraseHash::new("x", &SystemEntropy).unwrap());
        assert_ne!(one, two);
        assert_eq!(format!("{one:?}"), "PassphraseHash { rounds: 600000, .. }");
    }

    #[test]
    fn the_function_is_pbkdf2_hmac_sha_512() {
        // Computed with another implementation: PBKDF2-HMAC-SHA-512("password", sixteen bytes of 0x01, 1000, 32).
        let mut hash = [0; 32];
        let expected = "713116f700d311102acac1bbd3b91caacfe9c1ba390272600219f5b47cb44e7f";
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, NonZeroU32::new(1000).unwrap(), &[1; 16], b"password", &mut hash);
        assert_eq!(hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), expected);
        let stored = PassphraseHash { rounds: NonZeroU32::new(1000).unwrap(), salt: [1; 16], hash };
        assert!(stored.verify("password"));
    }
}
