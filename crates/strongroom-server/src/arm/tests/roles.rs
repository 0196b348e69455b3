//! Role definitions and assignments as `az role` sees them.

use serde_json::{Value, json};
use strongroom_core::pools::{OWNER, READER};

use crate::arm::tests::world::World;

const NAME: &str = "22222222-2222-4222-8222-222222222222";

fn assignments(scope: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments")
}

fn definitions(scope: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleDefinitions")
}

fn reader(world: &World) -> Value {
    json!({"properties": {
        "roleDefinitionId": format!("{}/{READER}", definitions(&world.root())),
        "principalId": world.stranger_id,
        "principalType": "ServicePrincipal",
    }})
}

#[tokio::test]
async fn a_role_is_found_by_its_name_and_assigned() {
    let world = World::new().await;
    let filter = "api-version=2022-05-01-preview&$filter=roleName%20eq%20'Managed%20HSM%20contributor'";
    let found = world.ask("GET", &format!("{}?{filter}", definitions(&world.group()))).await;
    assert_eq!(found.names(), ["18500a29-7fe2-46b2-a342-b16a415e101d"]);
    let role = &found.body["value"][0];
    assert_eq!(role["id"], json!(format!("{}/18500a29-7fe2-46b2-a342-b16a415e101d", definitions(&world.root()))));
    assert_eq!(
        (&role["properties"]["type"], &role["properties"]["assignableScopes"]),
        (&json!("BuiltInRole"), &json!(["/"]))
    );
    assert_eq!(role["properties"]["permissions"][0]["actions"][0], "Microsoft.KeyVault/managedHSMs/*");

    let target = format!("{}/{NAME}", assignments(&world.group()));
    let body = json!({"properties": {"roleDefinitionId": role["id"], "principalId": world.stranger_id}});
    let made = world.put(&target, body.clone()).await;
    assert_eq!(made.status, 201);
    let properties = &made.body["properties"];
    assert_eq!((&made.body["id"], &made.body["name"]), (&json!(target), &json!(NAME)));
    assert_eq!((&properties["roleDefinitionId"], &properties["scope"]), (&role["id"], &json!(world.group())));
    assert_eq!(properties["principalType"], "ServicePrincipal");
    assert_eq!(world.put(&target, body).await.status, 200);
    assert_eq!(world.ask("GET", &target).await.body, made.body);

    let created = world.send(&world.stranger, "PUT", &world.hsm("by-stranger"), &world.hsm_body()).await;
    assert_eq!(created.status, 202);
    let polled = world.send(&world.stranger, "GET", &created.location(), &Value::Null).await;
    assert_eq!(polled.status, 200);
    let removed = world.ask("DELETE", &target).await;
    assert_eq!((removed.status.as_u16(), &removed.body), (200, &made.body));
    assert_eq!(world.ask("DELETE", &target).await.status, 204);
    let refused = world.send(&world.stranger, "GET", &world.hsm("by-stranger"), &Value::Null).await;
    assert_eq!(refused.code(), "AuthorizationFailed");
}

#[tokio::test]
async fn a_list_shows_what_is_above_and_below_unless_the_filter_says_less() {
    let world = World::new().await;
    assert_eq!(world.put(&format!("{}/{NAME}", assignments(&world.hsm("future"))), reader(&world)).await.status, 201);
    let count = async |scope: &str, filter: &str| {
        let target = format!("{}?api-version=2022-04-01&$filter={filter}", assignments(scope));
        world.ask("GET", &target).await.body["value"].as_array().map(Vec::len)
    };
    let stranger = world.stranger_id;
    assert_eq!(count(&world.root(), "").await, Some(3));
    assert_eq!(count(&world.root(), "atScope()").await, Some(1));
    assert_eq!(count(&world.group(), "atScope()").await, Some(2));
    assert_eq!(count(&world.hsm("future"), "atScope()").await, Some(3));
    assert_eq!(count(&world.root(), &format!("principalId eq '{stranger}'")).await, Some(1));
    assert_eq!(count(&world.group(), &format!("atScope() and principalId eq '{stranger}'")).await, Some(0));
    assert_eq!(count(&world.root(), &format!("assignedTo('{stranger}')")).await, Some(1));
    assert_eq!(count(&world.root(), "principalId eq 'x'").await, None);
}

#[tokio::test]
async fn a_member_of_a_group_is_assigned_what_the_group_is() {
    let world = World::new().await;
    let own = || {
        let id = strongroom_testkit::draw_uuid().unwrap();
        strongroom_core::request::Request::internal(id, strongroom_testkit::START, "Test", String::new())
    };
    let group = world.directory.create_group(&own(), "team").await.unwrap();
    world.directory.add_member(&own(), group, world.stranger_id).await.unwrap();
    let body = json!({"properties": {"roleDefinitionId": format!("{}/{READER}", definitions(&world.root())), "principalId": group}});
    let made = world.put(&format!("{}/{NAME}", assignments(&world.root())), body).await;
    assert_eq!(made.body["properties"]["principalType"], "Group");
    let target =
        format!("{}?api-version=2022-04-01&$filter=assignedTo('{}')", assignments(&world.root()), world.stranger_id);
    assert_eq!(world.ask("GET", &target).await.names(), [NAME]);
    let shown = world.send(&world.stranger, "GET", &world.group(), &Value::Null).await;
    assert_eq!(shown.status, 200);
}

#[tokio::test]
async fn wrong_assignments_have_their_codes() {
    let world = World::new().await;
    let target = |scope: &str| format!("{}/{NAME}", assignments(scope));
    assert_eq!(world.put(&target(&world.group()), reader(&world)).await.status, 201);
    let with = |member: &str, value: Value| {
        let mut body = reader(&world);
        body["properties"][member] = value;
        body
    };
    let other = format!("{}/{}", assignments(&world.group()), uuid::Uuid::from_u128(9));
    let owner = format!("{}/{OWNER}", definitions(&world.root()));
    let cases = [
        (other.clone(), reader(&world), 409, "RoleAssignmentExists"),
        (target(&world.group()), with("roleDefinitionId", json!(owner)), 400, "RoleAssignmentUpdateNotPermitted"),
        (other.clone(), with("roleDefinitionId", json!(NAME)), 404, "RoleDefinitionDoesNotExist"),
        (other.clone(), with("roleDefinitionId", json!("Reader")), 404, "RoleDefinitionDoesNotExist"),
        (other.clone(), with("principalId", json!("x")), 400, "BadRequest"),
        (other.clone(), with("principalType", json!("Robot")), 400, "BadRequest"),
        (other.clone(), with("condition", json!("true")), 400, "BadRequest"),
        (other, json!({}), 400, "InvalidRequestContent"),
        (format!("{}/x", assignments(&world.group())), reader(&world), 400, "BadRequest"),
        (target("/subscriptions/x"), reader(&world), 400, "BadRequest"),
        (
            target(&format!("{}/resourceGroups/nowhere", world.root())),
            reader(&world),
            400,
            "RoleAssignmentUpdateNotPermitted",
        ),
    ];
    for (path, body, status, code) in cases {
        let answer = world.put(&path, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path} {body}");
    }
    let nowhere =
        format!("{}/{}", assignments(&format!("{}/resourceGroups/nowhere", world.root())), uuid::Uuid::from_u128(9));
    assert_eq!(world.put(&nowhere, reader(&world)).await.code(), "ResourceGroupNotFound");
    let list = world.ask("GET", &assignments(&world.root())).await.body;
    let last =
        list["value"].as_array().unwrap().iter().find(|item| item["properties"]["scope"] == world.root()).unwrap();
    let refused = world.ask("DELETE", last["id"].as_str().unwrap()).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "CannotDeleteLastRbacAdminAssignment"));
}

#[tokio::test]
async fn a_custom_role_comes_and_goes() {
    let world = World::new().await;
    let target = format!("{}/{NAME}", definitions(&world.root()));
    let body = json!({"properties": {
        "roleName": "Watcher",
        "description": "Looks",
        "type": "CustomRole",
        "permissions": [{"actions": ["Microsoft.KeyVault/managedHSMs/read"], "notActions": null}],
        "assignableScopes": [world.root()],
    }});
    let made = world.put(&target, body.clone()).await;
    assert_eq!((made.status.as_u16(), &made.body["id"]), (201, &json!(target)));
    assert_eq!(made.body["properties"]["type"], "CustomRole");
    assert_eq!(world.put(&target, body.clone()).await.status, 201);
    assert_eq!(world.ask("GET", &target).await.body["properties"]["roleName"], "Watcher");
    let custom = format!(
        "{}?api-version=2022-04-01&$filter=atScopeAndBelow() and type eq 'CustomRole'",
        definitions(&world.root())
    );
    assert_eq!(world.ask("GET", &custom).await.names(), [NAME]);
    let other = format!("{}/{}", definitions(&world.root()), uuid::Uuid::from_u128(9));
    assert_eq!(world.put(&other, body.clone()).await.code(), "RoleDefinitionWithSameNameExists");
    assert_eq!(
        world.put(&format!("{}/{OWNER}", definitions(&world.root())), body).await.code(),
        "RoleDefinitionIsBuiltIn"
    );
    assert_eq!(world.ask("DELETE", &target).await.status, 200);
    assert_eq!(world.ask("DELETE", &target).await.status, 204);
    assert_eq!(world.ask("GET", &target).await.code(), "RoleDefinitionDoesNotExist");
}
