//! How a running server is, for those who watch it.

use std::sync::Arc;

use strongroom_cluster::{Standing, Status};
use strongroom_core::ports::AuditSink;
use strongroom_store::Kv;
use strongroom_types::NodeId;
use tokio::sync::Semaphore;

use crate::audit_log::{AuditLog, CheckpointKeeper};
use crate::authentication::{Authenticator, TokenCacheStatus};
use crate::config::Settings;
use crate::crypto_pool::{PoolStatus, ThreadPool};
use crate::data_dir::DataDir;
use crate::http::health::{Condition, Health, InCluster};
use crate::http::limits::REQUESTS_MAX;
use crate::http::observers::Observers;
use crate::membership::Membership;
use crate::metrics::{ClusterSample, Look, Sample};
use crate::serve::deployment::Opened;
use crate::serve::error::StartError;
use crate::serve::trust::Trust;
use crate::tasks::Tasks;

/// Who is told of every answer.
#[cfg_attr(not(feature = "otlp"), expect(unused_variables, reason = "only OpenTelemetry needs them"))]
pub(super) fn observers(
    folder: &DataDir,
    settings: &Settings,
    opened: &Opened,
    trust: &Trust,
    version: &'static str,
    tasks: &Tasks,
) -> Result<Observers, StartError> {
    #[cfg(feature = "otlp")]
    let observers = {
        use crate::audit_log;
        use crate::telemetry::{AuditPlaces, Source, begin};
        let source = Source { deployment: opened.core.deployment().id.to_string(), version };
        let places = AuditPlaces { folder: folder.join(audit_log::FOLDER), position: folder.join("otlp-position") };
        let begin = |endpoint| begin(endpoint, source, places, trust.roots.outside(), tasks);
        Observers { spans: settings.otlp_endpoint.as_ref().map(begin).transpose()?, ..Observers::default() }
    };
    #[cfg(not(feature = "otlp"))]
    let observers = Observers::default();
    Ok(observers)
}

/// The parts that are looked at.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) audit: Arc<AuditLog>,
    pub(super) keeper: Arc<CheckpointKeeper>,
    pub(super) store: Arc<dyn Kv>,
    pub(super) pool: Arc<ThreadPool>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) health: Arc<Health>,
    /// What requests at work hold permits of.
    pub(super) at_work: Arc<Semaphore>,
    pub(super) membership: Membership,
}

impl Watched {
    /// For the metrics page.
    pub(super) fn look(self) -> Look {
        Box::new(move || {
            let watched = self.clone();
            Box::pin(async move { watched.sample().await })
        })
    }

    async fn sample(&self) -> Sample {
        let TokenCacheStatus { tokens, hits, misses } = self.authenticator.token_cache();
        let PoolStatus { fast, slow, refused } = self.pool.status();
        let audit = self.audit.status();
        Sample {
            requests_at_work: REQUESTS_MAX.saturating_sub(self.at_work.available_permits()) as u64,
            fast_jobs: fast,
            slow_jobs: slow,
            refused_jobs: refused,
            tokens,
            token_hits: hits,
            token_misses: misses,
            audit_waiting: audit.waiting as u64,
            audit_lines: audit.written,
            audit_writable: u64::from(!audit.is_failing),
            audit_checkpoints_failing: self.keeper.failing().len() as u64,
            store_revision: self.store.revision().await.map_or(0, |revision| revision.0),
            ready: u64::from(self.health.is_ready()),
            cluster: self.membership.status().map(|status| ClusterSample {
                serving: u64::from(status.serving),
                registered_nodes: registered(&status) as u64,
                applied_revision: status.applied.0,
                not_serving_seconds: status.not_serving.as_secs_f64(),
            }),
        }
    }
}

fn registered(status: &Status) -> usize {
    let standing = status.registrations.iter().map(|(_, registration)| registration.standing);
    standing.filter(|standing| *standing == Standing::Registered).count()
}

/// How the node is, whenever somebody asks for its health.
pub(super) fn condition(
    audit: &Arc<AuditLog>,
    keeper: &Arc<CheckpointKeeper>,
    membership: &Membership,
    node: NodeId,
) -> impl Fn() -> Condition + Send + Sync + 'static {
    let (audit, keeper, membership) = (Arc::clone(audit), Arc::clone(keeper), membership.clone());
    move || Condition {
        audit_writable: !audit.status().is_failing,
        cryptography: audit.accepts(),
        audit_checkpoints_failing: keeper.failing(),
        cluster: membership.status().map(|status| InCluster {
            node: node.to_string(),
            serving: status.serving,
            registered_nodes: registered(&status),
            draining: status.draining,
        }),
    }
}
