//! The life of a managed HSM under `az keyvault`: created, activated, shown, deleted, recovered, purged.

use serde_json::Value;

use crate::az::Az;
use crate::deployment::Deployment;
use crate::environment::{self, Engine};
use crate::hsm::Hsm;
use crate::wrapping_keys::WrappingKeys;

/// Mixed case on purpose: one SDK remembers the challenge by host with case.
const HSM: &str = "ContosoMHSM";

#[test]
fn a_mixed_case_hsm_is_created_activated_shown_and_listed() {
    create_activate_show_and_list(environment::engine());
}

#[test]
fn a_mixed_case_hsm_is_created_activated_shown_and_listed_on_etcd() {
    create_activate_show_and_list(Engine::Etcd);
}

fn create_activate_show_and_list(engine: Engine) {
    let mut deployment = Deployment::start_recorded_on(engine);
    // Every change waits for it.
    let mut beside = (engine == Engine::Etcd).then(|| deployment.another_node(2, None));
    let az = Az::signed_in(&deployment);
    let created = create(&az, &deployment);
    assert_eq!(created["name"], HSM);
    assert_eq!(created["properties"]["provisioningState"], "Succeeded");
    assert_eq!(created["properties"]["softDeleteRetentionInDays"], 7);
    assert_eq!(activation(&az), "NotActivated");
    az.refused(&["keyvault", "key", "list", "--hsm-name", HSM], "not activated");

    let keys = WrappingKeys::make(3);
    let file = keys.beside("ContosoMHSM-SD.json");
    download(&az, &keys, &file);
    let text = std::fs::read_to_string(&file).expect("the security domain is written");
    let domain: Value = serde_json::from_str(&text).expect("the security domain is JSON");
    assert_eq!(domain["SharedKeys"]["required"], 2);
    assert_eq!(domain["SharedKeys"]["enc_shares"].as_array().map(Vec::len), Some(3));
    assert_eq!(activation(&az), "Active");
    az.refused(&["keyvault", "key", "list", "--hsm-name", HSM], "AccessDenied");
    Hsm::existing(&deployment.rest(), HSM).grant_key_roles();
    az.ok(&["keyvault", "key", "list", "--hsm-name", HSM]);

    let listed = az.ok(&["keyvault", "list", "--resource-type", "hsm"]);
    assert_eq!(names(&listed), [HSM]);
    let again = keys.beside("second.json");
    let mut second = download_command(&keys, &again);
    second.extend(["--id".to_owned(), deployment.rest().hsm_url("contosomhsm")]);
    let second: Vec<&str> = second.iter().map(String::as_str).filter(|it| *it != "--hsm-name" && *it != HSM).collect();
    az.refused(&second, "download_again = \"quorum\"");
    if let Some(node) = &mut beside {
        let token = deployment.rest().token(&deployment.rest().hsm_resource());
        assert_eq!(Hsm::with_token(&node.rest(), HSM, token).get("/keys").status, 200, "it shows the same");
        node.stop();
    }
    deployment.stop();
}

#[test]
fn a_deleted_hsm_is_listed_recovered_with_its_keys_and_purged() {
    delete_recover_and_purge(environment::engine());
}

#[test]
fn a_deleted_hsm_is_listed_recovered_with_its_keys_and_purged_on_etcd() {
    delete_recover_and_purge(Engine::Etcd);
}

fn delete_recover_and_purge(engine: Engine) {
    let mut deployment = Deployment::start_recorded_on(engine);
    let az = Az::signed_in(&deployment);
    create(&az, &deployment);
    let keys = WrappingKeys::make(3);
    download(&az, &keys, &keys.beside("domain.json"));
    Hsm::existing(&deployment.rest(), HSM).grant_key_roles();
    let key = ["--hsm-name", HSM, "--name", "survivor"];
    let made = az.ok(&[&["keyvault", "key", "create", "--kty", "EC-HSM"], &key[..]].concat());

    let free = |name: &str| az.ok(&["keyvault", "check-name", "--name", name, "--resource-type", "hsm"]);
    assert_eq!((&free(HSM)["nameAvailable"], &free(HSM)["reason"]), (&false.into(), &"AlreadyExists".into()));
    assert_eq!(free("SomeOtherMHSM")["nameAvailable"], true);

    az.ok(&["keyvault", "delete", "--hsm-name", HSM]);
    assert!(names(&az.ok(&["keyvault", "list", "--resource-type", "hsm"])).is_empty());
    let deleted = az.ok(&["keyvault", "list-deleted", "--resource-type", "hsm"]);
    assert_eq!(names(&deleted), [HSM]);
    let retention = &deleted[0]["properties"];
    assert!(retention["scheduledPurgeDate"].as_str() > retention["deletionDate"].as_str(), "{deleted}");

    az.ok(&["keyvault", "recover", "--hsm-name", HSM]);
    assert_eq!(activation(&az), "Active");
    let shown = az.ok(&[&["keyvault", "key", "show"], &key[..]].concat());
    assert_eq!(shown["key"]["kid"], made["key"]["kid"]);

    az.ok(&["keyvault", "delete", "--hsm-name", HSM]);
    az.ok(&["keyvault", "purge", "--hsm-name", HSM]);
    assert!(names(&az.ok(&["keyvault", "list-deleted", "--resource-type", "hsm"])).is_empty());
    let fresh = create(&az, &deployment);
    assert_eq!(fresh["properties"]["securityDomainProperties"]["activationStatus"], "NotActivated");
    deployment.stop();
}

fn create(az: &Az, deployment: &Deployment) -> Value {
    let variables = deployment.variables();
    let (group, administrator) = (&variables["STRONGROOM_RESOURCE_GROUP"], &variables["STRONGROOM_PRINCIPAL_ID"]);
    let what = ["keyvault", "create", "--hsm-name", HSM, "--resource-group", group, "--location", "westeurope"];
    az.ok(&[&what[..], &["--administrators", administrator, "--retention-days", "7"]].concat())
}

fn activation(az: &Az) -> String {
    let shown = az.ok(&["keyvault", "show", "--hsm-name", HSM]);
    let status = &shown["properties"]["securityDomainProperties"]["activationStatus"];
    status.as_str().unwrap_or_else(|| panic!("no activation status in {shown}")).to_owned()
}

fn download(az: &Az, keys: &WrappingKeys, file: &std::path::Path) {
    let command = download_command(keys, file);
    az.ok(&command.iter().map(String::as_str).collect::<Vec<_>>());
}

fn download_command(keys: &WrappingKeys, file: &std::path::Path) -> Vec<String> {
    let before = ["keyvault", "security-domain", "download", "--hsm-name", HSM, "--sd-wrapping-keys"];
    let file = file.display().to_string();
    let after = ["--sd-quorum".to_owned(), "2".to_owned(), "--security-domain-file".to_owned(), file];
    before.map(str::to_owned).into_iter().chain(keys.certificates()).chain(after).collect()
}

fn names(list: &Value) -> Vec<&str> {
    let items = list.as_array().unwrap_or_else(|| panic!("{list} is no list"));
    items.iter().map(|item| item["name"].as_str().expect("a resource has a name")).collect()
}
