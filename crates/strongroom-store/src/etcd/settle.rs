//! What became of a batch of which nothing is still to come: it was done once, or never.
//!
//! Its keys tell. A batch is done whole, and a value is sealed anew for each write: the same bytes are the same write. So one
//! value that is found as it was written, since it was sent, proves that the batch was done; and one key that is still as it was
//! before proves that it was not. If the keys show neither (they are new and not there, or others have written over them), their
//! history since then does.
//!
//! Some records are not sealed. A registration, and the mark of a node that is emptied, are each written alone: to find one as
//! it was sent, after it was sent, is as good as to have written it then. A copy of a store writes the bytes of another one, and
//! doing that twice is as good as once (`docs/decisions/0017-lost-answers.md`).

use etcd_client::{GetOptions, TxnOp, TxnResponse};

use super::Inner;
use super::keyspace::{number, revision};
use super::open::{header_revision, ranges};
use super::trouble::Trouble;
use crate::{COMMIT_OPERATIONS_MAX, Commit, Revision, StoreError, Write};

/// What became of a batch of which nothing is still to come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Done(Revision),
    NotDone,
    /// What can be read does not tell.
    Unknown,
}

/// Finds out whether a batch was done of which nothing is still to come. If it was, its revision is higher than `before`.
pub(super) async fn settle(inner: &Inner, commit: &Commit, before: u64) -> Result<Fate, StoreError> {
    if commit.writes.is_empty() {
        return Ok(Fate::NotDone);
    }
    // Whatever keeps the keys from being read, what became of the batch is not known.
    find(inner, &commit.writes, before).await.map_err(|trouble| StoreError::OutcomeUnknown(trouble.text().to_owned()))
}

async fn find(inner: &Inner, writes: &[Write], before: u64) -> Result<Fate, Trouble> {
    let questions = writes.iter().map(|write| TxnOp::get(inner.keyspace.data(write.key()), None));
    let answer = ask(inner, questions.collect()).await?;
    let newest = header_revision(&answer);
    if newest < before {
        // The store went back: it tells nothing of what was seen of it before.
        return Ok(Fate::Unknown);
    }
    if newest == before {
        // Nobody has done anything since.
        return Ok(Fate::NotDone);
    }
    let found: Vec<Option<Record>> = ranges(answer)
        .map(|records| records.into_iter().next())
        .map(|record| record.map(|it| Record { modified: revision(it.mod_revision), value: it.value }))
        .collect();
    match judge(writes, &found, Revision(before)) {
        Fate::Unknown => search(inner, writes, before, newest).await,
        fate => Ok(fate),
    }
}

/// A key as it is after the batch.
struct Record {
    modified: Revision,
    value: Vec<u8>,
}

/// What the keys of a batch say about it, each as it is now.
fn judge(writes: &[Write], found: &[Option<Record>], before: Revision) -> Fate {
    // That a key is not there proves nothing: it may have been made, and removed again by somebody else.
    if found.iter().flatten().any(|record| record.modified <= before) {
        return Fate::NotDone;
    }
    let written = writes.iter().zip(found).find_map(|(write, record)| match (write, record) {
        (Write::Put(_, value), Some(record)) if record.value == *value => Some(record.modified),
        _ => None,
    });
    written.map_or(Fate::Unknown, Fate::Done)
}

/// Looks for a value of the batch in all that its key has been since: every revision at which it may have been done.
async fn search(inner: &Inner, writes: &[Write], before: u64, newest: u64) -> Result<Fate, Trouble> {
    let puts = writes.iter().filter_map(|write| match write {
        Write::Put(key, value) => Some((key, value)),
        Write::Delete(_) => None,
    });
    let Some((key, value)) = puts.min_by_key(|(_, value)| value.len()) else { return Ok(Fate::Unknown) };
    if newest.saturating_sub(before) > REVISIONS_MAX {
        return Ok(Fate::Unknown);
    }
    let written_at = |at: u64| {
        let options = GetOptions::new().with_revision(number(at)).with_min_mod_revision(number(at));
        TxnOp::get(inner.keyspace.data(key), Some(options))
    };
    let revisions: Vec<u64> = (before + 1..=newest).collect();
    for some in revisions.chunks(COMMIT_OPERATIONS_MAX) {
        let answer = ask(inner, some.iter().copied().map(written_at).collect()).await?;
        if let Some(record) = ranges(answer).flatten().find(|record| record.value == *value) {
            return Ok(Fate::Done(revision(record.mod_revision)));
        }
    }
    Ok(Fate::NotDone)
}

async fn ask(inner: &Inner, questions: Vec<TxnOp>) -> Result<TxnResponse, Trouble> {
    inner.members.ask(&inner.fenced(questions)).await.and_then(|answer| inner.known(answer))
}

/// Most revisions that are looked at. Where more is done in the seconds that this takes, it stays unknown.
const REVISIONS_MAX: u64 = 1000;

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
    fn a_batch_of_which_a_value_is_there_was_done() {
        for (writes, found) in [
            (vec![put("a"), delete(), put("b")], vec![record(11, "a"), None, record(11, "b")]),
            // Others have been at the rest of it.
            (vec![put("a"), put("b")], vec![record(11, "a"), record(12, "other")]),
            (vec![put("a"), put("b")], vec![record(11, "a"), None]),
            (vec![put("a"), put("b")], vec![None, record(11, "b")]),
        ] {
            assert_eq!(judge(&writes, &found, BEFORE), Fate::Done(Revision(11)));
        }
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
    fn what_others_wrote_over_tells_nothing() {
        for (writes, found) in [
            (vec![put("a")], vec![record(11, "other")]),
            // Made, and removed by another node; or never made.
            (vec![put("a"), put("b")], vec![None, None]),
            (vec![delete()], vec![None]),
            (vec![delete()], vec![record(12, "other")]),
        ] {
            assert_eq!(judge(&writes, &found, BEFORE), Fate::Unknown);
        }
    }
}
