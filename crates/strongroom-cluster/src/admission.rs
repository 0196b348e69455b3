//! Who may be answered: the time until which this node serves, and the tickets of the requests it works on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_store::Revision;

use crate::boot_clock::BootClock;
use crate::replica::Replica;
use crate::rules::{Rule, Rules};

/// This node must not answer at the moment. Another one may; so may this one in a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node of the cluster does not serve at the moment")]
pub struct NotServing;

/// One lock for what must be seen together: whether the node serves, and which snapshots are in use. What is reported as
/// applied is computed under it.
pub(crate) struct Admission {
    state: Mutex<State>,
    replica: Arc<Replica>,
    clock: Arc<dyn BootClock>,
    ticket_max: Duration,
    rules: Rules,
}

#[derive(Default)]
struct State {
    /// Until when the node serves, by its own clock; `None` while it is not registered or not up to date.
    until: Option<Duration>,
    last: u64,
    tickets: BTreeMap<u64, Held>,
    /// The tickets that hold the report back, by the snapshot they were given.
    holding: BTreeSet<(Revision, u64)>,
    not_serving: NotServingTime,
}

struct Held {
    snapshot: Revision,
    taken: Duration,
}

/// What no ticket on an older snapshot holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reportable {
    /// The last change that counts: worth a renewal of its own.
    pub(crate) counted: Revision,
    /// Everything that is applied: what a renewal says that is sent anyway. It may lie ahead of `counted`; a writer that has
    /// loaded everything at such a revision waits for that one.
    pub(crate) applied: Revision,
}

/// How long the node has not served.
#[derive(Default)]
struct NotServingTime {
    before: Duration,
    since: Option<Duration>,
}

/// Leave to answer one request, taken after its last byte has been read and looked at again just before the answer. Dropping
/// it gives it back.
#[derive(Clone)]
pub struct Ticket(Arc<Numbered>);

struct Numbered {
    number: u64,
    snapshot: Revision,
    admission: Arc<Admission>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("number", &self.0.number).field("snapshot", &self.0.snapshot).finish()
    }
}

tokio::task_local! {
    /// The ticket of the request at work; the server's own jobs have none.
    static CURRENT: Ticket;
}

impl Ticket {
    /// The revision the replica was at when the ticket was taken: the request is judged by this or something newer.
    #[cfg(test)]
    pub(crate) fn snapshot(&self) -> Revision {
        self.0.snapshot
    }

    /// Whether the answer may still go out.
    ///
    /// # Errors
    /// [`NotServing`] if the node's time has run out, or the ticket was too old for a change that waited.
    pub fn check(&self) -> Result<(), NotServing> {
        self.0.admission.check(self.0.number)
    }

    /// Does the work of the request; commits in it belong to this ticket.
    pub fn scope<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        CURRENT.scope(self.clone(), work)
    }

    /// The ticket of the request at work, if it is one of this node.
    pub(crate) fn current(admission: &Arc<Admission>) -> Option<Self> {
        CURRENT.try_with(Self::clone).ok().filter(|ticket| Arc::ptr_eq(&ticket.0.admission, admission))
    }

    /// Lets the report go on while the request waits for others to apply what it has committed: or writers would wait for
    /// themselves and for each other. What it answers was decided in its commit.
    pub(crate) fn park(&self) -> Parked<'_> {
        self.0.admission.park(self.0.number);
        Parked(&self.0)
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.admission.close(self.number);
    }
}

/// A ticket that holds nothing back until this is dropped.
pub(crate) struct Parked<'a>(&'a Numbered);

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.admission.resume(self.0.number);
    }
}

impl Admission {
    pub(crate) fn new(replica: Arc<Replica>, clock: Arc<dyn BootClock>, ticket_max: Duration, rules: Rules) -> Self {
        let mut state = State::default();
        state.not_serving.since = Some(clock.now());
        Self { state: Mutex::new(state), replica, clock, ticket_max, rules }
    }

    /// Takes a ticket.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<Ticket, NotServing> {
        let mut state = self.state();
        let now = self.clock.now();
        state.serves(now)?;
        state.last += 1;
        // Read under the lock: a report that is computed later is not older than this.
        let (number, snapshot) = (state.last, self.replica.counted());
        state.tickets.insert(number, Held { snapshot, taken: now });
        state.holding.insert((snapshot, number));
        Ok(Ticket(Arc::new(Numbered { number, snapshot, admission: Arc::clone(self) })))
    }

    /// Until when the node serves, if it does.
    pub(crate) fn until(&self) -> Option<Duration> {
        let state = self.state();
        state.until.filter(|until| self.clock.now() < *until)
    }

    /// How long the node has not served since it started.
    pub(crate) fn time_not_serving(&self) -> Duration {
        let mut state = self.state();
        let now = self.clock.now();
        state.note(now);
        let since = state.not_serving.since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        state.not_serving.before + since
    }

    /// Tickets in use.
    pub(crate) fn tickets(&self) -> usize {
        self.state().tickets.len()
    }

    /// The node serves until then, or longer if it was told so before.
    pub(crate) fn serve(&self, until: Duration) {
        let mut state = self.state();
        let now = self.clock.now();
        state.note(now);
        let served = state.serves(now).is_ok();
        state.until = Some(state.until.map_or(until, |before| before.max(until)));
        state.note(now);
        let begins = !served && state.serves(now).is_ok();
        drop(state);
        if begins {
            self.replica.nudge();
        }
    }

    /// The node's registration is gone: nobody waits for it any more, so nothing that began under it may be answered.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.note(self.clock.now());
        state.until = None;
        state.tickets.clear();
        state.holding.clear();
        state.note(self.clock.now());
        drop(state);
        self.replica.nudge();
    }

    /// What may be reported as applied: no ticket on an older snapshot is open. Tickets that are too old for a change that
    /// waits are revoked.
    pub(crate) fn reportable(&self) -> Reportable {
        let mut state = self.state();
        // Looked at together: nothing that counts lies between the two.
        let (applied, counted) = self.replica.with_peers(|peers| (peers.applied, peers.counted));
        let now = self.clock.now();
        let old = |state: &State, number: &u64| {
            state.tickets.get(number).is_none_or(|held| now.saturating_sub(held.taken) >= self.ticket_max)
        };
        let waited_for = state.holding.range(..(counted, 0)).filter(|(_, number)| old(&state, number));
        let revoked: Vec<(Revision, u64)> = waited_for.copied().collect();
        for place in revoked {
            state.holding.remove(&place);
            state.tickets.remove(&place.1);
        }
        let held_back = state.holding.first().map(|(snapshot, _)| *snapshot).filter(|snapshot| *snapshot < counted);
        match held_back {
            Some(snapshot) if self.rules.hold(Rule::ReportWaitsForTickets) => {
                Reportable { counted: snapshot, applied: snapshot }
            }
            _ => Reportable { counted, applied },
        }
    }

    /// When the next ticket that holds a change back will be too old.
    pub(crate) fn next_revocation(&self) -> Option<Duration> {
        let state = self.state();
        let older = state.holding.range(..(self.replica.counted(), 0));
        older.filter_map(|(_, number)| Some(state.tickets.get(number)?.taken + self.ticket_max)).min()
    }

    fn check(&self, number: u64) -> Result<(), NotServing> {
        let state = self.state();
        state.serves(self.clock.now())?;
        if state.tickets.contains_key(&number) { Ok(()) } else { Err(NotServing) }
    }

    fn close(&self, number: u64) {
        let mut state = self.state();
        let held_back = state.release(number);
        state.tickets.remove(&number);
        drop(state);
        if held_back.is_some_and(|snapshot| snapshot < self.replica.counted()) {
            self.replica.nudge();
        }
    }

    fn park(&self, number: u64) {
        self.state().release(number);
        self.replica.nudge();
    }

    /// From here on the request sees what is applied now.
    fn resume(&self, number: u64) {
        let mut state = self.state();
        let (now, snapshot) = (self.clock.now(), self.replica.counted());
        if let Some(held) = state.tickets.get_mut(&number) {
            *held = Held { snapshot, taken: now };
            state.holding.insert((snapshot, number));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn serves(&self, now: Duration) -> Result<(), NotServing> {
        if self.until.is_some_and(|until| now < until) { Ok(()) } else { Err(NotServing) }
    }

    /// Takes a ticket out of those that hold the report back.
    fn release(&mut self, number: u64) -> Option<Revision> {
        let snapshot = self.tickets.get(&number)?.snapshot;
        self.holding.remove(&(snapshot, number)).then_some(snapshot)
    }

    /// Counts the time without service.
    fn note(&mut self, now: Duration) {
        match (self.until, self.not_serving.since) {
            (Some(until), Some(since)) if now < until => {
                self.not_serving.before += now.saturating_sub(since);
                self.not_serving.since = None;
            }
            (Some(until), None) if now >= until => self.not_serving.since = Some(until),
            (None, None) => self.not_serving.since = Some(now),
            _ => {}
        }
    }
}
