//! What the clients of a cluster did and saw.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom_testkit::consistency::{Seen, Steps, is_linearizable};
use todc_utils::specifications::Specification;

/// The requests of one round, to all objects.
#[derive(Default)]
pub(super) struct History {
    moment: AtomicU64,
    requests: Mutex<Vec<Request>>,
}

/// A request to an object, and what its answer said.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) object: String,
    /// The node it was sent to.
    pub(super) node: usize,
    pub(super) began: u64,
    pub(super) end: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The object is on or off from now on; the change has a number of its own.
    Changed { number: u64, on: bool },
    /// The same, and nobody knows whether it happened.
    MayHaveChanged { number: u64, on: bool },
    /// The object is on, or off.
    Saw { on: bool },
    /// The object is as that change has left it.
    SawChange { number: u64 },
}

impl History {
    /// Something happens now. Before a request is sent, and after its answer is there.
    pub(super) fn moment(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn add(&self, request: Request) {
        self.requests.lock().expect("no client panics while it adds").push(request);
    }

    /// How many changes of an object may or may not have happened.
    pub(super) fn unknown(&self, object: &str) -> usize {
        let requests = self.requests.lock().expect("no client panics while it adds");
        let unknown =
            |request: &&Request| request.object == object && matches!(request.what, What::MayHaveChanged { .. });
        requests.iter().filter(unknown).count()
    }

    /// Whether a change of an object was acknowledged that was asked for after that moment.
    pub(super) fn has_changed(&self, object: &str, after: u64) -> bool {
        let requests = self.requests.lock().expect("no client panics while it adds");
        let changed = |what: What| matches!(what, What::Changed { .. });
        requests.iter().any(|it| it.object == object && it.began > after && changed(it.what))
    }

    /// What cannot be, object by object; and how many requests were looked at.
    pub(super) fn check(&self) -> (usize, Vec<String>) {
        let requests = self.requests.lock().expect("the clients have ended").clone();
        let mut objects: Vec<&str> = requests.iter().map(|request| request.object.as_str()).collect();
        objects.sort_unstable();
        objects.dedup();
        let mut wrong = Vec::new();
        for object in objects {
            let mut story: Vec<&Request> = requests.iter().filter(|request| request.object == object).collect();
            if !is_linearizable::<Switch>(story.iter().map(|request| request.steps()).collect()) {
                story.sort_by_key(|request| request.began);
                let mut text = format!("the history of {object} cannot be:\n");
                for Request { node, began, end, what, .. } in story {
                    let _ = writeln!(text, "  {began:6} – {end:6}  node {node}  {what:?}");
                }
                wrong.push(text);
            }
        }
        (requests.len(), wrong)
    }
}

impl Request {
    fn steps(&self) -> Steps<Step> {
        let (began, end) = (self.began, Some(self.end));
        match self.what {
            What::Changed { number, on } => {
                Steps { began, end, first: Step::Changed(number, on), then: Some(Step::Settled(number)) }
            }
            What::MayHaveChanged { number, on } => {
                Steps { began, end: None, first: Step::Changed(number, on), then: None }
            }
            What::Saw { on } => Steps { began, end, first: Step::Saw(on), then: None },
            What::SawChange { number } => Steps { began, end, first: Step::SawChange(number), then: None },
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Changed(u64, bool),
    Settled(u64),
    Saw(bool),
    SawChange(u64),
}

/// An object that is on or off; on at first.
struct Switch;

impl Specification for Switch {
    type State = Seen<bool>;
    type Operation = Step;

    fn init() -> Seen<bool> {
        Seen::new(true)
    }

    fn apply(step: &Step, state: &Seen<bool>) -> (bool, Seen<bool>) {
        match step {
            Step::Changed(number, on) => (true, state.changed(*number, *on)),
            Step::Settled(number) => {
                state.settled(*number).map_or_else(|| (false, state.clone()), |after| (true, after))
            }
            Step::Saw(on) => (state.shows(|_, seen| seen == *on), state.clone()),
            Step::SawChange(number) => (state.shows(|by, _| by == *number), state.clone()),
        }
    }
}

/// The check itself is checked: histories that can be, and others that cannot.
#[test]
fn a_history_that_breaks_the_promise_is_found() {
    let wrong = |requests: &[(u64, u64, What)]| {
        let history = History::default();
        for (began, end, what) in requests {
            history.add(Request { object: "key".to_owned(), node: 0, began: *began, end: *end, what: *what });
        }
        !history.check().1.is_empty()
    };
    let (off, on) = (What::Changed { number: 1, on: false }, What::Changed { number: 2, on: true });
    let (saw_on, saw_off) = (What::Saw { on: true }, What::Saw { on: false });
    assert!(!wrong(&[(1, 4, off), (2, 3, saw_on), (5, 6, saw_off)]), "before it is acknowledged it may show or not");
    assert!(!wrong(&[(1, 6, off), (2, 3, saw_off), (4, 5, saw_on)]), "on each node by itself");
    assert!(wrong(&[(1, 2, off), (3, 4, saw_on)]), "what was acknowledged is bypassed");
    assert!(wrong(&[(1, 2, off), (3, 4, on), (5, 6, What::SawChange { number: 1 })]), "an acknowledged change is lost");
    assert!(wrong(&[(1, 2, saw_off), (3, 4, off)]), "it shows before it was asked for");
    let lost = What::MayHaveChanged { number: 1, on: false };
    assert!(!wrong(&[(1, 2, lost), (3, 4, saw_on), (5, 6, saw_off), (7, 8, saw_off)]), "it may happen later");
    assert!(wrong(&[(1, 2, lost), (3, 4, on), (5, 6, What::SawChange { number: 0 })]), "but nothing older comes back");
}
