//! Encrypting and decrypting.

use strongroom_types::{Algorithm, Secret};

use crate::aes::{AesKey, BLOCK_BYTES, GCM_IV_BYTES};
use crate::algorithms::{CbcPadding, Mechanism, mechanism};
use crate::material::Kind;
use crate::{CryptoError, Entropy, KeyMaterial};

/// What is to be encrypted.
#[derive(Debug, Clone, Copy)]
pub struct EncryptInput<'a> {
    /// The plaintext.
    pub value: &'a [u8],
    /// The IV, 16 bytes: required by CBC, refused by GCM.
    pub iv: Option<&'a [u8]>,
    /// Data to authenticate beside the plaintext, for GCM only.
    pub aad: Option<&'a [u8]>,
}

/// What encryption gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encrypted {
    /// The ciphertext.
    pub ciphertext: Vec<u8>,
    /// The IV, for GCM and CBC.
    pub iv: Option<Vec<u8>>,
    /// The authentication tag, for GCM.
    pub tag: Option<Vec<u8>>,
}

/// What is to be decrypted.
#[derive(Debug, Clone, Copy)]
pub struct DecryptInput<'a> {
    /// The ciphertext.
    pub value: &'a [u8],
    /// The IV: 12 bytes for GCM, 16 for CBC.
    pub iv: Option<&'a [u8]>,
    /// The authentication tag, 16 bytes, for GCM.
    pub tag: Option<&'a [u8]>,
    /// Data authenticated beside the plaintext, for GCM only.
    pub aad: Option<&'a [u8]>,
}

impl KeyMaterial {
    /// Encrypts. GCM draws its IV from the entropy; plain CBC fills the last block with zeros.
    ///
    /// # Errors
    /// [`CryptoError::UnsuitableAlgorithm`]; [`CryptoError::BadInput`] for a plaintext too long for an RSA key, a wrong
    /// or missing IV, or an `aad` that would not be authenticated.
    pub fn encrypt(
        &self,
        algorithm: Algorithm,
        input: EncryptInput<'_>,
        entropy: &dyn Entropy,
    ) -> Result<Encrypted, CryptoError> {
        match (&self.kind, mechanism(algorithm)) {
            (Kind::Rsa(key), Mechanism::RsaEncryption(_)) => {
                refuse_aad(input.aad)?;
                let ciphertext = key.public().encrypt(algorithm, input.value)?;
                Ok(Encrypted { ciphertext, iv: None, tag: None })
            }
            (Kind::Oct(key), Mechanism::AesGcm(size)) if size == key.size() => encrypt_gcm(key, input, entropy),
            (Kind::Oct(key), Mechanism::AesCbc(size, padding)) if size == key.size() => {
                encrypt_cbc(key, padding, input)
            }
            _ => Err(CryptoError::UnsuitableAlgorithm { algorithm }),
        }
    }

    /// Decrypts. Plain CBC gives the text with the zeros it was filled with.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] for everything that depends on the key or on the content of the ciphertext;
    /// [`CryptoError::UnsuitableAlgorithm`]; [`CryptoError::BadInput`] for wrong lengths, save that of an RSA ciphertext.
    pub fn decrypt(&self, algorithm: Algorithm, input: DecryptInput<'_>) -> Result<Secret<Vec<u8>>, CryptoError> {
        match (&self.kind, mechanism(algorithm)) {
            (Kind::Rsa(key), Mechanism::RsaEncryption(_)) => {
                refuse_aad(input.aad)?;
                key.decrypt(algorithm, input.value)
            }
            (Kind::Oct(key), Mechanism::AesGcm(size)) if size == key.size() => {
                let iv = exactly(input.iv, "iv", "AES-GCM needs an initialization vector of 12 bytes")?;
                let tag = exactly(input.tag, "tag", "AES-GCM needs an authentication tag of 16 bytes")?;
                key.gcm_decrypt(*iv, input.aad.unwrap_or_default(), tag, input.value)
            }
            (Kind::Oct(key), Mechanism::AesCbc(size, padding)) if size == key.size() => {
                decrypt_cbc(key, padding, input)
            }
            _ => Err(CryptoError::UnsuitableAlgorithm { algorithm }),
        }
    }
}

fn encrypt_gcm(key: &AesKey, input: EncryptInput<'_>, entropy: &dyn Entropy) -> Result<Encrypted, CryptoError> {
    if input.iv.is_some() {
        return Err(CryptoError::BadInput { parameter: "iv", problem: "AES-GCM draws its own initialization vector" });
    }
    let mut iv = [0; GCM_IV_BYTES];
    entropy.fill(&mut iv)?;
    let (ciphertext, tag) = key.gcm_encrypt(iv, input.aad.unwrap_or_default(), input.value)?;
    Ok(Encrypted { ciphertext, iv: Some(iv.to_vec()), tag: Some(tag) })
}

fn encrypt_cbc(key: &AesKey, padding: CbcPadding, input: EncryptInput<'_>) -> Result<Encrypted, CryptoError> {
    refuse_aad(input.aad)?;
    let iv = exactly(input.iv, "iv", CBC_IV)?;
    let ciphertext = key.cbc_encrypt(padding, iv, input.value)?;
    Ok(Encrypted { ciphertext, iv: Some(iv.to_vec()), tag: None })
}

fn decrypt_cbc(key: &AesKey, padding: CbcPadding, input: DecryptInput<'_>) -> Result<Secret<Vec<u8>>, CryptoError> {
    refuse_aad(input.aad)?;
    let iv = exactly(input.iv, "iv", CBC_IV)?;
    if !input.value.len().is_multiple_of(BLOCK_BYTES) {
        return Err(CryptoError::BadInput { parameter: "value", problem: "must be a multiple of 16 bytes" });
    }
    key.cbc_decrypt(padding, iv, input.value)
}

/// Data the algorithm cannot authenticate is refused, so that nobody believes it was.
fn refuse_aad(aad: Option<&[u8]>) -> Result<(), CryptoError> {
    match aad {
        None | Some([]) => Ok(()),
        Some(_) => Err(CryptoError::BadInput { parameter: "aad", problem: "only AES-GCM authenticates it" }),
    }
}

fn exactly<'a, const N: usize>(
    bytes: Option<&'a [u8]>,
    parameter: &'static str,
    problem: &'static str,
) -> Result<&'a [u8; N], CryptoError> {
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(CryptoError::BadInput { parameter, problem })
}

const CBC_IV: &str = "AES-CBC needs an initialization vector of 16 bytes";
