//! Two nodes on one store: what is changed on one is seen and judged on the other at once, and neither takes the other's
//! writes for a rollback.

use std::sync::Arc;

use strongroom_core::Error;
use strongroom_core::activation::DownloadStatus;
use strongroom_core::audit::Event;
use strongroom_core::backup::{OrderedKind, Ran};
use strongroom_core::barrier::OutboxOf;
use strongroom_core::deployment::{self, check_not_rolled_back};
use strongroom_core::epochs::{ResealRound, ResealStep};
use strongroom_core::guard::Swept;
use strongroom_core::keys::{KeyAttributes, KeyReference, ReleaseTerms, UpdateKey};
use strongroom_core::layout;
use strongroom_crypto::SystemEntropy;
use strongroom_store::{COMMIT_OPERATIONS_MAX, Commit, Entry, Kv, LIMIT_MAX, MemoryStore, Write};
use strongroom_testkit::{CommitFault, FaultyStore};
use strongroom_types::{Algorithm, DataAction, Scope};

use crate::download_again::prove;
use crate::epochs::{SECOND, domain};
use crate::full_backup::{back_up, start, worker};
use crate::full_restore::whole;
use crate::support::{CRYPTO_USER, World, ec, stranger};

/// Two nodes with an HSM in use.
async fn two() -> (World, World) {
    let one = World::active().await;
    let other = one.another_node().await;
    (one, other)
}

pub(crate) async fn sign(world: &World, key: &str) -> Result<(), Error> {
    let key = KeyReference { name: key.parse().unwrap(), version: None };
    world.hsm().await.sign(&world.administration(), &key, Algorithm::Es256, vec![1; 32]).await.map(drop)
}

/// No node would refuse to start on the store as it is.
pub(crate) async fn assert_nothing_looks_rolled_back(worlds: &[&World]) {
    for world in worlds {
        check_not_rolled_back(world.store.as_ref(), &world.test.witness).await.unwrap();
    }
}

#[tokio::test]
async fn what_becomes_of_a_key_on_one_node_counts_on_the_other() {
    let (one, other) = two().await;
    let key = one.ec_key("k").await;
    sign(&other, "k").await.unwrap();
    let enable = |enabled| UpdateKey {
        operations: None,
        attributes: KeyAttributes { enabled: Some(enabled), ..KeyAttributes::default() },
        tags: None,
        release: ReleaseTerms::default(),
    };
    other.hsm().await.update_key(&other.administration(), &key, &enable(false)).await.unwrap();
    assert!(matches!(sign(&one, "k").await, Err(Error::KeyDisabled { .. })));
    one.hsm().await.update_key(&one.administration(), &key, &enable(true)).await.unwrap();
    sign(&other, "k").await.unwrap();
    one.hsm().await.delete_key(&one.administration(), &key.name).await.unwrap();
    assert!(matches!(sign(&other, "k").await, Err(Error::KeyNotFound { .. })));
    other.hsm().await.recover_key(&other.administration(), &key.name).await.unwrap();
    sign(&one, "k").await.unwrap();
    assert_nothing_looks_rolled_back(&[&one, &other]).await;
}

#[tokio::test]
async fn a_name_that_comes_and_goes_on_different_nodes_is_never_taken_for_rolled_back() {
    let one = World::active().await;
    let nodes = [&one, &one.another_node().await, &one.another_node().await];
    for turn in 0..9 {
        let [maker, remover, user] = [nodes[turn % 3], nodes[(turn / 2 + 1) % 3], nodes[(turn / 3 + 2) % 3]];
        let key = maker.ec_key("comes-and-goes").await;
        // A record that is rewritten often has numbers that whoever did not look knows nothing of.
        for _ in 0..turn {
            maker.ec_key("comes-and-goes").await;
        }
        sign(user, "comes-and-goes").await.unwrap();
        remover.hsm().await.delete_key(&remover.administration(), &key.name).await.unwrap();
        assert!(sign(user, "comes-and-goes").await.is_err());
        remover.hsm().await.purge_key(&remover.administration(), &key.name).await.unwrap();
        let sweeper = nodes[turn % 2];
        let hsm = sweeper.hsm().await;
        while hsm.sweep_leftovers(&|operation| sweeper.job(operation)).await.unwrap() == Swept::Some {}
    }
    assert_nothing_looks_rolled_back(&nodes).await;
}

async fn remove(world: &World, key: &KeyReference) {
    let hsm = world.hsm().await;
    hsm.delete_key(&world.administration(), &key.name).await.unwrap();
    hsm.purge_key(&world.administration(), &key.name).await.unwrap();
    while hsm.sweep_leftovers(&|operation| world.job(operation)).await.unwrap() == Swept::Some {}
}

/// Everything of a store in another one, whose revisions begin anew.
async fn moved(from: &dyn Kv) -> Arc<dyn Kv> {
    let (to, page) = (MemoryStore::new(), from.range("", None, LIMIT_MAX, None).await.unwrap());
    assert!(!page.more);
    for entries in page.entries.chunks(COMMIT_OPERATIONS_MAX) {
        let put = |Entry { key, value, .. }: &Entry| match key.as_str() {
            layout::DEPLOYMENT => Write::Put(key.clone(), deployment::moved(value, page.revision).unwrap()),
            _ => Write::Put(key.clone(), value.clone()),
        };
        to.commit(Commit { preconditions: vec![], writes: entries.iter().map(put).collect() }).await.unwrap();
    }
    Arc::new(to)
}

#[tokio::test]
async fn a_name_that_was_freed_in_another_store_is_used_again_without_an_alarm() {
    let (one, other) = two().await;
    // Numbers that the other node knows nothing of, and that the new store is far from.
    for _ in 0..20 {
        remove(&one, &one.ec_key("comes-and-goes").await).await;
    }
    let store = moved(one.store.as_ref()).await;
    assert!(store.revision().await.unwrap() < one.store.revision().await.unwrap());
    let (one, other) = (one.moved_to(&store).await, other.moved_to(&store).await);
    assert_nothing_looks_rolled_back(&[&one, &other]).await;
    for _ in 0..3 {
        let key = other.ec_key("comes-and-goes").await;
        sign(&one, "comes-and-goes").await.unwrap();
        remove(&one, &key).await;
    }
    // And once more, back to where it was.
    let store = moved(store.as_ref()).await;
    let (one, other) = (one.moved_to(&store).await, other.moved_to(&store).await);
    other.ec_key("comes-and-goes").await;
    sign(&one, "comes-and-goes").await.unwrap();
    assert_nothing_looks_rolled_back(&[&one, &other]).await;
}

#[tokio::test]
async fn a_copy_of_a_removed_record_is_refused_on_the_node_that_removed_it() {
    let (one, other) = two().await;
    let key = one.ec_key("k").await;
    one.hsm().await.delete_key(&one.administration(), &key.name).await.unwrap();
    other.hsm().await.recover_key(&other.administration(), &key.name).await.unwrap();
    let instance = one.hsm().await.record().instance;
    let generation = one.test.core.guard(instance).await.unwrap().value.generation(instance);
    let place = generation.name(&key.name);
    other.hsm().await.delete_key(&other.administration(), &key.name).await.unwrap();
    let copy = one.store.get(&place).await.unwrap().unwrap().value;
    one.hsm().await.purge_key(&one.administration(), &key.name).await.unwrap();
    let put = Commit { preconditions: vec![], writes: vec![Write::Put(place, copy)] };
    one.store.commit(put).await.unwrap();
    assert!(matches!(sign(&one, "k").await, Err(Error::Tampered { .. })));
}

#[tokio::test]
async fn a_role_that_is_taken_away_on_one_node_is_refused_on_the_other() {
    let (one, other) = two().await;
    one.ec_key("k").await;
    let (principal, key) = (stranger(), KeyReference { name: "k".parse().unwrap(), version: None });
    let used = async |world: &World| {
        world.hsm().await.sign(&world.request(principal), &key, Algorithm::Es256, vec![1; 32]).await.map(drop)
    };
    for (giver, taker) in [(&one, &other), (&other, &one), (&one, &one)] {
        assert!(matches!(used(taker).await, Err(Error::Forbidden { .. })));
        let name = giver.assign(principal, CRYPTO_USER, "/").await;
        used(taker).await.unwrap();
        let hsm = taker.hsm().await;
        hsm.delete_role_assignment(&taker.administration(), &Scope::Root, name).await.unwrap();
        assert!(matches!(used(giver).await, Err(Error::Forbidden { .. })));
        // The same name again, by the one who has not removed it.
        let hsm = giver.hsm().await;
        let request = giver.administration();
        hsm.create_role_assignment(&request, &Scope::Root, name, CRYPTO_USER, principal).await.unwrap();
        used(taker).await.unwrap();
        hsm.delete_role_assignment(&request, &Scope::Root, name).await.unwrap();
    }
    assert_nothing_looks_rolled_back(&[&one, &other]).await;
}

#[tokio::test]
async fn two_administrators_who_remove_each_other_on_two_nodes_do_not_both_succeed() {
    let (one, other) = two().await;
    let second = stranger();
    let administrator = strongroom_core::rbac::ADMINISTRATOR;
    let of_second = one.assign(second, administrator, "/").await;
    let all = one.hsm().await;
    let filter = strongroom_core::rbac::AssignmentFilter::All;
    let all = all.role_assignments(&one.administration(), &Scope::Root, filter).await.unwrap();
    let mut own = all.iter().filter(|found| found.role == administrator && found.principal == one.administrator);
    let of_first = own.next().unwrap().name;
    let (first_hsm, second_hsm) = (one.hsm().await, other.hsm().await);
    let (by_first, by_second) = (one.administration(), other.request(second));
    let (first, second) = tokio::join!(
        first_hsm.delete_role_assignment(&by_first, &Scope::Root, of_second),
        second_hsm.delete_role_assignment(&by_second, &Scope::Root, of_first),
    );
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
}

#[tokio::test]
async fn a_setting_counts_on_both_nodes() {
    let (one, other) = two().await;
    let name = "AllowKeyManagementOperationsThroughARM";
    for (writer, value) in [(&one, "true"), (&other, "false"), (&one, "true")] {
        writer.hsm().await.update_setting(&writer.administration(), name, value).await.unwrap();
        for reader in [&one, &other] {
            let found = reader.hsm().await.setting(&reader.administration(), name).await.unwrap();
            assert_eq!(found.value.to_string(), value);
        }
    }
}

#[tokio::test]
async fn a_download_on_one_node_is_confirmed_on_the_other() {
    let one = World::new().await;
    let other = one.another_node().await;
    let request = one.administration();
    let early = one.hsm().await.download_security_domain(&request, one.custodians()).await.unwrap();
    let newest = other.hsm().await.download_security_domain(&request, one.custodians()).await.unwrap();
    let confirm = async |world: &World, operation| {
        world.hsm().await.confirm_download(&world.administration(), operation).await.unwrap()
    };
    assert_eq!(confirm(&other, early.operation).await, DownloadStatus::Failed, "another one took its place");
    assert_eq!(confirm(&one, newest.operation).await, DownloadStatus::Success);
    assert_eq!(confirm(&other, newest.operation).await, DownloadStatus::Success);
    other.grant_keys().await;
    one.create("k", ec()).await;
    sign(&other, "k").await.unwrap();
}

#[tokio::test]
async fn a_rotation_of_the_domain_on_one_node_leaves_the_other_at_work_and_both_seal_again() {
    let one = World::new().await;
    let file = one.activate().await;
    one.grant_keys().await;
    let other = one.another_node().await;
    for number in 0..40 {
        [&one, &other][number % 2].create(&format!("k{number}"), ec()).await;
    }
    prove(&one, &file).await.unwrap();
    let request = one.administration();
    let rotated = other.hsm().await.rotate_security_domain(&request, one.custodians()).await.unwrap();
    let status = one.hsm().await.confirm_download(&one.administration(), rotated.operation).await.unwrap();
    assert_eq!(status, DownloadStatus::Replaced);
    let (mut rounds, mut idle) = ([ResealRound::default(), ResealRound::default()], 0);
    let mut ended = 0;
    while idle < 2 {
        idle = 0;
        for (node, round) in [&one, &other].into_iter().zip(&mut rounds) {
            let step = node.hsm().await.reseal(&|operation| node.job(operation), round).await;
            match step.unwrap() {
                ResealStep::Idle => idle += 1,
                ResealStep::Ended(epoch) => {
                    assert_eq!(epoch, SECOND);
                    ended += 1;
                }
                ResealStep::Went => {}
            }
            sign(node, "k7").await.unwrap();
        }
        other.create("new", ec()).await;
    }
    assert_eq!(ended, 1);
    for node in [&one, &other] {
        assert_eq!((domain(node).await.1, domain(node).await.2), (SECOND, SECOND));
        for number in 0..40 {
            sign(node, &format!("k{number}")).await.unwrap();
        }
    }
    assert_nothing_looks_rolled_back(&[&one, &other]).await;
}

#[tokio::test]
async fn a_restore_on_one_node_is_one_for_the_other_that_serves() {
    let (one, other) = two().await;
    one.ec_key("kept").await;
    let folder = back_up(&one).await;
    other.ec_key("later").await;
    let gone = stranger();
    other.assign(gone, CRYPTO_USER, "/").await;
    start(&one, &one.administration(), whole(&folder)).await.unwrap();
    assert!(matches!(sign(&other, "kept").await, Err(Error::Restoring)));
    let job = other.test.core.running_jobs().await.unwrap().remove(0);
    assert_eq!(other.test.core.run_job(&worker(2), &job).await.unwrap(), Ran::Ended);
    for node in [&one, &other] {
        sign(node, "kept").await.unwrap();
        assert!(matches!(sign(node, "later").await, Err(Error::KeyNotFound { .. })));
        let refused = node.hsm().await.authorize(&node.request(gone), DataAction::KeysSign, &Scope::Root).await;
        assert!(matches!(refused, Err(Error::Forbidden { .. })));
    }
    assert_nothing_looks_rolled_back(&[&one, &other]).await;
}

#[tokio::test]
async fn jobs_begin_and_end_on_any_node_in_any_order() {
    let (one, other) = two().await;
    one.ec_key("k").await;
    for (starter, runner) in [(&one, &one), (&other, &one), (&one, &other), (&other, &other), (&other, &one)] {
        start(starter, &starter.administration(), OrderedKind::Backup).await.unwrap();
        let job = runner.test.core.running_jobs().await.unwrap().remove(0);
        assert_eq!(runner.test.core.run_job(&worker(1), &job).await.unwrap(), Ran::Ended);
        for node in [&one, &other] {
            assert!(node.test.core.running_jobs().await.unwrap().is_empty());
        }
    }
    assert_nothing_looks_rolled_back(&[&one, &other]).await;
}

pub(crate) fn ids(events: &[(String, Event)]) -> Vec<uuid::Uuid> {
    let mut ids: Vec<_> = events.iter().map(|(_, event)| event.event_id).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn each_node_has_its_own_part_of_the_outbox_and_what_a_gone_one_has_left_goes_to_one_other() {
    let (one, other) = two().await;
    let third = one.another_node().await;
    one.ec_key("a").await;
    other.ec_key("b").await;
    let left = one.test.core.barrier().outbox().await.unwrap();
    let own = other.test.core.barrier().outbox().await.unwrap();
    assert!(left.len() > 3 && own.len() == 1, "{} {}", left.len(), own.len());
    let mut owners = third.test.core.barrier().outbox_owners().await.unwrap();
    let mut expected = vec![one.test.node, other.test.node];
    owners.sort();
    expected.sort();
    assert_eq!(owners, expected);

    let (first, second) = (other.test.core.barrier(), third.test.core.barrier());
    let (first, second) = tokio::join!(first.adopt_outbox(one.test.node), second.adopt_outbox(one.test.node));
    let mut adopted = first.unwrap();
    adopted.extend(second.unwrap());
    assert_eq!(ids(&adopted), ids(&left), "each of them once");
    assert!(one.test.core.barrier().outbox().await.unwrap().is_empty());
    let mut there = other.test.core.barrier().outbox().await.unwrap();
    there.extend(third.test.core.barrier().outbox().await.unwrap());
    assert_eq!(ids(&there), ids(&[left, own].concat()));
    assert!(other.test.core.barrier().adopt_outbox(other.test.node).await.unwrap().is_empty());
}

/// Puts an event into the outbox under a prefix and its own id alone, as earlier releases did; its place and the event.
async fn left_by_an_earlier_release(one: &World, prefix: &str) -> (String, Event<'static>) {
    let barrier = one.test.core.barrier();
    let (_, event) = barrier.outbox().await.unwrap().remove(0);
    let early = Event { event_id: uuid::Uuid::from_u128(77), ..event };
    let place = format!("{prefix}{}", early.event_id);
    let bytes = serde_json::to_vec(&early).unwrap();
    let sealed = barrier.deployment().seal(&SystemEntropy, &place, 1, &bytes).unwrap();
    one.store.commit(Commit { preconditions: vec![], writes: vec![Write::Put(place.clone(), sealed)] }).await.unwrap();
    (place, early)
}

#[tokio::test]
async fn events_that_bear_no_nodes_name_go_to_the_first_node_that_starts() {
    let (one, other) = two().await;
    let barrier = one.test.core.barrier();
    let (place, early) = left_by_an_earlier_release(&one, layout::OUTBOX).await;
    let other = other.test.core.barrier();
    let (own, taken) = (other.outbox().await.unwrap(), other.outbox_at_start(OutboxOf::ThisNode).await.unwrap());
    assert_eq!(ids(&taken).len(), own.len() + 1);
    assert!(ids(&taken).contains(&early.event_id), "besides its own");
    assert!(one.store.get(&place).await.unwrap().is_none());
    assert_eq!(ids(&other.outbox().await.unwrap()), ids(&taken));
    let of_one = barrier.outbox().await.unwrap();
    assert_eq!(barrier.outbox_at_start(OutboxOf::ThisNode).await.unwrap(), of_one, "each has its own");
    let all = barrier.outbox_at_start(OutboxOf::Everybody).await.unwrap();
    assert_eq!(ids(&all), ids(&[of_one, taken].concat()));
}

#[tokio::test]
async fn events_that_an_earlier_release_left_under_its_node_are_taken_at_the_start() {
    let (one, other) = two().await;
    let barrier = one.test.core.barrier();
    let (place, early) = left_by_an_earlier_release(&one, &layout::outbox_of(one.test.node)).await;
    let taken = barrier.outbox_at_start(OutboxOf::ThisNode).await.unwrap();
    assert!(taken.contains(&(place.clone(), early)), "under the key by which it is removed");
    let adopted = other.test.core.barrier().adopt_outbox(one.test.node).await.unwrap();
    assert_eq!(ids(&adopted), ids(&taken));
    assert!(one.store.get(&place).await.unwrap().is_none());
}

#[tokio::test]
async fn a_node_says_that_it_lives_also_where_gone_ones_cannot_be_forgotten() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let (one, _) = World::usable_on(Arc::<FaultyStore>::clone(&store)).await;
    let other = one.another_node().await;
    other.test.core.keep_jobs().await.unwrap();
    one.test.clock.advance_seconds(24 * 3600 + 1);
    store.fail_commits_after(1, CommitFault::NotApplied);
    one.test.core.keep_jobs().await.unwrap();
    let refused = one.test.core.forget_job_owners().await;
    assert!(matches!(refused, Err(Error::Store(_))), "{refused:?}");
    store.heal();
    one.test.core.forget_job_owners().await.unwrap();
    let left = store.range(layout::JOB_OWNERS, None, 10, None).await.unwrap().entries;
    assert_eq!(left.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), [layout::job_owner(one.test.node)]);
}
