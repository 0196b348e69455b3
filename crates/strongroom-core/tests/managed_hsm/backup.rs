//! Key backup and restore: what comes back, what is refused, and what a crash leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_core::guard::Swept;
use strongroom_core::keys::{
    CipherInput, CreateKey, KeyAttributes, KeyReference, LifetimeAction, LifetimeActionType, PageRequest,
    RotationRules, RotationTrigger, Tags, UpdateKey,
};
use strongroom_core::ports::Clock;
use strongroom_core::{Error, Limits};
use strongroom_crypto::KeySpecification;
use strongroom_store::{Kv, MemoryStore};
use strongroom_testkit::{CommitFault, FaultyStore};
use strongroom_types::{Algorithm, RsaSize, SymmetricSize, Timestamp};

use crate::recovery::blob as upload;
use crate::support::{CRYPTO_OFFICER, CRYPTO_USER, World, ec, stranger};

const DIGEST: [u8; 32] = [7; 32];

async fn back_up(world: &World, key: &KeyReference) -> Vec<u8> {
    world.hsm().await.back_up_key(&world.administration(), &key.name).await.unwrap()
}

async fn restore(world: &World, blob: &[u8]) -> Result<KeyReference, Error> {
    let key = world.hsm().await.restore_key(&world.administration(), blob).await?;
    Ok(KeyReference { name: key.name, version: Some(key.version) })
}

/// Deletes and purges a key, and lets the job remove what is left.
async fn destroy(world: &World, key: &KeyReference) {
    let hsm = world.hsm().await;
    hsm.delete_key(&world.administration(), &key.name).await.unwrap();
    hsm.purge_key(&world.administration(), &key.name).await.unwrap();
    sweep(world).await;
}

async fn sweep(world: &World) {
    let job = |operation| world.job(operation);
    while world.hsm().await.sweep_leftovers(&job).await.unwrap() == Swept::Some {}
}

/// Store keys of keys: names, versions, material, what is left over.
async fn traces(world: &World) -> Vec<String> {
    let parts = ["/name/", "/key/", "/material/", "/leftover/", "/rotation/"];
    world.store_keys().await.into_iter().filter(|key| parts.iter().any(|part| key.contains(part))).collect()
}

#[tokio::test]
async fn a_restored_key_has_all_versions_attributes_tags_and_its_policy_and_works() {
    let world = World::active().await;
    let hsm = world.hsm().await;
    let request = || world.administration();
    let tags = Tags::new([("team".to_owned(), "blue".to_owned())].into(), &Limits::default()).unwrap();
    let expires = Some(world.test.clock.now().plus_days(400));
    let attributes = KeyAttributes { expires, not_before: Some(Timestamp::from_seconds(5)), enabled: None };
    let rsa = KeySpecification::Rsa(RsaSize::Bits2048);
    let first = world.create("K", CreateKey { specification: rsa, attributes, tags, ..ec() }).await;
    world.test.clock.advance_days(1);
    let aes = KeySpecification::Oct(SymmetricSize::Bits256);
    let second = world.create("k", CreateKey { specification: aes, ..ec() }).await;
    let third = world.ec_key("k").await;
    let disabled = KeyAttributes { enabled: Some(false), ..KeyAttributes::default() };
    let change = UpdateKey { attributes: disabled, ..UpdateKey::default() };
    let encrypted = CipherInput { value: b"text".to_vec(), ..CipherInput::default() };
    let encrypted = hsm.encrypt(&request(), &second, Algorithm::A256Gcm, encrypted).await.unwrap();
    let signed = hsm.sign(&request(), &third, Algorithm::Es256, DIGEST.to_vec()).await.unwrap();
    hsm.update_key(&request(), &first, &change).await.unwrap();
    let trigger = RotationTrigger::TimeAfterCreate("P30D".parse().unwrap());
    let action = LifetimeAction { action: LifetimeActionType::Rotate, trigger };
    let rules = RotationRules::for_managed_hsm(&[action], None).unwrap();
    let policy = hsm.set_rotation_policy(&request(), &first.name, rules).await.unwrap();
    let page = || PageRequest::new(None, None, &Limits::default()).unwrap();
    let before = hsm.key_versions(&request(), &first.name, page()).await.unwrap().entries;
    let blob = back_up(&world, &first).await;
    destroy(&world, &first).await;
    assert_eq!(traces(&world).await, Vec::<String>::new());

    world.test.clock.advance_days(1);
    let restored = restore(&world, &blob).await.unwrap();
    assert_eq!((restored.name.as_str(), restored.version), ("K", third.version));
    assert_eq!(hsm.key_versions(&request(), &first.name, page()).await.unwrap().entries, before);
    assert_eq!(hsm.rotation_policy(&request(), &first.name).await.unwrap(), policy);
    let sealed = CipherInput { value: encrypted.value, iv: encrypted.iv, tag: encrypted.tag, aad: None };
    let opened = hsm.decrypt(&request(), &second, Algorithm::A256Gcm, sealed).await.unwrap();
    assert_eq!(opened.value.expose(), b"text");
    assert!(hsm.verify(&request(), &third, Algorithm::Es256, DIGEST.to_vec(), signed.value).await.unwrap());
    let refused = hsm.sign(&request(), &first, Algorithm::Rs256, DIGEST.to_vec()).await;
    assert!(matches!(refused, Err(Error::KeyDisabled { .. })), "what was disabled stays so: {refused:?}");
    world.test.clock.advance_days(30);
    let job = |operation| world.job(operation);
    let round = hsm.rotate_due_keys(&job, world.test.clock.now()).await.unwrap();
    assert_eq!(round.rotated.len(), 1, "it goes on rotating");
}

#[tokio::test]
async fn a_hundred_versions_with_all_their_tags_come_back() {
    let world = World::active().await;
    let text = |number: usize| format!("{number:02}{}", "x".repeat(100));
    let tags: BTreeMap<_, _> = (0..15).map(|number| (text(number), text(number))).collect();
    let wanted = CreateKey { tags: Tags::new(tags, &Limits::default()).unwrap(), ..ec() };
    let key = world.create("k", wanted.clone()).await;
    for _ in 1..100 {
        world.create("k", wanted.clone()).await;
    }
    let blob = back_up(&world, &key).await;
    let before = traces(&world).await.len();
    destroy(&world, &key).await;
    restore(&world, &blob).await.unwrap();
    assert_eq!(traces(&world).await.len(), before, "one name, a hundred versions, nothing left over");
    world.hsm().await.sign(&world.administration(), &key, Algorithm::Es256, DIGEST.to_vec()).await.unwrap();
    sweep(&world).await;
    assert_eq!(traces(&world).await.len(), before);
}

#[tokio::test]
async fn a_backup_that_could_not_be_restored_is_refused_at_once() {
    let world = World::active().await;
    let text = |number: usize| format!("{number:02}{}", "\u{1f511}".repeat(250));
    let tags: BTreeMap<_, _> = (0..15).map(|number| (text(number), text(number))).collect();
    let wanted = CreateKey { tags: Tags::new(tags, &Limits::default()).unwrap(), ..ec() };
    let key = world.create("k", wanted.clone()).await;
    for _ in 1..40 {
        world.create("k", wanted.clone()).await;
    }
    let refused = world.hsm().await.back_up_key(&world.administration(), &key.name).await;
    assert!(matches!(refused, Err(Error::LimitReached { what: "bytes of a key backup", .. })), "{:?}", refused.err());
}

#[tokio::test]
async fn a_name_in_use_live_or_deleted_is_not_restored_over() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    let blob = back_up(&world, &key).await;
    let before = traces(&world).await;
    assert!(matches!(restore(&world, &blob).await, Err(Error::KeyExists { .. })));
    world.hsm().await.delete_key(&world.administration(), &key.name).await.unwrap();
    assert!(matches!(restore(&world, &blob).await, Err(Error::KeyDeleted { .. })));
    assert_eq!(traces(&world).await, before);
}

#[tokio::test]
async fn truncated_altered_and_foreign_blobs_are_refused_and_change_nothing() {
    let (world, elsewhere) = (World::active().await, World::active().await);
    let key = world.ec_key("k").await;
    let blob = back_up(&world, &key).await;
    destroy(&world, &key).await;
    let before = world.store_keys().await;
    let refused = |blob: Vec<u8>| {
        let world = &world;
        async move { matches!(restore(world, &blob).await, Err(Error::BackupRefused)) }
    };
    for length in 0..blob.len() {
        assert!(refused(blob[..length].to_vec()).await, "the first {length} bytes");
    }
    for position in 0..blob.len() {
        let mut altered = blob.clone();
        altered[position] ^= 1;
        assert!(refused(altered).await, "byte {position}");
    }
    let mut longer = blob.clone();
    longer.push(0);
    assert!(refused(longer).await, "a byte more");
    // Formats and kinds to come, and the kind of a vault's keys.
    for (position, value) in [(8, 2), (9, 2), (9, 3), (9, 4)] {
        let mut other = blob.clone();
        other[position] = value;
        assert!(refused(other).await, "byte {position} = {value}");
    }
    let foreign = back_up(&elsewhere, &elsewhere.ec_key("k").await).await;
    assert!(refused(foreign).await);
    assert_eq!(world.store_keys().await, before);
    restore(&world, &blob).await.unwrap();
}

#[tokio::test]
async fn a_backup_opens_in_an_hsm_that_was_recovered_with_the_same_security_domain() {
    let mut world = World::new().await;
    let file = world.activate().await;
    world.grant_keys().await;
    let key = world.ec_key("k").await;
    let (blob, request) = (back_up(&world, &key).await, world.administration());
    let signed = world.hsm().await.sign(&request, &key, Algorithm::Es256, DIGEST.to_vec()).await.unwrap();
    let first = std::mem::replace(&mut world.name, "hsm2".parse().unwrap());

    world.add_hsm("hsm2", |_| {}).await;
    world.activate().await;
    world.grant_keys().await;
    assert!(matches!(restore(&world, &blob).await, Err(Error::BackupRefused)), "it has a domain of its own");

    world.add_hsm("hsm3", |_| {}).await;
    world.name = "hsm3".parse().unwrap();
    let hsm = world.hsm().await;
    let transfer_key = hsm.transfer_key(&world.administration()).await.unwrap();
    hsm.upload_security_domain(&world.administration(), upload(&file, &transfer_key)).await.unwrap();
    world.grant_keys().await;
    let restored = restore(&world, &blob).await.unwrap();
    assert_eq!(restored, key);
    assert!(hsm.verify(&world.administration(), &key, Algorithm::Es256, DIGEST.to_vec(), signed.value).await.unwrap());
    // And back.
    let blob = back_up(&world, &restored).await;
    world.name = first;
    destroy(&world, &key).await;
    assert_eq!(restore(&world, &blob).await.unwrap(), key);
}

#[tokio::test]
async fn rights_come_before_the_blob() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    let blob = back_up(&world, &key).await;
    let (nobody, user) = (stranger(), stranger());
    for role in [CRYPTO_USER, CRYPTO_OFFICER] {
        world.assign(user, role, "/keys/k").await;
    }
    let hsm = world.hsm().await;
    hsm.back_up_key(&world.request(user), &key.name).await.unwrap();
    let refused = hsm.back_up_key(&world.request(nobody), &key.name).await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })));
    for blob in [blob.as_slice(), b"no blob at all"] {
        for principal in [nobody, user] {
            let refused = hsm.restore_key(&world.request(principal), blob).await;
            assert!(matches!(refused, Err(Error::Forbidden { .. })), "restoring needs the right at /keys: {refused:?}");
        }
    }
}

#[tokio::test]
async fn a_backup_is_on_record_before_it_is_handed_out() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    let request = world.administration();
    world.hsm().await.back_up_key(&request, &key.name).await.unwrap();
    assert!(request.is_recorded());
    let outbox = world.test.core.barrier().outbox().await.unwrap();
    assert!(outbox.iter().any(|(_, event)| event.event_id == request.id));
    world.test.audit.fail();
    let refused = world.hsm().await.back_up_key(&world.administration(), &key.name).await;
    assert!(matches!(refused, Err(Error::AuditUnavailable)));
}

#[tokio::test]
async fn a_restore_cut_off_anywhere_leaves_no_key_and_nothing_after_the_sweep() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let kv: Arc<dyn Kv> = Arc::<FaultyStore>::clone(&store);
    let mut world = World::active_on(kv).await;
    let key = world.ec_key("k").await;
    for _ in 1..40 {
        world.ec_key("k").await;
    }
    let blob = back_up(&world, &key).await;
    destroy(&world, &key).await;
    // Three commits stage 40 versions, the fourth makes the name.
    for done in 0..4 {
        for fault in [CommitFault::NotApplied, CommitFault::AnswerLost] {
            store.fail_commits_after(done, fault);
            let failed = restore(&world, &blob).await;
            assert!(matches!(failed, Err(Error::Store(_))), "{failed:?}");
            store.heal();
            world.restart().await;
            let exists = done == 3 && fault == CommitFault::AnswerLost;
            let shown = world.hsm().await.key(&world.administration(), &key).await;
            assert_eq!(shown.is_ok(), exists, "{done} {fault:?}: {shown:?}");
            sweep(&world).await;
            if exists {
                destroy(&world, &key).await;
            }
            world.test.clock.advance_seconds(3600);
            sweep(&world).await;
            assert_eq!(traces(&world).await, Vec::<String>::new(), "{done} {fault:?}");
        }
    }
    restore(&world, &blob).await.unwrap();
}
