//! Every algorithm with every key, through the public API.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be made fails the test")]

use std::sync::LazyLock;

use proptest::prelude::*;
use strongroom_crypto::{
    CryptoError, DecryptInput, EncryptInput, Encrypted, Entropy, KeyMaterial, KeySpecification, PublicKey,
    SystemEntropy,
};
use strongroom_types::{Algorithm, AlgorithmFamily, CurveName, KeyOperation, RsaSize, SymmetricSize};

/// One key of each specification; RSA keys are slow to draw.
static KEYS: LazyLock<Vec<KeyMaterial>> = LazyLock::new(|| {
    let rsa = RsaSize::ALL.iter().map(|size| KeySpecification::Rsa(*size));
    let ec = CurveName::ALL.iter().map(|curve| KeySpecification::Ec(*curve));
    let oct = SymmetricSize::ALL.iter().map(|size| KeySpecification::Oct(*size));
    rsa.chain(ec).chain(oct).map(|kind| KeyMaterial::generate(kind, &SystemEntropy).unwrap()).collect()
});

/// Whether the algorithm belongs to the kind of key, said once more and from the documents (data-plane.md §9).
fn fits(algorithm: Algorithm, key: &KeyMaterial) -> bool {
    use AlgorithmFamily as F;
    match (algorithm.family(), key.specification()) {
        (F::RsaPkcs1Signature(_) | F::RsaPss(_) | F::RsaEncryption, KeySpecification::Rsa(_)) => true,
        (F::Ecdsa(wanted, _), KeySpecification::Ec(curve)) => wanted == curve,
        (
            F::AesGcm(wanted) | F::AesCbc(wanted) | F::AesCbcPad(wanted) | F::AesKeyWrap(Some(wanted)),
            KeySpecification::Oct(size),
        ) => wanted == size,
        (F::AesKeyWrap(None) | F::AesKeyWrapPad | F::Hmac(_), KeySpecification::Oct(_)) => true,
        _ => false,
    }
}

/// Every algorithm that does the operation, with every key.
fn pairs(operation: KeyOperation) -> impl Iterator<Item = (Algorithm, &'static KeyMaterial)> {
    Algorithm::ALL
        .iter()
        .filter(move |algorithm| algorithm.supports(operation))
        .flat_map(|algorithm| KEYS.iter().map(move |key| (*algorithm, key)))
}

fn digest_bytes(algorithm: Algorithm) -> usize {
    match algorithm.family() {
        AlgorithmFamily::RsaPkcs1Signature(hash)
        | AlgorithmFamily::RsaPss(hash)
        | AlgorithmFamily::Ecdsa(_, hash)
        | AlgorithmFamily::Hmac(hash) => hash.bytes(),
        _ => 32,
    }
}

fn encrypt(key: &KeyMaterial, algorithm: Algorithm, value: &[u8]) -> Result<Encrypted, CryptoError> {
    let iv = is_cbc(algorithm).then_some([7; 16].as_slice());
    key.encrypt(algorithm, EncryptInput { value, iv, aad: None }, &SystemEntropy)
}

fn decrypt(key: &KeyMaterial, algorithm: Algorithm, encrypted: &Encrypted) -> Result<Vec<u8>, CryptoError> {
    let input = DecryptInput {
        value: &encrypted.ciphertext,
        iv: encrypted.iv.as_deref(),
        tag: encrypted.tag.as_deref(),
        aad: None,
    };
    key.decrypt(algorithm, input).map(|text| text.expose().clone())
}

fn is_cbc(algorithm: Algorithm) -> bool {
    matches!(algorithm.family(), AlgorithmFamily::AesCbc(_) | AlgorithmFamily::AesCbcPad(_))
}

fn unsuitable(algorithm: Algorithm) -> CryptoError {
    CryptoError::UnsuitableAlgorithm { algorithm }
}

#[test]
fn what_was_signed_verifies_and_nothing_else_does() {
    let mut fitting = 0;
    for (algorithm, key) in pairs(KeyOperation::Sign) {
        let digest = vec![0x5a; digest_bytes(algorithm)];
        if !fits(algorithm, key) {
            assert_eq!(key.sign(algorithm, &digest), Err(unsuitable(algorithm)));
            assert_eq!(key.verify(algorithm, &digest, b""), Err(unsuitable(algorithm)));
            continue;
        }
        fitting += 1;
        let signature = key.sign(algorithm, &digest).unwrap();
        assert_eq!(key.verify(algorithm, &digest, &signature), Ok(true), "{algorithm}");
        let mut other_digest = digest.clone();
        other_digest[0] ^= 1;
        assert_eq!(key.verify(algorithm, &other_digest, &signature), Ok(false));
        for position in [0, signature.len() / 2, signature.len() - 1] {
            let mut altered = signature.clone();
            altered[position] ^= 1;
            assert_eq!(key.verify(algorithm, &digest, &altered), Ok(false));
        }
        for malformed in [&[], &signature[1..], &[signature.as_slice(), &[0]].concat(), &vec![0; signature.len()]] {
            assert_eq!(key.verify(algorithm, &digest, malformed), Ok(false));
        }
    }
    assert_eq!(fitting, 6 * 3 + 4 + 3 * 3);
}

#[test]
fn a_digest_of_the_wrong_length_is_bad_input() {
    let takes_digests = |algorithm: Algorithm| !matches!(algorithm.family(), AlgorithmFamily::Hmac(_));
    let fitting = pairs(KeyOperation::Sign).filter(|(algorithm, key)| fits(*algorithm, key));
    for (algorithm, key) in fitting.filter(|(algorithm, _)| takes_digests(*algorithm)) {
        for digest in [vec![], vec![1; digest_bytes(algorithm) - 1], vec![1; digest_bytes(algorithm) + 1]] {
            let parameter = |error| match error {
                CryptoError::BadInput { parameter, .. } => parameter,
                error => panic!("{algorithm}: {error}"),
            };
            assert_eq!(parameter(key.sign(algorithm, &digest).unwrap_err()), "value");
            assert_eq!(parameter(key.verify(algorithm, &digest, b"").unwrap_err()), "digest");
        }
    }
}

#[test]
fn hmac_takes_a_text_of_any_length_and_compares_codes_whole() {
    let key = oct(SymmetricSize::Bits128);
    for (algorithm, length) in [(Algorithm::Hs256, 32), (Algorithm::Hs384, 48), (Algorithm::Hs512, 64)] {
        for text in [&[][..], b"text", &[7; 1000]] {
            let code = key.sign(algorithm, text).unwrap();
            assert_eq!(code.len(), length);
            assert_eq!(key.verify(algorithm, text, &code), Ok(true));
            assert_eq!(key.verify(algorithm, text, &code[..length / 2]), Ok(false));
            assert_eq!(oct(SymmetricSize::Bits256).verify(algorithm, text, &code), Ok(false));
        }
    }
}

#[test]
fn ecdsa_signatures_are_as_long_as_two_field_elements() {
    for (algorithm, key) in pairs(KeyOperation::Sign).filter(|(algorithm, key)| fits(*algorithm, key)) {
        if let KeySpecification::Ec(curve) = key.specification() {
            let signature = key.sign(algorithm, &vec![1; digest_bytes(algorithm)]).unwrap();
            assert_eq!(signature.len(), 2 * curve.field_bytes());
        }
    }
}

#[test]
fn what_was_encrypted_decrypts() {
    let mut fitting = 0;
    for (algorithm, key) in pairs(KeyOperation::Encrypt) {
        if !fits(algorithm, key) {
            assert_eq!(encrypt(key, algorithm, &[1; 16]), Err(unsuitable(algorithm)));
            let nothing = Encrypted { ciphertext: vec![0; 16], iv: Some(vec![0; 16]), tag: None };
            assert_eq!(decrypt(key, algorithm, &nothing), Err(unsuitable(algorithm)));
            continue;
        }
        fitting += 1;
        for length in [0, 1, 15, 16, 17, 32, 100] {
            let value = vec![0xa5; length];
            let encrypted = encrypt(key, algorithm, &value).unwrap();
            let mut expected = value.clone();
            if matches!(algorithm.family(), AlgorithmFamily::AesCbc(_)) {
                expected.resize(length.next_multiple_of(16), 0);
            }
            assert_eq!(decrypt(key, algorithm, &encrypted).unwrap(), expected, "{algorithm} {length}");
        }
    }
    assert_eq!(fitting, 3 * 3 + 9);
}

#[test]
fn a_ciphertext_altered_or_of_another_key_is_rejected() {
    let other_rsa = KeyMaterial::generate(KeySpecification::Rsa(RsaSize::Bits2048), &SystemEntropy).unwrap();
    for (algorithm, key) in pairs(KeyOperation::Decrypt).filter(|(algorithm, key)| fits(*algorithm, key)) {
        let encrypted = encrypt(key, algorithm, &[1; 20]).unwrap();
        let mut altered = encrypted.clone();
        altered.ciphertext[0] ^= 1;
        match algorithm.family() {
            // One random block in about a hundred thousand looks like PKCS#1 v1.5 padding, so only equality is refused.
            AlgorithmFamily::RsaEncryption if algorithm == Algorithm::Rsa1_5 => {
                assert_ne!(decrypt(key, algorithm, &altered), Ok(vec![1; 20]));
                assert_ne!(decrypt(&other_rsa, algorithm, &encrypted), Ok(vec![1; 20]));
            }
            AlgorithmFamily::RsaEncryption => {
                assert_eq!(decrypt(key, algorithm, &altered), Err(CryptoError::Rejected), "{algorithm}");
                assert_eq!(decrypt(&other_rsa, algorithm, &encrypted), Err(CryptoError::Rejected), "{algorithm}");
            }
            AlgorithmFamily::AesGcm(_) => {
                assert_eq!(decrypt(key, algorithm, &altered), Err(CryptoError::Rejected), "{algorithm}");
            }
            // CBC authenticates nothing: an altered block gives other text, never the same.
            _ => assert_ne!(decrypt(key, algorithm, &altered).unwrap()[..16], [1; 16]),
        }
    }
}

#[test]
fn an_rsa_ciphertext_of_the_wrong_length_is_rejected_like_any_other() {
    for algorithm in [Algorithm::Rsa1_5, Algorithm::RsaOaep, Algorithm::RsaOaep256] {
        let mut encrypted = encrypt(&KEYS[0], algorithm, b"text").unwrap();
        encrypted.ciphertext.pop();
        assert_eq!(decrypt(&KEYS[0], algorithm, &encrypted), Err(CryptoError::Rejected));
        encrypted.ciphertext.extend([0, 0]);
        assert_eq!(decrypt(&KEYS[0], algorithm, &encrypted), Err(CryptoError::Rejected));
        encrypted.ciphertext.clear();
        assert_eq!(decrypt(&KEYS[0], algorithm, &encrypted), Err(CryptoError::Rejected));
    }
}

#[test]
fn gcm_authenticates_iv_tag_and_aad() {
    let key = oct(SymmetricSize::Bits256);
    let encrypted = key
        .encrypt(Algorithm::A256Gcm, EncryptInput { value: b"text", iv: None, aad: Some(b"aad") }, &SystemEntropy)
        .unwrap();
    let (iv, tag) = (encrypted.iv.clone().unwrap(), encrypted.tag.clone().unwrap());
    let open = |iv: &[u8], tag: &[u8], aad: Option<&[u8]>| {
        let input = DecryptInput { value: &encrypted.ciphertext, iv: Some(iv), tag: Some(tag), aad };
        key.decrypt(Algorithm::A256Gcm, input).map(|text| text.expose().clone())
    };
    assert_eq!(open(&iv, &tag, Some(b"aad")).unwrap(), b"text");
    assert_eq!(open(&iv, &tag, Some(b"aaa")), Err(CryptoError::Rejected));
    assert_eq!(open(&iv, &tag, None), Err(CryptoError::Rejected));
    assert_eq!(open(&[0; 12], &tag, Some(b"aad")), Err(CryptoError::Rejected));
    assert_eq!(open(&iv, &[0; 16], Some(b"aad")), Err(CryptoError::Rejected));
    for (iv, tag, parameter) in
        [(&iv[1..], &tag[..], "iv"), (&[], &tag, "iv"), (&iv, &tag[..12], "tag"), (&iv, &[], "tag")]
    {
        assert!(matches!(open(iv, tag, None), Err(CryptoError::BadInput { parameter: p, .. }) if p == parameter));
    }
}

#[test]
fn gcm_draws_its_own_iv_from_the_entropy() {
    struct Counted;
    impl Entropy for Counted {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError> {
            bytes.fill(9);
            Ok(())
        }
    }
    let key = oct(SymmetricSize::Bits128);
    let input = EncryptInput { value: b"text", iv: None, aad: None };
    assert_eq!(key.encrypt(Algorithm::A128Gcm, input, &Counted).unwrap().iv, Some(vec![9; 12]));
    let input = EncryptInput { iv: Some(&[9; 12]), ..input };
    assert!(matches!(
        key.encrypt(Algorithm::A128Gcm, input, &Counted),
        Err(CryptoError::BadInput { parameter: "iv", .. })
    ));
}

#[test]
fn cbc_needs_an_iv_of_a_block_and_whole_blocks_to_decrypt() {
    let key = oct(SymmetricSize::Bits256);
    for algorithm in [Algorithm::A256Cbc, Algorithm::A256CbcPad] {
        for iv in [None, Some([1; 12].as_slice()), Some(&[1; 17])] {
            let encrypted = key.encrypt(algorithm, EncryptInput { value: b"x", iv, aad: None }, &SystemEntropy);
            assert!(matches!(encrypted, Err(CryptoError::BadInput { parameter: "iv", .. })));
            let decrypted = key.decrypt(algorithm, DecryptInput { value: &[0; 16], iv, tag: None, aad: None });
            assert!(matches!(decrypted, Err(CryptoError::BadInput { parameter: "iv", .. })));
        }
        let input = DecryptInput { value: &[0; 17], iv: Some(&[0; 16]), tag: None, aad: None };
        assert!(matches!(key.decrypt(algorithm, input), Err(CryptoError::BadInput { parameter: "value", .. })));
        let input = EncryptInput { value: b"x", iv: Some(&[0; 16]), aad: Some(b"not authenticated") };
        assert!(matches!(
            key.encrypt(algorithm, input, &SystemEntropy),
            Err(CryptoError::BadInput { parameter: "aad", .. })
        ));
    }
    let input = DecryptInput { value: &[], iv: Some(&[0; 16]), tag: None, aad: None };
    assert_eq!(key.decrypt(Algorithm::A256CbcPad, input).unwrap_err(), CryptoError::Rejected);
}

#[test]
fn a_plaintext_too_long_for_rsa_is_bad_input() {
    let key = &KEYS[0];
    for (algorithm, longest) in
        [(Algorithm::Rsa1_5, 256 - 11), (Algorithm::RsaOaep, 256 - 42), (Algorithm::RsaOaep256, 256 - 66)]
    {
        let encrypted = encrypt(key, algorithm, &vec![1; longest]).unwrap();
        assert_eq!(decrypt(key, algorithm, &encrypted).unwrap(), vec![1; longest]);
        assert!(matches!(
            encrypt(key, algorithm, &vec![1; longest + 1]),
            Err(CryptoError::BadInput { parameter: "value", .. })
        ));
    }
}

#[test]
fn what_was_wrapped_unwraps() {
    let mut fitting = 0;
    for (algorithm, key) in pairs(KeyOperation::WrapKey) {
        if !fits(algorithm, key) {
            assert_eq!(key.wrap(algorithm, &[1; 16], &SystemEntropy), Err(unsuitable(algorithm)));
            assert_eq!(key.unwrap(algorithm, &[1; 24]).unwrap_err(), unsuitable(algorithm));
            continue;
        }
        fitting += 1;
        for length in [16, 24, 32, 64] {
            let wrapped = key.wrap(algorithm, &vec![3; length], &SystemEntropy).unwrap();
            assert_eq!(key.unwrap(algorithm, &wrapped).unwrap().expose(), &vec![3; length], "{algorithm}");
            let mut altered = wrapped.clone();
            altered[0] ^= 1;
            assert_eq!(key.unwrap(algorithm, &altered).unwrap_err(), CryptoError::Rejected, "{algorithm}");
        }
    }
    assert_eq!(fitting, 3 * 3 + 3 + 2 * 3);
}

#[test]
fn key_wrap_takes_whole_semiblocks_only() {
    for (algorithm, size) in [
        (Algorithm::A128Kw, SymmetricSize::Bits128),
        (Algorithm::A192Kw, SymmetricSize::Bits192),
        (Algorithm::A256Kw, SymmetricSize::Bits256),
        (Algorithm::CkmAesKeyWrap, SymmetricSize::Bits192),
    ] {
        for length in [0, 8, 15, 17, 20] {
            let wrapped = oct(size).wrap(algorithm, &vec![1; length], &SystemEntropy);
            assert!(matches!(wrapped, Err(CryptoError::BadInput { parameter: "value", .. })), "{length}");
        }
        for length in [0, 16, 23, 25] {
            let key = oct(size).unwrap(algorithm, &vec![1; length]);
            assert!(matches!(key, Err(CryptoError::BadInput { parameter: "value", .. })), "{length}");
        }
    }
}

#[test]
fn key_wrap_with_padding_takes_any_length_but_none() {
    for size in SymmetricSize::ALL {
        let kek = oct(*size);
        for length in [1, 7, 8, 9, 16, 20, 1000] {
            let wrapped = kek.wrap(Algorithm::CkmAesKeyWrapPad, &vec![5; length], &SystemEntropy).unwrap();
            assert_eq!(wrapped.len(), length.next_multiple_of(8) + 8);
            assert_eq!(kek.unwrap(Algorithm::CkmAesKeyWrapPad, &wrapped).unwrap().expose(), &vec![5; length]);
            assert!(kek.unwrap(Algorithm::CkmAesKeyWrap, &wrapped).is_err());
        }
        let nothing = kek.wrap(Algorithm::CkmAesKeyWrapPad, &[], &SystemEntropy);
        assert!(matches!(nothing, Err(CryptoError::BadInput { parameter: "value", .. })));
        for length in [0, 8, 15, 17] {
            let key = kek.unwrap(Algorithm::CkmAesKeyWrapPad, &vec![1; length]);
            assert!(matches!(key, Err(CryptoError::BadInput { parameter: "value", .. })), "{length}");
        }
    }
}

#[test]
fn signatures_do_not_encrypt_and_encryptions_do_not_sign() {
    for key in KEYS.iter() {
        for (algorithm, _) in pairs(KeyOperation::Sign) {
            assert_eq!(encrypt(key, algorithm, b"x"), Err(unsuitable(algorithm)));
            assert_eq!(key.wrap(algorithm, &[1; 16], &SystemEntropy), Err(unsuitable(algorithm)));
        }
        for (algorithm, _) in pairs(KeyOperation::Encrypt) {
            assert_eq!(key.sign(algorithm, &[1; 32]), Err(unsuitable(algorithm)));
        }
        for algorithm in [Algorithm::A128Gcm, Algorithm::A256CbcPad] {
            assert_eq!(key.wrap(algorithm, &[1; 16], &SystemEntropy), Err(unsuitable(algorithm)));
        }
    }
}

#[test]
fn material_comes_back_from_where_it_was_sealed() {
    for key in KEYS.iter() {
        let sealable = key.to_sealable().unwrap();
        let again = KeyMaterial::from_sealable(key.specification(), sealable.expose()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        assert_eq!(again.to_sealable().unwrap().expose(), sealable.expose());
        for other in KEYS.iter().filter(|other| other.specification() != key.specification()) {
            let error = KeyMaterial::from_sealable(other.specification(), sealable.expose()).unwrap_err();
            assert_eq!(error, CryptoError::MalformedMaterial);
        }
        let cut = &sealable.expose()[1..];
        assert!(KeyMaterial::from_sealable(key.specification(), cut).is_err());
    }
}

#[test]
fn public_parts_have_their_full_length_and_no_more() {
    for key in KEYS.iter() {
        match (key.public_key(), key.specification()) {
            (PublicKey::Rsa { n, e }, KeySpecification::Rsa(size)) => {
                assert_eq!(n.len(), size.bytes());
                assert!(n[0] >= 0x80);
                assert_eq!(e, &[1, 0, 1]);
            }
            (PublicKey::Ec { curve, x, y }, KeySpecification::Ec(expected)) => {
                assert_eq!((*curve, x.len(), y.len()), (expected, expected.field_bytes(), expected.field_bytes()));
            }
            (PublicKey::Oct, KeySpecification::Oct(_)) => {}
            (public, specification) => panic!("{public:?} of {specification:?}"),
        }
    }
}

#[test]
fn specifications_have_a_stable_stored_form() {
    for (specification, json) in [
        (KeySpecification::Rsa(RsaSize::Bits3072), r#"{"RSA-HSM":3072}"#),
        (KeySpecification::Ec(CurveName::P256K), r#"{"EC-HSM":"P-256K"}"#),
        (KeySpecification::Oct(SymmetricSize::Bits192), r#"{"oct-HSM":192}"#),
    ] {
        assert_eq!(serde_json::to_string(&specification).unwrap(), json);
        assert_eq!(serde_json::from_str::<KeySpecification>(json).unwrap(), specification);
    }
}

#[test]
fn material_is_redacted_when_printed() {
    for key in KEYS.iter() {
        let printed = format!("{key:?}");
        assert!(printed.starts_with("KeyMaterial { specification: "), "{printed}");
        assert!(printed.len() < 80, "{printed}");
    }
}

proptest! {
    #[test]
    fn any_text_survives_every_aes_mode(value: Vec<u8>, aad: Vec<u8>, iv: [u8; 16]) {
        let key = oct(SymmetricSize::Bits192);
        let input = EncryptInput { value: &value, iv: None, aad: Some(&aad) };
        let sealed = key.encrypt(Algorithm::A192Gcm, input, &SystemEntropy).unwrap();
        let input = DecryptInput { value: &sealed.ciphertext, iv: sealed.iv.as_deref(), tag: sealed.tag.as_deref(), aad: Some(&aad) };
        let opened = key.decrypt(Algorithm::A192Gcm, input).unwrap();
        prop_assert_eq!(opened.expose(), &value);
        let input = EncryptInput { value: &value, iv: Some(&iv), aad: None };
        let padded = key.encrypt(Algorithm::A192CbcPad, input, &SystemEntropy).unwrap();
        prop_assert_eq!(decrypt(key, Algorithm::A192CbcPad, &padded).unwrap(), value);
    }
}

fn oct(size: SymmetricSize) -> &'static KeyMaterial {
    KEYS.iter().find(|key| key.specification() == KeySpecification::Oct(size)).unwrap()
}
