//! Authenticated encryption under a key that is used once.
//!
//! ```text
//! salt 32 | ciphertext | tag 16
//! ```
//! Each call draws 32 random bytes and derives an AES-256-GCM key from them, so that there is no nonce to repeat and no
//! limit on the number of texts.

use aws_lc_rs::{aead, hkdf};
use strongroom_types::Secret;

use crate::{CryptoError, Entropy};

/// A key from which one-use keys are derived.
pub(crate) struct OneUseKeys(hkdf::Prk);

impl OneUseKeys {
    /// Bytes that sealing adds: salt and tag.
    pub(crate) const OVERHEAD_BYTES: usize = SALT_BYTES + TAG_BYTES;

    /// The key must already be uniform: it is not extracted again.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, key))
    }

    /// Appends salt, ciphertext and tag to the header.
    pub(crate) fn seal(
        &self,
        entropy: &dyn Entropy,
        header: Vec<u8>,
        associated_data: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt)?;
        let mut sealed = header;
        // Room for all of it from the start: growing would leave copies of the plaintext behind.
        sealed.reserve_exact(SALT_BYTES + plaintext.len() + TAG_BYTES);
        sealed.extend_from_slice(&salt);
        let start = sealed.len();
        sealed.extend_from_slice(plaintext);
        let body = sealed.get_mut(start..).ok_or(CryptoError::Library("slice"))?;
        let tag = self
            .key(&salt)?
            .seal_in_place_separate_tag(zero_nonce(), aead::Aad::from(associated_data), body)
            .map_err(|_| CryptoError::Library("AES-GCM"))?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what follows the header.
    pub(crate) fn open(&self, associated_data: &[u8], sealed: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError> {
        let (salt, body) = sealed.split_first_chunk::<SALT_BYTES>().ok_or(CryptoError::Rejected)?;
        let mut body = Secret::new(body.to_vec());
        let length = self
            .key(salt)?
            .open_in_place(zero_nonce(), aead::Aad::from(associated_data), body.expose_mut().as_mut_slice())
            .map_err(|_| CryptoError::Rejected)?
            .len();
        body.expose_mut().truncate(length);
        Ok(body)
    }

    fn key(&self, salt: &[u8; SALT_BYTES]) -> Result<aead::LessSafeKey, CryptoError> {
        let info: [&[u8]; 1] = [salt];
        let key = self.0.expand(&info, &aead::AES_256_GCM).map(aead::UnboundKey::from);
        key.map(aead::LessSafeKey::new).map_err(|_| CryptoError::Library("HKDF"))
    }
}

/// Random bytes in front of the ciphertext.
pub(crate) const SALT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// The key is used once, so the nonce need not differ.
fn zero_nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
}
