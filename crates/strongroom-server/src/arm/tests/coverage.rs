//! The table of operations against what really happens: each one asks for its action, and for nothing else.

use serde_json::{Value, json};
use strongroom_core::pools::READER;

use crate::arm::operations::{Access, OPERATIONS, Operation, OperationId, Path};
use crate::arm::tests::world::World;

/// What has no name: an operation, a role, an assignment.
pub(super) const GUID: &str = "11111111-1111-4111-8111-111111111111";

/// Path of a request for a row: everything that has a name is called `covered`.
pub(super) fn target(world: &World, row: &Operation) -> String {
    let path = match row.path {
        Path::Whole(pattern) => pattern.as_str().to_owned(),
        Path::Authorization(pattern) => {
            format!("{}/providers/Microsoft.Authorization{}", world.root(), pattern.as_str())
        }
    };
    let path = path
        .replace("{subscription}", &world.subscription.to_string())
        .replace("{group}", "strongroom")
        .replace("{hsm}", "covered")
        .replace("{vault}", "covered")
        .replace("{change}", "add")
        .replace("{identity}", "covered")
        .replace("{account}", "covered")
        .replace("{network}", "covered")
        .replace("{subnet}", "covered")
        .replace("{endpoint}", "covered")
        .replace("{connection}", "covered")
        .replace("{federated}", "covered")
        .replace("{key}", "covered")
        .replace("{version}", "0123456789abcdef0123456789abcdef")
        .replace("{location}", "local")
        .replace("{namespace}", "Microsoft.KeyVault");
    ["{operation}", "{role}", "{assignment}"].iter().fold(path, |path, placeholder| path.replace(placeholder, GUID))
}

/// A body that is good enough to come to the decision, and further.
pub(super) fn body(world: &World, id: OperationId) -> Value {
    match id {
        OperationId::PutGroup | OperationId::PutIdentity => json!({"location": "local"}),
        OperationId::PutStorageAccount => {
            json!({"location": "local", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
        }
        OperationId::PatchStorageAccount => json!({"tags": {"a": "b"}}),
        OperationId::CheckStorageAccountName => json!({"name": "covered", "type": "Microsoft.Storage/storageAccounts"}),
        OperationId::PutHsm => world.hsm_body(),
        OperationId::PutHsmKey => json!({"properties": {"kty": "EC-HSM"}}),
        OperationId::PatchHsm => json!({"tags": {"a": "b"}}),
        OperationId::CheckHsmName => json!({"name": "covered"}),
        OperationId::PutVault => world.vault_body(),
        OperationId::PatchVault => json!({"tags": {"a": "b"}}),
        OperationId::PutVaultPolicies => json!({"properties": {"accessPolicies": []}}),
        OperationId::CheckVaultName => json!({"name": "covered", "type": "Microsoft.KeyVault/vaults"}),
        OperationId::PutHsmConnection | OperationId::PutVaultConnection => {
            json!({"properties": {"privateLinkServiceConnectionState": {"status": "Approved"}}})
        }
        OperationId::PutVirtualNetwork => world.network_body(),
        OperationId::PutSubnet => json!({"properties": {"addressPrefix": "10.1.2.0/24"}}),
        OperationId::PutPrivateEndpoint => world.endpoint_body(&world.hsm("covered"), "covered"),
        OperationId::PutFederatedCredential => json!({"properties": {
            "issuer": "https://issuer.example", "subject": "s", "audiences": ["a"],
        }}),
        OperationId::PutRoleDefinition => json!({"properties": {
            "roleName": "Covered", "permissions": [{"actions": ["*/read"]}], "assignableScopes": [world.root()],
        }}),
        OperationId::PutRoleAssignment => json!({"properties": {
            "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{READER}"),
            "principalId": GUID,
        }}),
        _ => Value::Null,
    }
}

#[tokio::test]
async fn every_operation_asks_for_its_action() {
    let world = World::new().await;
    for row in OPERATIONS {
        let answer = world.send(&world.stranger, row.method, &target(&world, row), &body(&world, row.id)).await;
        let events = world.test.audit.take();
        assert_eq!(events.len(), 1, "{:?} {events:?}", row.id);
        assert_eq!(events[0].operation_name, row.audit_name, "{:?}", row.id);
        match row.access {
            Access::Anybody => assert_eq!(answer.status, 200, "{:?} {answer:?}", row.id),
            Access::On(action, _) | Access::Within(action, _) => {
                assert_eq!((answer.status.as_u16(), answer.code()), (403, "AuthorizationFailed"), "{:?}", row.id);
                let asked = format!("to perform action '{action}' over scope '/subscriptions/{}", world.subscription);
                assert!(answer.message().contains(&asked), "{:?} {}", row.id, answer.message());
                assert!(answer.message().contains(&world.stranger_id.to_string()));
                assert_eq!(events[0].result_signature, "AuthorizationFailed");
            }
        }
    }
}

#[tokio::test]
async fn an_owner_may_do_everything_and_each_permit_fits_what_is_done() {
    let world = World::new().await;
    for row in OPERATIONS {
        let answer = world.send(&world.owner, row.method, &target(&world, row), &body(&world, row.id)).await;
        // A permit for something else than the row's handler does would be 500.
        assert!(answer.status != 403 && answer.status.as_u16() < 500, "{:?} {answer:?}", row.id);
        assert!(answer.status != 400 || row.id == OperationId::DeleteGroup, "{:?} {answer:?}", row.id);
        assert_eq!(world.test.audit.take().iter().filter(|event| event.operation_name == row.audit_name).count(), 1);
        world.arm.run_pending().await;
        world.test.audit.take();
    }
}

#[tokio::test]
async fn nothing_is_written_by_who_may_only_read() {
    let world = World::new().await;
    let reader = json!({"properties": {
        "roleDefinitionId": format!("{}/providers/Microsoft.Authorization/roleDefinitions/{READER}", world.root()),
        "principalId": world.stranger_id,
    }});
    let assignment = format!("{}/providers/Microsoft.Authorization/roleAssignments/{GUID}", world.root());
    assert_eq!(world.put(&assignment, reader).await.status, 201);
    for row in OPERATIONS {
        let answer = world.send(&world.stranger, row.method, &target(&world, row), &body(&world, row.id)).await;
        let action = match row.access {
            Access::Anybody => continue,
            Access::On(action, _) | Access::Within(action, _) => action.as_str(),
        };
        let refused = answer.code() == "AuthorizationFailed";
        assert_eq!(refused, !action.ends_with("/read"), "{:?} {answer:?}", row.id);
    }
}
