//! What the server counts about itself, and `/metrics`, where Prometheus reads it (OpenMetrics text).
//!
//! It has a listener of its own on loopback, off by default. Names of keys, HSMs, callers and addresses are never part of it:
//! labels are planes, names of operations, classes of statuses.
//!
//! Read first: [`Metrics`].

mod page;
mod sample;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::http::exchange::{Outbound, Plane};

pub use page::MetricsPage;
pub use sample::{ClusterSample, Look, Sample};

/// What is counted as it happens.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<Answered, Counter>,
    durations: Family<Operation, Histogram, fn() -> Histogram>,
    containers: Family<InState, Gauge<u64, AtomicU64>>,
    jobs: Family<Job, Counter>,
    not_answered: Family<Reason, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    plane: &'static str,
    operation: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    plane: &'static str,
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    state: ContainerState,
}

/// How a managed HSM is, as the last round of jobs found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum ContainerState {
    /// Its keys can be used.
    Active,
    /// It waits for its security domain to be downloaded.
    NotActivated,
    /// It waits for a quorum.
    Sealed,
    /// A full restore is under way.
    Restoring,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Job {
    job: JobKind,
}

/// What the server did by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum JobKind {
    /// A key was rotated by its policy.
    Rotated,
    /// A key was purged at the end of its retention.
    Purged,
    /// A round on one HSM or vault failed, or a key could not be rotated.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: NotAnswered,
}

/// Why a node of a cluster answered a request with 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum NotAnswered {
    /// It did not serve when the request had arrived.
    NotServing,
    /// It might not give the answer any more that it had.
    Withheld,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(duration),
            containers: Family::default(),
            jobs: Family::default(),
            not_answered: Family::default(),
        }
    }

    /// A request was answered.
    pub fn answered(&self, plane: &Plane, answer: &Outbound, took: Duration) {
        let (plane, operation) = (self::plane(plane), operation(answer));
        let status = class(answer.status());
        self.requests.get_or_create(&Answered { plane, operation, status }).inc();
        self.durations.get_or_create(&Operation { plane, operation }).observe(took.as_secs_f64());
    }

    /// So many managed HSMs are in this state.
    pub fn containers(&self, state: ContainerState, count: u64) {
        self.containers.get_or_create(&InState { state }).set(count);
    }

    /// The server did so much by itself.
    pub fn did(&self, job: JobKind, count: usize) {
        self.jobs.get_or_create(&Job { job }).inc_by(count as u64);
    }

    /// A node of a cluster answered a request with 503.
    pub fn not_answered(&self, reason: NotAnswered) {
        self.not_answered.get_or_create(&Reason { reason }).inc();
    }

    /// All of it under its names.
    fn register(&self, registry: &mut Registry) {
        let Self { requests, durations, containers, jobs, not_answered } = self;
        registry.register("strongroom_requests", "Requests that were answered", requests.clone());
        registry.register(
            "strongroom_request_duration_seconds",
            "From the first byte of a request's head to its answer",
            durations.clone(),
        );
        registry.register(
            "strongroom_managed_hsms",
            "Managed HSMs by state, as of the last round of jobs",
            containers.clone(),
        );
        registry.register("strongroom_jobs", "What the server did by itself", jobs.clone());
        registry.register(
            "strongroom_cluster_requests_refused",
            "Requests that a node of a cluster refused because it did not serve, or not any more",
            not_answered.clone(),
        );
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn duration() -> Histogram {
    Histogram::new(BUCKETS)
}

/// What an answer is an answer to.
pub(crate) fn operation(answer: &Outbound) -> &'static str {
    answer.body().operation().unwrap_or(NO_OPERATION)
}

/// A plane without the name of an HSM or a vault.
pub(crate) fn plane(plane: &Plane) -> &'static str {
    match plane {
        Plane::Authority => "authority",
        Plane::Management => "management",
        Plane::Graph => "graph",
        Plane::ManagedHsm(_) => "managedhsm",
        Plane::Vault(_) => "vault",
        Plane::Metadata => "metadata",
        Plane::Monitoring => "monitoring",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500.. => "5xx",
    }
}

/// Requests that were refused before it was known what they ask for.
const NO_OPERATION: &str = "none";
/// Seconds: an AES unwrap takes well under a millisecond, the generation of an RSA key seconds.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

#[cfg(test)]
mod tests;
