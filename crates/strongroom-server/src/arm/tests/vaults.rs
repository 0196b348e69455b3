//! Vaults as `az keyvault` sees them.

use serde_json::{Value, json};

use crate::arm::tests::world::World;

fn policy(world: &World, object: &str, keys: &[&str]) -> Value {
    json!({"tenantId": world.foundation.tenant, "objectId": object, "permissions": {"keys": keys, "secrets": ["GET"]}})
}

const OBJECT: &str = "22222222-2222-4222-8222-222222222222";

#[tokio::test]
async fn a_vault_is_shown_as_the_service_does() {
    let world = World::new().await;
    let mut body = world.vault_body();
    body["properties"]["enableRbacAuthorization"] = json!(false);
    body["properties"]["accessPolicies"] = json!([policy(&world, OBJECT, &["Get", "unwrapKey", "get"])]);
    let made = world.put(&world.vault("Vault-1"), body).await;
    assert_eq!(made.status, 200, "{made:?}");
    let properties = json!({
        "tenantId": world.foundation.tenant,
        "sku": {"family": "A", "name": "standard"},
        "accessPolicies": [{
            "tenantId": world.foundation.tenant,
            "objectId": OBJECT,
            "permissions": {"keys": ["get", "unwrapkey"], "secrets": ["get"], "certificates": [], "storage": []},
        }],
        "enabledForDeployment": false,
        "enabledForDiskEncryption": false,
        "enabledForTemplateDeployment": false,
        "enableSoftDelete": true,
        "softDeleteRetentionInDays": 7,
        "enableRbacAuthorization": false,
        "publicNetworkAccess": "Enabled",
        "networkAcls": {
            "bypass": "AzureServices", "defaultAction": "Allow", "ipRules": [], "virtualNetworkRules": [],
        },
        "vaultUri": "https://vault-1.vault.localhost:8443/",
        "provisioningState": "Succeeded",
    });
    assert_eq!((&made.body["name"], &made.body["properties"]), (&json!("Vault-1"), &properties));
    assert_eq!(world.ask("GET", &world.vault("vault-1")).await.body, made.body);
    let list = format!("{}/providers/Microsoft.KeyVault/vaults", world.root());
    assert_eq!(world.ask("GET", &list).await.body, json!({"value": [made.body]}));
    assert_eq!(world.put(&world.vault("vault-1"), made.body.clone()).await.body["properties"], properties, "sent back");
}

#[tokio::test]
async fn the_model_of_a_new_vault_depends_on_the_api_version() {
    let world = World::new().await;
    for (name, version, rbac) in [("old-vault", "2024-11-01", false), ("new-vault", "2026-02-01", true)] {
        let target = format!("{}?api-version={version}", world.vault(name));
        let made = world.put(&target, world.vault_body()).await;
        assert_eq!(made.body["properties"]["enableRbacAuthorization"], rbac, "{version} {made:?}");
    }
}

#[tokio::test]
async fn bodies_that_mean_nothing_are_refused() {
    let world = World::new().await;
    let refused = async |member: &str, value: Value| {
        let mut body = world.vault_body();
        body["properties"][member] = value;
        world.put(&world.vault("vault-1"), body).await.code().to_owned()
    };
    assert_eq!(refused("sku", json!({"family": "B", "name": "Standard_B1"})).await, "SkuNotSupported");
    assert_eq!(refused("softDeleteRetentionInDays", json!(6)).await, "BadRequest");
    assert_eq!(refused("publicNetworkAccess", json!("sometimes")).await, "BadRequest");
    assert_eq!(refused("createMode", json!("purge")).await, "BadRequest");
    assert_eq!(refused("accessPolicies", json!([policy(&world, OBJECT, &["fly"])])).await, "BadRequest");
    assert_eq!(refused("accessPolicies", json!([policy(&world, "nobody", &["get"])])).await, "BadRequest");
    assert_eq!(refused("createMode", json!("recover")).await, "ResourceNotFound");
    assert_eq!(world.put(&world.vault("1-vault"), world.vault_body()).await.code(), "VaultNameNotValid");
}

#[tokio::test]
async fn policies_are_added_and_removed_by_name() {
    let world = World::new().await;
    assert_eq!(world.put(&world.vault("vault-1"), world.vault_body()).await.status, 200);
    let change = async |kind: &str, keys: &[&str]| {
        let body = json!({"properties": {"accessPolicies": [policy(&world, OBJECT, keys)]}});
        world.put(&format!("{}/accessPolicies/{kind}", world.vault("vault-1")), body).await
    };
    let added = change("add", &["get"]).await;
    assert_eq!(added.status, 200, "{added:?}");
    let keys = |answer: &Value| answer["properties"]["accessPolicies"][0]["permissions"]["keys"].clone();
    assert_eq!(keys(&added.body), json!(["get"]));
    assert_eq!(keys(&change("ADD", &["sign"]).await.body), json!(["get", "sign"]));
    assert_eq!(keys(&change("replace", &["list"]).await.body), json!(["list"]));
    assert_eq!(change("remove", &["list"]).await.body["properties"]["accessPolicies"], json!([]));
    assert_eq!(change("swap", &["list"]).await.status, 404);
}

#[tokio::test]
async fn a_vault_is_deleted_recovered_and_purged() {
    let world = World::new().await;
    let made = world.put(&world.vault("vault-1"), world.vault_body()).await.body;
    let taken = world.put(&format!("{}/resourceGroups/other", world.root()), json!({"location": "local"})).await;
    assert_eq!(taken.status, 201);
    let elsewhere = world.vault("vault-1").replace("resourceGroups/strongroom", "resourceGroups/other");
    assert_eq!(world.put(&elsewhere, world.vault_body()).await.code(), "VaultAlreadyExists");
    assert_eq!(world.ask("DELETE", &world.group()).await.code(), "ResourceGroupDeletionBlocked");

    assert_eq!(world.ask("DELETE", &world.vault("vault-1")).await.status, 200);
    assert_eq!(world.ask("DELETE", &world.vault("vault-1")).await.status, 204);
    assert_eq!(world.ask("GET", &world.vault("vault-1")).await.code(), "ResourceNotFound");
    assert_eq!(world.put(&world.vault("vault-1"), world.vault_body()).await.code(), "ConflictError");
    let deleted = format!("{}/providers/Microsoft.KeyVault/locations/local/deletedVaults/vault-1", world.root());
    assert_eq!(world.ask("GET", &deleted).await.body["properties"]["vaultId"], made["id"]);
    let mut recover = world.vault_body();
    recover["properties"]["createMode"] = json!("Recover");
    assert_eq!(world.put(&world.vault("vault-1"), recover).await.body["properties"], made["properties"]);

    assert_eq!(world.ask("DELETE", &world.vault("vault-1")).await.status, 200);
    assert_eq!(world.ask("POST", &format!("{deleted}/purge")).await.status, 200);
    assert_eq!(world.ask("GET", &deleted).await.code(), "ResourceNotFound");
    assert_eq!(world.put(&world.vault("vault-1"), world.vault_body()).await.status, 200);
}
