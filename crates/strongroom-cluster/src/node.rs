//! The store's contract over an engine that other nodes use as well.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_store::{
    Commit, Entry, Kv, Look, Outcome, Page, Precondition, Revision, StoreError, Watch, Write, check_key,
};
use tokio::sync::watch;

use crate::admission::{Admission, NotServing, Ticket};
use crate::boot_clock::{BootClock, NO_ANSWER, call, within};
use crate::follow::Follower;
use crate::layout::Layout;
use crate::registrar::Registrar;
use crate::registration::{DRAINS, Registration, refuse_newer};
use crate::replica::{Found, Listed, Replica};
use crate::rules::Rules;
use crate::settlement::{LATE, Settlement};
use crate::timing::{Timing, TimingError};

/// One of several processes on one store.
///
/// As a [`Kv`] it differs from its engine in this: `get`, `get_unless` and `range` of now answer from memory and show every commit that any
/// node has acknowledged, and this node's own; a commit is acknowledged when it counts on every node. `revision` is the engine's:
/// what was committed elsewhere and is not applied here yet counts as well.
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
    told_to_stop: AtomicBool,
    closed: AtomicBool,
}

/// Whether [`Node::run`] is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    NotYet,
    Runs,
    /// After [`Node::stop`].
    Stopped,
    EndedByItself,
}

/// Says that [`Node::run`] has ended, however it does.
struct Ending<'a>(&'a Node);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let told = self.0.told_to_stop.load(Ordering::Acquire);
        self.0.run.send_replace(if told { Run::Stopped } else { Run::EndedByItself });
    }
}

/// Which node this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The same at each start of one node, and no other's. Two processes never have it at once (the data folder it lies in is
    /// locked), so what is registered under it from an earlier start is nobody's.
    pub id: String,
    /// Random, drawn at each start: letters and digits.
    pub start: String,
    /// What people call it: the machine's name.
    pub name: String,
    /// The release that it runs.
    pub release: String,
    /// The newest form of records that it reads and may write. It does not start beside a node that may write a newer one.
    pub records: u32,
}

/// Why a node cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its times cannot work together.
    #[error("the times of the cluster cannot work together")]
    Timing(#[from] TimingError),
    /// The engine could not be read.
    #[error("the store of the cluster cannot be loaded")]
    Store(#[from] StoreError),
    /// Another node may write what this one cannot read.
    #[error("node {name} of release {release} may write records that this release cannot read")]
    NewerNode {
        /// What people call the other node.
        name: String,
        /// The release that it runs.
        release: String,
    },
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
    /// Whether an operator empties it: it serves, but should get no more requests.
    pub draining: bool,
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
    /// [`OpenError`]: times that cannot work together, or what the engine says.
    pub async fn open(
        engine: Arc<dyn Kv>,
        clock: Arc<dyn BootClock>,
        identity: Identity,
        layout: Layout,
        timing: Timing,
    ) -> Result<Arc<Self>, OpenError> {
        Self::open_with(engine, clock, identity, layout, timing, Rules::default()).await
    }

    pub(crate) async fn open_with(
        engine: Arc<dyn Kv>,
        clock: Arc<dyn BootClock>,
        identity: Identity,
        layout: Layout,
        timing: Timing,
        rules: Rules,
    ) -> Result<Arc<Self>, OpenError> {
        timing.check()?;
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
        replica.with_peers(|peers| {
            refuse_newer(peers.all.values().map(|peer| &peer.registration), registrar.identity.records)
        })?;
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
            told_to_stop: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }))
    }

    /// Follows the store, keeps the node registered and looks after the registrations of nodes that are gone, until
    /// [`Node::stop`], or until the store turns out to be older than what was seen of it: then memory holds what never
    /// happened, and the node must be opened anew. Without it the node neither serves nor acknowledges.
    pub async fn run(&self) {
        self.run.send_replace(Run::Runs);
        let _ending = Ending(self);
        tokio::select! {
            biased;
            () = self.registrar.run() => {}
            () = Box::pin(self.follower.run()) => {}
            () = Box::pin(self.settlement.keep()) => {}
        }
    }

    /// Ends [`Node::run`]: the node stops serving and gives up its registration.
    pub fn stop(&self) {
        self.told_to_stop.store(true, Ordering::Release);
        self.registrar.stop();
    }

    /// Whether [`Node::run`] has ended though nobody called [`Node::stop`]: the store went back, or the task was lost.
    pub fn ended_by_itself(&self) -> bool {
        *self.run.borrow() == Run::EndedByItself
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

    /// Whether the node answers requests.
    pub fn is_serving(&self) -> bool {
        self.admission.until().is_some()
    }

    /// Waits until the node answers requests, or the time is up; says whether it does.
    pub async fn serving(&self, limit: Duration) -> bool {
        self.wait(limit, || self.is_serving()).await;
        self.is_serving()
    }

    /// How the node is.
    pub fn status(&self) -> Status {
        let registrations = self
            .replica
            .with_peers(|peers| peers.all.iter().map(|(key, peer)| (key.clone(), peer.registration.clone())).collect());
        Status {
            serving: self.is_serving(),
            applied: self.replica.applied(),
            registrations,
            draining: self.is_draining(),
            not_serving: self.admission.time_not_serving(),
            tickets: self.admission.tickets(),
        }
    }

    /// Takes back that an operator empties this node: it was for an earlier start.
    ///
    /// # Errors
    /// What the store says.
    pub async fn end_drain(&self) -> Result<(), StoreError> {
        if !self.is_draining() {
            return Ok(());
        }
        let writes = vec![Write::Delete(self.drain())];
        self.commit(Commit { preconditions: Vec::new(), writes }).await.map(drop)
    }

    fn is_draining(&self) -> bool {
        self.replica.modified(&self.drain()).is_some()
    }

    fn drain(&self) -> String {
        format!("{DRAINS}{}", self.registrar.identity.id)
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
            let read = call(self.clock.as_ref(), self.timing.call_max(), self.engine.get(key)).await?;
            if let Some(entry) = read.filter(|entry| entry.modified == indexed) {
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

    fn check_key(&self, key: &str) -> Result<(), StoreError> {
        self.check_open()?;
        check_key(key)
    }

    /// Refuses everything once [`Node::run`] has ended: what is in memory may be what never happened, and what it would be written
    /// to another store's.
    fn check_open(&self) -> Result<(), StoreError> {
        self.check_not_closed()?;
        if self.has_run() {
            return Err(StoreError::Unavailable("this node has left the cluster".to_owned()));
        }
        Ok(())
    }

    fn check_not_closed(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("it is closed".to_owned()));
        }
        Ok(())
    }

    fn has_run(&self) -> bool {
        matches!(*self.run.borrow(), Run::Stopped | Run::EndedByItself)
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
        let applied = || self.replica.applied() >= revision;
        self.wait(deadline.saturating_sub(self.clock.now()), applied).await;
        if applied() { Ok(()) } else { Err(StoreError::OutcomeUnknown(LATE.to_owned())) }
    }

    /// A page of the engine.
    async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        let page = self.engine.range(prefix, after, limit, at);
        call(self.clock.as_ref(), self.timing.page_max(), page).await
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
        self.check_key(key)?;
        match self.replica.find(key) {
            Found::Absent => Ok(None),
            Found::Record(entry) => Ok(Some(entry)),
            Found::OnDemand(_) => self.on_demand(key).await,
        }
    }

    async fn get_unless(&self, key: &str, known: Revision) -> Result<Look, StoreError> {
        self.check_key(key)?;
        match self.replica.modified(key) {
            None => Ok(Look::Nothing),
            // The replica never goes back: a store that does ends the node.
            Some(modified) if modified == known => Ok(Look::Unchanged),
            Some(_) => Ok(self.get(key).await?.map_or(Look::Nothing, Look::Entry)),
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
            return self.page(prefix, after, limit, at).await;
        }
        match self.replica.list(prefix, after, limit) {
            Listed::Page(page) => Ok(page),
            Listed::OnDemand(revision) => self.page(prefix, after, limit, Some(revision)).await,
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
        let unknown = || StoreError::OutcomeUnknown(NO_ANSWER.to_owned());
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
        call(self.clock.as_ref(), self.timing.call_max(), self.engine.watch(prefix, behind)).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.check_open()?;
        call(self.clock.as_ref(), self.timing.call_max(), self.engine.revision()).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.check_not_closed()?;
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
mod tests;
