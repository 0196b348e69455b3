//! RSA keys and certificates of the custodians, made by openssl as the documentation has people make them.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ceremony;

/// `cert_0.cer`, `cert_0.key` and so on, in a folder of their own.
pub(crate) struct WrappingKeys {
    folder: TempDir,
    count: usize,
}

impl WrappingKeys {
    /// Makes RSA-2048 keys.
    pub(crate) fn make(count: usize) -> Self {
        Self::make_of_size(count, 2048)
    }

    /// Makes keys of any size, also too small ones.
    pub(crate) fn make_of_size(count: usize, bits: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for number in 0..count {
            make_one(folder.path(), number, bits);
        }
        Self { folder, count }
    }

    pub(crate) fn certificate(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("cert_{number}.cer"))
    }

    pub(crate) fn private_key(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("cert_{number}.key"))
    }

    /// The certificates' paths as text, for a command line.
    pub(crate) fn certificates(&self) -> Vec<String> {
        (0..self.count).map(|number| self.certificate(number).display().to_string()).collect()
    }

    /// A file beside the keys.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All of them, as the download request has them.
    pub(crate) fn jwks(&self) -> Vec<Value> {
        (0..self.count).map(|number| self.jwk(number)).collect()
    }

    /// What two of them make of their HSM's security domain, in the room, for the transfer key of another HSM: the upload.
    pub(crate) fn open(&self, domain: &str, transfer_key: &Value) -> String {
        let jwk = transfer_key["transfer_key"].as_str().expect("the transfer key is text");
        let jwk: Value = serde_json::from_str(jwk).expect("the text is a JWK");
        let certificate = jwk["x5c"][0].as_str().expect("it has a certificate");
        let pem = format!("-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let (file, exchange, out) = (at("domain.json"), at("exchange.cer"), at("upload.json"));
        std::fs::write(&file, domain).expect("written");
        std::fs::write(&exchange, pem).expect("written");
        let [one, two] = [0, 2].map(|number| self.private_key(number).display().to_string());
        ceremony::done(&["open", "--file", &file, "--key", &one, &two, "--transfer-key", &exchange, "--out", &out]);
        std::fs::read_to_string(&out).expect("it was written")
    }

    /// A wrapping key as the Azure CLI sends it.
    pub(crate) fn jwk(&self, number: usize) -> Value {
        let pem = std::fs::read_to_string(self.certificate(number)).expect("the certificate is there");
        let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let modulus = self.about(number, &["-modulus"]);
        json!({
            "kty": "RSA",
            "alg": "RSA-OAEP-256",
            "key_ops": ["verify", "encrypt", "wrapKey"],
            "n": base64url_of_hex(modulus.trim().trim_start_matches("Modulus=")),
            "e": "AQAB",
            "x5c": [der],
            "x5t": self.thumbprint(number, "-sha1"),
            "x5t#S256": self.thumbprint(number, "-sha256"),
        })
    }

    fn thumbprint(&self, number: usize, hash: &str) -> String {
        let line = self.about(number, &["-fingerprint", hash]);
        let (_, hex) = line.trim().split_once('=').expect("openssl prints NAME=HEX");
        base64url_of_hex(&hex.replace(':', ""))
    }

    fn about(&self, number: usize, what: &[&str]) -> String {
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout", "-in"]).arg(self.certificate(number)).args(what);
        let output = command.output().expect("openssl is installed");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("openssl prints text")
    }
}

fn make_one(folder: &Path, number: usize, bits: u32) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", &format!("rsa:{bits}"), "-sha256", "-nodes", "-days", "30"]);
    command.args(["-subj", &format!("/CN=custodian {number}")]);
    command.arg("-keyout").arg(folder.join(format!("cert_{number}.key")));
    command.arg("-out").arg(folder.join(format!("cert_{number}.cer")));
    let output = command.output().expect("openssl is installed");
    assert!(output.status.success(), "{output:?}");
}

fn base64url_of_hex(hex: &str) -> String {
    let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).expect("a hex digit") as u8).collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    URL_SAFE_NO_PAD.encode(bytes)
}
