//! One commit, and what is known about it when no good answer comes.
//!
//! A commit is sent once. It is handed to a second member only if the first has certainly not begun it. What follows then
//! depends on the answer:
//!
//! * *conflict*: etcd compared and did nothing. Another look tells a lost race from a lost store.
//! * *out of space*: etcd 3.4 says so in two cases, before it does anything and after it has done it (the batch that crosses
//!   the quota is applied, and then the alarm is raised). Either way nothing of it is still to come, so reading the
//!   written keys settles which it was, unless others have been there since.
//! * *no answer, or one that says nothing*: the batch may be applied now, later or never, and no read can tell, because
//!   "later" is after the read. [`StoreError::OutcomeUnknown`] says so. Doing the whole thing again from its reads is
//!   safe: preconditions that the first attempt has broken make it a conflict.

use etcd_client::{Compare, CompareOp, Txn, TxnOp};

use super::Inner;
use super::keyspace::{Keyspace, number, revision};
use super::open::{header_revision, keys_only, ranges};
use super::trouble::Trouble;
use crate::{Commit, Outcome, Precondition, Revision, StoreError, Write};

/// Does a commit that is within the limits.
pub(super) async fn commit(inner: &Inner, commit: &Commit) -> Result<Outcome, StoreError> {
    // Every commit that follows has a higher revision.
    let before = inner.newest();
    match inner.members.tell(&transaction(inner, commit)).await {
        Ok(answer) => {
            inner.note(&answer);
            if answer.succeeded() {
                return Ok(Outcome::Committed(Revision(header_revision(&answer))));
            }
            inner.check_format(answer)?;
            Ok(Outcome::Conflict)
        }
        Err(Trouble::Full) => settle(inner, commit, before).await,
        Err(Trouble::Lost(cause)) => Err(StoreError::OutcomeUnknown(cause)),
        Err(trouble) => Err(inner.explain(trouble)),
    }
}

fn transaction(inner: &Inner, commit: &Commit) -> Txn {
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
    inner.fenced_if(preconditions, writes)
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

/// Finds out whether a batch that etcd had no space for was done all the same.
async fn settle(inner: &Inner, commit: &Commit, before: u64) -> Result<Outcome, StoreError> {
    let questions = commit.writes.iter().map(|write| TxnOp::get(inner.keyspace.data(write.key()), None));
    let answer = inner.members.ask(&inner.fenced(questions.collect::<Vec<_>>())).await;
    let answer = answer.map_err(|trouble| StoreError::OutcomeUnknown(trouble.text().to_owned()))?;
    inner.note(&answer);
    if !answer.succeeded() {
        inner.check_format(answer)?;
        return Err(StoreError::OutcomeUnknown(NO_SPACE.to_owned()));
    }
    if header_revision(&answer) <= before {
        // Nobody has done anything since.
        return Err(StoreError::Full);
    }
    let found: Vec<Option<Record>> = ranges(answer)
        .map(|records| records.into_iter().next())
        .map(|record| record.map(|it| Record { modified: revision(it.mod_revision), value: it.value }))
        .collect();
    judge(&commit.writes, &found, Revision(before))
}

/// A key as it is after a batch that etcd had no space for.
struct Record {
    modified: Revision,
    value: Vec<u8>,
}

/// What the keys of a batch say about it, each as it is now. A value is sealed anew for each write: the same bytes are the
/// same write.
fn judge(writes: &[Write], found: &[Option<Record>], before: Revision) -> Result<Outcome, StoreError> {
    // One key that is still as it was proves that nothing was done. That one is not there proves nothing: it may have been
    // made, and removed again by somebody else.
    if found.iter().flatten().any(|record| record.modified <= before) {
        return Err(StoreError::Full);
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
        Some(done_at) if puts.iter().all(|(value, record)| as_written(value, *record)) => {
            Ok(Outcome::Committed(done_at))
        }
        _ => Err(StoreError::OutcomeUnknown(NO_SPACE.to_owned())),
    }
}

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
    fn a_batch_that_was_done_before_etcd_said_that_it_is_full_is_committed() {
        let done = judge(&[put("a"), delete(), put("b")], &[record(11, "a"), None, record(11, "b")], BEFORE);
        assert_eq!(done.unwrap(), Outcome::Committed(Revision(11)));
    }

    #[test]
    fn a_batch_of_which_nothing_is_there_was_not_done() {
        for (writes, found) in [
            (vec![put("a"), put("b")], vec![record(10, "a"), None]),
            (vec![delete(), put("b")], vec![record(9, "x"), record(3, "b")]),
            (vec![delete()], vec![record(10, "x")]),
        ] {
            assert!(matches!(judge(&writes, &found, BEFORE), Err(StoreError::Full)));
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
            assert!(matches!(judge(&writes, &found, BEFORE), Err(StoreError::OutcomeUnknown(_))));
        }
    }
}
