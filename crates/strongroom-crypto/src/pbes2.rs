//! Private keys under a password: PKCS#8 with PBES2 (RFC 8018 §6.2), as `openssl` writes them.
//!
//! Only PBKDF2 with HMAC-SHA-1, -256, -384 or -512 and AES-CBC; everything else is refused.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode, Reader, SliceReader};
use strongroom_types::{Secret, SymmetricSize};

use crate::CryptoError;
use crate::aes::AesKey;
use crate::algorithms::CbcPadding;

/// Decrypts an `EncryptedPrivateKeyInfo` (RFC 5958 §3) to PKCS#8 DER.
///
/// # Errors
/// [`CryptoError::MalformedMaterial`] if it is none, is encrypted in another way, or the password is wrong: nothing in
/// the format tells these apart.
pub(crate) fn decrypt(der: &[u8], password: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError> {
    let encrypted = Encrypted::parse(der).ok_or(CryptoError::MalformedMaterial)?;
    let mut key = Secret::new(vec![0; encrypted.size.bytes()]);
    pbkdf2::derive(encrypted.hash, encrypted.rounds, encrypted.salt, password, key.expose_mut());
    AesKey::from_bytes(encrypted.size, key.expose())?
        .cbc_decrypt(CbcPadding::Pkcs7, encrypted.iv, encrypted.ciphertext)
        .map_err(|_| CryptoError::MalformedMaterial)
}

struct Encrypted<'a> {
    hash: pbkdf2::Algorithm,
    rounds: NonZeroU32,
    salt: &'a [u8],
    size: SymmetricSize,
    iv: &'a [u8; 16],
    ciphertext: &'a [u8],
}

impl<'a> Encrypted<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = SliceReader::new(bytes).ok()?;
        let (algorithm, ciphertext): (AlgorithmIdentifier<'a>, &'a OctetStringRef) =
            reader.sequence(|inner| Ok::<_, der::Error>((inner.decode()?, inner.decode()?))).ok()?;
        reader.finish().ok()?;
        let (derivation, encryption): (AlgorithmIdentifier<'a>, AlgorithmIdentifier<'a>) = algorithm
            .parameters_of(PBES2)?
            .sequence(|inner| Ok::<_, der::Error>((inner.decode()?, inner.decode()?)))
            .ok()?;
        let size = AES_CBC.iter().find(|(oid, _)| *oid == encryption.oid)?.1;
        let iv: &OctetStringRef = encryption.parameters?.decode_as().ok()?;
        let Pbkdf2 { salt, rounds, key_bytes, hash } = Pbkdf2::parse(derivation.parameters_of(PBKDF2)?).ok()?;
        if rounds > ROUNDS_MAX || key_bytes.is_some_and(|bytes| usize::from(bytes) != size.bytes()) {
            return None;
        }
        Some(Self {
            hash: HASHES.iter().find(|(oid, _)| *oid == hash)?.1,
            rounds: NonZeroU32::new(rounds)?,
            salt: salt.as_bytes(),
            size,
            iv: iv.as_bytes().try_into().ok()?,
            ciphertext: ciphertext.as_bytes(),
        })
    }
}

/// An algorithm and its parameters (RFC 5280 §4.1.1.2).
struct AlgorithmIdentifier<'a> {
    oid: ObjectIdentifier,
    parameters: Option<AnyRef<'a>>,
}

impl<'a> AlgorithmIdentifier<'a> {
    fn parameters_of(&self, oid: ObjectIdentifier) -> Option<AnyRef<'a>> {
        self.parameters.filter(|_| self.oid == oid)
    }
}

impl<'a> Decode<'a> for AlgorithmIdentifier<'a> {
    type Error = der::Error;

    fn decode<R: Reader<'a>>(reader: &mut R) -> Result<Self, der::Error> {
        reader.sequence(|inner| Ok(Self { oid: inner.decode()?, parameters: inner.decode()? }))
    }
}

/// PBKDF2-params (RFC 8018 §A.2).
struct Pbkdf2<'a> {
    salt: &'a OctetStringRef,
    rounds: u32,
    key_bytes: Option<u16>,
    hash: ObjectIdentifier,
}

impl<'a> Pbkdf2<'a> {
    fn parse(parameters: AnyRef<'a>) -> Result<Self, der::Error> {
        parameters.sequence(|inner| {
            let (salt, rounds, key_bytes) = (inner.decode()?, inner.decode()?, inner.decode()?);
            let hash: Option<AlgorithmIdentifier<'a>> = if inner.is_finished() { None } else { Some(inner.decode()?) };
            Ok(Self { salt, rounds, key_bytes, hash: hash.map_or(HMAC_SHA1, |hash| hash.oid) })
        })
    }
}

/// Most rounds computed, so that a file cannot keep the machine busy for hours.
const ROUNDS_MAX: u32 = 10_000_000;

const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.12");
/// What PBKDF2 uses when it does not say.
const HMAC_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.7");
const HASHES: [(ObjectIdentifier, pbkdf2::Algorithm); 4] = [
    (HMAC_SHA1, pbkdf2::PBKDF2_HMAC_SHA1),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.2.9"), pbkdf2::PBKDF2_HMAC_SHA256),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.2.10"), pbkdf2::PBKDF2_HMAC_SHA384),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.2.11"), pbkdf2::PBKDF2_HMAC_SHA512),
];
const AES_CBC: [(ObjectIdentifier, SymmetricSize); 3] = [
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.2"), SymmetricSize::Bits128),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.22"), SymmetricSize::Bits192),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42"), SymmetricSize::Bits256),
];
