//! The first start, subscriptions, resource groups, identities.

use strongroom_core::identity::IdentityError;
use strongroom_core::pools::{
    Action, Error, GroupSpecification, IdentitySpecification, READER, Removed, ResourceScope, UserAssignedIdentity,
    Written,
};
use strongroom_core::request::Request;
use strongroom_testkit::{START, draw_uuid};
use uuid::Uuid;

use crate::deployment::Deployment;

fn located() -> GroupSpecification {
    GroupSpecification { location: Some("local".parse().unwrap()), tags: None }
}

#[tokio::test]
async fn founding_again_finds_what_the_first_start_made() {
    let deployment = Deployment::new().await;
    let request = Request::internal(draw_uuid().unwrap(), START, "Found", String::new());
    let again = deployment.pools.found(&request, &deployment.foundation).await.unwrap();
    assert_eq!(again, deployment.subscription);
    assert!(!request.is_recorded());
}

#[tokio::test]
async fn the_first_start_makes_an_owner_and_lets_machine_read_one_group() {
    let deployment = Deployment::new().await;
    let group = ResourceScope::group(deployment.subscription.id, &deployment.group("strongroom"));
    let machine = deployment.program(deployment.foundation.machine.object_id);
    deployment.permit(&deployment.administrator(), Action::RoleAssignmentWrite, &deployment.root()).await.unwrap();
    deployment.permit(&machine, Action::HsmRead, &group).await.unwrap();
    for (action, scope) in [(Action::HsmWrite, &group), (Action::HsmRead, &deployment.root())] {
        let refused = deployment.permit(&machine, action, scope).await;
        assert!(matches!(refused, Err(Error::AuthorizationFailed { .. })), "{action} {scope}");
    }
    let visible = deployment.pools.visible_subscriptions(&machine).await.unwrap();
    assert_eq!(visible, std::slice::from_ref(&deployment.subscription));
    assert!(deployment.pools.visible_subscriptions(&deployment.somebody()).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_unknown_subscription_is_not_found_and_a_known_one_is_refused() {
    let deployment = Deployment::new().await;
    let unknown = Uuid::from_u128(5);
    for caller in [deployment.administrator(), deployment.somebody()] {
        let scope = ResourceScope::subscription(unknown);
        let refused = deployment.permit(&caller, Action::SubscriptionRead, &scope).await;
        assert!(matches!(refused, Err(Error::SubscriptionNotFound(id)) if id == unknown));
    }
    let refused = deployment.permit(&deployment.somebody(), Action::SubscriptionRead, &deployment.root()).await;
    assert!(matches!(refused, Err(Error::AuthorizationFailed { .. })));
}

#[tokio::test]
async fn a_group_is_made_changed_and_removed() {
    let deployment = Deployment::new().await;
    let (caller, id, name) = (deployment.administrator(), deployment.subscription.id, deployment.group("Alpha"));
    let scope = ResourceScope::group(id, &name);
    let permit = deployment.permit(&caller, Action::GroupWrite, &scope).await.unwrap();
    let put = async |specification| {
        deployment.pools.put_group(&deployment.request(&caller), &permit, id, &name, specification).await
    };
    let missing = put(GroupSpecification::default()).await;
    assert!(matches!(missing, Err(Error::LocationRequired)));
    assert!(matches!(put(located()).await, Ok(Written::Created(_))));
    assert!(matches!(put(GroupSpecification::default()).await, Ok(Written::Updated(_))));
    let elsewhere = GroupSpecification { location: Some("mars".parse().unwrap()), tags: None };
    assert!(matches!(put(elsewhere).await, Err(Error::LocationDiffers { .. })));

    let permit = deployment.permit(&caller, Action::GroupDelete, &scope).await.unwrap();
    deployment.pools.delete_group(&deployment.request(&caller), &permit, id, &name).await.unwrap();
    let permit = deployment.permit(&caller, Action::GroupRead, &scope).await.unwrap();
    let gone = deployment.pools.group(&permit, id, &name).await;
    assert!(matches!(gone, Err(Error::ResourceGroupNotFound(_))));
}

#[tokio::test]
async fn a_list_of_groups_shows_what_the_caller_may_read() {
    let deployment = Deployment::new().await;
    let (caller, id, name) = (deployment.administrator(), deployment.subscription.id, deployment.group("Alpha"));
    let permit = deployment.permit(&caller, Action::GroupWrite, &ResourceScope::group(id, &name)).await.unwrap();
    deployment.pools.put_group(&deployment.request(&caller), &permit, id, &name, located()).await.unwrap();
    let machine = deployment.program(deployment.foundation.machine.object_id);
    for (caller, expected) in [(&caller, 2), (&machine, 1)] {
        let permit = deployment.list_permit(caller, Action::GroupRead, &deployment.root()).await.unwrap();
        assert_eq!(deployment.pools.groups(&permit, id).await.unwrap().len(), expected);
    }
}

#[tokio::test]
async fn a_group_with_an_hsm_or_an_identity_in_it_is_not_removed() {
    let deployment = Deployment::new().await;
    let (caller, id, name) = (deployment.administrator(), deployment.subscription.id, deployment.group("strongroom"));
    let scope = ResourceScope::group(id, &name);
    let permit = deployment.permit(&caller, Action::GroupDelete, &scope).await.unwrap();
    let refused = deployment.pools.delete_group(&deployment.request(&caller), &permit, id, &name).await;
    assert!(matches!(refused, Err(Error::ResourceGroupNotEmpty(_))));
}

#[tokio::test]
async fn roles_assigned_in_a_removed_group_do_not_outlive_it() {
    let deployment = Deployment::new().await;
    let (caller, id, name) = (deployment.administrator(), deployment.subscription.id, deployment.group("Alpha"));
    let (scope, other) = (ResourceScope::group(id, &name), deployment.somebody());
    let permit = deployment.permit(&caller, Action::GroupWrite, &scope).await.unwrap();
    deployment.pools.put_group(&deployment.request(&caller), &permit, id, &name, located()).await.unwrap();
    deployment.assign(&caller, other.principal, READER, &scope).await.unwrap();
    deployment.permit(&other, Action::GroupRead, &scope).await.unwrap();
    let permit = deployment.permit(&caller, Action::GroupDelete, &scope).await.unwrap();
    deployment.pools.delete_group(&deployment.request(&caller), &permit, id, &name).await.unwrap();
    let refused = deployment.permit(&other, Action::GroupRead, &scope).await;
    assert!(matches!(refused, Err(Error::AuthorizationFailed { .. })));
}

#[tokio::test]
async fn an_identity_comes_and_goes_with_its_principal() {
    let deployment = Deployment::new().await;
    let (caller, id, group) = (deployment.administrator(), deployment.subscription.id, deployment.group("strongroom"));
    let name = "backup-identity".parse().unwrap();
    let scope = UserAssignedIdentity::scope_of(id, &group, &name);
    let permit = deployment.permit(&caller, Action::IdentityWrite, &scope).await.unwrap();
    let specification = IdentitySpecification { location: Some("local".parse().unwrap()), tags: None };
    let request = deployment.request(&caller);
    let made =
        deployment.pools.put_identity(&request, &permit, id, &group, &name, specification.clone()).await.unwrap();
    let Written::Created(made) = made else { panic!("it was not there before") };
    let again = deployment
        .pools
        .put_identity(&deployment.request(&caller), &permit, id, &group, &name, specification)
        .await
        .unwrap();
    assert_eq!(again, Written::Updated(made.clone()));
    let principal = deployment.directory.principal(made.principal).await.unwrap().unwrap().value;
    assert_eq!(principal.client_id(), Some(made.client_id));

    let permit = deployment.permit(&caller, Action::IdentityDelete, &scope).await.unwrap();
    for expected in [Removed::Gone, Removed::WasAbsent] {
        let request = deployment.request(&caller);
        let removed = deployment.pools.delete_identity(&request, &permit, id, &group, &name).await.unwrap();
        assert_eq!(removed, expected);
    }
    assert!(deployment.directory.principal(made.principal).await.unwrap().is_none());
}

#[tokio::test]
async fn the_identity_machine_cannot_be_removed() {
    let deployment = Deployment::new().await;
    let (caller, id, group) = (deployment.administrator(), deployment.subscription.id, deployment.group("strongroom"));
    let name = "machine".parse().unwrap();
    let scope = UserAssignedIdentity::scope_of(id, &group, &name);
    let permit = deployment.permit(&caller, Action::IdentityDelete, &scope).await.unwrap();
    let refused = deployment.pools.delete_identity(&deployment.request(&caller), &permit, id, &group, &name).await;
    assert!(matches!(refused, Err(Error::Directory(IdentityError::Protected))));
}
