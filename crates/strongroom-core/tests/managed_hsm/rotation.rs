//! Rotation: on request, and by itself when it is due.

use std::sync::Arc;

use strongroom_core::hsm::Hsm;
use strongroom_core::keys::{
    CreateKey, Key, KeyAttributes, KeyReference, LifetimeAction, LifetimeActionType, PageRequest, RotationRound,
    RotationRules, RotationTrigger, Tags, UpdateKey,
};
use strongroom_core::ports::Clock;
use strongroom_core::request::Request;
use strongroom_core::{Error, Limits};
use strongroom_store::MemoryStore;
use strongroom_testkit::{CommitFault, FaultyStore};
use strongroom_types::{KeyOperation, Timestamp};

use crate::support::{World, ec, stranger};

fn rules(trigger: Option<RotationTrigger>, expiry: Option<&str>) -> RotationRules {
    let action = trigger.map(|trigger| LifetimeAction { action: LifetimeActionType::Rotate, trigger });
    RotationRules::for_managed_hsm(action.as_slice(), expiry.map(|text| text.parse().unwrap())).unwrap()
}

/// Every 30 days.
pub(crate) fn monthly() -> RotationRules {
    rules(Some(RotationTrigger::TimeAfterCreate("P30D".parse().unwrap())), None)
}

pub(crate) async fn set(world: &World, key: &KeyReference, rules: RotationRules) {
    world.hsm().await.set_rotation_policy(&world.administration(), &key.name, rules).await.unwrap();
}

async fn round(world: &World) -> RotationRound {
    let job = |operation| world.job(operation);
    world.hsm().await.rotate_due_keys(&job, world.test.clock.now()).await.unwrap()
}

pub(crate) async fn versions(world: &World, key: &KeyReference) -> Vec<Key> {
    let (hsm, request, mut page) =
        (world.hsm().await, world.administration(), PageRequest::new(None, None, &Limits::default()).unwrap());
    let mut all = Vec::new();
    loop {
        let found = hsm.key_versions(&request, &key.name, page).await.unwrap();
        all.extend(found.entries);
        match found.next {
            Some(token) => page = PageRequest::new(Some(token), None, &Limits::default()).unwrap(),
            None => return all,
        }
    }
}

/// How many keys stand in the index.
async fn scheduled(world: &World) -> usize {
    world.store_keys().await.iter().filter(|key| key.contains("/rotation/")).count()
}

#[tokio::test]
async fn a_rotated_key_has_a_new_version_of_the_same_kind_that_expires_as_the_policy_says() {
    let world = World::active().await;
    let tags = Tags::new([("team".to_owned(), "blue".to_owned())].into(), &Limits::default()).unwrap();
    let operations = Some([KeyOperation::Sign].into_iter().collect());
    let attributes = KeyAttributes { not_before: Some(Timestamp::from_seconds(1)), ..KeyAttributes::default() };
    let key = world.create("k", CreateKey { operations, attributes, tags: tags.clone(), ..ec() }).await;
    set(&world, &key, rules(None, Some("P90D"))).await;
    world.test.clock.advance_days(1);
    let before = versions(&world, &key).await.remove(0);
    let hsm = world.hsm().await;
    let rotated = hsm.rotate_key(&world.administration(), &key.name).await.unwrap();
    assert_ne!((Some(rotated.version), &rotated.public_key), (key.version, &before.public_key));
    assert_eq!(
        (rotated.specification, rotated.operations, &rotated.tags),
        (ec().specification, before.operations, &tags)
    );
    assert_eq!((rotated.created, rotated.not_before), (world.test.clock.now(), None));
    assert_eq!(rotated.expires, Some(world.test.clock.now().plus_days(90)));
    assert_eq!(versions(&world, &key).await[0], before, "the version before stays as it was");
}

#[tokio::test]
async fn rotation_on_request_needs_a_policy_the_right_and_an_enabled_key() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    let hsm = world.hsm().await;
    let refused = hsm.rotate_key(&world.administration(), &key.name).await;
    assert!(matches!(refused, Err(Error::RotationPolicyMissing { .. })), "{refused:?}");
    set(&world, &key, monthly()).await;
    let refused = hsm.rotate_key(&world.request(stranger()), &key.name).await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })), "{refused:?}");
    let refused = hsm.set_rotation_policy(&world.request(stranger()), &key.name, monthly()).await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })), "{refused:?}");
    enable(&hsm, &world.administration(), &key, false).await;
    let refused = hsm.rotate_key(&world.administration(), &key.name).await;
    assert!(matches!(refused, Err(Error::KeyDisabled { .. })), "{refused:?}");
    set(&world, &key, RotationRules::default()).await;
    let refused = hsm.rotate_key(&world.administration(), &key.name).await;
    assert!(matches!(refused, Err(Error::RotationPolicyMissing { .. })), "{refused:?}");
}

async fn enable(hsm: &Hsm<'_>, request: &Request, key: &KeyReference, enabled: bool) {
    let attributes = KeyAttributes { enabled: Some(enabled), ..KeyAttributes::default() };
    hsm.update_key(request, key, &UpdateKey { attributes, ..UpdateKey::default() }).await.unwrap();
}

#[tokio::test]
async fn a_policy_is_of_the_key_survives_new_versions_and_goes_with_a_purge() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    let hsm = world.hsm().await;
    let request = || world.administration();
    assert_eq!(hsm.rotation_policy(&request(), &key.name).await.unwrap(), None);
    set(&world, &key, monthly()).await;
    let made = world.test.clock.now();
    world.test.clock.advance_days(1);
    world.ec_key("k").await;
    set(&world, &key, rules(None, Some("P1Y"))).await;
    let policy = hsm.rotation_policy(&request(), &key.name).await.unwrap().unwrap();
    assert_eq!((policy.created, policy.updated), (made, world.test.clock.now()));
    assert_eq!(policy.rules, rules(None, Some("P1Y")));
    set(&world, &key, monthly()).await;
    hsm.delete_key(&request(), &key.name).await.unwrap();
    hsm.purge_key(&request(), &key.name).await.unwrap();
    assert_eq!(scheduled(&world).await, 0);
    world.ec_key("k").await;
    assert_eq!(hsm.rotation_policy(&request(), &key.name).await.unwrap(), None);
}

#[tokio::test]
async fn a_due_key_gets_exactly_one_version_and_catches_up_once() {
    let mut world = World::active().await;
    let (key, other) = (world.ec_key("k").await, world.ec_key("other").await);
    set(&world, &key, monthly()).await;
    world.test.clock.advance_seconds(30 * 86_400 - 1);
    assert!(round(&world).await.rotated.is_empty());
    world.test.clock.advance_seconds(1);
    assert_eq!(round(&world).await.rotated, std::slice::from_ref(&key.name));
    assert!(round(&world).await.rotated.is_empty());
    assert_eq!((versions(&world, &key).await.len(), versions(&world, &other).await.len()), (2, 1));
    // The server was off for three periods.
    world.test.clock.advance_days(100);
    world.restart().await;
    assert_eq!(round(&world).await.rotated, std::slice::from_ref(&key.name));
    assert!(round(&world).await.rotated.is_empty());
    let latest = versions(&world, &key).await.pop().unwrap();
    assert_eq!(latest.created, world.test.clock.now());
    world.test.clock.advance_days(30);
    assert_eq!(round(&world).await.rotated.len(), 1);
    assert_eq!((versions(&world, &key).await.len(), scheduled(&world).await), (4, 1));
}

#[tokio::test]
async fn a_version_made_by_hand_moves_the_due_date() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    set(&world, &key, monthly()).await;
    world.test.clock.advance_days(20);
    world.hsm().await.rotate_key(&world.administration(), &key.name).await.unwrap();
    world.test.clock.advance_days(20);
    world.ec_key("k").await;
    world.test.clock.advance_days(20);
    assert!(round(&world).await.rotated.is_empty());
    world.test.clock.advance_days(10);
    assert_eq!(round(&world).await.rotated.len(), 1);
    assert_eq!(versions(&world, &key).await.len(), 4);
}

#[tokio::test]
async fn a_key_rotates_before_it_expires_whoever_sets_its_expiry() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    set(&world, &key, rules(Some(RotationTrigger::TimeBeforeExpiry("P10D".parse().unwrap())), Some("P60D"))).await;
    world.test.clock.advance_days(1000);
    assert!(round(&world).await.rotated.is_empty(), "a version that does not expire is never due");
    let expires = Some(world.test.clock.now().plus_days(20));
    let attributes = KeyAttributes { expires, ..KeyAttributes::default() };
    let change = UpdateKey { attributes, ..UpdateKey::default() };
    world.hsm().await.update_key(&world.administration(), &key, &change).await.unwrap();
    world.test.clock.advance_days(9);
    assert!(round(&world).await.rotated.is_empty());
    world.test.clock.advance_days(1);
    assert_eq!(round(&world).await.rotated.len(), 1);
    let latest = versions(&world, &key).await.pop().unwrap();
    assert_eq!(latest.expires, Some(world.test.clock.now().plus_days(60)));
    // The expiry of an older version says nothing.
    world.hsm().await.update_key(&world.administration(), &key, &change).await.unwrap();
    world.test.clock.advance_days(49);
    assert!(round(&world).await.rotated.is_empty());
    world.test.clock.advance_days(1);
    assert_eq!(round(&world).await.rotated.len(), 1);
}

#[tokio::test]
async fn a_deleted_key_does_not_rotate_until_it_is_recovered() {
    let world = World::active_with(|hsm| hsm.retention_days = 90).await;
    let key = world.ec_key("k").await;
    set(&world, &key, monthly()).await;
    let hsm = world.hsm().await;
    hsm.delete_key(&world.administration(), &key.name).await.unwrap();
    world.test.clock.advance_days(31);
    assert!(round(&world).await.rotated.is_empty());
    hsm.recover_key(&world.administration(), &key.name).await.unwrap();
    assert_eq!(versions(&world, &key).await.len(), 1);
    assert_eq!(round(&world).await.rotated.len(), 1);
}

#[tokio::test]
async fn a_key_that_cannot_rotate_is_put_off_and_does_not_stand_in_the_way() {
    let world = World::active().await;
    let (disabled, full, good) =
        (world.ec_key("disabled").await, world.ec_key("full").await, world.ec_key("good").await);
    for _ in 1..100 {
        world.ec_key("full").await;
    }
    for key in [&disabled, &full, &good] {
        set(&world, key, monthly()).await;
    }
    let hsm = world.hsm().await;
    enable(&hsm, &world.administration(), &disabled, false).await;
    world.test.clock.advance_days(30);
    let done = round(&world).await;
    assert_eq!((done.rotated.len(), done.postponed.len(), done.failed.len()), (1, 2, 0), "{done:?}");
    assert!(round(&world).await.postponed.is_empty(), "not again in the next minute");
    enable(&hsm, &world.administration(), &disabled, true).await;
    assert_eq!(round(&world).await.rotated, [disabled.name]);
    world.test.clock.advance_days(1);
    assert_eq!(round(&world).await.postponed, [full.name]);
}

#[tokio::test]
async fn a_crash_after_the_commit_does_not_rotate_twice() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let world = World::active_on(Arc::<FaultyStore>::clone(&store)).await;
    let key = world.ec_key("k").await;
    set(&world, &key, monthly()).await;
    world.test.clock.advance_days(30);
    let job = |operation| world.job(operation);
    for (fault, expected) in [(CommitFault::NotApplied, 1), (CommitFault::AnswerLost, 2)] {
        store.fail_next_commit(fault);
        let failed = world.hsm().await.rotate_due_keys(&job, world.test.clock.now()).await;
        assert!(matches!(failed, Err(Error::Store(_))), "{failed:?}");
        assert_eq!(versions(&world, &key).await.len(), expected, "{fault:?}");
    }
    assert!(round(&world).await.rotated.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_nodes_at_once_make_one_version() {
    let world = Arc::new(World::active().await);
    let keys = [world.ec_key("a").await, world.ec_key("b").await, world.ec_key("c").await];
    for turn in 2..6 {
        for key in &keys {
            set(&world, key, monthly()).await;
        }
        world.test.clock.advance_days(30);
        let rounds: Vec<_> = (0..8)
            .map(|_| {
                let world = Arc::clone(&world);
                #[expect(clippy::disallowed_methods, reason = "the tasks of a test are joined by it")]
                tokio::spawn(async move { round(&world).await.rotated.len() })
            })
            .collect();
        let mut rotated = 0;
        for round in rounds {
            rotated += round.await.unwrap();
        }
        assert_eq!(rotated, keys.len());
        for key in &keys {
            assert_eq!(versions(&world, key).await.len(), turn);
        }
    }
}

#[tokio::test]
async fn a_round_reads_what_is_due_and_not_what_is_stored() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let world = World::active_on(Arc::<FaultyStore>::clone(&store)).await;
    for number in 0..60 {
        let key = world.ec_key(&format!("k{number}")).await;
        set(&world, &key, monthly()).await;
    }
    let cost = || {
        let counts = store.counts();
        (counts.gets, counts.ranges)
    };
    let before = cost();
    assert!(round(&world).await.rotated.is_empty());
    let after = cost();
    assert!(after.0 - before.0 <= 4 && after.1 - before.1 <= 2, "{before:?} {after:?}");
    world.test.clock.advance_days(30);
    assert_eq!(round(&world).await.rotated.len(), 60);
}

#[tokio::test]
async fn every_rotation_is_in_the_audit_log() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    set(&world, &key, monthly()).await;
    world.test.clock.advance_days(30);
    world.test.audit.take();
    round(&world).await;
    let events = world.test.audit.take();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].operation_name, "KeyRotateIfDue");
    let version = versions(&world, &key).await.pop().unwrap().version;
    assert_eq!(events[0].properties.detail, Some(format!("key k version {version}").into()));
}
