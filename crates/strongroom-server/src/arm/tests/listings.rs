//! Lists show what the caller may read: every list of the operation table, asked by somebody who may read one of two.

use serde_json::{Value, json};
use strongroom_core::pools::READER;

use crate::arm::operations::{Access, OPERATIONS, Operation, OperationId as Id, Target};
use crate::arm::tests::coverage::{body, target};
use crate::arm::tests::world::World;

/// What the caller may read is called `covered`, or ends like that; what they may not is called so.
const HIDDEN: &str = "keyless";

/// What is made twice, each after what it needs.
const MADE: [Id; 8] = [
    Id::PutGroup,
    Id::PutHsm,
    Id::PutVault,
    Id::PutIdentity,
    Id::PutFederatedCredential,
    Id::PutStorageAccount,
    Id::PutVirtualNetwork,
    Id::PutPrivateEndpoint,
];

fn row(id: Id) -> &'static Operation {
    OPERATIONS.iter().find(|row| row.id == id).unwrap()
}

/// Makes everything twice in the same group, and a managed HSM and a vault in each of two groups that are then deleted.
async fn furnish(world: &World) {
    for name in ["covered", HIDDEN] {
        let named = |text: String| text.replace("covered", name);
        for id in MADE {
            let path = match id {
                Id::PutGroup => format!("{}/resourceGroups/{name}", world.root()),
                _ => named(target(world, row(id))),
            };
            let body = serde_json::from_str(&named(body(world, id).to_string())).unwrap();
            let made = world.put(&path, body).await;
            assert!(made.status.is_success(), "{id:?} {made:?}");
            world.arm.run_pending().await;
        }
        let group = format!("/resourceGroups/{name}");
        let deleted = format!("gone-{name}");
        for (path, body) in [(world.hsm(&deleted), world.hsm_body()), (world.vault(&deleted), world.vault_body())] {
            let path = path.replace("/resourceGroups/strongroom", &group);
            assert!(world.put(&path, body).await.status.is_success(), "{path}");
            world.arm.run_pending().await;
            assert!(world.ask("DELETE", &path).await.status.is_success(), "{path}");
            world.arm.run_pending().await;
        }
    }
}

/// A reader of what is called `covered`: of the group, and of one resource of each type in a group of which they may not
/// read anything else.
async fn reader(world: &World) -> String {
    let (principal, token) = world.program("reader").await;
    world.assign(&format!("{}/resourceGroups/covered", world.root()), principal, READER).await;
    for id in MADE.into_iter().filter(|id| !matches!(id, Id::PutGroup | Id::PutFederatedCredential)) {
        world.assign(&target(world, row(id)), principal, READER).await;
    }
    token
}

fn sorted<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn every_list_shows_what_the_caller_may_read_and_nothing_else() {
    let world = World::new().await;
    furnish(&world).await;
    let token = reader(&world).await;
    let lists = OPERATIONS.iter().filter(|row| row.method == "GET" && format!("{:?}", row.id).starts_with("List"));
    let mut filtered = Vec::new();
    for row in lists {
        let path = target(&world, row);
        let whole = world.ask("GET", &path).await;
        let seen = world.send(&token, "GET", &path, &Value::Null).await;
        match (row.id, row.access) {
            // These hold no resources.
            (Id::ListTenants | Id::ListSubscriptions | Id::ListLocations | Id::ListProviders, _) => {
                assert_eq!((seen.status.as_u16(), &seen.body), (200, &whole.body), "{:?}", row.id);
            }
            (Id::ListRoleAssignments | Id::ListRoleDefinitions, _) => {
                assert_eq!(seen.code(), "AuthorizationFailed", "{:?} of the whole subscription", row.id);
            }
            (_, Access::Within(..)) => {
                let readable = sorted(whole.names().into_iter().filter(|name| name.ends_with("covered")));
                assert!(!readable.is_empty(), "{:?} {:?}", row.id, whole.names());
                assert!(whole.names().iter().any(|name| name.ends_with(HIDDEN)), "{:?} {:?}", row.id, whole.names());
                assert_eq!(sorted(seen.names()), readable, "{:?}", row.id);
                filtered.push(row.id);
            }
            // A list of what belongs to one resource.
            (_, Access::On(_, place)) => {
                assert!(!matches!(place, Target::Subscription | Target::Group), "{:?} is a list to filter", row.id);
                assert_eq!((seen.status, &seen.body), (whole.status, &whole.body), "{:?}", row.id);
                let hidden = path.replace("/covered", &format!("/{HIDDEN}"));
                let refused = world.send(&token, "GET", &hidden, &Value::Null).await;
                assert_eq!(refused.code(), "AuthorizationFailed", "{:?}", row.id);
                assert_eq!(world.ask("GET", &hidden).await.status, whole.status, "{:?}", row.id);
            }
            (_, Access::Anybody) => panic!("{:?} shows everything to everybody", row.id),
        }
    }
    assert!(filtered.len() >= 15, "{filtered:?}");
}

#[tokio::test]
async fn assignments_are_listed_where_they_may_be_read_and_nothing_beside() {
    let world = World::new().await;
    furnish(&world).await;
    let token = reader(&world).await;
    let group = format!("{}/resourceGroups/covered", world.root());
    let hidden = format!("{}/resourceGroups/{HIDDEN}", world.root());
    world.assign(&hidden, world.stranger_id, READER).await;
    let list = |scope: &str| format!("{scope}/providers/Microsoft.Authorization/roleAssignments");
    let seen = world.send(&token, "GET", &list(&group), &Value::Null).await.body;
    let scopes: Vec<_> =
        seen["value"].as_array().unwrap().iter().map(|it| it["properties"]["scope"].as_str().unwrap()).collect();
    assert!(scopes.contains(&group.as_str()), "{scopes:?}");
    assert!(scopes.iter().all(|scope| *scope == group || *scope == world.root()), "{scopes:?}");
    let refused = world.send(&token, "GET", &list(&hidden), &Value::Null).await;
    assert_eq!(refused.code(), "AuthorizationFailed");
}

#[tokio::test]
async fn who_may_read_nothing_sees_no_subscription_and_no_list() {
    let world = World::new().await;
    let subscriptions = world.send(&world.stranger, "GET", "/subscriptions", &Value::Null).await;
    assert_eq!(subscriptions.body, json!({"value": []}));
    for row in OPERATIONS.iter().filter(|row| matches!(row.access, Access::Within(..))) {
        let answer = world.send(&world.stranger, row.method, &target(&world, row), &body(&world, row.id)).await;
        assert_eq!(answer.code(), "AuthorizationFailed", "{:?}", row.id);
    }
}
