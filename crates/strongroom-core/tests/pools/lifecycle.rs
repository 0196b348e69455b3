//! Deleting, recovering and purging managed HSMs, whatever happens in between.

use std::sync::Arc;

use strongroom_core::layout;
use strongroom_core::pools::{
    Action, CreateMode, Error, HsmPlan, HsmSpecification, NameAvailability, READER, UserAssignedIdentity,
};
use strongroom_store::{Kv, MemoryStore};

use crate::deployment::Deployment;

async fn recover(deployment: &Deployment, name: &str) -> strongroom_core::pools::Result<()> {
    let (id, caller) = (deployment.hsm_id(name), deployment.administrator());
    let permit = deployment.permit(&caller, Action::HsmWrite, &id.scope()).await?;
    let plan = deployment.pools.plan_hsm(&permit, &id, CreateMode::Recover).await?;
    let HsmPlan::Recover(stored) = plan else { panic!("{name} is not deleted") };
    deployment.pools.recover_hsm(&deployment.request(&caller), &permit, &stored).await?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_hsm_is_gone_from_the_data_plane_and_comes_back_as_it_was() {
    let deployment = Deployment::new().await;
    let before = deployment.hsm("comes-back").await;
    deployment.delete("comes-back").await;
    let name = &deployment.hsm_id("comes-back").name;
    assert!(deployment.test.core.hsm(name).await.is_err());
    assert!(deployment.test.core.guard(before.hsm.instance).await.unwrap().value.deleted);
    assert!(matches!(deployment.show("comes-back").await, Err(Error::ResourceNotFound { .. })));
    let permit =
        deployment.list_permit(&deployment.administrator(), Action::DeletedHsmsRead, &deployment.root()).await.unwrap();
    let deleted = deployment.pools.deleted_hsms(&permit, deployment.subscription.id).await.unwrap();
    assert_eq!(deleted.len(), 1);
    let deletion = deleted[0].deletion.unwrap();
    assert_eq!(deletion.scheduled_purge, deletion.at.plus_days(7));

    recover(&deployment, "comes-back").await.unwrap();
    assert_eq!(deployment.show("comes-back").await.unwrap(), before);
    assert!(!deployment.test.core.guard(before.hsm.instance).await.unwrap().value.deleted);
    deployment.test.core.hsm(name).await.unwrap();
}

#[tokio::test]
async fn the_name_of_a_deleted_hsm_is_not_free_until_it_is_purged() {
    let deployment = Deployment::new().await;
    let first = deployment.hsm("reused").await.hsm;
    deployment.delete("reused").await;
    let create = || deployment.create("reused", deployment.specification());
    assert!(matches!(create().await, Err(Error::Core(strongroom_core::Error::Conflict))));
    deployment.purge("reused").await.unwrap();
    let permit =
        deployment.list_permit(&deployment.administrator(), Action::HsmNameCheck, &deployment.root()).await.unwrap();
    let check = || deployment.pools.check_hsm_name(&permit, deployment.subscription.id, "reused");
    assert_eq!(check().await.unwrap(), NameAvailability::Taken);
    deployment.run().await;
    assert_eq!(check().await.unwrap(), NameAvailability::Available);
    create().await.unwrap();
    assert_ne!(deployment.show("reused").await.unwrap().hsm.instance, first.instance);
}

#[tokio::test]
async fn a_purge_leaves_nothing_of_the_instance_and_no_role_on_the_name() {
    let store = Arc::new(MemoryStore::new());
    let deployment = Deployment::on(Arc::<MemoryStore>::clone(&store)).await;
    let hsm = deployment.hsm("purged").await.hsm;
    let (other, scope) = (deployment.somebody(), deployment.hsm_id("purged").scope());
    deployment.assign(&deployment.administrator(), other.principal, READER, &scope).await.unwrap();
    // As many records as several steps of a sweep take.
    for number in 0..150 {
        let mut transaction = deployment.test.core.barrier().transaction();
        let key = format!("{}1/leftover/{number}", layout::instance(hsm.instance));
        transaction.create_secret(deployment.test.core.barrier().deployment(), key, b"x");
        transaction.commit(&deployment.request(&deployment.administrator())).await.unwrap();
    }
    deployment.delete("purged").await;
    deployment.purge("purged").await.unwrap();
    assert!(matches!(recover(&deployment, "purged").await, Err(Error::OperationInProgress(_))));
    assert!(matches!(deployment.purge("purged").await, Err(Error::OperationInProgress(_))));
    deployment.run().await;
    assert!(store.range(&layout::instance(hsm.instance), None, 10, None).await.unwrap().entries.is_empty());
    deployment.hsm("purged").await;
    let refused = deployment.permit(&other, Action::HsmRead, &scope).await;
    assert!(matches!(refused, Err(Error::AuthorizationFailed { .. })));
}

#[tokio::test]
async fn purge_is_refused_while_purge_protection_is_on() {
    let deployment = Deployment::new().await;
    let specification = HsmSpecification { purge_protection: Some(true), ..deployment.specification() };
    deployment.create("protected", specification).await.unwrap();
    deployment.delete("protected").await;
    assert!(matches!(deployment.purge("protected").await, Err(Error::PurgeProtected { .. })));
    recover(&deployment, "protected").await.unwrap();
}

#[tokio::test]
async fn a_deleted_hsm_goes_by_itself_when_its_retention_ends() {
    let deployment = Deployment::new().await;
    let specification = HsmSpecification { purge_protection: Some(true), ..deployment.specification() };
    deployment.create("expiring", specification).await.unwrap();
    deployment.hsm("living").await;
    deployment.delete("expiring").await;
    deployment.test.clock.advance_days(6);
    deployment.pools.begin_due_purges().await.unwrap();
    assert!(deployment.pools.unfinished_operations().await.unwrap().is_empty());
    deployment.test.clock.advance_days(1);
    for _ in 0..2 {
        deployment.pools.begin_due_purges().await.unwrap();
        assert_eq!(deployment.pools.unfinished_operations().await.unwrap().len(), 1);
    }
    deployment.run().await;
    assert!(deployment.test.core.managed_hsm(&deployment.hsm_id("expiring").name).await.unwrap().is_none());
    deployment.show("living").await.unwrap();
}

#[tokio::test]
async fn an_hsm_that_is_being_made_is_neither_changed_nor_deleted() {
    let deployment = Deployment::new().await;
    let (id, caller) = (deployment.hsm_id("early"), deployment.administrator());
    let permit = deployment.permit(&caller, Action::HsmWrite, &id.scope()).await.unwrap();
    let request = deployment.request(&caller);
    deployment.pools.create_hsm(&request, &permit, &id, deployment.specification()).await.unwrap();
    assert!(matches!(
        deployment.pools.plan_hsm(&permit, &id, CreateMode::Default).await,
        Err(Error::OperationInProgress(_))
    ));
    let permit = deployment.permit(&caller, Action::HsmDelete, &id.scope()).await.unwrap();
    let refused = deployment.pools.delete_hsm(&deployment.request(&caller), &permit, &id).await;
    assert!(matches!(refused, Err(Error::OperationInProgress(_))));
}

#[tokio::test]
async fn deleting_twice_finds_nothing_the_second_time() {
    let deployment = Deployment::new().await;
    deployment.hsm("once").await;
    deployment.delete("once").await;
    let (id, caller) = (deployment.hsm_id("once"), deployment.administrator());
    let permit = deployment.permit(&caller, Action::HsmDelete, &id.scope()).await.unwrap();
    assert!(deployment.pools.delete_hsm(&deployment.request(&caller), &permit, &id).await.unwrap().is_none());
}

#[tokio::test]
async fn steps_that_run_twice_or_at_the_same_time_do_no_harm() {
    let deployment = Deployment::new().await;
    let (id, caller) = (deployment.hsm_id("raced"), deployment.administrator());
    let permit = deployment.permit(&caller, Action::HsmWrite, &id.scope()).await.unwrap();
    let request = deployment.request(&caller);
    let (_, operation) = deployment.pools.create_hsm(&request, &permit, &id, deployment.specification()).await.unwrap();
    let pools = &deployment.pools;
    let (first, second) = tokio::join!(pools.advance(operation.id), pools.advance(operation.id));
    first.unwrap();
    second.unwrap();
    deployment.run().await;
    pools.advance(operation.id).await.unwrap();
    deployment.show("raced").await.unwrap();
}

#[tokio::test]
async fn results_are_kept_for_a_day() {
    let deployment = Deployment::new().await;
    let (id, caller) = (deployment.hsm_id("result"), deployment.administrator());
    let permit = deployment.permit(&caller, Action::HsmWrite, &id.scope()).await.unwrap();
    let request = deployment.request(&caller);
    let (_, operation) = deployment.pools.create_hsm(&request, &permit, &id, deployment.specification()).await.unwrap();
    deployment.run().await;
    let permit = deployment.list_permit(&caller, Action::HsmOperationRead, &deployment.root()).await.unwrap();
    let ask = || deployment.pools.operation(&permit, id.subscription, operation.id);
    deployment.test.clock.advance_seconds(23 * 3600);
    deployment.pools.forget_old_operations().await.unwrap();
    ask().await.unwrap();
    deployment.test.clock.advance_seconds(2 * 3600);
    deployment.pools.forget_old_operations().await.unwrap();
    assert!(matches!(ask().await, Err(Error::OperationNotFound(_))));
}

#[tokio::test]
async fn an_operation_is_shown_only_to_who_may_see_the_hsm() {
    let deployment = Deployment::new().await;
    let (id, caller) = (deployment.hsm_id("secretive"), deployment.administrator());
    let permit = deployment.permit(&caller, Action::HsmWrite, &id.scope()).await.unwrap();
    let request = deployment.request(&caller);
    let (_, operation) = deployment.pools.create_hsm(&request, &permit, &id, deployment.specification()).await.unwrap();
    let other = deployment.somebody();
    let (group, name) = (deployment.group("strongroom"), "machine".parse().unwrap());
    let elsewhere = UserAssignedIdentity::scope_of(id.subscription, &group, &name);
    deployment.assign(&caller, other.principal, READER, &elsewhere).await.unwrap();
    let permit = deployment.list_permit(&other, Action::HsmOperationRead, &deployment.root()).await.unwrap();
    let hidden = deployment.pools.operation(&permit, id.subscription, operation.id).await;
    assert!(matches!(hidden, Err(Error::OperationNotFound(_))));
}
