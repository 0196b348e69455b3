//! Assigning roles, custom roles, and the guard over both.

use strongroom_core::pools::{
    Action, AssignmentSpecification, CustomRoleSpecification, Error, GroupName, OWNER, Permission, PrincipalType,
    READER, ResourceScope, Written,
};
use strongroom_testkit::draw_uuid;
use uuid::{Uuid, uuid};

use crate::deployment::Deployment;

const USER_ACCESS_ADMINISTRATOR: Uuid = uuid!("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9");
const VAULT_ACCESS_ADMINISTRATOR: Uuid = uuid!("8b54135c-b56d-4d72-a534-26097cfdc8d8");
const VAULT_CRYPTO_USER: Uuid = uuid!("12338af0-0e69-4776-bea7-57ae8d297424");

fn role(name: &str, actions: &[&str], scope: ResourceScope) -> CustomRoleSpecification {
    let actions = actions.iter().map(ToString::to_string).collect();
    let permission = Permission { actions, ..Permission::default() };
    CustomRoleSpecification::new(name.to_owned(), String::new(), vec![permission], vec![scope]).unwrap()
}

#[tokio::test]
async fn a_role_gives_access_until_it_is_taken_away() {
    let deployment = Deployment::new().await;
    let (owner, other, root) = (deployment.administrator(), deployment.somebody(), deployment.root());
    assert!(deployment.permit(&other, Action::HsmRead, &root).await.is_err());
    let assignment = deployment.assign(&owner, other.principal, READER, &root).await.unwrap();
    deployment.permit(&other, Action::HsmRead, &root).await.unwrap();
    let permit = deployment.permit(&owner, Action::RoleAssignmentDelete, &root).await.unwrap();
    let removed =
        deployment.pools.remove_role_assignment(&deployment.request(&owner), &permit, assignment.name).await.unwrap();
    assert_eq!(removed, Some(assignment));
    assert!(deployment.permit(&other, Action::HsmRead, &root).await.is_err());
}

#[tokio::test]
async fn a_write_on_a_right_that_was_taken_away_in_between_is_a_conflict() {
    let deployment = Deployment::new().await;
    let (owner, other, root) = (deployment.administrator(), deployment.somebody(), deployment.root());
    let assignment = deployment.assign(&owner, other.principal, OWNER, &root).await.unwrap();
    let id = deployment.hsm_id("late-hsm");
    let stale = deployment.permit(&other, Action::HsmWrite, &id.scope()).await.unwrap();
    let permit = deployment.permit(&owner, Action::RoleAssignmentDelete, &root).await.unwrap();
    deployment.pools.remove_role_assignment(&deployment.request(&owner), &permit, assignment.name).await.unwrap();
    let refused =
        deployment.pools.create_hsm(&deployment.request(&other), &stale, &id, deployment.specification()).await;
    assert!(matches!(refused, Err(Error::Core(strongroom_core::Error::Conflict))));
}

#[tokio::test]
async fn two_owners_cannot_remove_each_other() {
    let deployment = Deployment::new().await;
    let (first, second, root) = (deployment.administrator(), deployment.somebody(), deployment.root());
    let of_second = deployment.assign(&first, second.principal, OWNER, &root).await.unwrap();
    let of_first = |permit: &strongroom_core::pools::Permit| {
        permit.rights().assignments().iter().find(|other| other.principal == first.principal).unwrap().name
    };
    let permits = [
        deployment.permit(&first, Action::RoleAssignmentDelete, &root).await.unwrap(),
        deployment.permit(&second, Action::RoleAssignmentDelete, &root).await.unwrap(),
    ];
    let [by_first, by_second] = &permits;
    let removed = deployment.pools.remove_role_assignment(&deployment.request(&first), by_first, of_second.name).await;
    assert!(removed.unwrap().is_some());
    let late =
        deployment.pools.remove_role_assignment(&deployment.request(&second), by_second, of_first(by_second)).await;
    assert!(matches!(late, Err(Error::Core(strongroom_core::Error::Conflict))));
}

#[tokio::test]
async fn the_last_assignment_that_allows_to_assign_roles_stays() {
    let deployment = Deployment::new().await;
    let (owner, root) = (deployment.administrator(), deployment.root());
    let permit = deployment.permit(&owner, Action::RoleAssignmentDelete, &root).await.unwrap();
    let name = permit.rights().role_administrators(&root).next().unwrap().name;
    let refused = deployment.pools.remove_role_assignment(&deployment.request(&owner), &permit, name).await;
    assert!(matches!(refused, Err(Error::LastRoleAdministrator)));
    deployment.assign(&owner, deployment.somebody().principal, USER_ACCESS_ADMINISTRATOR, &root).await.unwrap();
    let permit = deployment.permit(&owner, Action::RoleAssignmentDelete, &root).await.unwrap();
    let removed = deployment.pools.remove_role_assignment(&deployment.request(&owner), &permit, name).await.unwrap();
    assert!(removed.is_some());
}

#[tokio::test]
async fn the_same_assignment_twice_is_one() {
    let deployment = Deployment::new().await;
    let (owner, root) = (deployment.administrator(), deployment.root());
    let specification = AssignmentSpecification {
        principal: deployment.somebody().principal,
        principal_type: PrincipalType::User,
        role: READER,
        description: None,
    };
    let name = draw_uuid().unwrap();
    let put = async |name, specification| {
        let permit = deployment.permit(&owner, Action::RoleAssignmentWrite, &root).await.unwrap();
        deployment.pools.assign_role(&deployment.request(&owner), &permit, name, specification).await
    };
    assert!(matches!(put(name, specification.clone()).await, Ok(Written::Created(_))));
    assert!(matches!(put(name, specification.clone()).await, Ok(Written::Updated(_))));
    let other_name = put(draw_uuid().unwrap(), specification.clone()).await;
    assert!(matches!(other_name, Err(Error::RoleAssignmentExists { existing }) if existing == name));
    let other_role = put(name, AssignmentSpecification { role: OWNER, ..specification.clone() }).await;
    assert!(matches!(other_role, Err(Error::RoleAssignmentUpdateNotPermitted(_))));
    let unknown = put(draw_uuid().unwrap(), AssignmentSpecification { role: Uuid::nil(), ..specification }).await;
    assert!(matches!(unknown, Err(Error::RoleDefinitionNotFound(_))));
}

#[tokio::test]
async fn whoever_assigns_vault_roles_cannot_make_owners() {
    let deployment = Deployment::new().await;
    let (owner, other, root) = (deployment.administrator(), deployment.somebody(), deployment.root());
    deployment.assign(&owner, other.principal, VAULT_ACCESS_ADMINISTRATOR, &root).await.unwrap();
    deployment.assign(&other, deployment.somebody().principal, VAULT_CRYPTO_USER, &root).await.unwrap();
    let refused = deployment.assign(&other, other.principal, OWNER, &root).await;
    assert!(matches!(refused, Err(Error::AuthorizationFailed { .. })));
    let permit = deployment.permit(&other, Action::RoleAssignmentDelete, &root).await.unwrap();
    let of_owner = permit.rights().role_administrators(&root).next().unwrap().name;
    let refused = deployment.pools.remove_role_assignment(&deployment.request(&other), &permit, of_owner).await;
    assert!(matches!(refused, Err(Error::AuthorizationFailed { .. })));
}

#[tokio::test]
async fn a_custom_role_holds_where_it_may_be_assigned() {
    let deployment = Deployment::new().await;
    let (owner, other, root) = (deployment.administrator(), deployment.somebody(), deployment.root());
    let group: GroupName = deployment.group("strongroom");
    let group = ResourceScope::group(deployment.subscription.id, &group);
    let id = draw_uuid().unwrap();
    let put = async |id, specification| {
        let permit = deployment.permit(&owner, Action::RoleDefinitionWrite, &root).await.unwrap();
        deployment.pools.put_role_definition(&deployment.request(&owner), &permit, id, specification).await
    };
    let watcher = || role("Watcher", &["Microsoft.KeyVault/managedHSMs/read"], group.clone());
    assert!(matches!(put(id, watcher()).await, Ok(Written::Created(_))));
    assert!(matches!(put(id, watcher()).await, Ok(Written::Updated(_))));
    assert!(matches!(put(draw_uuid().unwrap(), watcher()).await, Err(Error::RoleDefinitionNameTaken(_))));
    assert!(matches!(put(OWNER, watcher()).await, Err(Error::RoleDefinitionBuiltIn(_))));

    let outside = deployment.assign(&owner, other.principal, id, &root).await;
    assert!(matches!(outside, Err(Error::RoleDefinitionNotFound(_))));
    deployment.assign(&owner, other.principal, id, &group).await.unwrap();
    deployment.permit(&other, Action::HsmRead, &group).await.unwrap();
    assert!(deployment.permit(&other, Action::HsmWrite, &group).await.is_err());

    let permit = deployment.permit(&owner, Action::RoleDefinitionDelete, &root).await.unwrap();
    let refused = deployment.pools.remove_role_definition(&deployment.request(&owner), &permit, id).await;
    assert!(matches!(refused, Err(Error::RoleDefinitionInUse(_))));
    let elsewhere = ResourceScope::group(deployment.subscription.id, &deployment.group("elsewhere"));
    assert!(matches!(put(id, role("Watcher", &["*/read"], elsewhere)).await, Err(Error::BadProperty { .. })));
}

#[tokio::test]
async fn a_custom_role_cannot_be_made_for_scopes_the_caller_has_no_say_in() {
    let deployment = Deployment::new().await;
    let (owner, other, root) = (deployment.administrator(), deployment.somebody(), deployment.root());
    let group = ResourceScope::group(deployment.subscription.id, &deployment.group("strongroom"));
    deployment.assign(&owner, other.principal, OWNER, &group).await.unwrap();
    let permit = deployment.permit(&other, Action::RoleDefinitionWrite, &group).await.unwrap();
    let id = draw_uuid().unwrap();
    let refused =
        deployment.pools.put_role_definition(&deployment.request(&other), &permit, id, role("All", &["*"], root)).await;
    assert!(matches!(refused, Err(Error::AuthorizationFailed { .. })));
}

#[tokio::test]
async fn a_permit_opens_only_what_it_was_made_for() {
    let deployment = Deployment::new().await;
    let owner = deployment.administrator();
    let (one, two) = (deployment.hsm_id("hsm-one"), deployment.hsm_id("hsm-two"));
    let permit = deployment.permit(&owner, Action::HsmWrite, &one.scope()).await.unwrap();
    let other_scope =
        deployment.pools.create_hsm(&deployment.request(&owner), &permit, &two, deployment.specification()).await;
    assert!(matches!(other_scope, Err(Error::Core(strongroom_core::Error::Internal(_)))));
    let other_action = deployment.pools.delete_hsm(&deployment.request(&owner), &permit, &one).await;
    assert!(matches!(other_action, Err(Error::Core(strongroom_core::Error::Internal(_)))));
    let list = deployment.list_permit(&owner, Action::HsmDelete, &one.scope()).await.unwrap();
    let reach = deployment.pools.delete_hsm(&deployment.request(&owner), &list, &one).await;
    assert!(matches!(reach, Err(Error::Core(strongroom_core::Error::Internal(_)))));
}

#[tokio::test]
async fn an_assignment_that_vanishes_from_the_store_is_noticed() {
    use std::sync::Arc;
    use strongroom_store::{Commit, Kv, MemoryStore, Write};
    let store = Arc::new(MemoryStore::new());
    let deployment = Deployment::on(Arc::<MemoryStore>::clone(&store)).await;
    let victim = store.range("d/azure-role/assignment/", None, 1, None).await.unwrap().entries[0].key.clone();
    let commit = Commit { preconditions: Vec::new(), writes: vec![Write::Delete(victim)] };
    store.commit(commit).await.unwrap();
    let fresh =
        strongroom_core::pools::Pools::new(Arc::clone(&deployment.test.core), Arc::clone(&deployment.directory));
    let request = deployment.request(&deployment.administrator());
    let reach = strongroom_core::pools::Reach::Scope;
    let refused = fresh.authorize(&request, Action::HsmRead, &deployment.root(), reach).await;
    assert!(matches!(refused, Err(Error::Core(strongroom_core::Error::Tampered { .. }))));
}
