//! What a server is started with: the file, overridden by flags, with defaults.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use strongroom_cluster::{Timing, TimingError};
use strongroom_core::Limits;
use strongroom_core::download_policy::DownloadPolicy;
use strongroom_core::limits::LimitOutOfRange;
use strongroom_core::network::TrustedService;
use strongroom_core::throttle::Rates;

use crate::audit_log::AuditTerms;
use crate::authentication::{Attestation, OutsideIssuer};
use crate::config::{
    CheckpointPlaces, Configuration, Log, LogFormat, OtlpEndpoint, Proxy, RootProviderKind, StorageSettings,
    StorePlace, Tls,
};
use crate::data_plane::SubnetListener;
use crate::http::host::Domain;
use crate::http::proxies::Proxies;

/// The flags of `strongroom serve`; what is given here overrides the file.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--listen`, as often as it was given.
    pub listen: Vec<SocketAddr>,
    /// `--domain`.
    pub domain: Option<Domain>,
    /// `--imds`: `off` or `ADDRESS:PORT`.
    pub metadata: Option<String>,
    /// `--log-format`.
    pub log_format: Option<LogFormat>,
    /// `--accept-rollback`: serve a store that is older than this node has seen.
    pub accept_rollback: bool,
    /// `--init`: found a deployment with a root that exists already.
    pub init: bool,
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where this node keeps what is its own, and the embedded store.
    pub data_dir: PathBuf,
    /// The domain in every URL.
    pub domain: Domain,
    /// Domains that are served besides it; it is none of them.
    pub suffixes: Vec<Domain>,
    /// Where to listen; never empty.
    pub listen: Vec<SocketAddr>,
    /// Whether `listen` is the default, so that a machine without IPv6 is no error.
    pub listen_by_default: bool,
    /// Addresses of this machine that are a subnet's; served as `listen` is.
    pub networks: Vec<SubnetListener>,
    /// Programs that pass network rules whose bypass says so.
    pub trusted_services: Vec<TrustedService>,
    /// Proxies that are believed when they say for whom they speak.
    pub proxies: Option<Proxies>,
    /// The port in every URL, if it is not the first listener's.
    pub public_port: Option<u16>,
    /// How long a server that stops goes on serving while it says that it is not ready.
    pub drain: Duration,
    /// The instance metadata service.
    pub metadata: MetadataListener,
    /// Resource ids of the identities it serves outside the local profile.
    pub metadata_identities: Vec<String>,
    /// Issuers whose tokens count besides the built-in authority's.
    pub issuers: Vec<OutsideIssuer>,
    /// Authorities that may vouch for environments keys are released to.
    pub attestations: Vec<Attestation>,
    /// Where records lie.
    pub store: StorePlace,
    /// The times of the cluster, if the store is one that several nodes share.
    pub cluster: Timing,
    /// Storage accounts and backups.
    pub storage: StorageSettings,
    /// Certificates.
    pub tls: Tls,
    /// What wraps the secrets of the deployment, and maybe those of managed HSMs.
    pub root_provider: RootProviderKind,
    /// The root file.
    pub root_file: PathBuf,
    /// Whether memory must be locked.
    pub require_locked_memory: bool,
    /// Who may have the security domain of an active managed HSM.
    pub download_policy: DownloadPolicy,
    /// How much there may be of what clients make.
    pub limits: Limits,
    /// How often one principal may ask, and one key be used.
    pub throttle: Rates,
    /// How the audit log is kept.
    pub audit: AuditTerms,
    /// Where its checkpoints are kept as well.
    pub checkpoints: CheckpointPlaces,
    /// Where `/metrics` is served.
    pub metrics: Option<SocketAddr>,
    /// The collector that gets the audit log and spans.
    pub otlp_endpoint: Option<OtlpEndpoint>,
    /// The server's own log.
    pub log: Log,
    /// Serve a store that is older than this node has seen.
    pub accept_rollback: bool,
    /// Found a deployment with a root that exists already.
    pub init: bool,
}

/// Where the instance metadata service listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataListener {
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

/// The file and the flags together make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Only one of the two files was named.
    #[error("tls.certificate_file and tls.private_key_file go together, but only one is set")]
    HalfCertificate,
    /// Neither `off` nor an address.
    #[error("`{0}` is no place for the metadata service to listen")]
    MetadataAddress(String),
    /// It would hand tokens to the network.
    #[error("the metadata service speaks plain HTTP and cannot listen on {0}")]
    MetadataExposed(IpAddr),
    /// There is no home folder and no `--data-dir`.
    #[error("no data folder is set, and there is no home folder to put one into")]
    NoDataDir,
    /// Two blob stores have one name.
    #[error("two [[storage_account]] are named `{0}`")]
    StorageAccountTwice(String),
    /// A folder for backups that depends on where the server is started.
    #[error("backup.directories: {} is no absolute path", .0.display())]
    BackupDirectory(PathBuf),
    /// A value that cannot be kept.
    #[error("{key} must be {lowest} to {highest}")]
    OutOfRange {
        /// Which one, with its table: `audit.segment_mib`.
        key: &'static str,
        /// The lowest value it takes.
        lowest: u64,
        /// The highest value it takes.
        highest: u64,
    },
    /// How much passes at once is set, but not how much in a second.
    #[error("{burst} is set, but {rate} is not")]
    BurstAlone {
        /// What is set.
        burst: &'static str,
        /// What is missing.
        rate: &'static str,
    },
    /// A limit that cannot be kept.
    #[error(transparent)]
    Limit(#[from] LimitOutOfRange),
    /// It would tell the network how busy the server is, in the clear.
    #[error("metrics are served in plain HTTP and without a login, not on {0}")]
    MetricsExposed(IpAddr),
    /// The program was built without the feature `otlp`.
    #[error("telemetry.otlp_endpoint is set, but this program was built without OpenTelemetry")]
    NoOtlp,
    /// The program was built without the feature `etcd`.
    #[error("store.kind is \"etcd\", but this program was built without etcd")]
    NoEtcd,
    /// Keys of etcd beside the embedded store.
    #[error("[store] says how to reach etcd, but its kind is \"embedded\"")]
    StoreNotEtcd,
    /// None, or more than there can be.
    #[error("store.endpoints must name 1 to 16 members of etcd")]
    EtcdEndpoints,
    /// Something that is no member of etcd.
    #[error("store.endpoints: number {0} is neither https://HOST:PORT nor, on loopback, http://HOST:PORT")]
    EtcdEndpoint(usize),
    /// A prefix that no store can have.
    #[error("store.prefix: {0:?} is no path such as /strongroom")]
    EtcdPrefix(String),
    /// Some members with TLS and some without, or files for TLS without any.
    #[error("store.endpoints: either all are https, or none is and there is nothing to set for TLS")]
    EtcdMixed,
    /// Only one of two keys that need each other.
    #[error("store.{first} and store.{second} go together, but only one is set")]
    HalfOfStore {
        /// The one.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Times of a cluster beside a store that one process has to itself.
    #[error("[cluster] is set, but the store is \"embedded\", which nobody shares")]
    ClusterAlone,
    /// A command about nodes where there is one at most.
    #[error("the store is \"embedded\": it has one node, and no cluster")]
    NoCluster,
    /// Times of a cluster that cannot work together.
    #[error("[cluster]: {0}")]
    Cluster(#[from] TimingError),
    /// Records would travel in the clear, or nowhere.
    #[error("telemetry.otlp_endpoint is neither an https URL nor an http URL on loopback, or names a user or a query")]
    OtlpEndpoint,
    /// Checkpoints would travel in the clear, or nowhere.
    #[error("audit.checkpoint_url is no https URL without a user name and a password")]
    CheckpointUrl,
    /// A subnet's listener that does not say where exactly it listens.
    #[error("network {subnet} listens on {listen}, which is no single address and port")]
    NetworkListener {
        /// The subnet.
        subnet: String,
        /// What is written.
        listen: SocketAddr,
    },
    /// A subnet whose clients all count as another's.
    #[error("network {subnet} listens on {listen} as well, and all clients there are another network's already")]
    NetworkHidden {
        /// The subnet that nobody's requests count as.
        subnet: String,
        /// Where both listen.
        listen: SocketAddr,
    },
    /// Only half of `[proxy]` is there.
    #[error("proxy.addresses and proxy.client_address go together, but only one is set")]
    HalfProxy,
    /// `listen = []`.
    #[error("listen is empty")]
    NoListener,
}

impl SettingsError {
    /// What to do about it, in one line.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::HalfCertificate => "set both, or neither to use a certificate of the deployment's own CA",
            Self::MetadataAddress(_) | Self::MetadataExposed(_) => {
                "use --imds off, or an ADDRESS:PORT on loopback or link-local such as 127.0.0.1:8480"
            }
            Self::NoOtlp => "leave the key out, or build the program with `cargo build --release --features otlp`",
            Self::NoEtcd => "leave the key out, or build the program with `cargo build --release --features etcd`",
            Self::StoreNotEtcd => "set [store] kind = \"etcd\", or leave the other keys out",
            Self::EtcdEndpoints | Self::EtcdEndpoint(_) => {
                "name each member, such as \"https://etcd1.example.com:2379\""
            }
            Self::EtcdPrefix(_) => {
                "name a path of letters, digits and /._- that begins with / and does not end in it, at most 128 bytes"
            }
            Self::EtcdMixed => {
                "name all members with https:// if etcd speaks TLS, or leave the files out if it does not"
            }
            Self::HalfOfStore { .. } => "set both or neither",
            Self::ClusterAlone => "set [store] kind = \"etcd\", or leave [cluster] out",
            Self::NoCluster => "name the configuration of a node whose [store] kind is \"etcd\" with --config",
            Self::Cluster(_) => "correct the values, or leave them out for the defaults",
            Self::OtlpEndpoint => "name a base URL such as https://collector.example.com:4318",
            Self::MetricsExposed(_) => {
                "use an ADDRESS:PORT on loopback such as 127.0.0.1:9480, and let an agent on this machine read it"
            }
            Self::NoDataDir => "use --data-dir DIR",
            Self::StorageAccountTwice(_) => "give each blob store a name of its own",
            Self::BackupDirectory(_) => "name the folder from / on, without . and ..",
            Self::Limit(_) | Self::OutOfRange { .. } => "correct the value, or leave it out for the default",
            Self::BurstAlone { .. } => "set both, or neither to limit nothing",
            Self::CheckpointUrl => "name an https URL, such as https://collector.example.com/checkpoints",
            Self::NetworkListener { .. } => "use an address of this machine that only this network reaches, and a port",
            Self::NetworkHidden { .. } => {
                "give it an address of its own, or say by clients whose requests are which network's"
            }
            Self::HalfProxy => "set both, or neither to believe no proxy",
            Self::NoListener => "name at least one ADDRESS:PORT, or leave listen out",
        }
    }
}

impl Settings {
    /// The file, overridden by flags. `default_data_dir` is used if neither names a folder.
    ///
    /// # Errors
    /// [`SettingsError`] if the parts do not fit together.
    pub fn resolve(
        file: Configuration,
        flags: Flags,
        default_data_dir: Option<PathBuf>,
    ) -> Result<Self, SettingsError> {
        let Configuration {
            data_dir,
            domain,
            listen,
            public,
            tls,
            root,
            security_domain,
            store,
            cluster,
            issuer,
            attestation,
            network,
            trusted_service,
            proxy,
            storage_account,
            backup,
            metadata,
            limits,
            throttle,
            audit,
            metrics,
            telemetry,
            log,
        } = file;
        check_certificate(&tls)?;
        limits.check()?;
        check_networks(&network)?;
        let data_dir = flags.data_dir.or(data_dir).or(default_data_dir).ok_or(SettingsError::NoDataDir)?;
        let (listen, listen_by_default) = listeners(flags.listen, listen)?;
        let domain = flags.domain.or(domain).unwrap_or_else(Domain::localhost);
        Ok(Self {
            metadata: MetadataListener::of(flags.metadata.or(metadata.listen), &listen, &network)?,
            suffixes: besides(&domain, public.suffixes),
            domain,
            listen,
            listen_by_default,
            public_port: public.port,
            drain: Duration::from_secs(in_range("public.drain_seconds", public.drain_seconds, 0..=600)?),
            metadata_identities: metadata.identities,
            issuers: issuer,
            attestations: attestation,
            networks: network,
            trusted_services: trusted_service,
            proxies: proxies(proxy)?,
            cluster: cluster.timing(store.kind)?,
            store: store.place()?,
            storage: StorageSettings::resolve(storage_account, backup)?,
            root_provider: root.provider,
            root_file: root.file.unwrap_or_else(|| data_dir.join(ROOT_FILE)),
            tls,
            data_dir,
            require_locked_memory: root.require_locked_memory,
            download_policy: security_domain.download_again,
            limits,
            throttle: throttle.rates()?,
            audit: audit.terms()?,
            checkpoints: audit.places()?,
            metrics: on_loopback(metrics.listen)?,
            otlp_endpoint: telemetry.endpoint()?,
            log: Log { format: flags.log_format.unwrap_or(log.format), ..log },
            accept_rollback: flags.accept_rollback,
            init: flags.init,
        })
    }

    /// All domains that are served.
    pub fn domains(&self) -> Vec<Domain> {
        std::iter::once(&self.domain).chain(&self.suffixes).cloned().collect()
    }

    /// Whether every listener is on loopback (architecture.md §2).
    pub fn is_local(&self) -> bool {
        all_on_loopback(&self.listen, &self.networks)
    }
}

fn check_certificate(tls: &Tls) -> Result<(), SettingsError> {
    if tls.certificate_file.is_some() == tls.private_key_file.is_some() {
        return Ok(());
    }
    Err(SettingsError::HalfCertificate)
}

/// Where to listen, and whether that is the default.
fn listeners(flags: Vec<SocketAddr>, file: Option<Vec<SocketAddr>>) -> Result<(Vec<SocketAddr>, bool), SettingsError> {
    let asked = if flags.is_empty() { file } else { Some(flags) };
    match asked {
        None => Ok((DEFAULT_LISTEN.to_vec(), true)),
        Some(listen) if listen.is_empty() => Err(SettingsError::NoListener),
        Some(listen) => Ok((listen, false)),
    }
}

/// Each domain once, and not the canonical one.
fn besides(domain: &Domain, all: Vec<Domain>) -> Vec<Domain> {
    let mut suffixes = Vec::new();
    for suffix in all {
        if suffix != *domain && !suffixes.contains(&suffix) {
            suffixes.push(suffix);
        }
    }
    suffixes
}

/// A subnet's requests are told by the address they arrive at: it must be one. The first that a client fits is its subnet.
fn check_networks(networks: &[SubnetListener]) -> Result<(), SettingsError> {
    let mut taken = BTreeSet::new();
    for SubnetListener { subnet, listen, clients } in networks {
        let (subnet, listen) = (subnet.to_string(), *listen);
        if listen.ip().is_unspecified() || listen.port() == 0 {
            return Err(SettingsError::NetworkListener { subnet, listen });
        }
        if taken.contains(&listen) {
            return Err(SettingsError::NetworkHidden { subnet, listen });
        }
        if clients.is_empty() {
            taken.insert(listen);
        }
    }
    Ok(())
}

/// A number within what can be kept.
pub(super) fn in_range(key: &'static str, value: u64, allowed: RangeInclusive<u64>) -> Result<u64, SettingsError> {
    let (lowest, highest) = (*allowed.start(), *allowed.end());
    if allowed.contains(&value) { Ok(value) } else { Err(SettingsError::OutOfRange { key, lowest, highest }) }
}

fn all_on_loopback(listen: &[SocketAddr], networks: &[SubnetListener]) -> bool {
    listen.iter().chain(networks.iter().map(|network| &network.listen)).all(|address| address.ip().is_loopback())
}

fn proxies(Proxy { addresses, client_address }: Proxy) -> Result<Option<Proxies>, SettingsError> {
    match client_address {
        Some(form) if !addresses.is_empty() => Ok(Some(Proxies { addresses, form })),
        None if addresses.is_empty() => Ok(None),
        _ => Err(SettingsError::HalfProxy),
    }
}

impl MetadataListener {
    fn of(said: Option<String>, listen: &[SocketAddr], networks: &[SubnetListener]) -> Result<Self, SettingsError> {
        match said {
            Some(text) => text.parse(),
            None if all_on_loopback(listen, networks) => Ok(DEFAULT_METADATA),
            None => Ok(Self::Off),
        }
    }
}

fn on_loopback(metrics: Option<SocketAddr>) -> Result<Option<SocketAddr>, SettingsError> {
    match metrics {
        Some(address) if !address.ip().is_loopback() => Err(SettingsError::MetricsExposed(address.ip())),
        listen => Ok(listen),
    }
}

impl std::str::FromStr for MetadataListener {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address: SocketAddr = text.parse().map_err(|_| SettingsError::MetadataAddress(text.to_owned()))?;
        let stays_here = match address.ip() {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
        };
        if stays_here { Ok(Self::At(address)) } else { Err(SettingsError::MetadataExposed(address.ip())) }
    }
}

/// Loopback, both families: names below `localhost` resolve to both (az-cli.md §1.2).
const DEFAULT_LISTEN: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), DEFAULT_PORT),
];
const DEFAULT_PORT: u16 = 8443;
const DEFAULT_METADATA: MetadataListener = MetadataListener::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8480));
/// The root file's name in the data folder.
const ROOT_FILE: &str = "root.key";
