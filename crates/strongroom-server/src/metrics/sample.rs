//! What is not counted but looked at whenever somebody asks.

use std::fmt;
use std::pin::Pin;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// How things are at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Requests at work.
    pub requests_at_work: u64,
    /// Jobs that wait for a thread of the fast lane of the crypto pool: private operations of RSA.
    pub fast_jobs: u64,
    /// Jobs that wait for the thread of the slow lane: making of RSA keys.
    pub slow_jobs: u64,
    /// Jobs that were refused because a lane was full.
    pub refused_jobs: u64,
    /// Verified tokens that are remembered.
    pub tokens: u64,
    /// Tokens that were remembered when they were presented.
    pub token_hits: u64,
    /// Tokens that had to be verified.
    pub token_misses: u64,
    /// Events that wait to be written to the audit log.
    pub audit_waiting: u64,
    /// The number of the audit log's last line.
    pub audit_lines: u64,
    /// 1 while the audit log can be written.
    pub audit_writable: u64,
    /// Places that did not take the last checkpoint.
    pub audit_checkpoints_failing: u64,
    /// The store's revision: it counts commits.
    pub store_revision: u64,
    /// 1 while every kind of request can be served.
    pub ready: u64,
    /// The node's part in its cluster, if it has one.
    pub cluster: Option<ClusterSample>,
}

/// How a node of a cluster is at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ClusterSample {
    /// 1 while it answers requests.
    pub serving: u64,
    /// Nodes that are registered, as far as it knows.
    pub registered_nodes: u64,
    /// The revision up to which it has applied all changes.
    pub applied_revision: u64,
    /// How long it has not served since it started.
    pub not_serving_seconds: f64,
}

/// Looks at how things are.
pub type Look = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Sample> + Send>> + Send + Sync>;

impl Collector for Sample {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Self {
            requests_at_work,
            fast_jobs,
            slow_jobs,
            refused_jobs,
            tokens,
            token_hits,
            token_misses,
            audit_waiting,
            audit_lines,
            audit_writable,
            audit_checkpoints_failing,
            store_revision,
            ready,
            cluster,
        } = *self;
        let gauges = [
            ("requests_at_work", "Requests at work", requests_at_work),
            ("crypto_queue_fast_jobs", "Private operations that wait for a thread", fast_jobs),
            ("crypto_queue_slow_jobs", "Key generations that wait for a thread", slow_jobs),
            ("token_cache_tokens", "Verified tokens that are remembered", tokens),
            ("audit_waiting_events", "Events that wait to be written to the audit log", audit_waiting),
            ("audit_last_sequence", "Number of the last line of the audit log", audit_lines),
            ("audit_writable", "1 while the audit log can be written", audit_writable),
            (
                "audit_checkpoints_failing",
                "Places that did not take the last checkpoint of the audit log",
                audit_checkpoints_failing,
            ),
            ("store_revision", "Revision of the store; it counts commits", store_revision),
            ("ready", "1 while every kind of request can be served", ready),
        ];
        for (name, help, value) in gauges {
            one(&mut encoder, name, help, &ConstGauge::new(value))?;
        }
        let counters = [
            ("crypto_jobs_refused", "Jobs that were refused because too many were waiting", refused_jobs),
            ("token_cache_hits", "Tokens that were remembered when they were presented", token_hits),
            ("token_cache_misses", "Tokens that had to be verified", token_misses),
        ];
        for (name, help, value) in counters {
            one(&mut encoder, name, help, &ConstCounter::new(value))?;
        }
        cluster.map_or(Ok(()), |cluster| cluster.encode(&mut encoder))
    }
}

impl ClusterSample {
    fn encode(self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Self { serving, registered_nodes, applied_revision, not_serving_seconds } = self;
        let gauges = [
            ("cluster_serving", "1 while this node answers requests", serving),
            ("cluster_registered_nodes", "Nodes that are registered, as far as this one knows", registered_nodes),
            ("cluster_applied_revision", "Revision up to which this node has applied all changes", applied_revision),
        ];
        for (name, help, value) in gauges {
            one(encoder, name, help, &ConstGauge::new(value))?;
        }
        let help = "Time that this node has not served since it started";
        one(encoder, "cluster_not_serving_seconds", help, &ConstCounter::new(not_serving_seconds))
    }
}

fn one(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, metric: &impl EncodeMetric) -> fmt::Result {
    let name = format!("strongroom_{name}");
    metric.encode(encoder.encode_descriptor(&name, help, None, metric.metric_type())?)
}
