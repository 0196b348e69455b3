//! Settings of a managed HSM: `az keyvault setting`.

use serde_json::{Value, json};

use crate::az::Az;
use crate::deployment::Deployment;
use crate::hsm::Hsm;

const HSM: &str = "settings-hsm";
const THROUGH_ARM: &str = "AllowKeyManagementOperationsThroughARM";

fn setting(az: &Az, verb: &str, arguments: &[&str]) -> Value {
    az.ok(&[&["keyvault", "setting", verb, "--hsm-name", HSM], arguments].concat())
}

#[test]
fn a_setting_is_listed_shown_and_updated() {
    let mut deployment = Deployment::start_recorded();
    let rest = deployment.rest();
    Hsm::activated(&rest, HSM);
    let az = Az::signed_in(&deployment);
    let of = |value: &str| json!({"name": THROUGH_ARM, "value": value, "type": "boolean"});
    let is = |shown: &Value, value: &str| {
        let wanted = of(value);
        ["name", "value"].iter().all(|member| shown[member] == wanted[member])
    };

    let listed = setting(&az, "list", &[]);
    assert_eq!(rest_list(&listed).len(), 1, "{listed}");
    assert!(is(&rest_list(&listed)[0], "false"), "{listed}");
    let updated = setting(&az, "update", &["--name", THROUGH_ARM, "--value", "true"]);
    assert!(is(&updated, "true"), "{updated}");
    let shown = setting(&az, "show", &["--name", THROUGH_ARM]);
    assert!(is(&shown, "true"), "{shown}");
    az.refused(&["keyvault", "setting", "show", "--hsm-name", HSM, "--name", "Nothing"], "SettingNotFound");
    deployment.stop();
}

/// `az` prints the list itself, or the object around it.
fn rest_list(listed: &Value) -> Vec<Value> {
    listed.as_array().or_else(|| listed["settings"].as_array()).cloned().unwrap_or_default()
}
