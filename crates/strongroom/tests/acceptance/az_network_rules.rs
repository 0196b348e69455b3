//! Network rules of HSMs and vaults under the unmodified CLI: each change counts for the next request, and the management
//! plane stays open.

use reqwest::Method;
use serde_json::{Value, json};

use crate::az::Az;
use crate::deployment::Deployment;
use crate::hsm::Hsm;

const HSM: &str = "GuardedHSM";
const VAULT: &str = "GuardedVault";
/// Where no test comes from (RFC 5737).
const ELSEWHERE: &str = "198.51.100.0/24";

#[test]
fn the_rules_of_an_hsm_are_changed_with_az_and_kept_on_its_data_plane_only() {
    let mut deployment = Deployment::start_recorded();
    let az = Az::signed_in(&deployment);
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    let list = ["keyvault", "key", "list", "--hsm-name", HSM];
    let update = |arguments: &[&str]| az.ok(&[&["keyvault", "update-hsm", "--hsm-name", HSM], arguments].concat());
    let rule = |what: &str, address: &str| {
        az.ok(&["keyvault", "network-rule", what, "--hsm-name", HSM, "--ip-address", address])
    };
    az.ok(&list);

    let denied = update(&["--default-action", "Deny"]);
    assert_eq!(denied["properties"]["networkAcls"]["defaultAction"], "Deny");
    az.refused(&list, "ForbiddenByFirewall");
    az.refused(&list, "Client address: 127.0.0.1");
    rule("add", ELSEWHERE);
    az.refused(&list, "ForbiddenByFirewall");
    rule("add", "127.0.0.1");
    az.ok(&list);
    let rules = az.ok(&["keyvault", "network-rule", "list", "--hsm-name", HSM]);
    let addresses: Vec<_> = rules["ipRules"].as_array().expect("rules").iter().map(|rule| &rule["value"]).collect();
    assert_eq!(addresses.len(), 2, "{rules}");
    rule("remove", "127.0.0.1");
    az.refused(&list, "ForbiddenByFirewall");

    // Without bypass nobody is even asked who it is.
    let unknown = Hsm::with_token(&rest, HSM, String::new());
    assert_eq!(unknown.get("/keys").status, 401);
    update(&["--bypass", "None"]);
    unknown.get("/keys").expect_error(403, "Forbidden");

    update(&["--default-action", "Allow"]);
    az.ok(&list);
    let off = update(&["--public-network-access", "Disabled"]);
    assert_eq!(off["properties"]["publicNetworkAccess"], "Disabled");
    az.refused(&list, "ForbiddenByConnection");
    let refused = hsm.get("/keys");
    assert_eq!(refused.json()["error"]["innererror"]["code"], "ForbiddenByConnection");
    assert_eq!(az.ok(&["keyvault", "show", "--hsm-name", HSM])["properties"]["publicNetworkAccess"], "Disabled");
    az.ok(&["keyvault", "list", "--resource-type", "hsm"]);
    update(&["--public-network-access", "Enabled"]);
    az.ok(&list);
    deployment.stop();
}

#[test]
fn ten_rules_fit_an_hsm_and_an_eleventh_is_refused() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    Hsm::created(&rest, HSM);
    let with_rules = |count: usize| {
        let rules: Vec<Value> = (0..count).map(|last| json!({"value": format!("192.0.2.{last}")})).collect();
        let acls = json!({"bypass": "None", "defaultAction": "Deny", "ipRules": rules});
        rest.arm(&Method::PATCH, &rest.hsm_path(HSM), Some(&json!({"properties": {"networkAcls": acls}})))
    };
    with_rules(10).expect(200);
    with_rules(11).expect_error(400, "BadRequest");
    deployment.stop();
}

#[test]
fn the_rules_of_a_vault_are_changed_with_az_and_hold_a_thousand_addresses() {
    let mut deployment = Deployment::start_recorded();
    let az = Az::signed_in(&deployment);
    let rest = deployment.rest();
    rest.arm(&Method::PUT, &rest.vault_path(VAULT), Some(&rest.vault_to_create())).expect(200);
    rest.grant_keys_of_vault(VAULT);
    let list = ["keyvault", "key", "list", "--vault-name", VAULT];
    let update = |arguments: &[&str]| az.ok(&[&["keyvault", "update", "--name", VAULT], arguments].concat());
    let rule = |what: &str, address: &str| {
        az.ok(&["keyvault", "network-rule", what, "--name", VAULT, "--ip-address", address])
    };
    az.ok(&list);
    update(&["--default-action", "Deny", "--bypass", "None"]);
    az.refused(&list, "ForbiddenByFirewall");
    rule("add", "127.0.0.1/32");
    az.ok(&list);
    let rules = az.ok(&["keyvault", "network-rule", "list", "--name", VAULT]);
    assert_eq!(rules["ipRules"], json!([{"value": "127.0.0.1/32"}]));
    rule("remove", "127.0.0.1/32");
    az.refused(&list, "ForbiddenByFirewall");
    update(&["--public-network-access", "Disabled"]);
    az.refused(&list, "ForbiddenByConnection");
    assert_eq!(az.ok(&["keyvault", "show", "--name", VAULT])["properties"]["publicNetworkAccess"], "Disabled");

    let many = |count: usize| {
        let rules: Vec<Value> =
            (0..count).map(|it| json!({"value": format!("10.9.{}.{}", it / 250, it % 250)})).collect();
        let acls = json!({"bypass": "None", "defaultAction": "Deny", "ipRules": rules});
        let properties = json!({"publicNetworkAccess": "Enabled", "networkAcls": acls});
        rest.arm(&Method::PATCH, &rest.vault_path(VAULT), Some(&json!({"properties": properties})))
    };
    many(1000).expect(200);
    az.refused(&list, "ForbiddenByFirewall");
    many(1001).expect_error(400, "BadRequest");
    deployment.stop();
}
