//! One commit, and what is known about it when no good answer comes.
//!
//! It is handed to a second member only if the first has certainly not begun it. What follows then depends on the answer:
//!
//! * *not done*: etcd compared and did nothing. What it shows tells a lost race from a turn that is over ([`turn`]) and from a
//!   lost store.
//! * *out of space*: etcd 3.4 says so in two cases, before it does anything and after it has done it (the batch that crosses
//!   the quota is applied, and then the alarm is raised). Either way nothing of it is still to come, so reading the
//!   written keys settles which it was, unless others have been there since.
//! * *no answer, or one that says nothing*: the batch may be applied now, later or never. So its turn is ended; from then on
//!   nothing of it is still to come either, and the written keys settle it. If it was not done it is sent again.
//!
//! Where even that cannot be found out, [`StoreError::OutcomeUnknown`] says so. Doing the whole thing again from its reads is
//! safe: preconditions that the first attempt has broken make it a conflict.

use etcd_client::{Compare, CompareOp, Txn, TxnOp};

use super::Inner;
use super::keyspace::{Keyspace, number, revision};
use super::open::{header_revision, keys_only, ranges};
use super::trouble::Trouble;
use super::turn;
use crate::{Commit, Outcome, Precondition, Revision, StoreError, Write};

/// Does a commit that is within the limits.
pub(super) async fn commit(inner: &Inner, commit: &Commit) -> Result<Outcome, StoreError> {
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
    // Every commit that follows has a higher revision.
    let (before, turn) = (inner.newest(), inner.turn.now());
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
        Fate::Unknown => Err(unknown("others have written there since")),
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

/// What became of a batch of which nothing is still to come.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Done(Revision),
    NotDone,
    /// Others have written over what would tell.
    Unknown,
}

/// Finds out whether a batch was done of which nothing is still to come.
async fn settle(inner: &Inner, commit: &Commit, before: u64) -> Result<Fate, StoreError> {
    if commit.writes.is_empty() {
        return Ok(Fate::NotDone);
    }
    let questions = commit.writes.iter().map(|write| TxnOp::get(inner.keyspace.data(write.key()), None));
    let answer = inner.members.ask(&inner.fenced(questions.collect::<Vec<_>>())).await;
    let answer = answer.map_err(|trouble| StoreError::OutcomeUnknown(trouble.text().to_owned()))?;
    inner.note(&answer);
    if !answer.succeeded() {
        inner.check_format(answer)?;
        return Ok(Fate::Unknown);
    }
    if header_revision(&answer) <= before {
        // Nobody has done anything since.
        return Ok(Fate::NotDone);
    }
    let found: Vec<Option<Record>> = ranges(answer)
        .map(|records| records.into_iter().next())
        .map(|record| record.map(|it| Record { modified: revision(it.mod_revision), value: it.value }))
        .collect();
    Ok(judge(&commit.writes, &found, Revision(before)))
}

/// A key as it is after the batch.
struct Record {
    modified: Revision,
    value: Vec<u8>,
}

/// What the keys of a batch say about it, each as it is now. A value is sealed anew for each write: the same bytes are the
/// same write.
fn judge(writes: &[Write], found: &[Option<Record>], before: Revision) -> Fate {
    // One key that is still as it was proves that nothing was done. That one is not there proves nothing: it may have been
    // made, and removed again by somebody else.
    if found.iter().flatten().any(|record| record.modified <= before) {
        return Fate::NotDone;
    }
    let puts: Vec<(&Vec<u8>, Option<&Record>)> = writes
        .iter()
        .zip(found)
        .filter_map(|(write, record)| match write {
            Write::Put(_, value) => Some((value, record.as_ref())),
            Write::Delete(_) => None,
        })
        .collect();
    let done_at = puts.first().and_then(|(_, record)| record.map(|record| record.modified));
    let as_written = |value: &Vec<u8>, record: Option<&Record>| {
        record.is_some_and(|record| Some(record.modified) == done_at && record.value == *value)
    };
    match done_at {
        Some(done_at) if puts.iter().all(|(value, record)| as_written(value, *record)) => Fate::Done(done_at),
        _ => Fate::Unknown,
    }
}

/// How often a commit is sent of which nothing was done. Choosing a leader may cost one attempt, and a member that hangs another.
const ATTEMPTS: usize = 4;
const OVERTAKEN: &str = "the answers of so many commits are lost that none can be done";
const NO_SPACE: &str = "etcd is out of space";

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Revision = Revision(10);

    fn put(value: &str) -> Write {
        Write::Put("k".to_owned(), value.into())
    }

    fn delete() -> Write {
        Write::Delete("k".to_owned())
    }

    fn record(modified: u64, value: &str) -> Option<Record> {
        Some(Record { modified: Revision(modified), value: value.into() })
    }

    #[test]
    fn a_batch_that_is_there_was_done() {
        let done = judge(&[put("a"), delete(), put("b")], &[record(11, "a"), None, record(11, "b")], BEFORE);
        assert_eq!(done, Fate::Done(Revision(11)));
    }

    #[test]
    fn a_batch_of_which_nothing_is_there_was_not_done() {
        for (writes, found) in [
            (vec![put("a"), put("b")], vec![record(10, "a"), None]),
            (vec![delete(), put("b")], vec![record(9, "x"), record(3, "b")]),
            (vec![delete()], vec![record(10, "x")]),
        ] {
            assert_eq!(judge(&writes, &found, BEFORE), Fate::NotDone);
        }
    }

    #[test]
    fn what_others_wrote_over_is_unknown() {
        for (writes, found) in [
            (vec![put("a")], vec![record(11, "other")]),
            (vec![put("a"), put("b")], vec![record(11, "a"), record(12, "other")]),
            (vec![put("a"), put("b")], vec![record(11, "a"), None]),
            (vec![put("a"), put("b")], vec![None, record(12, "b")]),
            // Made, and removed by another node.
            (vec![put("a"), put("b")], vec![None, None]),
            (vec![delete()], vec![None]),
            (vec![delete()], vec![record(12, "other")]),
        ] {
            assert_eq!(judge(&writes, &found, BEFORE), Fate::Unknown);
        }
    }
}
