//! Full backups: what is in them, that they show one moment, and what becomes of blob stores that fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_core::backup::{
    BackedUpKeyVersion, JobOrder, JobState, JobStatus, OrderedKind, Ran, TargetCredential, Worker,
};
use strongroom_core::blobs::BlobError;
use strongroom_core::keys::{CreateKey, KeyAttributes, Tags, UpdateKey};
use strongroom_core::request::Request;
use strongroom_core::{Error, Limits, layout};
use strongroom_crypto::KeySpecification;
use strongroom_store::{Commit, Kv, MemoryStore, Write};
use strongroom_testkit::{BlobFault, CommitFault, FaultyStore, MemoryRoot};
use strongroom_types::{DataAction, NodeId, RsaSize, Secret, SymmetricSize};
use uuid::Uuid;

use crate::download_again::prove;
use crate::support::{CRYPTO_USER, World, ec, stranger};

pub(crate) const CONTAINER: &str = "memory:backups";

pub(crate) fn worker(number: u128) -> Worker {
    Worker { id: NodeId::from_uuid(Uuid::from_u128(number)), takeover_seconds: 0, credentials: None }
}

pub(crate) async fn start(world: &World, request: &Request, kind: OrderedKind) -> Result<JobStatus, Error> {
    let order = JobOrder::new(kind, CONTAINER, TargetCredential::None)?;
    world.hsm().await.start_job(request, &order).await
}

/// Works on all jobs once.
pub(crate) async fn run_once(world: &World, worker: &Worker) -> Result<(), Error> {
    for job in world.test.core.running_jobs().await? {
        world.test.core.run_job(worker, &job).await?;
    }
    Ok(())
}

/// Works on all jobs until none is left, and lets the time pass that they want.
pub(crate) async fn run(world: &World) {
    for _ in 0..50 {
        run_once(world, &worker(1)).await.unwrap();
        world.test.clock.advance_seconds(5);
        if world.test.core.running_jobs().await.unwrap().is_empty() {
            return;
        }
    }
    panic!("a job does not end");
}

pub(crate) async fn status(world: &World, started: &JobStatus) -> JobStatus {
    let (hsm, request, id) = (world.hsm().await, world.administration(), started.id.to_string());
    let found = if started.kind.is_backup() {
        hsm.backup_status(&request, &id).await
    } else {
        hsm.restore_status(&request, &id).await
    };
    found.unwrap()
}

/// Starts a job, works it off, and answers what became of it.
pub(crate) async fn done(world: &World, kind: OrderedKind) -> JobStatus {
    let started = start(world, &world.administration(), kind).await.unwrap();
    assert_eq!(started.state, JobState::InProgress);
    run(world).await;
    status(world, &started).await
}

/// Makes a backup, and answers its folder.
pub(crate) async fn back_up(world: &World) -> String {
    let ended = done(world, OrderedKind::Backup).await;
    assert_eq!(ended.state, JobState::Succeeded);
    folder(&ended)
}

pub(crate) fn folder(status: &JobStatus) -> String {
    status.folder.strip_prefix(&format!("{CONTAINER}/")).unwrap().to_owned()
}

/// The code of a job that must have failed.
pub(crate) fn failure(status: &JobStatus) -> &str {
    match &status.state {
        JobState::Failed { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

/// The keys a backup holds, as a drill sees them.
pub(crate) async fn keys_of(world: &World, folder: &str) -> Vec<BackedUpKeyVersion> {
    let container = world.test.blobs.container(CONTAINER);
    let backup = world.hsm().await.open_backup(&world.administration(), container, folder).await.unwrap();
    let (mut keys, mut all) = (backup.keys(), Vec::new());
    while let Some(key) = keys.next().await.unwrap() {
        all.push(key);
    }
    all
}

/// What is asked of a key of some 30 KB.
pub(crate) fn large() -> CreateKey {
    CreateKey { tags: many_tags(), ..ec() }
}

/// The job that is under way, as it is shown.
pub(crate) async fn under_way(world: &World) -> JobStatus {
    let job = world.test.core.running_jobs().await.unwrap().remove(0).job;
    world.hsm().await.backup_status(&world.administration(), &job.to_string()).await.unwrap()
}

/// Tags of some 30 KB.
pub(crate) fn many_tags() -> Tags {
    let text = |number: usize| format!("{number:02}{}", "\u{1f511}".repeat(250));
    Tags::new((0..15).map(|number| (text(number), text(number))).collect(), &Limits::default()).unwrap()
}

/// An HSM with keys of every type, some deleted, and more than one part of them.
pub(crate) async fn furnished() -> World {
    let world = World::active().await;
    furnish(&world).await;
    world
}

pub(crate) async fn furnish(world: &World) {
    for (name, specification) in
        [("rsa", KeySpecification::Rsa(RsaSize::Bits2048)), ("aes", KeySpecification::Oct(SymmetricSize::Bits256))]
    {
        world.create(name, CreateKey { specification, ..ec() }).await;
    }
    for _ in 0..3 {
        world.ec_key("Ec").await;
    }
    let disabled = KeyAttributes { enabled: Some(false), ..KeyAttributes::default() };
    world.create("off", CreateKey { attributes: disabled, ..ec() }).await;
    let gone = world.ec_key("gone").await;
    world.hsm().await.delete_key(&world.administration(), &gone.name).await.unwrap();
    for name in ["large-a", "large-b"] {
        for _ in 0..2 {
            world.create(name, CreateKey { tags: many_tags(), ..ec() }).await;
        }
    }
}

#[tokio::test]
async fn a_backup_names_what_it_holds_and_its_end_is_not_told_too_early() {
    let world = furnished().await;
    let started = start(&world, &world.administration(), OrderedKind::Backup).await.unwrap();
    run_once(&world, &worker(1)).await.unwrap();
    assert!(world.test.core.running_jobs().await.unwrap().is_empty());
    assert_eq!(status(&world, &started).await.state, JobState::InProgress);
    world.test.clock.advance_seconds(5);
    let ended = status(&world, &started).await;
    assert_eq!(ended.state, JobState::Succeeded);
    assert_eq!(ended.ended.unwrap(), ended.started.plus_seconds(5));
    let folder = folder(&ended);
    assert!(folder.starts_with("mhsm-hsm1-20270115") && folder.len() == "mhsm-hsm1-".len() + 16, "{folder}");

    let container = world.test.blobs.container(CONTAINER);
    let backup = world.hsm().await.open_backup(&world.administration(), container, &folder).await.unwrap();
    let manifest = backup.manifest();
    let counts = manifest.counts;
    assert_eq!((counts.keys, counts.deleted_keys, counts.versions), (6, 1, 11));
    assert_eq!((counts.role_assignments, counts.role_definitions), (3, 0));
    assert!(manifest.parts.len() > 1, "{}", manifest.parts.len());
    assert_eq!(manifest.source.instance, world.hsm().await.record().instance);
    let names: Vec<_> = world.test.blobs.all().into_keys().collect();
    assert_eq!(names.len(), manifest.parts.len() + 1);
    for key in keys_of(&world, &folder).await {
        assert_eq!(key.deleted, key.name.as_str() == "gone");
        assert!(world.hsm().await.key_passes(&world.administration(), &key).await.unwrap(), "{key:?}");
    }
}

#[tokio::test]
async fn nothing_of_a_backup_can_be_read_and_its_credential_does_not_outlive_it() {
    let world = furnished().await;
    let signature = TargetCredential::SharedAccessSignature(Secret::new("?sv=1&sig=VERYSECRET".to_owned()));
    let order = JobOrder::new(OrderedKind::Backup, CONTAINER, signature).unwrap();
    let started = world.hsm().await.start_job(&world.administration(), &order).await.unwrap();
    let instance = world.hsm().await.record().instance;
    let key = layout::job_credential(instance, started.id);
    assert!(world.store.get(&key).await.unwrap().is_some());
    run(&world).await;
    assert_eq!(world.test.blobs.signatures(), ["sv=1&sig=VERYSECRET", "sv=1&sig=VERYSECRET"]);
    assert!(world.store.get(&key).await.unwrap().is_none());
    let events = format!("{:?}", world.test.audit.events());
    assert!(events.contains(&started.id.to_string()) && !events.contains("VERYSECRET"));
    let text = "large-a".as_bytes();
    let blobs = world.test.blobs.all();
    assert!(!blobs.values().any(|blob| blob.windows(text.len()).any(|part| part == text)));
}

#[tokio::test]
async fn who_may_not_start_or_see_backups_learns_nothing() {
    let world = World::active().await;
    let (nobody, user) = (stranger(), stranger());
    world.assign(user, CRYPTO_USER, "/").await;
    let started = start(&world, &world.administration(), OrderedKind::Backup).await.unwrap();
    run(&world).await;
    for principal in [nobody, user] {
        let refused = start(&world, &world.request(principal), OrderedKind::Backup).await;
        assert!(matches!(refused, Err(Error::Forbidden { action: DataAction::BackupStart, .. })), "{refused:?}");
        let id = started.id.to_string();
        let refused = world.hsm().await.backup_status(&world.request(principal), &id).await;
        assert!(matches!(refused, Err(Error::Forbidden { action: DataAction::BackupStatus, .. })), "{refused:?}");
    }
    let hsm = world.hsm().await;
    for unknown in ["", "0123456789abcdef0123456789abcdef", "x"] {
        let refused = hsm.backup_status(&world.administration(), unknown).await;
        assert!(matches!(refused, Err(Error::JobNotFound { .. })));
    }
    let refused = hsm.restore_status(&world.administration(), &started.id.to_string()).await;
    assert!(matches!(refused, Err(Error::JobNotFound { .. })), "a backup is no restore");
}

#[tokio::test]
async fn one_job_at_a_time() {
    let world = World::active().await;
    let started = start(&world, &world.administration(), OrderedKind::Backup).await.unwrap();
    for kind in [OrderedKind::Backup, OrderedKind::BackupCheck, OrderedKind::Restore { folder: "f".to_owned() }] {
        let refused = start(&world, &world.administration(), kind).await;
        assert!(matches!(refused, Err(Error::JobInProgress { job }) if job == started.id), "{refused:?}");
    }
    run(&world).await;
    back_up(&world).await;
}

#[tokio::test]
async fn places_that_cannot_be_are_refused_at_once() {
    let world = World::active().await;
    for (container, folder) in [
        ("", "f"),
        ("memory:a?sig=x", "f"),
        ("memory:a#x", "f"),
        ("https://user:secret@host/c", "f"),
        (CONTAINER, "../f"),
        (CONTAINER, ""),
    ] {
        let kind = OrderedKind::Restore { folder: folder.to_owned() };
        assert!(matches!(JobOrder::new(kind, container, TargetCredential::None), Err(Error::BadParameter { .. })));
    }
    let order = JobOrder::new(OrderedKind::Backup, "https://elsewhere/c", TargetCredential::None).unwrap();
    let refused = world.hsm().await.start_job(&world.administration(), &order).await;
    assert!(matches!(refused, Err(Error::Blob(BlobError::NotAllowed(_)))), "{refused:?}");
    assert!(world.test.core.running_jobs().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_check_writes_one_small_blob_and_says_what_is_wrong() {
    let world = World::active().await;
    for _ in 0..2 {
        assert_eq!(done(&world, OrderedKind::BackupCheck).await.state, JobState::Succeeded);
    }
    assert_eq!(world.test.blobs.all().len(), 1);
    let refused = BlobError::Refused("403".to_owned());
    world.test.blobs.fail_calls_after(0, BlobFault::Error(refused));
    assert_eq!(failure(&done(&world, OrderedKind::BackupCheck).await), "BlobStoreRefused");
    world.test.blobs.heal();
    let refused = start(&world, &world.administration(), OrderedKind::Restore { folder: "f".to_owned() }).await;
    assert!(matches!(refused, Err(Error::NoFreshBackup { minutes: 30 })), "a check is no backup: {refused:?}");
}

#[tokio::test]
async fn a_backup_shows_one_moment_whatever_is_written_meanwhile() {
    let world = furnished().await;
    start(&world, &world.administration(), OrderedKind::Backup).await.unwrap();
    // In falling order: a look that wandered through the names would find the later ones and miss the earlier ones.
    let writes = async {
        for number in (0..60).rev() {
            world.ec_key(&format!("n{number:02}")).await;
            tokio::task::yield_now().await;
        }
    };
    let ((), ()) = tokio::join!(run(&world), writes);
    let blobs = world.test.blobs.all();
    let manifest = blobs.keys().find(|key| key.ends_with("/manifest")).unwrap();
    let folder = manifest.split('/').nth(1).unwrap();
    let found: Vec<_> =
        keys_of(&world, folder).await.into_iter().filter(|key| key.name.as_str().starts_with('n')).collect();
    for (key, number) in found.iter().rev().zip((0..60).rev()) {
        assert_eq!(key.name.as_str(), format!("n{number:02}"), "a key without one that was made before it");
    }
    assert!(found.len() < 60, "the writes came too early to be of any use");
}

#[tokio::test]
async fn a_revision_that_is_compacted_away_lets_the_backup_begin_anew() {
    let world = furnished().await;
    start(&world, &world.administration(), OrderedKind::Backup).await.unwrap();
    let store = Arc::clone(&world.store);
    let forget = async {
        // A third of the keys is copied by now.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        world.ec_key("z").await;
        for number in 0..10_100_u32 {
            let writes = vec![Write::Put("elsewhere".to_owned(), number.to_be_bytes().to_vec())];
            store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
        }
    };
    let ((), ()) = tokio::join!(run(&world), forget);
    let blobs = world.test.blobs.all();
    let manifest = blobs.keys().find(|key| key.ends_with("/manifest")).unwrap().clone();
    let folder = manifest.split('/').nth(1).unwrap();
    let container = world.test.blobs.container(CONTAINER);
    let backup = world.hsm().await.open_backup(&world.administration(), container, folder).await.unwrap();
    assert_eq!(backup.manifest().attempt, 2);
    assert!(keys_of(&world, folder).await.iter().any(|key| key.name.as_str() == "z"));
}

#[tokio::test]
async fn a_blob_store_that_fails_for_a_while_is_tried_again_and_one_that_refuses_is_not() {
    let world = furnished().await;
    let calls = {
        back_up(&world).await;
        world.test.blobs.calls()
    };
    let unavailable = || BlobFault::Error(BlobError::Unavailable("500".to_owned()));
    let refused = || BlobFault::Error(BlobError::Refused("403".to_owned()));
    for call in 0..calls {
        for fault in [unavailable(), BlobFault::AnswerLost] {
            world.test.blobs.fail_call_after(call, fault);
            let folder = back_up(&world).await;
            assert_eq!(keys_of(&world, &folder).await.len(), 11, "call {call}");
        }
        world.test.blobs.fail_calls_after(call, refused());
        let failed = done(&world, OrderedKind::Backup).await;
        world.test.blobs.heal();
        assert_eq!(failure(&failed), "BlobStoreRefused");
        let gone = folder(&failed);
        let checked = done(&world, OrderedKind::RestoreCheck { folder: gone }).await;
        assert_eq!(failure(&checked), "BackupNotFound", "without a manifest there is no backup");
    }
    world.test.blobs.fail_calls_after(0, unavailable());
    let failed = done(&world, OrderedKind::Backup).await;
    assert_eq!(failure(&failed), "BlobStoreUnavailable");
    world.test.blobs.heal();
    back_up(&world).await;
}

#[tokio::test]
async fn a_backup_that_is_cut_off_anywhere_goes_on_after_a_restart() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let kv: Arc<dyn Kv> = Arc::<FaultyStore>::clone(&store);
    let mut world = World::active_on(kv).await;
    furnish(&world).await;
    let commits = {
        let before = store.counts().committed;
        back_up(&world).await;
        store.counts().committed - before
    };
    let mut owner = 10;
    // The first one starts the job.
    for done in 1..commits {
        for fault in [CommitFault::NotApplied, CommitFault::AnswerLost] {
            let started = start(&world, &world.administration(), OrderedKind::Backup).await.unwrap();
            owner += 1;
            store.fail_commits_after(done - 1, fault);
            let cut = run_once(&world, &worker(owner)).await;
            assert!(matches!(cut, Err(Error::Store(_))), "{done}: {cut:?}");
            store.heal();
            world.restart().await;
            run(&world).await;
            world.test.clock.advance_seconds(5);
            let ended = status(&world, &started).await;
            assert_eq!(ended.state, JobState::Succeeded, "{done} {fault:?}");
            assert_eq!(keys_of(&world, &folder(&ended)).await.len(), 11);
        }
    }
}

/// Its content is as old as it is, whenever the server gets to say that it has ended.
#[tokio::test]
async fn a_backup_that_was_complete_before_a_crash_is_as_fresh_as_its_content() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let mut world = World::active_on(Arc::<FaultyStore>::clone(&store) as Arc<dyn Kv>).await;
    let commits = {
        let before = store.counts().committed;
        back_up(&world).await;
        store.counts().committed - before
    };
    world.test.clock.advance_days(1);
    let started = start(&world, &world.administration(), OrderedKind::Backup).await.unwrap();
    // All but the commit of the start and the one that ends it.
    store.fail_commits_after(commits - 2, CommitFault::NotApplied);
    assert!(matches!(run_once(&world, &worker(1)).await, Err(Error::Store(_))));
    store.heal();
    assert!(world.test.blobs.all().contains_key(&format!("{}/manifest", started.folder)));
    world.restart().await;
    world.test.clock.advance_seconds(30 * 60 + 1);
    let calls = world.test.blobs.calls();
    run(&world).await;
    assert_eq!(world.test.blobs.calls(), calls + 1, "the manifest alone is read, once");
    assert_eq!(status(&world, &started).await.state, JobState::Succeeded);
    let restore = || OrderedKind::Restore { folder: folder(&started) };
    let refused = start(&world, &world.administration(), restore()).await;
    assert!(matches!(refused, Err(Error::NoFreshBackup { minutes: 30 })), "{refused:?}");
    back_up(&world).await;
    start(&world, &world.administration(), restore()).await.unwrap();
}

#[tokio::test]
async fn a_backup_that_is_overtaken_again_and_again_ends_and_names_the_remedy() {
    let (world, worker) = (furnished().await, worker(1));
    let started = start(&world, &world.administration(), OrderedKind::Backup).await.unwrap();
    for _ in 0..4 {
        assert_eq!(status(&world, &started).await.state, JobState::InProgress);
        let forget = async {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            for number in 0..10_100_u32 {
                let writes = vec![Write::Put("elsewhere".to_owned(), number.to_be_bytes().to_vec())];
                world.store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
            }
        };
        let (ran, ()) = tokio::join!(run_once(&world, &worker), forget);
        ran.unwrap();
    }
    world.test.clock.advance_seconds(5);
    let ended = status(&world, &started).await;
    assert_eq!(failure(&ended), "TooManyChanges");
    assert!(matches!(ended.state, JobState::Failed { message, .. } if message.contains("start again")));
    back_up(&world).await;
}

#[tokio::test]
async fn a_job_waits_for_the_quorum_of_its_hsm_as_long_as_it_takes() {
    let mut world = World::under(MemoryRoot::generate().unwrap().without_hsm_roots()).await;
    let file = world.activate().await;
    let started = start(&world, &world.administration(), OrderedKind::Backup).await.unwrap();
    world.restart().await;
    let job = world.test.core.running_jobs().await.unwrap().remove(0);
    for _ in 0..101 {
        assert_eq!(world.test.core.run_job(&worker(1), &job).await.unwrap(), Ran::Later);
        world.test.clock.advance_seconds(30);
    }
    prove(&world, &file).await.unwrap();
    assert_eq!(status(&world, &started).await.state, JobState::InProgress);
    run(&world).await;
    assert_eq!(status(&world, &started).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn a_job_that_something_else_is_in_the_way_of_is_tried_again_after_a_while() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let world = World::active_on(Arc::<FaultyStore>::clone(&store) as Arc<dyn Kv>).await;
    furnish(&world).await;
    let worker = worker(1);
    let started = start(&world, &world.administration(), OrderedKind::Backup).await.unwrap();
    let fault = async {
        tokio::task::yield_now().await;
        store.fail_next_commit(CommitFault::NotApplied);
    };
    let (cut, ()) = tokio::join!(run_once(&world, &worker), fault);
    assert!(matches!(cut, Err(Error::Store(_))), "{cut:?}");
    let (before, job) = (store.counts().committed, world.test.core.running_jobs().await.unwrap().remove(0));
    world.test.clock.advance_seconds(29);
    assert_eq!(world.test.core.run_job(&worker, &job).await.unwrap(), Ran::Later);
    assert_eq!(store.counts().committed, before, "no attempt was begun");
    world.test.clock.advance_seconds(1);
    assert_eq!(world.test.core.run_job(&worker, &job).await.unwrap(), Ran::Ended);
    assert_eq!(status(&world, &started).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn a_node_that_has_lost_a_job_can_do_nothing_any_more() {
    let world = furnished().await;
    start(&world, &world.administration(), OrderedKind::Backup).await.unwrap();
    let job = world.test.core.running_jobs().await.unwrap().remove(0);
    let (first, second) = (worker(1), worker(2));
    let slow = world.test.core.run_job(&first, &job);
    let fast = async {
        tokio::task::yield_now().await;
        world.test.core.run_job(&second, &job).await
    };
    let (slow, fast) = tokio::join!(slow, fast);
    let ended = [slow.unwrap(), fast.unwrap()];
    assert_eq!(ended, [Ran::Later, Ran::Ended], "the one that was taken over from gives up");
    let patient = Worker { takeover_seconds: 60, ..worker(3) };
    start(&world, &world.administration(), OrderedKind::Backup).await.unwrap();
    let job = world.test.core.running_jobs().await.unwrap().remove(0);
    world.test.blobs.fail_calls_after(0, BlobFault::Error(BlobError::Unavailable("500".to_owned())));
    assert_eq!(world.test.core.run_job(&first, &job).await.unwrap(), Ran::Later);
    world.test.blobs.heal();
    assert_eq!(world.test.core.run_job(&patient, &job).await.unwrap(), Ran::Later, "it waits for the blob store");
    world.test.clock.advance_seconds(2);
    assert_eq!(world.test.core.run_job(&patient, &job).await.unwrap(), Ran::Ended);
}

#[tokio::test]
async fn a_deleted_hsm_ends_its_job() {
    let world = World::active().await;
    let started = start(&world, &world.administration(), OrderedKind::Backup).await.unwrap();
    let mut transaction = world.test.core.barrier().transaction();
    let instance = world.hsm().await.record().instance;
    let switch = strongroom_core::guard::DeletionSwitch::Delete;
    world.test.core.stage_deletion(&mut transaction, instance, switch).await.unwrap();
    transaction.commit(&world.administration()).await.unwrap();
    run(&world).await;
    let mut transaction = world.test.core.barrier().transaction();
    let switch = strongroom_core::guard::DeletionSwitch::Recover;
    world.test.core.stage_deletion(&mut transaction, instance, switch).await.unwrap();
    transaction.commit(&world.administration()).await.unwrap();
    assert_eq!(failure(&status(&world, &started).await), "HsmDeleted");
}

#[tokio::test]
async fn old_jobs_are_forgotten() {
    let world = World::active().await;
    let first = start(&world, &world.administration(), OrderedKind::BackupCheck).await.unwrap();
    run(&world).await;
    for _ in 0..64 {
        done(&world, OrderedKind::BackupCheck).await;
    }
    let refused = world.hsm().await.backup_status(&world.administration(), &first.id.to_string()).await;
    assert!(matches!(refused, Err(Error::JobNotFound { .. })));
    let jobs = world.store_keys().await.into_iter().filter(|key| key.contains("/job/")).count();
    assert_eq!(jobs, 64);
}

#[tokio::test]
async fn what_has_left_in_a_backup_says_so_when_it_is_attested() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    let hsm = world.hsm().await;
    assert_eq!(hsm.key_provenance(&world.administration(), &key).await.unwrap().backed_up, None);
    world.test.clock.advance_seconds(60);
    let started = start(&world, &world.administration(), OrderedKind::Backup).await.unwrap();
    run(&world).await;
    let backed_up = hsm.key_provenance(&world.administration(), &key).await.unwrap().backed_up;
    assert_eq!(backed_up, Some(started.started));
    let later = world.ec_key("later").await;
    assert_eq!(hsm.key_provenance(&world.administration(), &later).await.unwrap().backed_up, None);
    let change =
        UpdateKey { tags: Some(Tags::new(BTreeMap::new(), &Limits::default()).unwrap()), ..UpdateKey::default() };
    hsm.update_key(&world.administration(), &key, &change).await.unwrap();
    assert_eq!(hsm.key_provenance(&world.administration(), &key).await.unwrap().backed_up, backed_up);
}
