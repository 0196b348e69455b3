//! Vaults as resources: made, changed, deleted, recovered, purged.

use strongroom_core::pools::{
    Action, CreateMode, Error, NameAvailability, OWNER, PolicyChange, RetentionDays, VaultPlan, VaultSpecification,
};
use strongroom_core::request::Caller;
use strongroom_core::vault::{AccessPolicy, AuthorizationModel, Permissions, VaultSku};
use strongroom_testkit::draw_uuid;
use strongroom_types::{KeyPermission, PrincipalId, TenantId};
use uuid::{Uuid, uuid};

use crate::deployment::Deployment;

const KEY_VAULT_CONTRIBUTOR: Uuid = uuid!("f25e0fa2-a7c8-4377-a976-54943a77a395");

pub(crate) fn policy(deployment: &Deployment, principal: PrincipalId, keys: &[KeyPermission]) -> AccessPolicy {
    AccessPolicy {
        tenant: deployment.foundation.tenant,
        principal,
        application: None,
        permissions: Permissions { keys: keys.iter().copied().collect(), ..Permissions::default() },
    }
}

async fn contributor(deployment: &Deployment) -> Caller {
    let caller = deployment.somebody();
    let root = deployment.root();
    deployment.assign(&deployment.administrator(), caller.principal, KEY_VAULT_CONTRIBUTOR, &root).await.unwrap();
    caller
}

#[tokio::test]
async fn a_vault_is_there_when_it_was_made() {
    let deployment = Deployment::new().await;
    let view = deployment.create_vault("Vault-1", deployment.vault_specification()).await.unwrap();
    assert_eq!((view.vault.sku, view.vault.retention_days), (VaultSku::Standard, 7));
    assert_eq!((view.access.model, view.access.policies.len()), (AuthorizationModel::AzureRbac, 0));
    assert_eq!(deployment.test.core.vault(&"vault-1".parse().unwrap()).await.unwrap().record().label, "vault-1");
    let caller = deployment.administrator();
    let permit = deployment.list_permit(&caller, Action::VaultNameCheck, &deployment.root()).await.unwrap();
    for (name, expected) in [
        ("VAULT-1", NameAvailability::Taken),
        ("vault-2", NameAvailability::Available),
        ("2-vault", NameAvailability::Invalid),
    ] {
        let found = deployment.pools.check_vault_name(&permit, deployment.subscription.id, name).await.unwrap();
        assert_eq!(found, expected, "{name}");
    }
}

#[tokio::test]
async fn a_vault_and_an_hsm_may_have_one_name() {
    let deployment = Deployment::new().await;
    deployment.hsm("same").await;
    deployment.create_vault("same", deployment.vault_specification()).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused_and_the_rest_is_changed() {
    let deployment = Deployment::new().await;
    let administrator = deployment.administrator();
    deployment.create_vault("vault-1", deployment.vault_specification()).await.unwrap();
    let none = VaultSpecification::default;
    for specification in [
        VaultSpecification { tenant: Some(TenantId::from_uuid(draw_uuid().unwrap())), ..none() },
        VaultSpecification { retention: Some(RetentionDays::new(8).unwrap()), ..none() },
        VaultSpecification { soft_delete: Some(false), ..none() },
    ] {
        let refused = deployment.update_vault(&administrator, "vault-1", specification).await;
        assert!(matches!(refused, Err(Error::BadProperty { .. })), "{refused:?}");
    }
    let change = VaultSpecification { purge_protection: Some(true), sku: Some(VaultSku::Premium), ..none() };
    let view = deployment.update_vault(&administrator, "vault-1", change).await.unwrap();
    assert!(view.vault.purge_protection && view.vault.sku == VaultSku::Premium);
    let off = VaultSpecification { purge_protection: Some(false), ..none() };
    let refused = deployment.update_vault(&administrator, "vault-1", off).await;
    assert!(matches!(refused, Err(Error::BadProperty { .. })));
}

#[tokio::test]
async fn who_decides_is_changed_only_by_who_may_hand_out_roles() {
    let deployment = Deployment::new().await;
    deployment.create_vault("vault-1", deployment.vault_specification()).await.unwrap();
    let contributor = contributor(&deployment).await;
    let none = VaultSpecification::default;
    let change = || VaultSpecification { model: Some(AuthorizationModel::AccessPolicies), ..none() };
    let tags = VaultSpecification { enabled_for_deployment: Some(true), ..none() };
    deployment.update_vault(&contributor, "vault-1", tags).await.unwrap();
    let refused = deployment.update_vault(&contributor, "vault-1", change()).await;
    assert!(matches!(refused, Err(Error::AuthorizationFailed { action: Action::RoleAssignmentWrite, .. })));
    let view = deployment.update_vault(&deployment.administrator(), "vault-1", change()).await.unwrap();
    assert_eq!(view.access.model, AuthorizationModel::AccessPolicies);
}

#[tokio::test]
async fn policies_are_changed_one_principal_at_a_time() {
    let deployment = Deployment::new().await;
    let specification =
        VaultSpecification { model: Some(AuthorizationModel::AccessPolicies), ..deployment.vault_specification() };
    deployment.create_vault("vault-1", specification).await.unwrap();
    let (id, caller) = (deployment.vault_id("vault-1"), deployment.administrator());
    let change = async |change, named| {
        let permit = deployment.permit(&caller, Action::VaultPoliciesWrite, &id.scope()).await.unwrap();
        deployment.pools.change_policies(&deployment.request(&caller), &permit, &id, change, named).await
    };
    let (one, two) = (deployment.somebody().principal, deployment.somebody().principal);
    use KeyPermission::{Get, Sign};
    change(PolicyChange::Add, vec![policy(&deployment, one, &[Get])]).await.unwrap();
    change(PolicyChange::Add, vec![policy(&deployment, two, &[Sign])]).await.unwrap();
    let view = change(PolicyChange::Remove, vec![policy(&deployment, one, &[Get])]).await.unwrap();
    assert_eq!(view.access.policies, [policy(&deployment, two, &[Sign])]);
    let foreign =
        AccessPolicy { tenant: TenantId::from_uuid(draw_uuid().unwrap()), ..policy(&deployment, one, &[Get]) };
    assert!(matches!(change(PolicyChange::Replace, vec![foreign]).await, Err(Error::BadProperty { .. })));
}

#[tokio::test]
async fn a_deleted_vault_keeps_its_name_until_it_is_purged() {
    let deployment = Deployment::new().await;
    deployment.create_vault("vault-1", deployment.vault_specification()).await.unwrap();
    deployment.delete_vault("vault-1").await;
    let name = "vault-1".parse().unwrap();
    assert!(deployment.test.core.vault(&name).await.is_err());
    let (id, caller) = (deployment.vault_id("vault-1"), deployment.administrator());
    let permit = deployment.permit(&caller, Action::VaultWrite, &id.scope()).await.unwrap();
    let refused = deployment.pools.plan_vault(&permit, &id, CreateMode::Default).await;
    assert!(matches!(refused, Err(Error::VaultNameDeleted(_))));
    deployment.recover_vault("vault-1").await.unwrap();
    deployment.test.core.vault(&name).await.unwrap();
    deployment.delete_vault("vault-1").await;
    deployment.purge_vault("vault-1").await.unwrap();
    let plan = deployment.pools.plan_vault(&permit, &id, CreateMode::Default).await.unwrap();
    assert!(matches!(plan, VaultPlan::Create));
    assert!(matches!(deployment.purge_vault("vault-1").await, Err(Error::DeletedVaultNotFound { .. })));
}

#[tokio::test]
async fn purge_protection_keeps_a_deleted_vault_until_its_time() {
    let deployment = Deployment::new().await;
    let specification = VaultSpecification { purge_protection: Some(true), ..deployment.vault_specification() };
    deployment.create_vault("vault-1", specification).await.unwrap();
    deployment.delete_vault("vault-1").await;
    assert!(matches!(deployment.purge_vault("vault-1").await, Err(Error::PurgeProtected { .. })));
    deployment.test.clock.advance_days(6);
    deployment.pools.purge_due_vaults().await.unwrap();
    assert!(deployment.test.core.vault_record(&"vault-1".parse().unwrap()).await.unwrap().is_some());
    deployment.test.clock.advance_days(1);
    deployment.pools.purge_due_vaults().await.unwrap();
    assert!(deployment.test.core.vault_record(&"vault-1".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn roles_on_a_purged_vault_are_not_inherited_by_the_next_of_its_name() {
    let deployment = Deployment::new().await;
    deployment.create_vault("vault-1", deployment.vault_specification()).await.unwrap();
    let scope = deployment.vault_id("vault-1").scope();
    for _ in 0..45 {
        let somebody = deployment.somebody().principal;
        deployment.assign(&deployment.administrator(), somebody, OWNER, &scope).await.unwrap();
    }
    deployment.delete_vault("vault-1").await;
    deployment.purge_vault("vault-1").await.unwrap();
    let (administrator, root) = (deployment.administrator(), deployment.root());
    let permit = deployment.permit(&administrator, Action::RoleAssignmentRead, &root).await.unwrap();
    assert!(!permit.rights().assignments().iter().any(|assignment| scope.covers(&assignment.scope)));
}
