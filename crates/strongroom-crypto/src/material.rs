//! Key material: a private or symmetric key, parsed and ready to use.

use std::fmt;

use serde::{Deserialize, Serialize};
use strongroom_types::{CurveName, KeyType, RsaSize, Secret, SymmetricSize};

use crate::aes::AesKey;
use crate::ec::EcPrivateKey;
use crate::{CryptoError, Entropy, PublicKey, RsaPrivateKey};

/// What kind of key it is. Its serde form is one pair of type and size or curve, such as `{"RSA-HSM":2048}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeySpecification {
    /// An RSA key.
    #[serde(rename = "RSA-HSM")]
    Rsa(RsaSize),
    /// A key on an elliptic curve.
    #[serde(rename = "EC-HSM")]
    Ec(CurveName),
    /// An AES key.
    #[serde(rename = "oct-HSM")]
    Oct(SymmetricSize),
}

impl KeySpecification {
    /// The type of the key.
    pub const fn key_type(self) -> KeyType {
        match self {
            Self::Rsa(_) => KeyType::RsaHsm,
            Self::Ec(_) => KeyType::EcHsm,
            Self::Oct(_) => KeyType::OctHsm,
        }
    }

    /// The size of the key, in bits: of an RSA modulus, a curve's field, a symmetric key.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Rsa(size) => size.bits(),
            Self::Ec(curve) => curve.field_bits(),
            Self::Oct(size) => size.bits(),
        }
    }
}

/// A private or symmetric key. It is used through its operations and leaves only to be sealed.
pub struct KeyMaterial {
    pub(crate) kind: Kind,
    specification: KeySpecification,
    public: PublicKey,
}

/// The parsed key behind [`KeyMaterial`].
pub(crate) enum Kind {
    Rsa(Box<RsaPrivateKey>),
    Ec(Box<EcPrivateKey>),
    Oct(Box<AesKey>),
}

impl KeyMaterial {
    /// Draws a new key. The entropy is for AES keys; RSA and EC keys come from AWS-LC's own generator. RSA keys have
    /// the exponent 65537 and take up to seconds.
    ///
    /// # Errors
    /// [`CryptoError::Entropy`], or [`CryptoError::Library`] if the generator fails.
    pub fn generate(specification: KeySpecification, entropy: &dyn Entropy) -> Result<Self, CryptoError> {
        let kind = match specification {
            KeySpecification::Rsa(size) => Kind::Rsa(Box::new(RsaPrivateKey::generate(size)?)),
            KeySpecification::Ec(curve) => Kind::Ec(Box::new(EcPrivateKey::generate(curve)?)),
            KeySpecification::Oct(size) => Kind::Oct(Box::new(AesKey::generate(size, entropy)?)),
        };
        Ok(Self::new(specification, kind))
    }

    /// Takes a key from where it was sealed: PKCS#8 DER for RSA and EC, the raw bytes for oct.
    ///
    /// # Errors
    /// [`CryptoError::MalformedMaterial`] if it is not a consistent key of that kind and size.
    pub fn from_sealable(specification: KeySpecification, bytes: &[u8]) -> Result<Self, CryptoError> {
        let kind = match specification {
            KeySpecification::Rsa(size) => {
                let key = RsaPrivateKey::from_pkcs8(bytes)?;
                if key.public().bits() != size.bits() as usize {
                    return Err(CryptoError::MalformedMaterial);
                }
                Kind::Rsa(Box::new(key))
            }
            KeySpecification::Ec(curve) => Kind::Ec(Box::new(EcPrivateKey::from_pkcs8(curve, bytes)?)),
            KeySpecification::Oct(size) => Kind::Oct(Box::new(AesKey::from_bytes(size, bytes)?)),
        };
        Ok(Self::new(specification, kind))
    }

    /// The key for those who seal it: PKCS#8 DER for RSA and EC, the raw bytes for oct.
    pub fn to_sealable(&self) -> Result<Secret<Vec<u8>>, CryptoError> {
        match &self.kind {
            Kind::Rsa(key) => key.to_pkcs8(),
            Kind::Ec(key) => key.to_pkcs8(),
            Kind::Oct(key) => Ok(key.to_bytes()),
        }
    }

    /// What kind of key it is.
    pub fn specification(&self) -> KeySpecification {
        self.specification
    }

    /// What anyone may see of it.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn new(specification: KeySpecification, kind: Kind) -> Self {
        let public = match &kind {
            Kind::Rsa(key) => PublicKey::Rsa { n: key.public().n().to_vec(), e: key.public().e().to_vec() },
            Kind::Ec(key) => {
                let (x, y) = key.public().coordinates();
                PublicKey::Ec { curve: key.public().curve(), x: x.to_vec(), y: y.to_vec() }
            }
            Kind::Oct(_) => PublicKey::Oct,
        };
        Self { kind, specification, public }
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMaterial").field("specification", &self.specification).finish_non_exhaustive()
    }
}
