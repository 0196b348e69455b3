//! Several servers on one etcd: what one has acknowledged counts on all of them, and the loss of one costs no request.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::environment::{now, until};
use crate::hsm::Hsm;
use crate::rest::Rest;
use crate::slow_way::slow_way;

const HSM: &str = "shared";

/// Three nodes. Two of them hear of changes only after a while: whoever does not wait for them is found out.
fn three_nodes(configuration: &str) -> Vec<Deployment> {
    let first = Deployment::start_node(configuration);
    let far = || Some(slow_way(first.etcd(), Duration::from_millis(60)));
    let others = [first.another_node(2, far()), first.another_node(3, far())];
    [first].into_iter().chain(others).collect()
}

/// The data plane of the shared HSM as a node shows it.
struct At {
    rest: Rest,
    token: String,
}

impl At {
    fn node(node: &Deployment) -> Self {
        let rest = node.rest();
        let token = rest.token(&rest.hsm_resource());
        Self { rest, token }
    }

    fn hsm(&self) -> Hsm<'_> {
        Hsm::with_token(&self.rest, HSM, self.token.clone())
    }

    fn sign(&self) -> u16 {
        let digest = "A".repeat(43);
        self.hsm().post("/keys/shared/sign", &json!({"alg": "ES256", "value": digest})).status
    }
}

fn create_key(hsm: &Hsm<'_>) -> Value {
    hsm.post("/keys/shared/create", &json!({"kty": "EC-HSM", "crv": "P-256"})).expect(200)
}

#[test]
fn what_one_node_acknowledges_counts_on_the_others_at_once() {
    let mut nodes = three_nodes("");
    let rest = nodes[0].rest();
    Hsm::activated(&rest, HSM);
    create_key(&Hsm::existing(&rest, HSM));
    let at: Vec<At> = nodes.iter().map(At::node).collect();
    for (number, node) in at.iter().enumerate() {
        assert_eq!(node.sign(), 200, "the key is on node {number}");
    }
    for round in 0..ROUNDS {
        let changes = &at[round % at.len()];
        let others: Vec<&At> = (1..at.len()).map(|step| &at[(round + step) % at.len()]).collect();
        let all_say = |expected: u16, after: &str| {
            let together = Barrier::new(others.len());
            thread::scope(|scope| {
                let asked = others.iter().map(|other| {
                    let together = &together;
                    scope.spawn(move || {
                        together.wait();
                        other.sign()
                    })
                });
                for said in asked.collect::<Vec<_>>() {
                    assert_eq!(said.join().expect("an answer"), expected, "in round {round}, after {after}");
                }
            });
        };
        // Every node makes every kind of change.
        match (round / at.len()) % 3 {
            0 => {
                set_enabled(&changes.hsm(), false);
                all_say(403, "a key was disabled");
                set_enabled(&changes.hsm(), true);
            }
            1 => {
                changes.hsm().send(&Method::DELETE, "/keys/shared", None).expect(200);
                all_say(404, "a key was deleted");
                changes.hsm().post("/deletedkeys/shared/recover", &Value::Null).expect(200);
            }
            _ => {
                let roles = key_roles(&changes.hsm());
                for role in &roles {
                    changes.hsm().send(&Method::DELETE, role, None).expect(200);
                }
                all_say(403, "the roles were taken away");
                changes.hsm().grant_key_roles();
            }
        }
        all_say(200, "it was undone");
    }
    for node in &mut nodes {
        node.stop();
    }
}

fn set_enabled(hsm: &Hsm<'_>, enabled: bool) {
    hsm.patch("/keys/shared", &json!({"attributes": {"enabled": enabled}})).expect(200);
}

/// The paths of the assignments that let the bootstrap principal use keys.
fn key_roles(hsm: &Hsm<'_>) -> Vec<String> {
    let assignments = hsm.list("/providers/Microsoft.Authorization/roleAssignments");
    let of_keys = |assignment: &&Value| {
        let definition = assignment["properties"]["roleDefinitionId"].as_str().expect("a role");
        !definition.ends_with(ADMINISTRATOR)
    };
    let path = |assignment: &Value| {
        let name = assignment["name"].as_str().expect("a name");
        format!("/providers/Microsoft.Authorization/roleAssignments/{name}")
    };
    assignments.iter().filter(of_keys).map(path).collect()
}

#[test]
fn whoever_asks_another_node_once_loses_nothing_by_a_killed_one() {
    let mut nodes = three_nodes("");
    let rest = nodes[0].rest();
    Hsm::activated(&rest, HSM);
    create_key(&Hsm::existing(&rest, HSM));
    let load = Load::new(&nodes, 2);
    let victim = &mut nodes[1];
    let (failed, slowest) = load.while_running(|| {
        load.has_answered(WARM);
        victim.kill();
        // Every worker has come by the dead node, and changes have waited for it.
        load.has_answered(WARM);
        load.has_changed(2);
    });
    assert_eq!(failed, Vec::<String>::new());
    println!("the slowest change beside a node that was killed took {slowest:?}");
    let restarted = now();
    victim.run();
    println!("a node that was killed serves again {:?} after its start", restarted.elapsed());
    assert_eq!(At::node(victim).sign(), 200);
    for node in &mut nodes {
        node.stop();
    }
}

#[test]
fn nodes_that_are_restarted_one_after_the_other_fail_no_request() {
    let mut nodes = three_nodes("[public]\ndrain_seconds = 5\n");
    let rest = nodes[0].rest();
    Hsm::activated(&rest, HSM);
    create_key(&Hsm::existing(&rest, HSM));
    // Nobody asks a second node: none is sent to one that has stopped.
    let load = Load::new(&nodes, 1);
    let (failed, slowest) = load.while_running(|| {
        for node in &mut nodes {
            load.has_answered(WARM);
            let watcher = node.rest();
            assert!(watcher.is_ready());
            node.ask_to_stop();
            until("it says that it is not ready", || !watcher.is_ready());
            node.has_stopped();
            node.run();
        }
        load.has_answered(WARM);
    });
    assert_eq!(failed, Vec::<String>::new());
    println!("the slowest change of a restart of all nodes took {slowest:?}");
    for node in &mut nodes {
        node.stop();
    }
}

/// Clients that sign and make changes all the time, on the nodes that say they are ready.
struct Load {
    /// Where each node is, and how many of them a client asks at most.
    nodes: Vec<(BTreeMap<String, String>, Ipv4Addr)>,
    tries: usize,
    ready: Vec<AtomicBool>,
    ends: AtomicBool,
    answered: AtomicUsize,
    changed: AtomicUsize,
    failed: Mutex<Vec<String>>,
    slowest: Mutex<Duration>,
}

impl Load {
    fn new(nodes: &[Deployment], tries: usize) -> Self {
        Self {
            nodes: nodes.iter().map(|node| (nodes[0].variables(), node.ip())).collect(),
            tries,
            ready: nodes.iter().map(|_| AtomicBool::new(true)).collect(),
            ends: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            changed: AtomicUsize::new(0),
            failed: Mutex::default(),
            slowest: Mutex::default(),
        }
    }

    /// Answers with the requests that no node has answered, and how long the slowest change took.
    fn while_running(&self, work: impl FnOnce()) -> (Vec<String>, Duration) {
        thread::scope(|scope| {
            scope.spawn(|| self.watch());
            for worker in 0..WORKERS {
                scope.spawn(move || self.work(worker));
            }
            let _end = End(&self.ends);
            work();
        });
        let failed = self.failed.lock().expect("nobody panics").clone();
        (failed, *self.slowest.lock().expect("nobody panics"))
    }

    fn at(&self, node: usize) -> Rest {
        let (variables, ip) = &self.nodes[node];
        Rest::at(variables.clone(), *ip)
    }

    /// What a load balancer does.
    fn watch(&self) {
        let at: Vec<Rest> = (0..self.nodes.len()).map(|node| self.at(node)).collect();
        while !self.ends.load(Ordering::SeqCst) {
            for (rest, ready) in at.iter().zip(&self.ready) {
                ready.store(rest.is_ready(), Ordering::SeqCst);
            }
            thread::sleep(POLL);
        }
    }

    fn work(&self, worker: usize) {
        let first = self.at(0);
        let token = first.token(&first.hsm_resource());
        let mut number = worker;
        while !self.ends.load(Ordering::SeqCst) {
            number += 1;
            let is_change = worker == 0;
            let begun = now();
            let said = self.ask(&token, number, is_change);
            match said {
                Ok(()) => {
                    self.answered.fetch_add(1, Ordering::SeqCst);
                    if is_change {
                        self.changed.fetch_add(1, Ordering::SeqCst);
                        let mut slowest = self.slowest.lock().expect("nobody panics");
                        *slowest = begun.elapsed().max(*slowest);
                    }
                }
                Err(said) => self.failed.lock().expect("nobody panics").push(said),
            }
        }
    }

    /// One request to a node that is ready, and then to others as often as was agreed. Each has a connection of its own: one that
    /// was kept may be to a node that was restarted since.
    fn ask(&self, token: &str, number: usize, is_change: bool) -> Result<(), String> {
        let count = self.nodes.len();
        let ready = |node: &usize| self.ready[*node].load(Ordering::SeqCst);
        let order: Vec<usize> = (0..count).map(|step| (number + step) % count).filter(ready).collect();
        let mut said = String::new();
        for node in order.into_iter().take(self.tries) {
            let digest = json!({"alg": "ES256", "value": "A".repeat(43)});
            let (method, path, body) = if is_change {
                (Method::PATCH, "/keys/shared", json!({"tags": {"number": number.to_string()}}))
            } else {
                (Method::POST, "/keys/shared/sign", digest)
            };
            let rest = self.at(node);
            match Hsm::with_token(&rest, HSM, token.to_owned()).try_send(&method, path, Some(&body)) {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => said.push_str(&format!("node {node}: {} {}; ", answer.status, answer.text)),
                Err(error) => said.push_str(&format!("node {node}: {error:?}; ")),
            }
        }
        Err(said)
    }

    /// Waits until so many more requests were answered.
    fn has_answered(&self, more: usize) {
        rises(&self.answered, more);
    }

    /// Waits until so many more changes were made.
    fn has_changed(&self, more: usize) {
        rises(&self.changed, more);
    }
}

fn rises(counter: &AtomicUsize, more: usize) {
    let wanted = counter.load(Ordering::SeqCst) + more;
    until("something goes on", || counter.load(Ordering::SeqCst) >= wanted);
}

/// Ends the load, whatever happens to the work.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

const ROUNDS: usize = 100;
const WORKERS: usize = 4;
/// Requests that are enough for every worker to have come by every node.
const WARM: usize = 40;
const POLL: Duration = Duration::from_millis(20);
const ADMINISTRATOR: &str = "a290e904-7015-4bba-90c8-60543313cdb4";
