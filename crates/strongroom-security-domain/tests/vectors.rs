//! The vectors in `vectors/security-domain`, made by the official client and a prototype of an HSM.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a vector that cannot be read fails the test")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use strongroom_crypto::{RsaPrivateKey, SystemEntropy};
use strongroom_security_domain::{
    CertificateJwk, CertificateProblem, CustodianKey, Custodians, Entries, ExchangeKey, SecurityDomainError,
    Thumbprint, open_entries_of_file, open_entries_of_upload, open_file, open_upload, restore_blob,
};
use strongroom_types::Secret;

/// The tags of the official service.
const TAGS: &[&str] = &["hsm_backup", "base_enclave_backup", "partition_enclave_backup"];

#[derive(Deserialize)]
struct DownloadRequest {
    certificates: Vec<CertificateJwk>,
    required: i64,
}

#[derive(Deserialize)]
struct UploadRequest {
    value: String,
}

#[derive(Deserialize)]
struct TransferKeyResponse {
    transfer_key: String,
}

#[derive(Deserialize)]
struct Expected {
    x5t_256: Vec<String>,
    entries: Vec<ExpectedEntry>,
}

#[derive(Deserialize)]
struct ExpectedEntry {
    tag: String,
    plaintext_hex: String,
}

#[derive(Deserialize)]
struct Negative {
    file: String,
    kind: String,
    expect: String,
}

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/security-domain").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn custodian(number: usize) -> CustodianKey {
    let password = (number == 2).then(|| Secret::new("test-password-2".to_owned()));
    let (key, certificate) = (format!("keys/wrap{number}.key"), format!("keys/wrap{number}.cer"));
    CustodianKey::from_pem(&read(&key), &read(&certificate), password.as_ref()).unwrap()
}

fn exchange() -> ExchangeKey {
    let key = CustodianKey::from_pem(&read("keys/exchange.key"), &read("exchange-key.cer"), None).unwrap();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/security-domain/keys/exchange.der");
    let exchange = ExchangeKey::new(private(&read("keys/exchange.key")), std::fs::read(path).unwrap()).unwrap();
    assert_eq!(key.thumbprint(), exchange.thumbprint());
    exchange
}

fn private(pem: &str) -> RsaPrivateKey {
    use base64::Engine;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    RsaPrivateKey::from_pkcs8(&base64::engine::general_purpose::STANDARD.decode(body).unwrap()).unwrap()
}

fn expected() -> Expected {
    serde_json::from_str(&read("expected.json")).unwrap()
}

fn assert_expected(entries: &Entries) {
    let found: Vec<(String, Vec<u8>)> =
        entries.iter().map(|entry| (entry.tag.clone(), entry.plaintext.expose().clone())).collect();
    let expected: Vec<(String, Vec<u8>)> =
        expected().entries.into_iter().map(|entry| (entry.tag, hex(&entry.plaintext_hex))).collect();
    assert_eq!(found, expected);
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_example_file_opens_with_every_pair_of_keys() {
    let file = read("security-domain.json");
    for (one, two) in [(1, 2), (1, 3), (2, 3), (3, 1)] {
        let opened = open_entries_of_file(&file, &[custodian(one), custodian(two)], TAGS).unwrap();
        assert_expected(&opened.entries);
        assert_eq!((opened.quorum.required(), opened.quorum.total()), (2, 3));
        assert_eq!(opened.certificates.iter().map(Thumbprint::to_string).collect::<Vec<_>>(), expected().x5t_256);
        assert!(opened.suspects.is_empty());
    }
}

#[test]
fn one_key_is_not_enough_even_if_it_is_given_twice() {
    let file = read("security-domain.json");
    for keys in [vec![], vec![custodian(1)], vec![custodian(1), custodian(1)]] {
        let error = open_entries_of_file(&file, &keys, TAGS).unwrap_err();
        assert!(matches!(error, SecurityDomainError::TooFewKeys { required: 2, given: 0 | 1 }), "{error}");
    }
}

#[test]
fn a_key_of_no_custodian_is_named() {
    let stranger = CustodianKey::from_pem(&read("keys/exchange.key"), &read("exchange-key.cer"), None).unwrap();
    let name = stranger.thumbprint();
    let error = open_entries_of_file(&read("security-domain.json"), &[custodian(1), stranger], TAGS).unwrap_err();
    assert_eq!(error, SecurityDomainError::NotACustodian(name));
}

#[test]
fn private_key_files_are_read_as_people_have_them() {
    let (key, certificate) = (read("keys/wrap2.key"), read("keys/wrap2.cer"));
    let open = |password: Option<&str>| {
        let password = password.map(|password| Secret::new(password.to_owned()));
        CustodianKey::from_pem(&key, &certificate, password.as_ref()).map(|key| key.thumbprint())
    };
    assert!(open(Some("test-password-2")).is_ok());
    for password in [None, Some(""), Some("test-password-3")] {
        assert!(matches!(open(password), Err(SecurityDomainError::PrivateKey(_))));
    }
    let mismatch = CustodianKey::from_pem(&read("keys/wrap1.key"), &read("keys/wrap3.cer"), None).unwrap_err();
    assert_eq!(mismatch, SecurityDomainError::PrivateKey("does not belong to the certificate"));
}

#[test]
fn the_upload_of_the_official_client_opens() {
    let request: UploadRequest = serde_json::from_str(&read("upload-request.json")).unwrap();
    assert_eq!(request.value, read("restore-blob.json"));
    assert_expected(&open_entries_of_upload(&request.value, &exchange(), TAGS).unwrap());
}

#[test]
fn our_upload_of_the_example_file_opens() {
    let opened = open_entries_of_file(&read("security-domain.json"), &[custodian(2), custodian(3)], TAGS).unwrap();
    let exchange = exchange();
    let blob = restore_blob(&opened.entries, exchange.certificate(), &SystemEntropy).unwrap();
    assert_expected(&open_entries_of_upload(&blob, &exchange, TAGS).unwrap());
}

/// What is foreign is told apart from what was altered, by the HSM and by the custodians' tool.
#[test]
fn the_official_services_files_are_foreign() {
    let file = read("security-domain.json");
    assert_eq!(open_file(&file, &[custodian(1), custodian(3)]).unwrap_err(), SecurityDomainError::Foreign);
    assert_eq!(open_upload(&read("restore-blob.json"), &exchange()).unwrap_err(), SecurityDomainError::Foreign);
}

#[test]
fn the_transfer_key_is_that_of_the_example_but_for_the_order_of_members() {
    let response: TransferKeyResponse = serde_json::from_str(&read("transfer-key-response.json")).unwrap();
    let members = |text: &str| serde_json::from_str::<BTreeMap<String, serde_json::Value>>(text).unwrap();
    let (mut ours, mut example) = (members(&exchange().transfer_key().unwrap()), members(&response.transfer_key));
    for text in [&mut ours, &mut example] {
        // Whether these are there and what they say differs between years and services.
        text.retain(|name, _| !["kid", "alg", "key_ops"].contains(&name.as_str()));
    }
    assert_eq!(ours, example);
    assert_eq!(ours.len(), 6);
}

#[test]
fn the_example_download_request_is_accepted() {
    let request: DownloadRequest = serde_json::from_str(&read("download-request.json")).unwrap();
    let custodians = Custodians::parse(&request.certificates, request.required).unwrap();
    let thumbprints: Vec<String> = custodians.certificates().iter().map(|one| one.thumbprint().to_string()).collect();
    assert_eq!(thumbprints, expected().x5t_256);
    assert!(custodians.certificates()[0].subject().starts_with("CN=TEST ONLY"));
    assert_eq!(custodians.certificates()[0].public().bits(), 2048);
}

/// Every negative vector has the outcome its manifest asks for, and for the reason it was made for.
#[test]
fn negative_vectors_have_their_outcome() {
    let manifest: Vec<Negative> = serde_json::from_str(&read("negative/manifest.json")).unwrap();
    let mut counts = [0; 3];
    for Negative { file, kind, expect } in &manifest {
        let text = read(&format!("negative/{file}"));
        match kind.as_str() {
            "body of POST /securitydomain/upload" => {
                counts[0] += 1;
                check_upload(file, expect, &text);
            }
            "body of POST /securitydomain/download" => {
                counts[1] += 1;
                assert_eq!(expect, "reject 400");
                check_download(file, &text);
            }
            "security-domain file, for tools that open it" => {
                counts[2] += 1;
                check_file(file, &text);
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(counts, [23, 16, 3]);
}

fn check_upload(file: &str, expect: &str, text: &str) {
    let request: UploadRequest = serde_json::from_str(text).unwrap();
    let opened = open_entries_of_upload(&request.value, &exchange(), TAGS);
    if expect == "accept" {
        return assert_expected(&opened.unwrap());
    }
    assert!(expect.starts_with("reject"), "{expect}");
    let error = opened.unwrap_err();
    let as_expected = match file {
        "upload-wrong-x5t.json" => error == SecurityDomainError::WrongExchangeKey,
        "upload-duplicate-tag.json" | "upload-entries-missing.json" => {
            matches!(error, SecurityDomainError::Altered(_))
        }
        "upload-kdf-other.json"
        | "upload-no-wrappedkey.json"
        | "upload-value-not-json.json"
        | "upload-sd-file-itself.json" => matches!(error, SecurityDomainError::Malformed { what: "upload", .. }),
        // Everything cryptographic looks the same.
        _ => error == SecurityDomainError::Rejected,
    };
    assert!(as_expected, "{file}: {error}");
}

fn check_download(file: &str, text: &str) {
    use CertificateProblem as P;
    let Ok(request) = serde_json::from_str::<DownloadRequest>(text) else {
        return assert_eq!(file, "download-quorum-string.json");
    };
    let error = Custodians::parse(&request.certificates, request.required).unwrap_err();
    let certificate = |index, problem| SecurityDomainError::Certificate { index, problem };
    let as_expected = match file {
        "download-duplicate-cert.json" => {
            matches!(error, SecurityDomainError::Certificate { problem: P::SameCertificate(_), .. })
        }
        "download-same-key-two-certs.json" => {
            matches!(error, SecurityDomainError::Certificate { problem: P::SameKey(_), .. })
        }
        "download-rsa-1024.json" => matches!(error, SecurityDomainError::Certificate { problem: P::KeySize, .. }),
        "download-n-mismatch.json" => error == certificate(0, P::Mismatch("n")),
        "download-x5t-mismatch.json" => error == certificate(0, P::Mismatch("x5t#S256")),
        "download-kty-ec.json" => error == certificate(0, P::NotRsa),
        "download-no-x5c.json" => error == certificate(0, P::NoCertificate),
        "download-x5c-garbage.json" => error == certificate(0, P::NotACertificate),
        _ => matches!(error, SecurityDomainError::Quorum(_)),
    };
    assert!(as_expected, "{file}: {error}");
}

fn check_file(file: &str, text: &str) {
    let open = |numbers: &[usize]| {
        let keys: Vec<CustodianKey> = numbers.iter().map(|number| custodian(*number)).collect();
        open_entries_of_file(text, &keys, TAGS)
    };
    match file {
        "sd-duplicate-cert.json" => {
            let error = open(&[1, 3]).unwrap_err();
            assert!(matches!(error, SecurityDomainError::Malformed { what: "security-domain file", .. }), "{error}");
        }
        "sd-mixed-shares.json" => {
            assert_eq!(open(&[1, 3]).unwrap_err(), SecurityDomainError::SharesDoNotFit);
            assert!(open(&[1, 2]).unwrap().suspects.is_empty());
            // With one key more than the quorum it opens, and the wrong share is named.
            let opened = open(&[1, 3, 2]).unwrap();
            assert_expected(&opened.entries);
            assert_eq!(opened.suspects, [custodian(3).thumbprint()]);
        }
        "sd-tag-16.json" => assert_eq!(open(&[1, 2, 3]).unwrap_err(), SecurityDomainError::SharesDoNotFit),
        other => panic!("{other}"),
    }
}
