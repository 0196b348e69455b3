//! Programs that use and change keys and rights through all nodes, and note what they are told.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::history::{History, Request, What};
use super::nodes::Nodes;
use crate::crash::Dice;
use crate::environment::now;
use crate::rest::{Answer, Rest};

/// What the clients of a round share.
pub(super) struct Round {
    pub(super) history: History,
    pub(super) objects: Objects,
    pub(super) tokens: Tokens,
    pub(super) ended: AtomicBool,
    pub(super) service: Mutex<Service>,
    /// The number of the next change.
    next: AtomicU64,
}

/// What they work on.
pub(super) struct Objects {
    /// Switched between enabled and disabled; path with version.
    pub(super) keys: Vec<String>,
    /// Deleted and recovered.
    pub(super) doomed: Vec<String>,
    /// Always enabled: whether the other principal may use it shows its right.
    pub(super) steady: String,
    pub(super) principal: String,
}

/// Tokens for the data plane.
pub(super) struct Tokens {
    pub(super) administrator: String,
    /// Of whom a right is given and taken.
    pub(super) principal: String,
}

/// How the service was.
#[derive(Default)]
pub(super) struct Service {
    /// When something was used.
    pub(super) used: Vec<Instant>,
    /// When a change was acknowledged.
    pub(super) changed: Vec<Instant>,
    /// Requests that one node did not serve.
    pub(super) refused: usize,
    /// Requests that the second node did not serve either.
    pub(super) failed: Vec<String>,
    /// The request ids of acknowledged changes.
    pub(super) acknowledged: Vec<String>,
}

/// A client with a way to each node.
pub(super) struct Client<'a> {
    round: &'a Round,
    nodes: Vec<Rest>,
    own: usize,
    dice: Dice,
}

/// The request was not served.
struct Refused {
    /// What came instead.
    what: String,
    /// Whether it certainly was not done: it never left, or was turned away at the door.
    undone: bool,
}

impl Round {
    pub(super) fn new(objects: Objects, tokens: Tokens) -> Self {
        let (ended, service) = (AtomicBool::new(false), Mutex::default());
        Self { history: History::default(), objects, tokens, ended, service, next: AtomicU64::new(1) }
    }

    pub(super) fn service(&self) -> std::sync::MutexGuard<'_, Service> {
        self.service.lock().expect("no client panics while it notes something")
    }

    /// Everything is well from now on: waits until every object has been changed once more, or there would be rounds that show
    /// nothing.
    pub(super) fn go_on_until_all_is_changed(&self) {
        let well = self.history.moment();
        let give_up = now() + CHANGED_MAX;
        let missing = || {
            let objects = self.objects.keys.iter().chain(&self.objects.doomed).map(String::as_str).chain([RIGHT]);
            let left = objects.filter(|object| self.may_change(object) && !self.history.has_changed(object, well));
            left.collect::<Vec<_>>().join(", ")
        };
        while !missing().is_empty() {
            assert!(now() < give_up, "nobody can change {} although everything is well again", missing());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Unless the outcome of too many changes of that object is unknown.
    fn may_change(&self, object: &str) -> bool {
        self.history.unknown(object) < UNKNOWN_MAX
    }
}

impl<'a> Client<'a> {
    /// One that asks a node first, and another one if that does not serve.
    pub(super) fn of(round: &'a Round, nodes: &Nodes, own: usize, dice: Dice) -> Self {
        Self { round, nodes: nodes.iter().map(|node| node.rest(PATIENCE)).collect(), own, dice }
    }

    /// Uses keys until the round ends.
    pub(super) fn use_keys(mut self) {
        while !self.round.ended.load(Ordering::Acquire) {
            let key = self.dice.choose(&self.round.objects.keys).clone();
            let doomed = self.dice.choose(&self.round.objects.doomed).clone();
            match self.dice.below(4) {
                0 => self.twice(|client, node| client.sign(node, &key)),
                1 => self.twice(|client, node| client.look(node, &key)),
                2 => self.twice(|client, node| client.find(node, &doomed)),
                _ => self.twice(|client, node| client.sign_by_right(node)),
            }
            self.pause();
        }
    }

    /// Switches, deletes and recovers keys until the round ends.
    pub(super) fn change_keys(mut self) {
        while !self.round.ended.load(Ordering::Acquire) {
            let key = self.dice.choose(&self.round.objects.keys).clone();
            let doomed = self.dice.choose(&self.round.objects.doomed).clone();
            let on = self.dice.below(2) == 0;
            match self.dice.below(3) {
                0 => self.change(&doomed, |client, node| client.delete_or_recover(node, &doomed, on)),
                _ => self.change(&key, |client, node| client.switch(node, &key, on)),
            }
            self.pause();
        }
    }

    /// Gives and takes a right until the round ends, always by the same assignment: that one of another name is not there would
    /// not mean that the right is not.
    pub(super) fn change_rights(mut self, assignment: &str) {
        let mut on = true;
        while !self.round.ended.load(Ordering::Acquire) {
            on = !on;
            self.change(RIGHT, |client, node| client.assign(node, assignment, on));
            self.pause();
        }
    }

    /// Asks for a change, unless the outcome of too many others of that object is unknown.
    fn change(&mut self, object: &str, ask: impl Fn(&Self, usize) -> Result<(), Refused>) {
        if self.round.may_change(object) {
            self.twice(ask);
        }
    }

    /// What every node shows in the end.
    pub(super) fn look_everywhere(&mut self) {
        for node in 0..self.nodes.len() {
            let objects = &self.round.objects;
            let mut wrong = Vec::new();
            let mut note = |answer: Result<(), Refused>| wrong.extend(answer.err().map(|refused| refused.what));
            for key in &objects.keys {
                note(self.look(node, key));
                note(self.sign(node, key));
            }
            for doomed in &objects.doomed {
                note(self.find(node, doomed));
            }
            note(self.sign_by_right(node));
            assert!(wrong.is_empty(), "node {node} serves again: {wrong:?}");
        }
    }

    /// Asks the own node, and after a moment another one.
    fn twice(&mut self, ask: impl Fn(&Self, usize) -> Result<(), Refused>) {
        if ask(self, self.own).is_ok() {
            return;
        }
        self.round.service().refused += 1;
        thread::sleep(RETRY_AFTER);
        let other = (self.own + 1) % self.nodes.len();
        if let Err(Refused { what, .. }) = ask(self, other) {
            self.round.service().failed.push(what);
        }
    }

    fn sign(&self, node: usize, key: &str) -> Result<(), Refused> {
        let administrator = &self.round.tokens.administrator;
        self.used(node, key, &Method::POST, &format!("{key}/sign"), administrator, Some(&digest()), |answer| {
            match (answer.status, inner_code(answer).as_str()) {
                (200, _) => Some(What::Saw { on: true }),
                (403, "KeyDisabled") => Some(What::Saw { on: false }),
                _ => None,
            }
        })
    }

    fn look(&self, node: usize, key: &str) -> Result<(), Refused> {
        self.used(node, key, &Method::GET, key, &self.round.tokens.administrator, None, |answer| {
            let number = || answer.json()["tags"]["n"].as_str().and_then(|number| number.parse().ok());
            (answer.status == 200).then(|| What::SawChange { number: number().expect("the key has its tag") })
        })
    }

    fn find(&self, node: usize, key: &str) -> Result<(), Refused> {
        self.used(node, key, &Method::GET, key, &self.round.tokens.administrator, None, |answer| match answer.status {
            200 => Some(What::Saw { on: true }),
            404 => Some(What::Saw { on: false }),
            _ => None,
        })
    }

    fn sign_by_right(&self, node: usize) -> Result<(), Refused> {
        let (path, token) = (format!("{}/sign", self.round.objects.steady), &self.round.tokens.principal);
        self.used(node, RIGHT, &Method::POST, &path, token, Some(&digest()), |answer| match answer.status {
            200 => Some(What::Saw { on: true }),
            403 => Some(What::Saw { on: false }),
            _ => None,
        })
    }

    fn switch(&self, node: usize, key: &str, on: bool) -> Result<(), Refused> {
        let number = self.next();
        let body = json!({"attributes": {"enabled": on}, "tags": {"n": number.to_string()}});
        self.changed(node, key, &Method::PATCH, key, Some(&body), number, on, |answer| {
            (answer.status == 200).then_some(What::Changed { number, on })
        })
    }

    fn delete_or_recover(&self, node: usize, key: &str, on: bool) -> Result<(), Refused> {
        let number = self.next();
        let name = key.trim_start_matches("/keys/");
        let recover = format!("/deletedkeys/{name}/recover");
        let (method, path) = if on { (Method::POST, recover.as_str()) } else { (Method::DELETE, key) };
        self.changed(node, key, &method, path, on.then_some(&json!({})), number, on, |answer| match answer.status {
            200 => Some(What::Changed { number, on }),
            // It is so already.
            404 => Some(What::Saw { on }),
            _ => None,
        })
    }

    fn assign(&self, node: usize, name: &str, on: bool) -> Result<(), Refused> {
        let number = self.next();
        let path = assignment_path(name);
        let body = assignment(&self.round.objects.principal);
        let (method, body) = if on { (Method::PUT, Some(&body)) } else { (Method::DELETE, None) };
        self.changed(node, RIGHT, &method, &path, body, number, on, |answer| match answer.status {
            200 | 201 => Some(What::Changed { number, on }),
            // The attempt before has done it.
            204 | 404 | 409 => Some(What::Saw { on }),
            _ => None,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "a request has that many parts")]
    fn used(
        &self,
        node: usize,
        object: &str,
        method: &Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
        saw: impl Fn(&Answer) -> Option<What>,
    ) -> Result<(), Refused> {
        let began = self.round.history.moment();
        let answer = self.send(node, method, path, token, body)?;
        let end = self.round.history.moment();
        let what = saw(&answer).ok_or_else(|| refused(node, method, path, &answer))?;
        self.round.history.add(Request { object: object.to_owned(), node, began, end, what });
        self.round.service().used.push(now());
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "a request has that many parts")]
    fn changed(
        &self,
        node: usize,
        object: &str,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        number: u64,
        on: bool,
        became: impl Fn(&Answer) -> Option<What>,
    ) -> Result<(), Refused> {
        let began = self.round.history.moment();
        let answer = self.send(node, method, path, &self.round.tokens.administrator, body);
        let end = self.round.history.moment();
        let what = answer.as_ref().ok().and_then(&became).unwrap_or(What::MayHaveChanged { number, on });
        if !answer.as_ref().is_err_and(|refused| refused.undone) {
            self.round.history.add(Request { object: object.to_owned(), node, began, end, what });
        }
        let answer = answer?;
        let mut service = self.round.service();
        match what {
            What::MayHaveChanged { .. } => return Err(refused(node, method, path, &answer)),
            What::Changed { .. } => {
                service.changed.push(now());
                service.acknowledged.push(answer.header("x-ms-request-id").to_owned());
            }
            What::Saw { .. } | What::SawChange { .. } => {}
        }
        Ok(())
    }

    fn send(
        &self,
        node: usize,
        method: &Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Refused> {
        let rest = &self.nodes[node];
        let url = format!("{}{path}?api-version=2025-07-01", rest.hsm_url(super::HSM));
        let answer = rest.try_send(method, &url, Some(token), body).map_err(|error| {
            let what = format!("node {node}: {method} {path}: {error}");
            Refused { what, undone: error.is_connect() }
        })?;
        if answer.status == 503 && answer.json()["error"]["code"] == "NotServing" {
            return Err(Refused { undone: true, ..refused(node, method, path, &answer) });
        }
        Ok(answer)
    }

    fn next(&self) -> u64 {
        self.round.next.fetch_add(1, Ordering::Relaxed)
    }

    fn pause(&mut self) {
        thread::sleep(Duration::from_millis(20 + self.dice.below(60)));
    }
}

/// An assignment of the right to use keys.
pub(super) fn assignment(principal: &str) -> Value {
    let role =
        "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/21dbd100-6940-42c2-9190-5d6cb909625b";
    json!({"properties": {"roleDefinitionId": role, "principalId": principal}})
}

pub(super) fn assignment_path(name: &str) -> String {
    format!("/keys/providers/Microsoft.Authorization/roleAssignments/{name}")
}

fn refused(node: usize, method: &Method, path: &str, answer: &Answer) -> Refused {
    let what = format!("node {node}: {method} {path}: {} {}", answer.status, answer.text);
    Refused { what, undone: false }
}

fn inner_code(answer: &Answer) -> String {
    answer.json()["error"]["innererror"]["code"].as_str().unwrap_or_default().to_owned()
}

fn digest() -> Value {
    json!({"alg": "ES256", "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"})
}

/// The object that the right of the other principal is.
const RIGHT: &str = "right";

/// Longer than an acknowledgement may take.
const PATIENCE: Duration = Duration::from_secs(12);

/// What a node that does not serve says.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Changes of an object whose outcome nobody knows; more make the search for an order of all too long.
const UNKNOWN_MAX: usize = 6;

/// How long clients may need for a change of every object.
const CHANGED_MAX: Duration = Duration::from_secs(60);
