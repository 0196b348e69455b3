//! Making and changing managed HSMs.

use std::collections::BTreeMap;

use strongroom_core::guard::HsmState;
use strongroom_core::managed_hsm::{Provisioning, PublicNetworkAccess};
use strongroom_core::pools::{
    Action, CreateMode, Error, HsmId, HsmSpecification, HsmView, IdentityChange, NameAvailability, OperationState,
    RetentionDays, Tags, machine_identity_id, network_acls,
};
use strongroom_testkit::draw_uuid;
use strongroom_types::{PrincipalId, TenantId};
use uuid::uuid;

use crate::deployment::Deployment;

async fn update(
    deployment: &Deployment,
    name: &str,
    specification: HsmSpecification,
) -> strongroom_core::pools::Result<HsmView> {
    let (id, caller) = (deployment.hsm_id(name), deployment.administrator());
    let permit = deployment.permit(&caller, Action::HsmWrite, &id.scope()).await?;
    let stored = deployment.pools.hsm_to_patch(&permit, &id).await?;
    deployment.pools.update_hsm(&deployment.request(&caller), &permit, &stored, specification).await
}

#[tokio::test]
async fn an_hsm_is_provisioning_until_its_operation_is_done() {
    let deployment = Deployment::new().await;
    let (id, caller) = (deployment.hsm_id("ContosoMHSM"), deployment.administrator());
    let permit = deployment.permit(&caller, Action::HsmWrite, &id.scope()).await.unwrap();
    let request = deployment.request(&caller);
    let (view, operation) =
        deployment.pools.create_hsm(&request, &permit, &id, deployment.specification()).await.unwrap();
    assert_eq!((view.hsm.provisioning, view.state), (Provisioning::Provisioning, None));
    assert!(deployment.test.core.hsm(&id.name).await.is_err());
    deployment.run().await;

    let made = deployment.show("contosomhsm").await.unwrap();
    assert_eq!((made.hsm.provisioning, made.state), (Provisioning::Succeeded, Some(HsmState::NotActivated)));
    assert_eq!(made.hsm.name.to_string(), "ContosoMHSM");
    deployment.test.core.hsm(&id.name).await.unwrap();
    let permit = deployment.list_permit(&caller, Action::HsmOperationRead, &deployment.root()).await.unwrap();
    let (ended, hsm) = deployment.pools.operation(&permit, id.subscription, operation.id).await.unwrap();
    assert_eq!((ended.state, hsm), (OperationState::Succeeded, Some(made)));
}

#[tokio::test]
async fn what_is_absent_takes_its_default() {
    let deployment = Deployment::new().await;
    let specification = HsmSpecification { retention: None, tenant: None, ..deployment.specification() };
    let hsm = deployment.create("defaults", specification).await.unwrap().hsm;
    assert_eq!((hsm.retention_days, hsm.purge_protection), (90, false));
    assert_eq!((hsm.tenant, hsm.public_network_access), (deployment.foundation.tenant, PublicNetworkAccess::Enabled));
    assert_eq!(
        (hsm.network_acls.bypass.as_str(), hsm.network_acls.default_action.as_str()),
        ("AzureServices", "Allow")
    );
}

#[tokio::test]
async fn a_body_that_misses_something_is_refused() {
    let deployment = Deployment::new().await;
    let good = deployment.specification();
    let no_location = HsmSpecification { location: None, ..good.clone() };
    assert!(matches!(deployment.create("refused", no_location).await, Err(Error::LocationRequired)));
    let no_sku = HsmSpecification { sku: None, ..good.clone() };
    assert!(matches!(deployment.create("refused", no_sku).await, Err(Error::SkuNotSupported { .. })));
    let other_tenant = Some(TenantId::from_uuid(draw_uuid().unwrap()));
    let many = (0..31).map(|_| PrincipalId::from_uuid(draw_uuid().unwrap())).collect();
    let bad = [
        HsmSpecification { initial_administrators: None, ..good.clone() },
        HsmSpecification { initial_administrators: Some(Vec::new()), ..good.clone() },
        HsmSpecification { initial_administrators: Some(many), ..good.clone() },
        HsmSpecification { tenant: other_tenant, ..good.clone() },
        HsmSpecification { soft_delete: Some(false), ..good.clone() },
    ];
    for specification in bad {
        assert!(matches!(deployment.create("refused", specification).await, Err(Error::BadProperty { .. })));
    }
    assert!(matches!(deployment.show("refused").await, Err(Error::ResourceNotFound { .. })));
}

#[tokio::test]
async fn a_name_is_taken_everywhere_and_a_group_must_exist() {
    let deployment = Deployment::new().await;
    deployment.hsm("taken").await;
    let caller = deployment.administrator();
    let elsewhere = HsmId { group: deployment.group("nowhere"), ..deployment.hsm_id("taken") };
    let permit = deployment.permit(&caller, Action::HsmWrite, &elsewhere.scope()).await.unwrap();
    let refused = deployment.pools.plan_hsm(&permit, &elsewhere, CreateMode::Default).await;
    assert!(matches!(refused, Err(Error::ResourceGroupNotFound(_))));

    let group_scope = strongroom_core::pools::ResourceScope::group(elsewhere.subscription, &elsewhere.group);
    let write = deployment.permit(&caller, Action::GroupWrite, &group_scope).await.unwrap();
    let located = strongroom_core::pools::GroupSpecification { location: "local".parse().ok(), tags: None };
    let request = deployment.request(&caller);
    deployment.pools.put_group(&request, &write, elsewhere.subscription, &elsewhere.group, located).await.unwrap();
    let refused = deployment.pools.plan_hsm(&permit, &elsewhere, CreateMode::Default).await;
    assert!(matches!(refused, Err(Error::NameTaken(_))));
    deployment.delete("taken").await;
    let refused = deployment.pools.plan_hsm(&permit, &elsewhere, CreateMode::Default).await;
    assert!(matches!(refused, Err(Error::NameDeleted(_))));
}

#[tokio::test]
async fn a_name_check_says_free_taken_or_wrong() {
    let deployment = Deployment::new().await;
    deployment.hsm("taken").await;
    let permit =
        deployment.list_permit(&deployment.administrator(), Action::HsmNameCheck, &deployment.root()).await.unwrap();
    let check =
        async |name: &str| deployment.pools.check_hsm_name(&permit, deployment.subscription.id, name).await.unwrap();
    assert_eq!(check("free-name").await, NameAvailability::Available);
    assert_eq!(check("TAKEN").await, NameAvailability::Taken);
    assert_eq!(check("1").await, NameAvailability::Invalid);
    deployment.delete("taken").await;
    assert_eq!(check("taken").await, NameAvailability::Taken);
}

#[tokio::test]
async fn the_whole_resource_sent_back_is_an_update() {
    let deployment = Deployment::new().await;
    deployment.hsm("updated").await;
    let tags = Tags::new(BTreeMap::from([("a".to_owned(), "b".to_owned())])).unwrap();
    let acls = network_acls(Some("None"), Some("Deny"), &["192.0.2.0/24".to_owned()]).unwrap();
    let specification = HsmSpecification {
        tags: Some(tags.clone()),
        network_acls: Some(acls.clone()),
        public_network_access: Some(PublicNetworkAccess::Disabled),
        soft_delete: Some(true),
        purge_protection: Some(false),
        location: Some("LOCAL".parse().unwrap()),
        ..deployment.specification()
    };
    let hsm = update(&deployment, "updated", specification).await.unwrap().hsm;
    assert_eq!((&hsm.tags, &hsm.network_acls), (tags.as_map(), &acls));
    assert_eq!(hsm.public_network_access, PublicNetworkAccess::Disabled);
    let kept = update(&deployment, "updated", HsmSpecification::default()).await.unwrap().hsm;
    assert_eq!((kept.tags, kept.network_acls), (hsm.tags, hsm.network_acls));
}

#[tokio::test]
async fn what_was_fixed_at_creation_stays() {
    let deployment = Deployment::new().await;
    deployment.hsm("fixed").await;
    let none = HsmSpecification::default;
    let moved = HsmSpecification { location: Some("mars".parse().unwrap()), ..none() };
    assert!(matches!(update(&deployment, "fixed", moved).await, Err(Error::LocationDiffers { .. })));
    let bad = [
        HsmSpecification { tenant: Some(TenantId::from_uuid(draw_uuid().unwrap())), ..none() },
        HsmSpecification { initial_administrators: Some(Vec::new()), ..none() },
        HsmSpecification { retention: Some(RetentionDays::new(90).unwrap()), ..none() },
        HsmSpecification { soft_delete: Some(false), ..none() },
    ];
    for specification in bad {
        assert!(matches!(update(&deployment, "fixed", specification).await, Err(Error::BadProperty { .. })));
    }
}

#[tokio::test]
async fn purge_protection_is_never_switched_off() {
    let deployment = Deployment::new().await;
    let hsm = deployment.hsm("kept").await.hsm;
    let before = deployment.test.core.guard(hsm.instance).await.unwrap();
    let on = HsmSpecification { purge_protection: Some(true), ..HsmSpecification::default() };
    assert!(update(&deployment, "kept", on).await.unwrap().hsm.purge_protection);
    let after = deployment.test.core.guard(hsm.instance).await.unwrap();
    assert!(after.revision > before.revision, "writes in flight must be judged again");
    let off = HsmSpecification { purge_protection: Some(false), ..HsmSpecification::default() };
    assert!(matches!(update(&deployment, "kept", off).await, Err(Error::BadProperty { .. })));
}

#[tokio::test]
async fn an_identity_is_given_only_by_who_may_assign_it() {
    let deployment = Deployment::new().await;
    deployment.hsm("with-identity").await;
    let (owner, other) = (deployment.administrator(), deployment.somebody());
    let contributor = uuid!("18500a29-7fe2-46b2-a342-b16a415e101d");
    deployment.assign(&owner, other.principal, contributor, &deployment.root()).await.unwrap();
    let id = deployment.hsm_id("with-identity");
    let give = async |caller, identity: &str| {
        let permit = deployment.permit(caller, Action::HsmWrite, &id.scope()).await.unwrap();
        let stored = deployment.pools.hsm_to_patch(&permit, &id).await.unwrap();
        let change = Some(IdentityChange::UserAssigned(vec![identity.parse().unwrap()]));
        let specification = HsmSpecification { identity: change, ..HsmSpecification::default() };
        deployment.pools.update_hsm(&deployment.request(caller), &permit, &stored, specification).await
    };
    let machine = machine_identity_id(deployment.subscription.id);
    assert!(matches!(give(&other, &machine).await, Err(Error::AuthorizationFailed { .. })));
    let missing = machine.replace("/machine", "/missing");
    assert!(matches!(give(&owner, &missing).await, Err(Error::BadProperty { .. })));
    let view = give(&owner, &machine).await.unwrap();
    assert_eq!(view.identities, [(machine.clone(), Some(deployment.foundation.machine))]);
    // What it has already is sent back by clients with every other change.
    give(&other, &machine).await.unwrap();
}
