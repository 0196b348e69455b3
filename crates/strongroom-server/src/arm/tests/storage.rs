//! Storage accounts.

use serde_json::{Value, json};

use crate::arm::tests::world::World;

fn path(world: &World, name: &str) -> String {
    format!("{}/providers/Microsoft.Storage/storageAccounts/{name}", world.group())
}

/// What `az storage account create` sends.
fn body() -> Value {
    json!({
        "sku": {"name": "Standard_LRS"},
        "kind": "StorageV2",
        "location": "local",
        "properties": {
            "encryption": {"services": {"blob": {}}, "keySource": "Microsoft.Storage"},
            "minimumTlsVersion": "TLS1_2",
            "allowBlobPublicAccess": false,
        },
    })
}

#[tokio::test]
async fn an_account_lives_as_the_cli_expects() {
    let world = World::new().await;
    let target = format!("{}?api-version=2025-08-01", path(&world, "covered"));
    let check = format!("{}/providers/Microsoft.Storage/checkNameAvailability?api-version=2025-08-01", world.root());
    let available = async |name: &str| {
        let asked = json!({"name": name, "type": "Microsoft.Storage/storageAccounts"});
        world.send(&world.owner, "POST", &check, &asked).await.body
    };
    assert_eq!(available("covered").await, json!({"nameAvailable": true}));
    assert_eq!(available("No").await["reason"], "AccountNameInvalid");
    let made = world.put(&target, body()).await;
    assert_eq!(made.status, 200, "{made:?}");
    let shown = &made.body;
    assert_eq!(shown["id"], path(&world, "covered"));
    assert_eq!(shown["properties"]["primaryEndpoints"], json!({"blob": "https://covered.blob.localhost:10000/"}));
    assert_eq!((&shown["sku"]["tier"], &shown["kind"]), (&json!("Standard"), &json!("StorageV2")));
    assert_eq!(shown["properties"]["provisioningState"], "Succeeded");
    assert_eq!(available("covered").await["reason"], "AlreadyExists");
    assert_eq!(&world.ask("GET", &target).await.body, shown);
    for list in [world.group(), world.root()] {
        let list = format!("{list}/providers/Microsoft.Storage/storageAccounts?api-version=2025-08-01");
        assert_eq!(world.ask("GET", &list).await.names(), ["covered"]);
    }
    let all = format!(
        "{}/resources?api-version=2021-04-01&$filter=resourceType eq 'Microsoft.Storage/storageAccounts'",
        world.root()
    );
    assert_eq!(world.ask("GET", &all).await.names(), ["covered"]);
    let patched = world.send(&world.owner, "PATCH", &target, &json!({"tags": {"a": "b"}})).await;
    assert_eq!((patched.status.as_u16(), &patched.body["tags"]), (200, &json!({"a": "b"})));
    assert_eq!(world.ask("DELETE", &target).await.status, 200);
    assert_eq!(world.ask("DELETE", &target).await.status, 204);
    assert_eq!(world.ask("GET", &target).await.code(), "ResourceNotFound");
}

#[tokio::test]
async fn the_shared_key_is_shown_to_who_may_list_keys_and_stands_in_no_event() {
    let world = World::new().await;
    world.put(&path(&world, "covered"), body()).await;
    let keys = format!("{}/listKeys?api-version=2025-08-01&$expand=kerb", path(&world, "covered"));
    let shown = world.ask("POST", &keys).await;
    assert_eq!(shown.header("cache-control"), "no-store");
    let key = |name: &str| json!({"keyName": name, "value": "c2hhcmVkIGtleQ==", "permissions": "FULL"});
    assert_eq!(shown.body, json!({"keys": [key("key1"), key("key2")]}));
    assert_eq!(world.send(&world.stranger, "POST", &keys, &Value::Null).await.code(), "AuthorizationFailed");
    let events = world.test.audit.take();
    assert_eq!(events.iter().filter(|event| event.operation_name == "StorageAccountListKeys").count(), 2);
    assert!(!serde_json::to_string(&events).unwrap().contains("c2hhcmVk"));
}

#[tokio::test]
async fn a_key_that_is_not_there_is_said_and_its_file_is_not_named_to_clients() {
    let world = World::new().await;
    world.put(&path(&world, "keyless"), body()).await;
    world.put(&path(&world, "covered"), body()).await;
    let keyless = world.ask("POST", &format!("{}/listKeys", path(&world, "keyless"))).await;
    assert_eq!((keyless.status.as_u16(), keyless.code()), (409, "StorageAccountKeyNotConfigured"));
    assert!(keyless.message().contains("key_file"), "{}", keyless.message());
    for content in ["", "not base64!"] {
        std::fs::write(world.folder.path().join("covered.key"), content).unwrap();
        let broken = world.ask("POST", &format!("{}/listKeys", path(&world, "covered"))).await;
        assert_eq!((broken.status.as_u16(), broken.code()), (503, "ServiceUnavailable"));
        assert!(!broken.message().contains("covered.key"), "{}", broken.message());
    }
}

#[tokio::test]
async fn what_cannot_be_kept_here_is_refused() {
    let world = World::new().await;
    let unknown = world.put(&path(&world, "elsewhere"), body()).await;
    assert_eq!((unknown.status.as_u16(), unknown.code()), (400, "StorageAccountNotConfigured"));
    assert!(unknown.message().contains("[[storage_account]]"), "{}", unknown.message());
    assert_eq!(world.put(&path(&world, "No"), body()).await.code(), "AccountNameInvalid");
    let refused = [
        ("encryption", json!({"keySource": "Microsoft.Keyvault"})),
        ("networkAcls", json!({"defaultAction": "Deny"})),
        ("publicNetworkAccess", json!("Disabled")),
        ("allowSharedKeyAccess", json!(false)),
        ("isHnsEnabled", json!(true)),
    ];
    for (member, value) in refused {
        let mut body = body();
        body["properties"][member] = value;
        let answer = world.put(&path(&world, "covered"), body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "BadRequest"), "{member}");
        assert!(answer.message().contains(member), "{}", answer.message());
    }
    assert_eq!(world.ask("GET", &path(&world, "covered")).await.code(), "ResourceNotFound");
}
