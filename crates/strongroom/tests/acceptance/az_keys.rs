//! `az keyvault key`: the life of keys, and what they do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::az::Az;
use crate::deployment::Deployment;
use crate::hsm::Hsm;

const HSM: &str = "keys-hsm";

/// An activated HSM and a signed-in CLI.
fn scene() -> (Deployment, Az) {
    let deployment = Deployment::start_recorded();
    let rest = deployment.rest();
    Hsm::activated(&rest, HSM);
    let az = Az::signed_in(&deployment);
    (deployment, az)
}

/// `az keyvault key VERB --hsm-name … arguments`.
fn key(az: &Az, verb: &str, arguments: &[&str]) -> Value {
    az.ok(&[&["keyvault", "key", verb, "--hsm-name", HSM], arguments].concat())
}

#[test]
fn keys_of_every_type_are_created_and_listed() {
    let (mut deployment, az) = scene();
    let rsa = key(&az, "create", &["--name", "rsa", "--kty", "RSA-HSM", "--size", "3072", "--tags", "team=blue"]);
    assert_eq!(rsa["key"]["kty"], "RSA-HSM");
    assert_eq!(STANDARD.decode(rsa["key"]["n"].as_str().expect("a modulus")).expect("base64").len(), 384);
    assert_eq!(rsa["tags"]["team"], "blue");
    let ec = key(&az, "create", &["--name", "ec", "--kty", "EC", "--curve", "P-256K"]);
    assert_eq!((&ec["key"]["kty"], &ec["key"]["crv"]), (&Value::from("EC-HSM"), &Value::from("P-256K")));
    let oct = key(&az, "create", &["--name", "oct", "--kty", "oct-HSM", "--size", "192"]);
    assert_eq!(oct["key"]["kty"], "oct-HSM");
    assert_eq!(oct["key"]["k"], Value::Null);

    let listed = key(&az, "list", &[]);
    let mut names: Vec<_> = listed.as_array().expect("a list").iter().map(|it| it["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, [Some("ec"), Some("oct"), Some("rsa")]);
    let second = key(&az, "create", &["--name", "ec", "--kty", "EC-HSM"]);
    assert_ne!(second["key"]["kid"], ec["key"]["kid"]);
    assert_eq!(key(&az, "list-versions", &["--name", "ec"]).as_array().map(Vec::len), Some(2));
    assert_eq!(key(&az, "show", &["--name", "ec"])["key"]["kid"], second["key"]["kid"]);
    deployment.stop();
}

#[test]
fn a_key_is_changed_deleted_recovered_and_purged() {
    let (mut deployment, az) = scene();
    let made = key(&az, "create", &["--name", "life", "--kty", "EC-HSM"]);
    let changes = ["--name", "life", "--enabled", "false", "--tags", "a=b", "--expires", "2040-01-01T00:00:00Z"];
    let changed = key(&az, "set-attributes", &changes);
    assert_eq!(changed["attributes"]["enabled"], false);
    assert_eq!(changed["tags"]["a"], "b");
    let sign = ["--name", "life", "--algorithm", "ES256", "--digest", &STANDARD.encode([7; 32])];
    az.refused(&[&["keyvault", "key", "sign", "--hsm-name", HSM], &sign[..]].concat(), "Forbidden");
    key(&az, "set-attributes", &["--name", "life", "--enabled", "true"]);
    key(&az, "sign", &sign);

    let deleted = key(&az, "delete", &["--name", "life"]);
    assert!(deleted["recoveryId"].as_str().is_some_and(|id| id.ends_with("/deletedkeys/life")), "{deleted}");
    assert_eq!(key(&az, "list", &[]), Value::Array(Vec::new()));
    assert_eq!(key(&az, "list-deleted", &[]).as_array().map(Vec::len), Some(1));
    assert_eq!(key(&az, "show-deleted", &["--name", "life"])["key"]["kid"], made["key"]["kid"]);
    let create = ["keyvault", "key", "create", "--hsm-name", HSM, "--name", "life", "--kty", "EC-HSM"];
    az.refused(&create, "Conflict");

    key(&az, "recover", &["--name", "life"]);
    assert_eq!(key(&az, "show", &["--name", "life"])["tags"]["a"], "b");
    key(&az, "delete", &["--name", "life"]);
    key(&az, "purge", &["--name", "life"]);
    assert_eq!(key(&az, "list-deleted", &[]), Value::Array(Vec::new()));
    az.refused(&["keyvault", "key", "show", "--hsm-name", HSM, "--name", "life"], "KeyNotFound");
    deployment.stop();
}

#[test]
fn signatures_of_the_hsm_are_verified_by_the_client() {
    let (mut deployment, az) = scene();
    for (name, kind, curve, algorithm, digest_bytes) in SIGNERS {
        let shape: &[&str] = if curve.is_empty() { &["--size", "2048"] } else { &["--curve", curve] };
        key(&az, "create", &[&["--name", name, "--kty", kind], shape].concat());
        let digest = STANDARD.encode(vec![9; digest_bytes]);
        let what = ["--name", name, "--algorithm", algorithm, "--digest", &digest];
        let signed = key(&az, "sign", &what);
        let signature = signed["signature"].as_str().expect("a signature");
        let verified = key(&az, "verify", &[&what[..], &["--signature", signature]].concat());
        assert_eq!(verified["isValid"], true, "{algorithm}");
        let other = STANDARD.encode(vec![8; digest_bytes]);
        let wrong = ["--name", name, "--algorithm", algorithm, "--digest", &other, "--signature", signature];
        assert_eq!(key(&az, "verify", &wrong)["isValid"], false, "{algorithm}");
    }
    deployment.stop();
}

#[test]
fn what_is_encrypted_is_decrypted_again() {
    let (mut deployment, az) = scene();
    key(&az, "create", &["--name", "rsa", "--kty", "RSA-HSM", "--size", "2048"]);
    key(&az, "create", &["--name", "oct", "--kty", "oct-HSM", "--size", "256"]);
    let text = ["--value", "the quick brown fox", "--data-type", "plaintext"];
    let rsa = ["--name", "rsa", "--algorithm", "RSA-OAEP-256"];
    let encrypted = key(&az, "encrypt", &[&rsa[..], &text[..]].concat());
    let value = encrypted["result"].as_str().expect("a ciphertext");
    let back = key(&az, "decrypt", &[&rsa[..], &["--value", value, "--data-type", "plaintext"]].concat());
    assert_eq!(back["result"], "the quick brown fox");

    let oct = ["--name", "oct", "--algorithm", "A256GCM", "--aad", "00ff"];
    let encrypted = key(&az, "encrypt", &[&oct[..], &text[..]].concat());
    let part = |name: &str| encrypted[name].as_str().unwrap_or_else(|| panic!("no {name} in {encrypted}")).to_owned();
    let (iv, tag, value) = (part("iv"), part("tag"), part("result"));
    let sealed = ["--value", &value, "--iv", &iv, "--tag", &tag, "--data-type", "plaintext"];
    assert_eq!(key(&az, "decrypt", &[&oct[..], &sealed[..]].concat())["result"], "the quick brown fox");
    let other = ["keyvault", "key", "decrypt", "--hsm-name", HSM, "--name", "oct", "--algorithm", "A256GCM"];
    az.refused(&[&other[..], &["--aad", "00fe"], &sealed[..]].concat(), "BadParameter");
    deployment.stop();
}

#[test]
fn random_bytes_differ_each_time() {
    let (mut deployment, az) = scene();
    let first = key(&az, "random", &["--count", "32"]);
    let second = key(&az, "random", &["--count", "32"]);
    assert!(first["value"].as_str().is_some_and(|value| value.len() >= 43), "{first}");
    assert_ne!(first["value"], second["value"]);
    deployment.stop();
}

/// Name, type, curve (none for RSA), algorithm, bytes of its digest.
const SIGNERS: [(&str, &str, &str, &str, usize); 6] = [
    ("rsa-ps", "RSA-HSM", "", "PS256", 32),
    ("rsa-rs", "RSA-HSM", "", "RS512", 64),
    ("p-256", "EC-HSM", "P-256", "ES256", 32),
    ("p-256k", "EC-HSM", "P-256K", "ES256K", 32),
    ("p-384", "EC-HSM", "P-384", "ES384", 48),
    ("p-521", "EC-HSM", "P-521", "ES512", 64),
];
