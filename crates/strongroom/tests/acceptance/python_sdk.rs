//! The official Python SDK with nothing but `client.env` sourced and the challenge verification left on.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::hsm::Hsm;
use crate::{az, environment};

#[test]
fn a_bare_default_credential_creates_signs_verifies_wraps_and_unwraps() {
    let mut deployment = Deployment::start_recorded();
    let rest = deployment.rest();
    Hsm::activated(&rest, "python-hsm");
    let url = rest.hsm_url("python-hsm");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acceptance/python/keys.py");

    let home = tempfile::tempdir().expect("a temporary folder");
    let mut python = Command::new("bash");
    python.env_clear().env("PATH", environment::path()).env("HOME", home.path());
    python.args(["-c", ". \"$1\" && shift && exec \"$@\"", "bash"]).arg(deployment.client_env());
    let output = python.arg(environment::sdk_python()).arg(script).arg(&url).output().expect("bash is installed");
    assert!(output.status.success(), "{}", az::said(&output));

    let result: Value = serde_json::from_slice(&output.stdout).expect("the script prints JSON");
    let expected = json!({
        "kid_host": url.trim_start_matches("https://"),
        "rsa_signs": true,
        "ec_signs": true,
        "rsa_wraps": true,
        "aes_wraps": true,
        "aes_encrypts": true,
        "names": ["python-aes", "python-ec", "python-rsa"],
        "random_bytes": 24,
        "deleted": true,
        "recovered": true,
    });
    assert_eq!(result, expected);
    deployment.stop();
}
