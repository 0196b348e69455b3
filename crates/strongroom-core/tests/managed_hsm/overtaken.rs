//! A read that a write overtakes is no rollback; one that is older than what was known before it began is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strongroom_core::barrier::{Record, Stored};
use strongroom_core::download_policy::DownloadPolicy;
use strongroom_core::keys::KeyReference;
use strongroom_core::{Core, Error, Result};
use strongroom_store::{Commit, Kv, Write};
use strongroom_testkit::{core_on, draw_uuid, request_of};
use strongroom_types::{DataAction, Scope};

use crate::slow_store::SlowStore;
use crate::support::{World, ec};

const KEY: &str = "d/test/one";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Number(u32);

impl Record for Number {
    const FORMAT: u16 = 1;
}

async fn world() -> (Arc<SlowStore>, Arc<Core>) {
    let store = Arc::new(SlowStore::default());
    let core = core_on(Arc::<SlowStore>::clone(&store)).await.unwrap().core;
    let barrier = core.barrier();
    let mut transaction = barrier.transaction();
    transaction.create(barrier.deployment(), KEY.to_owned(), &Number(1)).unwrap();
    transaction.commit(&request()).await.unwrap();
    (store, core)
}

fn request() -> strongroom_core::request::Request {
    let tenant = strongroom_types::TenantId::from_uuid(draw_uuid().unwrap());
    let principal = strongroom_types::PrincipalId::from_uuid(draw_uuid().unwrap());
    request_of(strongroom_testkit::program(tenant, principal), strongroom_testkit::START).unwrap()
}

async fn read(core: &Core) -> Result<Option<Stored<Number>>> {
    core.barrier().read(core.barrier().deployment(), KEY).await
}

async fn all(core: &Core) -> Result<Vec<Stored<Number>>> {
    core.barrier().all(core.barrier().deployment(), "d/test/").await
}

async fn replace(core: &Core, number: u32) {
    let stored = read(core).await.unwrap().unwrap();
    let mut transaction = core.barrier().transaction();
    transaction.replace(core.barrier().deployment(), &stored, &Number(number)).unwrap();
    transaction.commit(&request()).await.unwrap();
}

#[tokio::test]
async fn a_name_that_another_node_has_freed_is_used_again_and_nobody_takes_it_for_an_old_record() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    for _ in 0..5 {
        world.ec_key("k").await;
    }
    let hsm = world.hsm().await;
    hsm.delete_key(&world.administration(), &key.name).await.unwrap();
    hsm.purge_key(&world.administration(), &key.name).await.unwrap();
    // It has seen nothing of that.
    let other = world.test.beside(Arc::clone(&world.store)).await.unwrap();
    let there = other.core.hsm(&world.name).await.unwrap();
    let made = there.create_key(&world.administration(), &key.name, ec()).await.unwrap();
    let seen = hsm.key(&world.administration(), &KeyReference { name: key.name, version: None }).await.unwrap();
    assert_eq!(seen.version, made.version);
}

#[tokio::test]
async fn a_record_that_is_replaced_while_it_is_read_is_shown_as_it_was() {
    let (store, core) = world().await;
    let (answered, release) = store.hold_next();
    let writer = async {
        answered.await.unwrap();
        replace(&core, 2).await;
        release.send(()).unwrap();
    };
    let (found, ()) = tokio::join!(read(&core), writer);
    assert_eq!(found.unwrap().unwrap().value, Number(1));
    assert_eq!(read(&core).await.unwrap().unwrap().value, Number(2));
}

#[tokio::test]
async fn a_page_on_which_a_record_was_replaced_meanwhile_is_read_again() {
    let (store, core) = world().await;
    let (answered, release) = store.hold_next();
    let writer = async {
        answered.await.unwrap();
        replace(&core, 2).await;
        release.send(()).unwrap();
    };
    let (found, ()) = tokio::join!(all(&core), writer);
    assert_eq!(found.unwrap()[0].value, Number(2));
}

#[tokio::test]
async fn a_record_that_was_put_back_is_refused_by_itself_and_on_a_page() {
    let (store, core) = world().await;
    let old = store.get(KEY).await.unwrap().unwrap().value;
    replace(&core, 2).await;
    let writes = vec![Write::Put(KEY.to_owned(), old)];
    store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
    assert!(matches!(read(&core).await, Err(Error::Tampered { .. })));
    assert!(matches!(all(&core).await, Err(Error::Tampered { .. })));
}

#[tokio::test]
async fn a_rotation_that_is_confirmed_while_a_request_reads_is_no_tampering() {
    let store = Arc::new(SlowStore::default());
    let mut world = World::active_on(Arc::<SlowStore>::clone(&store) as Arc<dyn Kv>).await;
    world.test = world.test.restarted_under(DownloadPolicy::Administrator).await.unwrap();
    let custodians = world.custodians();
    let download = world.hsm().await.rotate_security_domain(&world.administration(), custodians).await.unwrap();
    // Nothing of the first epoch is at hand any more.
    world.restart().await;
    let (hsm, request) = (world.hsm().await, world.administration());
    let (answered, release) = store.hold_next();
    let rotation = async {
        answered.await.unwrap();
        hsm.confirm_download(&world.administration(), download.operation).await.unwrap();
        release.send(()).unwrap();
    };
    let (allowed, ()) = tokio::join!(hsm.authorize(&request, DataAction::RoleAssignmentsRead, &Scope::Root), rotation);
    allowed.unwrap();
    assert_eq!(world.test.core.guard(hsm.record().instance).await.unwrap().value.epoch.number(), 2);
}

#[tokio::test]
async fn a_domain_record_of_an_earlier_epoch_is_refused() {
    let mut world = World::active().await;
    world.test = world.test.restarted_under(DownloadPolicy::Administrator).await.unwrap();
    let key = strongroom_core::layout::domain(world.hsm().await.record().instance);
    let (hsm, custodians) = (world.hsm().await, world.custodians());
    let download = hsm.rotate_security_domain(&world.administration(), custodians).await.unwrap();
    let old = world.store.get(&key).await.unwrap().unwrap().value;
    hsm.confirm_download(&world.administration(), download.operation).await.unwrap();
    drop(hsm);
    let writes = vec![Write::Put(key, old)];
    world.store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
    // A node that has seen nothing yet has no witness that would refuse it.
    world.restart().await;
    let refused =
        world.hsm().await.authorize(&world.administration(), DataAction::RoleAssignmentsRead, &Scope::Root).await;
    assert!(matches!(refused, Err(Error::Tampered { .. })), "{refused:?}");
}
