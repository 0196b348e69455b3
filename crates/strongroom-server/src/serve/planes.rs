//! All planes of a deployment, wired together.

use std::sync::Arc;

use async_trait::async_trait;
use strongroom_core::backup::StorageCredentials;
use strongroom_core::identity::{Directory, Foundation};
use strongroom_core::network::TrustedServices;
use strongroom_core::pools::Pools;
use strongroom_types::Secret;

use crate::arm::{Arm, StorageKeys};
use crate::authentication::{Authenticator, Authorities, OutsideIssuers, PublicAddress, PublicNames, Unlisted};
use crate::authority::{Authority, Graph, Imds, ServedIdentities};
use crate::backup_jobs::BackupJobs;
use crate::config::Settings;
use crate::data_plane::{DataPlane, Gate, ReleaseParts};
use crate::http::exchange::{Inbound, Outbound};
use crate::http::host::{Hosts, MANAGED_HSM, Suffixes, VAULT};
use crate::http::planes::{Handle, Planes, PublicPlanes};
use crate::http::proxies::Proxies;
use crate::serve::deployment::Opened;
use crate::serve::error::StartError;
use crate::serve::trust::Trust;
use crate::statements::Statements;

/// What planes are made of.
pub(super) struct Parts<'a> {
    pub(super) opened: &'a Opened,
    pub(super) settings: &'a Settings,
    pub(super) names: Arc<PublicNames>,
    pub(super) directory: Arc<Directory>,
    pub(super) pools: Arc<Pools>,
    pub(super) foundation: Foundation,
    pub(super) trust: &'a Trust,
    pub(super) identity_header: Secret<String>,
}

/// The planes, and what of them also has work of its own.
pub(super) struct Wired {
    pub(super) public: Planes,
    pub(super) metadata: Planes,
    pub(super) arm: Arc<Arm>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) backups: Arc<BackupJobs>,
    /// Those of the public listeners.
    pub(super) proxies: Option<Arc<Proxies>>,
}

impl Parts<'_> {
    pub(super) fn wire(self) -> Result<Wired, StartError> {
        let Self { opened, settings, names, directory, pools, foundation, trust, identity_header } = self;
        let roots = &trust.with_own_ca;
        let outside = OutsideIssuers::new(settings.issuers.clone(), foundation.tenant, roots)?;
        let (outside, strangers) = (Arc::new(outside), &opened.strangers);
        let authenticator =
            Arc::new(Authenticator::new(Arc::clone(&directory), Arc::clone(&names), Arc::clone(&outside)));
        let suffixes = Suffixes {
            managed_hsm: host_and_port(names.canonical(), MANAGED_HSM),
            vault: host_and_port(names.canonical(), VAULT),
        };
        let credentials: Arc<dyn StorageCredentials> = Arc::<Pools>::clone(&pools);
        let backups = Arc::new(BackupJobs::new(Arc::clone(&opened.core), credentials));
        let keys = settings.storage.accounts.iter();
        let keys = keys.filter_map(|account| Some((account.name.clone(), account.key_file.clone()?)));
        let arm = Arm::new(pools, Arc::clone(&authenticator), suffixes.clone());
        let arm = arm.with_storage_keys(StorageKeys::new(keys.collect()));
        let arm = Arc::new(arm.listening_for(settings.networks.clone()));
        let core = Arc::clone(&opened.core);
        let unlisted = if settings.is_local() { Unlisted::OnLoopback } else { Unlisted::Refused };
        let release = ReleaseParts {
            authorities: Authorities::new(&settings.attestations, unlisted, roots)?,
            statements: Statements::new(Arc::clone(&core), settings.domains()),
            jobs: Arc::clone(&backups),
        };
        let trusted = TrustedServices::new(&settings.trusted_services, foundation.tenant);
        let gate = Gate::new(settings.networks.clone(), trusted);
        let data_plane = DataPlane::new(
            core,
            Arc::clone(&authenticator),
            foundation.tenant,
            suffixes,
            Arc::clone(strangers),
            release,
            gate,
        );
        let login = Authority::new(Arc::clone(&directory), Arc::clone(&names), outside, Arc::clone(strangers));
        let graph = Graph::new(Arc::clone(&directory), Arc::clone(&authenticator), Arc::clone(strangers));
        let served = if settings.is_local() {
            ServedIdentities::All
        } else {
            ServedIdentities::Listed(settings.metadata_identities.clone())
        };
        let public = PublicPlanes {
            hosts: Hosts::new(settings.domains()),
            authority: Arc::new(LoginPlane(login)),
            management: Arc::new(ManagementPlane(Arc::clone(&arm))),
            graph: Arc::new(GraphPlane(graph)),
            keys: Arc::new(data_plane),
        };
        let metadata = Arc::new(MetadataPlane(Imds::new(directory, names, identity_header, served)));
        let proxies = settings.proxies.clone().map(Arc::new);
        let (public, metadata) = (Planes::Public(Box::new(public)), Planes::Metadata(metadata));
        Ok(Wired { public, metadata, arm, backups, authenticator, proxies })
    }
}

/// `<label>.<domain>[:port]`.
pub(super) fn host_and_port(address: &PublicAddress, label: &str) -> String {
    address.url(label).trim_start_matches("https://").to_owned()
}

struct LoginPlane(Authority);
struct ManagementPlane(Arc<Arm>);
struct GraphPlane(Graph);
struct MetadataPlane(Imds);

#[async_trait]
impl Handle for LoginPlane {
    async fn handle(&self, inbound: Inbound) -> Outbound {
        self.0.handle(inbound).await
    }
}

#[async_trait]
impl Handle for ManagementPlane {
    async fn handle(&self, inbound: Inbound) -> Outbound {
        self.0.handle(inbound).await
    }
}

#[async_trait]
impl Handle for GraphPlane {
    async fn handle(&self, inbound: Inbound) -> Outbound {
        self.0.handle(inbound).await
    }
}

#[async_trait]
impl Handle for MetadataPlane {
    async fn handle(&self, inbound: Inbound) -> Outbound {
        self.0.handle(inbound).await
    }
}
