//! Rotation of a security domain: a new epoch, and every record sealed again.

use std::pin::pin;
use std::sync::Arc;

use strongroom_core::activation::{Download, DownloadStatus};
use strongroom_core::download_policy::DownloadPolicy;
use strongroom_core::epochs::{ResealRound, ResealStep};
use strongroom_core::keys::KeyReference;
use strongroom_core::{Error, Result};
use strongroom_crypto::SystemEntropy;
use strongroom_crypto::seal::Header;
use strongroom_security_domain::{SecurityDomainError, SecurityDomainFile, open_file};
use strongroom_store::{Commit, Entry, Kv, MemoryStore, Write};
use strongroom_testkit::{CommitFault, FaultyStore, MemoryRoot, StoreCounts};
use strongroom_types::{Algorithm, DomainId, Epoch, Scope};

use crate::download_again::{all_three, prove};
use crate::recovery::quorum;
use crate::slow_store::SlowStore;
use crate::support::{CRYPTO_OFFICER, CRYPTO_USER, World, ec, poll_once, stranger};

pub(crate) const SECOND: Epoch = Epoch::new(2);

pub(crate) async fn rotate(world: &World) -> Result<Download> {
    world.hsm().await.rotate_security_domain(&world.administration(), world.custodians()).await
}

pub(crate) async fn confirm(world: &World, download: &Download) -> Result<DownloadStatus> {
    world.hsm().await.confirm_download(&world.administration(), download.operation).await
}

/// Proves, rotates and confirms; the new file.
async fn rotated(world: &World, file: &str) -> String {
    prove(world, file).await.unwrap();
    let new = rotate(world).await.unwrap();
    assert_eq!(confirm(world, &new).await.unwrap(), DownloadStatus::Replaced);
    new.file
}

/// Runs the job until it is idle; how many steps it took.
pub(crate) async fn reseal(world: &World) -> Result<usize> {
    let (hsm, mut round, mut steps) = (world.hsm().await, ResealRound::default(), 0);
    while hsm.reseal(&|operation| world.job(operation), &mut round).await? != ResealStep::Idle {
        steps += 1;
    }
    Ok(steps)
}

async fn sign(world: &World, name: &str) -> Result<()> {
    let key = KeyReference { name: name.parse().unwrap(), version: None };
    world.hsm().await.sign(&world.administration(), &key, Algorithm::Es256, vec![1; 32]).await.map(drop)
}

pub(crate) async fn domain(world: &World) -> (DomainId, Epoch, Epoch) {
    let instance = world.hsm().await.record().instance;
    let guard = world.test.core.guard(instance).await.unwrap().value.clone();
    (guard.domain.unwrap(), guard.oldest_epoch, guard.epoch)
}

/// What lies sealed under the HSM's domain, with the epoch of each.
pub(crate) async fn sealed(world: &World) -> Vec<(Entry, Epoch)> {
    let (domain, ..) = domain(world).await;
    let instance = world.hsm().await.record().instance;
    let page = world.store.range(&format!("hsm/{instance}/"), None, 1000, None).await.unwrap();
    let headers = page.entries.into_iter().map(|entry| (Header::peek(&entry.value).unwrap(), entry));
    headers.filter(|(header, _)| header.domain == domain).map(|(header, entry)| (entry, header.epoch)).collect()
}

async fn put(world: &World, key: &str, value: Vec<u8>) {
    let writes = vec![Write::Put(key.to_owned(), value)];
    world.store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
}

/// An HSM whose administrator may use keys, with some, and its file.
async fn usable(mut world: World) -> (World, String) {
    let file = world.activate().await;
    for role in [CRYPTO_USER, CRYPTO_OFFICER] {
        world.assign(world.administrator, role, "/").await;
    }
    for number in 0..30 {
        world.create(&format!("k{number}"), ec()).await;
    }
    world.name = "hsm1".parse().unwrap();
    (world, file)
}

#[tokio::test]
async fn a_rotation_seals_every_record_again_and_every_key_works_all_the_while() {
    let (mut world, file) = usable(World::new().await).await;
    let gone = world.assign(stranger(), CRYPTO_USER, "/keys").await;
    let before = sealed(&world).await;
    assert!(before.len() > 90 && before.iter().all(|(_, epoch)| *epoch == Epoch::FIRST));

    prove(&world, &file).await.unwrap();
    let new = rotate(&world).await.unwrap();
    assert_eq!(domain(&world).await.2, Epoch::FIRST, "the epoch begins with the first poll");
    world.create("early", ec()).await;
    assert!(sealed(&world).await.iter().all(|(_, epoch)| *epoch == Epoch::FIRST));
    assert_eq!(world.hsm().await.download_status(&world.administration()).await.unwrap(), DownloadStatus::Waiting);
    for _ in 0..2 {
        assert_eq!(confirm(&world, &new).await.unwrap(), DownloadStatus::Replaced);
    }
    assert_eq!((domain(&world).await.1, domain(&world).await.2), (Epoch::FIRST, SECOND));
    world.create("late", ec()).await;
    for name in ["k0", "early", "late"] {
        sign(&world, name).await.unwrap();
    }
    let mixed = sealed(&world).await;
    assert!(mixed.iter().any(|(_, epoch)| *epoch == SECOND) && mixed.iter().any(|(_, epoch)| *epoch == Epoch::FIRST));

    let steps = reseal(&world).await.unwrap();
    assert!(steps > 4, "{steps}");
    assert!(sealed(&world).await.iter().all(|(_, epoch)| *epoch == SECOND));
    let state = world.hsm().await.security_domain(&world.administration()).await.unwrap();
    let progress = state.resealing.unwrap();
    assert_eq!((state.epoch, state.oldest_epoch, progress.epoch), (SECOND, SECOND, SECOND));
    assert!(progress.ended.is_some() && progress.records >= u64::try_from(before.len()).unwrap(), "{progress:?}");

    // Rights that were compiled before are not in the way of a change of what was sealed again.
    world.hsm().await.delete_role_assignment(&world.administration(), &Scope::Keys, gone).await.unwrap();
    world.restart().await;
    for name in ["k0", "k29", "early", "late"] {
        sign(&world, name).await.unwrap();
    }
    assert_eq!(reseal(&world).await.unwrap(), 0);
    let details: Vec<_> = world.test.audit.events().into_iter().filter_map(|event| event.properties.detail).collect();
    assert!(details.iter().any(|detail| detail.starts_with("rotation to epoch 2, under policy quorum")), "{details:?}");
    assert!(details.iter().any(|detail| detail.contains("epoch 2 has begun") && detail.contains("earlier files")));
    assert!(details.iter().any(|detail| detail.starts_with("epoch 2: ") && detail.contains("none is left")));
}

#[tokio::test]
async fn once_it_has_ended_the_old_root_opens_no_record_any_more() {
    let (mut world, file) = usable(World::new().await).await;
    let before = sealed(&world).await;
    let (old, _) = before.iter().find(|(entry, _)| entry.key.contains("/material/")).unwrap();
    rotated(&world, &file).await;
    // A node that has seen nothing yet has no witness that would refuse it.
    world.restart().await;
    reseal(&world).await.unwrap();
    let resealed = sealed(&world).await;
    put(&world, &old.key, old.value.clone()).await;
    world.restart().await;
    let mut refused = 0;
    for number in 0..30 {
        refused += usize::from(matches!(sign(&world, &format!("k{number}")).await, Err(Error::Tampered { .. })));
    }
    assert_eq!(refused, 1);
    let (same, _) = resealed.iter().find(|(entry, _)| entry.key == old.key).unwrap();
    put(&world, &old.key, same.value.clone()).await;
    world.restart().await;
    for number in 0..30 {
        sign(&world, &format!("k{number}")).await.unwrap();
    }
}

#[tokio::test]
async fn the_new_file_holds_all_epochs_and_key_backups_of_all_of_them_restore() {
    let (mut world, file) = usable(World::new().await).await;
    let name: strongroom_types::KeyName = "k0".parse().unwrap();
    let old = world.hsm().await.back_up_key(&world.administration(), &name).await.unwrap();
    let newer = rotated(&world, &file).await;
    reseal(&world).await.unwrap();
    let new = world.hsm().await.back_up_key(&world.administration(), &name).await.unwrap();
    let epochs = |file: &str| open_file(file, &quorum()).unwrap().domain.secrets.roots().len();
    assert_eq!((epochs(&file), epochs(&newer)), (1, 2));

    // The new file recovers an HSM that takes backups of both epochs, the old one an HSM that takes only the old.
    for (hsm, file, takes_new) in [("hsm2", &newer, true), ("hsm3", &file, false)] {
        world.add_hsm(hsm, |_| {}).await;
        world.name = hsm.parse().unwrap();
        prove(&world, file).await.unwrap();
        for role in [CRYPTO_USER, CRYPTO_OFFICER] {
            world.assign(world.administrator, role, "/").await;
        }
        let hsm = world.hsm().await;
        let restored = hsm.restore_key(&world.administration(), &new).await;
        if takes_new {
            restored.unwrap();
            hsm.delete_key(&world.administration(), &name).await.unwrap();
            hsm.purge_key(&world.administration(), &name).await.unwrap();
        } else {
            assert!(matches!(restored, Err(Error::BackupRefused)), "{restored:?}");
        }
        hsm.restore_key(&world.administration(), &old).await.unwrap();
        sign(&world, "k0").await.unwrap();
    }
}

#[tokio::test]
async fn an_older_file_proves_nothing_after_a_rotation() {
    let (world, file) = usable(World::new().await).await;
    let newer = rotated(&world, &file).await;
    let refused = prove(&world, &file).await;
    assert!(matches!(refused, Err(Error::OtherEpoch { uploaded: Epoch::FIRST, own: SECOND })), "{refused:?}");
    assert!(matches!(rotate(&world).await, Err(Error::QuorumNotProved)));
    prove(&world, &newer).await.unwrap();
    // The next rotation need not wait for the end of this one.
    let third = rotate(&world).await.unwrap();
    confirm(&world, &third).await.unwrap();
    reseal(&world).await.unwrap();
    assert_eq!((domain(&world).await.1, domain(&world).await.2), (Epoch::new(3), Epoch::new(3)));
    assert!(sealed(&world).await.iter().all(|(_, epoch)| *epoch == Epoch::new(3)));
    sign(&world, "k7").await.unwrap();
}

#[tokio::test]
async fn a_step_with_nothing_to_do_reads_the_guard_alone_and_one_that_finds_nothing_lets_others_go_on() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let mut world = World::active_on(Arc::<FaultyStore>::clone(&store) as Arc<dyn Kv>).await;
    world.create("a", ec()).await;
    world.test = world.test.restarted_under(DownloadPolicy::Administrator).await.unwrap();
    let (hsm, job, mut round) = (world.hsm().await, |operation| world.job(operation), ResealRound::default());
    let before = store.counts();
    assert_eq!(hsm.reseal(&job, &mut round).await.unwrap(), ResealStep::Idle);
    assert_eq!(store.counts(), StoreCounts { gets: before.gets + 1, ..before });
    confirm(&world, &rotate(&world).await.unwrap()).await.unwrap();
    assert_eq!(hsm.reseal(&job, &mut round).await.unwrap(), ResealStep::Went);
    assert!(sealed(&world).await.iter().all(|(_, epoch)| *epoch == SECOND));
    let before = store.counts();
    let mut clean = pin!(hsm.reseal(&job, &mut round));
    assert!(poll_once(clean.as_mut()).is_pending());
    assert_eq!(clean.await.unwrap(), ResealStep::Ended(SECOND));
    assert_eq!(store.counts().gets, before.gets + 2, "the guard and the record of the domain, each once");
}

/// A round that began under one epoch does not end the next.
#[tokio::test]
async fn a_rotation_in_the_middle_of_a_round_begins_it_anew() {
    let (mut world, _) = usable(World::new().await).await;
    world.test = world.test.restarted_under(DownloadPolicy::Administrator).await.unwrap();
    confirm(&world, &rotate(&world).await.unwrap()).await.unwrap();
    let (hsm, mut round) = (world.hsm().await, ResealRound::default());
    let job = |operation| world.job(operation);
    // Up to the middle of the round that finds nothing any more.
    for _ in 0..100 {
        if sealed(&world).await.iter().all(|(_, epoch)| *epoch == SECOND) {
            break;
        }
        hsm.reseal(&job, &mut round).await.unwrap();
    }
    confirm(&world, &rotate(&world).await.unwrap()).await.unwrap();
    while hsm.reseal(&job, &mut round).await.unwrap() != ResealStep::Idle {}
    assert!(sealed(&world).await.iter().all(|(_, epoch)| *epoch == Epoch::new(3)));
    assert_eq!(domain(&world).await.1, Epoch::new(3));
    sign(&world, "k3").await.unwrap();
}

#[tokio::test]
async fn of_two_rotations_at_once_the_confirmed_one_counts_and_its_file_opens() {
    for root in [MemoryRoot::generate().unwrap(), MemoryRoot::generate().unwrap().without_hsm_roots()] {
        let (mut world, file) = usable(World::under(root).await).await;
        prove(&world, &file).await.unwrap();
        let (one, two) = tokio::join!(rotate(&world), rotate(&world));
        let mut counted = None;
        for download in [one.unwrap(), two.unwrap()] {
            if confirm(&world, &download).await.unwrap() == DownloadStatus::Replaced {
                assert!(counted.replace(download.file).is_none(), "one of them");
            }
        }
        let file = counted.unwrap();
        reseal(&world).await.unwrap();
        world.restart().await;
        if matches!(sign(&world, "k1").await, Err(Error::Sealed)) {
            prove(&world, &file).await.unwrap();
        }
        sign(&world, "k1").await.unwrap();
    }
}

/// The answer to the first one's commit is late: until then the second one is not on record, and its secrets are nowhere else.
#[tokio::test]
async fn under_provider_quorum_a_late_rotation_leaves_the_secrets_of_the_newest_alone() {
    let store = Arc::new(SlowStore::default());
    let kv: Arc<dyn Kv> = Arc::<SlowStore>::clone(&store);
    let root = MemoryRoot::generate().unwrap().without_hsm_roots();
    let (world, file) = usable(World::under_on(root, kv).await).await;
    prove(&world, &file).await.unwrap();
    let (answered, release) = store.hold_next_commit();
    let late = async {
        answered.await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        release.send(()).unwrap();
    };
    let (one, two, ()) = tokio::join!(rotate(&world), rotate(&world), late);
    assert_eq!(confirm(&world, &one.unwrap()).await.unwrap(), DownloadStatus::Failed);
    assert_eq!(confirm(&world, &two.unwrap()).await.unwrap(), DownloadStatus::Replaced);
    sign(&world, "k1").await.unwrap();
}

#[tokio::test]
async fn under_provider_quorum_only_a_file_of_the_new_epoch_unseals() {
    let (mut world, old) = usable(World::under(MemoryRoot::generate().unwrap().without_hsm_roots()).await).await;
    let new = rotated(&world, &old).await;
    let (hsm, mut round) = (world.hsm().await, ResealRound::default());
    hsm.reseal(&|operation| world.job(operation), &mut round).await.unwrap();
    drop(hsm);
    // In the middle of the sealing.
    world.restart().await;
    assert!(matches!(reseal(&world).await, Err(Error::Sealed)));
    let refused = prove(&world, &old).await;
    assert!(matches!(refused, Err(Error::OtherEpoch { .. })), "{refused:?}");
    prove(&world, &new).await.unwrap();
    sign(&world, "k2").await.unwrap();
    reseal(&world).await.unwrap();
    world.restart().await;
    prove(&world, &new).await.unwrap();
    sign(&world, "k2").await.unwrap();
    assert!(sealed(&world).await.iter().all(|(_, epoch)| *epoch == SECOND));
}

/// Whoever has opened an earlier file can sign in the name of the domain, and make up a root for the new epoch.
#[tokio::test]
async fn under_provider_quorum_a_made_up_root_of_the_new_epoch_is_refused() {
    let (mut world, old) = usable(World::under(MemoryRoot::generate().unwrap().without_hsm_roots()).await).await;
    let new = rotated(&world, &old).await;
    let made_up = open_file(&old, &quorum()).unwrap().domain.secrets.with_next_epoch(&SystemEntropy).unwrap();
    let created = world.administration().received;
    let file = SecurityDomainFile::build(&made_up, SECOND, &world.custodians(), created, &SystemEntropy).unwrap();
    let altered = |result| matches!(result, Err(Error::SecurityDomain(SecurityDomainError::Altered(_))));
    assert!(altered(prove(&world, &file).await), "as the proof of a quorum");
    // Before anything is sealed again, so that the earlier root opens the rights.
    world.restart().await;
    assert!(altered(prove(&world, &file).await), "and as what unseals");
    assert!(matches!(sign(&world, "k0").await, Err(Error::Sealed)));
    prove(&world, &new).await.unwrap();
    sign(&world, "k0").await.unwrap();
}

/// Somebody kept the file of a rotation that was never confirmed, and no other.
#[tokio::test]
async fn under_provider_quorum_the_file_of_an_unconfirmed_rotation_unseals_too() {
    let (mut world, old) = usable(World::under(MemoryRoot::generate().unwrap().without_hsm_roots()).await).await;
    prove(&world, &old).await.unwrap();
    let unconfirmed = rotate(&world).await.unwrap();
    world.restart().await;
    prove(&world, &unconfirmed.file).await.unwrap();
    sign(&world, "k2").await.unwrap();
    assert_eq!(domain(&world).await.2, Epoch::FIRST);
    assert_eq!(confirm(&world, &unconfirmed).await.unwrap(), DownloadStatus::Failed, "its root was in memory only");
    let refused = prove(&world, &unconfirmed.file).await;
    assert!(matches!(refused, Err(Error::OtherEpoch { uploaded: SECOND, own: Epoch::FIRST })), "{refused:?}");
    rotated(&world, &old).await;
    reseal(&world).await.unwrap();
    sign(&world, "k2").await.unwrap();
}

#[tokio::test]
async fn what_is_written_while_a_step_is_under_way_is_kept() {
    let (world, file) = usable(World::new().await).await;
    rotated(&world, &file).await;
    let writes = async {
        for number in 0..30 {
            let name: strongroom_types::KeyName = format!("k{number}").parse().unwrap();
            world.create(name.as_str(), ec()).await;
            tokio::task::yield_now().await;
        }
    };
    let job = async {
        let (hsm, mut round) = (world.hsm().await, ResealRound::default());
        loop {
            match hsm.reseal(&|operation| world.job(operation), &mut round).await {
                Ok(ResealStep::Idle) => return,
                Ok(_) | Err(Error::Conflict) => tokio::task::yield_now().await,
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    tokio::join!(writes, job);
    reseal(&world).await.unwrap();
    assert!(sealed(&world).await.iter().all(|(_, epoch)| *epoch == SECOND));
    for number in 0..30 {
        let name = format!("k{number}").parse().unwrap();
        let hsm = world.hsm().await;
        let page = strongroom_core::keys::PageRequest::new(None, None, world.test.core.limits()).unwrap();
        let versions = hsm.key_versions(&world.administration(), &name, page).await.unwrap();
        assert_eq!(versions.entries.len(), 2, "{name}");
        sign(&world, name.as_str()).await.unwrap();
    }
}

/// The store fails at each commit of the whole story in turn, in every way; after a restart it goes on, and in the end all is
/// as it would have been.
#[tokio::test]
async fn a_crash_at_any_commit_leaves_the_old_epoch_or_the_new_one_and_the_job_goes_on() {
    for fault in [CommitFault::NotApplied, CommitFault::AnswerLost, CommitFault::Full] {
        for commits in 0.. {
            let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
            let mut world = World::active_on(Arc::<FaultyStore>::clone(&store) as Arc<dyn Kv>).await;
            for name in ["a", "b"] {
                world.create(name, ec()).await;
            }
            world.test = world.test.restarted_under(DownloadPolicy::Administrator).await.unwrap();
            store.fail_commits_after(commits, fault);
            let told = async {
                let new = rotate(&world).await?;
                confirm(&world, &new).await?;
                reseal(&world).await
            };
            let whole = told.await.is_ok();
            store.heal();
            world.test = world.test.restarted_under(DownloadPolicy::Administrator).await.unwrap();
            for name in ["a", "b"] {
                sign(&world, name).await.unwrap();
            }
            let (_, oldest, epoch) = domain(&world).await;
            assert!(
                sealed(&world).await.iter().all(|(_, sealed)| (oldest..=epoch).contains(sealed)),
                "{fault:?} {commits}"
            );
            reseal(&world).await.unwrap();
            let (_, oldest, epoch) = domain(&world).await;
            assert_eq!(oldest, epoch);
            assert!(sealed(&world).await.iter().all(|(_, sealed)| *sealed == epoch), "{fault:?} {commits}");
            for name in ["a", "b"] {
                sign(&world, name).await.unwrap();
            }
            world.create("c", ec()).await;
            if whole {
                assert!(commits >= 4, "{fault:?}: the story has more commits than {commits}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_rotation_is_for_active_hsms_and_needs_other_custodians_no_more_than_the_same() {
    let world = World::new().await;
    assert!(matches!(rotate(&world).await, Err(Error::NotActivated)));
    let file = world.activate().await;
    prove(&world, &file).await.unwrap();
    let new = world.hsm().await.rotate_security_domain(&world.administration(), all_three()).await.unwrap();
    confirm(&world, &new).await.unwrap();
    let state = world.hsm().await.security_domain(&world.administration()).await.unwrap();
    assert_eq!((state.required, state.epoch), (3, SECOND));
}

/// Whoever holds the secrets of a domain can sign for it; what they sign must still be the whole of it.
#[tokio::test]
async fn a_manifest_of_an_earlier_epoch_over_later_roots_is_refused() {
    let (mut world, file) = usable(World::new().await).await;
    let newer = rotated(&world, &file).await;
    let secrets = open_file(&newer, &quorum()).unwrap().domain.secrets;
    let rebuilt = |epoch| {
        let (custodians, created) = (world.custodians(), world.administration().received);
        SecurityDomainFile::build(&secrets, epoch, &custodians, created, &SystemEntropy).unwrap()
    };
    let (older, same) = (rebuilt(Epoch::FIRST), rebuilt(SECOND));
    world.add_hsm("hsm2", |_| {}).await;
    world.name = "hsm2".parse().unwrap();
    let refused = prove(&world, &older).await;
    assert!(matches!(refused, Err(Error::SecurityDomain(SecurityDomainError::Altered(_)))), "{refused:?}");
    prove(&world, &same).await.unwrap();
    assert_eq!((domain(&world).await.1, domain(&world).await.2), (SECOND, SECOND));
    assert_eq!(reseal(&world).await.unwrap(), 0);
}
