//! Two nodes on one store: what is in the memory of one of them only, transfer keys and the secrets of domains under
//! provider `quorum`, is never a wrong answer of the other.

use std::pin::{Pin, pin};
use std::sync::Arc;

use strongroom_core::activation::DownloadStatus;
use strongroom_core::backup::{OrderedKind, Ran, Worker};
use strongroom_core::recovery::UploadStatus;
use strongroom_core::{Error, Result};
use strongroom_security_domain::{EXCHANGE_KEY_SECONDS, EXCHANGE_TRIES_MAX, SecurityDomainError};
use strongroom_store::{Kv, MemoryStore};
use strongroom_testkit::{CommitFault, FaultyStore, MemoryRoot};
use uuid::Uuid;

use crate::download_again::prove;
use crate::full_backup::start;
use crate::recovery::{blob, spoiled};
use crate::slow_store::{Held, SlowStore};
use crate::support::{World, poll_once};
use crate::two_nodes::{assert_nothing_looks_rolled_back, sign};

async fn transfer_key(world: &World) -> String {
    world.hsm().await.transfer_key(&world.administration()).await.unwrap()
}

async fn upload(world: &World, blob: &str) -> Result<Uuid> {
    world.hsm().await.upload_security_domain(&world.administration(), blob.to_owned()).await
}

async fn status(world: &World) -> UploadStatus {
    world.hsm().await.upload_status(&world.administration()).await.unwrap()
}

async fn status_of(world: &World, operation: Uuid) -> UploadStatus {
    world.hsm().await.upload_status_of(operation).await.unwrap()
}

async fn download(world: &World) -> Result<strongroom_core::activation::Download> {
    world.hsm().await.download_security_domain(&world.administration(), world.custodians()).await
}

fn elsewhere<T: std::fmt::Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::OnAnotherNode { .. })), "{result:?}");
}

/// Two nodes with a new HSM, and the file of another one.
async fn recovering() -> (World, World, String) {
    let mut one = World::new().await;
    let file = one.activate().await;
    one.add_hsm("hsm2", |_| {}).await;
    one.name = "hsm2".parse().unwrap();
    let other = one.another_node().await;
    (one, other, file)
}

#[tokio::test]
async fn an_upload_to_the_node_without_the_transfer_key_is_told_where_it_belongs() {
    let (one, other, file) = recovering().await;
    let key = transfer_key(&one).await;
    let upload_for_one = blob(&file, &key);
    assert_eq!((status(&one).await, status(&other).await), (UploadStatus::InProgress, UploadStatus::InProgress));
    elsewhere(upload(&other, &upload_for_one).await);
    assert!(matches!(download(&other).await, Err(Error::RecoveryInProgress)));
    let operation = upload(&one, &upload_for_one).await.unwrap();
    for node in [&one, &other] {
        assert_eq!(
            (status(node).await, status_of(node, operation).await),
            (UploadStatus::Success, UploadStatus::Success)
        );
        assert_eq!(upload(node, &upload_for_one).await.unwrap(), operation, "the same upload again");
    }
    other.grant_keys().await;
    other.ec_key("k").await;
    sign(&one, "k").await.unwrap();
    assert_nothing_looks_rolled_back(&[&one, &other]).await;
}

#[tokio::test]
async fn a_recovery_that_ends_on_one_node_ends_the_transfer_keys_of_all() {
    let (one, other, file) = recovering().await;
    let (first, second) = (transfer_key(&one).await, transfer_key(&other).await);
    assert_ne!(first, second);
    let (for_one, for_other) = (blob(&file, &first), blob(&file, &second));
    upload(&one, &for_one).await.unwrap();
    let late = upload(&other, &for_other).await;
    assert!(matches!(late, Err(Error::AlreadyActivated)), "{late:?}");
    // It is active now: the next transfer key of that node is another one, and the late upload proves nothing.
    assert_ne!(transfer_key(&other).await, second);
    let refused = upload(&other, &for_other).await;
    assert!(matches!(refused, Err(Error::SecurityDomain(SecurityDomainError::WrongExchangeKey))), "{refused:?}");
}

/// Whether or not the node sees in between that the mark is there.
#[tokio::test]
async fn a_transfer_key_whose_mark_got_no_answer_ends_with_the_recovery_too() {
    for is_seen in [true, false] {
        let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
        let (mut one, file) = World::usable_on(Arc::<FaultyStore>::clone(&store)).await;
        one.add_hsm("hsm2", |_| {}).await;
        one.name = "hsm2".parse().unwrap();
        let other = one.another_node().await;
        store.fail_next_commit(CommitFault::AnswerLost);
        let lost = one.hsm().await.transfer_key(&one.administration()).await;
        assert!(matches!(lost, Err(Error::Store(_))), "{lost:?}");
        let events = one.test.core.barrier().outbox().await.unwrap();
        let details = events.into_iter().filter_map(|(_, event)| event.properties.detail);
        let details: Vec<_> = details.filter(|detail| detail.starts_with("transfer key")).collect();
        assert_eq!(details.len(), 1, "{details:?}");
        let is_first = |key: &str| {
            let jwk: serde_json::Value = serde_json::from_str(key).unwrap();
            details[0].ends_with(jwk["x5t#S256"].as_str().unwrap())
        };
        if is_seen {
            assert!(is_first(&transfer_key(&one).await));
        }
        let second = transfer_key(&other).await;
        upload(&other, &blob(&file, &second)).await.unwrap();
        assert!(!is_first(&transfer_key(&one).await), "seen: {is_seen}");
    }
}

#[tokio::test]
async fn a_transfer_key_that_is_gone_stands_in_nobodys_way() {
    let (mut one, other, file) = recovering().await;
    transfer_key(&one).await;
    one.restart().await;
    assert_eq!(status(&one).await, UploadStatus::Failed);
    assert!(matches!(upload(&one, "{}").await, Err(Error::NoTransferKey)));
    // The other node cannot know that it is gone, until it would have ended or the first says so.
    assert!(matches!(download(&other).await, Err(Error::RecoveryInProgress)));
    other.test.clock.advance_seconds(EXCHANGE_KEY_SECONDS);
    assert_eq!(status(&other).await, UploadStatus::Failed);
    download(&other).await.unwrap();

    let broken = spoiled(&blob(&file, &transfer_key(&one).await));
    for _ in 0..EXCHANGE_TRIES_MAX {
        elsewhere(upload(&other, &broken).await);
        let refused = upload(&one, &broken).await;
        assert!(matches!(refused, Err(Error::SecurityDomain(SecurityDomainError::Rejected))), "{refused:?}");
    }
    assert!(matches!(upload(&other, "{}").await, Err(Error::NoTransferKey)), "it failed too often");
    download(&other).await.unwrap();
}

/// Two nodes under provider `quorum`, with a key in an HSM that the first has open; and the HSM's file.
async fn under_quorum() -> (World, World, String) {
    under_quorum_on(Arc::new(MemoryStore::new())).await
}

/// The same on a store of the test's choice.
async fn under_quorum_on(store: Arc<dyn Kv>) -> (World, World, String) {
    let one = World::under_on(MemoryRoot::generate().unwrap().without_hsm_roots(), store).await;
    let file = one.activate().await;
    one.grant_keys().await;
    one.ec_key("k").await;
    let other = one.another_node().await;
    (one, other, file)
}

#[tokio::test]
async fn under_provider_quorum_a_new_node_is_sealed_until_the_quorum_opens_it_too() {
    let (one, other, file) = under_quorum().await;
    sign(&one, "k").await.unwrap();
    assert!(matches!(sign(&other, "k").await, Err(Error::Sealed)));
    assert_eq!((one.test.core.sealed_hsms().await.unwrap(), other.test.core.sealed_hsms().await.unwrap()), (0, 1));
    let key = transfer_key(&other).await;
    let operation = upload(&other, &blob(&file, &key)).await.unwrap();
    sign(&other, "k").await.unwrap();
    for node in [&one, &other] {
        assert_eq!(status_of(node, operation).await, UploadStatus::Success);
        node.test.core.drop_stale_domains().await.unwrap();
        sign(node, "k").await.unwrap();
        assert_eq!(node.test.core.sealed_hsms().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn two_sealed_nodes_are_opened_beside_each_other() {
    let (mut one, mut other, file) = under_quorum().await;
    one.restart().await;
    other.restart().await;
    let (for_one, for_other) = (blob(&file, &transfer_key(&one).await), blob(&file, &transfer_key(&other).await));
    elsewhere(upload(&other, &for_one).await);
    upload(&other, &for_other).await.unwrap();
    assert!(matches!(sign(&one, "k").await, Err(Error::Sealed)));
    upload(&one, &for_one).await.unwrap();
    sign(&one, "k").await.unwrap();
    sign(&other, "k").await.unwrap();
}

#[tokio::test]
async fn under_provider_quorum_a_download_is_confirmed_by_the_node_that_has_the_root() {
    let one = World::under(MemoryRoot::generate().unwrap().without_hsm_roots()).await;
    let other = one.another_node().await;
    let made = download(&one).await.unwrap();
    let confirm =
        async |world: &World| world.hsm().await.confirm_download(&world.administration(), made.operation).await;
    elsewhere(confirm(&other).await);
    elsewhere(other.hsm().await.download_status(&other.administration()).await);
    one.test.core.drop_stale_domains().await.unwrap();
    assert_eq!(confirm(&one).await.unwrap(), DownloadStatus::Success);
    assert_eq!(confirm(&other).await.unwrap(), DownloadStatus::Success);
    one.grant_keys().await;
    one.ec_key("k").await;
    assert!(matches!(sign(&other, "k").await, Err(Error::Sealed)));
    let key = transfer_key(&other).await;
    upload(&other, &blob(&made.file, &key)).await.unwrap();
    sign(&other, "k").await.unwrap();
}

#[tokio::test]
async fn under_provider_quorum_a_rotation_seals_the_nodes_that_lack_the_new_root() {
    let (one, other, file) = under_quorum().await;
    let key = transfer_key(&other).await;
    upload(&other, &blob(&file, &key)).await.unwrap();
    prove(&one, &file).await.unwrap();
    let request = one.administration();
    let rotated = one.hsm().await.rotate_security_domain(&request, one.custodians()).await.unwrap();
    sign(&other, "k").await.unwrap();
    elsewhere(other.hsm().await.confirm_download(&other.administration(), rotated.operation).await);
    let confirmed = one.hsm().await.confirm_download(&one.administration(), rotated.operation).await.unwrap();
    assert_eq!(confirmed, DownloadStatus::Replaced);
    sign(&one, "k").await.unwrap();
    assert!(matches!(sign(&other, "k").await, Err(Error::Sealed)));
    let key = transfer_key(&other).await;
    upload(&other, &blob(&rotated.file, &key)).await.unwrap();
    sign(&other, "k").await.unwrap();
}

#[tokio::test]
async fn a_job_of_a_node_on_which_the_hsm_is_sealed_goes_to_one_that_has_it_open() {
    let store = Arc::new(SlowStore::default());
    let (mut one, other, file) = under_quorum_on(Arc::<SlowStore>::clone(&store)).await;
    let key = transfer_key(&other).await;
    upload(&other, &blob(&file, &key)).await.unwrap();
    start(&one, &one.administration(), OrderedKind::Backup).await.unwrap();
    let job = one.test.core.running_jobs().await.unwrap().remove(0);
    let owner = Worker { id: one.test.node, takeover_seconds: 60, credentials: None };
    // It has begun, and is cut off.
    let _held = store.hold_next_commit();
    assert!(poll_once(pin!(one.test.core.run_job(&owner, &job))).is_pending());
    one.restart().await;
    one.test.core.keep_jobs().await.unwrap();
    let open = Worker { id: other.test.node, ..owner.clone() };
    assert_eq!(other.test.core.run_job(&open, &job).await.unwrap(), Ran::Later, "its owner lives");
    assert_eq!(one.test.core.run_job(&owner, &job).await.unwrap(), Ran::Later, "and puts it down");
    assert_eq!(other.test.core.run_job(&open, &job).await.unwrap(), Ran::Ended);
}

/// An HSM in use on a store whose answers wait, its file, and a new HSM that is looked at.
async fn on_slow_store() -> (Arc<SlowStore>, World, String) {
    let store = Arc::new(SlowStore::default());
    let (mut world, file) = World::usable_on(Arc::<SlowStore>::clone(&store)).await;
    world.add_hsm("hsm2", |_| {}).await;
    world.name = "hsm2".parse().unwrap();
    (store, world, file)
}

#[tokio::test]
async fn an_upload_whose_success_is_told_late_leaves_the_next_transfer_key_alone() {
    let (store, mut world, file) = on_slow_store().await;
    world.name = "hsm1".parse().unwrap();
    let first = transfer_key(&world).await;
    let uploaded = blob(&file, &first);
    let (answered, release) = store.hold_next_commit();
    let mut late = pin!(upload(&world, &uploaded));
    assert!(poll_once(late.as_mut()).is_pending());
    answered.await.unwrap();
    let next = transfer_key(&world).await;
    assert_ne!(next, first);
    release.send(()).unwrap();
    late.await.unwrap();
    assert_eq!(transfer_key(&world).await, next);
    upload(&world, &blob(&file, &next)).await.unwrap();
}

#[tokio::test]
async fn the_last_upload_that_may_fail_leaves_the_next_transfer_key_alone() {
    let (store, world, file) = on_slow_store().await;
    let broken = spoiled(&blob(&file, &transfer_key(&world).await));
    let rejected = |result| matches!(result, Err(Error::SecurityDomain(SecurityDomainError::Rejected)));
    for _ in 1..EXCHANGE_TRIES_MAX {
        assert!(rejected(upload(&world, &broken).await));
    }
    let mut late = pin!(upload(&world, &broken));
    // Up to where the key is gone and its mark is not.
    let (_seen, release) = loop {
        let (seen, release) = store.hold_next();
        assert!(poll_once(late.as_mut()).is_pending());
        if status(&world).await == UploadStatus::Failed {
            break (seen, release);
        }
        release.send(()).unwrap();
    };
    let next = transfer_key(&world).await;
    release.send(()).unwrap();
    assert!(rejected(late.await));
    assert_eq!(transfer_key(&world).await, next);
    upload(&world, &blob(&file, &next)).await.unwrap();
}

/// Lets a question go on until the answer to its next read, after so many others, waits to be let go. `None` if it has ended before.
fn stop_after(store: &SlowStore, mut question: Pin<&mut impl Future<Output = String>>, reads: usize) -> Option<Held> {
    let mut held = store.hold_next();
    for _ in 0..reads {
        assert!(poll_once(question.as_mut()).is_pending());
        let next = store.hold_next();
        std::mem::replace(&mut held, next).1.send(()).unwrap();
    }
    poll_once(question).is_pending().then_some(held)
}

/// However far one of them is when the other one is answered.
#[tokio::test]
async fn two_questions_for_a_transfer_key_get_the_same_one() {
    let (store, mut world, _) = on_slow_store().await;
    for reads in 0.. {
        let name = format!("new{reads}");
        world.add_hsm(&name, |_| {}).await;
        world.name = name.parse().unwrap();
        let mut slow = pin!(transfer_key(&world));
        let Some((_seen, release)) = stop_after(&store, slow.as_mut(), reads) else {
            assert!(reads > 3, "{reads}");
            return;
        };
        let fast = transfer_key(&world).await;
        release.send(()).unwrap();
        assert_eq!(slow.await, fast, "after {reads} reads");
        assert_eq!(transfer_key(&world).await, fast);
    }
}

/// However far one of them is when the recovery ends that the other one has begun.
#[tokio::test]
async fn a_question_for_a_transfer_key_that_a_recovery_overtakes_gets_the_next_one() {
    let (store, mut world, file) = on_slow_store().await;
    for reads in 0.. {
        let name = format!("new{reads}");
        world.add_hsm(&name, |_| {}).await;
        world.name = name.parse().unwrap();
        let mut slow = pin!(transfer_key(&world));
        let Some((_seen, release)) = stop_after(&store, slow.as_mut(), reads) else {
            assert!(reads > 3, "{reads}");
            return;
        };
        let ended = transfer_key(&world).await;
        upload(&world, &blob(&file, &ended)).await.unwrap();
        release.send(()).unwrap();
        assert_ne!(slow.await, ended, "after {reads} reads");
    }
}

#[tokio::test]
async fn a_download_of_one_hsm_that_waits_for_the_store_holds_up_no_other_one() {
    let store = Arc::new(SlowStore::default());
    let kv: Arc<dyn Kv> = Arc::<SlowStore>::clone(&store);
    let world = World::under_on(MemoryRoot::generate().unwrap().without_hsm_roots(), kv).await;
    world.add_hsm("hsm2", |_| {}).await;
    let second = world.test.core.hsm(&"hsm2".parse().unwrap()).await.unwrap();
    let request = world.administration();
    let (_answered, release) = store.hold_next_commit();
    let mut slow = pin!(download(&world));
    assert!(poll_once(slow.as_mut()).is_pending());
    assert!(poll_once(pin!(second.download_security_domain(&request, world.custodians()))).is_ready());
    let mut dropping = pin!(world.test.core.drop_stale_domains());
    assert!(poll_once(dropping.as_mut()).is_pending(), "what is about to be on record is not dropped");
    release.send(()).unwrap();
    let made = slow.await.unwrap();
    dropping.await.unwrap();
    let hsm = world.hsm().await;
    let confirmed = hsm.confirm_download(&world.administration(), made.operation).await.unwrap();
    assert_eq!(confirmed, DownloadStatus::Success);
}
