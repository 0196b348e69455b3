//! Symmetric keys: the modes of AES they are used in, and HMAC.

use aes_kw::{KeyInit, KwAes192, KwpAes192};
use aws_lc_rs::aead::{self, LessSafeKey, UnboundKey};
use aws_lc_rs::cipher::{
    DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrap, KeyWrapPadded};
use strongroom_types::{Secret, SymmetricSize};

use crate::algorithms::{CbcPadding, aes};
use crate::digest::authenticate;
use crate::{CryptoError, Entropy};

/// Bytes of a block, and of the IV of CBC.
pub(crate) const BLOCK_BYTES: usize = 16;
/// Bytes of the IV of GCM.
pub(crate) const GCM_IV_BYTES: usize = aead::NONCE_LEN;
/// Bytes of the tag of GCM.
pub(crate) const GCM_TAG_BYTES: usize = 16;

/// An AES key. GCM is kept ready, since it is the frequent one; the other modes set up their schedule per use.
pub(crate) struct AesKey {
    size: SymmetricSize,
    bytes: Secret<Vec<u8>>,
    gcm: LessSafeKey,
}

impl AesKey {
    pub(crate) fn generate(size: SymmetricSize, entropy: &dyn Entropy) -> Result<Self, CryptoError> {
        let mut bytes = Secret::new(vec![0; size.bytes()]);
        entropy.fill(bytes.expose_mut())?;
        Self::from_bytes(size, bytes.expose())
    }

    pub(crate) fn from_bytes(size: SymmetricSize, bytes: &[u8]) -> Result<Self, CryptoError> {
        if bytes.len() != size.bytes() {
            return Err(CryptoError::MalformedMaterial);
        }
        let gcm = UnboundKey::new(aes(size).gcm, bytes).map_err(|_| CryptoError::MalformedMaterial)?;
        Ok(Self { size, bytes: Secret::new(bytes.to_vec()), gcm: LessSafeKey::new(gcm) })
    }

    pub(crate) fn size(&self) -> SymmetricSize {
        self.size
    }

    pub(crate) fn to_bytes(&self) -> Secret<Vec<u8>> {
        Secret::new(self.bytes.expose().clone())
    }

    /// Ciphertext and tag (NIST SP 800-38D).
    pub(crate) fn gcm_encrypt(
        &self,
        iv: [u8; GCM_IV_BYTES],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        let mut text = plaintext.to_vec();
        let tag = self
            .gcm
            .seal_in_place_separate_tag(aead::Nonce::assume_unique_for_key(iv), aead::Aad::from(aad), &mut text)
            .map_err(|_| CryptoError::Library("AES-GCM"))?;
        Ok((text, tag.as_ref().to_vec()))
    }

    pub(crate) fn gcm_decrypt(
        &self,
        iv: [u8; GCM_IV_BYTES],
        aad: &[u8],
        tag: &[u8; GCM_TAG_BYTES],
        ciphertext: &[u8],
    ) -> Result<Secret<Vec<u8>>, CryptoError> {
        let mut text = Secret::new(ciphertext.to_vec());
        self.gcm
            .open_in_place_separate_tag(
                aead::Nonce::assume_unique_for_key(iv),
                aead::Aad::from(aad),
                tag,
                text.expose_mut(),
            )
            .map_err(|_| CryptoError::Rejected)?;
        Ok(text)
    }

    /// NIST SP 800-38A §6.2 over the padded text.
    pub(crate) fn cbc_encrypt(
        &self,
        padding: CbcPadding,
        iv: &[u8; BLOCK_BYTES],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let failed = |_| CryptoError::Library("AES-CBC");
        let iv = EncryptionContext::Iv128(FixedLength::from(iv));
        // Room for the padding from the start: growing would leave copies of the plaintext behind.
        let mut text = Vec::with_capacity(plaintext.len() + BLOCK_BYTES);
        text.extend_from_slice(plaintext);
        match padding {
            CbcPadding::Zero => {
                text.resize(plaintext.len().next_multiple_of(BLOCK_BYTES), 0);
                let key = EncryptingKey::cbc(self.cipher_key()?).map_err(failed)?;
                key.less_safe_encrypt(&mut text, iv).map_err(failed)?;
            }
            CbcPadding::Pkcs7 => {
                let key = PaddedBlockEncryptingKey::cbc_pkcs7(self.cipher_key()?).map_err(failed)?;
                key.less_safe_encrypt(&mut text, iv).map_err(failed)?;
            }
        }
        Ok(text)
    }

    /// Takes off the padding of PKCS#7, never zeros.
    pub(crate) fn cbc_decrypt(
        &self,
        padding: CbcPadding,
        iv: &[u8; BLOCK_BYTES],
        ciphertext: &[u8],
    ) -> Result<Secret<Vec<u8>>, CryptoError> {
        let failed = |_| CryptoError::Library("AES-CBC");
        let iv = DecryptionContext::Iv128(FixedLength::from(iv));
        let mut text = Secret::new(ciphertext.to_vec());
        let length = match padding {
            CbcPadding::Zero => {
                let key = DecryptingKey::cbc(self.cipher_key()?).map_err(failed)?;
                key.decrypt(text.expose_mut(), iv).map_err(|_| CryptoError::Rejected)?.len()
            }
            CbcPadding::Pkcs7 => {
                let key = PaddedBlockDecryptingKey::cbc_pkcs7(self.cipher_key()?).map_err(failed)?;
                key.decrypt(text.expose_mut(), iv).map_err(|_| CryptoError::Rejected)?.len()
            }
        };
        text.expose_mut().truncate(length);
        Ok(text)
    }

    /// RFC 3394 §2.2.1. The length of the key must have been checked.
    pub(crate) fn wrap(&self, key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let failed = || CryptoError::Library("AES key wrap");
        let mut wrapped = vec![0; key.len() + WRAP_OVERHEAD];
        match self.key_encryption_key()? {
            KeyEncryptionKey::AwsLc(kek) => kek.wrap(key, &mut wrapped).map_err(|_| failed())?.len(),
            KeyEncryptionKey::Bits192(kek) => {
                KwAes192::new(kek.into()).wrap_key(key, &mut wrapped).map_err(|_| failed())?.len()
            }
        };
        Ok(wrapped)
    }

    /// RFC 3394 §2.2.2. The length of the wrapped key must have been checked.
    pub(crate) fn unwrap(&self, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError> {
        // AWS-LC asks for room for the whole input.
        let mut key = Secret::new(vec![0; wrapped.len()]);
        let length = match self.key_encryption_key()? {
            KeyEncryptionKey::AwsLc(kek) => {
                kek.unwrap(wrapped, key.expose_mut()).map_err(|_| CryptoError::Rejected)?.len()
            }
            KeyEncryptionKey::Bits192(kek) => {
                let kek = KwAes192::new(kek.into());
                kek.unwrap_key(wrapped, key.expose_mut()).map_err(|_| CryptoError::Rejected)?.len()
            }
        };
        key.expose_mut().truncate(length);
        Ok(key)
    }

    /// RFC 5649 §4.1. The length of the key must have been checked.
    pub(crate) fn wrap_with_padding(&self, key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let failed = || CryptoError::Library("AES key wrap with padding");
        let mut wrapped = vec![0; key.len().next_multiple_of(WRAP_OVERHEAD) + WRAP_OVERHEAD];
        match self.key_encryption_key()? {
            KeyEncryptionKey::AwsLc(kek) => kek.wrap_with_padding(key, &mut wrapped).map_err(|_| failed())?.len(),
            KeyEncryptionKey::Bits192(kek) => {
                KwpAes192::new(kek.into()).wrap_key(key, &mut wrapped).map_err(|_| failed())?.len()
            }
        };
        Ok(wrapped)
    }

    /// RFC 5649 §4.2. The length of the wrapped key must have been checked.
    pub(crate) fn unwrap_with_padding(&self, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError> {
        // AWS-LC asks for room for the whole input.
        let mut key = Secret::new(vec![0; wrapped.len()]);
        let length = match self.key_encryption_key()? {
            KeyEncryptionKey::AwsLc(kek) => {
                kek.unwrap_with_padding(wrapped, key.expose_mut()).map_err(|_| CryptoError::Rejected)?.len()
            }
            KeyEncryptionKey::Bits192(kek) => {
                let kek = KwpAes192::new(kek.into());
                kek.unwrap_key(wrapped, key.expose_mut()).map_err(|_| CryptoError::Rejected)?.len()
            }
        };
        key.expose_mut().truncate(length);
        Ok(key)
    }

    /// HMAC (RFC 2104) of a text, as long as the hash.
    pub(crate) fn authenticate(&self, algorithm: hmac::Algorithm, text: &[u8]) -> Vec<u8> {
        authenticate(algorithm, self.bytes.expose(), &[text]).as_ref().to_vec()
    }

    /// What the key can be recognised by: HMAC-SHA-256 over a text of its own.
    pub(crate) fn check_value(&self) -> [u8; 32] {
        let mut value = [0; 32];
        value.copy_from_slice(authenticate(hmac::HMAC_SHA256, self.bytes.expose(), &[CHECK_TEXT]).as_ref());
        value
    }

    fn cipher_key(&self) -> Result<UnboundCipherKey, CryptoError> {
        UnboundCipherKey::new(aes(self.size).cbc, self.bytes.expose()).map_err(|_| CryptoError::MalformedMaterial)
    }

    fn key_encryption_key(&self) -> Result<KeyEncryptionKey<'_>, CryptoError> {
        let bytes = self.bytes.expose();
        let kek = match self.size {
            SymmetricSize::Bits128 => AesKek::new(&AES_128, bytes).map(KeyEncryptionKey::AwsLc).ok(),
            SymmetricSize::Bits192 => bytes.as_slice().try_into().map(KeyEncryptionKey::Bits192).ok(),
            SymmetricSize::Bits256 => AesKek::new(&AES_256, bytes).map(KeyEncryptionKey::AwsLc).ok(),
        };
        kek.ok_or(CryptoError::MalformedMaterial)
    }
}

/// AWS-LC's safe interface has no key wrap of 192 bits.
enum KeyEncryptionKey<'a> {
    AwsLc(AesKek),
    Bits192(&'a [u8; 24]),
}

/// What check values are taken over (docs/backup-format.md).
const CHECK_TEXT: &[u8] = b"strongroom/check-value";

/// Bytes by which a wrapped key is longer (RFC 3394 §2.2.1).
pub(crate) const WRAP_OVERHEAD: usize = 8;
