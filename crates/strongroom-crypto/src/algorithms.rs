//! What each algorithm is to AWS-LC: one row for each, so that signing and encrypting are lookups.

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm};
use aws_lc_rs::signature::{
    self, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, RsaParameters, RsaSignatureEncoding,
};
use aws_lc_rs::{aead, cipher, digest, hmac};
use strongroom_types::{Algorithm, CurveName, SymmetricSize};

/// How an algorithm is carried out.
#[derive(Clone, Copy)]
pub(crate) enum Mechanism {
    RsaSignature(&'static RsaSignature),
    Ecdsa(CurveName),
    RsaEncryption(RsaPadding),
    AesGcm(SymmetricSize),
    AesCbc(SymmetricSize, CbcPadding),
    /// By a key of this size, or of any.
    AesKeyWrap(Option<SymmetricSize>),
    AesKeyWrapPad,
    Hmac(hmac::Algorithm),
}

/// A row of the RSA signatures. The slot is its place among the parsed public keys that a key caches.
pub(crate) struct RsaSignature {
    pub(crate) slot: usize,
    pub(crate) hash: &'static digest::Algorithm,
    pub(crate) signing: &'static RsaSignatureEncoding,
    pub(crate) verification: &'static RsaParameters,
}

/// How a text is padded before RSA encrypts it.
#[derive(Clone, Copy)]
pub(crate) enum RsaPadding {
    /// RFC 8017 §7.2; takes 11 bytes of the modulus.
    Pkcs1,
    /// RFC 8017 §7.1 with an empty label; takes two hashes and two bytes of the modulus.
    Oaep(&'static OaepAlgorithm, usize),
}

/// How a text is brought to whole blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CbcPadding {
    /// Zeros when needed, never taken off again (data-plane.md §9).
    Zero,
    /// RFC 5652 §6.3.
    Pkcs7,
}

/// What a curve signs with: each has one hash (RFC 7518 §3.4, RFC 8812 §3.2).
pub(crate) struct Curve {
    pub(crate) hash: &'static digest::Algorithm,
    pub(crate) signing: &'static EcdsaSigningAlgorithm,
    pub(crate) verification: &'static EcdsaVerificationAlgorithm,
}

/// What an AES key size encrypts with.
pub(crate) struct Aes {
    pub(crate) gcm: &'static aead::Algorithm,
    pub(crate) cbc: &'static cipher::Algorithm,
}

/// Number of RSA signature algorithms, which is the number of slots.
pub(crate) const RSA_SIGNATURES: usize = 6;

/// The row of an algorithm.
pub(crate) const fn mechanism(algorithm: Algorithm) -> Mechanism {
    use Algorithm as A;
    use CbcPadding::{Pkcs7, Zero};
    use Mechanism as M;
    use SymmetricSize::{Bits128, Bits192, Bits256};
    match algorithm {
        A::Rs256 => M::RsaSignature(&RS256),
        A::Rs384 => M::RsaSignature(&RS384),
        A::Rs512 => M::RsaSignature(&RS512),
        A::Ps256 => M::RsaSignature(&PS256),
        A::Ps384 => M::RsaSignature(&PS384),
        A::Ps512 => M::RsaSignature(&PS512),
        A::Es256 => M::Ecdsa(CurveName::P256),
        A::Es256K => M::Ecdsa(CurveName::P256K),
        A::Es384 => M::Ecdsa(CurveName::P384),
        A::Es512 => M::Ecdsa(CurveName::P521),
        A::Rsa1_5 => M::RsaEncryption(RsaPadding::Pkcs1),
        A::RsaOaep => M::RsaEncryption(RsaPadding::Oaep(&OAEP_SHA1_MGF1SHA1, 20)),
        A::RsaOaep256 => M::RsaEncryption(RsaPadding::Oaep(&OAEP_SHA256_MGF1SHA256, 32)),
        A::A128Gcm => M::AesGcm(Bits128),
        A::A192Gcm => M::AesGcm(Bits192),
        A::A256Gcm => M::AesGcm(Bits256),
        A::A128Cbc => M::AesCbc(Bits128, Zero),
        A::A192Cbc => M::AesCbc(Bits192, Zero),
        A::A256Cbc => M::AesCbc(Bits256, Zero),
        A::A128CbcPad => M::AesCbc(Bits128, Pkcs7),
        A::A192CbcPad => M::AesCbc(Bits192, Pkcs7),
        A::A256CbcPad => M::AesCbc(Bits256, Pkcs7),
        A::A128Kw => M::AesKeyWrap(Some(Bits128)),
        A::A192Kw => M::AesKeyWrap(Some(Bits192)),
        A::A256Kw => M::AesKeyWrap(Some(Bits256)),
        A::CkmAesKeyWrap => M::AesKeyWrap(None),
        A::CkmAesKeyWrapPad => M::AesKeyWrapPad,
        A::Hs256 => M::Hmac(hmac::HMAC_SHA256),
        A::Hs384 => M::Hmac(hmac::HMAC_SHA384),
        A::Hs512 => M::Hmac(hmac::HMAC_SHA512),
    }
}

/// The row of a curve.
pub(crate) const fn curve(name: CurveName) -> Curve {
    match name {
        CurveName::P256 => Curve {
            hash: &digest::SHA256,
            signing: &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            verification: &signature::ECDSA_P256_SHA256_FIXED,
        },
        CurveName::P256K => Curve {
            hash: &digest::SHA256,
            signing: &signature::ECDSA_P256K1_SHA256_FIXED_SIGNING,
            verification: &signature::ECDSA_P256K1_SHA256_FIXED,
        },
        CurveName::P384 => Curve {
            hash: &digest::SHA384,
            signing: &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            verification: &signature::ECDSA_P384_SHA384_FIXED,
        },
        CurveName::P521 => Curve {
            hash: &digest::SHA512,
            signing: &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
            verification: &signature::ECDSA_P521_SHA512_FIXED,
        },
    }
}

/// The row of an AES key size.
pub(crate) const fn aes(size: SymmetricSize) -> Aes {
    match size {
        SymmetricSize::Bits128 => Aes { gcm: &aead::AES_128_GCM, cbc: &cipher::AES_128 },
        SymmetricSize::Bits192 => Aes { gcm: &aead::AES_192_GCM, cbc: &cipher::AES_192 },
        SymmetricSize::Bits256 => Aes { gcm: &aead::AES_256_GCM, cbc: &cipher::AES_256 },
    }
}

static RS256: RsaSignature = RsaSignature {
    slot: 0,
    hash: &digest::SHA256,
    signing: &signature::RSA_PKCS1_SHA256,
    verification: &signature::RSA_PKCS1_2048_8192_SHA256,
};
static RS384: RsaSignature = RsaSignature {
    slot: 1,
    hash: &digest::SHA384,
    signing: &signature::RSA_PKCS1_SHA384,
    verification: &signature::RSA_PKCS1_2048_8192_SHA384,
};
static RS512: RsaSignature = RsaSignature {
    slot: 2,
    hash: &digest::SHA512,
    signing: &signature::RSA_PKCS1_SHA512,
    verification: &signature::RSA_PKCS1_2048_8192_SHA512,
};
static PS256: RsaSignature = RsaSignature {
    slot: 3,
    hash: &digest::SHA256,
    signing: &signature::RSA_PSS_SHA256,
    verification: &signature::RSA_PSS_2048_8192_SHA256,
};
static PS384: RsaSignature = RsaSignature {
    slot: 4,
    hash: &digest::SHA384,
    signing: &signature::RSA_PSS_SHA384,
    verification: &signature::RSA_PSS_2048_8192_SHA384,
};
static PS512: RsaSignature = RsaSignature {
    slot: 5,
    hash: &digest::SHA512,
    signing: &signature::RSA_PSS_SHA512,
    verification: &signature::RSA_PSS_2048_8192_SHA512,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rsa_signature_has_a_slot_of_its_own() {
        let mut slots: Vec<usize> = Algorithm::ALL
            .iter()
            .filter_map(|algorithm| match mechanism(*algorithm) {
                Mechanism::RsaSignature(row) => Some(row.slot),
                _ => None,
            })
            .collect();
        slots.sort_unstable();
        assert_eq!(slots, (0..RSA_SIGNATURES).collect::<Vec<_>>());
    }
}
