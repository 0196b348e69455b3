//! The life of a server: start in a fixed order, serve, stop without losing anything.
//!
//! ```text
//! folder → hardening → sockets → store → node of a cluster → root → deployment → rollback check → core → directory, subscription, CA
//!        → listeners → client.env (ready) → … → SIGTERM → requests in flight → audit log → node, store
//! ```
//! Sockets are bound early, so that a taken port leaves everything as it was; connections wait until all is there.

mod adoption;
mod blobs;
mod cluster;
mod deployment;
mod error;
#[cfg(feature = "etcd")]
mod etcd_files;
mod node;
mod observe;
mod planes;
mod port_holder;
mod ready;
mod signals;
mod sockets;
mod store;
mod trust;
mod watch;
mod work;

use std::sync::Arc;
use std::time::Duration;

use strongroom_core::audit::{Event, Result as EventResult};
use strongroom_core::download_policy::DownloadPolicy;
use strongroom_core::identity::{Directory, Foundation};
use strongroom_core::pools::{
    Pools, RESOURCE_GROUP, StorageEndpoint, Subscription, machine_identity_id, subscription_id,
};
use strongroom_core::ports::AuditSink;
use tokio::net::TcpListener;

use crate::audit_log::{self, CheckpointKeeper};
use crate::authentication::{Authenticator, PublicAddress, PublicNames};
use crate::client_env::{self, ClientEnvironment};
use crate::config::{ConfiguredAccount, Settings};
use crate::data_dir::DataDir;
use crate::hardening::{Hardening, harden};
use crate::http::edge::Edge;
use crate::http::health::{Facts, Health, Phase};
use crate::http::limits::Connections;
use crate::http::listener::Listener;
use crate::http::observers::Observers;
use crate::http::planes::Planes;
use crate::jobs::KeyJobs;
use crate::metrics::MetricsPage;
use crate::resealing::Resealing;
use crate::serve::adoption::Adoption;
use crate::serve::cluster::Joined;
use crate::serve::deployment::Opened;
use crate::serve::planes::{Parts, Wired};
use crate::serve::signals::Signals;
use crate::serve::sockets::Sockets;
use crate::serve::trust::Trust;
use crate::serve::watch::{Watched, condition};
use crate::serve::work::Work;
use crate::tasks::TaskOwner;
use crate::tls::server_config;
use crate::tls::trust::TrustedRoots;

pub use blobs::named_place;
pub use error::{StartError, StopError};
pub use observe::{ClusterView, NodeView, drain, join};
pub use port_holder::PortHolder;
pub use ready::Ready;
pub(crate) use store::{Purpose, hold};
pub use trust::check_files;

/// A server that serves.
pub struct Server {
    opened: Opened,
    health: Arc<Health>,
    owner: TaskOwner,
    signals: Signals,
    ready: Ready,
    keeper: Arc<CheckpointKeeper>,
    observers: Observers,
    joined: Joined,
    drain: Duration,
    /// Unlocked when everything else is closed.
    folder: DataDir,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl Server {
    /// Starts a server. When this returns, `client.env` is written and requests are answered.
    ///
    /// # Errors
    /// [`StartError`] says in one line what is wrong, and in another what helps.
    pub async fn start(settings: Settings, version: &'static str) -> Result<Self, StartError> {
        let signals = Signals::install().map_err(StartError::Signals)?;
        let folder = DataDir::open(&settings.data_dir)?;
        // What an earlier server left must not say that this one is ready.
        folder.remove(client_env::FILE)?;
        let hardening = hardened(&settings)?;
        let sockets = Sockets::bind(&settings)?;
        let roots = TrustedRoots::load(&settings.tls.extra_ca_files)?;
        let owner = TaskOwner::new();
        let engine = store::open(&folder, &settings, &owner.tasks()).await?;
        let joined = Joined::join(&folder, &settings, version, engine).await?;
        let store = Arc::clone(&joined.store);
        let grounds = Grounds { signals, folder, hardening, sockets, roots, owner, joined };
        let started = Self::start_on(grounds, settings, version).await;
        if started.is_err() {
            store::give_up(store.as_ref()).await;
        }
        started
    }

    async fn start_on(grounds: Grounds, settings: Settings, version: &'static str) -> Result<Self, StartError> {
        let Grounds { signals, folder, hardening, sockets, roots, owner, joined } = grounds;
        let store = Arc::clone(&joined.store);
        let opened = Opened::open(&folder, &settings, &roots, store, joined.outbox()).await?;
        record_accepted_rollback(&opened, &settings)?;
        let names = Arc::new(public_names(&settings, sockets.port));
        let founded = Founded::open(&opened, &names, &settings).await?;
        let trust = Trust::establish(&folder, &settings, &opened, roots).await?;
        let client = founded.client_environment(&folder, &opened, &names, &trust, &sockets).await?;
        let parts = Parts {
            opened: &opened,
            settings: &settings,
            names: Arc::clone(&names),
            directory: Arc::clone(&founded.directory),
            pools: Arc::clone(&founded.pools),
            foundation: founded.foundation,
            trust: &trust,
            identity_header: node::identity_header(&folder, opened.entropy.as_ref())?,
        };
        let wired = parts.wire()?;
        let keeper = Arc::new(keeper(&folder, &settings, &opened, &trust)?);
        let facts = facts(&opened, &hardening, version);
        let node = opened.core.barrier().node();
        let condition = condition(&opened.audit, &keeper, &joined.membership, node);
        let health = Arc::new(Health::new(facts, condition));
        let ready = Ready {
            version,
            address: names.canonical().clone(),
            metadata_url: client.metadata_url.clone(),
            ca_file: client.ca_file.clone(),
            client_env: folder.join(client_env::FILE),
            root_provider: opened.root_provider,
            root_file: settings.root_file.clone(),
            memory_not_locked: hardening.memory_not_locked,
        };
        warn_about(&ready, &trust, settings.download_policy);
        let observers = watch::observers(&folder, &settings, &opened, &trust, version, &owner.tasks())?;
        let drain = settings.drain;
        let server = Self { opened, health, owner, signals, ready, keeper, observers, joined, drain, folder };
        server.keeper.begin(&server.owner.tasks());
        server.serve(sockets, wired, founded.directory, trust)?;
        server.health.set(Phase::Ready);
        server.folder.write(client_env::FILE, client.to_shell().expose().as_bytes())?;
        Ok(server)
    }

    /// What a person is told.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Serves until it has to stop, then stops.
    ///
    /// # Errors
    /// As [`Self::stop`].
    pub async fn run(mut self) -> Result<(), StopError> {
        self.must_stop().await;
        self.stop().await
    }

    /// Resolves when a signal says to stop, or when the node of a cluster has ended by itself; what came before counts.
    pub async fn must_stop(&mut self) {
        tokio::select! {
            () = self.signals.wait() => {}
            () = self.joined.ended() => {}
        }
    }

    /// Says that it is not ready, and serves on for a while if that is configured. Then it accepts nothing more, finishes what is in
    /// flight, and closes the audit log and the store: a node of a cluster gives up its registration last.
    ///
    /// # Errors
    /// [`StopError`] if the store did not close cleanly, or the node of a cluster had ended by itself.
    pub async fn stop(mut self) -> Result<(), StopError> {
        tracing::info!("stopping");
        self.health.set(Phase::Stopping);
        if let Err(error) = self.folder.remove(client_env::FILE) {
            tracing::warn!(%error, "client.env could not be removed and still says that a server is ready");
        }
        if !self.drain.is_zero() {
            tracing::info!("not ready from now on, but serving for {:?} still", self.drain);
            // A second signal means now; so does the end of the node.
            let _ = tokio::time::timeout(self.drain, self.must_stop()).await;
        }
        // The folder stays locked until this returns.
        let Self { opened, owner, keeper, joined, folder: _folder, .. } = self;
        let Opened { audit, store, .. } = opened;
        let has_left = joined.has_ended();
        if !owner.stop(IN_FLIGHT_MAX).await {
            tracing::warn!("requests were still at work after {IN_FLIGHT_MAX:?} and were cut off");
        }
        if audit.flush().await.is_err() {
            tracing::warn!("the audit log could not be written; events of changes are kept in the store");
        }
        let closing = tokio::task::spawn_blocking(move || audit.close());
        if closing.await.is_err() {
            tracing::warn!("the audit log was not closed cleanly");
        }
        if tokio::time::timeout(LAST_CHECKPOINT_MAX, keeper.finish()).await.is_err() {
            tracing::warn!("the last audit checkpoint was not kept everywhere");
        }
        store.close().await?;
        if has_left { Err(StopError::LeftCluster) } else { Ok(()) }
    }

    /// Begins to accept connections, and the server's own work.
    fn serve(&self, sockets: Sockets, wired: Wired, directory: Arc<Directory>, trust: Trust) -> Result<(), StartError> {
        let Wired { public, metadata, arm, backups, authenticator, proxies } = wired;
        let tls = Some(server_config(Arc::clone(&trust.certificates))?);
        let public = self.edge(public).behind(proxies.clone());
        accept(sockets.public, &self.listener(public, tls).behind(proxies));
        accept(sockets.metadata.into_iter().collect(), &self.listener(self.edge(metadata), None));
        let page = MetricsPage::new(&self.observers.metrics, self.watched(authenticator).look(), self.ready.version);
        let monitoring = self.edge(Planes::Monitoring(Arc::new(page)));
        accept(sockets.metrics.into_iter().collect(), &self.listener(monitoring, None));
        let Opened { core, audit, entropy, clock, .. } = &self.opened;
        let membership = self.joined.membership.clone();
        let work = Work {
            arm,
            keys: Arc::new(KeyJobs::new(Arc::clone(core), Arc::clone(clock), self.observers.metrics.clone())),
            backups,
            resealing: Arc::new(Resealing::new(Arc::clone(core))),
            core: Arc::clone(core),
            health: Arc::clone(&self.health),
            directory,
            certificates: trust.certificates,
            entropy: Arc::clone(entropy),
            clock: Arc::clone(clock),
            adoption: Adoption::new(Arc::clone(core), Arc::clone(audit), membership.clone()),
            membership,
        };
        work.begin(&self.owner.tasks());
        Ok(())
    }

    fn edge(&self, planes: Planes) -> Edge {
        let Opened { clock, entropy, .. } = &self.opened;
        let (clock, entropy) = (Arc::clone(clock), Arc::clone(entropy));
        let edge = Edge::new(planes, Arc::clone(&self.health), clock, entropy, self.owner.tasks());
        edge.observed(&self.observers).of(self.joined.membership.clone())
    }

    fn watched(&self, authenticator: Arc<Authenticator>) -> Watched {
        let Opened { audit, store, pool, .. } = &self.opened;
        Watched {
            audit: Arc::clone(audit),
            keeper: Arc::clone(&self.keeper),
            store: Arc::clone(store),
            pool: Arc::clone(pool),
            authenticator,
            health: Arc::clone(&self.health),
            at_work: Arc::clone(&self.observers.at_work),
            membership: self.joined.membership.clone(),
        }
    }

    fn listener(&self, edge: Edge, tls: Option<Arc<rustls::ServerConfig>>) -> Listener {
        Listener::new(Arc::new(edge), tls, Arc::new(Connections::default()), self.owner.tasks())
    }
}

fn accept(sockets: Vec<TcpListener>, listener: &Listener) {
    for socket in sockets {
        listener.clone().accept(socket);
    }
}

/// What is there before the store is opened.
struct Grounds {
    signals: Signals,
    folder: DataDir,
    hardening: Hardening,
    sockets: Sockets,
    roots: TrustedRoots,
    owner: TaskOwner,
    joined: Joined,
}

/// What the first start has made, and every later one finds.
struct Founded {
    directory: Arc<Directory>,
    pools: Arc<Pools>,
    foundation: Foundation,
    subscription: Subscription,
}

impl Founded {
    async fn open(opened: &Opened, names: &PublicNames, settings: &Settings) -> Result<Self, StartError> {
        let core = &opened.core;
        let directory = Arc::new(Directory::new(Arc::clone(core), names.canonical().authority_url())?);
        let machine = machine_identity_id(subscription_id(core.deployment().id));
        let foundation = directory.found(&opened.request("DirectoryFound")?, &machine).await?;
        let outside_tenants = settings.issuers.iter().map(|issuer| issuer.tenant).collect();
        let pools = Pools::new(Arc::clone(core), Arc::clone(&directory)).serving_tenants(outside_tenants);
        let endpoint = |account: &ConfiguredAccount| StorageEndpoint {
            name: account.name.clone(),
            blob: account.blob_endpoint.clone(),
        };
        let pools = pools.with_storage_endpoints(settings.storage.accounts.iter().map(endpoint).collect());
        let pools = Arc::new(pools);
        let subscription = pools.found(&opened.request("SubscriptionFound")?, &foundation).await?;
        Ok(Self { directory, pools, foundation, subscription })
    }

    async fn client_environment(
        &self,
        folder: &DataDir,
        opened: &Opened,
        names: &PublicNames,
        trust: &Trust,
        sockets: &Sockets,
    ) -> Result<ClientEnvironment, StartError> {
        let Self { directory, foundation, subscription, .. } = self;
        let request = opened.request("BootstrapSecretIssue")?;
        let client_secret = node::bootstrap_secret(folder, directory, foundation, &request, opened.clock.now()).await?;
        let metadata = sockets.metadata.as_ref().and_then(|socket| socket.local_addr().ok());
        Ok(ClientEnvironment {
            address: names.canonical().clone(),
            metadata_url: metadata.map(|address| format!("http://{address}")),
            ca_file: trust.client_ca_file.clone(),
            ca_bundle: trust.client_ca_bundle.clone(),
            tenant: foundation.tenant.to_string(),
            subscription: subscription.id.to_string(),
            resource_group: RESOURCE_GROUP.to_owned(),
            client_id: foundation.administrator.client_id.to_string(),
            client_secret,
            principal_id: foundation.administrator.object_id.to_string(),
        })
    }
}

fn hardened(settings: &Settings) -> Result<Hardening, StartError> {
    let hardening = harden();
    match &hardening.memory_not_locked {
        Some(reason) if settings.require_locked_memory => Err(StartError::MemoryNotLocked { reason: reason.clone() }),
        _ => Ok(hardening),
    }
}

/// Every domain under the public port; the first is canonical.
fn public_names(settings: &Settings, port: u16) -> PublicNames {
    let port = settings.public_port.unwrap_or(port);
    let address = |domain: &crate::http::host::Domain| PublicAddress { domain: domain.clone(), port };
    let canonical = address(&settings.domain);
    PublicNames::new(canonical, settings.suffixes.iter().map(address).collect())
}

fn facts(opened: &Opened, hardening: &Hardening, version: &'static str) -> Facts {
    Facts {
        deployment: opened.core.deployment().id.to_string(),
        version,
        root_provider: opened.root_provider,
        locked_memory: hardening.memory_not_locked.is_none(),
        core_dumps_disabled: hardening.core_dumps_disabled,
        audit_key: opened.audit_key.clone(),
    }
}

/// What keeps checkpoints apart from the log.
fn keeper(
    folder: &DataDir,
    settings: &Settings,
    opened: &Opened,
    trust: &Trust,
) -> Result<CheckpointKeeper, StartError> {
    let mut keeper = CheckpointKeeper::new(opened.audit.checkpoints(), folder.join(audit_log::NEWEST_CHECKPOINT));
    if let Some(file) = &settings.checkpoints.file {
        keeper = keeper.in_file(file.clone());
    }
    if let Some(url) = &settings.checkpoints.url {
        keeper = keeper.at_url(url.clone(), trust.roots.outside())?;
    }
    Ok(keeper)
}

/// That a rollback was accepted is for auditors to know (protocols.md §2).
fn record_accepted_rollback(opened: &Opened, settings: &Settings) -> Result<(), StartError> {
    if settings.accept_rollback {
        let request = opened.request("RollbackAccept")?;
        let ended = EventResult::success(200);
        opened.audit.submit(&Event::of(&request, &ended, opened.clock.now(), None));
    }
    Ok(())
}

fn warn_about(ready: &Ready, trust: &Trust, policy: DownloadPolicy) {
    if policy == DownloadPolicy::Administrator {
        tracing::warn!(
            "security_domain.download_again is \"administrator\": one administrator of a managed HSM is as good as all its \
             custodians"
        );
    }
    if let Some(reason) = &ready.memory_not_locked {
        tracing::warn!(reason, "memory may be swapped to disk");
    }
    if !trust.uncovered.is_empty() {
        tracing::warn!(hosts = trust.uncovered.join(" "), "the certificate does not cover hosts that are served");
    }
}

/// Longest time that the last checkpoint is given to reach the places where it is kept.
const LAST_CHECKPOINT_MAX: Duration = Duration::from_secs(10);
/// Longest time that requests in flight are given at a stop.
const IN_FLIGHT_MAX: Duration = Duration::from_secs(10);
