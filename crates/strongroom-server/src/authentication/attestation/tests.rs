use std::path::Path;

use super::*;

fn authorities(configured: &[Attestation], unlisted: Unlisted) -> Result<Authorities, AttestationError> {
    Authorities::new(configured, unlisted, &RootCertStore::empty())
}

fn listed(url: &str, jwks_file: Option<&Path>) -> Attestation {
    Attestation { url: url.to_owned(), ca_file: None, jwks_file: jwks_file.map(Path::to_owned) }
}

const KEYS: &str = r#"{"keys":[{"kty":"EC","kid":"one","crv":"P-256",
    "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

#[tokio::test]
async fn only_listed_authorities_count_and_keys_of_a_file_are_used_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    std::fs::write(&file, KEYS).unwrap();
    let found = authorities(&[listed("https://attest.example/", Some(&file))], Unlisted::Refused).unwrap();
    let now = Timestamp::from_seconds(1_800_000_000);
    assert!(found.key("https://attest.example", "one", now).await.is_ok());
    assert_eq!(found.key("https://attest.example", "two", now).await.err(), Some(TokenError::UnknownKey));
    assert_eq!(found.key("https://localhost:1", "one", now).await.err(), Some(TokenError::UnknownIssuer));
}

#[tokio::test]
async fn an_unlisted_authority_must_name_this_machine_by_its_own_name() {
    let found = authorities(&[], Unlisted::OnLoopback).unwrap();
    let now = Timestamp::from_seconds(1_800_000_000);
    for url in
        ["https://attest.example", "https://10.0.0.1", "https://localhost.example", "http://localhost", "https://[::2]"]
    {
        assert_eq!(found.key(url, "one", now).await.err(), Some(TokenError::UnknownIssuer), "{url}");
    }
    // Nobody listens there; but it was asked.
    for url in ["https://localhost:1", "https://127.0.0.1:1", "https://attest.localhost:1", "https://[::1]:1"] {
        assert_eq!(found.key(url, "one", now).await.err(), Some(TokenError::UnknownKey), "{url}");
    }
}

#[test]
fn mistakes_of_the_configuration_are_named() {
    let problem = |configured: &[Attestation]| {
        let error = authorities(configured, Unlisted::Refused).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hush"), "no URL is repeated: {shown}");
        shown
    };
    for url in ["http://attest.example/hush", "https://:hush@attest.example", "https://attest.example/?hush"] {
        let text = problem(&[listed("https://attest.example", None), listed(url, None)]);
        assert!(text.contains("[[attestation]] 2: the url must begin with https"), "{text}");
    }
    let twice = [listed("https://attest.example/hush", None), listed("https://attest.example/hush/", None)];
    assert!(problem(&twice).contains("[[attestation]] 2: its url is listed twice"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let long = format!("{KEYS}{}", " ".repeat(DOCUMENT_BYTES_MAX));
    for (text, part) in [("[]", "no JSON Web Key Set"), (r#"{"keys":[]}"#, "no key"), (&long, "longer than")] {
        std::fs::write(&file, text).unwrap();
        let text = problem(&[listed("https://attest.example/hush", Some(&file))]);
        assert!(text.contains(part) && text.contains("keys.json"), "{text}");
    }
}
