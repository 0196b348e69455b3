//! From one HSM to another: download, opening by a quorum, upload.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a fixture that cannot be made fails the test")]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use strongroom_crypto::{RsaPrivateKey, SystemEntropy};
use strongroom_security_domain::{
    CertificateJwk, CustodianKey, Custodians, DomainSecrets, ExchangeKey, OpenedFile, SecurityDomainError,
    SecurityDomainFile, open_file, open_upload, restore_blob,
};
use strongroom_types::{Epoch, RsaSize, Timestamp};

/// Ten custodians: the key in PKCS#8 and the certificate, both DER.
static PEOPLE: LazyLock<Vec<(Vec<u8>, Vec<u8>)>> = LazyLock::new(|| {
    let person = |number| {
        let key = RsaPrivateKey::generate(RsaSize::Bits2048).unwrap().to_pkcs8().unwrap().expose().clone();
        let certificate = certify(&key, &format!("custodian {number}"));
        (key, certificate)
    };
    (0..10).map(person).collect()
});

static EXCHANGE: LazyLock<ExchangeKey> = LazyLock::new(|| {
    let key = RsaPrivateKey::generate(RsaSize::Bits4096).unwrap();
    let certificate = certify(key.to_pkcs8().unwrap().expose(), "hsm");
    ExchangeKey::new(key, certificate).unwrap()
});

static SECRETS: LazyLock<DomainSecrets> = LazyLock::new(|| DomainSecrets::generate(&SystemEntropy).unwrap());

const CREATED: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn certify(pkcs8: &[u8], name: &str) -> Vec<u8> {
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.into(), &PKCS_RSA_SHA256).unwrap();
    CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap().der().to_vec()
}

fn jwk(person: usize) -> CertificateJwk {
    CertificateJwk {
        kty: Some("RSA".to_owned()),
        x5c: Some(vec![STANDARD.encode(&PEOPLE[person].1)]),
        ..CertificateJwk::default()
    }
}

fn custodians(required: usize, total: usize) -> Custodians {
    let certificates: Vec<CertificateJwk> = (0..total).map(jwk).collect();
    Custodians::parse(&certificates, required as i64).unwrap()
}

fn download(required: usize, total: usize) -> String {
    SecurityDomainFile::build(&SECRETS, Epoch::FIRST, &custodians(required, total), CREATED, &SystemEntropy).unwrap()
}

fn keys(people: &[usize]) -> Vec<CustodianKey> {
    let key = |person: &usize| {
        let (key, certificate) = &PEOPLE[*person];
        CustodianKey::new(RsaPrivateKey::from_pkcs8(key).unwrap(), certificate).unwrap()
    };
    people.iter().map(key).collect()
}

fn open(file: &str, people: &[usize]) -> Result<OpenedFile, SecurityDomainError> {
    open_file(file, &keys(people))
}

fn is_ours(secrets: &DomainSecrets) -> bool {
    secrets.to_bytes().unwrap().expose() == SECRETS.to_bytes().unwrap().expose()
}

#[test]
fn a_domain_moves_from_one_hsm_to_another() {
    let opened = open(&download(2, 3), &[2, 0]).unwrap();
    assert!(is_ours(&opened.domain.secrets));
    let blob = restore_blob(&opened.entries, EXCHANGE.certificate(), &SystemEntropy).unwrap();
    let restored = open_upload(&blob, &EXCHANGE).unwrap();
    assert!(is_ours(&restored.secrets));
    assert_eq!(restored.manifest, opened.domain.manifest);
    assert_eq!(restored.manifest.created, CREATED);
}

#[test]
fn the_file_has_the_members_of_the_official_service_in_their_order() {
    let file = download(2, 3);
    let mut rest = file.as_str();
    for member in [
        r#"{"EncData":{"data":[{"compact_jwe":""#,
        r#"","tag":"strongroom_domain"},{"compact_jwe":""#,
        r#"","tag":"mhsm_manifest"}],"kdf":"sp108_kdf"},"SharedKeys":{"enc_shares":[{"enc_key":""#,
        r#"","x5t_256":""#,
        r#""}],"key_algorithm":"shamir_share","required":2},"version":2}"#,
    ] {
        let at = rest.find(member).unwrap_or_else(|| panic!("{member} in {file}"));
        rest = &rest[at + member.len()..];
    }
    assert!(rest.is_empty());
}

#[test]
fn every_download_is_encrypted_afresh() {
    let (one, two) = (download(2, 3), download(2, 3));
    let jwes = |text: &str| text.split('"').filter(|part| part.len() > 100).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(jwes(&one).len(), 5);
    assert!(jwes(&one).iter().all(|jwe| !jwes(&two).contains(jwe)));
}

#[test]
fn an_upload_opens_only_with_the_key_it_was_made_for() {
    let opened = open(&download(2, 3), &[0, 1]).unwrap();
    let (key, certificate) = &PEOPLE[9];
    let other = ExchangeKey::new(RsaPrivateKey::from_pkcs8(key).unwrap(), certificate.clone()).unwrap();
    let blob = restore_blob(&opened.entries, certificate, &SystemEntropy).unwrap();
    assert!(open_upload(&blob, &other).is_ok());
    assert_eq!(open_upload(&blob, &EXCHANGE).unwrap_err(), SecurityDomainError::WrongExchangeKey);
    let renamed = blob.replace(&other.thumbprint().to_string(), &EXCHANGE.thumbprint().to_string());
    assert_eq!(open_upload(&renamed, &EXCHANGE).unwrap_err(), SecurityDomainError::Rejected);
}

#[test]
fn a_file_whose_unprotected_members_were_changed_is_altered() {
    let file = download(3, 4);
    let lowered = file.replace(r#""required":3"#, r#""required":2"#);
    assert_eq!(open(&lowered, &[0, 1]).unwrap_err(), SecurityDomainError::SharesDoNotFit);
    let raised = file.replace(r#""required":3"#, r#""required":4"#);
    assert!(matches!(open(&raised, &[0, 1, 2, 3]), Err(SecurityDomainError::Altered(_))));
    let mut parsed: serde_json::Value = serde_json::from_str(&file).unwrap();
    parsed["SharedKeys"]["enc_shares"].as_array_mut().unwrap().swap(0, 1);
    assert!(matches!(open(&parsed.to_string(), &[0, 1, 2]), Err(SecurityDomainError::Altered(_))));
}

#[test]
fn files_of_another_form_are_refused() {
    let file = download(2, 3);
    for (from, to) in [
        (r#""version":2"#, r#""version":1"#),
        ("shamir_share", "xor_split"),
        ("sp108_kdf", "other_kdf"),
        (r#""version":2"#, r#""version":2,"version":2"#),
        (r#""x5t_256":""#, r#""x5t_256":"A"#),
    ] {
        let error = open(&file.replace(from, to), &[0, 1]).unwrap_err();
        assert!(matches!(error, SecurityDomainError::Malformed { .. }), "{to}: {error}");
    }
    let long = format!("{file}{}", " ".repeat(1 << 20));
    assert!(matches!(open(&long, &[0, 1]), Err(SecurityDomainError::Malformed { .. })));
    assert!(matches!(open_upload(&long, &EXCHANGE), Err(SecurityDomainError::Malformed { .. })));
}

#[test]
fn a_key_and_a_certificate_that_do_not_belong_together_are_refused() {
    let key = || RsaPrivateKey::from_pkcs8(&PEOPLE[0].0).unwrap();
    let expected = SecurityDomainError::PrivateKey("does not belong to the certificate");
    assert_eq!(CustodianKey::new(key(), &PEOPLE[1].1).unwrap_err(), expected);
    assert_eq!(ExchangeKey::new(key(), PEOPLE[1].1.clone()).unwrap_err(), expected);
}

#[test]
fn more_certificates_than_one_in_x5c_are_tolerated_and_the_first_counts() {
    let mut certificates: Vec<CertificateJwk> = (0..3).map(jwk).collect();
    certificates[0].x5c.as_mut().unwrap().extend([STANDARD.encode(&PEOPLE[5].1), "garbage".to_owned()]);
    let parsed = Custodians::parse(&certificates, 2).unwrap();
    assert_eq!(parsed.certificates()[0].thumbprint(), custodians(2, 3).certificates()[0].thumbprint());
    certificates[0].x5c = Some(vec![]);
    assert!(Custodians::parse(&certificates, 2).is_err());
}

#[test]
fn elliptic_certificates_are_refused_though_they_claim_to_be_rsa() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["ec".to_owned()]).unwrap().self_signed(&key).unwrap();
    let mut certificates: Vec<CertificateJwk> = (0..3).map(jwk).collect();
    certificates[1].x5c = Some(vec![STANDARD.encode(certificate.der())]);
    let error = Custodians::parse(&certificates, 2).unwrap_err();
    assert_eq!(error.to_string(), "certificates[1]: the certificate must hold an RSA key of 2048 to 8192 bits");
}

#[test]
fn bytes_after_a_certificate_are_refused() {
    let mut certificates: Vec<CertificateJwk> = (0..3).map(jwk).collect();
    certificates[2].x5c = Some(vec![STANDARD.encode([PEOPLE[2].1.as_slice(), &[0]].concat())]);
    let error = Custodians::parse(&certificates, 2).unwrap_err();
    assert_eq!(error.to_string(), "certificates[2]: x5c[0] is not a DER certificate in base64");
}

#[test]
fn nothing_secret_is_printed() {
    let opened = open(&download(2, 3), &[0, 1]).unwrap();
    let printed = format!("{opened:?} {:?} {:?} {:?}", &*EXCHANGE, keys(&[0]), &*SECRETS);
    let root = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(SECRETS.roots()[0].1.expose());
    assert!(!printed.contains(&root));
    assert!(!printed.contains(&format!("{:?}", &SECRETS.roots()[0].1.expose()[..4])[1..]));
}

/// Whole files of every quorum; every subset of shares is tried where they are combined (`shamir`).
#[test]
fn every_quorum_of_every_number_of_custodians_opens_its_file_and_one_fewer_does_not() {
    for total in 3..=10 {
        for required in 2..=total {
            let file = download(required, total);
            // Another choice for each: so many in a row from a place that moves.
            let people: Vec<usize> = (0..required).map(|step| (required * total + step) % total).collect();
            assert!(is_ours(&open(&file, &people).unwrap().domain.secrets), "{required} of {total}");
            let too_few = open(&file, &people[1..]).unwrap_err();
            assert_eq!(too_few, SecurityDomainError::TooFewKeys { required, given: required - 1 });
            // Nor if the file is made to ask for fewer.
            if required > 2 {
                let (asks, lowered) = (format!(r#""required":{required}"#), format!(r#""required":{}"#, required - 1));
                let error = open(&file.replace(&asks, &lowered), &people[1..]).unwrap_err();
                assert_eq!(error, SecurityDomainError::SharesDoNotFit, "{required} of {total}");
            }
        }
    }
}

/// An upload of which the tests below change one bit.
static UPLOAD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let opened = open(&download(2, 3), &[0, 1]).unwrap();
    restore_blob(&opened.entries, EXCHANGE.certificate(), &SystemEntropy).unwrap().into_bytes()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_upload_with_one_bit_changed_never_opens(place: prop::sample::Index, bit in 0..8u8) {
        let mut altered = UPLOAD.clone();
        altered[place.index(UPLOAD.len())] ^= 1u8 << bit;
        // What is no longer text is refused before it gets here.
        if let Ok(text) = std::str::from_utf8(&altered) {
            prop_assert!(open_upload(text, &EXCHANGE).is_err());
        }
    }

    #[test]
    fn an_upload_of_any_text_is_refused_without_panic(text: String) {
        prop_assert!(open_upload(&text, &EXCHANGE).is_err());
    }
}
