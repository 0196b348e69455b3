//! What can go wrong, in the core's own words.

use std::time::Duration;

use strongroom_crypto::CryptoError;
use strongroom_security_domain::SecurityDomainError;
use strongroom_store::StoreError;
use strongroom_types::{
    DataAction, DomainId, Epoch, KeyName, KeyOperation, KeyPermission, KeyVersion, PrincipalId, Scope,
};

use crate::attestation::AttestationProblem;
use crate::backup::{BackupProblem, JobId};
use crate::blobs::BlobError;
use crate::network::Refusal;
use crate::throttle::Limited;

/// The core's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What happened. Never a status: the server maps each variant to the wire in one place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's roles do not allow it.
    #[error("not authorized to access {action} on {scope}")]
    Forbidden {
        /// What was asked for.
        action: DataAction,
        /// On what.
        scope: Scope,
    },
    /// No Azure role of the caller allows it in this vault.
    #[error("{principal} may not perform {action} on {resource}")]
    ForbiddenByRbac {
        /// Who asked.
        principal: PrincipalId,
        /// The data action that no role allows.
        action: &'static str,
        /// The resource id of the vault, or of the key in it.
        resource: String,
    },
    /// No access policy of this vault allows it to the caller.
    #[error("{principal} has no key permission {permission} on {vault}")]
    ForbiddenByPolicy {
        /// Who asked.
        principal: PrincipalId,
        /// The permission that no policy gives.
        permission: KeyPermission,
        /// The resource id of the vault.
        vault: String,
    },
    /// The network rules of the HSM or vault do not let the request in.
    #[error("the network rules refuse requests from {}", .0.origin)]
    RefusedByNetwork(Box<Refusal>),
    /// The caller belongs to another tenant than the HSM.
    #[error("the token is of another tenant")]
    ForeignTenant,
    /// Before activation only the security-domain calls answer.
    #[error("the managed HSM is not activated")]
    NotActivated,
    /// The HSM or the vault is soft-deleted or gone.
    #[error("the managed HSM or vault does not exist")]
    HsmNotFound,
    /// The security domain has been downloaded (or recovered) already.
    #[error("the managed HSM is already activated")]
    AlreadyActivated,
    /// The policy lets nobody download the security domain of an active HSM, or rotate it.
    #[error("the security domain of an active managed HSM is not given out")]
    DownloadDisabled,
    /// The policy wants a quorum of the custodians first.
    #[error("no quorum of the custodians has proved itself")]
    QuorumNotProved,
    /// The upload holds the HSM's security domain as it was before, or as it may become.
    #[error("the upload holds the security domain at epoch {uploaded:?}, the managed HSM is at {own:?}")]
    OtherEpoch {
        /// The newest epoch of what was uploaded.
        uploaded: Epoch,
        /// The epoch the HSM is at.
        own: Epoch,
    },
    /// Nothing on this machine opens the HSM: its quorum must upload its security domain first.
    #[error("the managed HSM is sealed")]
    Sealed,
    /// A recovery waits for its upload.
    #[error("a recovery of the managed HSM is under way")]
    RecoveryInProgress,
    /// There is no transfer key: no recovery was begun, or the key has expired, failed too often, or ended with a restart.
    #[error("the managed HSM has no transfer key")]
    NoTransferKey,
    /// What the request needs is in the memory of another node of the cluster, and never leaves it.
    #[error("{what} is in the memory of another node")]
    OnAnotherNode {
        /// What is there.
        what: &'static str,
    },
    /// A sealed HSM takes its own security domain only.
    #[error("the upload holds security domain {uploaded}, the managed HSM has {own}")]
    OtherSecurityDomain {
        /// What was uploaded.
        uploaded: DomainId,
        /// What is sealed.
        own: DomainId,
    },
    /// No such key, version or deleted key.
    #[error("key {name} was not found")]
    KeyNotFound {
        /// The name asked for.
        name: KeyName,
        /// The version asked for, if one was named.
        version: Option<KeyVersion>,
    },
    /// The name is held by a soft-deleted key.
    #[error("key {name} is deleted but recoverable")]
    KeyDeleted {
        /// The name.
        name: KeyName,
    },
    /// The name is held by a key that is in use.
    #[error("key {name} exists")]
    KeyExists {
        /// The name.
        name: KeyName,
    },
    /// A backup of a key is not whole and unaltered, of a later version, or not of this security domain.
    #[error("the key backup does not open here")]
    BackupRefused,
    /// A restore of one key would drop versions that the backup does not hold.
    #[error("key {name} has versions that the backup lacks; delete and purge it first if they may go")]
    NewerVersions {
        /// The name.
        name: KeyName,
    },
    /// The HSM is being restored: its keys and rights are about to be others.
    #[error(
        "the managed HSM is being restored; until that ends nothing answers but the status of backups and restores"
    )]
    Restoring,
    /// One backup or restore at a time.
    #[error("a backup or restore of this managed HSM is under way (job {job}); one at a time: wait until it has ended")]
    JobInProgress {
        /// What is under way.
        job: JobId,
    },
    /// No such backup or restore, or not any more.
    #[error("there is no job {job}")]
    JobNotFound {
        /// What was asked for.
        job: String,
    },
    /// Before it is restored, the target must have been backed up itself.
    #[error(
        "a managed HSM must be backed up before it is restored, and no backup of this one has succeeded within the last \
         {minutes} minutes: run az keyvault backup start, and restore within {minutes} minutes"
    )]
    NoFreshBackup {
        /// How old such a backup may be.
        minutes: u32,
    },
    /// A restore that brings rights back needs all of them.
    #[error("only a Managed HSM Administrator at / may restore this backup: {reason}")]
    RestoreNeedsAdministrator {
        /// What makes it so.
        reason: &'static str,
    },
    /// A full backup cannot be used.
    #[error(transparent)]
    Backup(#[from] BackupProblem),
    /// The blob store did not do it.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The key is not enabled.
    #[error("key {name} is disabled")]
    KeyDisabled {
        /// The name.
        name: KeyName,
    },
    /// The key is outside its validity window for an operation that needs it.
    #[error("key {name} is {problem}")]
    KeyOutsideValidity {
        /// The name.
        name: KeyName,
        /// `not yet valid` or `expired`.
        problem: &'static str,
    },
    /// The operation is not in the key's `key_ops`.
    #[error("operation {operation} is not permitted on key {name}")]
    OperationNotPermitted {
        /// The name.
        name: KeyName,
        /// The operation.
        operation: KeyOperation,
    },
    /// The environment that a key was asked for is not one its policy accepts.
    #[error("the attestation was refused: {problem}")]
    AttestationRefused {
        /// Why.
        problem: AttestationProblem,
    },
    /// A key is rotated on request only if it has a rotation policy.
    #[error("key {name} has no rotation policy")]
    RotationPolicyMissing {
        /// The name.
        name: KeyName,
    },
    /// The key cannot be purged yet.
    #[error("purge protection is on: key {name} is kept until its retention ends")]
    PurgeProtected {
        /// The name.
        name: KeyName,
    },
    /// An input is wrong.
    #[error("{parameter}: {problem}")]
    BadParameter {
        /// The parameter, in the words of the wire.
        parameter: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A wrapped key that was to be imported does not open, or is not what it was said to be. One error whatever the cause.
    #[error("the wrapped key could not be opened")]
    WrappedKeyRejected,
    /// A limit of the service is reached.
    #[error("{what}: the limit of {limit} is reached")]
    LimitReached {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The HSM's administrators do not let the management plane deal with keys.
    #[error("the management plane may not deal with keys of this managed HSM")]
    ManagementNotAllowed,
    /// No such setting.
    #[error("setting {name} was not found")]
    SettingNotFound {
        /// What was asked for.
        name: String,
    },
    /// No such role definition.
    #[error("role definition {id} was not found")]
    RoleDefinitionNotFound {
        /// What was asked for.
        id: String,
    },
    /// A custom role cannot be removed while it is assigned.
    #[error("role definition {id} is in use by {assignments} role assignments")]
    RoleDefinitionInUse {
        /// The role.
        id: String,
        /// How many assignments there are.
        assignments: usize,
    },
    /// Another role has this name.
    #[error("role {role_name} exists already as {existing}")]
    RoleNameTaken {
        /// The name asked for.
        role_name: String,
        /// The id of the role that has it.
        existing: String,
    },
    /// No such role assignment.
    #[error("role assignment {name} was not found")]
    RoleAssignmentNotFound {
        /// What was asked for.
        name: String,
    },
    /// The same principal has the same role at the same scope already.
    #[error("the role assignment exists already as {existing}")]
    RoleAssignmentExists {
        /// The name of the one that exists.
        existing: String,
    },
    /// The last administrator would go.
    #[error("{principal} is the last administrator")]
    LastAdministrator {
        /// The principal whose assignment was to be removed.
        principal: PrincipalId,
    },
    /// Too much is waiting already.
    #[error("too many requests are waiting")]
    Throttled,
    /// A caller asks, or a key is used, more often than the operator allows.
    #[error("{limited} has no token left for {wait:?}")]
    RateExceeded {
        /// Whose bucket is empty.
        limited: Limited,
        /// When there is a token again.
        wait: Duration,
    },
    /// What was read has been changed by somebody else in between.
    #[error("the resource was changed at the same time")]
    Conflict,
    /// A stored record does not open, or is older than one that was seen: the store was damaged, altered or rolled back.
    #[error("record {key} cannot be trusted: {problem}")]
    Tampered {
        /// The store key.
        key: String,
        /// What was found.
        problem: &'static str,
    },
    /// This store or folder belongs to something else, or the root does not fit.
    #[error("{0}")]
    Deployment(#[from] DeploymentError),
    /// The security domain refused its input.
    #[error(transparent)]
    SecurityDomain(#[from] SecurityDomainError),
    /// The cryptographic boundary refused its input, or failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The audit log cannot be written, so nothing that must be recorded may happen.
    #[error("the audit log cannot be written")]
    AuditUnavailable,
    /// A mistake of ours.
    #[error("internal fault: {0}")]
    Internal(&'static str),
}

/// Why a deployment cannot be opened. All of these stop `serve`.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// The root provider's secret is not the one the store was founded with.
    #[error("the platform root does not fit this store")]
    WrongRoot,
    /// The store was founded under another kind of root.
    #[error("the store was founded with root provider {founded}, {configured} is configured")]
    OtherRootProvider {
        /// What the deployment record says.
        founded: String,
        /// What this node was started with.
        configured: &'static str,
    },
    /// The data folder belongs to another deployment.
    #[error("the data folder belongs to deployment {folder}, the store holds {store}")]
    OtherDeployment {
        /// What the folder remembers.
        folder: String,
        /// What the store says.
        store: String,
    },
    /// The folder remembers a deployment but the store is empty.
    #[error("the store is empty, but the data folder belongs to deployment {folder}")]
    StoreLost {
        /// What the folder remembers.
        folder: String,
    },
    /// A root exists, but the store is empty.
    #[error("the store is empty, but a platform root exists already")]
    RootWithoutStore,
    /// There are records and no deployment that they belong to.
    #[error("the store holds records but no deployment: a copy into it was cut off, or its deployment record is gone")]
    Incomplete,
    /// The store is older than what this node has seen.
    #[error("record {key} is older than this node has seen ({found} < {seen}): the store was rolled back")]
    RolledBack {
        /// A record that shows it.
        key: String,
        /// Its change number.
        found: u64,
        /// The highest this node has seen.
        seen: u64,
    },
    /// The deployment record cannot be read.
    #[error("the deployment record is malformed")]
    Malformed,
}

impl Error {
    /// A wrong input.
    pub fn bad_parameter(parameter: &'static str, problem: impl Into<String>) -> Self {
        Self::BadParameter { parameter, problem: problem.into() }
    }
    /// Whether what was asked for may have been done already: the store's answer is lost.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::Store(StoreError::OutcomeUnknown(_)))
    }
}
