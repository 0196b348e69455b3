//! What leaves wrapped opens with the recipient's key, and with nothing else.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be made fails the test")]

use std::sync::LazyLock;

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use strongroom_crypto::{CryptoError, KeyMaterial, KeySpecification, RsaPrivateKey, SystemEntropy};
use strongroom_types::{Algorithm, CurveName, KeyEncryptionAlgorithm, RsaSize, SymmetricSize};

static RECIPIENT: LazyLock<RsaPrivateKey> = LazyLock::new(|| RsaPrivateKey::generate(RsaSize::Bits2048).unwrap());

/// Opens what was wrapped for the recipient with the library alone; `None` if it does not open.
fn open(algorithm: KeyEncryptionAlgorithm, ciphertext: &[u8]) -> Option<Vec<u8>> {
    let hash = match algorithm {
        KeyEncryptionAlgorithm::CkmRsaAesKeyWrap => &OAEP_SHA1_MGF1SHA1,
        KeyEncryptionAlgorithm::RsaAesKeyWrap256 => &OAEP_SHA256_MGF1SHA256,
        KeyEncryptionAlgorithm::RsaAesKeyWrap384 => &OAEP_SHA384_MGF1SHA384,
    };
    let key = PrivateDecryptingKey::from_pkcs8(RECIPIENT.to_pkcs8().unwrap().expose()).unwrap();
    let key = OaepPrivateDecryptingKey::new(key).unwrap();
    let (first, second) = ciphertext.split_at_checked(RECIPIENT.public().n().len())?;
    let mut ephemeral = vec![0; first.len()];
    let ephemeral = key.decrypt(hash, first, &mut ephemeral, None).ok()?;
    assert_eq!(ephemeral.len(), 32);
    let mut opened = vec![0; second.len()];
    let kek = AesKek::new(&AES_256, ephemeral).unwrap();
    let length = kek.unwrap_with_padding(second, &mut opened).ok()?.len();
    opened.truncate(length);
    Some(opened)
}

#[test]
fn every_kind_of_key_arrives_under_every_key_encryption_algorithm() {
    let kinds = [
        KeySpecification::Rsa(RsaSize::Bits2048),
        KeySpecification::Ec(CurveName::P256),
        KeySpecification::Ec(CurveName::P521),
        KeySpecification::Oct(SymmetricSize::Bits128),
        KeySpecification::Oct(SymmetricSize::Bits192),
    ];
    for kind in kinds {
        let key = KeyMaterial::generate(kind, &SystemEntropy).unwrap();
        for algorithm in KeyEncryptionAlgorithm::ALL {
            let wrapped = key.wrap_for(RECIPIENT.public(), *algorithm, &SystemEntropy).unwrap();
            let opened = open(*algorithm, &wrapped).unwrap();
            assert_eq!(opened, *key.to_sealable().unwrap().expose(), "{kind:?} {algorithm}");
            let again = key.wrap_for(RECIPIENT.public(), *algorithm, &SystemEntropy).unwrap();
            assert_ne!(wrapped, again, "{algorithm} draws a new key each time");
        }
    }
}

#[test]
fn what_was_altered_on_the_way_does_not_open() {
    let key = KeyMaterial::generate(KeySpecification::Oct(SymmetricSize::Bits256), &SystemEntropy).unwrap();
    let algorithm = KeyEncryptionAlgorithm::RsaAesKeyWrap256;
    let wrapped = key.wrap_for(RECIPIENT.public(), algorithm, &SystemEntropy).unwrap();
    for position in [0, 255, 256, wrapped.len() - 1] {
        let mut altered = wrapped.clone();
        altered[position] ^= 1;
        assert_eq!(open(algorithm, &altered), None, "{position}");
    }
    assert_eq!(open(KeyEncryptionAlgorithm::RsaAesKeyWrap384, &wrapped), None);
}

#[test]
fn a_key_drawn_under_a_wrapping_key_goes_to_the_recipient_as_it_was_wrapped() {
    for (kind, algorithm) in [
        (KeySpecification::Rsa(RsaSize::Bits2048), Algorithm::RsaOaep256),
        (KeySpecification::Oct(SymmetricSize::Bits256), Algorithm::A256Kw),
        (KeySpecification::Oct(SymmetricSize::Bits192), Algorithm::A192Kw),
    ] {
        let kek = KeyMaterial::generate(kind, &SystemEntropy).unwrap();
        let wrapped = kek.wrap_new_key(algorithm, &SystemEntropy).unwrap();
        let inside = kek.unwrap(algorithm, &wrapped).unwrap();
        assert_eq!(inside.expose().len(), 32);
        let sent = kek.rewrap_for(algorithm, &wrapped, RECIPIENT.public(), &SystemEntropy).unwrap();
        assert_eq!(open(KeyEncryptionAlgorithm::CkmRsaAesKeyWrap, &sent).unwrap(), *inside.expose());
        let mut altered = wrapped;
        altered[3] ^= 1;
        let refused = kek.rewrap_for(algorithm, &altered, RECIPIENT.public(), &SystemEntropy);
        assert_eq!(refused, Err(CryptoError::Rejected));
    }
}
