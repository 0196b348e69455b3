//! `az keyvault key import`: keys from PEM files, and wrapped keys from `.byok` files.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::az::{Az, said};
use crate::deployment::Deployment;
use crate::environment;
use crate::hsm::Hsm;

const HSM: &str = "import-hsm";

/// An activated HSM and a signed-in CLI.
fn scene() -> (Deployment, Az) {
    let deployment = Deployment::start_recorded();
    let rest = deployment.rest();
    Hsm::activated(&rest, HSM);
    let az = Az::signed_in(&deployment);
    (deployment, az)
}

fn key(az: &Az, verb: &str, arguments: &[&str]) -> Value {
    az.ok(&[&["keyvault", "key", verb, "--hsm-name", HSM], arguments].concat())
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output().expect("openssl is installed");
    assert!(output.status.success(), "openssl {}: {}", arguments.join(" "), said(&output));
    output.stdout
}

/// A file with a private key.
fn private_key(az: &Az, name: &str, kind: &[&str]) -> PathBuf {
    let path = az.file(name);
    openssl(&[&["genpkey", "-out", text(&path)], kind].concat());
    path
}

/// The public key that openssl sees in a file, as DER.
fn public_key(path: &Path, flags: &[&str]) -> Vec<u8> {
    openssl(&[&["pkey", "-in", text(path), "-pubout", "-outform", "DER"], flags].concat())
}

/// The public key of a name in the HSM, as DER.
fn public_key_of(az: &Az, name: &str) -> Vec<u8> {
    let path = az.file(&format!("{name}.pub.pem"));
    key(az, "download", &["--name", name, "--file", text(&path)]);
    public_key(&path, &["-pubin"])
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

/// The digest's signature, made inside.
fn sign(az: &Az, name: &str, algorithm: &str, digest: &[u8]) -> Vec<u8> {
    let signed = key(az, "sign", &["--name", name, "--algorithm", algorithm, "--digest", &STANDARD.encode(digest)]);
    STANDARD.decode(signed["signature"].as_str().expect("a signature")).expect("base64")
}

#[test]
fn keys_from_pem_files_are_the_keys_that_were_in_them() {
    let (mut deployment, az) = scene();
    for (name, kind, _) in TARGETS {
        let path = private_key(&az, name, kind);
        let imported = key(&az, "import", &["--name", name, "--pem-file", text(&path), "--tags", "from=pem"]);
        assert_eq!(imported["tags"]["from"], "pem");
        assert!(imported["key"]["kty"].as_str().is_some_and(|kty| kty.ends_with("-HSM")), "{imported}");
        assert_eq!(imported["key"]["d"], Value::Null);
        assert_eq!(public_key_of(&az, name), public_key(&path, &[]), "{name}");
    }
    // What the HSM signs with the private half, openssl verifies with the public half of the file.
    let (digest, signature) = (az.file("digest"), az.file("signature"));
    std::fs::write(&digest, [7; 32]).expect("the digest is written");
    std::fs::write(&signature, sign(&az, "rsa", "RS256", &[7; 32])).expect("the signature is written");
    let files =
        ["-inkey", text(&az.file("rsa")), "-in", text(&digest), "-sigfile", text(&signature)].map(str::to_owned);
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    openssl(&[&["pkeyutl", "-verify", "-pkeyopt", "digest:sha256"], files.as_slice()].concat());

    let encrypted = az.file("encrypted");
    let protect = ["-aes256", "-passout", "pass:between us", "-out", text(&encrypted)];
    openssl(&[&["pkey", "-in", text(&az.file("rsa"))], &protect[..]].concat());
    let import = ["--name", "rsa", "--pem-file", text(&encrypted), "--pem-password", "between us", "--ops", "sign"];
    let second = key(&az, "import", &import);
    assert_eq!(second["key"]["keyOps"], serde_json::json!(["sign"]), "{second}");
    assert_eq!(key(&az, "list-versions", &["--name", "rsa"]).as_array().map(Vec::len), Some(2));

    key(&az, "delete", &["--name", "rsa"]);
    let again = ["keyvault", "key", "import", "--hsm-name", HSM, "--name", "rsa", "--pem-file", text(&encrypted)];
    az.refused(&[&again[..], &["--pem-password", "between us"]].concat(), "Conflict");
    deployment.stop();
}

#[test]
fn keys_from_byok_files_open_with_the_key_exchange_key_they_were_wrapped_for() {
    let (mut deployment, az) = scene();
    let kek = key(&az, "create", &["--name", "kek", "--kty", "RSA-HSM", "--size", "4096", "--ops", "import"]);
    assert_eq!(kek["key"]["keyOps"], serde_json::json!(["import"]), "{kek}");
    let kid = kek["key"]["kid"].as_str().expect("an identifier").to_owned();
    key(&az, "download", &["--name", "kek", "--file", text(&az.file("kek.pem"))]);
    let wrap = |target: &Path, kid: &str| {
        let out = target.with_extension("byok");
        let mut python = Command::new(environment::az_python());
        python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acceptance/python/make_byok.py"));
        let output =
            python.arg(az.file("kek.pem")).arg(kid).arg(target).arg(&out).output().expect("python is installed");
        assert!(output.status.success(), "{}", said(&output));
        out
    };
    for (name, kind, described) in TARGETS {
        let target = private_key(&az, name, kind);
        let byok = wrap(&target, &kid);
        key(&az, "import", &[&["--name", name, "--byok-file", text(&byok)], described].concat());
        assert_eq!(public_key_of(&az, name), public_key(&target, &[]), "{name}");
    }
    let raw = az.file("aes");
    std::fs::write(&raw, [9; 32]).expect("the key is written");
    let byok = wrap(&raw, &kid);
    let imported = key(&az, "import", &["--name", "aes", "--kty", "oct", "--byok-file", text(&byok)]);
    assert_eq!(imported["key"]["kty"], "oct-HSM");
    let shown = key(
        &az,
        "encrypt",
        &["--name", "aes", "--algorithm", "A256GCM", "--value", "text", "--data-type", "plaintext"],
    );
    assert!(shown["result"].is_string(), "{shown}");

    let import = ["keyvault", "key", "import", "--hsm-name", HSM, "--name", "x", "--byok-file"];
    az.refused(&[&import[..], &[text(&byok), "--kty", "EC", "--curve", "P-256"]].concat(), "BadParameter");
    let foreign = wrap(&raw, &kid.replace(HSM, "other-hsm"));
    az.refused(&[&import[..], &[text(&foreign), "--kty", "oct"]].concat(), "BadParameter");
    let decrypt = ["keyvault", "key", "decrypt", "--hsm-name", HSM, "--name", "kek", "--algorithm", "RSA-OAEP"];
    let value = STANDARD.encode([1; 512]);
    az.refused(&[&decrypt[..], &["--value", &value, "--data-type", "base64"]].concat(), "Forbidden");
    deployment.stop();
}

/// Name, how openssl makes it, and what the Azure CLI is told of a wrapped one.
const TARGETS: [(&str, &[&str], &[&str]); 5] = [
    ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"], &["--kty", "RSA"]),
    ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], &["--kty", "EC", "--curve", "P-256"]),
    ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], &["--kty", "EC", "--curve", "P-384"]),
    ("p521", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"], &["--kty", "EC", "--curve", "P-521"]),
    ("p256k", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"], &["--kty", "EC", "--curve", "P-256K"]),
];
