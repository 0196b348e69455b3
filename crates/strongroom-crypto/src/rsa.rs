//! RSA keys of 2048 to 8192 bits, parsed once and ready to use.

use std::fmt;
use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeyPair, KeyPairComponents, KeySize, OaepAlgorithm, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
    PublicKeyComponents,
};
use aws_lc_rs::signature::{KeyPair as _, ParsedPublicKey};
use strongroom_types::{Algorithm, RsaSize, Secret};

use crate::algorithms::{Mechanism, RSA_SIGNATURES, RsaPadding, RsaSignature, mechanism};
use crate::digest::{import_digest, sha256};
use crate::import::RsaParts;
use crate::pbes2;
use crate::{CryptoError, Entropy};

/// A public RSA key: verifies signatures and encrypts.
pub struct RsaPublicKey {
    n: Vec<u8>,
    e: Vec<u8>,
    pkcs1: Pkcs1PublicEncryptingKey,
    oaep: OaepPublicEncryptingKey,
    // AWS-LC binds a parsed key to one algorithm; most keys are only ever used with one.
    verifiers: [OnceLock<ParsedPublicKey>; RSA_SIGNATURES],
}

impl RsaPublicKey {
    /// Smallest modulus accepted, in bits.
    pub const BITS_MIN: usize = 2048;
    /// Largest modulus accepted, in bits.
    pub const BITS_MAX: usize = 8192;

    /// From modulus and exponent, big-endian without leading zeros.
    ///
    /// # Errors
    /// [`CryptoError::MalformedMaterial`] if they are no RSA key of an accepted size.
    pub fn from_components(n: &[u8], e: &[u8]) -> Result<Self, CryptoError> {
        let malformed = |_| CryptoError::MalformedMaterial;
        if !(Self::BITS_MIN..=Self::BITS_MAX).contains(&bits(n)) {
            return Err(CryptoError::MalformedMaterial);
        }
        let key: PublicEncryptingKey = PublicKeyComponents { n, e }.try_into().map_err(malformed)?;
        Ok(Self {
            n: n.to_vec(),
            e: e.to_vec(),
            pkcs1: Pkcs1PublicEncryptingKey::new(key.clone()).map_err(malformed)?,
            oaep: OaepPublicEncryptingKey::new(key).map_err(malformed)?,
            verifiers: Default::default(),
        })
    }

    /// From DER: a `SubjectPublicKeyInfo` of type rsaEncryption (RFC 5280 §4.1) or an `RSAPublicKey` (RFC 8017 §A.1.1).
    ///
    /// # Errors
    /// [`CryptoError::MalformedMaterial`] if it is no RSA key of an accepted size.
    pub fn from_der(der: &[u8]) -> Result<Self, CryptoError> {
        let key = aws_lc_rs::rsa::PublicKey::from_der(der).map_err(|_| CryptoError::MalformedMaterial)?;
        Self::from_components(
            key.modulus().big_endian_without_leading_zero(),
            key.exponent().big_endian_without_leading_zero(),
        )
    }

    /// The DER of its `SubjectPublicKeyInfo` (RFC 5280 §4.1), for certificates.
    pub fn to_spki(&self) -> Result<Vec<u8>, CryptoError> {
        let components = PublicKeyComponents { n: self.n.as_slice(), e: self.e.as_slice() };
        let key: PublicEncryptingKey = components.try_into().map_err(|_| CryptoError::MalformedMaterial)?;
        let der: PublicKeyX509Der<'_> = key.as_der().map_err(|_| CryptoError::Library("SubjectPublicKeyInfo"))?;
        Ok(der.as_ref().to_vec())
    }

    /// The modulus, big-endian without leading zeros.
    pub fn n(&self) -> &[u8] {
        &self.n
    }

    /// The public exponent, big-endian without leading zeros.
    pub fn e(&self) -> &[u8] {
        &self.e
    }

    /// Bits of the modulus.
    pub fn bits(&self) -> usize {
        bits(&self.n)
    }

    /// Whether the signature is one of this key over the digest; a malformed one is not.
    ///
    /// # Errors
    /// [`CryptoError::UnsuitableAlgorithm`], or [`CryptoError::BadInput`] for a digest of the wrong length.
    pub fn verify(&self, algorithm: Algorithm, digest: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
        let Mechanism::RsaSignature(row) = mechanism(algorithm) else {
            return Err(CryptoError::UnsuitableAlgorithm { algorithm });
        };
        let digest = import_digest(row.hash, digest, "digest")?;
        Ok(self.verifier(row)?.verify_digest_sig(&digest, signature).is_ok())
    }

    /// Encrypts a short text (RFC 8017 §7).
    ///
    /// # Errors
    /// [`CryptoError::BadInput`] if it is too long for the modulus, [`CryptoError::UnsuitableAlgorithm`].
    pub fn encrypt(&self, algorithm: Algorithm, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let Mechanism::RsaEncryption(padding) = mechanism(algorithm) else {
            return Err(CryptoError::UnsuitableAlgorithm { algorithm });
        };
        let overhead = match padding {
            RsaPadding::Pkcs1 => PKCS1_OVERHEAD,
            RsaPadding::Oaep(_, hash_bytes) => 2 * hash_bytes + 2,
        };
        if plaintext.len() + overhead > self.n.len() {
            return Err(CryptoError::BadInput { parameter: "value", problem: "too long for this key and algorithm" });
        }
        let mut ciphertext = vec![0; self.n.len()];
        match padding {
            RsaPadding::Pkcs1 => self.pkcs1.encrypt(plaintext, &mut ciphertext),
            RsaPadding::Oaep(hash, _) => self.oaep.encrypt(hash, plaintext, &mut ciphertext, None),
        }
        .map_err(|_| CryptoError::Library("RSA encryption"))?;
        Ok(ciphertext)
    }

    /// Encrypts a short text with OAEP and an empty label, whose hash need not be one of an [`Algorithm`].
    pub(crate) fn encrypt_oaep(&self, hash: &'static OaepAlgorithm, text: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut ciphertext = vec![0; self.n.len()];
        let encrypted = self.oaep.encrypt(hash, text, &mut ciphertext, None);
        encrypted.map_err(|_| CryptoError::Library("RSA encryption"))?;
        Ok(ciphertext)
    }

    fn verifier(&self, row: &RsaSignature) -> Result<&ParsedPublicKey, CryptoError> {
        let slot = self.verifiers.get(row.slot).ok_or(CryptoError::Library("slot"))?;
        if let Some(verifier) = slot.get() {
            return Ok(verifier);
        }
        let verifier = PublicKeyComponents { n: &self.n, e: &self.e }
            .to_parsed_public_key(row.verification)
            .map_err(|_| CryptoError::MalformedMaterial)?;
        Ok(slot.get_or_init(|| verifier))
    }
}

impl fmt::Debug for RsaPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RsaPublicKey").field("bits", &self.bits()).finish_non_exhaustive()
    }
}

/// A private RSA key: signs and decrypts.
pub struct RsaPrivateKey {
    pair: KeyPair,
    pkcs1: Pkcs1PrivateDecryptingKey,
    oaep: OaepPrivateDecryptingKey,
    public: RsaPublicKey,
}

impl RsaPrivateKey {
    /// Draws a new key with exponent 65537 from AWS-LC's own generator. Takes up to seconds.
    pub fn generate(size: RsaSize) -> Result<Self, CryptoError> {
        let size = match size {
            RsaSize::Bits2048 => KeySize::Rsa2048,
            RsaSize::Bits3072 => KeySize::Rsa3072,
            RsaSize::Bits4096 => KeySize::Rsa4096,
        };
        let pair = KeyPair::generate(size).map_err(|_| CryptoError::Library("RSA key generation"))?;
        Self::from_pair(pair)
    }

    /// From PKCS#8 DER (RFC 5208); consistency of all parts is checked.
    ///
    /// # Errors
    /// [`CryptoError::MalformedMaterial`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, CryptoError> {
        KeyPair::from_pkcs8(der).map_err(|_| CryptoError::MalformedMaterial).and_then(Self::from_pair)
    }

    /// From PKCS#1 DER, the `RSA PRIVATE KEY` of PEM files (RFC 8017 §A.1.2).
    ///
    /// # Errors
    /// [`CryptoError::MalformedMaterial`].
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, CryptoError> {
        KeyPair::from_der(der).map_err(|_| CryptoError::MalformedMaterial).and_then(Self::from_pair)
    }

    /// From PKCS#8 DER under a password, the `ENCRYPTED PRIVATE KEY` of PEM files (RFC 8018 §6.2: PBES2 with PBKDF2 and
    /// AES-CBC).
    ///
    /// # Errors
    /// [`CryptoError::MalformedMaterial`], also for a wrong password.
    pub fn from_encrypted_pkcs8(der: &[u8], password: &[u8]) -> Result<Self, CryptoError> {
        Self::from_pkcs8(pbes2::decrypt(der, password)?.expose())
    }

    /// From its parts; consistency of all of them is checked.
    pub(crate) fn from_parts(parts: &RsaParts) -> Result<Self, CryptoError> {
        let RsaParts { n, e, d, p, q, dp, dq, qi } = parts;
        let components = KeyPairComponents::<&[u8]> {
            public_key: PublicKeyComponents { n: without_leading_zeros(n), e: without_leading_zeros(e) },
            d: d.expose(),
            p: p.expose(),
            q: q.expose(),
            dP: dp.expose(),
            dQ: dq.expose(),
            qInv: qi.expose(),
        };
        // The library computes with numbers of any length, so it is given none longer than the modulus.
        let numbers = [components.d, components.p, components.q, components.dP, components.dQ, components.qInv];
        let too_long = |number: &&[u8]| number.len() > components.public_key.n.len();
        if numbers.map(without_leading_zeros).iter().any(too_long) {
            return Err(CryptoError::MalformedMaterial);
        }
        KeyPair::from_components(&components).map_err(|_| CryptoError::MalformedMaterial).and_then(Self::from_pair)
    }

    /// The public half.
    pub fn public(&self) -> &RsaPublicKey {
        &self.public
    }

    /// PKCS#8 DER, to be sealed.
    pub fn to_pkcs8(&self) -> Result<Secret<Vec<u8>>, CryptoError> {
        Ok(Secret::new(pkcs8(&self.pair)?.as_ref().to_vec()))
    }

    /// PKCS#8 DER under a password, as [`Self::from_encrypted_pkcs8`] reads it.
    pub fn to_encrypted_pkcs8(&self, password: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, CryptoError> {
        pbes2::encrypt(self.to_pkcs8()?.expose(), password, entropy)
    }

    /// The public half as `RSAPublicKey` DER (RFC 8017 §A.1.1), as certificates hold it.
    pub fn public_pkcs1(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// Signs a message with RS256 (RFC 8017 §8.2): certificates over this key, and what custodians agree to.
    pub fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match mechanism(Algorithm::Rs256) {
            Mechanism::RsaSignature(row) => self.sign(row, &sha256(message)),
            _ => Err(CryptoError::UnsuitableAlgorithm { algorithm: Algorithm::Rs256 }),
        }
    }

    /// Signs a digest. The length of the digest must be that of the algorithm's hash.
    pub(crate) fn sign(&self, row: &RsaSignature, digest: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let digest = import_digest(row.hash, digest, "value")?;
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign_digest(row.signing, &digest, &mut signature)
            .map_err(|_| CryptoError::Library("RSA signature"))?;
        Ok(signature)
    }

    /// Decrypts what [`RsaPublicKey::encrypt`] made.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] for every ciphertext that does not decrypt, also one of the wrong length.
    pub fn decrypt(&self, algorithm: Algorithm, ciphertext: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError> {
        let Mechanism::RsaEncryption(padding) = mechanism(algorithm) else {
            return Err(CryptoError::UnsuitableAlgorithm { algorithm });
        };
        if ciphertext.len() != self.public.n.len() {
            return Err(CryptoError::Rejected);
        }
        let mut plaintext = Secret::new(vec![0; self.public.n.len()]);
        let length = match padding {
            RsaPadding::Pkcs1 => self.pkcs1.decrypt(ciphertext, plaintext.expose_mut()),
            RsaPadding::Oaep(hash, _) => self.oaep.decrypt(hash, ciphertext, plaintext.expose_mut(), None),
        }
        .map_err(|_| CryptoError::Rejected)?
        .len();
        plaintext.expose_mut().truncate(length);
        Ok(plaintext)
    }

    fn from_pair(pair: KeyPair) -> Result<Self, CryptoError> {
        let malformed = |_| CryptoError::MalformedMaterial;
        // AWS-LC's safe interface has no way from a signing to a decrypting key but this.
        let decrypting =
            PrivateDecryptingKey::from_pkcs8(pkcs8(&pair)?.as_ref()).map_err(|_| CryptoError::MalformedMaterial)?;
        let public = RsaPublicKey::from_components(
            pair.public_key().modulus().big_endian_without_leading_zero(),
            pair.public_key().exponent().big_endian_without_leading_zero(),
        )?;
        Ok(Self {
            pkcs1: Pkcs1PrivateDecryptingKey::new(decrypting.clone()).map_err(malformed)?,
            oaep: OaepPrivateDecryptingKey::new(decrypting).map_err(malformed)?,
            pair,
            public,
        })
    }
}

impl fmt::Debug for RsaPrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RsaPrivateKey").field("bits", &self.public.bits()).finish_non_exhaustive()
    }
}

/// Bytes that PKCS#1 v1.5 padding takes of the modulus (RFC 8017 §7.2.1).
const PKCS1_OVERHEAD: usize = 11;

fn pkcs8(pair: &KeyPair) -> Result<Pkcs8V1Der<'static>, CryptoError> {
    pair.as_der().map_err(|_| CryptoError::Library("PKCS#8"))
}

/// A big-endian number in its shortest form.
pub(crate) fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Bits of a big-endian number.
pub(crate) fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}
