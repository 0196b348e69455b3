//! A restore while the records of a rotated domain are sealed again: the two wait for each other, and lose nothing.

use std::sync::Arc;

use strongroom_core::Error;
use strongroom_core::backup::JobState;
use strongroom_core::download_policy::DownloadPolicy;
use strongroom_core::epochs::{ResealRound, ResealStep};
use strongroom_core::keys::KeyReference;
use strongroom_store::{Kv, MemoryStore};
use strongroom_testkit::{CommitFault, FaultyStore};
use strongroom_types::{Algorithm, Epoch};

use crate::epochs::{SECOND, confirm, domain, reseal, rotate, sealed};
use crate::full_backup::{back_up, furnish, run, run_once, start, status, worker};
use crate::full_restore::{seen, sweep, whole};
use crate::support::World;

/// An HSM in the middle of the sealing, after some steps of it, with a backup of the epoch before, and what that holds.
async fn resealing(steps: usize) -> (World, Arc<FaultyStore>, String, Vec<String>) {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let mut world = World::active_on(Arc::<FaultyStore>::clone(&store) as Arc<dyn Kv>).await;
    furnish(&world).await;
    let (folder, expected) = (back_up(&world).await, seen(&world).await);
    world.ec_key("later").await;
    world.test = world.test.restarted_under(DownloadPolicy::Administrator).await.unwrap();
    let new = rotate(&world).await.unwrap();
    confirm(&world, &new).await.unwrap();
    let (hsm, mut round) = (world.hsm().await, ResealRound::default());
    for _ in 0..steps {
        let step = hsm.reseal(&|operation| world.job(operation), &mut round).await.unwrap();
        assert_eq!(step, ResealStep::Went, "the job must not have ended before the restore begins");
    }
    drop(hsm);
    // The restore wants a fresh backup of the target.
    back_up(&world).await;
    (world, store, folder, expected)
}

/// All is as the backup has it, under the new epoch alone, and works.
async fn assert_restored(world: &World, expected: &[String], told: &str) {
    assert_eq!(seen(world).await, expected, "{told}");
    let (_, oldest, epoch) = domain(world).await;
    assert_eq!((oldest, epoch), (SECOND, SECOND), "{told}");
    assert!(sealed(world).await.iter().all(|(_, epoch)| *epoch == SECOND), "{told}");
    let key = KeyReference { name: "ec".parse().unwrap(), version: None };
    world.hsm().await.sign(&world.administration(), &key, Algorithm::Es256, vec![1; 32]).await.unwrap();
}

#[tokio::test]
async fn a_backup_of_the_earlier_epoch_restores_at_any_step_of_the_sealing() {
    for steps in 0..3 {
        let (mut world, _, folder, expected) = resealing(steps).await;
        assert_eq!(domain(&world).await.1, Epoch::FIRST, "{steps}");
        let started = start(&world, &world.administration(), whole(&folder)).await.unwrap();
        assert!(matches!(reseal(&world).await, Err(Error::Restoring)), "{steps}: the sealing waits");
        run(&world).await;
        assert_eq!(status(&world, &started).await.state, JobState::Succeeded);
        reseal(&world).await.unwrap();
        sweep(&world).await;
        assert_restored(&world, &expected, &format!("after {steps} steps")).await;
        world.restart().await;
        assert_restored(&world, &expected, &format!("after {steps} steps and a restart")).await;
    }
}

#[tokio::test]
async fn a_crash_of_the_restore_in_the_middle_of_the_sealing_loses_neither() {
    for commits in 0.. {
        let (mut world, store, folder, expected) = resealing(1).await;
        let started = start(&world, &world.administration(), whole(&folder)).await.unwrap();
        store.fail_commits_after(commits, CommitFault::NotApplied);
        let whole = run_once(&world, &worker(1)).await.is_ok();
        store.heal();
        world.restart().await;
        match reseal(&world).await {
            // Before the switching commit.
            Err(Error::Restoring) => assert!(!whole, "{commits}"),
            Ok(_) => {}
            Err(error) => panic!("{commits}: {error:?}"),
        }
        run(&world).await;
        assert_eq!(status(&world, &started).await.state, JobState::Succeeded, "{commits}");
        reseal(&world).await.unwrap();
        sweep(&world).await;
        assert_restored(&world, &expected, &format!("cut at commit {commits}")).await;
        if whole {
            assert!(commits >= 4, "a restore has more commits than {commits}");
            return;
        }
    }
}
