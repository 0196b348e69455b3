//! kill -9 under write load: what was acknowledged is there after the next start, however often it happens.
//!
//! Writers keep a model of what the server has acknowledged. A change whose answer never came may have happened or not;
//! everything else must be exactly as the model says.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _};
use std::thread;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::deployment::{Deployment, files_below};
use crate::environment;
use crate::hsm::Hsm;
use crate::rest::{Answer, Rest};

const HSM: &str = "crash-hsm";

#[test]
fn nothing_acknowledged_is_lost_by_kill_nine() {
    let mut deployment = Deployment::start();
    Hsm::activated(&deployment.rest(), HSM);
    let mut dice = Dice::random();
    let mut models: Vec<Model> = (0..WRITERS).map(Model::new).collect();
    for kill in 1..=environment::kills() {
        let variables = deployment.variables();
        let token = deployment.rest().token(&deployment.rest().hsm_resource());
        let writers: Vec<_> = models
            .drain(..)
            .map(|mut model| {
                let (variables, token, mut dice) = (variables.clone(), token.clone(), Dice(dice.roll()));
                thread::spawn(move || {
                    let rest = Rest::new(variables);
                    model.write_until_the_connection_breaks(&Hsm::with_token(&rest, HSM, token), &mut dice);
                    model
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(dice.below(LOAD_MILLISECONDS_MAX)));
        deployment.kill();
        audit(&deployment);
        models = writers.into_iter().map(|writer| writer.join().expect("every answer was as it should be")).collect();
        deployment.run();
        let report = audit(&deployment);
        assert_eq!(report["gapCount"], kill, "a crash is a gap: {report}");
        let rest = deployment.rest();
        let state = State::read(&Hsm::existing(&rest, HSM));
        for model in &mut models {
            model.settle(&state, kill);
        }
        state.prove_that_a_key_works(&Hsm::existing(&rest, HSM), &mut dice);
    }
    let acknowledged: usize = models.iter().map(|model| model.acknowledged).sum();
    println!("{acknowledged} changes acknowledged over {} kills", environment::kills());
    assert!(acknowledged > environment::kills() as usize, "the writers were hardly writing");
    deployment.stop();
    audit(&deployment);
    let recorded = recorded_changes(&deployment);
    assert!(recorded >= acknowledged, "{acknowledged} changes were acknowledged, {recorded} are in the audit log");
}

/// What `strongroom audit verify` says of a log that must be good, whatever was killed before.
fn audit(deployment: &Deployment) -> Value {
    let mut verify = deployment.command("audit verify");
    let output = verify.arg("--json").output().expect("the built binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the report is JSON")
}

/// The changes of the writers that the audit log tells of, each once.
fn recorded_changes(deployment: &Deployment) -> usize {
    let mut events = BTreeSet::new();
    for file in files_below(&deployment.data().join("audit")) {
        let text = std::fs::read_to_string(file).expect("the audit log is text");
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).expect("a line is an object");
            let operation = event["operationName"].as_str().unwrap_or_default();
            if CHANGES.contains(&operation) && event["resultType"] == "Success" {
                let id = event["eventId"].as_str().expect("an id").to_owned();
                assert!(events.insert(id), "an event stands twice: {event}");
            }
        }
    }
    events.len()
}

/// What a writer knows of its own keys and assignments.
struct Model {
    keys: BTreeMap<String, Key>,
    assignments: BTreeMap<String, bool>,
    /// The change that was sent and not answered.
    in_flight: Option<Change>,
    acknowledged: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Absent,
    Live {
        versions: usize,
    },
    /// Its versions come back with it; no list shows them meanwhile.
    Deleted {
        versions: usize,
    },
}

enum Change {
    Key(String, Key),
    Assignment(String, bool),
}

impl Model {
    fn new(writer: usize) -> Self {
        let keys = (0..KEYS).map(|number| (format!("writer-{writer}-key-{number}"), Key::Absent));
        let guid = |number| format!("00000000-0000-4000-8000-0000000{writer:02}{number:03}");
        let assignments = (0..ASSIGNMENTS).map(|number| (guid(number), false));
        Self { keys: keys.collect(), assignments: assignments.collect(), in_flight: None, acknowledged: 0 }
    }

    fn write_until_the_connection_breaks(&mut self, hsm: &Hsm<'_>, dice: &mut Dice) {
        loop {
            let (request, change) = self.next(dice);
            self.in_flight = Some(change);
            let Ok(answer) = request.send(hsm) else { return };
            assert!(matches!(answer.status, 200 | 201 | 204), "{} {}: {answer:?}", request.method, request.path);
            self.acknowledged += 1;
            match self.in_flight.take() {
                Some(Change::Key(name, state)) => self.keys.insert(name, state).map(drop),
                Some(Change::Assignment(name, there)) => self.assignments.insert(name, there).map(drop),
                None => None,
            };
        }
    }

    /// A change that the present state allows.
    fn next(&self, dice: &mut Dice) -> (Request, Change) {
        if dice.below(4) == 0 {
            let (name, there) = dice.pick(&self.assignments);
            return (Request::assignment(&name, there), Change::Assignment(name, !there));
        }
        let (name, key) = dice.pick(&self.keys);
        let (request, after) = match (key, dice.below(2)) {
            (Key::Absent, _) => (Request::create(&name), Key::Live { versions: 1 }),
            (Key::Live { versions }, 0) if versions < VERSIONS_MAX => {
                (Request::create(&name), Key::Live { versions: versions + 1 })
            }
            (Key::Live { versions }, _) => {
                (Request::new(Method::DELETE, format!("/keys/{name}")), Key::Deleted { versions })
            }
            (Key::Deleted { versions }, 0) => {
                (Request::new(Method::POST, format!("/deletedkeys/{name}/recover")), Key::Live { versions })
            }
            (Key::Deleted { .. }, _) => (Request::new(Method::DELETE, format!("/deletedkeys/{name}")), Key::Absent),
        };
        (request, Change::Key(name, after))
    }

    /// Compares with what the server has, and takes over what became of the change in flight.
    fn settle(&mut self, state: &State, kill: u32) {
        let (mut maybe_key, mut maybe_assignment) = (None, None);
        match self.in_flight.take() {
            Some(Change::Key(name, after)) => maybe_key = Some((name, after)),
            Some(Change::Assignment(name, there)) => maybe_assignment = Some((name, there)),
            None => {}
        }
        for (name, known) in &mut self.keys {
            let found = state.key(name, *known);
            let also = maybe_key.as_ref().filter(|(it, _)| it == name).map(|(_, after)| *after);
            assert!(
                found == *known || Some(found) == also,
                "kill {kill}: {name} is {found:?}, not {known:?} or {also:?}"
            );
            *known = found;
        }
        for (name, known) in &mut self.assignments {
            let found = state.assignments.contains(name);
            let also = maybe_assignment.as_ref().filter(|(it, _)| it == name).map(|(_, there)| *there);
            assert!(found == *known || Some(found) == also, "kill {kill}: assignment {name}: {found}, not {known}");
            *known = found;
        }
    }
}

/// What the server has after a start.
struct State {
    live: BTreeMap<String, usize>,
    deleted: BTreeSet<String>,
    assignments: Vec<String>,
}

impl State {
    fn read(hsm: &Hsm<'_>) -> Self {
        let mut live = BTreeMap::new();
        for item in hsm.list("/keys") {
            let name = name_in(&item, "kid");
            let versions = hsm.list(&format!("/keys/{name}/versions")).len();
            live.insert(name, versions);
        }
        let deleted = hsm.list("/deletedkeys").iter().map(|item| name_in(item, "kid")).collect();
        let path = "/keys/providers/Microsoft.Authorization/roleAssignments";
        let assignments = hsm.get(path).expect(200)["value"].as_array().expect("a list").clone();
        let assignments = assignments.iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect();
        Self { live, deleted, assignments }
    }

    /// How the key is; a deleted one has as many versions as it is known to have had.
    fn key(&self, name: &str, known: Key) -> Key {
        match (self.live.get(name), self.deleted.contains(name), known) {
            (Some(versions), false, _) => Key::Live { versions: *versions },
            (None, true, Key::Live { versions } | Key::Deleted { versions }) => Key::Deleted { versions },
            (None, false, _) => Key::Absent,
            (Some(_), true, _) | (None, true, Key::Absent) => panic!("{name} cannot be deleted: it was {known:?}"),
        }
    }

    /// A key is more than its name in a list: it signs, and its signature is good.
    fn prove_that_a_key_works(&self, hsm: &Hsm<'_>, dice: &mut Dice) {
        if self.live.is_empty() {
            return;
        }
        let (name, _) = dice.pick(&self.live);
        let digest = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let signed = hsm.post(&format!("/keys/{name}/sign"), &json!({"alg": "ES256", "value": digest})).expect(200);
        let proof = json!({"alg": "ES256", "digest": digest, "value": signed["value"]});
        assert_eq!(hsm.post(&format!("/keys/{name}/verify"), &proof).expect(200)["value"], true, "{name}");
    }
}

/// `https://host/keys/NAME` or `https://host/deletedkeys/NAME`, with or without a version.
fn name_in(item: &Value, member: &str) -> String {
    let id = item[member].as_str().expect("an id");
    id.split('/').nth(4).unwrap_or_else(|| panic!("{id} names no key")).to_owned()
}

struct Request {
    method: Method,
    path: String,
    body: Value,
}

impl Request {
    fn new(method: Method, path: String) -> Self {
        Self { method, path, body: json!({}) }
    }

    fn create(name: &str) -> Self {
        Self { method: Method::POST, path: format!("/keys/{name}/create"), body: json!({"kty": "EC-HSM"}) }
    }

    /// Deletes the assignment if it is there, makes it otherwise; the principal is as unique as the name.
    fn assignment(name: &str, there: bool) -> Self {
        let method = if there { Method::DELETE } else { Method::PUT };
        let role =
            "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/21dbd100-6940-42c2-9190-5d6cb909625b";
        let body = json!({"properties": {"roleDefinitionId": role, "principalId": name}});
        Self { method, path: format!("/keys/providers/Microsoft.Authorization/roleAssignments/{name}"), body }
    }

    fn send(&self, hsm: &Hsm<'_>) -> Result<Answer, reqwest::Error> {
        let body = matches!(self.method, Method::POST | Method::PUT).then_some(&self.body);
        hsm.try_send(&self.method, &self.path, body)
    }
}

/// Random choices from a seed that is printed, so that a failure can be looked into.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn random() -> Self {
        Self::seeded(std::collections::hash_map::RandomState::new().build_hasher().finish() | 1)
    }

    /// The same choices each time.
    pub(crate) fn seeded(seed: u64) -> Self {
        println!("seed {seed}");
        Self(seed)
    }

    /// The same for one of many, whose seed was drawn from another one's.
    pub(crate) fn quiet(seed: u64) -> Self {
        Self(seed)
    }

    /// Marsaglia's xorshift; it never reaches zero from another number.
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    pub(crate) fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap_or_default()]
    }

    fn pick<V: Copy>(&mut self, from: &BTreeMap<String, V>) -> (String, V) {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap_or_default();
        let (name, value) = from.iter().nth(at).expect("there is something to pick");
        (name.clone(), *value)
    }
}

/// What writers do, in the words of the audit log.
const CHANGES: [&str; 6] =
    ["KeyCreate", "KeyDelete", "KeyRecover", "KeyPurge", "RoleAssignmentCreate", "RoleAssignmentDelete"];

const WRITERS: usize = 2;

/// Names each writer works on: few, so that every one goes through its life again and again.
const KEYS: usize = 12;

const ASSIGNMENTS: usize = 8;

const VERSIONS_MAX: usize = 20;

const LOAD_MILLISECONDS_MAX: u64 = 250;
