//! Full and selective restores: what comes back and what stays, who may, what is refused before anything is touched, and
//! what a crash leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_core::backup::{JobState, JobStatus, OrderedKind, SweptGeneration};
use strongroom_core::blobs::BlobError;
use strongroom_core::guard::{HsmState, Swept};
use strongroom_core::keys::{KeyReference, PageRequest};
use strongroom_core::ports::Clock;
use strongroom_core::rbac::{ADMINISTRATOR, AssignmentFilter, DefinitionFilter};
use strongroom_core::{Error, Limits};
use strongroom_store::{Kv, MemoryStore};
use strongroom_testkit::{BlobFault, CommitFault, FaultyStore};
use strongroom_types::{Algorithm, DataAction, Scope};

use crate::full_backup::{
    CONTAINER, back_up, done, failure, furnish, furnished, keys_of, run, run_once, start, status, worker,
};
use crate::recovery;
use crate::support::{CRYPTO_OFFICER, CRYPTO_USER, World, ec, stranger};

pub(crate) fn whole(folder: &str) -> OrderedKind {
    OrderedKind::Restore { folder: folder.to_owned() }
}

pub(crate) fn one(folder: &str, key: &str) -> OrderedKind {
    OrderedKind::RestoreKey { folder: folder.to_owned(), key: key.parse().unwrap() }
}

pub(crate) async fn restore(world: &World, folder: &str) {
    let ended = done(world, whole(folder)).await;
    assert_eq!(ended.state, JobState::Succeeded);
}

async fn guard(world: &World) -> strongroom_core::guard::Guard {
    let instance = world.hsm().await.record().instance;
    world.test.core.guard(instance).await.unwrap().value.clone()
}

pub(crate) fn page() -> PageRequest {
    PageRequest::new(None, Some(250), &Limits { page_entries: 250, ..Limits::default() }).unwrap()
}

/// Everything there is to see of an HSM, without the times at which things were written.
pub(crate) async fn seen(world: &World) -> Vec<String> {
    let (hsm, request) = (world.hsm().await, || world.administration());
    let mut all = Vec::new();
    for key in hsm.keys(&request(), page()).await.unwrap().entries {
        for version in hsm.key_versions(&request(), &key.name, page()).await.unwrap().entries {
            all.push(format!("{version:?}"));
        }
        all.push(format!("{:?}", hsm.rotation_policy(&request(), &key.name).await.unwrap()));
    }
    for deleted in hsm.deleted_keys(&request(), page()).await.unwrap().entries {
        all.push(format!("deleted {:?}", deleted.key));
    }
    let mut rights: Vec<_> = hsm
        .role_assignments(&request(), &Scope::Root, AssignmentFilter::All)
        .await
        .unwrap()
        .into_iter()
        .map(|assignment| format!("{assignment:?}"))
        .collect();
    rights.sort();
    all.extend(rights);
    let roles = hsm.role_definitions(&request(), &Scope::Root, &DefinitionFilter::All).await.unwrap();
    all.push(format!("{roles:?} {:?}", hsm.settings(&request()).await.unwrap()));
    all
}

/// Removes what replaced and unfinished restores have left.
pub(crate) async fn sweep(world: &World) {
    let hsm = world.hsm().await;
    while hsm.sweep_generations(&world.job("Sweep")).await.unwrap() == SweptGeneration::Some {}
    while hsm.sweep_leftovers(&|operation| world.job(operation)).await.unwrap() == Swept::Some {}
}

/// Generations of which there is anything in the store.
async fn generations(world: &World) -> Vec<u32> {
    let instance = world.hsm().await.record().instance;
    let mut found = Vec::new();
    for number in 1..200 {
        let prefix = strongroom_core::layout::Generation { instance, number }.prefix();
        if !world.store.range(&prefix, None, 1, None).await.unwrap().entries.is_empty() {
            found.push(number);
        }
    }
    found
}

/// Changes keys, roles and settings of a furnished HSM.
async fn change(world: &World) {
    let (hsm, request) = (world.hsm().await, || world.administration());
    hsm.delete_key(&request(), &"ec".parse().unwrap()).await.unwrap();
    hsm.purge_key(&request(), &"ec".parse().unwrap()).await.unwrap();
    hsm.recover_key(&request(), &"gone".parse().unwrap()).await.unwrap();
    world.ec_key("new").await;
    world.assign(stranger(), CRYPTO_USER, "/keys/new").await;
    world.assign(stranger(), CRYPTO_OFFICER, "/keys").await;
    let name = "AllowKeyManagementOperationsThroughARM";
    hsm.update_setting(&request(), name, "true").await.unwrap();
}

#[tokio::test]
async fn everything_is_as_it_was_and_works() {
    let world = furnished().await;
    let before = seen(&world).await;
    let (hsm, request) = (world.hsm().await, || world.administration());
    let ec: KeyReference = KeyReference { name: "ec".parse().unwrap(), version: None };
    let signed = hsm.sign(&request(), &ec, Algorithm::Es256, vec![7; 32]).await.unwrap();
    let folder = back_up(&world).await;
    let expected = keys_of(&world, &folder).await;
    let old = guard(&world).await;
    change(&world).await;
    let changed = guard(&world).await;
    assert_ne!(seen(&world).await, before);

    restore(&world, &folder).await;
    assert_eq!(seen(&world).await, before);
    let restored = guard(&world).await;
    assert_eq!((restored.state, restored.settings), (HsmState::Active, old.settings));
    assert!(restored.rights_version > changed.rights_version && restored.generation > changed.generation);
    assert!(hsm.verify(&request(), &ec, Algorithm::Es256, vec![7; 32], signed.value).await.unwrap());
    for key in &expected {
        assert!(hsm.key_passes(&request(), key).await.unwrap(), "{key:?}");
    }
    assert_eq!(generations(&world).await, [changed.generation, restored.generation]);
    sweep(&world).await;
    assert_eq!(generations(&world).await, [restored.generation]);
    assert_eq!(seen(&world).await, before);
    // And it goes on living: new keys, another backup, another restore.
    world.ec_key("new").await;
    let folder = back_up(&world).await;
    restore(&world, &folder).await;
    assert!(
        world.hsm().await.key(&request(), &KeyReference { name: "new".parse().unwrap(), version: None }).await.is_ok()
    );
}

#[tokio::test]
async fn a_key_does_not_pass_for_another() {
    let world = furnished().await;
    let folder = back_up(&world).await;
    let keys = keys_of(&world, &folder).await;
    let hsm = world.hsm().await;
    for (key, other) in keys.iter().zip(keys.iter().skip(1)) {
        let mut wrong = key.clone();
        wrong.check = other.check.clone();
        assert!(!hsm.key_passes(&world.administration(), &wrong).await.unwrap(), "{wrong:?}");
        let missing = strongroom_core::backup::BackedUpKeyVersion { name: "missing".parse().unwrap(), ..key.clone() };
        assert!(!hsm.key_passes(&world.administration(), &missing).await.unwrap());
    }
}

#[tokio::test]
async fn the_audit_log_names_the_rights_that_come_and_go() {
    let world = furnished().await;
    let (lost, found) = (stranger(), stranger());
    let assignment = world.assign(lost, CRYPTO_USER, "/keys").await;
    let folder = back_up(&world).await;
    let hsm = world.hsm().await;
    hsm.delete_role_assignment(&world.administration(), &Scope::Keys, assignment).await.unwrap();
    world.assign(found, CRYPTO_OFFICER, "/").await;
    world.test.audit.take();
    restore(&world, &folder).await;
    let events = world.test.audit.take();
    let end = events.iter().find(|event| event.operation_name == "RestoreEnd").unwrap();
    let detail = end.properties.detail.clone().unwrap();
    assert!(detail.contains(&format!("added role {} to {lost} at /keys", CRYPTO_USER.0)), "{detail}");
    assert!(detail.contains(&format!("removed role {} to {found} at /", CRYPTO_OFFICER.0)), "{detail}");
}

#[tokio::test]
async fn nothing_else_answers_while_it_runs_but_its_state_does() {
    let world = furnished().await;
    let folder = back_up(&world).await;
    let earlier = start(&world, &world.administration(), OrderedKind::BackupCheck).await.unwrap();
    run(&world).await;
    let started = start(&world, &world.administration(), whole(&folder)).await.unwrap();
    let (hsm, request) = (world.hsm().await, || world.administration());
    let key = KeyReference { name: "ec".parse().unwrap(), version: None };
    assert!(matches!(hsm.key(&request(), &key).await, Err(Error::Restoring)));
    assert!(matches!(hsm.sign(&request(), &key, Algorithm::Es256, vec![7; 32]).await, Err(Error::Restoring)));
    assert!(matches!(hsm.create_key(&request(), &key.name, ec()).await, Err(Error::Restoring)));
    assert!(matches!(hsm.settings(&request()).await, Err(Error::Restoring)));
    let all = AssignmentFilter::All;
    assert!(matches!(hsm.role_assignments(&request(), &Scope::Root, all).await, Err(Error::Restoring)));
    assert!(matches!(hsm.download_status(&request()).await, Err(Error::Restoring)));
    assert!(matches!(hsm.transfer_key(&request()).await, Err(Error::Restoring)));
    let custodians = world.custodians();
    assert!(matches!(hsm.download_security_domain(&request(), custodians).await, Err(Error::Restoring)));
    for kind in [OrderedKind::Backup, whole(&folder), one(&folder, "ec")] {
        assert!(matches!(start(&world, &request(), kind).await, Err(Error::Restoring)));
    }
    let job = |operation| world.job(operation);
    assert!(matches!(hsm.rotate_due_keys(&job, world.test.clock.now()).await, Err(Error::Restoring)));
    assert_eq!(status(&world, &started).await.state, JobState::InProgress);
    assert_eq!(status(&world, &earlier).await.state, JobState::Succeeded);
    let refused = hsm.restore_status(&world.request(stranger()), &started.id.to_string()).await;
    assert!(matches!(refused, Err(Error::Forbidden { action: DataAction::RestoreStatus, .. })));
    run(&world).await;
    assert_eq!(status(&world, &started).await.state, JobState::Succeeded);
    hsm.key(&request(), &key).await.unwrap();
}

#[tokio::test]
async fn the_target_must_have_been_backed_up_within_thirty_minutes() {
    let world = furnished().await;
    let refused = start(&world, &world.administration(), whole("f")).await;
    assert!(matches!(refused, Err(Error::NoFreshBackup { minutes: 30 })), "{refused:?}");
    let folder = back_up(&world).await;
    world.test.clock.advance_seconds(30 * 60 + 1);
    assert!(matches!(start(&world, &world.administration(), whole(&folder)).await, Err(Error::NoFreshBackup { .. })));
    // One key may come back at any time.
    assert_eq!(done(&world, one(&folder, "ec")).await.state, JobState::Succeeded);
    assert_eq!(done(&world, OrderedKind::RestoreCheck { folder: folder.clone() }).await.state, JobState::Succeeded);
    world.test.blobs.fail_calls_after(1, BlobFault::Error(BlobError::Refused("403".to_owned())));
    failure(&done(&world, OrderedKind::Backup).await);
    world.test.blobs.heal();
    assert!(matches!(start(&world, &world.administration(), whole(&folder)).await, Err(Error::NoFreshBackup { .. })));
    back_up(&world).await;
    world.test.clock.advance_seconds(30 * 60 - 10);
    restore(&world, &folder).await;
    assert_eq!(guard(&world).await.state, HsmState::Active);
}

/// A role that may do everything with backups and nothing else.
async fn restorer(world: &World) -> strongroom_types::PrincipalId {
    use strongroom_core::rbac::{Permission, RoleDefinitionId, RoleSpecification};
    let id = RoleDefinitionId(strongroom_testkit::draw_uuid().unwrap());
    let data_actions =
        vec![DataAction::BackupStart, DataAction::BackupStatus, DataAction::RestoreStart, DataAction::RestoreStatus];
    let permission = Permission { data_actions, not_data_actions: Vec::new() };
    let role = RoleSpecification::new("Restorer".to_owned(), String::new(), vec![permission]).unwrap();
    world.hsm().await.put_role_definition(&world.administration(), &Scope::Root, id, &role).await.unwrap();
    let restorer = stranger();
    world.assign(restorer, id, "/").await;
    restorer
}

async fn done_by(world: &World, principal: strongroom_types::PrincipalId, kind: OrderedKind) -> JobStatus {
    let started = start(world, &world.request(principal), kind).await.unwrap();
    run(world).await;
    status(world, &started).await
}

#[tokio::test]
async fn old_rights_come_back_by_an_administrator_only() {
    let world = furnished().await;
    let restorer = restorer(&world).await;
    let folder = back_up(&world).await;
    assert_eq!(done_by(&world, restorer, whole(&folder)).await.state, JobState::Succeeded);
    // The restore itself has raised the version of the rights.
    let current = seen(&world).await;
    let refused = done_by(&world, restorer, whole(&folder)).await;
    assert_eq!(failure(&refused), "AccessDenied");
    assert_eq!(
        failure(&done_by(&world, restorer, OrderedKind::RestoreCheck { folder: folder.clone() }).await),
        "AccessDenied"
    );
    assert_eq!(seen(&world).await, current);
    assert_eq!(done_by(&world, restorer, one(&folder, "ec")).await.state, JobState::Succeeded);
    restore(&world, &folder).await;
    let refused = start(&world, &world.request(stranger()), whole(&folder)).await;
    assert!(matches!(refused, Err(Error::Forbidden { action: DataAction::RestoreStart, .. })));
}

/// `hsm1` furnished and backed up; `hsm2` recovered with its domain, and looked at from now on.
async fn recovered() -> (World, String, Vec<String>) {
    let mut world = World::new().await;
    let file = world.activate().await;
    for role in [CRYPTO_USER, CRYPTO_OFFICER] {
        world.assign(world.administrator, role, "/").await;
    }
    furnish(&world).await;
    let before = seen(&world).await;
    let folder = back_up(&world).await;
    world.add_hsm("hsm2", |hsm| hsm.retention_days = 90).await;
    world.name = "hsm2".parse().unwrap();
    let transfer_key = world.hsm().await.transfer_key(&world.administration()).await.unwrap();
    let blob = recovery::blob(&file, &transfer_key);
    world.hsm().await.upload_security_domain(&world.administration(), blob).await.unwrap();
    (world, folder, before)
}

#[tokio::test]
async fn another_hsm_of_the_same_domain_takes_everything_but_name_instance_and_retention() {
    let (world, folder, before) = recovered().await;
    let hsm = world.hsm().await;
    let record = hsm.record().clone();
    back_up(&world).await;
    restore(&world, &folder).await;
    let restored = seen(&world).await;
    let without_retention = |all: &[String]| -> Vec<String> {
        all.iter()
            .map(|text| text.replace("recoverable_days: 90", "recoverable_days: 7"))
            .map(|text| text.replace(" RecoverablePurgeable", " CustomizedRecoverablePurgeable"))
            .collect()
    };
    assert_eq!(without_retention(&restored), without_retention(&before));
    assert_eq!(*world.hsm().await.record(), record);
    for key in keys_of(&world, &folder).await {
        assert!(world.hsm().await.key_passes(&world.administration(), &key).await.unwrap(), "{key:?}");
    }
    // The deleted key is kept as long as this HSM keeps deleted keys, counted from now.
    let gone = hsm.deleted_key(&world.administration(), &"gone".parse().unwrap()).await.unwrap();
    assert!(gone.scheduled_purge >= world.test.clock.now().plus_days(89));
}

#[tokio::test]
async fn the_initial_administrators_of_the_target_stay_administrators() {
    let (mut world, folder, file) = {
        let mut world = World::new().await;
        let file = world.activate().await;
        for role in [CRYPTO_USER, CRYPTO_OFFICER] {
            world.assign(world.administrator, role, "/").await;
        }
        furnish(&world).await;
        let folder = back_up(&world).await;
        world.name = "hsm2".parse().unwrap();
        (world, folder, file)
    };
    let (source_administrator, own) = (world.administrator, stranger());
    world.add_hsm("hsm2", |hsm| hsm.initial_administrators = vec![own]).await;
    world.administrator = own;
    let transfer_key = world.hsm().await.transfer_key(&world.administration()).await.unwrap();
    let blob = recovery::blob(&file, &transfer_key);
    world.hsm().await.upload_security_domain(&world.administration(), blob).await.unwrap();
    back_up(&world).await;
    restore(&world, &folder).await;
    let all = world.hsm().await.role_assignments(&world.administration(), &Scope::Root, AssignmentFilter::All).await;
    let administrators = all.unwrap().into_iter().filter(|assignment| assignment.role == ADMINISTRATOR);
    let holders: Vec<_> = administrators.map(|assignment| assignment.principal).collect();
    assert_eq!(holders.len(), 2);
    assert!(holders.contains(&own) && holders.contains(&source_administrator));
}

#[tokio::test]
async fn a_backup_of_another_domain_is_refused() {
    let (world, elsewhere) = (furnished().await, World::active().await);
    elsewhere.test.clock.advance_seconds(1);
    let foreign = back_up(&elsewhere).await;
    world.test.blobs.set_all(elsewhere.test.blobs.all());
    back_up(&world).await;
    let before = seen(&world).await;
    assert_eq!(failure(&done(&world, whole(&foreign)).await), "BackupInvalid");
    assert_eq!(failure(&done(&world, one(&foreign, "ec")).await), "BackupInvalid");
    assert_eq!(seen(&world).await, before);
}

#[tokio::test]
async fn altered_truncated_missing_swapped_and_later_backups_are_refused_before_anything_is_touched() {
    let world = furnished().await;
    let folder = back_up(&world).await;
    let second = back_up(&world).await;
    let good = world.test.blobs.all();
    let before = seen(&world).await;
    let generation = guard(&world).await.generation;
    let key = |name: &str| format!("{CONTAINER}/{folder}/{name}");
    let names: Vec<String> = good.keys().filter(|key| key.contains(&folder)).cloned().collect();
    let mut wrong: Vec<(String, BTreeMap<String, Vec<u8>>)> = Vec::new();
    for name in &names {
        let blob = &good[name];
        let mut without = good.clone();
        without.remove(name);
        wrong.push((format!("{name} missing"), without));
        let mut foreign = good.clone();
        let other = name.replace(&folder, &second);
        foreign.insert(name.clone(), good[&other].clone());
        if !name.ends_with("manifest") {
            wrong.push((format!("{name} of another backup"), foreign));
        }
        for length in [0, 1, blob.len() / 2, blob.len() - 1] {
            let mut truncated = good.clone();
            truncated.insert(name.clone(), blob[..length].to_vec());
            wrong.push((format!("{name} cut at {length}"), truncated));
        }
        let mut longer = good.clone();
        longer.get_mut(name).unwrap().push(0);
        wrong.push((format!("{name} longer"), longer));
        let step = (blob.len() / 24).max(1);
        // All of the header and of the wrapped key, and a look into everything behind.
        let positions = (0..if name.ends_with("manifest") { 130 } else { 8 }).chain((0..blob.len()).step_by(step));
        for position in positions {
            let mut altered = good.clone();
            altered.get_mut(name).unwrap()[position] ^= 1;
            wrong.push((format!("{name} byte {position}"), altered));
        }
    }
    let mut swapped = good.clone();
    let (one, two) = (key("attempt-1-part-000000"), key("attempt-1-part-000001"));
    swapped.insert(one.clone(), good[&two].clone());
    swapped.insert(two, good[&one].clone());
    wrong.push(("parts exchanged".to_owned(), swapped));
    let mut later = good.clone();
    later.get_mut(&key("manifest")).unwrap()[8] = 2;
    wrong.push(("a later format".to_owned(), later));
    for (number, (what, blobs)) in wrong.into_iter().enumerate() {
        world.test.blobs.set_all(blobs);
        let failed = done(&world, whole(&folder)).await;
        let JobState::Failed { code, message } = failed.state else { panic!("{what} was restored") };
        assert!(["BackupInvalid", "BackupNotFound"].contains(&code.as_str()), "{what}: {code} {message}");
        if what == "a later format" {
            assert!(message.contains("format 2 of a later version"), "{message}");
        }
        if number % 20 == 0 {
            assert_eq!(seen(&world).await, before, "{what}");
            world.test.blobs.set_all(good.clone());
            back_up(&world).await;
        }
    }
    assert_eq!(seen(&world).await, before);
    assert_eq!(guard(&world).await.generation, generation);
    sweep(&world).await;
    assert_eq!(generations(&world).await, [generation]);
    world.test.blobs.set_all(good);
    back_up(&world).await;
    restore(&world, &folder).await;
}

#[tokio::test]
async fn a_restore_that_is_cut_off_at_any_commit_leaves_the_old_state_or_the_new_one_and_goes_on() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let kv: Arc<dyn Kv> = Arc::<FaultyStore>::clone(&store);
    let mut world = World::active_on(kv).await;
    furnish(&world).await;
    let (first, first_seen) = (back_up(&world).await, seen(&world).await);
    change(&world).await;
    let (second, second_seen) = (back_up(&world).await, seen(&world).await);
    let commits = {
        let started = start(&world, &world.administration(), whole(&first)).await.unwrap();
        let before = store.counts().committed;
        run(&world).await;
        assert_eq!(status(&world, &started).await.state, JobState::Succeeded);
        store.counts().committed - before
    };
    assert!(commits > 6, "{commits}");
    let mut owner = 100;
    for cut in 0..commits {
        for fault in [CommitFault::NotApplied, CommitFault::AnswerLost] {
            owner += 1;
            let (target, expected) = if cut % 2 == 0 { (&second, &second_seen) } else { (&first, &first_seen) };
            back_up(&world).await;
            let old = seen(&world).await;
            let started = start(&world, &world.administration(), whole(target)).await.unwrap();
            store.fail_commits_after(cut, fault);
            let failed = run_once(&world, &worker(owner)).await;
            assert!(matches!(failed, Err(Error::Store(_))), "{cut} {fault:?}: {failed:?}");
            store.heal();
            world.restart().await;
            let last = cut + 1 == commits && fault == CommitFault::AnswerLost;
            let state = guard(&world).await.state;
            assert_eq!(state, if last { HsmState::Active } else { HsmState::Restoring }, "{cut} {fault:?}");
            if last {
                assert_eq!(seen(&world).await, *expected);
            } else {
                let refused = world.hsm().await.keys(&world.administration(), page()).await;
                assert!(matches!(refused, Err(Error::Restoring)), "half of it is never shown");
            }
            run(&world).await;
            world.test.clock.advance_seconds(5);
            assert_eq!(status(&world, &started).await.state, JobState::Succeeded);
            assert_eq!(seen(&world).await, *expected, "{cut} {fault:?}, from {} entries", old.len());
            sweep(&world).await;
            assert_eq!(generations(&world).await.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_blob_store_that_fails_during_a_restore_lets_it_go_on_or_puts_the_old_state_back() {
    let world = furnished().await;
    let (first, first_seen) = (back_up(&world).await, seen(&world).await);
    change(&world).await;
    let changed = seen(&world).await;
    let second = back_up(&world).await;
    let calls = {
        let before = world.test.blobs.calls();
        restore(&world, &first).await;
        world.test.blobs.calls() - before
    };
    restore(&world, &second).await;
    assert_eq!(seen(&world).await, changed);
    for call in 0..calls {
        world.test.blobs.fail_calls_after(call, BlobFault::Error(BlobError::Refused("403".to_owned())));
        let failed = done(&world, whole(&first)).await;
        world.test.blobs.heal();
        assert_eq!(failure(&failed), "BlobStoreRefused");
        assert_eq!(seen(&world).await, changed, "call {call}");
        world.test.blobs.fail_calls_after(call, BlobFault::Error(BlobError::Unavailable("500".to_owned())));
        let failed = done(&world, whole(&first)).await;
        world.test.blobs.heal();
        assert_eq!(failure(&failed), "BlobStoreUnavailable");
        assert_eq!(seen(&world).await, changed, "call {call}");
        world.test.blobs.fail_call_after(call, BlobFault::Error(BlobError::Unavailable("500".to_owned())));
        restore(&world, &first).await;
        assert_eq!(seen(&world).await, first_seen, "call {call}");
        restore(&world, &second).await;
        back_up(&world).await;
        sweep(&world).await;
        assert_eq!(generations(&world).await.len(), 1);
    }
}

#[tokio::test]
async fn a_full_store_ends_a_restore_and_the_old_state_is_back() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let kv: Arc<dyn Kv> = Arc::<FaultyStore>::clone(&store);
    let world = World::active_on(kv).await;
    furnish(&world).await;
    let folder = back_up(&world).await;
    change(&world).await;
    let changed = seen(&world).await;
    let started = start(&world, &world.administration(), whole(&folder)).await.unwrap();
    store.fail_commits_after(6, CommitFault::Full);
    run_once(&world, &worker(1)).await.unwrap_err();
    store.heal();
    // The end could not be written either; the next run finds space again and finishes.
    run(&world).await;
    assert_eq!(status(&world, &started).await.state, JobState::Succeeded);
    back_up(&world).await;
    let started = start(&world, &world.administration(), whole(&folder)).await.unwrap();
    store.fail_next_commit(CommitFault::Full);
    let full = run_once(&world, &worker(1)).await;
    assert!(full.is_err(), "the claim itself does not fit: it is tried again");
    run(&world).await;
    assert_eq!(status(&world, &started).await.state, JobState::Succeeded);
    assert_ne!(seen(&world).await, changed);
}

#[tokio::test]
async fn a_restore_goes_on_once_a_sealed_hsm_is_unsealed() {
    let root = strongroom_testkit::MemoryRoot::generate().unwrap().without_hsm_roots();
    let mut world = World::under(root).await;
    let file = world.activate().await;
    for role in [CRYPTO_USER, CRYPTO_OFFICER] {
        world.assign(world.administrator, role, "/").await;
    }
    furnish(&world).await;
    let (folder, before) = (back_up(&world).await, seen(&world).await);
    let started = start(&world, &world.administration(), whole(&folder)).await.unwrap();
    world.restart().await;
    run_once(&world, &worker(2)).await.unwrap();
    assert_eq!(world.test.core.running_jobs().await.unwrap().len(), 1, "it waits");
    let hsm = world.hsm().await;
    let transfer_key = hsm.transfer_key(&world.administration()).await.unwrap();
    hsm.upload_security_domain(&world.administration(), recovery::blob(&file, &transfer_key)).await.unwrap();
    assert!(matches!(hsm.keys(&world.administration(), page()).await, Err(Error::Restoring)));
    run(&world).await;
    assert_eq!(status(&world, &started).await.state, JobState::Succeeded);
    assert_eq!(seen(&world).await, before);
}
