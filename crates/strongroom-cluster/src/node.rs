//! The store's contract over an engine that other nodes use as well.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_store::{
    Commit, Entry, KEY_BYTES_MAX, Kv, Outcome, Page, Precondition, Revision, StoreError, Watch, Write,
};
use tokio::sync::watch;

use crate::admission::{Admission, NotServing, Ticket};
use crate::boot_clock::{BootClock, within};
use crate::follow::Follower;
use crate::layout::Layout;
use crate::registrar::Registrar;
use crate::registration::Registration;
use crate::replica::{Found, Listed, Replica};
use crate::rules::Rules;
use crate::settlement::Settlement;
use crate::timing::Timing;

/// One of several processes on one store.
///
/// As a [`Kv`] it differs from its engine in this: `get` and `range` of now answer from memory and show every commit that any
/// node has acknowledged, and this node's own; a commit is acknowledged when it counts on every node. `revision` is what the
/// replica has applied.
pub struct Node {
    engine: Arc<dyn Kv>,
    replica: Arc<Replica>,
    admission: Arc<Admission>,
    clock: Arc<dyn BootClock>,
    timing: Timing,
    follower: Follower,
    registrar: Arc<Registrar>,
    settlement: Settlement,
    run: watch::Sender<Run>,
    closed: AtomicBool,
}

/// Whether [`Node::run`] is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    NotYet,
    Runs,
    Ended,
}

/// Which node this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The same at each start of one node, and no other's: letters and digits. Two processes never have it at once (the data
    /// folder it lies in is locked), so what is registered under it from an earlier start is nobody's.
    pub id: String,
    /// Random, drawn at each start.
    pub start: String,
    /// What people call it: the machine's name.
    pub name: String,
}

/// How a node is, for those who watch it.
#[derive(Debug, Clone)]
pub struct Status {
    /// Whether it answers requests.
    pub serving: bool,
    /// The revision its replica is at.
    pub applied: Revision,
    /// Everybody who is registered, this node included, by the store key of the registration.
    pub registrations: Vec<(String, Registration)>,
    /// The store key of its own registration.
    pub own: Option<String>,
    /// How long it has not served since it started.
    pub not_serving: Duration,
    /// Requests at work.
    pub tickets: usize,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("applied", &self.replica.applied()).finish_non_exhaustive()
    }
}

impl Node {
    /// A node that has loaded everything. It serves once [`Node::run`] has registered it.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn open(
        engine: Arc<dyn Kv>,
        clock: Arc<dyn BootClock>,
        identity: Identity,
        layout: Layout,
        timing: Timing,
    ) -> Result<Arc<Self>, StoreError> {
        Self::open_with(engine, clock, identity, layout, timing, Rules::default()).await
    }

    pub(crate) async fn open_with(
        engine: Arc<dyn Kv>,
        clock: Arc<dyn BootClock>,
        identity: Identity,
        layout: Layout,
        timing: Timing,
        rules: Rules,
    ) -> Result<Arc<Self>, StoreError> {
        let replica = Arc::new(Replica::new(layout));
        let admission = Admission::new(Arc::clone(&replica), Arc::clone(&clock), timing.ticket_max, rules);
        let admission = Arc::new(admission);
        let registrar = Arc::new(Registrar {
            engine: Arc::clone(&engine),
            replica: Arc::clone(&replica),
            admission: Arc::clone(&admission),
            clock: Arc::clone(&clock),
            timing,
            rules,
            identity,
            own: Mutex::new(None),
            asked: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
        });
        let settlement = Settlement {
            engine: Arc::clone(&engine),
            replica: Arc::clone(&replica),
            admission: Arc::clone(&admission),
            registrar: Arc::clone(&registrar),
            clock: Arc::clone(&clock),
            timing,
            rules,
        };
        let follower = Follower {
            engine: Arc::clone(&engine),
            replica: Arc::clone(&replica),
            clock: Arc::clone(&clock),
            timing,
            rules,
        };
        follower.load().await?;
        Ok(Arc::new(Self {
            engine,
            replica,
            admission,
            clock,
            timing,
            follower,
            registrar,
            settlement,
            run: watch::Sender::new(Run::NotYet),
            closed: AtomicBool::new(false),
        }))
    }

    /// Follows the store, keeps the node registered and looks after the registrations of nodes that are gone, until
    /// [`Node::stop`]. Without it the node neither serves nor acknowledges.
    pub async fn run(&self) {
        self.run.send_replace(Run::Runs);
        tokio::select! {
            biased;
            () = self.registrar.run() => {}
            () = Box::pin(self.follower.run()) => {}
            () = Box::pin(self.settlement.keep()) => {}
        }
        self.run.send_replace(Run::Ended);
    }

    /// Ends [`Node::run`]: the node stops serving and gives up its registration.
    pub fn stop(&self) {
        self.registrar.stop();
    }

    /// Resolves when [`Node::run`] has ended, or was never begun.
    pub async fn stopped(&self) {
        // The sender is the node's own.
        let _ = self.run.subscribe().wait_for(|run| *run != Run::Runs).await;
    }

    /// Takes leave to answer a request whose last byte has been read.
    ///
    /// # Errors
    /// [`NotServing`].
    pub fn begin(&self) -> Result<Ticket, NotServing> {
        self.admission.begin()
    }

    /// How the node is.
    pub fn status(&self) -> Status {
        let registrations = self
            .replica
            .with_peers(|peers| peers.all.iter().map(|(key, peer)| (key.clone(), peer.registration.clone())).collect());
        Status {
            serving: self.admission.until().is_some(),
            applied: self.replica.applied(),
            registrations,
            own: self.registrar.own(),
            not_serving: self.admission.time_not_serving(),
            tickets: self.admission.tickets(),
        }
    }

    #[cfg(test)]
    pub(crate) fn index(&self) -> (Revision, std::collections::BTreeMap<String, Revision>) {
        self.replica.index()
    }

    /// Reads key material; it counts only if it is what the index says.
    async fn on_demand(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let mut attempts_left = ON_DEMAND_ATTEMPTS;
        while attempts_left > 0 {
            attempts_left -= 1;
            let indexed = match self.replica.find(key) {
                Found::Absent => return Ok(None),
                Found::Record(entry) => return Ok(Some(entry)),
                Found::OnDemand(revision) => revision,
            };
            if let Some(entry) = self.engine.get(key).await?.filter(|entry| entry.modified == indexed) {
                return Ok(Some(entry));
            }
            self.wait(self.timing.renewal, || self.replica.modified(key) != Some(indexed)).await;
        }
        Err(StoreError::Unavailable("key material in the store is not what the index says".to_owned()))
    }

    /// Waits until something holds of the replica, or the time is up.
    async fn wait(&self, limit: Duration, holds: impl Fn() -> bool) {
        let mut progress = self.replica.progress();
        let waiting = async { while !holds() && progress.changed().await.is_ok() {} };
        let _ = within(self.clock.as_ref(), limit, waiting).await;
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("it is closed".to_owned()));
        }
        Ok(())
    }

    fn holds(&self, precondition: &Precondition) -> bool {
        match precondition {
            Precondition::Absent(key) => self.replica.modified(key).is_none(),
            Precondition::Unchanged(key, revision) => self.replica.modified(key) == Some(*revision),
        }
    }

    /// Waits until a commit of this node counts everywhere.
    async fn acknowledge(&self, revision: Revision, deadline: Duration, shape: Shape) -> Result<(), StoreError> {
        // The revision may then be one that no change will ever come by with.
        if shape.may_change_nothing && self.replica.applied() < revision {
            self.registrar.ask();
        }
        if shape.counts {
            let ticket = Ticket::current(&self.admission);
            let _parked = ticket.as_ref().map(Ticket::park);
            return self.settlement.settle(revision, deadline).await;
        }
        self.wait(self.timing.renewal, || self.replica.applied() >= revision).await;
        Ok(())
    }
}

/// What kind of commit it is, as far as acknowledging it is concerned.
#[derive(Clone, Copy)]
struct Shape {
    counts: bool,
    may_change_nothing: bool,
}

impl Shape {
    fn of(commit: &Commit, replica: &Replica) -> Self {
        let key = |write: &Write| match write {
            Write::Put(key, _) | Write::Delete(key) => replica.counts(key),
        };
        let put = |write: &Write| matches!(write, Write::Put(..));
        Self { counts: commit.writes.iter().any(key), may_change_nothing: !commit.writes.iter().any(put) }
    }
}

#[async_trait]
impl Kv for Node {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.check_open()?;
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(StoreError::KeyLength { bytes: key.len() });
        }
        match self.replica.find(key) {
            Found::Absent => Ok(None),
            Found::Record(entry) => Ok(Some(entry)),
            Found::OnDemand(_) => self.on_demand(key).await,
        }
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        self.check_open()?;
        if at.is_some() {
            return self.engine.range(prefix, after, limit, at).await;
        }
        match self.replica.list(prefix, after, limit) {
            Listed::Page(page) => Ok(page),
            Listed::OnDemand(revision) => self.engine.range(prefix, after, limit, Some(revision)).await,
        }
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.check_open()?;
        let not_serving = |error: NotServing| StoreError::Unavailable(error.to_string());
        Ticket::current(&self.admission).map_or(Ok(()), |ticket| ticket.check()).map_err(not_serving)?;
        let deadline = self.clock.now() + self.timing.acknowledgement_max;
        let shape = Shape::of(&commit, &self.replica);
        let preconditions = commit.preconditions.clone();
        let sent = within(self.clock.as_ref(), self.timing.acknowledgement_max, self.engine.commit(commit)).await;
        let unknown = || StoreError::Unavailable("it did not answer in time".to_owned());
        match sent.ok_or_else(unknown)?? {
            Outcome::Committed(revision) => {
                self.acknowledge(revision, deadline, shape).await?;
                Ok(Outcome::Committed(revision))
            }
            Outcome::Conflict => {
                // Whoever tries again must see what it lost against, or it would lose again.
                let overtaken = || !preconditions.iter().all(|precondition| self.holds(precondition));
                self.wait(self.timing.renewal, overtaken).await;
                Ok(Outcome::Conflict)
            }
        }
    }

    async fn watch(&self, prefix: &str, behind: Revision) -> Result<Box<dyn Watch>, StoreError> {
        self.engine.watch(prefix, behind).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.check_open()?;
        Ok(self.replica.applied())
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.check_open()?;
        self.closed.store(true, Ordering::Release);
        self.stop();
        // Others wait for this node if it cannot take its leave.
        let _ = within(self.clock.as_ref(), self.timing.serving, self.stopped()).await;
        self.engine.close().await
    }
}

/// How often key material and its index are given the chance to agree.
const ON_DEMAND_ATTEMPTS: u32 = 5;

#[cfg(test)]
mod tests {
    use strongroom_store::MemoryStore;
    use tokio::task::JoinSet;

    use super::*;
    use crate::boot_clock::SystemBootClock;
    use crate::registration::REGISTRATIONS;

    const LAYOUT: Layout = Layout { on_demand: |key| key.starts_with("m/"), incidental: |_| false };

    struct Cluster {
        engine: Arc<dyn Kv>,
        runs: JoinSet<()>,
    }

    impl Cluster {
        fn new() -> Self {
            Self { engine: Arc::new(MemoryStore::new()), runs: JoinSet::new() }
        }

        async fn open(&self, id: &str, start: &str) -> Arc<Node> {
            let identity = Identity { id: id.to_owned(), start: start.to_owned(), name: id.to_owned() };
            let (engine, clock) = (Arc::clone(&self.engine), Arc::new(SystemBootClock));
            Node::open(engine, clock, identity, LAYOUT, Timing::default()).await.unwrap()
        }

        /// A node that serves.
        async fn serving(&mut self, id: &str, start: &str) -> Arc<Node> {
            let node = self.open(id, start).await;
            let run = Arc::clone(&node);
            self.runs.spawn(async move { run.run().await });
            let mut progress = node.replica.progress();
            while node.begin().is_err() {
                // Serving begins with a commit of its own, so something will come by.
                let _ = within(node.clock.as_ref(), Duration::from_millis(20), progress.changed()).await;
            }
            node
        }

        async fn registered(&self) -> Vec<String> {
            let page = self.engine.range(REGISTRATIONS, None, 10, None).await.unwrap();
            page.entries.into_iter().map(|entry| entry.key).collect()
        }
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
        for round in 0..20 {
            let value = round.to_string();
            let revision = put(&one, "k", &value).await;
            assert_eq!(two.get("k").await.unwrap().unwrap().value, value.as_bytes());
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
    async fn a_closed_node_is_not_registered_and_answers_nothing() {
        let mut cluster = Cluster::new();
        let (one, two) = (cluster.serving("a", "1").await, cluster.serving("b", "1").await);
        let ticket = one.begin().unwrap();
        one.stop();
        one.stopped().await;
        assert_eq!(ticket.check(), Err(NotServing));
        assert_eq!(cluster.registered().await, ["node/b-1-1"]);
        put(&two, "k", "1").await;
        one.close().await.unwrap();
        assert!(matches!(one.get("k").await, Err(StoreError::Unavailable(_))));
        assert!(matches!(one.revision().await, Err(StoreError::Unavailable(_))));
        assert!(matches!(one.close().await, Err(StoreError::Unavailable(_))));
    }

    #[tokio::test]
    async fn a_node_that_starts_again_waits_for_no_earlier_start_of_its_own() {
        let mut cluster = Cluster::new();
        cluster.serving("a", "1").await;
        cluster.runs.abort_all();
        let again = cluster.serving("a", "2").await;
        assert_eq!(cluster.registered().await, ["node/a-2-1"]);
        let before = again.clock.now();
        put(&again, "k", "1").await;
        assert!(again.clock.now() - before < Timing::default().silence);
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
}
