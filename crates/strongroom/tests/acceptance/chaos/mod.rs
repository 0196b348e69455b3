//! Three nodes on three etcd, each on a machine of its own, while machines fail: nothing that was acknowledged is lost, and nothing
//! that was revoked is used. The histories of the clients are searched for a contradiction by an existing checker.
//!
//! One round for each kind of fault; with `STRONGROOM_CHAOS_MINUTES`, rounds for that long.

mod clients;
mod faults;
mod history;
mod machines;
mod members;
mod nodes;

use std::collections::BTreeSet;
use std::process::Child;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use self::clients::{Client, Objects, Round, Service, Tokens, assignment, assignment_path};
use self::faults::Fault;
use self::machines::Network;
use self::members::Members;
use self::nodes::Nodes;
use crate::crash::Dice;
use crate::deployment::files_below;
use crate::environment::{self, now};
use crate::hsm::Hsm;
use crate::rest::Rest;

pub(super) const HSM: &str = "chaos-hsm";

#[test]
fn nothing_acknowledged_is_lost_and_nothing_revoked_is_used_while_machines_fail() {
    // In memory where there is such a place: what a disk does is not the question here.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder");
    let network = Network::lay();
    let mut members = Members::start(&network, folder.path());
    let mut nodes = Nodes::start(&network, folder.path(), &members);
    let other = Principal::make(&nodes.get(0).rest(SETUP_PATIENCE));
    Hsm::activated(&nodes.get(0).rest(SETUP_PATIENCE), HSM);
    let mut dice = Dice::random();
    let mut reports: Vec<Report> = Vec::new();
    let until = environment::chaos().map(|time| now() + time);
    let mut number = 0;
    'all: loop {
        for fault in Fault::ALL {
            number += 1;
            let report = run_round(fault, number, &mut nodes, &mut members, &other, &mut dice);
            println!("{report}");
            reports.push(report);
            if until.is_some_and(|until| now() > until) {
                break 'all;
            }
        }
        if until.is_none() {
            break;
        }
    }
    (0..3).for_each(|index| nodes.get_mut(index).stop());
    audit(&nodes, &reports);
    summarize(&reports);
    // What nodes have logged says nothing of histories, and would hide what follows.
    drop((nodes, members));
    let wrong: Vec<&String> = reports.iter().flat_map(|report| &report.wrong).collect();
    assert!(wrong.is_empty(), "{} histories cannot be:\n{}", wrong.len(), wrong[0]);
    let failed: Vec<&String> =
        reports.iter().filter(|report| report.fault.loses_one()).flat_map(|report| &report.service.failed).collect();
    assert!(failed.is_empty(), "clients that try once more are served when one machine is lost: {failed:#?}");
}

/// What came of a round.
struct Report {
    fault: Fault,
    requests: usize,
    service: Service,
    /// From the first request until clients were told to end.
    time: (Instant, Instant),
    /// How long it took until everything was well again after the fault had ended.
    recovery: Duration,
    wrong: Vec<String>,
}

fn run_round(
    fault: Fault,
    number: usize,
    nodes: &mut Nodes,
    members: &mut Members,
    other: &Principal,
    dice: &mut Dice,
) -> Report {
    let (round, assigned) = prepare(number, &nodes.get(0).rest(SETUP_PATIENCE), other);
    let round = &round;
    let victim = usize::try_from(dice.below(3)).unwrap_or_default();
    let hold = Duration::from_millis(5000 + dice.below(3000));
    let mut seed = || Dice::quiet(dice.below(u64::MAX) | 1);
    let users: Vec<Client<'_>> = (0..3).map(|own| Client::of(round, nodes, own, seed())).collect();
    let changers: Vec<Client<'_>> = (0..3).map(|own| Client::of(round, nodes, own, seed())).collect();
    let governor = Client::of(round, nodes, (victim + 1) % 3, seed());
    let mut last = Client::of(round, nodes, 0, seed());
    let began = now();
    let (recovery, ended) = thread::scope(|scope| {
        // Also if the test fails here: or the clients would go on for ever.
        let end = EndOfRound(round);
        users.into_iter().for_each(|client| drop(scope.spawn(move || client.use_keys())));
        changers.into_iter().for_each(|client| drop(scope.spawn(move || client.change_keys())));
        scope.spawn(|| governor.change_rights(&assigned));
        thread::sleep(CALM);
        fault.happen(nodes, members, victim, hold);
        let over = now();
        members.become_healthy();
        (0..3).for_each(|index| nodes.get_mut(index).become_ready());
        let recovery = over.elapsed();
        round.go_on_until_all_is_changed();
        // Some clients still wait for an answer then.
        let ended = now();
        drop(end);
        (recovery, ended)
    });
    last.look_everywhere();
    let (requests, wrong) = round.history.check();
    let service = std::mem::take(&mut *round.service());
    Report { fault, requests, service, time: (began, ended), recovery, wrong }
}

/// Tells the clients of a round to end.
struct EndOfRound<'a>(&'a Round);

impl Drop for EndOfRound<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
    }
}

/// New keys, and a right that is there.
fn prepare(number: usize, rest: &Rest, other: &Principal) -> (Round, String) {
    let hsm = Hsm::existing(rest, HSM);
    let create = |name: String| {
        let body = json!({"kty": "EC-HSM", "tags": {"n": "0"}});
        let made = hsm.post(&format!("/keys/{name}/create"), &body).expect(200);
        let id = made["key"]["kid"].as_str().expect("an id").to_owned();
        (format!("/keys/{name}"), format!("/keys/{}", id.split_once("/keys/").expect("a key's id").1))
    };
    let keys = (0..2).map(|key| create(format!("r{number}-key-{key}")).1).collect();
    let doomed = (0..2).map(|key| create(format!("r{number}-doomed-{key}")).0).collect();
    let steady = create(format!("r{number}-steady")).1;
    let there = hsm.get("/keys/providers/Microsoft.Authorization/roleAssignments").expect(200);
    for assigned in there["value"].as_array().expect("a list") {
        if assigned["properties"]["principalId"] == *other.id {
            let name = assigned["name"].as_str().expect("a name");
            hsm.send(&Method::DELETE, &assignment_path(name), None).expect(200);
        }
    }
    let name = uuid::Uuid::new_v4().to_string();
    hsm.send(&Method::PUT, &assignment_path(&name), Some(&assignment(&other.id))).expect(201);
    let tokens = Tokens { administrator: rest.token(&rest.hsm_resource()), principal: other.token(rest) };
    (Round::new(Objects { keys, doomed, steady, principal: other.id.clone() }, tokens), name)
}

/// Every acknowledged change stands in the log of a node, and every log is whole.
fn audit(nodes: &Nodes, reports: &[Report]) {
    let mut logged = BTreeSet::new();
    for node in nodes.iter() {
        node.audit();
        for file in files_below(&node.data().join("audit")) {
            let text = std::fs::read_to_string(file).expect("the audit log is text");
            for line in text.lines() {
                let event: Value = serde_json::from_str(line).expect("a line is an object");
                logged.extend(event["eventId"].as_str().map(str::to_owned));
            }
        }
    }
    let acknowledged = reports.iter().flat_map(|report| &report.service.acknowledged);
    let missing: Vec<&String> = acknowledged.filter(|id| !logged.contains(*id)).collect();
    assert!(missing.is_empty(), "{} acknowledged changes are in no audit log: {:?}", missing.len(), missing.first());
}

/// The worst of each fault.
fn summarize(reports: &[Report]) {
    println!("\nworst of each fault:\n{HEAD}");
    for fault in Fault::ALL {
        let of_it = || reports.iter().filter(|report| report.fault == fault);
        let most = |of: fn(&Report) -> u128| of_it().map(of).max().unwrap_or_default();
        let sum = |of: fn(&Report) -> usize| of_it().map(of).sum::<usize>();
        println!(
            "{:34} {:6} {:8} {:8} {:8} {:8} {:8} {:8}",
            fault.name(),
            of_it().count(),
            sum(|report| report.requests),
            sum(|report| report.service.refused),
            sum(|report| report.service.failed.len()),
            most(|report| report.gap(&report.service.used).as_millis()),
            most(|report| report.gap(&report.service.changed).as_millis()),
            most(|report| report.recovery.as_millis()),
        );
    }
    let acknowledged: usize = reports.iter().map(|report| report.service.acknowledged.len()).sum();
    let wrong: usize = reports.iter().map(|report| report.wrong.len()).sum();
    println!("{} rounds, {acknowledged} changes acknowledged, {wrong} histories that cannot be", reports.len());
}

impl Report {
    /// The longest time in which nobody was served, by whichever node.
    fn gap(&self, served: &[Instant]) -> Duration {
        let mut times = vec![self.time.0, self.time.1];
        times.extend(served.iter().filter(|at| **at < self.time.1));
        times.sort_unstable();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {} requests, {} refused once, {} twice; longest without use {:?}, without change {:?}; well after {:?}",
            self.fault.name(),
            self.requests,
            self.service.refused,
            self.service.failed.len(),
            self.gap(&self.service.used),
            self.gap(&self.service.changed),
            self.recovery,
        )
    }
}

/// A program whose right is given and taken.
struct Principal {
    id: String,
    client_id: String,
    secret: String,
}

impl Principal {
    fn make(rest: &Rest) -> Self {
        let graph = rest.variable("STRONGROOM_GRAPH_URL").to_owned();
        let token = rest.token(&graph);
        let post = |path: &str, body: &Value, status: u16| {
            rest.send(&Method::POST, &format!("{graph}/v1.0/{path}"), Some(&token), Some(body)).expect(status)
        };
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let application = post("applications", &json!({"displayName": "chaos"}), 201);
        let principal = post("servicePrincipals", &json!({"appId": application["appId"]}), 201);
        let path = format!("applications/{}/addPassword", text(&application["id"]));
        let password = post(&path, &json!({"passwordCredential": {"displayName": "chaos"}}), 200);
        let (id, client_id) = (text(&principal["id"]), text(&application["appId"]));
        Self { id, client_id, secret: text(&password["secretText"]) }
    }

    fn token(&self, rest: &Rest) -> String {
        let scope = format!("{}/.default", rest.hsm_resource());
        let answer = rest.token_answer(&[
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("client_secret", &self.secret),
            ("scope", &scope),
        ]);
        answer.expect(200)["access_token"].as_str().expect("a token").to_owned()
    }
}

fn signal(process: &Child, what: Signal) {
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, what).expect("the process is there to be signalled");
}

const HEAD: &str = "fault                              rounds requests  refused    twice  use ms chang ms  well ms";
const SETUP_PATIENCE: Duration = Duration::from_secs(30);
/// Before a fault.
const CALM: Duration = Duration::from_millis(1500);
