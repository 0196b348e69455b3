//! What a key is and what it may do.

use serde::{Deserialize, Serialize};

use crate::ParseError;
use crate::vocabulary::vocabulary;

vocabulary!(
    /// The type of a key, in the spelling of a managed HSM (`kty`). In which form it is held is [`Protection`]'s to say.
    KeyType, "key type", {
        /// RSA.
        RsaHsm => "RSA-HSM",
        /// Elliptic curve.
        EcHsm => "EC-HSM",
        /// Symmetric, AES.
        OctHsm => "oct-HSM",
    }
);

impl KeyType {
    /// From any spelling a client may send; see [`Protection::from_wire`] for what the spelling says besides.
    pub fn from_wire(text: &str) -> Result<Self, ParseError> {
        match text {
            "RSA" | "RSA-HSM" => Ok(Self::RsaHsm),
            "EC" | "EC-HSM" => Ok(Self::EcHsm),
            "oct" | "oct-HSM" => Ok(Self::OctHsm),
            _ => Err(ParseError::new("key type", "one of RSA RSA-HSM EC EC-HSM oct oct-HSM")),
        }
    }

    /// The spelling of `kty` for a key that is held in this form.
    pub const fn kty(self, protection: Protection) -> &'static str {
        match (self, protection) {
            (_, Protection::Hsm) => self.as_str(),
            (Self::RsaHsm, Protection::Software) => "RSA",
            (Self::EcHsm, Protection::Software) => "EC",
            (Self::OctHsm, Protection::Software) => "oct",
        }
    }
}

vocabulary!(
    /// In which form a key is held, as `kty` tells it: a managed HSM holds every key in hardware form, a vault both.
    Protection, "protection", {
        /// `RSA`, `EC`.
        Software => "software",
        /// `RSA-HSM`, `EC-HSM`, `oct-HSM`.
        Hsm => "hsm",
    }
);

impl Protection {
    /// What a spelling of `kty` asks for.
    pub fn from_wire(kty: &str) -> Self {
        if kty.ends_with("-HSM") { Self::Hsm } else { Self::Software }
    }
}

vocabulary!(
    /// An elliptic curve (`crv`).
    CurveName, "curve name", {
        /// NIST P-256 (secp256r1).
        P256 => "P-256",
        /// secp256k1.
        P256K => "P-256K",
        /// NIST P-384.
        P384 => "P-384",
        /// NIST P-521.
        P521 => "P-521",
    }
);

impl CurveName {
    /// From any spelling a client may send: secp256k1 has two more names (RFC 8812 §3.1; the Azure CLI imports with it).
    pub fn from_wire(text: &str) -> Result<Self, ParseError> {
        if text.eq_ignore_ascii_case("secp256k1") { Ok(Self::P256K) } else { text.parse() }
    }

    /// Bits of the field.
    pub const fn field_bits(self) -> u32 {
        match self {
            Self::P256 | Self::P256K => 256,
            Self::P384 => 384,
            Self::P521 => 521,
        }
    }

    /// Bytes of one field element: a coordinate, or half a signature (RFC 7518 §3.4).
    pub const fn field_bytes(self) -> usize {
        match self {
            Self::P256 | Self::P256K => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// The size of an RSA modulus, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum RsaSize {
    /// 2048 bits.
    Bits2048,
    /// 3072 bits.
    Bits3072,
    /// 4096 bits.
    Bits4096,
}

impl RsaSize {
    /// Every size.
    pub const ALL: &'static [Self] = &[Self::Bits2048, Self::Bits3072, Self::Bits4096];

    /// Bits of the modulus.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Bits2048 => 2048,
            Self::Bits3072 => 3072,
            Self::Bits4096 => 4096,
        }
    }

    /// Bytes of the modulus, of a signature and of a ciphertext.
    pub const fn bytes(self) -> usize {
        self.bits() as usize / 8
    }
}

impl TryFrom<u32> for RsaSize {
    type Error = ParseError;
    fn try_from(bits: u32) -> Result<Self, ParseError> {
        match bits {
            2048 => Ok(Self::Bits2048),
            3072 => Ok(Self::Bits3072),
            4096 => Ok(Self::Bits4096),
            _ => Err(ParseError::new("RSA key size", "2048, 3072 or 4096 bits")),
        }
    }
}

impl From<RsaSize> for u32 {
    fn from(size: RsaSize) -> u32 {
        size.bits()
    }
}

/// The size of a symmetric key, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum SymmetricSize {
    /// 128 bits.
    Bits128,
    /// 192 bits.
    Bits192,
    /// 256 bits.
    Bits256,
}

impl SymmetricSize {
    /// Every size.
    pub const ALL: &'static [Self] = &[Self::Bits128, Self::Bits192, Self::Bits256];

    /// Bits of the key.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Bits128 => 128,
            Self::Bits192 => 192,
            Self::Bits256 => 256,
        }
    }

    /// Bytes of the key.
    pub const fn bytes(self) -> usize {
        self.bits() as usize / 8
    }
}

impl TryFrom<u32> for SymmetricSize {
    type Error = ParseError;
    fn try_from(bits: u32) -> Result<Self, ParseError> {
        match bits {
            128 => Ok(Self::Bits128),
            192 => Ok(Self::Bits192),
            256 => Ok(Self::Bits256),
            _ => Err(ParseError::new("symmetric key size", "128, 192 or 256 bits")),
        }
    }
}

impl From<SymmetricSize> for u32 {
    fn from(size: SymmetricSize) -> u32 {
        size.bits()
    }
}

vocabulary!(
    /// An entry of `key_ops` (RFC 7517 §4.3 and REST `JsonWebKeyOperation`).
    KeyOperation, "key operation", {
        /// Encrypt data.
        Encrypt => "encrypt",
        /// Decrypt data.
        Decrypt => "decrypt",
        /// Sign a digest.
        Sign => "sign",
        /// Verify a signature.
        Verify => "verify",
        /// Wrap another key.
        WrapKey => "wrapKey",
        /// Unwrap another key.
        UnwrapKey => "unwrapKey",
        /// Wrap a key that is drawn inside and seen by nobody.
        SecureWrapKey => "secureWrapKey",
        /// Unwrap such a key towards an attested environment.
        SecureUnwrapKey => "secureUnwrapKey",
        /// Take in a wrapped key (BYOK); excludes all others.
        Import => "import",
        /// Give the key out under a release policy.
        Export => "export",
    }
);

/// A set of [`KeyOperation`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<KeyOperation>", into = "Vec<KeyOperation>")]
pub struct KeyOperations(u16);

impl KeyOperations {
    /// Whether the operation is in the set.
    pub const fn contains(self, operation: KeyOperation) -> bool {
        self.0 & (1 << operation as u16) != 0
    }

    /// Whether it has an operation that only attested environments profit from.
    pub const fn has_secure(self) -> bool {
        self.contains(KeyOperation::SecureWrapKey) || self.contains(KeyOperation::SecureUnwrapKey)
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The operations, in the order of the vocabulary.
    pub fn iter(self) -> impl Iterator<Item = KeyOperation> {
        KeyOperation::ALL.iter().copied().filter(move |operation| self.contains(*operation))
    }
}

impl FromIterator<KeyOperation> for KeyOperations {
    fn from_iter<I: IntoIterator<Item = KeyOperation>>(operations: I) -> Self {
        Self(operations.into_iter().fold(0, |bits, operation| bits | 1 << operation as u16))
    }
}

impl From<Vec<KeyOperation>> for KeyOperations {
    fn from(operations: Vec<KeyOperation>) -> Self {
        operations.into_iter().collect()
    }
}

impl From<KeyOperations> for Vec<KeyOperation> {
    fn from(operations: KeyOperations) -> Self {
        operations.iter().collect()
    }
}
