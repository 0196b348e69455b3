use std::collections::BTreeMap;
use std::pin::pin;

use strongroom_core::guard::Swept;
use strongroom_core::keys::{
    CipherInput, CreateKey, ImportKey, KeyAttributes, KeyReference, PageRequest, Tags, UpdateKey,
};
use strongroom_core::ports::Clock;
use strongroom_core::{Error, Limits};
use strongroom_crypto::KeySpecification;
use strongroom_types::{Algorithm, KeyOperation, SymmetricSize, Timestamp};

use crate::import::aes;
use crate::support::{CRYPTO_USER, World, ec, poll_once, stranger};

const DIGEST: [u8; 32] = [7; 32];

fn latest(key: &KeyReference) -> KeyReference {
    KeyReference { name: key.name.clone(), version: None }
}

#[tokio::test]
async fn a_name_in_use_gets_a_new_version_and_old_ones_stay() {
    let world = World::active().await;
    let (first, second) = (world.ec_key("k").await, world.ec_key("K").await);
    assert_ne!(first.version, second.version);
    let hsm = world.hsm().await;
    let shown = hsm.key(&world.administration(), &latest(&first)).await.unwrap();
    assert_eq!(Some(shown.version), second.version);
    let signed = hsm.sign(&world.administration(), &first, Algorithm::Es256, DIGEST.to_vec()).await.unwrap();
    assert_eq!(Some(signed.key.version), first.version);
    let page = PageRequest::new(None, None, &Limits::default()).unwrap();
    assert_eq!(hsm.key_versions(&world.administration(), &first.name, page).await.unwrap().entries.len(), 2);
}

#[tokio::test]
async fn the_hundred_and_first_version_is_refused() {
    let world = World::active().await;
    for _ in 0..100 {
        world.ec_key("k").await;
    }
    let refused = world.hsm().await.create_key(&world.administration(), &"k".parse().unwrap(), ec()).await;
    assert!(matches!(refused, Err(Error::LimitReached { limit: 100, .. })));
}

#[tokio::test]
async fn limits_are_the_operators_and_take_nothing_away() {
    let mut world = World::active().await;
    let key = world.ec_key("k").await;
    world.ec_key("k").await;
    let limits = Limits { versions_per_key: 2, page_entries: 1, tags_per_key: 1, ..Limits::default() };
    world.test = world.test.restarted_with(limits).await.unwrap();
    let hsm = world.hsm().await;
    let refused = hsm.create_key(&world.administration(), &key.name, ec()).await;
    assert!(matches!(refused, Err(Error::LimitReached { limit: 2, .. })), "{refused:?}");
    world.ec_key("other").await;
    let page = PageRequest::new(None, None, hsm.limits()).unwrap();
    assert_eq!(hsm.keys(&world.administration(), page).await.unwrap().entries.len(), 1);
    let tags = [("a".to_owned(), String::new()), ("b".to_owned(), String::new())];
    assert!(Tags::new(tags.into(), hsm.limits()).is_err());
    let limits = Limits { versions_per_key: 1, role_assignments_per_key: 1, ..limits };
    world.test = world.test.restarted_with(limits).await.unwrap();
    world.hsm().await.sign(&world.administration(), &key, Algorithm::Es256, DIGEST.to_vec()).await.unwrap();
    world.assign(stranger(), CRYPTO_USER, "/keys/k").await;
    let (hsm, name) = (world.hsm().await, strongroom_testkit::draw_uuid().unwrap());
    let (request, scope) = (world.administration(), "/keys/k".parse().unwrap());
    let refused = hsm.create_role_assignment(&request, &scope, name, CRYPTO_USER, stranger()).await;
    assert!(matches!(refused, Err(Error::LimitReached { limit: 1, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_deleted_key_is_of_no_use_until_it_is_recovered() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    let hsm = world.hsm().await;
    let request = || world.administration();
    let deleted = hsm.delete_key(&request(), &key.name).await.unwrap();
    assert_eq!(deleted.scheduled_purge, deleted.deleted.plus_days(7));
    assert!(matches!(hsm.key(&request(), &key).await, Err(Error::KeyNotFound { .. })));
    let refused = hsm.sign(&request(), &key, Algorithm::Es256, DIGEST.to_vec()).await;
    assert!(matches!(refused, Err(Error::KeyNotFound { .. })));
    let refused = hsm.create_key(&request(), &key.name, ec()).await;
    assert!(matches!(refused, Err(Error::KeyDeleted { .. })));
    hsm.recover_key(&request(), &key.name).await.unwrap();
    hsm.sign(&request(), &key, Algorithm::Es256, DIGEST.to_vec()).await.unwrap();
}

#[tokio::test]
async fn purge_leaves_nothing_behind() {
    let world = World::active().await;
    let before = world.store_keys().await.len();
    let key = world.ec_key("k").await;
    let hsm = world.hsm().await;
    hsm.delete_key(&world.administration(), &key.name).await.unwrap();
    hsm.purge_key(&world.administration(), &key.name).await.unwrap();
    let refused = hsm.recover_key(&world.administration(), &key.name).await;
    assert!(matches!(refused, Err(Error::KeyNotFound { .. })));
    let job = |operation| world.job(operation);
    while hsm.sweep_leftovers(&job).await.unwrap() == Swept::Some {}
    let outbox = |keys: Vec<String>| keys.into_iter().filter(|key| !key.starts_with("audit/")).count();
    let all = world.store_keys().await;
    assert!(!all.iter().any(|key| key.contains("/material/") || key.contains("/leftover/")), "{all:?}");
    assert!(outbox(all) <= before);
}

#[tokio::test]
async fn purge_is_refused_while_purge_protection_is_on_and_happens_by_itself_at_the_end() {
    let world = World::active_with(|hsm| hsm.purge_protection = true).await;
    let key = world.ec_key("k").await;
    let hsm = world.hsm().await;
    hsm.delete_key(&world.administration(), &key.name).await.unwrap();
    let refused = hsm.purge_key(&world.administration(), &key.name).await;
    assert!(matches!(refused, Err(Error::PurgeProtected { .. })));
    let job = |operation| world.job(operation);
    assert_eq!(hsm.purge_due_keys(&job, world.test.clock.now()).await.unwrap(), 0);
    world.test.clock.advance_days(7);
    assert_eq!(hsm.purge_due_keys(&job, world.test.clock.now()).await.unwrap(), 1);
    assert!(matches!(hsm.deleted_key(&world.administration(), &key.name).await, Err(Error::KeyNotFound { .. })));
}

#[tokio::test]
async fn keys_are_purged_that_lie_on_different_pages_and_others_go_on_between_them() {
    let world = World::active().await;
    for number in 0..120 {
        world.ec_key(&format!("k{number:03}")).await;
    }
    let hsm = world.hsm().await;
    let deleted = ["k000", "k099", "k100", "k119"].map(|name| name.parse().unwrap());
    for name in &deleted {
        hsm.delete_key(&world.administration(), name).await.unwrap();
    }
    world.test.clock.advance_days(7);
    let (job, now) = (|operation| world.job(operation), world.test.clock.now());
    let mut purge = pin!(hsm.purge_due_keys(&job, now));
    assert!(poll_once(purge.as_mut()).is_pending());
    assert_eq!(purge.await.unwrap(), deleted.len());
    let names = world.store_keys().await.into_iter().filter(|key| key.contains("/name/")).count();
    assert_eq!(names, 120 - deleted.len());
}

/// Its owner thinks better of it after it was listed as due.
#[tokio::test]
async fn a_key_that_is_recovered_while_another_one_is_purged_is_kept() {
    let world = World::active().await;
    let (first, second) = (world.ec_key("a").await.name, world.ec_key("b").await.name);
    let hsm = world.hsm().await;
    for name in [&first, &second] {
        hsm.delete_key(&world.administration(), name).await.unwrap();
    }
    for again in [true, false] {
        world.test.clock.advance_days(7);
        let job = |operation| {
            let saved = async {
                if hsm.recover_key(&world.administration(), &second).await.is_ok() && again {
                    hsm.delete_key(&world.administration(), &second).await.unwrap();
                }
            };
            assert!(poll_once(pin!(saved)).is_ready());
            world.job(operation)
        };
        let purged = hsm.purge_due_keys(&job, world.test.clock.now()).await.unwrap();
        assert_eq!(purged, usize::from(again));
    }
    assert!(matches!(hsm.deleted_key(&world.administration(), &first).await, Err(Error::KeyNotFound { .. })));
    let kept = KeyReference { name: second, version: None };
    hsm.sign(&world.administration(), &kept, Algorithm::Es256, DIGEST.to_vec()).await.unwrap();
}

#[tokio::test]
async fn a_disabled_key_does_nothing_and_an_expired_one_still_verifies() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    let hsm = world.hsm().await;
    let request = || world.administration();
    let signed = hsm.sign(&request(), &key, Algorithm::Es256, DIGEST.to_vec()).await.unwrap();
    let change = |enabled, expires| UpdateKey {
        attributes: KeyAttributes { enabled: Some(enabled), not_before: None, expires },
        ..UpdateKey::default()
    };
    hsm.update_key(&request(), &key, &change(false, None)).await.unwrap();
    let refused = hsm.verify(&request(), &key, Algorithm::Es256, DIGEST.to_vec(), signed.value.clone()).await;
    assert!(matches!(refused, Err(Error::KeyDisabled { .. })));
    hsm.update_key(&request(), &key, &change(true, Some(Timestamp::from_seconds(1)))).await.unwrap();
    let refused = hsm.sign(&request(), &key, Algorithm::Es256, DIGEST.to_vec()).await;
    assert!(matches!(refused, Err(Error::KeyOutsideValidity { problem: "expired", .. })));
    assert!(hsm.verify(&request(), &key, Algorithm::Es256, DIGEST.to_vec(), signed.value).await.unwrap());
}

#[tokio::test]
async fn a_date_before_1970_is_refused_wherever_one_is_given() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    let (hsm, day) = (world.hsm().await, |seconds| Some(Timestamp::from_seconds(seconds)));
    let none = KeyAttributes::default();
    for (parameter, attributes) in [
        ("nbf", KeyAttributes { not_before: day(-1), ..none }),
        ("exp", KeyAttributes { expires: day(-1), ..none }),
        ("exp", KeyAttributes { expires: day(i64::MIN), ..none }),
    ] {
        let is_refused =
            |result| matches!(result, Err(Error::BadParameter { parameter: named, .. }) if named == parameter);
        let wanted = CreateKey { attributes, ..ec() };
        assert!(is_refused(hsm.create_key(&world.administration(), &"new".parse().unwrap(), wanted).await));
        let wanted = ImportKey { attributes, ..aes() };
        assert!(is_refused(hsm.import_key(&world.administration(), &"new".parse().unwrap(), wanted).await));
        let change = UpdateKey { attributes, ..UpdateKey::default() };
        assert!(is_refused(hsm.update_key(&world.administration(), &key, &change).await));
    }
    let change = UpdateKey { attributes: KeyAttributes { not_before: day(0), ..none }, ..UpdateKey::default() };
    hsm.update_key(&world.administration(), &key, &change).await.unwrap();
}

#[tokio::test]
async fn an_operation_outside_key_ops_is_refused() {
    let world = World::active().await;
    let wanted = CreateKey { operations: Some([KeyOperation::Verify].into_iter().collect()), ..ec() };
    let key = world.create("k", wanted).await;
    let refused = world.hsm().await.sign(&world.administration(), &key, Algorithm::Es256, DIGEST.to_vec()).await;
    assert!(matches!(refused, Err(Error::OperationNotPermitted { .. })));
    let impossible = CreateKey { operations: Some([KeyOperation::Encrypt].into_iter().collect()), ..ec() };
    let refused = world.hsm().await.create_key(&world.administration(), &"e".parse().unwrap(), impossible).await;
    assert!(matches!(refused, Err(Error::BadParameter { parameter: "key_ops", .. })));
}

#[tokio::test]
async fn what_is_encrypted_decrypts_and_what_is_altered_does_not() {
    let world = World::active().await;
    let wanted = CreateKey { specification: KeySpecification::Oct(SymmetricSize::Bits256), ..ec() };
    let key = world.create("aes", wanted).await;
    let hsm = world.hsm().await;
    let input = CipherInput { value: b"text".to_vec(), aad: Some(b"more".to_vec()), ..CipherInput::default() };
    let made = hsm.encrypt(&world.administration(), &key, Algorithm::A256Gcm, input).await.unwrap();
    let sealed = CipherInput { value: made.value, iv: made.iv, tag: made.tag, aad: Some(b"more".to_vec()) };
    let opened = hsm.decrypt(&world.administration(), &key, Algorithm::A256Gcm, sealed.clone()).await.unwrap();
    assert_eq!(opened.value.expose(), b"text");
    let altered = CipherInput { aad: None, ..sealed };
    assert!(hsm.decrypt(&world.administration(), &key, Algorithm::A256Gcm, altered).await.is_err());
}

#[tokio::test]
async fn a_list_shows_the_moment_its_first_page_was_read() {
    let world = World::active().await;
    for number in 0..30 {
        world.ec_key(&format!("k{number:02}")).await;
    }
    let hsm = world.hsm().await;
    let first =
        hsm.keys(&world.administration(), PageRequest::new(None, None, &Limits::default()).unwrap()).await.unwrap();
    assert_eq!(first.entries.len(), 25);
    hsm.delete_key(&world.administration(), &"k27".parse().unwrap()).await.unwrap();
    world.ec_key("k99").await;
    let next = first.next.unwrap().to_string().parse().unwrap();
    let second = hsm
        .keys(&world.administration(), PageRequest::new(Some(next), None, &Limits::default()).unwrap())
        .await
        .unwrap();
    let names: Vec<String> = second.entries.iter().map(|key| key.name.to_string()).collect();
    assert_eq!(names, ["k25", "k26", "k27", "k28", "k29"]);
    assert!(second.next.is_none());
    assert!(PageRequest::new(None, Some(26), &Limits::default()).is_err());
}

#[tokio::test]
async fn a_list_leaves_out_what_was_purged_since_its_first_page() {
    let world = World::active().await;
    for number in 0..27 {
        world.ec_key(&format!("k{number:02}")).await;
    }
    let hsm = world.hsm().await;
    let first = hsm.keys(&world.administration(), PageRequest::new(None, None, hsm.limits()).unwrap()).await.unwrap();
    let gone = "k25".parse().unwrap();
    hsm.delete_key(&world.administration(), &gone).await.unwrap();
    hsm.purge_key(&world.administration(), &gone).await.unwrap();
    let job = |operation| world.job(operation);
    while hsm.sweep_leftovers(&job).await.unwrap() == Swept::Some {}
    let next = first.next.unwrap().to_string().parse().unwrap();
    let second =
        hsm.keys(&world.administration(), PageRequest::new(Some(next), None, hsm.limits()).unwrap()).await.unwrap();
    assert_eq!(second.entries.iter().map(|key| key.name.to_string()).collect::<Vec<_>>(), ["k26"]);
}

#[tokio::test]
async fn sixteen_tags_are_refused() {
    let tags = |count: usize| (0..count).map(|number| (number.to_string(), String::new())).collect::<BTreeMap<_, _>>();
    assert!(Tags::new(tags(15), &Limits::default()).is_ok());
    assert!(matches!(Tags::new(tags(16), &Limits::default()), Err(Error::BadParameter { parameter: "tags", .. })));
    assert!(Tags::new([("a".repeat(257), String::new())].into(), &Limits::default()).is_err());
}

#[tokio::test]
async fn cryptography_stops_while_the_audit_log_cannot_be_written() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    world.test.audit.fail();
    let refused = world.hsm().await.sign(&world.administration(), &key, Algorithm::Es256, DIGEST.to_vec()).await;
    assert!(matches!(refused, Err(Error::AuditUnavailable)));
}

#[tokio::test]
async fn every_change_carries_its_event() {
    let world = World::active().await;
    world.test.audit.take();
    let request = world.administration();
    world.hsm().await.create_key(&request, &"k".parse().unwrap(), ec()).await.unwrap();
    assert!(request.is_recorded());
    let events = world.test.audit.take();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event_id, request.id);
    let outbox = world.test.core.barrier().outbox().await.unwrap();
    assert!(outbox.iter().any(|(_, event)| *event == events[0]));
}
