//! Configuration: one typed TOML file, and the flags that override it.
//!
//! Unknown keys are refused. Secrets are never in the file, only the names of files that hold them. Every key is
//! documented in `docs/operating/strongroom.sample.toml`, which a test reads.

mod audit;
mod cluster;
mod file;
mod settings;
mod storage;
mod store;
mod telemetry;
mod throttle;
pub(crate) mod url;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use strongroom_core::Limits;
use strongroom_core::download_policy::DownloadPolicy;
use strongroom_core::network::{AddressRange, TrustedService};

use crate::authentication::{Attestation, OutsideIssuer};
use crate::data_plane::SubnetListener;
use crate::http::host::Domain;
use crate::http::proxies::ProxyForm;

pub use audit::{Audit, CheckpointPlaces};
pub use cluster::Cluster;
pub use file::{FileError, FileProblem};
pub use settings::{Flags, MetadataListener, Settings, SettingsError};
pub use storage::{Backup, ConfiguredAccount, StorageSettings};
pub use store::{EtcdSettings, Store, StoreKind, StorePlace};
pub use telemetry::{OtlpEndpoint, Telemetry};
pub use throttle::Throttle;

/// The configuration file, as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Configuration {
    /// Where this node keeps what is its own, and the embedded store.
    pub data_dir: Option<PathBuf>,
    /// The domain below which all hosts lie.
    pub domain: Option<Domain>,
    /// Where to listen.
    pub listen: Option<Vec<SocketAddr>>,
    /// How the server is reached from outside.
    pub public: Public,
    /// Certificates.
    pub tls: Tls,
    /// What opens the store.
    pub root: Root,
    /// Who may have the security domain of an active managed HSM.
    pub security_domain: SecurityDomain,
    /// Where records lie.
    pub store: Store,
    /// The times of a cluster.
    pub cluster: Cluster,
    /// Issuers whose tokens count besides the built-in authority's.
    pub issuer: Vec<OutsideIssuer>,
    /// Authorities that may vouch for environments keys are released to.
    pub attestation: Vec<Attestation>,
    /// Addresses of this machine that are a subnet's.
    pub network: Vec<SubnetListener>,
    /// Programs that pass network rules whose bypass says so.
    pub trusted_service: Vec<TrustedService>,
    /// Proxies in front of this server.
    pub proxy: Proxy,
    /// Blob stores that storage accounts are made over.
    pub storage_account: Vec<ConfiguredAccount>,
    /// Where backups may go.
    pub backup: Backup,
    /// The instance metadata service.
    pub metadata: Metadata,
    /// How much there may be of what clients make.
    pub limits: Limits,
    /// How often one principal may ask, and one key be used.
    pub throttle: Throttle,
    /// The audit log.
    pub audit: Audit,
    /// What watches the server.
    pub metrics: MetricsConfiguration,
    /// OpenTelemetry.
    pub telemetry: Telemetry,
    /// The server's own log.
    pub log: Log,
}

/// `[public]`: for port maps, load balancers and names besides the domain.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Public {
    /// The port in every URL that is handed out; without it, the first listener's.
    pub port: Option<u16>,
    /// Domains that are served besides `domain`.
    pub suffixes: Vec<Domain>,
    /// How long a server that stops goes on serving while it says that it is not ready.
    pub drain_seconds: u64,
}

/// `[tls]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The operator's certificate and its chain, PEM; without it, a certificate of the deployment's own CA.
    pub certificate_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub private_key_file: Option<PathBuf>,
    /// CAs that outgoing TLS trusts besides the system's, PEM.
    pub extra_ca_files: Vec<PathBuf>,
}

/// `[root]` (protocols.md §1).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Root {
    /// Which provider.
    pub provider: RootProviderKind,
    /// The root file; without it, `root.key` in the data folder.
    pub file: Option<PathBuf>,
    /// Whether the server must not start when memory cannot be kept out of swap.
    pub require_locked_memory: bool,
}

/// `[root] provider`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootProviderKind {
    /// A file: who can read it and the store has every key.
    #[default]
    File,
    /// A file for what belongs to the deployment; the roots of managed HSMs come back by their quorums after each start.
    Quorum,
}

/// `[security_domain]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecurityDomain {
    /// What it takes to download it after activation, and to rotate it.
    pub download_again: DownloadPolicy,
}

/// `[proxy]`: load balancers and proxies that are believed when they say for whom they speak.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    /// Where they connect from.
    pub addresses: Vec<AddressRange>,
    /// How they say it.
    pub client_address: Option<ProxyForm>,
}

/// `[metadata]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metadata {
    /// `off`, or `ADDRESS:PORT` on loopback or link-local.
    pub listen: Option<String>,
    /// Resource ids of the user-assigned identities it serves outside the local profile.
    pub identities: Vec<String>,
}

/// `[metrics]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfiguration {
    /// Where `/metrics` is served, on loopback; without it, nowhere.
    pub listen: Option<SocketAddr>,
}

/// `[log]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// How much.
    pub level: LogLevel,
}

/// `[log] format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log] level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What needs somebody.
    Error,
    /// And what may need somebody soon.
    Warn,
    /// And what happened.
    #[default]
    Info,
    /// And why connections end.
    Debug,
}

#[cfg(test)]
mod tests;
