//! The algorithms of the wire (`alg`), with the facts that do not depend on an implementation.

use crate::vocabulary::vocabulary;
use crate::{CurveName, KeyOperation, KeyType, SymmetricSize};

vocabulary!(
    /// An algorithm name (`alg`): REST `JsonWebKeySignatureAlgorithm` and `JsonWebKeyEncryptionAlgorithm`, RFC 7518.
    Algorithm, "algorithm", {
        /// RSASSA-PKCS1-v1_5, SHA-256.
        Rs256 => "RS256",
        /// RSASSA-PKCS1-v1_5, SHA-384.
        Rs384 => "RS384",
        /// RSASSA-PKCS1-v1_5, SHA-512.
        Rs512 => "RS512",
        /// RSASSA-PSS, SHA-256, salt as long as the hash.
        Ps256 => "PS256",
        /// RSASSA-PSS, SHA-384, salt as long as the hash.
        Ps384 => "PS384",
        /// RSASSA-PSS, SHA-512, salt as long as the hash.
        Ps512 => "PS512",
        /// ECDSA on P-256, SHA-256.
        Es256 => "ES256",
        /// ECDSA on secp256k1, SHA-256.
        Es256K => "ES256K",
        /// ECDSA on P-384, SHA-384.
        Es384 => "ES384",
        /// ECDSA on P-521, SHA-512.
        Es512 => "ES512",
        /// HMAC with SHA-256.
        Hs256 => "HS256",
        /// HMAC with SHA-384.
        Hs384 => "HS384",
        /// HMAC with SHA-512.
        Hs512 => "HS512",
        /// RSAES-PKCS1-v1_5: kept for old clients; a padding oracle by nature.
        Rsa1_5 => "RSA1_5",
        /// RSAES-OAEP with SHA-1 and MGF1-SHA-1.
        RsaOaep => "RSA-OAEP",
        /// RSAES-OAEP with SHA-256 and MGF1-SHA-256.
        RsaOaep256 => "RSA-OAEP-256",
        /// AES-128-GCM.
        A128Gcm => "A128GCM",
        /// AES-192-GCM.
        A192Gcm => "A192GCM",
        /// AES-256-GCM.
        A256Gcm => "A256GCM",
        /// AES-128-CBC, zero-padded to the block.
        A128Cbc => "A128CBC",
        /// AES-192-CBC, zero-padded to the block.
        A192Cbc => "A192CBC",
        /// AES-256-CBC, zero-padded to the block.
        A256Cbc => "A256CBC",
        /// AES-128-CBC with PKCS#7 padding.
        A128CbcPad => "A128CBCPAD",
        /// AES-192-CBC with PKCS#7 padding.
        A192CbcPad => "A192CBCPAD",
        /// AES-256-CBC with PKCS#7 padding.
        A256CbcPad => "A256CBCPAD",
        /// AES-128 key wrap (RFC 3394).
        A128Kw => "A128KW",
        /// AES-192 key wrap (RFC 3394).
        A192Kw => "A192KW",
        /// AES-256 key wrap (RFC 3394).
        A256Kw => "A256KW",
        /// AES key wrap (RFC 3394) with a key of any size.
        CkmAesKeyWrap => "CKM_AES_KEY_WRAP",
        /// AES key wrap with padding (RFC 5649) with a key of any size.
        CkmAesKeyWrapPad => "CKM_AES_KEY_WRAP_PAD",
    }
);

/// A hash function of the signature algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// Bytes of a digest.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// How an algorithm works, as far as checks above the boundary need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlgorithmFamily {
    /// RSA signature over a digest, PKCS#1 v1.5.
    RsaPkcs1Signature(Hash),
    /// RSA signature over a digest, PSS.
    RsaPss(Hash),
    /// ECDSA over a digest.
    Ecdsa(CurveName, Hash),
    /// RSA encryption of a short text.
    RsaEncryption,
    /// AES-GCM: the service draws the IV.
    AesGcm(SymmetricSize),
    /// AES-CBC, zero padding.
    AesCbc(SymmetricSize),
    /// AES-CBC, PKCS#7 padding.
    AesCbcPad(SymmetricSize),
    /// AES key wrap, by a key of this size or of any.
    AesKeyWrap(Option<SymmetricSize>),
    /// AES key wrap with padding, by a key of any size.
    AesKeyWrapPad,
    /// HMAC.
    Hmac(Hash),
}

impl Algorithm {
    /// What kind of algorithm this is.
    pub const fn family(self) -> AlgorithmFamily {
        use AlgorithmFamily as F;
        use SymmetricSize::{Bits128, Bits192, Bits256};
        match self {
            Self::Rs256 => F::RsaPkcs1Signature(Hash::Sha256),
            Self::Rs384 => F::RsaPkcs1Signature(Hash::Sha384),
            Self::Rs512 => F::RsaPkcs1Signature(Hash::Sha512),
            Self::Ps256 => F::RsaPss(Hash::Sha256),
            Self::Ps384 => F::RsaPss(Hash::Sha384),
            Self::Ps512 => F::RsaPss(Hash::Sha512),
            Self::Es256 => F::Ecdsa(CurveName::P256, Hash::Sha256),
            Self::Es256K => F::Ecdsa(CurveName::P256K, Hash::Sha256),
            Self::Es384 => F::Ecdsa(CurveName::P384, Hash::Sha384),
            Self::Es512 => F::Ecdsa(CurveName::P521, Hash::Sha512),
            Self::Rsa1_5 | Self::RsaOaep | Self::RsaOaep256 => F::RsaEncryption,
            Self::A128Gcm => F::AesGcm(Bits128),
            Self::A192Gcm => F::AesGcm(Bits192),
            Self::A256Gcm => F::AesGcm(Bits256),
            Self::A128Cbc => F::AesCbc(Bits128),
            Self::A192Cbc => F::AesCbc(Bits192),
            Self::A256Cbc => F::AesCbc(Bits256),
            Self::A128CbcPad => F::AesCbcPad(Bits128),
            Self::A192CbcPad => F::AesCbcPad(Bits192),
            Self::A256CbcPad => F::AesCbcPad(Bits256),
            Self::A128Kw => F::AesKeyWrap(Some(Bits128)),
            Self::A192Kw => F::AesKeyWrap(Some(Bits192)),
            Self::A256Kw => F::AesKeyWrap(Some(Bits256)),
            Self::CkmAesKeyWrap => F::AesKeyWrap(None),
            Self::CkmAesKeyWrapPad => F::AesKeyWrapPad,
            Self::Hs256 => F::Hmac(Hash::Sha256),
            Self::Hs384 => F::Hmac(Hash::Sha384),
            Self::Hs512 => F::Hmac(Hash::Sha512),
        }
    }

    /// The type of key the algorithm needs.
    pub const fn key_type(self) -> KeyType {
        use AlgorithmFamily as F;
        match self.family() {
            F::RsaPkcs1Signature(_) | F::RsaPss(_) | F::RsaEncryption => KeyType::RsaHsm,
            F::Ecdsa(..) => KeyType::EcHsm,
            F::AesGcm(_) | F::AesCbc(_) | F::AesCbcPad(_) => KeyType::OctHsm,
            F::AesKeyWrap(_) | F::AesKeyWrapPad | F::Hmac(_) => KeyType::OctHsm,
        }
    }

    /// Whether the algorithm does the operation (data-plane.md §9).
    pub const fn supports(self, operation: KeyOperation) -> bool {
        use AlgorithmFamily as F;
        use KeyOperation as Op;
        match self.family() {
            F::RsaPkcs1Signature(_) | F::RsaPss(_) | F::Ecdsa(..) | F::Hmac(_) => {
                matches!(operation, Op::Sign | Op::Verify)
            }
            // Secure wrapping has left the older paddings behind (REST `JsonWebKeyWrapAlgorithm`).
            F::RsaEncryption if matches!(operation, Op::SecureWrapKey | Op::SecureUnwrapKey) => {
                matches!(self, Self::RsaOaep256)
            }
            F::RsaEncryption => matches!(operation, Op::Encrypt | Op::Decrypt | Op::WrapKey | Op::UnwrapKey),
            F::AesGcm(_) | F::AesCbc(_) | F::AesCbcPad(_) => matches!(operation, Op::Encrypt | Op::Decrypt),
            F::AesKeyWrap(_) | F::AesKeyWrapPad => {
                matches!(operation, Op::WrapKey | Op::UnwrapKey | Op::SecureWrapKey | Op::SecureUnwrapKey)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Algorithm;
    use crate::{CurveName, DataAction, KeyOperation, KeyType, Protection};

    fn round_trips<T: Copy + PartialEq + std::fmt::Debug + std::str::FromStr<Err = crate::ParseError>>(
        all: &[T],
        name: fn(T) -> &'static str,
    ) {
        for value in all {
            assert_eq!(name(*value).parse::<T>().as_ref(), Ok(value));
        }
    }

    #[test]
    fn every_wire_name_parses_back_to_its_value() {
        round_trips(Algorithm::ALL, Algorithm::as_str);
        round_trips(CurveName::ALL, CurveName::as_str);
        round_trips(KeyOperation::ALL, KeyOperation::as_str);
        round_trips(KeyType::ALL, KeyType::as_str);
        round_trips(Protection::ALL, Protection::as_str);
        round_trips(DataAction::ALL, DataAction::as_str);
    }

    #[test]
    fn every_algorithm_does_something_with_some_key() {
        for algorithm in Algorithm::ALL {
            assert!(KeyOperation::ALL.iter().any(|operation| algorithm.supports(*operation)), "{algorithm}");
        }
    }
}
