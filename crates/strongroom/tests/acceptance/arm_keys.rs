//! Keys of a managed HSM through the management plane, with `azure-mgmt-keyvault`.

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use crate::az::said;
use crate::deployment::Deployment;
use crate::environment;
use crate::hsm::Hsm;

const HSM: &str = "arm-keys-hsm";

fn walk(deployment: &Deployment) -> Value {
    let rest = deployment.rest();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acceptance/python/arm_keys.py");
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut python = Command::new("bash");
    python.env_clear().env("PATH", environment::path()).env("HOME", home.path()).env("PYTHONDONTWRITEBYTECODE", "1");
    python.env("ARM_TOKEN", rest.token(rest.variable("STRONGROOM_MANAGEMENT_URL")));
    python.args(["-c", ". \"$1\" && shift && exec \"$@\"", "bash"]).arg(deployment.client_env());
    python.arg(environment::az_python()).arg(script).args([rest.variable("STRONGROOM_RESOURCE_GROUP"), HSM]);
    let output = python.output().expect("bash is installed");
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}

#[test]
fn keys_are_made_and_shown_once_the_administrators_of_the_hsm_allow_it() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    assert_eq!(walk(&deployment)["refused"], "Forbidden");
    let setting = json!({"value": "true"});
    hsm.send(&Method::PATCH, "/settings/AllowKeyManagementOperationsThroughARM", Some(&setting)).expect(200);

    let walked = walk(&deployment);
    let made = &walked["made"];
    assert_eq!((&made["name"], &made["kty"]), (&json!("through-arm"), &json!("RSA-HSM")), "{walked}");
    assert_eq!(made["type"], "Microsoft.KeyVault/managedHSMs/keys");
    assert_eq!((&walked["again"], &walked["shown"]), (made, made), "a second PUT changes nothing");
    assert_eq!(walked["listed"], json!(["through-arm"]));
    assert_eq!(walked["versions"].as_array().map(Vec::len), Some(1));
    assert_eq!(walked["version"]["keyUriWithVersion"], made["keyUriWithVersion"]);
    // It is a key like any other on the data plane.
    let key = hsm.get("/keys/through-arm").expect(200);
    assert_eq!(key["key"]["kid"], made["keyUriWithVersion"]);
    assert_eq!(key["tags"], json!({"made": "by ARM"}));
    deployment.stop();
}
