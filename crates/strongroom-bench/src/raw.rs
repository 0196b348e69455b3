//! Cryptography alone, on one core: AWS-LC with keys that are parsed already, and nothing around it.

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::key_wrap::{AES_256 as WRAP_256, AesKek, KeyWrap};
use aws_lc_rs::rsa::{
    KeyPair as RsaKeyPair, KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey,
};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding,
};

use crate::cores::{on_core, thread_time};
use crate::figures::{Rate, per_second};
use crate::{MeasureError, now};

/// An operation of the library. Keys are of 2048 bits, P-256 and AES-256; what they work on has 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raw {
    /// RSASSA-PKCS1-v1_5 over a digest.
    SignPkcs1,
    /// RSASSA-PSS over a digest.
    SignPss,
    /// ECDSA over a digest.
    SignEcdsa,
    /// ECDSA, checked.
    VerifyEcdsa,
    /// RSA-OAEP with SHA-256, the public half.
    EncryptOaep,
    /// RSA-OAEP with SHA-256, the private half.
    DecryptOaep,
    /// AES-GCM.
    SealGcm,
    /// AES-CBC with PKCS#7 padding.
    EncryptCbc,
    /// The same, decrypted.
    DecryptCbc,
    /// AES key wrap (RFC 3394).
    WrapKey,
    /// A new RSA key.
    GenerateRsa,
    /// A new key on P-256.
    GenerateEcdsa,
}

/// Does the operation once.
type Operation = Box<dyn FnMut() -> Result<(), MeasureError>>;

impl Raw {
    /// How fast it can be done on a core.
    ///
    /// # Errors
    /// [`MeasureError::Crypto`] if it cannot be done at all.
    pub fn rate(self, core: Option<usize>, duration: Duration) -> Result<Rate, MeasureError> {
        on_core(core, || {
            let mut operation = self.ready()?;
            operation()?;
            let (begun, time) = (now(), thread_time());
            let mut count = 0;
            while count == 0 || begun.elapsed() < duration {
                operation()?;
                count += 1;
            }
            let (elapsed, time) = (begun.elapsed(), thread_time().saturating_sub(time));
            Ok(Rate { per_second: per_second(count, elapsed), microseconds: Some(1e6 / per_second(count, time)) })
        })?
    }

    fn ready(self) -> Result<Operation, MeasureError> {
        match self {
            Self::SignPkcs1 => sign_rsa(&RSA_PKCS1_SHA256),
            Self::SignPss => sign_rsa(&RSA_PSS_SHA256),
            Self::SignEcdsa => sign_ecdsa(),
            Self::VerifyEcdsa => verify_ecdsa(),
            Self::EncryptOaep => encrypt_oaep(),
            Self::DecryptOaep => decrypt_oaep(),
            Self::SealGcm => seal_gcm(),
            Self::EncryptCbc => encrypt_cbc(),
            Self::DecryptCbc => decrypt_cbc(),
            Self::WrapKey => wrap_key(),
            Self::GenerateRsa => Ok(Box::new(|| {
                black_box(rsa_key()?);
                Ok(())
            })),
            Self::GenerateEcdsa => Ok(Box::new(|| {
                black_box(ecdsa_key()?);
                Ok(())
            })),
        }
    }
}

fn refused<E>(what: &'static str) -> impl Fn(E) -> MeasureError {
    move |_| MeasureError::Crypto(what)
}

fn rsa_key() -> Result<RsaKeyPair, MeasureError> {
    RsaKeyPair::generate(KeySize::Rsa2048).map_err(refused("a new RSA key"))
}

fn ecdsa_key() -> Result<EcdsaKeyPair, MeasureError> {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(refused("a new key on P-256"))
}

fn digest() -> Result<Digest, MeasureError> {
    Digest::import_less_safe(&TEXT, &SHA256).map_err(refused("a digest"))
}

fn sign_rsa(encoding: &'static dyn RsaEncoding) -> Result<Operation, MeasureError> {
    let key = rsa_key()?;
    let mut signature = vec![0; key.public_modulus_len()];
    Ok(Box::new(move || {
        key.sign_digest(encoding, &digest()?, &mut signature).map_err(refused("an RSA signature"))?;
        black_box(&signature);
        Ok(())
    }))
}

fn sign_ecdsa() -> Result<Operation, MeasureError> {
    let key = ecdsa_key()?;
    Ok(Box::new(move || {
        black_box(key.sign_digest(&digest()?).map_err(refused("an ECDSA signature"))?);
        Ok(())
    }))
}

fn verify_ecdsa() -> Result<Operation, MeasureError> {
    let key = ecdsa_key()?;
    let signature = key.sign_digest(&digest()?).map_err(refused("an ECDSA signature"))?;
    let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref());
    let public = public.map_err(refused("a public key"))?;
    Ok(Box::new(move || {
        public.verify_digest_sig(&digest()?, signature.as_ref()).map_err(refused("a signature of its own"))
    }))
}

fn oaep() -> Result<(OaepPublicEncryptingKey, OaepPrivateDecryptingKey), MeasureError> {
    let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(refused("a new RSA key"))?;
    let public = OaepPublicEncryptingKey::new(private.public_key()).map_err(refused("a public key"))?;
    Ok((public, OaepPrivateDecryptingKey::new(private).map_err(refused("a private key"))?))
}

fn encrypt_oaep() -> Result<Operation, MeasureError> {
    let (public, _) = oaep()?;
    let mut ciphertext = vec![0; public.ciphertext_size()];
    Ok(Box::new(move || {
        let done = public.encrypt(&OAEP_SHA256_MGF1SHA256, &TEXT, &mut ciphertext, None);
        black_box(done.map_err(refused("RSA-OAEP"))?);
        Ok(())
    }))
}

fn decrypt_oaep() -> Result<Operation, MeasureError> {
    let (public, private) = oaep()?;
    let mut ciphertext = vec![0; public.ciphertext_size()];
    public.encrypt(&OAEP_SHA256_MGF1SHA256, &TEXT, &mut ciphertext, None).map_err(refused("RSA-OAEP"))?;
    let mut text = vec![0; private.min_output_size()];
    Ok(Box::new(move || {
        let done = private.decrypt(&OAEP_SHA256_MGF1SHA256, &ciphertext, &mut text, None);
        black_box(done.map_err(refused("RSA-OAEP"))?);
        Ok(())
    }))
}

fn seal_gcm() -> Result<Operation, MeasureError> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).map_err(refused("an AES key"))?);
    let (mut text, mut number) = (TEXT, 0_u64);
    Ok(Box::new(move || {
        number += 1;
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        let nonce = Nonce::assume_unique_for_key([0, 0, 0, 0, a, b, c, d, e, f, g, h]);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut text);
        let _ = black_box(tag.map_err(refused("AES-GCM"))?);
        Ok(())
    }))
}

fn cipher_key() -> Result<UnboundCipherKey, MeasureError> {
    UnboundCipherKey::new(&AES_256, &KEY).map_err(refused("an AES key"))
}

fn encrypt_cbc() -> Result<Operation, MeasureError> {
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(cipher_key()?).map_err(refused("AES-CBC"))?;
    Ok(Box::new(move || {
        let mut text = TEXT.to_vec();
        let iv = EncryptionContext::Iv128(FixedLength::from(&IV));
        black_box(key.less_safe_encrypt(&mut text, iv).map_err(refused("AES-CBC"))?);
        Ok(())
    }))
}

fn decrypt_cbc() -> Result<Operation, MeasureError> {
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(cipher_key()?).map_err(refused("AES-CBC"))?;
    let mut ciphertext = TEXT.to_vec();
    let iv = EncryptionContext::Iv128(FixedLength::from(&IV));
    key.less_safe_encrypt(&mut ciphertext, iv).map_err(refused("AES-CBC"))?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(cipher_key()?).map_err(refused("AES-CBC"))?;
    Ok(Box::new(move || {
        let mut text = ciphertext.clone();
        let iv = DecryptionContext::Iv128(FixedLength::from(&IV));
        black_box(key.decrypt(&mut text, iv).map_err(refused("AES-CBC"))?);
        Ok(())
    }))
}

fn wrap_key() -> Result<Operation, MeasureError> {
    let mut wrapped = [0; TEXT.len() + 8];
    Ok(Box::new(move || {
        // A key-encryption key is used up by one wrap in this library, so its schedule is part of the operation.
        let key = AesKek::new(&WRAP_256, &KEY).map_err(refused("an AES key"))?;
        black_box(key.wrap(&TEXT, &mut wrapped).map_err(refused("AES key wrap"))?);
        Ok(())
    }))
}

const TEXT: [u8; 32] = [0x5a; 32];
/// Protects nothing: what is encrypted with it is thrown away.
const KEY: [u8; 32] = [0xa5; 32];
const IV: [u8; 16] = [0; 16];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_can_be_done() {
        let all = [
            Raw::SignPkcs1,
            Raw::SignPss,
            Raw::SignEcdsa,
            Raw::VerifyEcdsa,
            Raw::EncryptOaep,
            Raw::DecryptOaep,
            Raw::SealGcm,
            Raw::EncryptCbc,
            Raw::DecryptCbc,
            Raw::WrapKey,
            Raw::GenerateRsa,
            Raw::GenerateEcdsa,
        ];
        for raw in all {
            let rate = raw.rate(None, Duration::ZERO).unwrap();
            assert!(rate.per_second > 0.0 && rate.microseconds.is_some_and(|it| it > 0.0), "{raw:?}: {rate:?}");
        }
    }
}
