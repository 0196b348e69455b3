//! Managed HSMs as `az keyvault` sees them.

use serde_json::{Value, json};
use strongroom_core::audit::rfc3339;
use strongroom_core::pools::machine_identity_id;
use strongroom_testkit::START;

use crate::arm::tests::world::World;

fn resource(world: &World, name: &str) -> Value {
    json!({
        "id": world.hsm(name),
        "name": name,
        "type": "Microsoft.KeyVault/managedHSMs",
        "location": "local",
        "sku": {"family": "B", "name": "Standard_B1"},
        "tags": {},
        "systemData": {"createdAt": rfc3339(START), "lastModifiedAt": rfc3339(START)},
        "properties": {
            "tenantId": world.foundation.tenant,
            "initialAdminObjectIds": [world.foundation.administrator.object_id],
            "hsmUri": format!("https://{}.managedhsm.localhost:8443/", name.to_ascii_lowercase()),
            "enableSoftDelete": true,
            "softDeleteRetentionInDays": 7,
            "enablePurgeProtection": false,
            "publicNetworkAccess": "Enabled",
            "networkAcls": {
                "bypass": "AzureServices", "defaultAction": "Allow", "ipRules": [], "virtualNetworkRules": [],
            },
            "provisioningState": "Succeeded",
            "statusMessage": "The Managed HSM is provisioned and ready to use.",
            "securityDomainProperties": {
                "activationStatus": "NotActivated",
                "activationStatusMessage": "Your HSM has been provisioned, but cannot be used for cryptographic \
                    operations until it is activated: download its security domain.",
            },
        },
    })
}

#[tokio::test]
async fn a_create_is_202_without_a_body_and_ends_in_the_resource() {
    let world = World::new().await;
    let asked = world.put(&world.hsm("ContosoMHSM"), world.hsm_body()).await;
    assert_eq!((asked.status.as_u16(), asked.bytes, asked.header("retry-after")), (202, 0, "1"));
    let prefix = format!("{}/providers/Microsoft.KeyVault/locations/local/managedHsmOperationResults/", world.root());
    assert!(asked.location().starts_with(&prefix) && asked.location().ends_with("?api-version=2026-02-01"));
    world.arm.run_pending().await;
    let done = world.ask("GET", &asked.location()).await;
    assert_eq!((done.status.as_u16(), &done.body), (200, &resource(&world, "ContosoMHSM")));
    let shown = world.ask("GET", &world.hsm("contosomhsm")).await;
    assert_eq!(shown.body, resource(&world, "ContosoMHSM"));
    let recorded = world.test.audit.take();
    let put = recorded.iter().find(|event| event.operation_name == "ManagedHsmPut").unwrap();
    assert_eq!(put.properties.http_status_code, 202);
}

#[tokio::test]
async fn a_running_operation_is_202_with_its_location_again() {
    let world = World::new().await;
    world.create("running").await;
    let instance = world.test.core.managed_hsm(&"running".parse().unwrap()).await.unwrap().unwrap().value.instance;
    // More than one step of a sweep, so that the purge is not done at once.
    for number in 0..100 {
        let barrier = world.test.core.barrier();
        let mut transaction = barrier.transaction();
        let key = format!("{}1/leftover/{number}", strongroom_core::layout::instance(instance));
        transaction.create_secret(barrier.deployment(), key, b"x");
        let request = strongroom_core::request::Request::internal(
            strongroom_testkit::draw_uuid().unwrap(),
            START,
            "Test",
            String::new(),
        );
        transaction.commit(&request).await.unwrap();
    }
    world.ask("DELETE", &world.hsm("running")).await;
    let asked = world.ask("POST", &format!("{}/purge", world.deleted("running"))).await;
    assert_eq!(asked.status, 202);
    let polled = world.ask("GET", &asked.location()).await;
    assert_eq!((polled.status.as_u16(), polled.bytes, polled.location()), (202, 0, asked.location()));
    assert_eq!(polled.header("retry-after"), "1");
    world.arm.run_pending().await;
    assert_eq!(world.ask("GET", &asked.location()).await.status, 204);
    assert_eq!(world.ask("GET", &world.deleted("running")).await.code(), "ResourceNotFound");
}

#[tokio::test]
async fn what_the_cli_sends_back_is_an_update() {
    let world = World::new().await;
    let mut body = world.create("updated").await;
    body["properties"]["networkAcls"] =
        json!({"bypass": "None", "defaultAction": "Deny", "ipRules": [{"value": "192.0.2.0/24"}]});
    body["properties"]["regions"] = json!([{"name": "local", "isPrimary": true}]);
    body["identity"] =
        json!({"type": "UserAssigned", "userAssignedIdentities": {machine_identity_id(world.subscription): {}}});
    body["tags"] = json!({"a": "b"});
    let updated = world.put(&world.hsm("updated"), body).await;
    assert_eq!(updated.status, 200);
    let properties = &updated.body["properties"];
    assert_eq!(properties["networkAcls"]["ipRules"], json!([{"value": "192.0.2.0/24"}]));
    assert_eq!((&updated.body["tags"], &properties["provisioningState"]), (&json!({"a": "b"}), &json!("Succeeded")));
    let machine = world.foundation.machine;
    let expected = json!({"type": "UserAssigned", "userAssignedIdentities": {
        machine_identity_id(world.subscription): {"principalId": machine.object_id, "clientId": machine.client_id},
    }});
    assert_eq!(updated.body["identity"], expected);
    let patch = json!({"identity": {"type": "None"}, "tags": {}});
    let patched = world.send(&world.owner, "PATCH", &world.hsm("updated"), &patch).await;
    assert_eq!((patched.status.as_u16(), &patched.body["identity"]), (200, &Value::Null));
    assert_eq!(patched.body["tags"], json!({}));
    let missing = world.send(&world.owner, "PATCH", &world.hsm("missing"), &patch).await;
    assert_eq!((missing.status.as_u16(), missing.code()), (404, "ResourceNotFound"));
}

#[tokio::test]
async fn wrong_bodies_have_their_codes() {
    let world = World::new().await;
    world.create("existing").await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = world.hsm_body();
        change(&mut body);
        body
    };
    let cases: Vec<(&str, Value, &str)> = vec![
        ("new-hsm", with(&|body| body["location"] = json!(null)), "LocationRequired"),
        ("new-hsm", with(&|body| body["location"] = json!("?")), "BadRequest"),
        ("new-hsm", with(&|body| body["sku"]["family"] = json!("A")), "SkuNotSupported"),
        ("new-hsm", with(&|body| body["properties"]["tenantId"] = json!("x")), "BadRequest"),
        ("new-hsm", with(&|body| body["properties"]["initialAdminObjectIds"] = json!([])), "BadRequest"),
        ("new-hsm", with(&|body| body["properties"]["initialAdminObjectIds"] = json!(["x"])), "BadRequest"),
        ("new-hsm", with(&|body| body["properties"]["softDeleteRetentionInDays"] = json!("6")), "BadRequest"),
        ("new-hsm", with(&|body| body["properties"]["softDeleteRetentionInDays"] = json!(91)), "BadRequest"),
        ("new-hsm", with(&|body| body["properties"]["softDeleteRetentionInDays"] = json!("x")), "BadRequest"),
        ("new-hsm", with(&|body| body["properties"]["enableSoftDelete"] = json!(false)), "BadRequest"),
        ("new-hsm", with(&|body| body["properties"]["createMode"] = json!("copy")), "BadRequest"),
        ("new-hsm", with(&|body| body["properties"]["publicNetworkAccess"] = json!("Maybe")), "BadRequest"),
        ("new-hsm", with(&|body| body["properties"]["networkAcls"]["ipRules"] = json!([{"value": "x"}])), "BadRequest"),
        ("new-hsm", with(&|body| body["properties"]["networkAcls"]["virtualNetworkRules"] = json!([{}])), "BadRequest"),
        ("new-hsm", with(&|body| body["properties"]["networkAcls"]["serviceTags"] = json!([{}])), "BadRequest"),
        ("new-hsm", with(&|body| body["properties"]["regions"] = json!([{"name": "mars"}])), "BadRequest"),
        ("new-hsm", with(&|body| body["identity"] = json!({"type": "SystemAssigned"})), "BadRequest"),
        ("existing", with(&|body| body["location"] = json!("mars")), "InvalidResourceLocation"),
        ("existing", with(&|body| body["properties"]["softDeleteRetentionInDays"] = json!(8)), "BadRequest"),
        ("new-hsm", with(&|body| body["properties"]["createMode"] = json!("recover")), "ResourceNotFound"),
    ];
    for (name, body, code) in cases {
        let answer = world.put(&world.hsm(name), body.clone()).await;
        assert_eq!(answer.code(), code, "{body} {answer:?}");
    }
    assert_eq!(world.ask("GET", &world.hsm("new-hsm")).await.status, 404);
}

#[tokio::test]
async fn a_deletion_can_be_taken_back_as_the_cli_does_it() {
    let world = World::new().await;
    let before = world.create("Recovered").await;
    let deleted = world.ask("DELETE", &world.hsm("recovered")).await;
    assert_eq!((deleted.status.as_u16(), deleted.bytes), (202, 0));
    assert_eq!(world.ask("GET", &deleted.location()).await.status, 204);
    assert_eq!(world.ask("DELETE", &world.hsm("recovered")).await.status, 204);
    assert_eq!(world.ask("GET", &world.hsm("recovered")).await.code(), "ResourceNotFound");
    let expected = json!({
        "id": world.deleted("Recovered"),
        "name": "Recovered",
        "type": "Microsoft.KeyVault/deletedManagedHSMs",
        "properties": {
            "mhsmId": world.hsm("Recovered"),
            "location": "local",
            "deletionDate": rfc3339(START),
            "scheduledPurgeDate": rfc3339(START.plus_days(7)),
            "purgeProtectionEnabled": false,
            "tags": {},
        },
    });
    let list = world.ask("GET", &format!("{}/providers/Microsoft.KeyVault/deletedManagedHSMs", world.root())).await;
    assert_eq!(list.body, json!({"value": [expected]}));
    assert_eq!(world.ask("GET", &world.deleted("recovered")).await.body, expected);

    let again = world.put(&world.hsm("recovered"), world.hsm_body()).await;
    assert_eq!((again.status.as_u16(), again.code()), (409, "ConflictError"));
    assert!(again.message().contains("recover") && again.message().contains("purge"), "{}", again.message());
    let body = json!({"location": "local", "sku": {"name": "Standard_B1", "family": "B"}, "properties": {
        "tenantId": world.foundation.tenant, "createMode": "Recover",
    }});
    let recovered = world.put(&world.hsm("recovered"), body).await;
    assert_eq!((recovered.status.as_u16(), &recovered.body), (200, &before));
}

#[tokio::test]
async fn purge_frees_the_name_and_purge_protection_keeps_it() {
    let world = World::new().await;
    world.create("purged").await;
    world.ask("DELETE", &world.hsm("purged")).await;
    let check = async || {
        let path = format!("{}/providers/Microsoft.KeyVault/checkMhsmNameAvailability", world.root());
        world.send(&world.owner, "POST", &path, &json!({"name": "purged"})).await.body
    };
    let taken = check().await;
    assert_eq!((&taken["nameAvailable"], &taken["reason"]), (&json!(false), &json!("AlreadyExists")));
    let purge = world.ask("POST", &format!("{}/purge", world.deleted("purged"))).await;
    assert_eq!((purge.status.as_u16(), purge.bytes), (202, 0));
    world.arm.run_pending().await;
    assert_eq!(world.ask("GET", &purge.location()).await.status, 204);
    assert_eq!(check().await, json!({"nameAvailable": true}));

    let mut body = world.hsm_body();
    body["properties"]["enablePurgeProtection"] = json!(true);
    assert_eq!(world.put(&world.hsm("kept"), body.clone()).await.status, 202);
    body["properties"]["enablePurgeProtection"] = json!(false);
    assert_eq!(world.put(&world.hsm("kept"), body).await.code(), "BadRequest");
    world.ask("DELETE", &world.hsm("kept")).await;
    let refused = world.ask("POST", &format!("{}/purge", world.deleted("kept"))).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (405, "MethodNotAllowed"));
}

#[tokio::test]
async fn an_hsm_goes_by_itself_when_its_retention_ends() {
    let world = World::new().await;
    world.create("expiring").await;
    world.ask("DELETE", &world.hsm("expiring")).await;
    world.test.clock.advance_days(7);
    world.arm.run_pending().await;
    assert!(world.test.core.managed_hsm(&"expiring".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn lists_have_pages_and_show_what_the_caller_may_read() {
    let world = World::new().await;
    for name in ["hsm-b", "hsm-a", "HSM-c"] {
        world.create(name).await;
    }
    let list = format!("{}/providers/Microsoft.KeyVault/managedHSMs", world.root());
    assert_eq!(world.ask("GET", &list).await.names(), ["hsm-a", "hsm-b", "HSM-c"]);
    let first = world.ask("GET", &format!("{list}?api-version=2026-02-01&$top=2")).await;
    assert_eq!(first.names(), ["hsm-a", "hsm-b"]);
    let next = first.body["nextLink"].as_str().unwrap().strip_prefix("https://management.localhost:8443").unwrap();
    let second = world.ask("GET", next).await;
    assert_eq!((second.names(), &second.body["nextLink"]), (vec!["HSM-c"], &Value::Null));
    assert_eq!(
        world.ask("GET", &format!("{list}?api-version=2026-02-01&$top=0")).await.code(),
        "InvalidQueryParameter"
    );
    let of_group = format!("{}/providers/Microsoft.KeyVault/managedHSMs", world.group());
    assert_eq!(world.ask("GET", &of_group).await.names().len(), 3);
    let nowhere = of_group.replace("/strongroom/", "/nowhere/");
    assert_eq!(world.ask("GET", &nowhere).await.code(), "ResourceGroupNotFound");

    let role = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/{}",
        world.hsm("hsm-b"),
        uuid::Uuid::from_u128(7)
    );
    let reader = json!({"properties": {
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{}", strongroom_core::pools::READER),
        "principalId": world.stranger_id,
    }});
    assert_eq!(world.put(&role, reader).await.status, 201);
    assert_eq!(world.send(&world.stranger, "GET", &list, &Value::Null).await.names(), ["hsm-b"]);
}

#[tokio::test]
async fn what_hangs_on_an_hsm_is_shown() {
    let world = World::new().await;
    world.create("parts").await;
    let regions = world.ask("GET", &format!("{}/regions", world.hsm("parts"))).await;
    let region = json!({"name": "local", "provisioningState": "Succeeded", "isPrimary": true});
    assert_eq!(regions.body, json!({"value": [region]}));
    let connections = world.ask("GET", &format!("{}/privateEndpointConnections", world.hsm("parts"))).await;
    assert_eq!(connections.body, json!({"value": []}));
    let links = world.ask("GET", &format!("{}/privateLinkResources", world.hsm("parts"))).await;
    assert_eq!(links.body["value"][0]["properties"]["groupId"], "managedhsm");
    for part in ["regions", "privateEndpointConnections", "privateLinkResources"] {
        let answer = world.ask("GET", &format!("{}/{part}", world.hsm("missing"))).await;
        assert_eq!(answer.code(), "ResourceNotFound");
    }
}
