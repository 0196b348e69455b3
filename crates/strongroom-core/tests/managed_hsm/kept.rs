//! Records that are kept open in memory: they count only as long as the store says exactly the same.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use strongroom_core::Error;
use strongroom_core::keys::{KeyAttributes, KeyReference, ReleaseTerms, UpdateKey};
use strongroom_store::{Commit, EmbeddedStore, Entry, Kv, Look, MemoryStore, Revision, StoreError, Write};
use strongroom_testkit::{Wrap, Wrapped, look};
use strongroom_types::{Algorithm, PrincipalId};
use tokio::task::JoinSet;

use crate::support::{CRYPTO_USER, World, stranger};

fn enable(enabled: bool) -> UpdateKey {
    UpdateKey {
        operations: None,
        attributes: KeyAttributes { enabled: Some(enabled), ..KeyAttributes::default() },
        tags: None,
        release: ReleaseTerms::default(),
    }
}

async fn sign(world: &World, principal: PrincipalId, key: &KeyReference) -> Result<(), Error> {
    let hsm = world.test.core.hsm(&world.name).await?;
    hsm.sign(&world.request(principal), key, Algorithm::Es256, vec![1; 32]).await.map(drop)
}

/// What changes on one node counts on the other in its next request, although that one has just used the same records. The
/// embedded engine knows revisions without reading.
async fn what_another_node_changes_counts_at_once_on(store: Arc<dyn Kv>) {
    let one = World::active_on(store).await;
    let other = one.another_node().await;
    let (key, user) = (one.ec_key("k").await, stranger());
    for _ in 0..2 {
        let assignment = one.assign(user, CRYPTO_USER, "/").await;
        for node in [&one, &other, &one, &other] {
            sign(node, user, &key).await.unwrap();
        }
        other.hsm().await.update_key(&other.administration(), &key, &enable(false)).await.unwrap();
        assert!(matches!(sign(&one, user, &key).await, Err(Error::KeyDisabled { .. })));
        one.hsm().await.update_key(&one.administration(), &key, &enable(true)).await.unwrap();
        sign(&other, user, &key).await.unwrap();
        other.hsm().await.delete_key(&other.administration(), &key.name).await.unwrap();
        assert!(matches!(sign(&one, user, &key).await, Err(Error::KeyNotFound { .. })));
        one.hsm().await.recover_key(&one.administration(), &key.name).await.unwrap();
        sign(&other, user, &key).await.unwrap();
        let scope = "/".parse().unwrap();
        one.hsm().await.delete_role_assignment(&one.administration(), &scope, assignment).await.unwrap();
        assert!(matches!(sign(&other, user, &key).await, Err(Error::Forbidden { .. })));
    }
}

#[tokio::test]
async fn what_another_node_changes_counts_at_once() {
    what_another_node_changes_counts_at_once_on(Arc::new(MemoryStore::new())).await;
}

#[tokio::test]
async fn what_another_part_of_one_process_changes_counts_at_once() {
    let folder = tempfile::tempdir().unwrap();
    what_another_node_changes_counts_at_once_on(Arc::new(EmbeddedStore::open(&folder.path().join("store")).unwrap()))
        .await;
}

/// Nobody is served by a record that was changed before they asked, however many ask while it changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_counts_for_whoever_asks_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::active_on(Arc::new(EmbeddedStore::open(&folder.path().join("store")).unwrap())).await;
    let key = Arc::new(world.ec_key("k").await);
    let world = Arc::new(world);
    // Of four: the key is enabled, is being disabled, is disabled, is being enabled.
    let (phase, seen) = (Arc::new(AtomicU64::new(0)), Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
    let mut asking = JoinSet::new();
    for _ in 0..3 {
        let (world, key, phase, seen) = (Arc::clone(&world), Arc::clone(&key), Arc::clone(&phase), Arc::clone(&seen));
        asking.spawn(async move {
            loop {
                let before = phase.load(Ordering::SeqCst);
                let signed = sign(&world, world.administrator, &key).await;
                match (before % 4, signed) {
                    _ if before == END => return,
                    _ if phase.load(Ordering::SeqCst) != before => {}
                    (0, Ok(())) => _ = seen[0].fetch_add(1, Ordering::SeqCst),
                    (2, Err(Error::KeyDisabled { .. })) => _ = seen[1].fetch_add(1, Ordering::SeqCst),
                    (1 | 3, Ok(()) | Err(Error::KeyDisabled { .. })) => {}
                    (phase, signed) => panic!("{signed:?} in phase {phase}"),
                }
                tokio::task::yield_now().await;
            }
        });
    }
    for round in 1..=200 {
        phase.fetch_add(1, Ordering::SeqCst);
        let change = enable(round % 2 == 0);
        world.hsm().await.update_key(&world.administration(), &key, &change).await.unwrap();
        phase.fetch_add(1, Ordering::SeqCst);
        // Until somebody has seen it.
        let side = &seen[round % 2];
        let (before, now) = (side.load(Ordering::SeqCst), || side.load(Ordering::SeqCst));
        while now() == before && !asking.is_empty() {
            tokio::task::yield_now().await;
            assert!(asking.try_join_next().is_none(), "somebody was served wrongly");
        }
    }
    phase.store(END, Ordering::SeqCst);
    asking.join_all().await;
}

/// The end of the test.
const END: u64 = u64::MAX;

#[tokio::test]
async fn what_the_store_alters_is_refused_although_it_is_kept() {
    let world = World::active().await;
    let key = world.ec_key("k").await;
    sign(&world, world.administrator, &key).await.unwrap();
    let all = world.store.range("", None, 1000, None).await.unwrap().entries;
    let used = ["d/managed-hsm/", "/guard", "/name/", "/key/"];
    for part in used {
        let entry = all.iter().find(|entry| entry.key.contains(part)).unwrap();
        let mut altered = entry.value.clone();
        *altered.last_mut().unwrap() ^= 1;
        put(&world, &entry.key, altered).await;
        let refused = sign(&world, world.administrator, &key).await;
        assert!(matches!(refused, Err(Error::Tampered { .. })), "{part}: {refused:?}");
        put(&world, &entry.key, entry.value.clone()).await;
        sign(&world, world.administrator, &key).await.unwrap();
    }
}

async fn put(world: &World, key: &str, value: Vec<u8>) {
    let writes = vec![Write::Put(key.to_owned(), value)];
    world.store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
}

/// As after an etcd cluster was put back to an earlier day beneath nodes that run: revisions are given out a second time.
#[tokio::test]
async fn another_record_under_the_revision_of_the_kept_one_is_the_one_that_counts() {
    let store = Arc::new(Wrapped::<Repeating>::default());
    let world = World::active_on(Arc::clone(&store) as Arc<dyn Kv>).await;
    let key = world.ec_key("k").await;
    sign(&world, world.administrator, &key).await.unwrap();
    let version = world.store_keys().await.into_iter().find(|key| key.contains("/key/")).unwrap();
    let kept = store.get(&version).await.unwrap().unwrap();
    world.hsm().await.update_key(&world.administration(), &key, &enable(false)).await.unwrap();
    store.repeat(&version, kept.modified);
    assert!(matches!(sign(&world, world.administrator, &key).await, Err(Error::KeyDisabled { .. })));
}

/// A store in memory that gives one key the revision of an earlier commit.
#[derive(Default)]
struct Repeating {
    store: MemoryStore,
    repeated: Mutex<Option<(String, Revision)>>,
}

impl Repeating {
    fn repeat(&self, key: &str, revision: Revision) {
        *self.repeated.lock().unwrap_or_else(PoisonError::into_inner) = Some((key.to_owned(), revision));
    }
}

#[async_trait]
impl Wrap for Repeating {
    fn behind(&self) -> &dyn Kv {
        &self.store
    }

    /// Reads, whatever is known: as etcd does.
    async fn look(&self, key: &str, _: Option<Revision>) -> Result<Look, StoreError> {
        let Some(entry) = self.store.get(key).await? else { return Ok(Look::Nothing) };
        let repeated = self.repeated.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = repeated.as_ref().filter(|(repeated, _)| repeated == key).map(|(_, revision)| *revision);
        Ok(Look::Entry(Entry { modified: revision.unwrap_or(entry.modified), ..entry }))
    }
}

/// A store may call a record unchanged only as long as it is: one that is older than what this node has seen does not count.
#[tokio::test]
async fn a_kept_record_that_is_older_than_was_seen_is_refused_although_the_store_calls_it_unchanged() {
    let store = Arc::new(Wrapped::<Unmoved>::default());
    let world = World::active_on(Arc::clone(&store) as Arc<dyn Kv>).await;
    let key = world.ec_key("k").await;
    sign(&world, world.administrator, &key).await.unwrap();
    store.claims.store(true, Ordering::SeqCst);
    sign(&world, world.administrator, &key).await.unwrap();
    store.claims.store(false, Ordering::SeqCst);
    world.hsm().await.update_key(&world.administration(), &key, &enable(false)).await.unwrap();
    store.claims.store(true, Ordering::SeqCst);
    let refused = sign(&world, world.administrator, &key).await;
    assert!(matches!(refused, Err(Error::Tampered { .. })), "{refused:?}");
}

/// A store in memory that calls unchanged whatever is known, when it is told to.
#[derive(Default)]
struct Unmoved {
    store: MemoryStore,
    claims: AtomicBool,
}

#[async_trait]
impl Wrap for Unmoved {
    fn behind(&self) -> &dyn Kv {
        &self.store
    }

    async fn look(&self, key: &str, known: Option<Revision>) -> Result<Look, StoreError> {
        if known.is_some() && self.claims.load(Ordering::SeqCst) {
            return Ok(Look::Unchanged);
        }
        look(&self.store, key, known).await
    }
}
