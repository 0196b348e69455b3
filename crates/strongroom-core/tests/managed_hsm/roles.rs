//! Custom roles: what they give, to whom, and what cannot be done to them.

use strongroom_core::Error;
use strongroom_core::rbac::{
    ADMINISTRATOR, AssignmentFilter, DefinitionFilter, Permission, RoleDefinitionId, RoleKind, RoleSpecification,
};
use strongroom_testkit::draw_uuid;
use strongroom_types::{DataAction, PrincipalId, Scope};

use crate::support::{CRYPTO_USER, World, ec, stranger};

fn role(name: &str, gives: &[DataAction], except: &[DataAction]) -> RoleSpecification {
    let permission = Permission { data_actions: gives.to_vec(), not_data_actions: except.to_vec() };
    RoleSpecification::new(name.to_owned(), String::new(), vec![permission]).unwrap()
}

async fn define(world: &World, id: RoleDefinitionId, wanted: &RoleSpecification) -> Result<(), Error> {
    let hsm = world.hsm().await;
    hsm.put_role_definition(&world.administration(), &Scope::Root, id, wanted).await.map(drop)
}

fn fresh() -> RoleDefinitionId {
    RoleDefinitionId(draw_uuid().unwrap())
}

async fn may(world: &World, user: PrincipalId, action: DataAction, scope: &Scope) -> bool {
    match world.hsm().await.authorize(&world.request(user), action, scope).await {
        Ok(_) => true,
        Err(Error::Forbidden { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_custom_role_gives_what_it_says_where_it_is_assigned() {
    use DataAction::{KeysCreate, KeysRead, KeysSign};
    let world = World::active().await;
    let (user, id) = (stranger(), fresh());
    define(&world, id, &role("Signer", &[KeysRead, KeysSign, KeysCreate], &[KeysCreate])).await.unwrap();
    world.assign(user, id, "/keys/a").await;
    let at = |text: &str| text.parse::<Scope>().unwrap();
    assert!(may(&world, user, KeysSign, &at("/keys/a")).await);
    assert!(may(&world, user, KeysSign, &at("/keys/A")).await, "names are compared without case");
    assert!(!may(&world, user, KeysCreate, &at("/keys/a")).await, "an exception takes it away");
    for elsewhere in ["/keys/b", "/keys", "/"] {
        assert!(!may(&world, user, KeysSign, &at(elsewhere)).await, "{elsewhere}");
    }
    world.assign(user, CRYPTO_USER, "/keys/a").await;
    assert!(may(&world, user, KeysCreate, &at("/keys/a")).await, "an exception takes nothing from another role");
}

#[tokio::test]
async fn a_changed_role_counts_with_the_answer() {
    let world = World::active().await;
    let (user, id) = (stranger(), fresh());
    let created = |world: &World| {
        let request = world.request(user);
        async move { request }
    };
    define(&world, id, &role("Maker", &[DataAction::KeysCreate], &[])).await.unwrap();
    world.assign(user, id, "/").await;
    let hsm = world.hsm().await;
    hsm.create_key(&created(&world).await, &"a".parse().unwrap(), ec()).await.unwrap();
    define(&world, id, &role("Maker", &[], &[])).await.unwrap();
    let refused = hsm.create_key(&created(&world).await, &"a".parse().unwrap(), ec()).await;
    assert!(matches!(refused, Err(Error::Forbidden { action: DataAction::KeysCreate, .. })));
}

#[tokio::test]
async fn writing_a_role_replaces_it_whole_and_repeating_changes_nothing() {
    let world = World::active().await;
    let (id, hsm) = (fresh(), world.hsm().await);
    let described = RoleSpecification::new("One".to_owned(), "text".to_owned(), vec![Permission::default()]).unwrap();
    define(&world, id, &described).await.unwrap();
    let bare = RoleSpecification::new(String::new(), String::new(), Vec::new()).unwrap();
    let replaced = hsm.put_role_definition(&world.administration(), &Scope::Root, id, &bare).await.unwrap();
    assert_eq!((replaced.role_name.as_str(), replaced.description.as_str()), ("", ""));
    assert_eq!((replaced.kind, replaced.permissions.len()), (RoleKind::Custom, 0));
    let version = world.test.core.guard(hsm.record().instance).await.unwrap().value.rights_version;
    define(&world, id, &bare).await.unwrap();
    assert_eq!(world.test.core.guard(hsm.record().instance).await.unwrap().value.rights_version, version);
}

#[tokio::test]
async fn built_in_roles_can_be_neither_changed_nor_removed() {
    let world = World::active().await;
    let refused = define(&world, ADMINISTRATOR, &role("Mine", &[], &[])).await;
    assert!(matches!(refused, Err(Error::BadParameter { parameter: "roleDefinitionName", .. })));
    let hsm = world.hsm().await;
    let refused = hsm.delete_role_definition(&world.administration(), &Scope::Root, CRYPTO_USER).await;
    assert!(matches!(refused, Err(Error::BadParameter { parameter: "roleDefinitionName", .. })));
}

#[tokio::test]
async fn a_role_in_use_cannot_be_removed() {
    let world = World::active().await;
    let (user, id, hsm) = (stranger(), fresh(), world.hsm().await);
    define(&world, id, &role("Used", &[DataAction::KeysRead], &[])).await.unwrap();
    let assignment = world.assign(user, id, "/keys").await;
    let administration = world.administration();
    let refused = hsm.delete_role_definition(&administration, &Scope::Root, id).await;
    assert!(matches!(refused, Err(Error::RoleDefinitionInUse { assignments: 1, .. })));
    hsm.delete_role_assignment(&administration, &Scope::Keys, assignment).await.unwrap();
    let removed = hsm.delete_role_definition(&administration, &Scope::Root, id).await.unwrap();
    assert_eq!(removed.role_name, "Used");
    let again = hsm.delete_role_definition(&administration, &Scope::Root, id).await;
    assert!(matches!(again, Err(Error::RoleDefinitionNotFound { .. })));
    let unknown = hsm.create_role_assignment(&administration, &Scope::Root, draw_uuid().unwrap(), id, user).await;
    assert!(matches!(unknown, Err(Error::RoleDefinitionNotFound { .. })));
}

#[tokio::test]
async fn a_role_is_not_removed_while_it_is_being_assigned() {
    let world = World::active().await;
    let (user, id, hsm) = (stranger(), fresh(), world.hsm().await);
    define(&world, id, &role("Raced", &[DataAction::KeysRead], &[])).await.unwrap();
    let (one, two) = (world.administration(), world.administration());
    let (removed, assigned) = tokio::join!(
        hsm.delete_role_definition(&one, &Scope::Root, id),
        hsm.create_role_assignment(&two, &Scope::Keys, draw_uuid().unwrap(), id, user),
    );
    assert!(removed.is_ok() != assigned.is_ok(), "exactly one of them succeeds: {removed:?} {assigned:?}");
}

#[tokio::test]
async fn names_of_roles_are_unique_without_case_unless_they_are_empty() {
    let world = World::active().await;
    define(&world, fresh(), &role("Mine", &[], &[])).await.unwrap();
    for taken in ["mine", "managed hsm crypto user"] {
        let refused = define(&world, fresh(), &role(taken, &[], &[])).await;
        assert!(matches!(refused, Err(Error::RoleNameTaken { .. })), "{taken}");
    }
    define(&world, fresh(), &role("", &[], &[])).await.unwrap();
    define(&world, fresh(), &role("", &[], &[])).await.unwrap();
}

#[tokio::test]
async fn an_hsm_takes_fifty_custom_roles() {
    let world = World::active().await;
    let last = fresh();
    define(&world, last, &role("", &[], &[])).await.unwrap();
    for _ in 1..50 {
        define(&world, fresh(), &role("", &[], &[])).await.unwrap();
    }
    let refused = define(&world, fresh(), &role("", &[], &[])).await;
    assert!(matches!(refused, Err(Error::LimitReached { limit: 50, .. })));
    define(&world, last, &role("still changeable", &[], &[])).await.unwrap();
}

#[tokio::test]
async fn roles_are_written_at_the_root_only() {
    let world = World::active().await;
    let hsm = world.hsm().await;
    let refused = hsm.put_role_definition(&world.administration(), &Scope::Keys, fresh(), &role("", &[], &[])).await;
    assert!(matches!(refused, Err(Error::BadParameter { parameter: "scope", .. })));
    // A right to write definitions that is held at a key only is no right to write any.
    let (user, id) = (stranger(), fresh());
    define(&world, id, &role("Definer", &[DataAction::RoleDefinitionsWrite], &[])).await.unwrap();
    world.assign(user, id, "/keys/a").await;
    let scope = "/keys/a".parse().unwrap();
    let refused = hsm.put_role_definition(&world.request(user), &scope, fresh(), &role("", &[], &[])).await;
    assert!(matches!(refused, Err(Error::Forbidden { scope: Scope::Root, .. })));
}

#[tokio::test]
async fn lists_show_built_in_and_custom_roles_by_kind_and_name() {
    let world = World::active().await;
    let (id, hsm) = (fresh(), world.hsm().await);
    define(&world, id, &role("Custom One", &[], &[])).await.unwrap();
    let list = |filter: DefinitionFilter| {
        let (request, hsm) = (world.administration(), &hsm);
        async move { hsm.role_definitions(&request, &Scope::Root, &filter).await.unwrap() }
    };
    assert_eq!(list(DefinitionFilter::All).await.len(), 10);
    assert_eq!(list(DefinitionFilter::Kind(RoleKind::BuiltIn)).await.len(), 9);
    let custom = list(DefinitionFilter::Kind(RoleKind::Custom)).await;
    assert_eq!(custom, list(DefinitionFilter::Named("custom one".to_owned())).await);
    assert_eq!(custom[0].id, id);
}

#[tokio::test]
async fn a_role_that_the_store_takes_away_or_puts_back_is_noticed() {
    let world = World::active().await;
    let (user, id) = (stranger(), fresh());
    define(&world, id, &role("Wide", &[DataAction::KeysSign], &[])).await.unwrap();
    let page = world.store.range("hsm/", None, 1000, None).await.unwrap();
    let wide = page.entries.into_iter().find(|entry| entry.key.contains("/role-definition/")).unwrap();
    define(&world, id, &role("Narrow", &[], &[])).await.unwrap();
    world.assign(user, id, "/").await;
    assert!(!may(&world, user, DataAction::KeysSign, &Scope::Root).await);
    let put_back = strongroom_store::Write::Put(wide.key, wide.value);
    let commit = strongroom_store::Commit { preconditions: Vec::new(), writes: vec![put_back] };
    world.store.commit(commit).await.unwrap();
    // The rights in memory are those that were verified; the next change reads them anew.
    let refused = world
        .hsm()
        .await
        .create_role_assignment(&world.administration(), &Scope::Keys, draw_uuid().unwrap(), id, user)
        .await;
    let read = world.hsm().await.role_assignments(&world.administration(), &Scope::Root, AssignmentFilter::All).await;
    assert!(
        matches!(&refused, Err(Error::Tampered { .. })) || matches!(&read, Err(Error::Tampered { .. })),
        "{refused:?} {read:?}"
    );
}
