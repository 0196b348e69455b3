//! One commit, and what is known about it when no good answer comes.
//!
//! It is handed to a second member only if the first has certainly not begun it. What follows then depends on the answer:
//!
//! * *not done*: etcd compared and did nothing. What it shows tells a lost race from a turn that is over ([`turn`]) and from a
//!   lost store.
//! * *out of space*: etcd 3.4 says so in two cases, before it does anything and after it has done it (the batch that crosses
//!   the quota is applied, and then the alarm is raised). Either way nothing of it is still to come, so the written keys
//!   tell which it was ([`settle`]).
//! * *no answer, or one that says nothing*: the batch may be applied now, later or never. So its turn is ended; from then on
//!   nothing of it is still to come either, and the written keys tell. If it was not done it is sent again.
//!
//! Where even that cannot be found out, or not in time, [`StoreError::OutcomeUnknown`] says so. Doing the whole thing again from
//! its reads is safe: preconditions that the first attempt has broken make it a conflict.

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use tokio::time::timeout;

use super::Inner;
use super::keyspace::{Keyspace, number};
use super::open::{header_revision, keys_only};
use super::settle::{Fate, settle};
use super::trouble::{SILENCE, Trouble};
use super::turn;
use crate::{Commit, Outcome, Precondition, Revision, StoreError, Write};

/// Does a commit that is within the limits, in [`LIMITS`] time limits at most.
pub(super) async fn commit(inner: &Inner, commit: &Commit) -> Result<Outcome, StoreError> {
    let done = timeout(inner.members.options().timeout * LIMITS, attempts(inner, commit)).await;
    done.unwrap_or_else(|_| Err(StoreError::OutcomeUnknown(SILENCE.to_owned())))
}

async fn attempts(inner: &Inner, commit: &Commit) -> Result<Outcome, StoreError> {
    let mut last = StoreError::Unavailable(OVERTAKEN.to_owned());
    for _ in 0..ATTEMPTS {
        match attempt(inner, commit).await? {
            Attempt::Ended(outcome) => return Ok(outcome),
            Attempt::NeverDone(why) => last = why,
        }
    }
    Err(last)
}

/// What came of sending a commit once.
enum Attempt {
    Ended(Outcome),
    /// Nothing of it was done, and nothing will be: it may be sent again.
    NeverDone(StoreError),
}

async fn attempt(inner: &Inner, commit: &Commit) -> Result<Attempt, StoreError> {
    let (before, turn) = (before(inner, commit), inner.turn.now());
    match inner.members.tell(&transaction(inner, turn, commit)).await {
        Ok(answer) => {
            inner.note(&answer);
            if answer.succeeded() {
                return Ok(Attempt::Ended(Outcome::Committed(Revision(header_revision(&answer)))));
            }
            let over = inner.turn.is_over(turn, &answer);
            inner.check_format(answer)?;
            if over {
                return Ok(Attempt::NeverDone(StoreError::Unavailable(OVERTAKEN.to_owned())));
            }
            Ok(Attempt::Ended(Outcome::Conflict))
        }
        Err(Trouble::Full) => match settle(inner, commit, before).await? {
            Fate::Done(revision) => Ok(Attempt::Ended(Outcome::Committed(revision))),
            Fate::NotDone => Err(StoreError::Full),
            Fate::Unknown => Err(StoreError::OutcomeUnknown(NO_SPACE.to_owned())),
        },
        Err(Trouble::Lost(cause)) => after_silence(inner, commit, before, turn, cause).await,
        Err(trouble) => Err(inner.explain(trouble)),
    }
}

/// What a commit that is sent now has a higher revision than, if it is done: all that was seen, and what it depends on.
fn before(inner: &Inner, commit: &Commit) -> u64 {
    let unchanged = commit.preconditions.iter().filter_map(|precondition| match precondition {
        Precondition::Unchanged(_, Revision(modified)) => Some(*modified),
        Precondition::Absent(_) => None,
    });
    unchanged.fold(inner.newest(), u64::max)
}

/// Ends the turn in which the commit was sent, and looks at what there is of it.
async fn after_silence(
    inner: &Inner,
    commit: &Commit,
    before: u64,
    turn: u64,
    cause: String,
) -> Result<Attempt, StoreError> {
    let unknown = |why: &str| StoreError::OutcomeUnknown(format!("{cause}; {why}"));
    turn::end(inner, turn).await.map_err(|trouble| unknown(trouble.text()))?;
    match settle(inner, commit, before).await? {
        Fate::Done(revision) => Ok(Attempt::Ended(Outcome::Committed(revision))),
        Fate::NotDone => Ok(Attempt::NeverDone(StoreError::Unavailable(cause))),
        Fate::Unknown => Err(unknown("what was done since does not tell")),
    }
}

fn transaction(inner: &Inner, turn: u64, commit: &Commit) -> Txn {
    let keyspace = &inner.keyspace;
    let preconditions = commit.preconditions.iter().map(|precondition| comparison(keyspace, precondition));
    let writes = commit.writes.iter().map(|write| match write {
        Write::Put(key, value) => TxnOp::put(keyspace.data(key), value.clone(), None),
        Write::Delete(key) => TxnOp::delete(keyspace.data(key), None),
    });
    let mut writes: Vec<TxnOp> = writes.collect();
    if writes.is_empty() {
        // Without any question etcd would answer from what this one member knows, which may be old.
        writes.push(keys_only(keyspace.format()));
    }
    inner.fenced_if([turn::fence(keyspace, turn)].into_iter().chain(preconditions), writes)
}

fn comparison(keyspace: &Keyspace, precondition: &Precondition) -> Compare {
    match precondition {
        Precondition::Absent(key) => Compare::create_revision(keyspace.data(key), CompareOp::Equal, 0),
        // etcd would take an absent key for one that was last written at 0. A version is never below 0.
        Precondition::Unchanged(key, Revision(0)) => Compare::version(keyspace.data(key), CompareOp::Less, 0),
        Precondition::Unchanged(key, Revision(modified)) => {
            Compare::mod_revision(keyspace.data(key), CompareOp::Equal, number(*modified))
        }
    }
}

/// How often a commit is sent of which nothing was done. Choosing a leader may cost one attempt, and a member that hangs another.
const ATTEMPTS: usize = 4;
/// How many time limits all attempts may take together: to lose an answer, to end its turn (two), to read the keys (two), and to
/// send it again.
pub(super) const LIMITS: u32 = 6;
const OVERTAKEN: &str = "the answers of so many commits are lost that none can be done";
const NO_SPACE: &str = "etcd is out of space";
