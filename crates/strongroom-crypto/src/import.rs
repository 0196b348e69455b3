//! Taking in keys that were made elsewhere: in parts, as a JWK has them, or wrapped for a key exchange key (BYOK).

use strongroom_types::{Algorithm, CurveName, KeyType, RsaSize, Secret, SymmetricSize};

use crate::aes::{AesKey, WRAP_OVERHEAD};
use crate::ec::EcPrivateKey;
use crate::material::Kind;
use crate::rsa::{bits, without_leading_zeros};
use crate::{CryptoError, KeyMaterial, KeySpecification, RsaPrivateKey};

/// A key in parts (RFC 7518 §6). Numbers are big-endian, with or without leading zeros.
#[derive(Debug)]
pub enum KeyParts {
    /// An RSA key.
    Rsa(RsaParts),
    /// A key on a curve.
    Ec {
        /// The curve.
        curve: CurveName,
        /// The first coordinate.
        x: Vec<u8>,
        /// The second coordinate.
        y: Vec<u8>,
        /// The private number.
        d: Secret<Vec<u8>>,
    },
    /// A symmetric key.
    Oct {
        /// The key itself.
        k: Secret<Vec<u8>>,
    },
}

/// The parts of an RSA key (RFC 7518 §6.3); none may be missing.
#[derive(Debug)]
pub struct RsaParts {
    /// The modulus.
    pub n: Vec<u8>,
    /// The public exponent.
    pub e: Vec<u8>,
    /// The private exponent.
    pub d: Secret<Vec<u8>>,
    /// One prime.
    pub p: Secret<Vec<u8>>,
    /// The other prime.
    pub q: Secret<Vec<u8>>,
    /// `d` modulo `p - 1`.
    pub dp: Secret<Vec<u8>>,
    /// `d` modulo `q - 1`.
    pub dq: Secret<Vec<u8>>,
    /// The inverse of `q` modulo `p`.
    pub qi: Secret<Vec<u8>>,
}

impl KeyParts {
    /// The type of the key.
    pub fn key_type(&self) -> KeyType {
        match self {
            Self::Rsa(_) => KeyType::RsaHsm,
            Self::Ec { .. } => KeyType::EcHsm,
            Self::Oct { .. } => KeyType::OctHsm,
        }
    }
}

/// What a wrapped key must turn out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrappedKind {
    /// An RSA key of any size the service has.
    Rsa,
    /// A key on this curve, or on any the service has.
    Ec(Option<CurveName>),
    /// A symmetric key of any size the service has.
    Oct,
}

impl WrappedKind {
    /// The type of the key.
    pub const fn key_type(self) -> KeyType {
        match self {
            Self::Rsa => KeyType::RsaHsm,
            Self::Ec(_) => KeyType::EcHsm,
            Self::Oct => KeyType::OctHsm,
        }
    }
}

impl KeyMaterial {
    /// Builds a key of its parts, which are checked against each other.
    ///
    /// # Errors
    /// [`CryptoError::BadInput`] if they do not fit together, or have a size the service does not take.
    pub fn from_parts(parts: &KeyParts) -> Result<Self, CryptoError> {
        match parts {
            KeyParts::Rsa(parts) => {
                let bits = bits(without_leading_zeros(&parts.n));
                let size = u32::try_from(bits).ok().and_then(|bits| RsaSize::try_from(bits).ok());
                let size = size.ok_or(bad_key("an RSA key has 2048, 3072 or 4096 bits"))?;
                let key = RsaPrivateKey::from_parts(parts).map_err(|_| INCONSISTENT)?;
                Ok(Self::new(KeySpecification::Rsa(size), Kind::Rsa(Box::new(key))))
            }
            KeyParts::Ec { curve, x, y, d } => {
                let key = EcPrivateKey::from_parts(*curve, x, y, d).map_err(|_| INCONSISTENT)?;
                Ok(Self::new(KeySpecification::Ec(*curve), Kind::Ec(Box::new(key))))
            }
            KeyParts::Oct { k } => {
                let size = symmetric_size(k.expose()).ok_or(bad_key("a symmetric key has 128, 192 or 256 bits"))?;
                Self::from_sealable(KeySpecification::Oct(size), k.expose())
            }
        }
    }

    /// Opens a key that was wrapped with `CKM_RSA_AES_KEY_WRAP` (PKCS#11 3.1 §6.1.24) for this key, the key exchange key:
    /// a one-time AES key under RSA-OAEP with SHA-1, then the wanted key under that one with AES key wrap with padding.
    /// The wanted key is PKCS#8 for RSA and EC, the raw bytes for oct.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] for whatever is wrong with the wrapped key, also if it is of another kind;
    /// [`CryptoError::UnsuitableAlgorithm`] if this is no RSA key.
    pub fn unwrap_key_material(&self, kind: WrappedKind, wrapped: &[u8]) -> Result<Self, CryptoError> {
        let Kind::Rsa(exchange) = &self.kind else {
            return Err(CryptoError::UnsuitableAlgorithm { algorithm: Algorithm::RsaOaep });
        };
        let modulus_bytes = exchange.public().n().len();
        let (encrypted, wrapped) = wrapped.split_at_checked(modulus_bytes).ok_or(CryptoError::Rejected)?;
        let one_time = exchange.decrypt(Algorithm::RsaOaep, encrypted)?;
        let size = symmetric_size(one_time.expose()).ok_or(CryptoError::Rejected)?;
        if wrapped.len() < 2 * WRAP_OVERHEAD || !wrapped.len().is_multiple_of(WRAP_OVERHEAD) {
            return Err(CryptoError::Rejected);
        }
        let key = AesKey::from_bytes(size, one_time.expose())?.unwrap_with_padding(wrapped)?;
        Self::from_bytes(kind, key.expose()).ok_or(CryptoError::Rejected)
    }

    /// A key of a kind, whatever its size, in its sealable form.
    fn from_bytes(kind: WrappedKind, bytes: &[u8]) -> Option<Self> {
        let of = |specification| Self::from_sealable(specification, bytes).ok();
        match kind {
            WrappedKind::Rsa => {
                let key = RsaPrivateKey::from_pkcs8(bytes).ok()?;
                let size = u32::try_from(key.public().bits()).ok()?.try_into().ok()?;
                Some(Self::new(KeySpecification::Rsa(size), Kind::Rsa(Box::new(key))))
            }
            WrappedKind::Ec(Some(curve)) => of(KeySpecification::Ec(curve)),
            WrappedKind::Ec(None) => CurveName::ALL.iter().find_map(|curve| of(KeySpecification::Ec(*curve))),
            WrappedKind::Oct => of(KeySpecification::Oct(symmetric_size(bytes)?)),
        }
    }
}

fn symmetric_size(key: &[u8]) -> Option<SymmetricSize> {
    SymmetricSize::ALL.iter().copied().find(|size| size.bytes() == key.len())
}

const fn bad_key(problem: &'static str) -> CryptoError {
    CryptoError::BadInput { parameter: "key", problem }
}

const INCONSISTENT: CryptoError = bad_key("its parts are not those of one key");
