use strongroom_core::Error;
use strongroom_core::rbac::{ADMINISTRATOR, AssignmentFilter};
use strongroom_types::{DataAction, Scope};

use crate::support::{CRYPTO_USER, World, ec, stranger};

#[tokio::test]
async fn a_revoked_role_is_gone_with_the_answer() {
    let world = World::active().await;
    let user = stranger();
    let hsm = world.hsm().await;
    let scope: Scope = "/keys/a".parse().unwrap();
    let assignment = world.assign(user, CRYPTO_USER, "/keys/a").await;
    hsm.create_key(&world.request(user), &"a".parse().unwrap(), ec()).await.unwrap();
    let refused = hsm.create_key(&world.request(user), &"b".parse().unwrap(), ec()).await;
    assert!(matches!(refused, Err(Error::Forbidden { action: DataAction::KeysCreate, .. })));
    hsm.delete_role_assignment(&world.administration(), &scope, assignment).await.unwrap();
    let refused = hsm.create_key(&world.request(user), &"a".parse().unwrap(), ec()).await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })));
}

#[tokio::test]
async fn the_last_administrator_cannot_be_removed() {
    let world = World::active().await;
    let hsm = world.hsm().await;
    let all = hsm.role_assignments(&world.administration(), &Scope::Root, AssignmentFilter::All).await.unwrap();
    let own = all.iter().find(|assignment| assignment.role == ADMINISTRATOR).unwrap().name;
    let refused = hsm.delete_role_assignment(&world.administration(), &Scope::Root, own).await;
    assert!(matches!(refused, Err(Error::LastAdministrator { .. })));
    let second = stranger();
    world.assign(second, ADMINISTRATOR, "/").await;
    hsm.delete_role_assignment(&world.administration(), &Scope::Root, own).await.unwrap();
    let refused = hsm.role_assignments(&world.request(stranger()), &Scope::Root, AssignmentFilter::All).await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })));
}

#[tokio::test]
async fn two_administrators_cannot_remove_each_other() {
    let world = World::active().await;
    let second = stranger();
    let theirs = world.assign(second, ADMINISTRATOR, "/").await;
    let hsm = world.hsm().await;
    let all = hsm.role_assignments(&world.administration(), &Scope::Root, AssignmentFilter::All).await.unwrap();
    let own = all.iter().find(|one| one.role == ADMINISTRATOR && one.principal == world.administrator).unwrap().name;
    let (mine, other) = (world.administration(), world.request(second));
    let (one, two) = tokio::join!(
        hsm.delete_role_assignment(&mine, &Scope::Root, theirs),
        hsm.delete_role_assignment(&other, &Scope::Root, own),
    );
    assert!(one.is_ok() != two.is_ok(), "exactly one of them succeeds: {one:?} {two:?}");
}

#[tokio::test]
async fn the_same_assignment_twice_is_one_and_another_name_for_it_is_refused() {
    let world = World::active().await;
    let hsm = world.hsm().await;
    let user = stranger();
    let name = world.assign(user, CRYPTO_USER, "/keys").await;
    hsm.create_role_assignment(&world.administration(), &Scope::Keys, name, CRYPTO_USER, user).await.unwrap();
    let other = strongroom_testkit::draw_uuid().unwrap();
    let refused = hsm.create_role_assignment(&world.administration(), &Scope::Keys, other, CRYPTO_USER, user).await;
    assert!(matches!(refused, Err(Error::RoleAssignmentExists { .. })));
}

#[tokio::test]
async fn a_list_at_the_root_shows_no_assignment_of_a_single_key() {
    let world = World::active().await;
    world.assign(stranger(), CRYPTO_USER, "/keys/a").await;
    world.assign(stranger(), CRYPTO_USER, "/keys").await;
    let hsm = world.hsm().await;
    let at = |scope: &str| {
        let scope: Scope = scope.parse().unwrap();
        let request = world.administration();
        let hsm = &hsm;
        async move { hsm.role_assignments(&request, &scope, AssignmentFilter::All).await.unwrap() }
    };
    assert!(!at("/").await.iter().any(|one| matches!(one.scope, Scope::Key(_))));
    assert!(at("/").await.iter().any(|one| one.scope == Scope::Keys));
    assert!(at("/keys/a").await.iter().any(|one| matches!(one.scope, Scope::Key(_))));
}

#[tokio::test]
async fn purge_removes_the_rights_on_the_key() {
    let world = World::active().await;
    let user = stranger();
    let key = world.ec_key("gone").await;
    world.assign(user, CRYPTO_USER, "/keys/gone").await;
    let hsm = world.hsm().await;
    hsm.delete_key(&world.administration(), &key.name).await.unwrap();
    hsm.purge_key(&world.administration(), &key.name).await.unwrap();
    let refused = hsm.create_key(&world.request(user), &key.name, ec()).await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })));
}

#[tokio::test]
async fn a_token_of_another_tenant_is_no_token() {
    let world = World::active().await;
    let mut request = world.administration();
    let tenant = strongroom_types::TenantId::from_uuid(strongroom_testkit::draw_uuid().unwrap());
    std::sync::Arc::make_mut(&mut request.caller).tenant = tenant;
    let refused = world.hsm().await.authorize(&request, DataAction::RoleAssignmentsRead, &Scope::Root).await;
    assert!(matches!(refused, Err(Error::ForeignTenant)));
}
