//! This node's registration: made, renewed, lost and made anew.
//!
//! A renewal is a commit that compares the node's own last one, so it succeeds only if nobody has expelled the node since.
//! That, and nothing else, gives it time to serve: until the moment the renewal was *sent* + T − margin.
//!
//! It also shows a store that went back (an older copy was put in its place): a commit of ours is then not newer than what the
//! replica has applied. Nothing in memory can be relied on after that, and the node ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_store::{Commit, Entry, Kv, Outcome, Precondition, Revision, StoreError, Write};
use tokio::sync::watch;

use crate::admission::Admission;
use crate::boot_clock::{BootClock, call};
use crate::follow::RETRY;
use crate::node::Identity;
use crate::registration::{REGISTRATIONS, Registration, Standing, node_of};
use crate::replica::Replica;
use crate::rules::{Rule, Rules};
use crate::timing::Timing;

/// Keeps this node registered.
pub(crate) struct Registrar {
    pub(crate) engine: Arc<dyn Kv>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) clock: Arc<dyn BootClock>,
    pub(crate) timing: Timing,
    pub(crate) rules: Rules,
    pub(crate) identity: Identity,
    /// The store key of the registration that holds now.
    pub(crate) own: Mutex<Option<String>>,
    /// Somebody waits for a commit of ours to come by.
    pub(crate) asked: AtomicBool,
    pub(crate) stopping: watch::Sender<bool>,
}

/// A registration that was ours when it was last looked at.
struct Held {
    key: String,
    registration: Registration,
    /// The commit that wrote it, which the next renewal compares.
    revision: Revision,
    /// The commit that made it: what is applied up to here was applied by everybody before.
    registered: Revision,
    /// Until when it lets the node serve.
    until: Option<Duration>,
    /// When it is renewed next.
    due: Duration,
}

/// What is left of a registration after something went wrong.
enum Looked {
    Held,
    Lost,
}

impl Registrar {
    /// Registers the node and keeps it registered, under a new name whenever the old one was lost, until it is told to stop.
    pub(crate) async fn run(&self) {
        let mut number = 0_u64;
        while !self.is_stopping() {
            number += 1;
            let Identity { id, start, .. } = &self.identity;
            let key = format!("{REGISTRATIONS}{id}-{start}-{number}");
            self.remove_predecessors().await;
            match self.register(key).await {
                Some(held) => self.keep(held).await,
                None => self.clock.sleep(RETRY).await,
            }
            self.set_own(None);
            self.admission.end();
        }
    }

    /// The store key of the registration that holds now.
    pub(crate) fn own(&self) -> Option<String> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for a renewal now: it shows that everything before it has come by.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
        self.replica.nudge();
    }

    /// Tells the node to give up its registration and end.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
        self.replica.nudge();
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    fn set_own(&self, key: Option<String>) {
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// Removes what an earlier start of this node has left registered: it cannot serve any more.
    async fn remove_predecessors(&self) {
        let Identity { id, start, .. } = &self.identity;
        let of_start = format!("{REGISTRATIONS}{id}-{start}-");
        let left = self.replica.with_peers(|peers| {
            let earlier = |key: &str| node_of(key) == Some(id) && !key.starts_with(&of_start);
            let left = peers.all.iter().filter(|(key, _)| earlier(key));
            left.map(|(key, peer)| (key.clone(), peer.revision)).collect::<Vec<_>>()
        });
        for (key, revision) in left {
            let preconditions = vec![Precondition::Unchanged(key.clone(), revision)];
            let commit = Commit { preconditions, writes: vec![Write::Delete(key)] };
            if let Err(error) = self.call(self.engine.commit(commit)).await {
                tracing::warn!(%error, "an earlier registration of this node could not be removed");
            }
        }
    }

    async fn register(&self, key: String) -> Option<Held> {
        let applied = self.replica.applied();
        let registration = Registration::new(&self.identity, self.admission.reportable().applied, self.timing);
        let preconditions = vec![Precondition::Absent(key.clone())];
        let writes = vec![Write::Put(key.clone(), registration.encode())];
        let sent = self.clock.now();
        let outcome = self.call(self.engine.commit(Commit { preconditions, writes })).await;
        let mut held =
            Held { key, registration, revision: Revision(0), registered: Revision(0), until: None, due: sent };
        match outcome {
            Ok(Outcome::Committed(revision)) => {
                (held.revision, held.registered) = (revision, revision);
                held.until = Some(self.counted_from(sent) + self.timing.may_serve());
                held.due = sent + self.timing.renewal;
            }
            Ok(Outcome::Conflict) => return None,
            Err(error) => {
                tracing::warn!(%error, "the node could not be registered");
                // It may have been, and been expelled since.
                let Looked::Held = self.look(&mut held).await else { return None };
                held.registered = held.revision;
            }
        }
        if self.has_gone_back(applied, held.revision) {
            self.leave(held).await;
            return None;
        }
        tracing::info!(registration = %held.key, revision = %held.revision, "registered in the cluster");
        self.set_own(Some(held.key.clone()));
        Some(held)
    }

    async fn keep(&self, mut held: Held) {
        loop {
            self.wait(&held).await;
            if self.is_stopping() {
                return self.leave(held).await;
            }
            if let Looked::Lost = self.renew(&mut held).await {
                tracing::warn!(registration = %held.key, "this node was expelled from the cluster and registers anew");
                return;
            }
        }
    }

    /// Waits until there is something to report, or the registration must be renewed.
    async fn wait(&self, held: &Held) {
        let mut progress = self.replica.progress();
        loop {
            progress.borrow_and_update();
            self.serve(held);
            let now = self.clock.now();
            let reportable = self.admission.reportable().counted;
            let asked = self.asked.swap(false, Ordering::SeqCst);
            if self.is_stopping() || asked || now >= held.due || reportable.0 > held.registration.applied {
                return;
            }
            let next = self.admission.next_revocation().map_or(held.due, |revocation| revocation.min(held.due));
            tokio::select! {
                biased;
                _ = progress.changed() => {}
                () = self.clock.sleep(next.saturating_sub(now)) => {}
            }
        }
    }

    /// Lets the node serve if its state is not older than its registration.
    fn serve(&self, held: &Held) {
        let up_to_date = self.replica.applied() >= held.registered || !self.rules.hold(Rule::RegistrationIsApplied);
        if let (Some(until), true) = (held.until, up_to_date) {
            self.admission.serve(until);
        }
    }

    async fn renew(&self, held: &mut Held) -> Looked {
        let applied = self.replica.applied();
        let reported = self.admission.reportable().applied.max(Revision(held.registration.applied));
        let registration = held.registration.renewed(reported);
        let preconditions = vec![Precondition::Unchanged(held.key.clone(), held.revision)];
        let writes = vec![Write::Put(held.key.clone(), registration.encode())];
        let sent = self.clock.now();
        match self.call(self.engine.commit(Commit { preconditions, writes })).await {
            Ok(Outcome::Committed(revision)) => {
                held.registration = registration;
                held.revision = revision;
                if self.has_gone_back(applied, revision) {
                    held.until = None;
                    return Looked::Held;
                }
                held.until = Some(self.counted_from(sent) + self.timing.may_serve());
                held.due = sent + self.timing.renewal;
                Looked::Held
            }
            Ok(Outcome::Conflict) => self.look(held).await,
            Err(error) => {
                tracing::warn!(%error, "the registration could not be renewed");
                self.clock.sleep(RETRY).await;
                self.look(held).await
            }
        }
    }

    /// Whether a commit is not newer than what was applied before it was sent. Then the node stops serving, for good.
    fn has_gone_back(&self, applied: Revision, committed: Revision) -> bool {
        if committed > applied {
            return false;
        }
        tracing::error!(%applied, %committed, "the store of the cluster is older than what this node has seen of it");
        self.admission.end();
        self.stop();
        true
    }

    /// Reads the registration back. A renewal that turns out to have happened gives no time; the next one does.
    async fn look(&self, held: &mut Held) -> Looked {
        let Some(entry) = self.find(&held.key).await else { return Looked::Lost };
        let registration = Registration::decode(&entry.value);
        if registration.standing == Standing::Expelled {
            return Looked::Lost;
        }
        held.revision = entry.modified;
        held.registration = registration;
        held.due = self.clock.now();
        Looked::Held
    }

    /// Reads a registration until the engine answers, or the node is told to stop.
    async fn find(&self, key: &str) -> Option<Entry> {
        loop {
            match self.call(self.engine.get(key)).await {
                Ok(found) => return found,
                Err(_) if self.is_stopping() => return None,
                Err(error) => {
                    tracing::warn!(%error, "the registration could not be read");
                    self.clock.sleep(RETRY).await;
                }
            }
        }
    }

    /// Ends the registration, so that nobody waits for this node.
    async fn leave(&self, held: Held) {
        self.admission.end();
        let preconditions = vec![Precondition::Unchanged(held.key.clone(), held.revision)];
        let commit = Commit { preconditions, writes: vec![Write::Delete(held.key)] };
        if let Err(error) = self.call(self.engine.commit(commit)).await {
            tracing::warn!(%error, "the registration could not be removed; others will wait for this node once");
        }
    }

    fn counted_from(&self, sent: Duration) -> Duration {
        if self.rules.hold(Rule::RenewalCountsFromSending) { sent } else { self.clock.now() }
    }

    async fn call<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        call(self.clock.as_ref(), self.timing.call_max(), asked).await
    }
}
