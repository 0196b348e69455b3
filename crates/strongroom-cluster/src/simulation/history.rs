//! What clients did and saw, and whether that can be: the promise as a check.
//! [`strongroom_testkit::consistency`] says what the promise is for one object.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::sync::{Mutex, MutexGuard};

use strongroom_store::Revision;
use strongroom_testkit::consistency::{Seen, Steps, is_linearizable};
use todc_utils::specifications::Specification;

use super::model::{self, Action, Answer, KeyState};

#[derive(Default)]
pub(super) struct History(Mutex<Recorded>);

#[derive(Default)]
struct Recorded {
    /// Counts what happens, so that everything has an order.
    moment: u64,
    acknowledged: Revision,
    operations: BTreeMap<u64, Operation>,
    violations: Vec<String>,
}

/// A request from its last byte to its answer.
#[derive(Debug, Clone)]
struct Operation {
    principal: usize,
    kind: Kind,
    began: u64,
    end: Option<End>,
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Use { key: usize },
    Change { key: usize, action: Action },
    Role { of: usize, role: Option<u64> },
}

#[derive(Debug, Clone, Copy)]
struct End {
    at: u64,
    outcome: Outcome,
}

/// How it ended for the client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    /// By the right of an assignment.
    Answered {
        answer: Answer,
        assignment: Option<u64>,
    },
    /// A role was given or taken; which one was there before.
    RoleChanged {
        ended: Option<u64>,
        assignment: Option<u64>,
    },
    Forbidden,
    /// Nothing happened, and nothing was said.
    Nothing,
}

/// How much a history holds; a check of an empty one proves nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) answered: usize,
    pub(super) forbidden: usize,
    pub(super) unknown: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.answered += other.answered;
        self.forbidden += other.forbidden;
        self.unknown += other.unknown;
    }
}

impl History {
    /// A request is whole.
    pub(super) fn begin(&self, principal: usize, kind: Kind) -> u64 {
        let mut recorded = self.recorded();
        let began = recorded.next();
        recorded.operations.insert(began, Operation { principal, kind, began, end: None });
        began
    }

    /// It was answered.
    pub(super) fn end(&self, operation: u64, outcome: Outcome) {
        let mut recorded = self.recorded();
        let at = recorded.next();
        if let Some(operation) = recorded.operations.get_mut(&operation) {
            operation.end = Some(End { at, outcome });
        }
    }

    /// A commit was acknowledged by a node.
    pub(super) fn acknowledge(&self, revision: Revision) {
        let mut recorded = self.recorded();
        recorded.acknowledged = recorded.acknowledged.max(revision);
    }

    pub(super) fn acknowledged(&self) -> Revision {
        self.recorded().acknowledged
    }

    pub(super) fn violation(&self, text: String) {
        self.recorded().violations.push(text);
    }

    pub(super) fn counts(&self) -> Counts {
        let recorded = self.recorded();
        let mut counts = Counts::default();
        for operation in recorded.operations.values() {
            match operation.end.map(|end| end.outcome) {
                Some(Outcome::Answered { .. } | Outcome::RoleChanged { .. }) => counts.answered += 1,
                Some(Outcome::Forbidden) => counts.forbidden += 1,
                Some(Outcome::Nothing) => {}
                None => counts.unknown += 1,
            }
        }
        counts
    }

    /// Everything that cannot be. Of requests that were never answered, those that never happened are left out: they explain
    /// nothing, and make the search long.
    pub(super) fn check(&self, happened: impl Fn(u64) -> bool) -> Vec<String> {
        let mut recorded = self.recorded();
        recorded.operations.retain(|number, operation| operation.end.is_some() || happened(*number));
        let mut violations = recorded.violations.clone();
        let operations: Vec<&Operation> = recorded.operations.values().collect();
        violations.extend(no_answer_by_a_right_whose_end_was_acknowledged(&operations));
        let keys: BTreeSet<usize> = operations.iter().filter_map(|operation| operation.key()).collect();
        for key in keys {
            let requests = operations.iter().filter_map(|operation| operation.key_steps(key)).collect();
            if !is_linearizable::<KeySpecification>(requests) {
                let story: Vec<&&Operation> =
                    operations.iter().filter(|operation| operation.key() == Some(key)).collect();
                violations.push(format!("the history of key {key} cannot be: {story:#?}"));
            }
        }
        let principals: BTreeSet<usize> = operations.iter().map(|operation| operation.principal).collect();
        for principal in principals {
            let requests = operations.iter().filter_map(|operation| operation.role_steps(principal)).collect();
            if !is_linearizable::<RoleSpecification>(requests) {
                violations.push(format!("the history of the rights of {principal} cannot be: {operations:#?}"));
            }
        }
        violations
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap()
    }
}

impl Recorded {
    fn next(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }
}

impl Operation {
    fn key(&self) -> Option<usize> {
        match self.kind {
            Kind::Use { key } | Kind::Change { key, .. } => Some(key),
            Kind::Role { .. } => None,
        }
    }

    fn key_steps(&self, of: usize) -> Option<Steps<KeyStep>> {
        if self.key() != Some(of) {
            return None;
        }
        let (began, life, end) = (self.began, self.began, self.end.map(|end| end.at));
        let look = |first| Some(Steps { began, end, first, then: None });
        match (self.kind, self.end.map(|end| end.outcome)) {
            (Kind::Use { .. }, Some(Outcome::Answered { answer, .. })) => look(KeyStep::Used(answer)),
            (Kind::Change { action, .. }, Some(Outcome::Answered { answer, .. })) => match answer {
                Answer::Done(..) | Answer::Some | Answer::Purged => {
                    let first = KeyStep::Changed { life, action, answer: Some(answer) };
                    Some(Steps { began, end, first, then: Some(KeyStep::Settled(life)) })
                }
                refusal => look(KeyStep::Refused { action, answer: refusal }),
            },
            (Kind::Change { action, .. }, None) => look(KeyStep::Changed { life, action, answer: None }),
            _ => None,
        }
    }

    fn role_steps(&self, principal: usize) -> Option<Steps<RoleStep>> {
        let outcome = self.end.map(|end| end.outcome);
        let (began, end) = (self.began, self.end.map(|end| end.at));
        let change = |role, settled: bool| {
            let then = settled.then_some(RoleStep::Settled(self.began));
            Some(Steps { began, end: end.filter(|_| settled), first: RoleStep::Changed(began, role), then })
        };
        match (self.kind, outcome) {
            (Kind::Role { of, role }, None) if of == principal => change(role, false),
            (Kind::Role { of, role }, Some(Outcome::RoleChanged { .. })) if of == principal => change(role, true),
            // A change by this principal was judged in its commit; a use when it was answered.
            (Kind::Use { .. }, Some(Outcome::Answered { assignment, .. })) if self.principal == principal => {
                Some(Steps { began, end, first: RoleStep::Used(assignment), then: None })
            }
            (_, Some(Outcome::Forbidden)) if self.principal == principal => {
                Some(Steps { began, end, first: RoleStep::Forbidden, then: None })
            }
            _ => None,
        }
    }
}

/// A use by a right is not answered once the end of that right is acknowledged; a change by it is not even if it began after.
fn no_answer_by_a_right_whose_end_was_acknowledged(operations: &[&Operation]) -> Vec<String> {
    let mut ended = BTreeMap::new();
    for operation in operations {
        if let Some(End { at, outcome: Outcome::RoleChanged { ended: Some(assignment), .. } }) = operation.end {
            ended.insert(assignment, at);
        }
    }
    let too_late = |operation: &&&Operation| {
        let Some(End { at, outcome }) = operation.end else { return false };
        let (assignment, judged) = match (operation.kind, outcome) {
            (Kind::Use { .. }, Outcome::Answered { assignment, .. }) => (assignment, at),
            (_, Outcome::Answered { assignment, .. } | Outcome::RoleChanged { assignment, .. }) => {
                (assignment, operation.began)
            }
            _ => return false,
        };
        assignment.and_then(|assignment| ended.get(&assignment)).is_some_and(|end| judged > *end)
    };
    let late = operations.iter().filter(too_late);
    late.map(|operation| format!("answered by a right whose end was acknowledged: {operation:?}")).collect()
}

#[derive(Debug, Clone)]
enum KeyStep {
    /// `None`: nobody was told how it ended.
    Changed {
        life: u64,
        action: Action,
        answer: Option<Answer>,
    },
    Settled(u64),
    Used(Answer),
    /// A change that was refused for the state the key was seen in.
    Refused {
        action: Action,
        answer: Answer,
    },
}

struct KeySpecification;

impl Specification for KeySpecification {
    type State = Seen<Option<KeyState>>;
    type Operation = KeyStep;

    fn init() -> Self::State {
        Seen::new(None)
    }

    fn apply(step: &KeyStep, state: &Self::State) -> (bool, Self::State) {
        let unchanged = |valid| (valid, state.clone());
        match step {
            KeyStep::Changed { life, action, answer } => match model::change(state.last().flatten(), *action, *life) {
                Ok((after, done)) if answer.is_none_or(|told| told.tells(done)) => (true, state.changed(*life, after)),
                Ok(_) => unchanged(false),
                // It was refused, and the client does not know.
                Err(_) => unchanged(answer.is_none()),
            },
            KeyStep::Settled(life) => state.settled(*life).map_or_else(|| unchanged(false), |after| (true, after)),
            KeyStep::Used(answer) => unchanged(state.shows(|_, key| answer.tells(model::used(key)))),
            KeyStep::Refused { action, answer } => {
                unchanged(state.shows(|_, key| model::change(key, *action, 0).is_err_and(|refusal| refusal == *answer)))
            }
        }
    }
}

#[derive(Debug, Clone)]
enum RoleStep {
    Changed(u64, Option<u64>),
    Settled(u64),
    Used(Option<u64>),
    Forbidden,
}

struct RoleSpecification;

impl Specification for RoleSpecification {
    type State = Seen<Option<u64>>;
    type Operation = RoleStep;

    fn init() -> Self::State {
        Seen::new(None)
    }

    fn apply(step: &RoleStep, state: &Self::State) -> (bool, Self::State) {
        match step {
            RoleStep::Changed(by, role) => (true, state.changed(*by, *role)),
            RoleStep::Settled(by) => state.settled(*by).map_or_else(|| (false, state.clone()), |after| (true, after)),
            RoleStep::Used(None) => (state.shows(|_, seen| seen.is_some()), state.clone()),
            RoleStep::Used(role) => (state.shows(|_, seen| seen == *role), state.clone()),
            RoleStep::Forbidden => (state.shows(|_, seen| seen.is_none()), state.clone()),
        }
    }
}
