//! The official Python SDK with nothing but `client.env` sourced and the challenge verification left on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use crate::deployment::{Deployment, files_below};
use crate::hsm::Hsm;
use crate::{az, environment};

/// What a script of the SDK prints, run with nothing but `client.env` sourced.
fn run(deployment: &Deployment, script: &str, url: &str) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acceptance/python").join(script);
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut python = Command::new("bash");
    python.env_clear().env("PATH", environment::path()).env("HOME", home.path());
    // One script takes functions from another: nothing is to be left beside them.
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    python.args(["-c", ". \"$1\" && shift && exec \"$@\"", "bash"]).arg(deployment.client_env());
    let output = python.arg(environment::sdk_python()).arg(script).arg(url).output().expect("bash is installed");
    assert!(output.status.success(), "{}", az::said(&output));
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}

#[test]
fn a_bare_default_credential_uses_the_keys_of_a_vault() {
    let mut deployment = Deployment::start_recorded();
    let rest = deployment.rest();
    let mut vault = rest.vault_to_create();
    let everything = json!([{
        "tenantId": rest.variable("STRONGROOM_TENANT_ID"),
        "objectId": rest.variable("STRONGROOM_PRINCIPAL_ID"),
        "permissions": {"keys": ["all"]},
    }]);
    vault["properties"]["accessPolicies"] = everything;
    vault["properties"]["enableRbacAuthorization"] = json!(false);
    rest.arm(&Method::PUT, &rest.vault_path("python-vault"), Some(&vault)).expect(200);
    let url = rest.vault_url("python-vault");
    let expected = json!({
        "kid_host": url.trim_start_matches("https://"),
        "types": ["EC", "RSA"],
        "hsm_platform": "0",
        "rsa_signs": true,
        "ec_signs": true,
        "rsa_wraps": true,
        "names": ["python-ec", "python-rsa"],
        "hsm_types": "refused",
        "deleted": true,
        "recovered": true,
    });
    assert_eq!(run(&deployment, "vault_keys.py", &url), expected);
    deployment.stop();
}

#[test]
fn a_bare_default_credential_creates_signs_verifies_wraps_and_unwraps() {
    let mut deployment = Deployment::start_recorded();
    let rest = deployment.rest();
    Hsm::activated(&rest, "python-hsm");
    let url = rest.hsm_url("python-hsm");
    let result = run(&deployment, "keys.py", &url);
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

#[test]
fn a_client_that_uses_a_key_too_often_waits_as_it_is_told_and_goes_on() {
    let mut deployment =
        Deployment::start_with(|_| "[throttle]\nper_key_per_second = 1\nper_key_burst = 2\n".to_owned());
    let rest = deployment.rest();
    Hsm::activated(&rest, "throttled-hsm");
    let result = run(&deployment, "throttled.py", &rest.hsm_url("throttled-hsm"));
    assert_eq!(result, json!({"signatures": 5}));
    let audit = deployment.data().join("audit");
    deployment.stop();
    let mut answers = BTreeMap::new();
    for file in files_below(&audit) {
        let text = fs::read_to_string(&file).expect("the log can be read");
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        for event in events.filter(|event| event["operationName"] == "KeySign") {
            let code = event["resultSignature"].as_str().expect("every event has a result").to_owned();
            *answers.entry(code).or_insert(0) += 1;
        }
    }
    // Three signatures too many, each refused once: a client that did not wait would have been refused again and again.
    assert_eq!(answers.get("OK"), Some(&5), "{answers:?}");
    assert!(answers.get("Throttled").is_some_and(|refused| (1..=3).contains(refused)), "{answers:?}");
}
