//! `az storage account …` on our management plane, and `az storage blob …` with what it says, on a real blob store.
//! Managed identities of an HSM as `az keyvault update-hsm` sets them.

use crate::az::Az;
use crate::azurite::{ACCOUNT, Azurite};
use crate::deployment::Deployment;
use crate::rest::Rest;

/// The resource group of the first start.
const GROUP: &str = "strongroom";

fn account<'a>(verb: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["storage", "account", verb, "--resource-group", GROUP, "--name", ACCOUNT][..], more].concat()
}

#[test]
fn an_account_is_adopted_and_its_connection_string_leads_to_its_blobs() {
    let store = Azurite::start();
    let mut deployment = Deployment::start_recorded_with(&[store.ca_file()], &store.configuration());
    let az = Az::signed_in(&deployment);
    let create = account("create", &["--location", "local", "--sku", "Standard_LRS", "--kind", "StorageV2"]);
    let made = az.ok(&create);
    assert_eq!(made["primaryEndpoints"]["blob"], format!("{}/", store.endpoint()), "{made}");
    assert_eq!((&made["provisioningState"], &made["sku"]["name"]), (&"Succeeded".into(), &"Standard_LRS".into()));
    assert_eq!(az.ok(&create)["id"], made["id"], "it is there and stays");
    assert_eq!(az.ok(&account("show", &[]))["id"], made["id"]);
    for list in [&["storage", "account", "list"][..], &["storage", "account", "list", "--resource-group", GROUP]] {
        assert_eq!(az.ok(list)[0]["name"], ACCOUNT);
    }
    let elsewhere = ["storage", "account", "create", "--resource-group", GROUP, "--location", "local", "--name"];
    az.refused(&[&elsewhere[..], &["elsewhere"]].concat(), "[[storage_account]]");
    let keys = ["storage", "account", "keys", "list", "--resource-group", GROUP, "--account-name", ACCOUNT];
    assert_eq!(az.ok(&keys)[0]["permissions"], "FULL");
    let tagged = az.ok(&account("update", &["--tags", "for=backups"]));
    assert_eq!(tagged["tags"]["for"], "backups");

    let shown = az.ok(&account("show-connection-string", &[]));
    let connection = shown["connectionString"].as_str().expect("a connection string").to_owned();
    let blob = |words: &[&str]| az.ok(&[&["storage"], words, &["--connection-string", &connection]].concat());
    assert_eq!(blob(&["container", "create", "--name", "backups"])["created"], true);
    let (up, down) = (az.file("up"), az.file("down"));
    std::fs::write(&up, "the content").expect("the file is written");
    let (up, down_text) = (up.display().to_string(), down.display().to_string());
    let in_container = ["--container-name", "backups"];
    let upload = ["blob", "upload", "--name", "folder/one", "--file", &up];
    blob(&[&upload[..], &in_container].concat());
    assert_eq!(blob(&[&["blob", "list"][..], &in_container].concat())[0]["name"], "folder/one");
    let download = ["blob", "download", "--name", "folder/one", "--file", &down_text];
    blob(&[&download[..], &in_container].concat());
    assert_eq!(std::fs::read_to_string(&down).expect("it was downloaded"), "the content");
    let sas = ["container", "generate-sas", "--name", "backups", "--permissions", "racwdl", "--expiry", "2099-01-01"];
    assert!(blob(&sas).as_str().is_some_and(|sas| sas.contains("sig=")));

    az.ok(&account("delete", &["--yes"]));
    az.refused(&account("show", &[]), "ResourceNotFound");
    assert_eq!(blob(&[&["blob", "list"][..], &in_container].concat())[0]["name"], "folder/one", "blobs stay");
    deployment.stop();
    assert!(!deployment.log().contains("BwcHBwcH"), "the shared key is in no log");
}

#[test]
fn an_hsm_keeps_everything_else_when_it_is_given_a_managed_identity() {
    let mut deployment = Deployment::start_recorded();
    let (rest, az) = (deployment.rest(), Az::signed_in(&deployment));
    let before = create_hsm(&rest, &az);
    let identity = az.ok(&["identity", "create", "--resource-group", GROUP, "--name", "backup", "--location", "local"]);
    let (id, principal) = (text(&identity["id"]), text(&identity["principalId"]));
    let update = ["keyvault", "update-hsm", "--hsm-name", "identified", "--resource-group", GROUP];
    az.ok(&[&update[..], &["--mi-user-assigned", &id]].concat());
    let after = az.ok(&["keyvault", "show", "--hsm-name", "identified"]);
    assert_eq!(after["identity"]["type"], "UserAssigned", "{after}");
    assert_eq!(after["identity"]["userAssignedIdentities"][&id]["principalId"], principal, "{after}");
    for member in ["initialAdminObjectIds", "softDeleteRetentionInDays", "tenantId", "networkAcls", "hsmUri"] {
        assert_eq!(after["properties"][member], before["properties"][member], "{member}");
    }
    assert_eq!(
        (&after["tags"], &after["sku"], &after["location"]),
        (&before["tags"], &before["sku"], &before["location"])
    );
    // Another change puts the whole resource back, the identity with it.
    az.ok(&[&update[..], &["--public-network-access", "Enabled"]].concat());
    let again = az.ok(&["keyvault", "show", "--hsm-name", "identified"]);
    assert_eq!(again["identity"], after["identity"]);
    let unknown = id.replace("/backup", "/nobody");
    az.refused(&[&update[..], &["--mi-user-assigned", &unknown]].concat(), "nobody");
    deployment.stop();
}

fn create_hsm(rest: &Rest, az: &Az) -> serde_json::Value {
    let administrator = rest.variable("STRONGROOM_PRINCIPAL_ID");
    let create = ["keyvault", "create", "--hsm-name", "identified", "--resource-group", GROUP, "--location", "local"];
    az.ok(&[&create[..], &["--retention-days", "7", "--administrators", administrator]].concat());
    az.ok(&["keyvault", "show", "--hsm-name", "identified"])
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
