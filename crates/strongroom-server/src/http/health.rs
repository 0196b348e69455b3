//! `GET https://management.<domain>/health`: whether this node serves, and what protects its keys. Below it, `/health/live`
//! for who restarts processes and `/health/ready` for who sends requests; the latter says why not.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use http::{Method, StatusCode};
use serde::Serialize;
use strongroom_api::error::ErrorBody;

use crate::audit_log::checkpoint::PublicJwk;
use crate::http::exchange::{Outbound, json, with_header};

/// What this node says about itself, to anybody who asks.
pub struct Health {
    phase: AtomicU8,
    /// How many managed HSMs wait for their quorum, or [`NOT_COUNTED`].
    sealed: AtomicU64,
    facts: Facts,
    condition: Box<dyn Fn() -> Condition + Send + Sync>,
}

/// What does not change while the node runs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The deployment's id.
    pub deployment: String,
    /// The release.
    pub version: &'static str,
    /// What opens keys after a start: `file`, or `quorum` (protocols.md §1).
    pub root_provider: &'static str,
    /// Whether memory is kept out of swap.
    pub locked_memory: bool,
    /// Whether the kernel was told never to write this process's memory to a core file.
    pub core_dumps_disabled: bool,
    /// What checkpoints of the audit log are verified with.
    pub audit_key: PublicJwk,
}

/// How the node is at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Whether the audit log can be written.
    pub audit_writable: bool,
    /// Whether cryptography goes on: not while the audit log cannot be written, unless `[audit] on_full = "serve"`.
    #[serde(skip)]
    pub cryptography: bool,
    /// The places that did not take the last checkpoint of the audit log, by the name of their setting.
    pub audit_checkpoints_failing: Vec<&'static str>,
    /// The node's part in its cluster, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<InCluster>,
}

/// How a node of a cluster is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InCluster {
    /// Its id.
    pub node: String,
    /// Whether it answers requests.
    pub serving: bool,
    /// How many nodes are registered, as far as it knows.
    pub registered_nodes: usize,
    /// Whether an operator empties it (`strongroom cluster drain`).
    pub draining: bool,
}

impl Condition {
    fn is_serving(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| cluster.serving)
    }

    fn is_draining(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.draining)
    }
}

/// How far a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not everything is there yet.
    Starting,
    /// It serves.
    Ready,
    /// It finishes what it has begun.
    Stopping,
}

impl Phase {
    fn status(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
        }
    }
}

/// Which question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// `/health`.
    Health,
    /// `/health/live`.
    Live,
    /// `/health/ready`.
    Ready,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    status: &'static str,
    /// Managed HSMs that wait for their quorum; absent until they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed_hsms: Option<u64>,
    #[serde(flatten)]
    facts: &'a Facts,
    #[serde(flatten)]
    condition: Condition,
}

#[derive(Serialize)]
struct Short {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
}

impl Question {
    /// The question that a path on the management host asks.
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/health" => Some(Self::Health),
            "/health/live" => Some(Self::Live),
            "/health/ready" => Some(Self::Ready),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("phase", &self.phase).field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Health {
    /// A node that is starting; `condition` is asked at each question.
    pub fn new(facts: Facts, condition: impl Fn() -> Condition + Send + Sync + 'static) -> Self {
        // Under every other provider the machine opens them all.
        let sealed = AtomicU64::new(if facts.root_provider == QUORUM { NOT_COUNTED } else { 0 });
        Self { phase: AtomicU8::new(Phase::Starting as u8), sealed, facts, condition: Box::new(condition) }
    }

    /// Notes how far the node is.
    pub fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Whether every kind of request can be served.
    pub fn is_ready(&self) -> bool {
        reasons(self.phase(), &(self.condition)()).is_empty()
    }

    /// Notes how many managed HSMs wait for their quorum.
    pub fn set_sealed(&self, hsms: u64) {
        self.sealed.store(hsms, Ordering::Release);
    }

    /// `/health`: 200 once the node serves, 503 before and after. `/health/live`: 200 while the process answers at all.
    /// `/health/ready`: 200 while every kind of request can be served, else 503 with the reasons.
    pub fn answer(&self, method: &Method, question: Question) -> Outbound {
        if method != Method::GET && method != Method::HEAD {
            let body = ErrorBody::new("MethodNotAllowed", "Only GET and HEAD are allowed here.");
            return with_header(json(StatusCode::METHOD_NOT_ALLOWED, &body), "allow", "GET, HEAD");
        }
        let condition = (self.condition)();
        let phase = self.phase();
        let code = |well| if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        match question {
            Question::Health => {
                let (code, status) = (code(phase == Phase::Ready), phase.status());
                let sealed_hsms = Some(self.sealed.load(Ordering::Acquire)).filter(|sealed| *sealed != NOT_COUNTED);
                json(code, &Body { status, sealed_hsms, facts: &self.facts, condition })
            }
            Question::Live => json(StatusCode::OK, &Short { status: "live", reasons: Vec::new() }),
            Question::Ready => {
                let reasons = reasons(phase, &condition);
                let status = if reasons.is_empty() { "ready" } else { "notReady" };
                json(code(reasons.is_empty()), &Short { status, reasons })
            }
        }
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            phase if phase == Phase::Starting as u8 => Phase::Starting,
            phase if phase == Phase::Ready as u8 => Phase::Ready,
            _ => Phase::Stopping,
        }
    }
}

/// Why not every kind of request can be served; none if it can.
fn reasons(phase: Phase, condition: &Condition) -> Vec<&'static str> {
    let possible = [
        (phase != Phase::Ready, phase.status()),
        (!condition.cryptography, "auditLogNotWritable"),
        (!condition.is_serving(), "notServing"),
        (condition.is_draining(), "draining"),
    ];
    possible.into_iter().filter_map(|(holds, reason)| holds.then_some(reason)).collect()
}

/// The root provider that opens no managed HSM by itself.
const QUORUM: &str = "quorum";
const NOT_COUNTED: u64 = u64::MAX;

#[cfg(test)]
pub(crate) mod tests {
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use strongroom_crypto::{KeyMaterial, KeySpecification, SystemEntropy};
    use strongroom_types::CurveName;

    use super::*;
    use crate::audit_log::checkpoint::CheckpointKey;

    /// A node that is starting and well.
    pub(crate) fn starting_health() -> Health {
        Health::new(facts(), well)
    }

    /// The same under a root provider.
    pub(crate) fn health_under(root_provider: &'static str) -> Health {
        Health::new(Facts { root_provider, ..facts() }, well)
    }

    fn facts() -> Facts {
        let key = KeyMaterial::generate(KeySpecification::Ec(CurveName::P256), &SystemEntropy).unwrap();
        Facts {
            deployment: "d".to_owned(),
            version: "0",
            root_provider: "file",
            locked_memory: false,
            core_dumps_disabled: true,
            audit_key: CheckpointKey::new(key, String::new()).unwrap().public().clone(),
        }
    }

    fn well() -> Condition {
        Condition { audit_writable: true, cryptography: true, audit_checkpoints_failing: Vec::new(), cluster: None }
    }

    async fn ask(health: &Health, path: &str) -> (u16, Value) {
        let answer = health.answer(&Method::GET, Question::of(path).unwrap());
        let (status, body) = (answer.status().as_u16(), answer.into_body().collect().await.unwrap().to_bytes());
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn readiness_says_why_not() {
        let health = Health::new(facts(), || Condition { audit_writable: false, cryptography: false, ..well() });
        assert_eq!(
            ask(&health, "/health/ready").await,
            (503, json!({"status": "notReady", "reasons": ["starting", "auditLogNotWritable"]}))
        );
        health.set(Phase::Ready);
        assert_eq!(
            ask(&health, "/health/ready").await,
            (503, json!({"status": "notReady", "reasons": ["auditLogNotWritable"]}))
        );
        let (status, body) = ask(&health, "/health").await;
        assert_eq!((status, &body["status"], &body["auditWritable"]), (200, &json!("ready"), &json!(false)));
        assert_eq!(ask(&health, "/health/live").await, (200, json!({"status": "live"})));
    }

    #[tokio::test]
    async fn a_node_of_a_cluster_says_whether_it_serves() {
        for (serving, draining, reasons) in [
            (true, false, json!(null)),
            (false, false, json!(["notServing"])),
            (true, true, json!(["draining"])),
            (false, true, json!(["notServing", "draining"])),
        ] {
            let cluster = InCluster { node: "n".to_owned(), serving, registered_nodes: 2, draining };
            let health = Health::new(facts(), move || Condition { cluster: Some(cluster.clone()), ..well() });
            health.set(Phase::Ready);
            let (status, body) = ask(&health, "/health/ready").await;
            assert_eq!((status == 200, &body["reasons"]), (reasons.is_null(), &reasons));
            assert_eq!(health.is_ready(), reasons.is_null());
            let (status, body) = ask(&health, "/health").await;
            let expected = json!({"node": "n", "serving": serving, "registeredNodes": 2, "draining": draining});
            assert_eq!((status, &body["cluster"]), (200, &expected));
        }
    }

    #[tokio::test]
    async fn a_node_that_serves_all_is_ready_and_one_that_stops_is_not() {
        let health = Health::new(facts(), well);
        health.set(Phase::Ready);
        assert_eq!(ask(&health, "/health/ready").await, (200, json!({"status": "ready"})));
        health.set(Phase::Stopping);
        assert_eq!(ask(&health, "/health/ready").await.1["reasons"], json!(["stopping"]));
        assert_eq!(ask(&health, "/health/live").await.0, 200);
    }
}
