//! The restore of one key out of a full backup, and what restores make of rotation.

use std::sync::Arc;

use strongroom_core::Error;
use strongroom_core::backup::{JobOrder, JobState, OrderedKind, TargetCredential};
use strongroom_core::blobs::BlobError;
use strongroom_core::keys::{
    KeyReference, LifetimeAction, LifetimeActionType, RotationRules, RotationTrigger, UpdateKey,
};
use strongroom_core::ports::Clock;
use strongroom_store::{Kv, MemoryStore};
use strongroom_testkit::{CommitFault, FaultyStore};

use crate::full_backup::{
    CONTAINER, back_up, done, failure, furnish, furnished, keys_of, run, run_once, start, status, worker,
};
use crate::full_restore::{one, page, restore, seen, sweep};
use crate::support::World;

#[tokio::test]
async fn keys_rotate_after_a_restore_and_none_rotates_twice() {
    let world = World::active().await;
    let (hsm, request) = (world.hsm().await, || world.administration());
    for name in ["a", "b"] {
        world.ec_key(name).await;
        let trigger = RotationTrigger::TimeAfterCreate("P30D".parse().unwrap());
        let action = LifetimeAction { action: LifetimeActionType::Rotate, trigger };
        let rules = RotationRules::for_managed_hsm(&[action], None).unwrap();
        hsm.set_rotation_policy(&request(), &name.parse().unwrap(), rules).await.unwrap();
    }
    let folder = back_up(&world).await;
    world.test.clock.advance_days(31);
    let job = |operation| world.job(operation);
    assert_eq!(hsm.rotate_due_keys(&job, world.test.clock.now()).await.unwrap().rotated.len(), 2);
    back_up(&world).await;
    restore(&world, &folder).await;
    // One key comes back alone: the entry of the one it replaces goes.
    assert_eq!(done(&world, one(&folder, "b")).await.state, JobState::Succeeded);
    sweep(&world).await;
    for expected in [2, 0] {
        let round = hsm.rotate_due_keys(&job, world.test.clock.now()).await.unwrap();
        assert_eq!((round.rotated.len(), round.failed.len()), (expected, 0));
    }
    for name in ["a", "b"] {
        let versions = hsm.key_versions(&request(), &name.parse().unwrap(), page()).await.unwrap().entries;
        assert_eq!(versions.len(), 2);
    }
}

#[tokio::test]
async fn one_key_comes_back_with_all_its_versions() {
    let world = furnished().await;
    let folder = back_up(&world).await;
    let (hsm, request, name) = (world.hsm().await, || world.administration(), "ec".parse().unwrap());
    let before = hsm.key_versions(&request(), &name, page()).await.unwrap().entries;
    // While it lives and nothing is newer.
    let update = UpdateKey { tags: Some(crate::full_backup::many_tags()), ..UpdateKey::default() };
    hsm.update_key(&request(), &KeyReference { name: name.clone(), version: None }, &update).await.unwrap();
    assert_eq!(done(&world, one(&folder, "EC")).await.state, JobState::Succeeded);
    assert_eq!(hsm.key_versions(&request(), &name, page()).await.unwrap().entries, before);
    sweep(&world).await;
    assert_eq!(hsm.key_versions(&request(), &name, page()).await.unwrap().entries, before);
    // Not while the backup lacks one of its versions, nor while it is deleted.
    world.ec_key("ec").await;
    assert_eq!(failure(&done(&world, one(&folder, "ec")).await), "Conflict");
    assert_eq!(hsm.key_versions(&request(), &name, page()).await.unwrap().entries.len(), before.len() + 1);
    hsm.delete_key(&request(), &name).await.unwrap();
    assert_eq!(failure(&done(&world, one(&folder, "ec")).await), "Conflict");
    hsm.purge_key(&request(), &name).await.unwrap();
    assert_eq!(done(&world, one(&folder, "ec")).await.state, JobState::Succeeded);
    assert_eq!(hsm.key_versions(&request(), &name, page()).await.unwrap().entries, before);
    for key in keys_of(&world, &folder).await.iter().filter(|key| key.name == name) {
        assert!(hsm.key_passes(&request(), key).await.unwrap());
    }
    // A key that was deleted when the backup was made comes back alive.
    hsm.purge_key(&request(), &"gone".parse().unwrap()).await.unwrap();
    assert_eq!(done(&world, one(&folder, "gone")).await.state, JobState::Succeeded);
    hsm.key(&request(), &KeyReference { name: "gone".parse().unwrap(), version: None }).await.unwrap();
    assert_eq!(failure(&done(&world, one(&folder, "nothing")).await), "KeyNotFound");
}

#[tokio::test]
async fn a_selective_restore_that_is_cut_off_anywhere_leaves_the_key_whole() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let kv: Arc<dyn Kv> = Arc::<FaultyStore>::clone(&store);
    let mut world = World::active_on(kv).await;
    furnish(&world).await;
    let folder = back_up(&world).await;
    let before = seen(&world).await;
    let commits = {
        start(&world, &world.administration(), one(&folder, "large-a")).await.unwrap();
        let before = store.counts().committed;
        run(&world).await;
        store.counts().committed - before
    };
    let mut owner = 100;
    for cut in 0..commits {
        for fault in [CommitFault::NotApplied, CommitFault::AnswerLost] {
            owner += 1;
            let started = start(&world, &world.administration(), one(&folder, "large-a")).await.unwrap();
            store.fail_commits_after(cut, fault);
            run_once(&world, &worker(owner)).await.unwrap_err();
            store.heal();
            world.restart().await;
            assert_eq!(seen(&world).await, before, "{cut} {fault:?}");
            run(&world).await;
            world.test.clock.advance_seconds(5);
            assert_eq!(status(&world, &started).await.state, JobState::Succeeded);
            assert_eq!(seen(&world).await, before, "{cut} {fault:?}");
            world.test.clock.advance_seconds(3600);
            sweep(&world).await;
            let names = world.store_keys().await;
            assert!(names.iter().all(|key| !key.contains("/leftover/")), "{names:?}");
        }
    }
}

#[tokio::test]
async fn a_managed_identity_needs_somebody_who_gives_it_tokens() {
    let world = World::active().await;
    struct Refusing;
    #[async_trait::async_trait]
    impl strongroom_core::backup::StorageCredentials for Refusing {
        async fn credential(
            &self,
            _: &strongroom_core::managed_hsm::ManagedHsm,
            _: &str,
            _: strongroom_core::pools::BlobAccess,
        ) -> strongroom_core::Result<strongroom_core::blobs::BlobCredential> {
            Err(BlobError::NotAllowed("identity x lacks a role".to_owned()).into())
        }
    }
    let credential = TargetCredential::ManagedIdentity(Arc::new(Refusing));
    let order = JobOrder::new(OrderedKind::Backup, CONTAINER, credential).unwrap();
    let refused = world.hsm().await.start_job(&world.administration(), &order).await;
    assert!(matches!(refused, Err(Error::Blob(BlobError::NotAllowed(_)))), "{refused:?}");
}
