//! Giving a key out, wrapped for somebody else's RSA key. Between unsealing and wrapping nothing leaves the boundary.

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OaepAlgorithm};
use strongroom_types::{Algorithm, KeyEncryptionAlgorithm, Secret};

use crate::{CryptoError, Entropy, KeyMaterial, RsaPublicKey};

impl KeyMaterial {
    /// The key for the owner of an RSA key: PKCS#8 DER for RSA and EC, the raw bytes for oct, wrapped as
    /// `CKM_RSA_AES_KEY_WRAP` says (PKCS#11 v3.1 §6.1.25).
    ///
    /// # Errors
    /// [`CryptoError::Entropy`], or [`CryptoError::Library`].
    pub fn wrap_for(
        &self,
        recipient: &RsaPublicKey,
        algorithm: KeyEncryptionAlgorithm,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, CryptoError> {
        rsa_aes_key_wrap(recipient, algorithm, self.to_sealable()?.expose(), entropy)
    }

    /// A new AES-256 key, wrapped by this key and seen by nobody.
    ///
    /// # Errors
    /// [`CryptoError::UnsuitableAlgorithm`], [`CryptoError::Entropy`].
    pub fn wrap_new_key(&self, algorithm: Algorithm, entropy: &dyn Entropy) -> Result<Vec<u8>, CryptoError> {
        let mut key = Secret::new([0; AES_256_BYTES]);
        entropy.fill(key.expose_mut())?;
        self.wrap(algorithm, key.expose(), entropy)
    }

    /// Unwraps a key and wraps it for the owner of an RSA key, as [`Self::wrap_for`] does.
    ///
    /// # Errors
    /// As [`Self::unwrap`] and [`Self::wrap_for`].
    pub fn rewrap_for(
        &self,
        algorithm: Algorithm,
        wrapped: &[u8],
        recipient: &RsaPublicKey,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, CryptoError> {
        let key = self.unwrap(algorithm, wrapped)?;
        rsa_aes_key_wrap(recipient, KeyEncryptionAlgorithm::CkmRsaAesKeyWrap, key.expose(), entropy)
    }
}

/// A new AES-256 key under RSA-OAEP, and behind it the key under that (RFC 5649).
fn rsa_aes_key_wrap(
    recipient: &RsaPublicKey,
    algorithm: KeyEncryptionAlgorithm,
    key: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, CryptoError> {
    let failed = |_| CryptoError::Library("AES key wrap with padding");
    let mut ephemeral = Secret::new([0; AES_256_BYTES]);
    entropy.fill(ephemeral.expose_mut())?;
    let kek = AesKek::new(&AES_256, ephemeral.expose()).map_err(failed)?;
    let mut wrapped = vec![0; key.len() + PADDED_OVERHEAD_MAX];
    let length = kek.wrap_with_padding(key, &mut wrapped).map_err(failed)?.len();
    wrapped.truncate(length);
    let mut ciphertext = recipient.encrypt_oaep(oaep(algorithm), ephemeral.expose())?;
    ciphertext.append(&mut wrapped);
    Ok(ciphertext)
}

fn oaep(algorithm: KeyEncryptionAlgorithm) -> &'static OaepAlgorithm {
    match algorithm {
        KeyEncryptionAlgorithm::CkmRsaAesKeyWrap => &OAEP_SHA1_MGF1SHA1,
        KeyEncryptionAlgorithm::RsaAesKeyWrap256 => &OAEP_SHA256_MGF1SHA256,
        KeyEncryptionAlgorithm::RsaAesKeyWrap384 => &OAEP_SHA384_MGF1SHA384,
    }
}

const AES_256_BYTES: usize = 32;
/// One semiblock, and up to seven bytes of padding (RFC 5649 §4.1).
const PADDED_OVERHEAD_MAX: usize = 15;
