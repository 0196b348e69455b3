//! Tenants, subscriptions, groups, identities, resources of any type.

use serde_json::json;

use crate::arm::tests::world::World;

#[tokio::test]
async fn a_login_finds_its_tenant_and_subscription() {
    let world = World::new().await;
    let tenants = world.ask("GET", "/tenants?api-version=2022-12-01").await.body;
    assert_eq!(tenants["value"][0]["tenantId"], json!(world.foundation.tenant));
    let machine = world.token(world.foundation.machine.object_id).await;
    for token in [&world.owner, &machine] {
        let list = world.send(token, "GET", "/subscriptions?api-version=2022-12-01", &json!(null)).await.body;
        let subscription = &list["value"][0];
        assert_eq!(subscription["id"], json!(world.root()));
        assert_eq!(subscription["subscriptionId"], json!(world.subscription));
        assert_eq!(subscription["tenantId"], json!(world.foundation.tenant));
        assert_eq!((&subscription["state"], &subscription["managedByTenants"]), (&json!("Enabled"), &json!([])));
    }
    let none = world.send(&world.stranger, "GET", "/subscriptions", &json!(null)).await.body;
    assert_eq!(none, json!({"value": []}));
}

#[tokio::test]
async fn providers_are_registered_and_there_is_a_location() {
    let world = World::new().await;
    let provider = world.ask("GET", &format!("{}/providers/microsoft.keyvault", world.root())).await.body;
    assert_eq!(
        (&provider["namespace"], &provider["registrationState"]),
        (&json!("Microsoft.KeyVault"), &json!("Registered"))
    );
    let register = format!("{}/providers/Microsoft.KeyVault/register", world.root());
    assert_eq!(world.ask("POST", &register).await.body, provider);
    assert_eq!(world.ask("GET", &format!("{}/locations", world.root())).await.names(), ["local"]);
}

#[tokio::test]
async fn a_group_lives_as_the_cli_expects() {
    let world = World::new().await;
    let path = format!("{}/resourcegroups/Mixed", world.root());
    assert_eq!(world.ask("HEAD", &path).await.status, 404);
    assert_eq!(world.put(&path, json!({})).await.code(), "LocationRequired");
    let made = world.put(&path, json!({"location": "local", "tags": {"a": "b"}})).await;
    let expected = json!({
        "id": format!("{}/resourceGroups/Mixed", world.root()),
        "name": "Mixed",
        "type": "Microsoft.Resources/resourceGroups",
        "location": "local",
        "tags": {"a": "b"},
        "properties": {"provisioningState": "Succeeded"},
    });
    assert_eq!((made.status.as_u16(), &made.body), (201, &expected));
    let again = world.put(&path, json!({"location": "LOCAL"})).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &expected));
    assert_eq!(world.put(&path, json!({"location": "mars"})).await.code(), "InvalidResourceLocation");
    let head = world.ask("HEAD", &path).await;
    assert_eq!((head.status.as_u16(), head.bytes), (204, 0));
    assert_eq!(world.ask("GET", &format!("{}/resourceGroups", world.root())).await.names(), ["Mixed", "strongroom"]);
    assert_eq!(world.ask("DELETE", &path).await.status, 200);
    assert_eq!(world.ask("GET", &path).await.code(), "ResourceGroupNotFound");
    assert_eq!(world.ask("DELETE", &world.group()).await.code(), "ResourceGroupDeletionBlocked");
}

#[tokio::test]
async fn an_identity_shows_its_principal() {
    let world = World::new().await;
    let path = format!("{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/backup", world.group());
    let target = format!("{path}?api-version=2025-05-31-preview");
    let made = world.put(&target, json!({"location": "local"})).await;
    assert_eq!(made.status, 201);
    let principal = world.directory.by_resource_id(&path).await.unwrap().unwrap().value;
    let expected = json!({
        "id": path,
        "name": "backup",
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
        "location": "local",
        "tags": {},
        "properties": {
            "tenantId": world.foundation.tenant,
            "principalId": principal.object_id,
            "clientId": principal.client_id(),
        },
    });
    assert_eq!(made.body, expected);
    let again = world.put(&target, json!({"location": "local"})).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &expected));
    assert_eq!(world.ask("GET", &target).await.body, expected);
    let list = format!("{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities", world.group());
    assert_eq!(world.ask("GET", &list).await.names(), ["backup", "machine"]);
    assert_eq!(world.ask("DELETE", &target).await.status, 200);
    assert_eq!(world.ask("DELETE", &target).await.status, 204);
    assert_eq!(world.ask("GET", &target).await.code(), "ResourceNotFound");
    assert_eq!(world.ask("DELETE", &format!("{list}/machine")).await.code(), "ResourceProtected");
}

#[tokio::test]
async fn resources_are_listed_by_type() {
    let world = World::new().await;
    world.create("listed").await;
    let list = async |filter: &str| {
        let target = format!("{}/resources?api-version=2015-11-01&$filter={filter}", world.root());
        world.ask("GET", &target).await
    };
    let vaults = "resourceType%20eq%20'Microsoft.KeyVault/vaults'";
    assert_eq!(list(vaults).await.body, json!({"value": []}));
    assert_eq!(world.put(&world.vault("vault1"), world.vault_body()).await.status, 200);
    assert_eq!(list(vaults).await.names(), ["vault1"]);
    assert_eq!(list("resourceType+eq+'microsoft.keyvault/managedhsms'").await.names(), ["listed"]);
    assert_eq!(list("").await.names(), ["listed", "vault1", "machine"]);
    assert_eq!(list("name%20eq%20'LISTED'").await.names(), ["listed"]);
    assert_eq!(list(&format!("{vaults}%20and%20name%20eq%20'vault1'")).await.names(), ["vault1"]);
    assert_eq!(list(&format!("{vaults}%20and%20name%20eq%20'listed'")).await.body, json!({"value": []}));
    for filter in ["location eq 'x'", "name eq 'x' and name eq 'y'"] {
        assert_eq!(list(filter).await.code(), "InvalidFilterInQueryString", "{filter}");
    }
}
