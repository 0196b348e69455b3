//! An attestation authority of the tests, as it behaves and as it misbehaves, and an environment it vouches for.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::environment::sdk_python;
use crate::issuer::{Conduct, Issuer, seconds_now};

/// An environment with a key of its own, which it made with another library than the server's.
pub(crate) struct Environment {
    folder: TempDir,
    jwk: Value,
}

impl Environment {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = folder.path().join("environment.pem");
        let jwk = python("make", &[&key.display().to_string()]);
        Self { folder, jwk }
    }

    /// What an authority says about it: good for ten minutes, and fulfilling [`policy`].
    pub(crate) fn claims(&self) -> Value {
        let now = seconds_now();
        json!({
            "iat": now,
            "nbf": now - 60,
            "exp": now + 600,
            "x-ms-isolation-tee": {"x-ms-compliance-status": "good"},
            "x-ms-runtime": {"keys": [self.jwk]},
        })
    }

    /// Checks the signed answer of a release against a CA, and opens the key in it.
    pub(crate) fn open(&self, released: &str, authority: &Path) -> Value {
        let answer = self.folder.path().join("released.jws");
        std::fs::write(&answer, released).expect("the answer is written");
        let key = self.folder.path().join("environment.pem");
        let paths: Vec<String> =
            [answer, key, authority.to_owned()].iter().map(|it| it.display().to_string()).collect();
        python("open", &paths.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Opens a key that was wrapped for it without anything around it.
    pub(crate) fn unwrap(&self, wrapped: &str) -> String {
        let key = self.folder.path().join("environment.pem");
        let opened = python("unwrap", &[wrapped, &key.display().to_string()]);
        opened.as_str().expect("hexadecimal").to_owned()
    }
}

/// A deployment trusts it to say who is good.
pub(crate) struct Authority {
    pub(crate) issuer: Issuer,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn start(conduct: Conduct) -> Self {
        let (issuer, folder) = (Issuer::start_with(conduct), tempfile::tempdir().expect("a temporary folder"));
        std::fs::write(folder.path().join("ca.pem"), &issuer.authority).expect("the CA is written");
        Self { issuer, folder }
    }

    /// The CA of its certificate.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The release policy that trusts it: `data` of `release_policy`.
    pub(crate) fn policy(&self) -> Value {
        policy(&self.issuer.url)
    }
}

/// A policy that accepts environments an authority calls good.
pub(crate) fn policy(authority: &str) -> Value {
    json!({
        "version": "1.0",
        "anyOf": [{
            "authority": format!("{authority}/"),
            "allOf": [{"claim": "x-ms-isolation-tee.x-ms-compliance-status", "equals": "good"}],
        }],
    })
}

/// Runs one verb of the script that stands for software of others.
pub(crate) fn python(verb: &str, arguments: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acceptance/python/attested.py");
    let output = Command::new(sdk_python()).env_clear().arg(script).arg(verb).args(arguments).output();
    let output = output.expect("python runs");
    assert!(output.status.success(), "{}", crate::az::said(&output));
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}
