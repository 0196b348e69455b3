//! Client assertions that have been used, until they end by themselves (RFC 7523 §3, point 7).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use strongroom_core::identity::token::{ParsedToken, SKEW_SECONDS};
use strongroom_types::Timestamp;
use uuid::Uuid;

use crate::authority::refusal::{AssertionProblem, Refusal};

/// The assertions seen by this node.
#[derive(Default)]
pub(super) struct Replays {
    seen: Mutex<HashMap<[u8; 32], Timestamp>>,
}

impl Replays {
    /// Remembers an assertion of a client that ends at `expires`.
    ///
    /// # Errors
    /// [`AssertionProblem::Replayed`] if it has been seen, [`Refusal::Busy`] if no more can be remembered.
    pub(super) fn remember(&self, client: Uuid, jti: &str, expires: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        let id = ParsedToken::hash(&format!("{client}/{jti}"));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.get(&id).is_some_and(|ends| *ends > now) {
            return Err(Refusal::WrongAssertion(AssertionProblem::Replayed));
        }
        if seen.len() >= SEEN_MAX {
            seen.retain(|_, ends| *ends > now);
        }
        if seen.len() >= SEEN_MAX {
            return Err(Refusal::Busy);
        }
        // It counts a little beyond its end, so it is remembered as long.
        seen.insert(id, expires.plus_seconds(SKEW_SECONDS));
        Ok(())
    }
}

/// Most assertions remembered: 5 MiB.
const SEEN_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_counts_once_until_it_has_ended() {
        let (replays, now) = (Replays::default(), Timestamp::from_seconds(1000));
        let expires = now.plus_seconds(600);
        let client = Uuid::from_u128(1);
        replays.remember(client, "a", expires, now).unwrap();
        let again = |at| replays.remember(client, "a", expires, at);
        let refused = again(expires.plus_seconds(SKEW_SECONDS - 1));
        assert!(matches!(refused, Err(Refusal::WrongAssertion(AssertionProblem::Replayed))));
        replays.remember(client, "b", expires, now).unwrap();
        replays.remember(Uuid::from_u128(2), "a", expires, now).unwrap();
        again(expires.plus_seconds(SKEW_SECONDS)).unwrap();
    }

    #[test]
    fn what_cannot_be_remembered_is_refused_and_what_has_ended_makes_room() {
        let (replays, now) = (Replays::default(), Timestamp::from_seconds(1000));
        for number in 0..SEEN_MAX {
            replays.remember(Uuid::nil(), &number.to_string(), now.plus_seconds(600), now).unwrap();
        }
        let one_more = |at: Timestamp| replays.remember(Uuid::nil(), "more", at.plus_seconds(600), at);
        assert!(matches!(one_more(now), Err(Refusal::Busy)));
        one_more(now.plus_seconds(600 + SKEW_SECONDS)).unwrap();
    }
}
