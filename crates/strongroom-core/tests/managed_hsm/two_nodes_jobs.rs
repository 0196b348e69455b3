//! Two nodes that do the same jobs at the same time, over a store that answers late, loses answers and fails: nothing is
//! done twice in effect, and everything is done.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use strongroom_core::backup::{JobState, OrderedKind, Ran, RunningJob, Worker};
use strongroom_core::epochs::{ResealRound, ResealStep};
use strongroom_core::guard::Swept;
use strongroom_core::ports::Clock;
use strongroom_core::{Error, layout};
use strongroom_store::{Commit, Kv, Look, MemoryStore, Outcome, Page, Revision, StoreError};
use strongroom_testkit::{Wrap, Wrapped, look};
use strongroom_types::NodeId;
use uuid::Uuid;

use crate::download_again::prove;
use crate::epochs::{SECOND, domain, sealed};
use crate::full_backup::{CONTAINER, folder, keys_of, start, status};
use crate::full_restore::whole;
use crate::rotation::{monthly, set, versions};
use crate::support::{World, poll_once};
use crate::two_nodes::{assert_nothing_looks_rolled_back, ids, sign};

/// A store in memory whose answers come late, and not always: one seed, one behaviour.
struct Unsteady {
    store: MemoryStore,
    state: Mutex<State>,
}

struct State {
    seed: u64,
    /// How many of a thousand commits fail.
    failing: u64,
}

impl Unsteady {
    fn new(seed: u64) -> Wrapped<Self> {
        let state = State { seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, failing: 0 };
        Wrapped(Self { store: MemoryStore::new(), state: Mutex::new(state) })
    }

    fn fail(&self, of_a_thousand: u64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).failing = of_a_thousand;
    }

    /// xorshift64: what is drawn has to be the same again for a seed, and nothing else.
    fn draw(&self, below: u64) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seed ^= state.seed << 13;
        state.seed ^= state.seed >> 7;
        state.seed ^= state.seed << 17;
        state.seed % below
    }

    fn fails(&self) -> bool {
        let failing = self.state.lock().unwrap_or_else(PoisonError::into_inner).failing;
        self.draw(1000) < failing
    }

    /// Lets the other node go on.
    async fn wait(&self) {
        for _ in 0..self.draw(4) {
            tokio::task::yield_now().await;
        }
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("a test made it fail".to_owned())
}

#[async_trait]
impl Wrap for Unsteady {
    fn behind(&self) -> &dyn Kv {
        &self.store
    }

    async fn look(&self, key: &str, known: Option<Revision>) -> Result<Look, StoreError> {
        self.wait().await;
        let found = look(&self.store, key, known).await;
        self.wait().await;
        found
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        self.wait().await;
        let found = self.store.range(prefix, after, limit, at).await;
        self.wait().await;
        found
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.wait().await;
        let (lost, applied) = (self.fails(), self.draw(2) == 0);
        if lost && !applied {
            return Err(unavailable());
        }
        let outcome = self.store.commit(commit).await;
        self.wait().await;
        if lost { Err(unavailable()) } else { outcome }
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.wait().await;
        self.store.revision().await
    }
}

/// Two nodes, over a store that does not fail yet.
async fn two(seed: u64) -> (Arc<Wrapped<Unsteady>>, World, World, String) {
    let store = Arc::new(Unsteady::new(seed));
    let (one, file) = World::usable_on(Arc::clone(&store) as Arc<dyn Kv>).await;
    let other = one.another_node().await;
    (store, one, other, file)
}

/// What a job may come to grief of, to be done again by whoever comes next.
fn passing<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(Error::Store(_) | Error::Conflict | Error::Restoring) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Committed events of an operation, on all nodes.
async fn recorded(worlds: &[&World], operation: &str) -> usize {
    let mut all = 0;
    for world in worlds {
        let events = world.test.core.barrier().outbox().await.unwrap();
        all += events.iter().filter(|(_, event)| event.operation_name == operation).count();
    }
    all
}

/// As the server's: keys of one HSM, whatever is due.
async fn key_jobs(world: &World) {
    for _ in 0..12 {
        let (hsm, now) = (world.hsm().await, world.test.clock.now());
        let job = |operation| world.job(operation);
        passing(hsm.purge_due_keys(&job, now).await);
        while passing(hsm.sweep_leftovers(&job).await) == Some(Swept::Some) {}
        if let Some(round) = passing(hsm.rotate_due_keys(&job, now).await) {
            for (_, error) in round.failed {
                passing::<()>(Err(error));
            }
        }
    }
}

#[tokio::test]
async fn keys_are_rotated_once_for_each_due_date_and_purged_once() {
    for seed in 0..10 {
        let (store, one, other, _) = two(seed).await;
        let mut rotating = Vec::new();
        for number in 0..4 {
            let key = [&one, &other][number % 2].ec_key(&format!("rotates-{number}")).await;
            set(&one, &key, monthly()).await;
            rotating.push(key);
            let gone = other.ec_key(&format!("goes-{number}")).await;
            one.hsm().await.delete_key(&one.administration(), &gone.name).await.unwrap();
        }
        for turn in 1..3 {
            one.test.clock.advance_days(30);
            store.fail(60);
            tokio::join!(key_jobs(&one), key_jobs(&other));
            store.fail(0);
            tokio::join!(key_jobs(&one), key_jobs(&other));
            for key in &rotating {
                assert_eq!(versions(&other, key).await.len(), turn + 1, "seed {seed}");
            }
            assert_eq!(recorded(&[&one, &other], "KeyRotateIfDue").await, 4 * turn, "seed {seed}");
            assert_eq!(recorded(&[&one, &other], "KeyPurge").await, 4, "seed {seed}");
        }
        assert_nothing_looks_rolled_back(&[&one, &other]).await;
    }
}

/// Works on jobs until none is left, as two servers do; others' jobs are taken over once their owner is silent.
async fn backup_jobs(world: &World, id: NodeId) {
    let worker = Worker { id, takeover_seconds: 12, credentials: None };
    for _ in 0..400 {
        let Some(jobs) = passing(world.test.core.running_jobs().await) else { continue };
        if jobs.is_empty() {
            return;
        }
        passing(world.test.core.keep_jobs().await);
        passing(world.test.core.forget_job_owners().await);
        for job in jobs {
            passing(world.test.core.run_job(&worker, &job).await);
        }
        tokio::task::yield_now().await;
        world.test.clock.advance_seconds(1);
    }
    panic!("a job does not end");
}

#[tokio::test]
async fn a_backup_has_one_manifest_and_a_restore_one_switch_whoever_works_on_them() {
    for seed in 0..8 {
        let (store, one, other, _) = two(seed).await;
        for number in 0..6 {
            one.create(&format!("k{number}"), crate::full_backup::large()).await;
        }
        store.fail(30);
        let started = loop {
            if let Some(started) = passing(start(&one, &one.administration(), OrderedKind::Backup).await) {
                break started;
            }
            if !one.test.core.running_jobs().await.unwrap().is_empty() {
                // The answer was lost: it runs.
                break crate::full_backup::under_way(&one).await;
            }
        };
        tokio::join!(backup_jobs(&one, one.test.node), backup_jobs(&other, other.test.node));
        store.fail(0);
        one.test.clock.advance_seconds(60);
        let ended = status(&other, &started).await;
        assert_eq!(ended.state, JobState::Succeeded, "seed {seed}");
        let (folder, blobs) = (folder(&ended), one.test.blobs.all());
        let manifests = blobs.keys().filter(|path| path.contains(CONTAINER) && path.ends_with("/manifest")).count();
        assert_eq!((manifests, keys_of(&one, &folder).await.len()), (1, 6), "seed {seed}");
        assert_eq!(recorded(&[&one, &other], "BackupEnd").await, 1, "seed {seed}");

        let later = other.ec_key("later").await;
        start(&one, &one.administration(), whole(&folder)).await.unwrap();
        store.fail(30);
        tokio::join!(backup_jobs(&one, one.test.node), backup_jobs(&other, other.test.node));
        store.fail(0);
        assert_eq!(recorded(&[&one, &other], "RestoreEnd").await, 1, "seed {seed}");
        for node in [&one, &other] {
            sign(node, "k3").await.unwrap();
            assert!(matches!(sign(node, later.name.as_str()).await, Err(Error::KeyNotFound { .. })), "seed {seed}");
        }
        assert_nothing_looks_rolled_back(&[&one, &other]).await;
    }
}

#[tokio::test]
async fn of_nodes_that_adopt_the_events_of_a_gone_one_at_the_same_time_one_has_each() {
    for seed in 0..8 {
        let (store, one, other, _) = two(seed).await;
        let third = one.another_node().await;
        let left = one.test.core.barrier().outbox().await.unwrap();
        store.fail(100);
        let adopt = async |world: &World| {
            for _ in 0..20 {
                passing(world.test.core.barrier().adopt_outbox(one.test.node).await);
            }
        };
        tokio::join!(adopt(&other), adopt(&third));
        store.fail(0);
        assert!(one.test.core.barrier().outbox().await.unwrap().is_empty(), "seed {seed}");
        let mut adopted = other.test.core.barrier().outbox().await.unwrap();
        adopted.extend(third.test.core.barrier().outbox().await.unwrap());
        assert_eq!(ids(&adopted), ids(&left), "seed {seed}");
    }
}

/// A job begins, and is cut off.
fn cut_off(world: &World, worker: &Worker, job: &RunningJob) {
    let mut working = pin!(world.test.core.run_job(worker, job));
    while world.test.blobs.calls() == 0 {
        assert!(poll_once(working.as_mut()).is_pending());
    }
}

#[tokio::test]
async fn a_job_whose_node_has_died_is_taken_over_and_one_whose_node_lives_is_not() {
    let (_, one, other, _) = two(1).await;
    one.ec_key("k").await;
    start(&one, &one.administration(), OrderedKind::Backup).await.unwrap();
    let job = one.test.core.running_jobs().await.unwrap().remove(0);
    let claimed = Worker { id: one.test.node, takeover_seconds: 60, credentials: None };
    cut_off(&one, &claimed, &job);
    let waiting = Worker { id: other.test.node, ..claimed.clone() };
    for _ in 0..4 {
        one.test.clock.advance_seconds(50);
        one.test.core.keep_jobs().await.unwrap();
        assert_eq!(other.test.core.run_job(&waiting, &job).await.unwrap(), Ran::Later, "its owner lives");
    }
    one.test.clock.advance_seconds(60);
    assert_eq!(other.test.core.run_job(&waiting, &job).await.unwrap(), Ran::Ended);
    assert_eq!(one.test.core.run_job(&claimed, &job).await.unwrap(), Ran::Ended, "there is nothing left of it");
    assert_eq!(recorded(&[&one, &other], "BackupEnd").await, 1);
}

#[tokio::test]
async fn a_node_that_comes_back_goes_on_with_its_own_job_at_once() {
    let (_, mut one, _, _) = two(2).await;
    one.ec_key("k").await;
    start(&one, &one.administration(), OrderedKind::Backup).await.unwrap();
    let job = one.test.core.running_jobs().await.unwrap().remove(0);
    let own = Worker { id: one.test.node, takeover_seconds: 60, credentials: None };
    cut_off(&one, &own, &job);
    one.restart().await;
    let stranger = Worker { id: NodeId::from_uuid(Uuid::from_u128(9)), ..own.clone() };
    assert_eq!(one.test.core.run_job(&stranger, &job).await.unwrap(), Ran::Later);
    assert_eq!(one.test.core.run_job(&own, &job).await.unwrap(), Ran::Ended);
}

#[tokio::test]
async fn a_node_that_is_silent_for_a_day_is_forgotten_and_may_come_back() {
    let (store, one, other, _) = two(3).await;
    let owners = async || {
        let page = store.range(layout::JOB_OWNERS, None, 10, None).await.unwrap();
        let nodes = page.entries.into_iter().map(|entry| entry.key.rsplit_once('/').unwrap().1.parse().unwrap());
        nodes.collect::<BTreeSet<NodeId>>()
    };
    let both = BTreeSet::from([one.test.node, other.test.node]);
    one.test.core.keep_jobs().await.unwrap();
    other.test.core.keep_jobs().await.unwrap();
    one.test.clock.advance_seconds(24 * 3600);
    one.test.core.keep_jobs().await.unwrap();
    one.test.core.forget_job_owners().await.unwrap();
    assert_eq!(owners().await, both, "not before");
    one.test.clock.advance_seconds(1);
    one.test.core.keep_jobs().await.unwrap();
    one.test.core.forget_job_owners().await.unwrap();
    assert_eq!(owners().await, BTreeSet::from([one.test.node]));
    other.test.core.keep_jobs().await.unwrap();
    assert_eq!(owners().await, both);
    one.test.core.keep_jobs().await.unwrap();
    one.test.core.forget_job_owners().await.unwrap();
    assert_eq!(owners().await, both);
    assert_nothing_looks_rolled_back(&[&one, &other]).await;
}

#[tokio::test]
async fn records_are_sealed_again_by_all_nodes_at_once_and_the_epoch_ends_once() {
    for seed in 0..4 {
        let (store, one, other, file) = two(seed).await;
        for number in 0..30 {
            one.ec_key(&format!("k{number}")).await;
        }
        prove(&one, &file).await.unwrap();
        let request = one.administration();
        let rotated = one.hsm().await.rotate_security_domain(&request, one.custodians()).await.unwrap();
        other.hsm().await.confirm_download(&other.administration(), rotated.operation).await.unwrap();
        let reseal = async |world: &World| {
            let mut round = ResealRound::default();
            for _ in 0..500 {
                let step = world.hsm().await.reseal(&|operation| world.job(operation), &mut round).await;
                if passing(step) == Some(ResealStep::Idle) {
                    return;
                }
            }
            panic!("the epoch does not end");
        };
        store.fail(40);
        tokio::join!(reseal(&one), reseal(&other));
        store.fail(0);
        assert_eq!((domain(&other).await.1, domain(&one).await.2), (SECOND, SECOND), "seed {seed}");
        let epochs: BTreeMap<_, _> = sealed(&one).await.into_iter().map(|(entry, epoch)| (entry.key, epoch)).collect();
        assert!(epochs.values().all(|epoch| *epoch == SECOND), "seed {seed}");
        assert_eq!(recorded(&[&one, &other], "SecurityDomainEpochEnd").await, 1, "seed {seed}");
        for number in 0..30 {
            sign(&other, &format!("k{number}")).await.unwrap();
        }
        assert_nothing_looks_rolled_back(&[&one, &other]).await;
    }
}
