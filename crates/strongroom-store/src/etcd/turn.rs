//! The turn that commits are sent in: how a commit whose answer is lost can be known never to be done any more.
//!
//! Such a commit may be applied now, later or never, and no read can tell, because "later" is after the read. So every commit
//! compares the turn record with what its sender knows of it. Once that record has been written again, nothing that was
//! sent before can be applied any more, and what the keys say then is final. Whoever was not meant by it sends its commit again in
//! the new turn. The record is one for all nodes: it is written only when an answer was lost, and costs others one more round
//! trip then.

use std::sync::atomic::{AtomicU64, Ordering};

use etcd_client::{Compare, CompareOp, TxnOp, TxnResponse};

use super::Inner;
use super::keyspace::{Keyspace, number, revision};
use super::open::{keys_only, ranges};
use super::trouble::Trouble;

/// The modification revision of the turn record, as far as this node knows; 0 before the first.
#[derive(Debug, Default)]
pub(super) struct Turn(AtomicU64);

impl Turn {
    pub(super) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// What the answer to something that was sent in a turn shows. Turns only go forward, whatever order answers come in, unless
    /// the store went back: that alone shows an earlier turn than it was sent in.
    fn note(&self, sent_in: u64, found: u64) {
        if found < sent_in {
            // Somebody may have seen more of that store already.
            let _ = self.0.compare_exchange(sent_in, found, Ordering::AcqRel, Ordering::Acquire);
        } else {
            self.0.fetch_max(found, Ordering::AcqRel);
        }
    }

    /// Whether the answer of a transaction that was not done shows another turn than it was sent in.
    pub(super) fn is_over(&self, sent_in: u64, answer: &TxnResponse) -> bool {
        let found = of_answer(answer);
        self.note(sent_in, found);
        found != sent_in
    }
}

/// That nothing sent in the turns before is to be done.
pub(super) fn fence(keyspace: &Keyspace, turn: u64) -> Compare {
    Compare::mod_revision(keyspace.turn(), CompareOp::Equal, number(turn))
}

/// Ends a turn. When this returns, nothing that was sent in it is done any more.
pub(super) async fn end(inner: &Inner, turn: u64) -> Result<(), Trouble> {
    let question = inner.fenced([keys_only(inner.keyspace.turn())]);
    for _ in 0..ATTEMPTS {
        let write = TxnOp::put(inner.keyspace.turn(), "", None);
        match inner.members.tell(&inner.fenced_if([fence(&inner.keyspace, turn)], [write])).await {
            // Done, or somebody else has ended it: the record shows which turn it is.
            Ok(_) | Err(Trouble::Lost(_)) => {}
            Err(trouble) => return Err(trouble),
        }
        let answer = inner.known(inner.members.ask(&question).await?)?;
        let found = ranges(answer).flatten().next().map_or(0, |record| revision(record.mod_revision).0);
        inner.turn.note(turn, found);
        if found != turn {
            return Ok(());
        }
    }
    Err(Trouble::silence())
}

/// The turn in the second answer of a transaction that was not done.
fn of_answer(answer: &TxnResponse) -> u64 {
    let records = ranges(answer.clone()).nth(1).unwrap_or_default();
    records.first().map_or(0, |record| revision(record.mod_revision).0)
}

/// Answers may be lost here as well.
const ATTEMPTS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_goes_forward_whatever_order_answers_come_in() {
        let turn = Turn::default();
        turn.note(0, 7);
        turn.note(0, 5);
        assert_eq!(turn.now(), 7);
    }

    #[test]
    fn a_store_that_went_back_is_followed() {
        let turn = Turn::default();
        turn.note(0, 500);
        turn.note(500, 20);
        assert_eq!(turn.now(), 20);
        turn.note(20, 30);
        // Sent before it was known.
        turn.note(500, 20);
        assert_eq!(turn.now(), 30);
    }
}
