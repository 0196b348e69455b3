//! A256CBC-HS512 (RFC 7518 §5.2.5): AES-256-CBC with PKCS#7 padding, authenticated with HMAC-SHA-512.

use strongroom_types::{Secret, SymmetricSize};

use crate::CryptoError;
use crate::aes::{AesKey, BLOCK_BYTES};
use crate::algorithms::CbcPadding;
use crate::digest::{constant_time_eq, hmac_sha512};

/// Bytes of the content encryption key: 32 for the code, then 32 for AES.
pub const KEY_BYTES: usize = 64;
/// Bytes of the IV.
pub const IV_BYTES: usize = BLOCK_BYTES;
/// Bytes of the tag: half of the HMAC.
pub const TAG_BYTES: usize = 32;

/// Ciphertext and tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The ciphertext, at least one block.
    pub ciphertext: Vec<u8>,
    /// The authentication tag.
    pub tag: [u8; TAG_BYTES],
}

/// Encrypts. The IV must be random and used once with this key.
pub fn encrypt(
    key: &[u8; KEY_BYTES],
    iv: &[u8; IV_BYTES],
    associated_data: &[u8],
    plaintext: &[u8],
) -> Result<Sealed, CryptoError> {
    let (mac_key, aes_key) = halves(key)?;
    let ciphertext = aes_key.cbc_encrypt(CbcPadding::Pkcs7, iv, plaintext)?;
    let tag = tag(mac_key, iv, associated_data, &ciphertext);
    Ok(Sealed { ciphertext, tag })
}

/// Decrypts. The tag is compared in constant time, and nothing is decrypted before it fits.
///
/// # Errors
/// [`CryptoError::Rejected`] for everything that does not fit, also a tag of another length.
pub fn decrypt(
    key: &[u8; KEY_BYTES],
    iv: &[u8; IV_BYTES],
    associated_data: &[u8],
    ciphertext: &[u8],
    expected_tag: &[u8],
) -> Result<Secret<Vec<u8>>, CryptoError> {
    let (mac_key, aes_key) = halves(key)?;
    if !constant_time_eq(&tag(mac_key, iv, associated_data, ciphertext), expected_tag) {
        return Err(CryptoError::Rejected);
    }
    aes_key.cbc_decrypt(CbcPadding::Pkcs7, iv, ciphertext)
}

fn halves(key: &[u8; KEY_BYTES]) -> Result<(&[u8], AesKey), CryptoError> {
    let (mac_key, aes_key) = key.split_at(KEY_BYTES / 2);
    Ok((mac_key, AesKey::from_bytes(SymmetricSize::Bits256, aes_key)?))
}

fn tag(mac_key: &[u8], iv: &[u8], associated_data: &[u8], ciphertext: &[u8]) -> [u8; TAG_BYTES] {
    let bits = (associated_data.len() as u64) * 8;
    let code = hmac_sha512(mac_key, &[associated_data, iv, ciphertext, &bits.to_be_bytes()]);
    let mut tag = [0; TAG_BYTES];
    tag.iter_mut().zip(code).for_each(|(to, from)| *to = from);
    tag
}
