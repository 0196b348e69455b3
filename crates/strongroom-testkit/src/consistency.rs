//! What may be seen of an object while nodes of a cluster acknowledge changes of it: the consistency page as a specification.
//!
//! Changes of one object are linearizable. What is read of it shows every change that was acknowledged before the request
//! was whole; a change that is not acknowledged yet may show or not, on each node by itself. So a change has two moments in
//! a history: it happens, and, no later than its answer, it is *settled*: from then on nobody sees what was before it. An
//! existing checker searches for an order of all moments that explains the history.

use std::collections::BTreeSet;

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action as Moment, History as Actions};
use todc_utils::specifications::Specification;

/// The settled value, and what was changed since, each under the number of its change. The last is what the next change is
/// judged on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Seen<T> {
    values: Vec<(u64, T)>,
    unsettled: BTreeSet<u64>,
}

impl<T: Copy> Seen<T> {
    /// An object that nobody has changed; its value has the number 0.
    pub fn new(value: T) -> Self {
        Self { values: vec![(0, value)], unsettled: BTreeSet::new() }
    }

    /// The newest value, if there is one.
    pub fn last(&self) -> Option<T> {
        self.values.last().map(|(_, value)| *value)
    }

    /// The same after a change.
    #[must_use]
    pub fn changed(&self, by: u64, value: T) -> Self {
        let mut after = self.clone();
        after.values.push((by, value));
        after.unsettled.insert(by);
        after
    }

    /// The same once a change is acknowledged; `None` if it has not happened yet.
    pub fn settled(&self, by: u64) -> Option<Self> {
        let mut after = self.clone();
        if !after.unsettled.remove(&by) {
            return None;
        }
        // A later change may have been settled already.
        if let Some(place) = after.values.iter().position(|(change, _)| *change == by) {
            after.values.drain(..place);
        }
        Some(after)
    }

    /// Whether somebody may see a value, told with the number of its change, of which this holds.
    pub fn shows(&self, holds: impl Fn(u64, T) -> bool) -> bool {
        self.values.iter().any(|(by, value)| holds(*by, *value))
    }
}

/// What one request did to one object.
#[derive(Debug, Clone)]
pub struct Steps<S> {
    /// When its last byte was sent.
    pub began: u64,
    /// When its answer was there; `None`: never, so it may happen at any time from its beginning on.
    pub end: Option<u64>,
    /// Between the two.
    pub first: S,
    /// At its end.
    pub then: Option<S>,
}

/// Whether there is an order of all requests to one object that its specification allows. The numbers in `began` and `end` are the order
/// in which things happened.
pub fn is_linearizable<S: Specification>(requests: Vec<Steps<S::Operation>>) -> bool
where
    S::Operation: Clone,
{
    let mut moments = Vec::new();
    for (process, Steps { began, end, first, then }) in requests.into_iter().enumerate() {
        let end = end.unwrap_or(u64::MAX);
        moments.push((began, process, Moment::Call(first.clone())));
        moments.push((end, process, Moment::Response(first)));
        if let Some(then) = then {
            moments.push((end, process, Moment::Call(then.clone())));
            moments.push((end, process, Moment::Response(then)));
        }
    }
    moments.sort_by_key(|(at, ..)| *at);
    let moments: Vec<_> = moments.into_iter().map(|(_, process, moment)| (process, moment)).collect();
    moments.is_empty() || WGLChecker::<S>::is_linearizable(Actions::from_actions(moments))
}
