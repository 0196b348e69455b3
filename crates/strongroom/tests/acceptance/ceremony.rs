//! `strongroom ceremony` and the official client, each on what the other made.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::az::{Az, said};
use crate::deployment::Deployment;
use crate::environment::path;
use crate::hsm::{Hsm, create};
use crate::wrapping_keys::WrappingKeys;

/// `strongroom ceremony …`, without any environment and without a data folder.
fn ceremony(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.env_clear().env("PATH", path()).arg("ceremony").args(arguments);
    command.output().expect("the built binary starts")
}

/// What a step that must succeed has said.
#[track_caller]
pub(crate) fn done(arguments: &[&str]) -> Value {
    let output = ceremony(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).expect("a protocol is JSON")
}

#[track_caller]
fn refused(arguments: &[&str], cause: &str) {
    let output = ceremony(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(stderr.contains(cause) && stderr.contains("\nhelp: "), "{stderr}");
}

fn text(path: PathBuf) -> String {
    path.display().to_string()
}

#[test]
fn custodians_made_by_the_ceremony_activate_with_az_and_recover_without_it() {
    let mut deployment = Deployment::start_recorded();
    let rest = deployment.rest();
    let az = Az::signed_in(&deployment);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| text(folder.path().join(name));
    std::fs::write(folder.path().join("password"), "correct horse\n").expect("written");
    for name in ["alice", "bob", "carol"] {
        let mut command = vec!["make-key", "--name", name, "--bits", "2048"];
        let (target, password) = (text(folder.path().to_owned()), at("password"));
        command.extend(["--folder", &target]);
        if name == "alice" {
            command.extend(["--password-file", &password])
        } else {
            command.push("--no-password")
        };
        let protocol = done(&command);
        assert_eq!(protocol["written"].as_array().map(Vec::len), Some(2));
        refused(&command, "cannot write");
    }
    for name in ["first", "second", "third"] {
        create(&rest, name, &rest.hsm_to_create());
    }
    let domain = |verb, name| ["keyvault", "security-domain", verb, "--hsm-name", name];
    let (a, b, c, file) = (at("alice.cer"), at("bob.cer"), at("carol.cer"), at("SD.json"));
    let custodians = ["--sd-wrapping-keys", &a, &b, &c, "--sd-quorum", "2", "--security-domain-file", &file];
    az.ok(&[&domain("download", "first")[..], &custodians[..]].concat());

    let inspected = done(&["inspect", "--file", &file]);
    assert_eq!((&inspected["madeBy"], &inspected["custodians"]["required"]), (&"strongroom".into(), &2.into()));
    assert_eq!(done(&["check", "--file", &file, "--certificate", &a, &c])["isQuorum"], true);
    refused(&["check", "--file", &file, "--certificate", &a, &a], "1 of these are custodians");
    let (alice, bob, carol, password) = (at("alice.key"), at("bob.key"), at("carol.key"), at("password"));
    let quorum = ["--file", &file, "--key", &carol, &alice, "--password-file", &password];
    let verified = done(&[&["verify"][..], &quorum[..]].concat());
    assert!(verified["domain"]["id"].is_string(), "{verified}");
    refused(&["verify", "--file", &file, "--key", &alice, &bob], "is encrypted");
    refused(&["verify", "--file", &file, "--key", &bob], "2 of the wrapping keys are needed");

    // What the ceremony opens is uploaded by az.
    let exchange = at("exchange.cer");
    az.ok(&[&domain("init-recovery", "second")[..], &["--sd-exchange-key", &exchange]].concat());
    let upload = at("upload.json");
    let open = [&["open", "--transfer-key", &exchange, "--out", &upload][..], &quorum[..]].concat();
    refused(&[&open[..], &["--expect-thumbprint", "another"]].concat(), "the transfer key is");
    let opened = done(&open);
    let thumbprint = opened["transferKey"]["x5t#S256"].as_str().expect("a thumbprint").to_owned();
    refused(&[&open[..], &["--expect-thumbprint", &thumbprint]].concat(), "cannot write");
    az.ok(&[&domain("upload", "second")[..], &["--restore-blob", "--sd-file", &upload]].concat());
    Hsm::existing(&rest, "second").grant_key_roles();

    // New custodians, made by openssl, and az opens what the ceremony wrapped for them; the old file still opens too.
    let others = WrappingKeys::make(4);
    let certificates = others.certificates();
    let (fresh, key) = (at("SD-2.json"), |number| text(others.private_key(number)));
    let mut rewrap = [&["rewrap", "--quorum", "3", "--out", &fresh][..], &quorum[..], &["--certificate"]].concat();
    rewrap.extend(certificates.iter().map(String::as_str));
    let rewrapped = done(&rewrap);
    assert_eq!(rewrapped["newCustodians"]["total"], 4);
    assert!(rewrapped["warnings"].to_string().contains("old file"), "{rewrapped}");
    let exchange = at("exchange-3.cer");
    az.ok(&[&domain("init-recovery", "third")[..], &["--sd-exchange-key", &exchange]].concat());
    let (one, two, three) = (key(3), key(0), key(2));
    let with = ["--sd-file", &fresh, "--sd-exchange-key", &exchange, "--sd-wrapping-keys", &one, &two, &three];
    az.ok(&[&domain("upload", "third")[..], &with[..]].concat());
    done(&[&["verify"][..], &quorum[..]].concat());
    deployment.stop();
}

/// A file of another product, as the official client opens it: the vectors.
#[test]
fn a_file_of_the_official_service_is_opened_for_its_transfer_key() {
    let vectors = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/security-domain");
    let at = |name: &str| text(vectors.join(name));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, password) = (at("security-domain.json"), text(folder.path().join("password")));
    std::fs::write(&password, "test-password-2").expect("written");
    let inspected = done(&["inspect", "--file", &file]);
    assert_eq!(inspected["madeBy"], "another product");
    assert_eq!(inspected["entries"].as_array().map(Vec::len), Some(3));
    let (one, two) = (at("keys/wrap1.key"), at("keys/wrap2.key"));
    let quorum = ["--file", &file, "--key", &one, &two, "--password-file", &password];
    assert!(done(&[&["verify"][..], &quorum[..]].concat())["warnings"].to_string().contains("not proved"));
    let (exchange, upload) = (at("exchange-key.cer"), text(folder.path().join("upload.json")));
    let opened = done(&[&["open", "--transfer-key", &exchange, "--out", &upload][..], &quorum[..]].concat());
    assert_eq!(opened["written"][0]["what"], "upload");
    let blob: Value = serde_json::from_str(&std::fs::read_to_string(&upload).expect("written")).expect("JSON");
    assert_eq!(blob["EncData"]["data"].as_array().map(Vec::len), Some(3));
    let fresh = text(folder.path().join("fresh.json"));
    let certificates = [at("keys/wrap1.cer"), at("keys/wrap2.cer"), at("keys/wrap3.cer")];
    let mut rewrap = [&["rewrap", "--quorum", "2", "--out", &fresh, "--certificate"][..]].concat();
    rewrap.extend(certificates.iter().map(String::as_str));
    refused(&[&rewrap[..], &quorum[..]].concat(), "another product");
    let human = ceremony(&[&["verify"][..], &quorum[..]].concat());
    assert!(String::from_utf8_lossy(&human.stdout).starts_with("ceremony           verify\n"), "{}", said(&human));
}
