//! Private keys under a password: PKCS#8 with PBES2 (RFC 8018 §6.2), as `openssl` reads and writes them.
//!
//! Only PBKDF2 with HMAC-SHA-1, -256, -384 or -512 and AES-CBC; everything else is refused.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use der::asn1::{AnyRef, Null, ObjectIdentifier, OctetStringRef};
use der::{Decode, Encode, Reader, SliceReader, Tag};
use strongroom_types::{Secret, SymmetricSize};

use crate::aes::AesKey;
use crate::algorithms::CbcPadding;
use crate::{CryptoError, Entropy};

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

/// Encrypts PKCS#8 DER: PBKDF2 with HMAC-SHA-256, AES-256-CBC.
pub(crate) fn encrypt(pkcs8: &[u8], password: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, CryptoError> {
    let (salt, iv) = (entropy.sixteen()?, entropy.sixteen()?);
    let mut key = Secret::new(vec![0; SymmetricSize::Bits256.bytes()]);
    let rounds = NonZeroU32::new(ROUNDS).ok_or(CryptoError::Library("PBKDF2"))?;
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password, key.expose_mut());
    let ciphertext =
        AesKey::from_bytes(SymmetricSize::Bits256, key.expose())?.cbc_encrypt(CbcPadding::Pkcs7, &iv, pkcs8)?;
    write(&salt, &iv, &ciphertext).map_err(|_| CryptoError::Library("DER"))
}

/// The structure that [`Encrypted::parse`] reads.
fn write(salt: &[u8], iv: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, der::Error> {
    let hash = sequence(&[HMAC_SHA256.to_der()?, Null.to_der()?])?;
    let parameters = sequence(&[OctetStringRef::new(salt)?.to_der()?, ROUNDS.to_der()?, hash])?;
    let derivation = sequence(&[PBKDF2.to_der()?, parameters])?;
    let encryption = sequence(&[AES_256_CBC.to_der()?, OctetStringRef::new(iv)?.to_der()?])?;
    let algorithm = sequence(&[PBES2.to_der()?, sequence(&[derivation, encryption])?])?;
    sequence(&[algorithm, OctetStringRef::new(ciphertext)?.to_der()?])
}

fn sequence(parts: &[Vec<u8>]) -> Result<Vec<u8>, der::Error> {
    AnyRef::new(Tag::Sequence, &parts.concat())?.to_der()
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

/// Rounds of what we write: half a second, once for each guess of a password.
const ROUNDS: u32 = 600_000;
/// Most rounds computed, so that a file cannot keep the machine busy for hours.
const ROUNDS_MAX: u32 = 10_000_000;

const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.12");
/// What PBKDF2 uses when it does not say.
const HMAC_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.7");
const HMAC_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.9");
const AES_256_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42");
const HASHES: [(ObjectIdentifier, pbkdf2::Algorithm); 4] = [
    (HMAC_SHA1, pbkdf2::PBKDF2_HMAC_SHA1),
    (HMAC_SHA256, pbkdf2::PBKDF2_HMAC_SHA256),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.2.10"), pbkdf2::PBKDF2_HMAC_SHA384),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.2.11"), pbkdf2::PBKDF2_HMAC_SHA512),
];
const AES_CBC: [(ObjectIdentifier, SymmetricSize); 3] = [
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.2"), SymmetricSize::Bits128),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.22"), SymmetricSize::Bits192),
    (AES_256_CBC, SymmetricSize::Bits256),
];

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::SystemEntropy;

    #[derive(Deserialize)]
    struct Vectors {
        password: String,
        pkcs8_hex: String,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        how: String,
        supported: bool,
        der_hex: String,
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../../../vectors/pbes2.json")).unwrap()
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn what_openssl_encrypted_decrypts_or_is_refused_by_its_algorithm() {
        let vectors = vectors();
        assert_eq!(vectors.cases.iter().filter(|case| case.supported).count(), 4);
        for case in vectors.cases {
            let decrypted = decrypt(&hex(&case.der_hex), vectors.password.as_bytes());
            match case.supported {
                true => assert_eq!(decrypted.unwrap().expose(), &hex(&vectors.pkcs8_hex), "{}", case.how),
                false => assert_eq!(decrypted.unwrap_err(), CryptoError::MalformedMaterial, "{}", case.how),
            }
        }
    }

    #[test]
    fn what_was_encrypted_decrypts_with_its_password_only() {
        let pkcs8 = hex(&vectors().pkcs8_hex);
        let (one, two) = (
            encrypt(&pkcs8, b"password", &SystemEntropy).unwrap(),
            encrypt(&pkcs8, b"password", &SystemEntropy).unwrap(),
        );
        assert_ne!(one, two);
        assert_eq!(decrypt(&one, b"password").unwrap().expose(), &pkcs8);
        // A wrong password gives a good padding once in 256 times, but never the key.
        assert!(decrypt(&one, b"passw0rd").map_or(true, |wrong| *wrong.expose() != pkcs8));
    }

    #[test]
    fn a_file_cut_anywhere_or_with_more_behind_it_is_refused() {
        let vectors = vectors();
        let der = hex(&vectors.cases[0].der_hex);
        for length in 0..der.len() {
            assert!(decrypt(&der[..length], vectors.password.as_bytes()).is_err(), "{length}");
        }
        assert!(decrypt(&[der.as_slice(), &[0]].concat(), vectors.password.as_bytes()).is_err());
    }

    #[test]
    fn more_rounds_than_the_limit_are_refused_without_being_computed() {
        let mut der = hex(&vectors().cases[0].der_hex);
        assert_eq!(Encrypted::parse(&der).unwrap().rounds.get(), 2048);
        // Two bytes more for the number: so much more for every structure around it.
        let at = der.windows(4).position(|window| window == [2, 2, 8, 0]).unwrap();
        for (rounds, allowed) in [([0x00, 0x98, 0x96, 0x80], true), ([0x00, 0x98, 0x96, 0x81], false)] {
            let mut longer = der.clone();
            longer.splice(at..at + 4, [&[2, 4], rounds.as_slice()].concat());
            for length_at in [2, 4, 17, 19, 32] {
                longer[length_at] += 2;
            }
            assert_eq!(Encrypted::parse(&longer).is_some(), allowed, "{rounds:?}");
        }
        der[at + 3] = 1;
        assert_eq!(Encrypted::parse(&der).unwrap().rounds.get(), 2049);
    }
}
