//! What custodians and other HSMs hand over.

#![expect(clippy::expect_used, reason = "the vectors compiled in are whole, or nothing here works")]

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use strongroom_crypto::RsaPrivateKey;
use strongroom_security_domain::{
    CertificateJwk, CustodianKey, Custodians, DomainSecrets, Entries, ExchangeKey, open_entries_of_file,
    open_entries_of_upload, open_upload,
};

#[derive(Deserialize)]
struct DownloadRequest {
    certificates: Vec<CertificateJwk>,
    required: i64,
}

/// Custodians that are accepted are 3 to 10 with different keys of at least 2048 bits, and a quorum fits them.
pub(super) fn download_request(input: &[u8]) {
    let Ok(request) = serde_json::from_slice::<DownloadRequest>(input) else { return };
    let Ok(custodians) = Custodians::parse(&request.certificates, request.required) else { return };
    let certificates = custodians.certificates();
    let (required, total) = (usize::from(custodians.quorum().required()), certificates.len());
    assert!((3..=10).contains(&total) && (2..=total).contains(&required), "{required} of {total}");
    for (place, certificate) in certificates.iter().enumerate() {
        assert!(certificate.public().bits() >= 2048, "a key that is too small");
        let twin = certificates.iter().skip(place + 1).any(|other| other.public().n() == certificate.public().n());
        assert!(!twin, "the same key twice");
    }
}

/// Whatever opens is what the custodians sent: everything in an upload is authenticated.
pub(super) fn upload(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let exchange = exchange_key();
    if let Ok(entries) = open_entries_of_upload(text, exchange, OFFICIAL_TAGS) {
        assert_eq!(plaintexts(&entries), expected(), "an altered upload was opened");
    }
    assert!(open_upload(text, exchange).is_err(), "the vectors hold no domain of ours");
}

/// Whatever opens is what was shared, and under the quorum that was set.
pub(super) fn file(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(opened) = open_entries_of_file(text, custodians(), OFFICIAL_TAGS) {
        assert_eq!(plaintexts(&opened.entries), expected(), "an altered file was opened");
    }
}

/// Secrets that are accepted read the same after they were written.
pub(super) fn domain_secrets(input: &[u8]) {
    let Ok(secrets) = DomainSecrets::from_bytes(input) else { return };
    assert!(secrets.roots().len() <= DomainSecrets::EPOCHS_MAX, "too many epochs");
    let written = secrets.to_bytes().expect("what was read can be written");
    let again = DomainSecrets::from_bytes(written.expose()).expect("what was written can be read");
    let same = again.to_bytes().is_ok_and(|bytes| bytes.expose() == written.expose());
    assert!(same && again.domain_id() == secrets.domain_id(), "a domain becomes another one");
}

fn plaintexts(entries: &Entries) -> Vec<(String, Vec<u8>)> {
    entries.iter().map(|entry| (entry.tag.clone(), entry.plaintext.expose().clone())).collect()
}

fn expected() -> &'static [(String, Vec<u8>)] {
    static EXPECTED: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let file = include_str!("../../../../vectors/security-domain/security-domain.json");
        let opened = open_entries_of_file(file, custodians(), OFFICIAL_TAGS).expect("the vector opens");
        plaintexts(&opened.entries)
    })
}

/// A quorum of the custodians that [`crate::custodians`] names.
pub(super) fn custodians() -> &'static [CustodianKey] {
    static KEYS: OnceLock<[CustodianKey; 2]> = OnceLock::new();
    let key = |key, certificate| CustodianKey::from_pem(key, certificate, None).expect("the vector's key");
    KEYS.get_or_init(|| {
        [
            key(
                include_str!("../../../../vectors/security-domain/keys/wrap1.key"),
                include_str!("../../../../vectors/security-domain/keys/wrap1.cer"),
            ),
            key(
                include_str!("../../../../vectors/security-domain/keys/wrap3.key"),
                include_str!("../../../../vectors/security-domain/keys/wrap3.cer"),
            ),
        ]
    })
}

fn exchange_key() -> &'static ExchangeKey {
    static KEY: OnceLock<ExchangeKey> = OnceLock::new();
    KEY.get_or_init(|| {
        let pem = include_str!("../../../../vectors/security-domain/keys/exchange.key");
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(body).expect("the vector is PEM");
        let private = RsaPrivateKey::from_pkcs8(&der).expect("the vector is a key");
        let certificate = include_bytes!("../../../../vectors/security-domain/keys/exchange.der");
        ExchangeKey::new(private, certificate.to_vec()).expect("the vector's certificate")
    })
}

/// The tags of the official service, which made the vectors.
const OFFICIAL_TAGS: &[&str] = &["hsm_backup", "base_enclave_backup", "partition_enclave_backup"];
