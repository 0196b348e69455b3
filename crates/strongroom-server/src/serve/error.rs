//! Why a server does not start: one line of cause, one line of remedy.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use strongroom_core::error::DeploymentError;
use strongroom_core::identity::IdentityError;
use strongroom_core::{Error as CoreError, pools};
use strongroom_crypto::CryptoError;
use strongroom_store::StoreError;

use crate::arm::StorageKeyError;
use crate::audit_log::RecoverError;
use crate::authentication::{AttestationError, OutsideIssuerError};
use crate::blob::BlobTlsError;
use crate::config::{FileError, SettingsError};
use crate::data_dir::DataDirError;
use crate::serve::port_holder::PortHolder;
use crate::tls::error::TlsError;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration file is wrong.
    #[error(transparent)]
    Configuration(#[from] FileError),
    /// File and flags do not fit together.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The data folder cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A port is taken.
    #[error("{address} is in use{}", by(holder.as_ref()))]
    PortInUse {
        /// Where it was to listen.
        address: SocketAddr,
        /// Who listens there, if that can be seen.
        holder: Option<PortHolder>,
        /// The flag that names another.
        flag: &'static str,
    },
    /// The system refuses an address.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// None of the default addresses exists on this machine.
    #[error("this machine has no loopback address to listen on")]
    NoAddress,
    /// Memory must be locked and cannot be.
    #[error("memory cannot be kept out of swap: {reason}")]
    MemoryNotLocked {
        /// What is in the way.
        reason: String,
    },
    /// The root file is gone, but the store that it opens is there.
    #[error("{} is missing, but this deployment was founded with it", path.display())]
    RootMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The root file cannot be used.
    #[error(transparent)]
    Root(CryptoError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store in etcd cannot be opened.
    #[cfg(feature = "etcd")]
    #[error(transparent)]
    Etcd(#[from] strongroom_store::EtcdOpenError),
    /// A file that it takes to reach etcd cannot be read.
    #[cfg(feature = "etcd")]
    #[error("{}: {source}", path.display())]
    StoreFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The node does not come to serve in its cluster.
    #[error("this node could not be registered in the cluster, or did not catch up with it, within {seconds} s")]
    NotServing {
        /// How long that was waited for.
        seconds: u64,
    },
    /// Another node may write what this release cannot read.
    #[error("node {name} of the cluster runs release {release}, which may write records that this release cannot read")]
    NewerNode {
        /// What people call the other node.
        name: String,
        /// The release that it runs.
        release: String,
    },
    /// The store holds no deployment.
    #[error("there is no deployment in the store yet")]
    NoDeployment,
    /// No registration is of such a node.
    #[error("no node with the id or the name `{node}` is registered")]
    UnknownNode {
        /// What was asked for.
        node: String,
    },
    /// A name says too little.
    #[error("several nodes are named `{node}`")]
    SeveralNodes {
        /// What was asked for.
        node: String,
    },
    /// The audit log cannot be opened.
    #[error("{}: {source}", folder.display())]
    AuditLog {
        /// Its folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What a crash left of the audit log cannot be taken over.
    #[error("{}: the audit log cannot be taken over", folder.display())]
    AuditRecovery {
        /// Its folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: RecoverError,
    },
    /// The file with the shared key of a storage account cannot be used.
    #[error(transparent)]
    StorageKey(#[from] StorageKeyError),
    /// The folder for backups cannot be made.
    #[error("{}: {source}", path.display())]
    BackupFolder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Outgoing TLS cannot be set up.
    #[error(transparent)]
    BlobTls(#[from] BlobTlsError),
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An issuer is configured wrongly.
    #[error(transparent)]
    Issuer(#[from] OutsideIssuerError),
    /// An attestation authority is configured wrongly.
    #[error(transparent)]
    Attestation(#[from] AttestationError),
    /// The deployment cannot be opened, or what it holds cannot be read.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(#[source] io::Error),
    /// Signals cannot be waited for.
    #[error("signals cannot be waited for: {0}")]
    Signals(#[source] io::Error),
}

fn by(holder: Option<&PortHolder>) -> String {
    holder.map_or_else(String::new, |holder| format!(" by {holder}"))
}

/// What went wrong at the end. Nothing that was acknowledged is lost by that.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The store did not close cleanly.
    #[error("the store was not closed cleanly: {0}")]
    Store(#[from] StoreError),
    /// Nobody told the node to stop: it could not rely on its own memory any more, or its task was lost.
    #[error(
        "this node has left the cluster by itself: the store is older than what the node has seen of it, or the node failed"
    )]
    LeftCluster,
}

impl StopError {
    /// What to do about it, in one line.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Store(_) => {
                "nothing that was acknowledged is lost; check the disk and the kernel's log before the next start"
            }
            Self::LeftCluster => {
                "see the log; if etcd was put back to an older copy, stop all nodes before you do that, then start them again"
            }
        }
    }
}

impl From<IdentityError> for StartError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Core(error) => Self::Core(error),
            _ => Self::Core(CoreError::Internal("the directory cannot be founded")),
        }
    }
}

impl From<pools::Error> for StartError {
    fn from(error: pools::Error) -> Self {
        match error {
            pools::Error::Core(error) => Self::Core(error),
            _ => Self::Core(CoreError::Internal("the subscription cannot be founded")),
        }
    }
}

impl From<CryptoError> for StartError {
    fn from(error: CryptoError) -> Self {
        Self::Core(CoreError::Crypto(error))
    }
}

impl StartError {
    /// What went wrong, in one line, with what lies below it.
    pub fn cause(&self) -> String {
        let mut text = self.to_string();
        let mut below = std::error::Error::source(self);
        while let Some(error) = below {
            let more = error.to_string();
            // Transparent variants say the same as what they hold.
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            below = error.source();
        }
        // It may repeat what lies in a store that nobody trusts, and goes to a terminal.
        text.replace(char::is_control, " ")
    }

    /// What to do about it, in one line.
    pub fn remedy(&self) -> String {
        match self {
            Self::Configuration(_) => {
                "correct the file; `strongroom check-config --config FILE` looks at it without starting".to_owned()
            }
            Self::Settings(error) => error.remedy().to_owned(),
            Self::DataDir(error) => data_dir(error),
            Self::PortInUse { flag, .. } => {
                format!("stop that process, or use another port with {flag}{}", if *flag == "--imds" { " (or --imds off)" } else { "" })
            }
            Self::Bind { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "use a port above 1023, or allow it: setcap cap_net_bind_service=+ep on the program".to_owned()
            }
            Self::Bind { .. } | Self::NoAddress => "use an address of this machine with --listen".to_owned(),
            Self::MemoryNotLocked { .. } => {
                "raise the limit (LimitMEMLOCK=infinity, ulimit -l unlimited) or grant CAP_IPC_LOCK, or drop \
                 root.require_locked_memory"
                    .to_owned()
            }
            Self::RootMissing { .. } => {
                "put the root file back from your copy, or name it with [root] file; without it the store cannot be opened"
                    .to_owned()
            }
            Self::Root(error) => root(error),
            Self::Store(error) | Self::Core(CoreError::Store(error)) => store(error),
            #[cfg(feature = "etcd")]
            Self::Etcd(error) => error.remedy(),
            #[cfg(feature = "etcd")]
            Self::StoreFile { .. } => "correct the file, or [store] in the configuration".to_owned(),
            Self::NoDeployment => "found it with `strongroom serve` on the first node, or correct [store]".to_owned(),
            Self::UnknownNode { .. } | Self::SeveralNodes { .. } => {
                "name the node by its id: `strongroom cluster status` shows them".to_owned()
            }
            Self::NewerNode { .. } => "use that release, or a newer one, on this node too".to_owned(),
            Self::NotServing { .. } => "see the log for what etcd says; it needs a quorum and space".to_owned(),
            Self::AuditLog { folder, source } if source.kind() == io::ErrorKind::InvalidData => format!(
                "somebody changed the log: keep a copy, see `strongroom audit verify`, then move {} away to begin a new log",
                folder.display()
            ),
            Self::AuditLog { source, .. } => of_system(source.kind()),
            Self::AuditRecovery { folder, .. } => {
                format!("make sure that {} is readable and there is space left, and start again", folder.display())
            }
            Self::Tls(TlsError::File { .. }) => "correct the file, or [tls] in the configuration".to_owned(),
            Self::Issuer(_) => "correct [[issuer]] in the configuration".to_owned(),
            Self::Attestation(_) => "correct [[attestation]] in the configuration".to_owned(),
            Self::Core(CoreError::Deployment(error)) => deployment(error),
            Self::Core(CoreError::Tampered { .. }) => RESTORE.to_owned(),
            Self::Thread(_) => "raise the limit on processes (ulimit -u, TasksMax)".to_owned(),
            Self::StorageKey(_) => "correct the file, or key_file of that [[storage_account]]".to_owned(),
            Self::BackupFolder { .. } => "free the way, or name other folders in [backup] directories".to_owned(),
            Self::BlobTls(_) | Self::Tls(_) | Self::Core(_) | Self::Signals(_) => "start again; if it stays, please report it".to_owned(),
        }
    }
}

fn data_dir(error: &DataDirError) -> String {
    match error {
        DataDirError::InUse { .. } => "stop that process, or use another folder with --data-dir".to_owned(),
        DataDirError::NotAFolder { .. } => "name a folder with --data-dir".to_owned(),
        DataDirError::OpenToOthers { path, .. } => {
            format!("run `chmod 700 {}` if it is meant for this, or use another folder with --data-dir", path.display())
        }
        DataDirError::Io { source, .. } => of_system(source.kind()),
    }
}

fn root(error: &CryptoError) -> String {
    match error {
        CryptoError::RootFile { path, problem } if problem.contains("mode") => format!("run `chmod 600 {path}`"),
        CryptoError::RootFile { problem, .. } if problem.contains(NO_SPACE) => of_system(io::ErrorKind::StorageFull),
        CryptoError::RootFile { .. } => {
            "put the root file back from your copy, readable for this user, or name another with [root] file".to_owned()
        }
        _ => "start again; if it stays, please report it".to_owned(),
    }
}

fn store(error: &StoreError) -> String {
    match error {
        StoreError::Locked { .. } => "stop the process that uses it, or use another folder with --data-dir".to_owned(),
        StoreError::Full => of_system(io::ErrorKind::StorageFull),
        StoreError::Damaged { .. } => RESTORE.to_owned(),
        StoreError::NewerFormat { .. } => "use the release that wrote it, or a newer one".to_owned(),
        StoreError::Io { source, .. } => of_system(source.kind()),
        _ => "start again; if it stays, check the disk and the kernel's log, or etcd".to_owned(),
    }
}

fn deployment(error: &DeploymentError) -> String {
    match error {
        DeploymentError::WrongRoot => "name the root file that this store was founded with ([root] file)",
        DeploymentError::OtherRootProvider { .. } => {
            "set [root] provider to what the store was founded with; to change it, found a new deployment and recover each \
             managed HSM into it"
        }
        DeploymentError::OtherDeployment { .. } => "use the data folder and the store that belong together",
        DeploymentError::StoreLost { .. } => {
            "put the store back; for a new deployment use an empty folder with --data-dir"
        }
        DeploymentError::Incomplete => {
            "if a copy was cut off, empty this store and copy again, or serve the one it was copied from; otherwise put the \
             newest store back"
        }
        DeploymentError::RootWithoutStore => {
            "put the store back, or found a new deployment under this root with --init"
        }
        DeploymentError::RolledBack { .. } => {
            "put the newest store back, or accept what was lost since with --accept-rollback"
        }
        DeploymentError::Malformed => RESTORE,
    }
    .to_owned()
}

fn of_system(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::PermissionDenied => "run as the user it belongs to, or use another folder with --data-dir",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space on that file system and start again"
        }
        io::ErrorKind::ReadOnlyFilesystem => "use a folder on a file system that can be written with --data-dir",
        io::ErrorKind::NotFound => "check the name, or use another folder with --data-dir",
        _ => "check the file system and the kernel's log",
    }
    .to_owned()
}

const RESTORE: &str =
    "restore the data folder from your copy; do not delete it, what is readable in it may be all there is";
/// How the standard library prints `ENOSPC`.
const NO_SPACE: &str = "os error 28";
