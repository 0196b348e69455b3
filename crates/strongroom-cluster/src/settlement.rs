//! When a commit may be acknowledged: when no node can answer any more as if it had not happened.
//!
//! Why that holds. Let R be the commit, and let the writer look at the registrations as they were at a revision ≥ R, which
//! its own replica shows. Of every node there is one of these:
//!
//! * It is registered and has reported R or more. It reports that when its replica is there and no ticket is open that has
//!   not seen every change up to there that counts, so whatever it answers from then on saw R.
//! * It is registered and silent. The writer replaces the registration by an expulsion, comparing its revision; so no renewal
//!   succeeds after that, and the last one that did was sent before. The node serves until that moment + T − margin, the
//!   writer waits T + margin; by the node's own, which its registration says, if they are longer.
//! * It is expelled. Somebody else is waiting, or was; the writer waits as long from the moment it first saw the expulsion.
//!   (Were the record removed at once, this writer would not know that it must wait.)
//! * It is not there. Then it gave up serving before its registration was removed; or T + margin went by after its expulsion;
//!   or it registers later, at a revision above R, and serves only when its replica has that revision.

use std::sync::Arc;
use std::time::Duration;

use strongroom_store::{Commit, Kv, Outcome, Precondition, Revision, StoreError, Write};

use crate::admission::Admission;
use crate::boot_clock::{BootClock, call, within};
use crate::registrar::Registrar;
use crate::registration::Standing;
use crate::replica::{Peer, Replica};
use crate::rules::{Rule, Rules};
use crate::timing::Timing;

/// Waits for other nodes, and expels those that do not answer.
pub(crate) struct Settlement {
    pub(crate) engine: Arc<dyn Kv>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) registrar: Arc<Registrar>,
    pub(crate) clock: Arc<dyn BootClock>,
    pub(crate) timing: Timing,
    pub(crate) rules: Rules,
}

/// What a commit waits for.
enum Next {
    /// Nothing.
    Settled,
    /// Something happens, or this much time goes by.
    Wait(Duration),
    /// A node that does not answer has to be expelled.
    Expel(String, Peer),
}

impl Settlement {
    /// Waits until a commit counts everywhere.
    ///
    /// # Errors
    /// [`StoreError::OutcomeUnknown`] at the deadline, a time of the node's own clock. The change stands.
    pub(crate) async fn settle(&self, revision: Revision, deadline: Duration) -> Result<(), StoreError> {
        let silent_at = self.clock.now() + self.timing.silence;
        let mut progress = self.replica.progress();
        // Only while a test has broken the rule that an expulsion is remembered.
        let mut forgotten = Duration::ZERO;
        loop {
            progress.borrow_and_update();
            let now = self.clock.now();
            if now >= deadline {
                return Err(StoreError::OutcomeUnknown(LATE.to_owned()));
            }
            let wait = match self.next(revision, silent_at, now) {
                Next::Settled if now >= forgotten => return Ok(()),
                Next::Settled => forgotten - now,
                Next::Wait(wait) => wait,
                Next::Expel(key, peer) => {
                    self.expel(key, peer, deadline - now).await;
                    if !self.rules.hold(Rule::ExpulsionIsRemembered) {
                        forgotten = self.clock.now() + self.timing.must_wait();
                    }
                    LOOK_AGAIN
                }
            };
            tokio::select! {
                biased;
                _ = progress.changed() => {}
                () = self.clock.sleep(wait.min(deadline - now)) => {}
            }
        }
    }

    /// Ends the registrations of nodes that are gone, so that no writer has to, and removes what need not be waited for any
    /// more.
    pub(crate) async fn keep(&self) {
        loop {
            self.clock.sleep(self.timing.renewal).await;
            let now = self.clock.now();
            let own = self.registrar.own();
            let gone = self.replica.with_peers(|peers| {
                let others = peers.all.iter().filter(|(key, _)| Some(*key) != own.as_ref());
                let gone = others.filter(|(_, peer)| now.saturating_sub(peer.since) >= self.kept(peer));
                gone.map(|(key, peer)| (key.clone(), peer.clone())).collect::<Vec<_>>()
            });
            for (key, peer) in gone {
                match peer.registration.standing {
                    Standing::Registered => self.expel(key, peer, self.timing.call_max()).await,
                    Standing::Expelled => drop(self.replace(&key, &peer, Write::Delete(key.clone())).await),
                }
            }
        }
    }

    fn next(&self, revision: Revision, silent_at: Duration, now: Duration) -> Next {
        let own = self.registrar.own();
        let mut target = revision;
        let next = self.replica.with_peers(|peers| {
            if peers.applied < revision {
                return Next::Wait(FOR_EVER);
            }
            if !self.rules.hold(Rule::AcknowledgementWaits) {
                return Next::Settled;
            }
            // A commit that changed nothing is as old as the last change that counts. After a load that is the revision of the
            // load, which others report with their next renewal.
            target = revision.min(peers.counted);
            let mut wait = None::<Duration>;
            for (key, peer) in peers.all.iter().filter(|(key, _)| Some(*key) != own.as_ref()) {
                let until = match peer.registration.standing {
                    Standing::Registered if peer.registration.applied >= target.0 => continue,
                    Standing::Registered if now >= silent_at => return Next::Expel(key.clone(), peer.clone()),
                    Standing::Registered => silent_at,
                    Standing::Expelled if !self.rules.hold(Rule::ExpelledIsWaitedFor) => continue,
                    Standing::Expelled => peer.since + peer.registration.must_wait(self.timing),
                };
                if until > now {
                    wait = Some(wait.map_or(until - now, |wait| wait.min(until - now)));
                }
            }
            wait.map_or(Next::Settled, Next::Wait)
        });
        match next {
            Next::Settled => self.own_next(target, now),
            other => other,
        }
    }

    /// The same for this node, whose tickets are known without asking.
    fn own_next(&self, target: Revision, now: Duration) -> Next {
        if !self.rules.hold(Rule::AcknowledgementWaits) || self.admission.reportable().counted >= target {
            return Next::Settled;
        }
        Next::Wait(self.admission.next_revocation().map_or(LOOK_AGAIN, |revocation| revocation.saturating_sub(now)))
    }

    /// How long a registration may stay as it is.
    fn kept(&self, peer: &Peer) -> Duration {
        match peer.registration.standing {
            Standing::Registered => self.timing.serving + self.timing.silence,
            Standing::Expelled => peer.registration.must_wait(self.timing),
        }
    }

    async fn expel(&self, key: String, peer: Peer, limit: Duration) {
        let write = if self.rules.hold(Rule::ExpulsionIsRemembered) {
            Write::Put(key.clone(), peer.registration.expelled().encode())
        } else {
            Write::Delete(key.clone())
        };
        // Cut short or not: the loop looks again at what came of it.
        if within(self.clock.as_ref(), limit, self.replace(&key, &peer, write)).await == Some(true) {
            tracing::warn!(registration = %key, name = %peer.registration.name, "a node does not answer and was expelled");
        }
    }

    /// Writes over a registration that is as it was seen; whether that was done.
    async fn replace(&self, key: &str, peer: &Peer, write: Write) -> bool {
        let preconditions = vec![Precondition::Unchanged(key.to_owned(), peer.revision)];
        let commit = self.engine.commit(Commit { preconditions, writes: vec![write] });
        match call(self.clock.as_ref(), self.timing.call_max(), commit).await {
            Ok(outcome) => matches!(outcome, Outcome::Committed(_)),
            Err(error) => {
                tracing::debug!(%error, registration = %key, "the registration could not be changed");
                false
            }
        }
    }
}

/// Why a change that is committed is not acknowledged.
pub(crate) const LATE: &str = "not every node of the cluster has shown in time that it has applied the change";
/// Nothing but progress ends the waiting, or the deadline.
const FOR_EVER: Duration = Duration::from_secs(3600);
/// When nothing is known that would wake the writer.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
