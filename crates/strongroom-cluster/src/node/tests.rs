//! What one node, or two on one engine, do by the machine's own clock.

use strongroom_store::MemoryStore;
use tokio::task::JoinSet;

use super::*;
use crate::boot_clock::SystemBootClock;
use crate::registration::{REGISTRATIONS, Standing};

const LAYOUT: Layout = Layout { on_demand: |key| key.starts_with("m/"), incidental: |key| key.starts_with("audit/") };

fn identity(id: &str, start: &str, records: u32) -> Identity {
    let (id, start, name) = (id.to_owned(), start.to_owned(), id.to_owned());
    Identity { id, start, name, release: format!("0.{records}"), records }
}

struct Cluster {
    engine: Arc<dyn Kv>,
    runs: JoinSet<()>,
}

impl Cluster {
    fn new() -> Self {
        Self { engine: Arc::new(MemoryStore::new()), runs: JoinSet::new() }
    }

    async fn open(&self, id: &str, start: &str) -> Arc<Node> {
        self.open_with(id, start, Timing::default()).await.unwrap()
    }

    async fn open_with(&self, id: &str, start: &str, timing: Timing) -> Result<Arc<Node>, OpenError> {
        let identity = identity(id, start, 1);
        let (engine, clock) = (Arc::clone(&self.engine), Arc::new(SystemBootClock));
        Node::open(engine, clock, identity, LAYOUT, timing).await
    }

    /// A node that serves.
    async fn serving(&mut self, id: &str, start: &str) -> Arc<Node> {
        let node = self.open(id, start).await;
        let run = Arc::clone(&node);
        self.runs.spawn(async move { run.run().await });
        assert!(node.serving(Duration::from_secs(60)).await);
        node
    }

    async fn registered(&self) -> Vec<String> {
        let page = self.engine.range(REGISTRATIONS, None, 10, None).await.unwrap();
        page.entries.into_iter().map(|entry| entry.key).collect()
    }
}

fn standings(node: &Node) -> Vec<Standing> {
    node.status().registrations.into_iter().map(|(_, it)| it.standing).collect()
}

async fn put(node: &Node, key: &str, value: &str) -> Revision {
    let writes = vec![Write::Put(key.to_owned(), value.as_bytes().to_vec())];
    match node.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap() {
        Outcome::Committed(revision) => revision,
        Outcome::Conflict => panic!("there is nothing to conflict with"),
    }
}

#[tokio::test]
async fn what_one_node_has_acknowledged_all_nodes_show() {
    let mut cluster = Cluster::new();
    let (one, two) = (cluster.serving("a", "1").await, cluster.serving("b", "1").await);
    let mut before = Revision(0);
    for round in 0..20 {
        let value = round.to_string();
        let revision = put(&one, "k", &value).await;
        assert_eq!(two.get("k").await.unwrap().unwrap().value, value.as_bytes());
        assert_eq!(two.get_unless("k", revision).await.unwrap(), Look::Unchanged);
        let Look::Entry(entry) = two.get_unless("k", before).await.unwrap() else { panic!("it was changed since") };
        assert_eq!((entry.value.as_slice(), entry.modified), (value.as_bytes(), revision));
        before = revision;
        assert!(two.begin().unwrap().snapshot() >= revision);
        put(&two, "m/1", &value).await;
        assert_eq!(one.get("m/1").await.unwrap().unwrap().value, value.as_bytes(), "key material as well");
        assert_eq!(one.range("m/", None, 10, None).await.unwrap().entries[0].value, value.as_bytes());
    }
}

#[tokio::test]
async fn a_node_that_does_not_run_serves_nothing() {
    let node = Cluster::new().open("a", "1").await;
    assert_eq!(node.begin().unwrap_err(), NotServing);
    assert!(!node.status().serving);
}

#[tokio::test]
async fn a_node_does_not_start_beside_one_that_may_write_what_it_cannot_read() {
    let mut cluster = Cluster::new();
    cluster.serving("a", "1").await;
    let open = async |id, records| {
        let (engine, clock) = (Arc::clone(&cluster.engine), Arc::new(SystemBootClock));
        Node::open(engine, clock, identity(id, "1", records), LAYOUT, Timing::default()).await
    };
    let refused = open("old", 0).await.unwrap_err();
    assert_eq!(refused.to_string(), "node a of release 0.1 may write records that this release cannot read");
    open("same", 1).await.unwrap();
    open("new", 2).await.unwrap();
}

#[tokio::test]
async fn a_node_that_is_emptied_says_so_until_that_is_taken_back() {
    let mut cluster = Cluster::new();
    let (one, two) = (cluster.serving("a", "1").await, cluster.serving("b", "1").await);
    put(&two, &format!("{DRAINS}a"), "").await;
    assert!(one.status().draining && one.is_serving() && !two.status().draining);
    one.end_drain().await.unwrap();
    assert!(!one.status().draining);
}

#[tokio::test]
async fn a_node_that_nobody_empties_writes_nothing_about_it() {
    let cluster = Cluster::new();
    // It does not run, so nothing that it commits is acknowledged.
    cluster.open_with("a", "1", SHORT).await.unwrap().end_drain().await.unwrap();
    assert_eq!(cluster.engine.revision().await.unwrap(), Revision(0));
}

#[tokio::test]
async fn a_closed_node_is_not_registered_and_answers_nothing() {
    let mut cluster = Cluster::new();
    let (one, two) = (cluster.serving("a", "1").await, cluster.serving("b", "1").await);
    let ticket = one.begin().unwrap();
    one.stop();
    one.stopped().await;
    assert_eq!(ticket.check(), Err(NotServing));
    assert_eq!(cluster.registered().await, ["node/b-1-1"]);
    put(&two, "k", "1").await;
    assert!(!one.ended_by_itself());
    refuses_everything(&one).await;
    one.close().await.unwrap();
    refuses_everything(&one).await;
    assert!(matches!(one.close().await, Err(StoreError::Unavailable(_))));
}

async fn refuses_everything(node: &Node) {
    let put = of(Write::Put("k".to_owned(), Vec::new()));
    assert!(matches!(node.get("k").await, Err(StoreError::Unavailable(_))));
    assert!(matches!(node.get_unless("k", Revision(1)).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(node.range("", None, 10, None).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(node.revision().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(node.commit(put).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn a_node_whose_task_is_lost_answers_nothing_more_and_can_be_closed() {
    let mut cluster = Cluster::new();
    let node = cluster.serving("a", "1").await;
    put(&node, "k", "1").await;
    assert!(!node.ended_by_itself());
    cluster.runs.abort_all();
    node.stopped().await;
    assert!(node.ended_by_itself());
    refuses_everything(&node).await;
    node.close().await.unwrap();
    assert!(node.ended_by_itself(), "that it was told to stop afterwards changes nothing");
}

#[tokio::test]
async fn a_node_that_starts_again_waits_for_no_earlier_start_of_its_own() {
    let mut cluster = Cluster::new();
    cluster.serving("a", "1").await;
    cluster.runs.abort_all();
    let again = cluster.serving("a", "2").await;
    assert_eq!(cluster.registered().await, ["node/a-2-1"]);
    put(&again, "k", "1").await;
    assert_eq!(standings(&again), [Standing::Registered]);
}

#[tokio::test]
async fn a_request_that_has_committed_holds_its_own_acknowledgement_not_back() {
    let mut cluster = Cluster::new();
    let (one, two) = (cluster.serving("a", "1").await, cluster.serving("b", "1").await);
    let (mine, theirs) = (one.begin().unwrap(), two.begin().unwrap());
    let (mine_at, theirs_at) = tokio::join!(mine.scope(put(&one, "k", "1")), theirs.scope(put(&two, "l", "1")));
    assert_ne!(mine_at, theirs_at);
    assert_eq!((mine.check(), theirs.check()), (Ok(()), Ok(())));
}

fn of(write: Write) -> Commit {
    Commit { preconditions: Vec::new(), writes: vec![write] }
}

#[tokio::test]
async fn a_commit_that_changes_nothing_expels_nobody_who_is_there() {
    let mut cluster = Cluster::new();
    let one = cluster.serving("a", "1").await;
    put(&one, "k", "1").await;
    // Renewals, so that the other one loads at a revision that nothing that counts was written at.
    let before = one.replica.counted();
    while one.replica.applied() < Revision(before.0 + 3) {
        one.registrar.ask();
        one.wait(Duration::from_millis(20), || false).await;
    }
    let two = cluster.serving("b", "1").await;
    assert!(two.replica.counted() > one.replica.counted());
    two.commit(of(Write::Delete("absent".to_owned()))).await.unwrap();
    assert_eq!(cluster.registered().await, ["node/a-1-1", "node/b-1-1"]);
    assert_eq!(standings(&two), [Standing::Registered, Standing::Registered]);
}

/// As short as times may be.
const SHORT: Timing = Timing {
    serving: Duration::from_millis(40),
    margin: Duration::from_millis(10),
    renewal: Duration::from_millis(10),
    ticket_max: Duration::from_millis(5),
    silence: Duration::from_millis(15),
    acknowledgement_max: Duration::from_millis(1100),
};

#[tokio::test]
async fn a_commit_that_is_not_applied_in_time_has_an_unknown_outcome() {
    // It does not run, so it applies nothing.
    let node = Cluster::new().open_with("a", "1", SHORT).await.unwrap();
    let put = |key: &str| node.commit(of(Write::Put(key.to_owned(), Vec::new())));
    let (counts, incidental) = tokio::join!(put("k"), put("audit/1"));
    for outcome in [counts, incidental] {
        assert!(matches!(outcome, Err(StoreError::OutcomeUnknown(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn the_revision_is_that_of_the_engine() {
    let cluster = Cluster::new();
    let node = cluster.open("a", "1").await;
    cluster.engine.commit(of(Write::Put("k".to_owned(), Vec::new()))).await.unwrap();
    assert_eq!((node.revision().await.unwrap(), node.status().applied), (Revision(1), Revision(0)));
}

#[tokio::test]
async fn times_that_do_not_work_together_open_no_node() {
    let timing = Timing { renewal: Duration::ZERO, ..Timing::default() };
    let refused = Cluster::new().open_with("a", "1", timing).await;
    assert!(matches!(refused, Err(OpenError::Timing(TimingError::Zero))), "{refused:?}");
}

/// Further than any store of these tests.
const AHEAD: Revision = Revision(1_000_000);

#[tokio::test]
async fn a_node_that_registers_in_a_store_that_went_back_never_serves() {
    let cluster = Cluster::new();
    let node = cluster.open("a", "1").await;
    node.replica.skip_to(AHEAD);
    node.run().await;
    assert_eq!(node.begin().unwrap_err(), NotServing);
    assert!(cluster.registered().await.is_empty(), "and others need not wait for it");
}

#[tokio::test]
async fn a_node_whose_store_goes_back_stops_serving() {
    let mut cluster = Cluster::new();
    let node = cluster.serving("a", "1").await;
    node.replica.skip_to(AHEAD);
    node.registrar.ask();
    node.stopped().await;
    assert!(node.ended_by_itself());
    assert_eq!(node.begin().unwrap_err(), NotServing);
    refuses_everything(&node).await;
    assert!(cluster.registered().await.is_empty());
}

/// An engine that has been loaded from, and is silent since.
struct Silent(MemoryStore);

#[async_trait]
impl Kv for Silent {
    async fn get(&self, _: &str) -> Result<Option<Entry>, StoreError> {
        std::future::pending().await
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        match at {
            None => self.0.range(prefix, after, limit, at).await,
            Some(_) => std::future::pending().await,
        }
    }

    async fn commit(&self, _: Commit) -> Result<Outcome, StoreError> {
        std::future::pending().await
    }

    async fn watch(&self, _: &str, _: Revision) -> Result<Box<dyn Watch>, StoreError> {
        std::future::pending().await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        std::future::pending().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn an_engine_that_is_silent_is_not_waited_for() {
    let store = MemoryStore::new();
    store.commit(of(Write::Put("m/1".to_owned(), Vec::new()))).await.unwrap();
    let cluster = Cluster { engine: Arc::new(Silent(store)), runs: JoinSet::new() };
    let node = cluster.open_with("a", "1", SHORT).await.unwrap();
    let (commit, get, list, at, watch, revision) = tokio::join!(
        node.commit(of(Write::Put("k".to_owned(), Vec::new()))),
        node.get("m/1"),
        node.range("m/", None, 10, None),
        node.range("k", None, 10, Some(Revision(1))),
        node.watch("", Revision(1)),
        node.revision(),
    );
    assert!(matches!(commit, Err(StoreError::OutcomeUnknown(_))), "it may have happened: {commit:?}");
    let errors = [get.err(), list.err(), at.err(), watch.err(), revision.err()];
    assert!(errors.iter().all(|error| matches!(error, Some(StoreError::Unavailable(_)))), "{errors:?}");
}
