//! The authorization matrix of the management plane: every row of the operation table × every built-in role × {no token,
//! the role elsewhere only, the role on the subscription}, through [`crate::arm::Arm::handle`].
//! `docs/authorization-matrix-arm.md` is what was observed.
//!
//! A new row is taken up by itself. If its body is refused before the caller is judged, give it one in
//! [`coverage::body`].

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};
use strongroom_core::pools::{BUILT_IN_ROLES, BuiltInRole, OWNER};
use strongroom_types::PrincipalId;

use crate::arm::operations::{Access, Match, OPERATIONS, Operation, OperationId, Route, Target};
use crate::arm::tests::coverage;
use crate::arm::tests::world::{Answer, World};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/authorization-matrix-arm.md");

/// What an answer says about the caller's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// 401: nobody.
    Unknown,
    /// 403 `AuthorizationFailed`.
    Refused,
    /// Anything that only an authorized caller is told.
    Allowed,
}

/// Where somebody holds a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Subscription,
    /// The resource group of what is asked for.
    Group,
    /// Exactly what is asked for, if that is a resource.
    Resource,
    /// Another resource group of the subscription.
    OtherGroup,
    /// Another resource of each type, in the same group.
    OtherResources,
}

/// Somebody who asks.
struct Asker {
    principal: PrincipalId,
    token: String,
}

/// One row as it was observed: for each role on the subscription, then for owners of less.
struct Observed {
    row: &'static Operation,
    by_role: Vec<Verdict>,
    by_scope: Vec<Verdict>,
}

fn body(world: &World, row: &Operation) -> Value {
    match row.id {
        // A role that all may assign who may assign any.
        OperationId::PutRoleAssignment => json!({"properties": {
            "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{}", id_of("Key Vault Reader")),
            "principalId": coverage::GUID,
        }}),
        id => coverage::body(world, id),
    }
}

fn id_of(role: &str) -> uuid::Uuid {
    BUILT_IN_ROLES.iter().find(|other| other.name == role).unwrap().id
}

async fn ask(world: &World, row: &Operation, token: &str) -> Verdict {
    let answer = world.send(token, row.method, &coverage::target(world, row), &body(world, row)).await;
    world.arm.run_pending().await;
    world.test.audit.take();
    assert!(answer.status.as_u16() < 500, "{:?}: {answer:?}", row.id);
    verdict(&answer)
}

fn verdict(answer: &Answer) -> Verdict {
    match (answer.status.as_u16(), answer.code()) {
        (401, _) => Verdict::Unknown,
        (403, "AuthorizationFailed") => Verdict::Refused,
        _ => Verdict::Allowed,
    }
}

/// The scope that a row's action is asked for, as text.
fn scope(world: &World, row: &Operation, target: Target) -> String {
    let Match::Operation(_, place) = Route::parse(&coverage::target(world, row)).unwrap().find(row.method) else {
        panic!("{:?} is not found by its own path", row.id)
    };
    place.scope(target).unwrap().as_str().to_owned()
}

fn target(row: &Operation) -> Option<Target> {
    match row.access {
        Access::Anybody => None,
        Access::On(_, target) | Access::Within(_, target) => Some(target),
    }
}

/// The scope of a row that asks for a right on a resource.
fn resource(world: &World, row: &Operation) -> Option<String> {
    let target =
        target(row).filter(|target| !matches!(target, Target::Subscription | Target::Group | Target::Scope))?;
    Some(scope(world, row, target))
}

/// One asker for each built-in role, who holds it in these places.
async fn role_holders(world: &World, name: &str, scopes: &[String]) -> Vec<Asker> {
    let mut askers = Vec::new();
    for role in BUILT_IN_ROLES {
        let (principal, token) = world.program(&format!("{} {name}", role.name)).await;
        for scope in scopes {
            world.assign(scope, principal, role.id).await;
        }
        askers.push(Asker { principal, token });
    }
    askers
}

/// Whether a pattern of a role definition means an action: stars stand for anything, letters for both cases.
fn means(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_lowercase(), action.to_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == action };
    let Some(left) = action.strip_prefix(first) else { return false };
    (0..=left.len()).any(|skipped| means(rest, &left[skipped..]))
}

/// Whether a role's `actions` name an action that its `notActions` do not take away.
fn holds(role: &BuiltInRole, action: &str) -> bool {
    let any = |patterns: &[String]| patterns.iter().any(|pattern| means(pattern, action));
    role.definition().permissions.iter().any(|it| any(&it.actions) && !any(&it.not_actions))
}

/// Whether a role that holds a row's action is enough for it when it is held in a place.
fn suffices(place: Place, access: Access) -> bool {
    let (target, list) = match access {
        Access::Anybody => return true,
        Access::On(_, target) => (target, false),
        Access::Within(_, target) => (target, true),
    };
    match (place, target) {
        (Place::Subscription, _) => true,
        // A list asks for a right there or below.
        (_, Target::Subscription) => list,
        // They are asked at the subscription here.
        (_, Target::Scope) => false,
        // What was deleted lies in the subscription and in no group.
        (Place::Group, Target::DeletedHsm | Target::DeletedVault) => false,
        (Place::Group, _) => true,
        (Place::OtherGroup, _) => false,
        (Place::OtherResources, Target::Group) | (Place::Resource, Target::Group) => list,
        (Place::OtherResources, _) => false,
        (Place::Resource, _) => true,
    }
}

fn expected(role: &BuiltInRole, place: Place, row: &Operation) -> Verdict {
    let held = match row.access {
        Access::Anybody => true,
        Access::On(action, _) | Access::Within(action, _) => holds(role, action.as_str()),
    };
    if held && suffices(place, row.access) { Verdict::Allowed } else { Verdict::Refused }
}

fn page(observed: &[Observed]) -> String {
    // Roles that are told the same in every row share a column.
    let column = |role: usize| observed.iter().map(|it| it.by_role[role]).collect::<Vec<_>>();
    let mut columns: Vec<(String, Vec<Verdict>)> = Vec::new();
    for (index, role) in BUILT_IN_ROLES.iter().enumerate() {
        let told = column(index);
        match columns.iter_mut().find(|(_, other)| *other == told) {
            Some((names, _)) => *names = format!("{names}, {}", role.name),
            None => columns.push((role.name.to_owned(), told)),
        }
    }
    for (index, name) in ["Owner of the group", "Owner of the resource"].into_iter().enumerate() {
        columns.push((name.to_owned(), observed.iter().map(|it| it.by_scope[index]).collect()));
    }
    let mut text = String::from(HEAD);
    let heads: String = columns.iter().map(|(name, _)| format!(" {name} |")).collect();
    writeln!(text, "| operation | request | action |{heads}").unwrap();
    writeln!(text, "|---|---|---|{}", "---|".repeat(columns.len())).unwrap();
    for (index, Observed { row, .. }) in observed.iter().enumerate() {
        let yes = |told: &[Verdict]| if told[index] == Verdict::Allowed { " yes |" } else { " – |" };
        let cells: String = columns.iter().map(|(_, told)| yes(told)).collect();
        let action = match row.access {
            Access::Anybody => "none".to_owned(),
            Access::On(action, _) => format!("`{action}`"),
            Access::Within(action, _) => format!("`{action}`, there or below"),
        };
        writeln!(text, "| {:?} | `{} {}` | {action} |{cells}", row.id, row.method, shown(row)).unwrap();
    }
    text
}

/// A row's path; the scope before `Microsoft.Authorization` is any.
fn shown(row: &Operation) -> String {
    match row.path {
        crate::arm::operations::Path::Whole(pattern) => pattern.as_str().to_owned(),
        crate::arm::operations::Path::Authorization(pattern) => {
            format!("{{scope}}/providers/Microsoft.Authorization{}", pattern.as_str())
        }
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a variable of the test run asks for the page to be written anew")]
async fn every_arm_operation_is_allowed_to_the_roles_that_hold_its_action_and_to_nobody_else() {
    let world = World::new().await;
    let other_group = format!("{}/resourceGroups/elsewhere", world.root());
    assert_eq!(world.put(&other_group, json!({"location": "local"})).await.status, 201);
    let resources: BTreeSet<_> = OPERATIONS.iter().filter_map(|row| resource(&world, row)).collect();
    let others: Vec<_> = resources.iter().map(|scope| scope.replace("/covered", "/another")).collect();
    let here = role_holders(&world, "here", &[world.root()]).await;
    let in_other_group = role_holders(&world, "elsewhere", &[other_group]).await;
    let on_other_resources = role_holders(&world, "beside", &others).await;
    let (group_owner, of_group) = world.program("owner of the group").await;
    world.assign(&world.group(), group_owner, OWNER).await;
    let (principal, token) = world.program("owner of the resource").await;
    let resource_owner = Asker { principal, token };
    for scope in &resources {
        world.assign(scope, resource_owner.principal, OWNER).await;
    }
    let owner = BUILT_IN_ROLES.iter().find(|role| role.id == OWNER).unwrap();

    let mut observed = Vec::new();
    for row in OPERATIONS {
        assert_eq!(ask(&world, row, "").await, Verdict::Unknown, "{:?} without a token", row.id);
        let mut by_role = Vec::new();
        for (index, role) in BUILT_IN_ROLES.iter().enumerate() {
            for (place, askers) in [
                (Place::OtherGroup, &in_other_group),
                (Place::OtherResources, &on_other_resources),
                (Place::Subscription, &here),
            ] {
                let verdict = ask(&world, row, &askers[index].token).await;
                assert_eq!(verdict, expected(role, place, row), "{:?} to {} at {place:?}", row.id, role.name);
                if place == Place::Subscription {
                    by_role.push(verdict);
                }
            }
        }
        // What is deleted takes the assignments on it along.
        if let Some(scope) = resource(&world, row) {
            world.assign(&scope, resource_owner.principal, OWNER).await;
        }
        let mut by_scope = Vec::new();
        for (place, token) in [(Place::Group, &of_group), (Place::Resource, &resource_owner.token)] {
            let verdict = ask(&world, row, token).await;
            assert_eq!(verdict, expected(owner, place, row), "{:?} to the owner at {place:?}", row.id);
            by_scope.push(verdict);
        }
        observed.push(Observed { row, by_role, by_scope });
    }
    let observed = page(&observed);
    if std::env::var("STRONGROOM_BLESS").is_ok() {
        std::fs::write(PAGE, observed).unwrap();
        return;
    }
    let shown = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert_eq!(shown, observed, "run this test with STRONGROOM_BLESS=1 to write docs/authorization-matrix-arm.md anew");
}

const HEAD: &str = "# Who may do what on the management plane

Written by a test that asked a management plane: every operation, with each built-in role of Azure RBAC. It is never
edited by hand; run `STRONGROOM_BLESS=1 cargo test -p strongroom-server every_arm_operation` to write it anew. What the
roles of a managed HSM allow is on [another page](authorization-matrix.md): no role of this page allows anything there.

* **yes**: allowed to who holds the role on the subscription. **–**: 403 `AuthorizationFailed`, before anything is
  looked up. Roles that are told the same everywhere share a column.
* Without a token every request of this table is answered 401. *none* as action: who has a token of the tenant may ask,
  and is shown only what their roles let them see.
* Who holds the role only on another resource group, or only on other resources of the same group, is refused in every
  row that does not say *there or below*, or *none*. *There or below*: a list is allowed to who may read anything in it,
  and shows that alone.
* Key Vault Data Access Administrator may assign the roles of vaults that concern data, and no others.
* Keys of a managed HSM are shown and made here only while its own administrators say so
  (`AllowKeyManagementOperationsThroughARM`); the right alone is not enough.
* The last two columns are about scope. Operations on role definitions and assignments are asked at the subscription
  here; elsewhere they need the right there. What was deleted lies in the subscription, and in no group.

";
