//! The store is untrusted: what is moved, or put back, does not open.

use strongroom_core::Error;
use strongroom_store::{Commit, Entry, Write};
use strongroom_types::{Algorithm, DataAction, Scope};

use crate::support::{World, ec};

async fn put(world: &World, key: &str, value: Vec<u8>) {
    let writes = vec![Write::Put(key.to_owned(), value)];
    world.store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
}

async fn entries(world: &World, part: &str) -> Vec<Entry> {
    let page = world.store.range("hsm/", None, 1000, None).await.unwrap();
    page.entries.into_iter().filter(|entry| entry.key.contains(part)).collect()
}

async fn sign(world: &World, name: &str) -> Result<(), Error> {
    let key = strongroom_core::keys::KeyReference { name: name.parse().unwrap(), version: None };
    world.hsm().await.sign(&world.administration(), &key, Algorithm::Es256, vec![1; 32]).await.map(drop)
}

#[tokio::test]
async fn a_record_moved_to_another_name_is_refused() {
    for part in ["/name/", "/key/", "/material/"] {
        // A new world for each: material that was used once is not read again.
        let world = World::active().await;
        world.ec_key("alice").await;
        world.ec_key("bob").await;
        let found = entries(&world, part).await;
        put(&world, &found[0].key, found[1].value.clone()).await;
        let refused = sign(&world, "alice").await.and(sign(&world, "bob").await);
        assert!(matches!(refused, Err(Error::Tampered { .. })), "{part}: {refused:?}");
        put(&world, &found[0].key, found[0].value.clone()).await;
        sign(&world, "alice").await.unwrap();
    }
}

#[tokio::test]
async fn a_record_moved_to_another_hsm_is_refused() {
    let mut world = World::active().await;
    world.ec_key("k").await;
    let first = world.hsm().await.record().instance;
    world.add_hsm("hsm2", |_| {}).await;
    world.name = "hsm2".parse().unwrap();
    world.activate().await;
    let second = world.hsm().await.record().instance;
    for entry in entries(&world, &format!("{first}/")).await {
        let moved = entry.key.replace(&first.to_string(), &second.to_string());
        put(&world, &moved, entry.value).await;
    }
    let refused =
        world.hsm().await.authorize(&world.administration(), DataAction::RoleAssignmentsRead, &Scope::Root).await;
    assert!(matches!(refused, Err(Error::Tampered { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_record_of_another_deployment_is_refused() {
    let (one, two) = (World::active().await, World::active().await);
    let (here, there) = (one.hsm().await.record().instance, two.hsm().await.record().instance);
    for entry in entries(&two, &format!("{there}/")).await {
        put(&one, &entry.key.replace(&there.to_string(), &here.to_string()), entry.value).await;
    }
    let refused = one.hsm().await.authorize(&one.administration(), DataAction::RoleAssignmentsRead, &Scope::Root).await;
    assert!(matches!(refused, Err(Error::Tampered { .. })), "{refused:?}");
}

#[tokio::test]
async fn an_older_record_put_back_is_refused() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    let before = entries(&world, "/name/").await.remove(0);
    world.hsm().await.delete_key(&world.administration(), &key.name).await.unwrap();
    put(&world, &before.key, before.value.clone()).await;
    assert!(matches!(sign(&world, "k").await, Err(Error::Tampered { .. })), "a deletion is not undone by the store");
}

#[tokio::test]
async fn a_purged_record_put_back_is_refused() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    let hsm = world.hsm().await;
    let live = entries(&world, "/name/").await.remove(0);
    hsm.delete_key(&world.administration(), &key.name).await.unwrap();
    let deleted = entries(&world, "/name/").await.remove(0);
    hsm.purge_key(&world.administration(), &key.name).await.unwrap();
    for entry in [live, deleted] {
        put(&world, &entry.key, entry.value).await;
        let refused = hsm.recover_key(&world.administration(), &key.name).await;
        assert!(matches!(refused, Err(Error::Tampered { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_role_assignment_taken_away_by_the_store_is_noticed() {
    let world = World::active().await;
    let one = entries(&world, "/role-assignment/").await.remove(0);
    let writes = vec![Write::Delete(one.key)];
    world.store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
    // Rights that were compiled before are still those of the guard's version; a new version is compiled anew.
    let user = crate::support::stranger();
    let scope = Scope::Keys;
    let name = strongroom_testkit::draw_uuid().unwrap();
    let hsm = world.hsm().await;
    let made =
        hsm.create_role_assignment(&world.administration(), &scope, name, crate::support::CRYPTO_USER, user).await;
    let refused = match made {
        Ok(_) => hsm.create_key(&world.request(user), &"k".parse().unwrap(), ec()).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(refused, Err(Error::Tampered { .. })), "{refused:?}");
}
