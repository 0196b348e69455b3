//! Cryptography alone, on one core: AWS-LC with keys that are parsed already, and nothing around it.

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::digest::{Digest, SHA256};
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

/// An operation of the library. Keys are of 2048 bits or on P-256; what they work on has 32 bytes.
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
    /// A new RSA key.
    GenerateRsa,
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
            Self::GenerateRsa => Ok(Box::new(|| {
                black_box(rsa_key()?);
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

const TEXT: [u8; 32] = [0x5a; 32];

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
            Raw::GenerateRsa,
        ];
        for raw in all {
            let rate = raw.rate(None, Duration::ZERO).unwrap();
            assert!(rate.per_second > 0.0 && rate.microseconds.is_some_and(|it| it > 0.0), "{raw:?}: {rate:?}");
        }
    }
}
