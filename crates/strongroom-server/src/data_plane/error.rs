//! The one place where the core's errors become statuses, codes and messages (data-plane.md §6).

use std::time::Duration;

use http::StatusCode;
use strongroom_api::error::ErrorBody;
use strongroom_api::version::ApiVersion;
use strongroom_core::Error;
use strongroom_core::audit::Result as EventResult;
use strongroom_core::blobs::BlobError;
use strongroom_core::network::{Refusal, RefusedBy};
use strongroom_core::throttle::Limited;
use strongroom_crypto::CryptoError;
use strongroom_security_domain::SecurityDomainError;
use strongroom_store::StoreError;
use strongroom_types::{DomainId, Epoch, KeyName, KeyPermission, KeyVersion, PrincipalId};
use uuid::Uuid;

use super::Product;
use crate::http::exchange::{OUTCOME_UNKNOWN, Outbound, TOO_LARGE, json, retryable, with_header};

/// Why a request of the data plane failed: at the edge, or in the core.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// No `api-version`.
    ApiVersionMissing,
    /// An `api-version` this server does not speak.
    ApiVersionUnknown,
    /// The operation came later.
    ApiVersionTooOld {
        /// The first version that has it.
        since: ApiVersion,
    },
    /// No such path.
    RouteNotFound,
    /// The path has no such verb.
    MethodNotAllowed,
    /// The body is not what the operation takes.
    BadBody(String),
    /// The directory cannot be read, so nobody can be told apart.
    DirectoryUnavailable,
    /// The core refused or failed.
    Core(Error),
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

/// Status, code, inner code and message of an error.
struct Shape {
    status: StatusCode,
    code: &'static str,
    inner: Option<&'static str>,
    message: String,
}

fn shape(status: StatusCode, code: &'static str, message: impl Into<String>) -> Shape {
    Shape { status, code, inner: None, message: message.into() }
}

impl ApiError {
    /// The answer, and what the audit log says of it. Causes of 500 and 503 go to the log, not to the client.
    pub(crate) fn answer(self, request_id: Uuid, product: Product) -> (Outbound, EventResult) {
        let Shape { status, code, inner, message } = self.shape();
        if status.is_server_error() {
            tracing::error!(%request_id, error = %self.cause(), "a request failed");
        }
        let message = product.message(&message, request_id);
        let mut body = ErrorBody::new(code, message.clone());
        if let Some(inner) = inner {
            body = body.with_inner(inner);
        }
        let outcome_unknown = matches!(&self, Self::Core(error) if error.is_outcome_unknown());
        let mut answer = retryable(json(status, &body), outcome_unknown);
        if let Self::Core(Error::RateExceeded { wait, .. }) = &self {
            answer = with_header(answer, "retry-after", &whole_seconds(*wait).to_string());
        }
        (answer, EventResult { status: status.as_u16(), code: code.into(), message })
    }

    fn cause(&self) -> String {
        let Self::Core(error) = self else { return String::new() };
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    }

    fn shape(&self) -> Shape {
        let bad = |message: String| shape(StatusCode::BAD_REQUEST, "BadParameter", message);
        match self {
            Self::ApiVersionMissing => bad("The api-version query parameter is required".to_owned()),
            Self::ApiVersionUnknown => bad(format!(
                "The api-version is not supported. Supported are {}",
                ApiVersion::SPELLINGS.iter().map(|(spelling, _)| *spelling).collect::<Vec<_>>().join(", ")
            )),
            Self::ApiVersionTooOld { since } => bad(format!("This operation needs api-version {since} or later")),
            Self::RouteNotFound => shape(StatusCode::NOT_FOUND, "NotFound", "There is no such resource"),
            Self::MethodNotAllowed => {
                shape(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "The resource has no such operation")
            }
            Self::BadBody(problem) => bad(problem.clone()),
            Self::DirectoryUnavailable => unavailable("The directory is unavailable; try again later"),
            Self::Core(error) => core_shape(error),
        }
    }
}

fn core_shape(error: &Error) -> Shape {
    match error {
        Error::Crypto(problem) => crypto_shape(problem),
        Error::Store(problem) => store_shape(problem),
        // Not the client's to mend, though it came up while its custodians were served.
        Error::SecurityDomain(SecurityDomainError::Crypto(problem)) => crypto_shape(problem),
        Error::SecurityDomain(SecurityDomainError::SelfCheck | SecurityDomainError::UnknownEpoch) => internal(),
        error => {
            let (status, code, inner) = core_code(error);
            Shape { status, code, inner, message: core_message(error) }
        }
    }
}

/// Status, code and inner code.
fn core_code(error: &Error) -> (StatusCode, &'static str, Option<&'static str>) {
    let forbidden = |inner| (StatusCode::FORBIDDEN, "Forbidden", inner);
    let conflict = |inner| (StatusCode::CONFLICT, "Conflict", inner);
    let missing = |code| (StatusCode::NOT_FOUND, code, None);
    match error {
        Error::BadParameter { .. }
        | Error::LimitReached { .. }
        | Error::WrappedKeyRejected
        | Error::BackupRefused
        | Error::RotationPolicyMissing { .. }
        | Error::OtherSecurityDomain { .. }
        | Error::OtherEpoch { .. }
        | Error::SecurityDomain(_) => (StatusCode::BAD_REQUEST, "BadParameter", None),
        Error::RefusedByNetwork(refusal) => forbidden(Some(network_code(refusal.by))),
        Error::Blob(BlobError::Unavailable(_)) => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", None),
        Error::NoFreshBackup { .. } | Error::Backup(_) | Error::Blob(_) => {
            (StatusCode::BAD_REQUEST, "BadRequest", None)
        }
        // The plane answers it with a challenge before it comes here.
        Error::ForeignTenant => (StatusCode::UNAUTHORIZED, "Unauthorized", None),
        Error::Forbidden { .. } => (StatusCode::FORBIDDEN, "AccessDenied", None),
        Error::ForbiddenByRbac { .. } => forbidden(Some("ForbiddenByRbac")),
        Error::ForbiddenByPolicy { .. } => forbidden(Some("ForbiddenByPolicy")),
        Error::NotActivated => forbidden(Some("NotActivated")),
        Error::QuorumNotProved => forbidden(Some("QuorumNotProved")),
        // Only the management plane is told so.
        Error::ManagementNotAllowed => forbidden(None),
        Error::KeyDisabled { .. } => forbidden(Some("KeyDisabled")),
        Error::OperationNotPermitted { .. } => forbidden(Some("KeyOperationForbidden")),
        Error::AttestationRefused { .. } => forbidden(Some("AccessDenied")),
        Error::KeyOutsideValidity { .. } | Error::PurgeProtected { .. } | Error::LastAdministrator { .. } => {
            forbidden(None)
        }
        Error::HsmNotFound => missing("NotFound"),
        Error::KeyNotFound { .. } => missing("KeyNotFound"),
        Error::SettingNotFound { .. } => missing("SettingNotFound"),
        Error::JobNotFound { .. } => missing("JobNotFound"),
        Error::RoleDefinitionNotFound { .. } => missing("RoleDefinitionNotFound"),
        Error::RoleAssignmentNotFound { .. } => missing("RoleAssignmentNotFound"),
        Error::AlreadyActivated
        | Error::DownloadDisabled
        | Error::RecoveryInProgress
        | Error::NoTransferKey
        | Error::KeyExists { .. }
        | Error::NewerVersions { .. }
        | Error::Conflict => conflict(None),
        // Neither 503 nor 429: clients would ask again and again for as long as it takes.
        Error::Restoring => conflict(Some("RestoreInProgress")),
        Error::JobInProgress { .. } => conflict(Some("JobInProgress")),
        Error::RestoreNeedsAdministrator { .. } => (StatusCode::FORBIDDEN, "AccessDenied", None),
        Error::KeyDeleted { .. } => conflict(Some("ObjectIsDeletedButRecoverable")),
        Error::RoleDefinitionInUse { .. } => conflict(Some("RoleDefinitionHasAssignments")),
        Error::RoleNameTaken { .. } => conflict(Some("RoleDefinitionWithSameNameExists")),
        Error::RoleAssignmentExists { .. } => (StatusCode::CONFLICT, "RoleAssignmentExists", None),
        Error::Throttled | Error::RateExceeded { .. } => (StatusCode::TOO_MANY_REQUESTS, "Throttled", None),
        Error::Sealed => (StatusCode::SERVICE_UNAVAILABLE, "Sealed", None),
        // A load balancer may send the next attempt to that node.
        Error::OnAnotherNode { .. } => (StatusCode::SERVICE_UNAVAILABLE, "OnAnotherNode", None),
        Error::AuditUnavailable | Error::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", None),
        Error::Tampered { .. } | Error::Deployment(_) | Error::Crypto(_) | Error::Internal(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "InternalError", None)
        }
    }
}

/// What the client is told. Causes of 500 and 503 are not for it.
fn core_message(error: &Error) -> String {
    match error {
        Error::Forbidden { action, scope } => format!("Not authorized to access {action} on {scope}"),
        Error::ForbiddenByRbac { principal, action, resource } => refused_by_rbac(*principal, action, resource),
        Error::ForbiddenByPolicy { principal, permission, vault } => refused_by_policy(*principal, *permission, vault),
        Error::RefusedByNetwork(refusal) => refused_by_network(refusal),
        Error::ForeignTenant => "The token is not of this tenant".to_owned(),
        Error::NotActivated => NOT_ACTIVATED.to_owned(),
        Error::ManagementNotAllowed => "The management plane may not deal with keys of this managed HSM".to_owned(),
        Error::HsmNotFound => "There is no managed HSM or vault of this name".to_owned(),
        Error::AlreadyActivated => "The managed HSM has been activated already".to_owned(),
        Error::RecoveryInProgress => RECOVERY_IN_PROGRESS.to_owned(),
        Error::NoTransferKey => NO_TRANSFER_KEY.to_owned(),
        Error::OtherSecurityDomain { uploaded, own } => other_domain(*uploaded, *own),
        Error::OtherEpoch { uploaded, own } => other_epoch(*uploaded, *own),
        Error::DownloadDisabled => DOWNLOAD_DISABLED.to_owned(),
        Error::QuorumNotProved => QUORUM_NOT_PROVED.to_owned(),
        Error::Sealed => SEALED.to_owned(),
        Error::OnAnotherNode { what } => on_another_node(what),
        Error::KeyNotFound { name, version } => key_not_found(name, *version),
        Error::KeyDeleted { name } => key_deleted(name),
        Error::KeyExists { name } => format!("Key {name} exists already"),
        Error::NewerVersions { .. }
        | Error::Restoring
        | Error::JobInProgress { .. }
        | Error::JobNotFound { .. }
        | Error::NoFreshBackup { .. }
        | Error::RestoreNeedsAdministrator { .. }
        | Error::Backup(_) => error.to_string(),
        Error::Blob(BlobError::Unavailable(_)) => "The blob store does not answer; try again later".to_owned(),
        Error::Blob(problem) => problem.to_string(),
        Error::KeyDisabled { name } => format!("Key {name} is disabled"),
        Error::KeyOutsideValidity { name, problem } => format!("Key {name} is {problem}"),
        Error::OperationNotPermitted { name, operation } => {
            format!("Operation {operation} is not permitted on key {name}")
        }
        // The sentence is the service's; the reason behind it is ours.
        Error::AttestationRefused { problem } => {
            format!("Target environment attestation statement cannot be verified: {problem}.")
        }
        Error::BackupRefused => BACKUP_REFUSED.to_owned(),
        Error::RotationPolicyMissing { name } => rotation_policy_missing(name),
        Error::PurgeProtected { name } => purge_protected(name),
        Error::BadParameter { parameter, problem } => format!("{parameter}: {problem}"),
        Error::WrappedKeyRejected => WRAPPED_KEY_REJECTED.to_owned(),
        Error::LimitReached { what, limit } => format!("The limit of {limit} {what} is reached"),
        Error::SettingNotFound { name } => format!("Setting not found: {name}"),
        Error::RoleDefinitionNotFound { id } => format!("Role definition not found: {id}"),
        Error::RoleDefinitionInUse { id, assignments } => {
            format!("Role definition {id} is in use by {assignments} role assignments; delete them first")
        }
        Error::RoleNameTaken { role_name, existing } => {
            format!("A role of the name {role_name} exists already: {existing}")
        }
        Error::RoleAssignmentNotFound { name } => format!("Role assignment not found: {name}"),
        Error::RoleAssignmentExists { existing } => {
            format!("The role assignment already exists under the name {existing}")
        }
        Error::LastAdministrator { principal } => last_administrator(*principal),
        Error::Throttled => "Too many requests are waiting; try again later".to_owned(),
        Error::RateExceeded { limited, wait } => rate_exceeded(*limited, *wait),
        Error::Conflict => "The resource was changed at the same time; try again".to_owned(),
        Error::SecurityDomain(problem) => problem.to_string(),
        Error::AuditUnavailable => "The audit log cannot be written; nothing is done until it can".to_owned(),
        Error::Store(_) => "The store is unavailable; try again later".to_owned(),
        Error::Tampered { .. } | Error::Deployment(_) | Error::Crypto(_) | Error::Internal(_) => FAULT.to_owned(),
    }
}

fn rate_exceeded(limited: Limited, wait: Duration) -> String {
    let what = match limited {
        Limited::Principal => "This principal asks too often",
        Limited::Key => "This key is used too often",
    };
    format!("{what}; try again in {} s", whole_seconds(wait))
}

/// As `Retry-After` says it: not too early, and never at once.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

fn key_not_found(name: &KeyName, version: Option<KeyVersion>) -> String {
    let version = version.map(|version| format!("/{version}")).unwrap_or_default();
    format!("Key not found: {name}{version}")
}

fn rotation_policy_missing(name: &KeyName) -> String {
    format!("Key {name} has no rotation policy; set one before it is rotated")
}

fn purge_protected(name: &KeyName) -> String {
    format!("Purge protection is on: key {name} is kept until its scheduled purge date")
}

fn key_deleted(name: &KeyName) -> String {
    format!(
        "Key {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the key \
         can only be recovered or purged"
    )
}

fn last_administrator(principal: PrincipalId) -> String {
    format!(
        "{principal} holds the last Managed HSM Administrator assignment at /; assign the role to another principal first"
    )
}

fn other_domain(uploaded: DomainId, own: DomainId) -> String {
    format!("value: this is security domain {uploaded}; the managed HSM has its own, {own}, and takes no other")
}

fn on_another_node(what: &str) -> String {
    format!(
        "This needs {what}, which is in the memory of another node of the cluster and never leaves it. Send both calls of a \
         download or of a recovery to the same node; if that node was restarted since, begin again (az keyvault \
         security-domain download, or init-recovery)"
    )
}

fn other_epoch(uploaded: Epoch, own: Epoch) -> String {
    format!(
        "value: this file holds the security domain up to epoch {}, and the managed HSM is at epoch {}; use the file of the \
         last rotation",
        uploaded.number(),
        own.number()
    )
}

fn refused_by_rbac(principal: PrincipalId, action: &str, resource: &str) -> String {
    format!(
        "Caller is not authorized to perform action on resource. If role assignments or role definitions were changed \
         recently, try again. Caller: oid={principal}. Action: '{action}'. Resource: '{resource}'"
    )
}

fn refused_by_policy(principal: PrincipalId, permission: KeyPermission, vault: &str) -> String {
    format!(
        "The user, group or application 'oid={principal}' does not have keys {permission} permission on key vault '{vault}'"
    )
}

/// The inner code of a refusal by network rules.
pub(super) fn network_code(by: RefusedBy) -> &'static str {
    match by {
        RefusedBy::DefaultAction => "ForbiddenByFirewall",
        RefusedBy::PublicAccessDisabled | RefusedBy::NoPerimeter => "ForbiddenByConnection",
    }
}

fn refused_by_network(Refusal { by, origin }: &Refusal) -> String {
    let why = match by {
        RefusedBy::DefaultAction => {
            "The client address is not authorized: networkAcls.defaultAction is Deny, no rule names the address, and the \
             caller is not a trusted service that bypasses the rules"
        }
        RefusedBy::PublicAccessDisabled => {
            "Public network access is disabled: publicNetworkAccess is Disabled, the request came over no approved private \
             endpoint, and the caller is not a trusted service that bypasses the rules"
        }
        RefusedBy::NoPerimeter => {
            "Public network access is disabled: publicNetworkAccess is SecuredByPerimeter, there is no perimeter, and the \
             request came over no approved private endpoint"
        }
    };
    format!("{why}. Client address: {origin}")
}

fn store_shape(error: &StoreError) -> Shape {
    match error {
        StoreError::TooLarge { .. } => shape(StatusCode::BAD_REQUEST, "BadParameter", TOO_LARGE),
        StoreError::OutcomeUnknown(_) => unavailable(OUTCOME_UNKNOWN),
        _ => unavailable("The store is unavailable; try again later"),
    }
}

fn crypto_shape(error: &CryptoError) -> Shape {
    let bad = |message: String| shape(StatusCode::BAD_REQUEST, "BadParameter", message);
    match error {
        CryptoError::Rejected => bad("value: the value could not be decrypted or unwrapped with this key".to_owned()),
        CryptoError::UnsuitableAlgorithm { algorithm } => {
            bad(format!("alg: {algorithm} does not fit the type or size of this key, or this operation"))
        }
        CryptoError::BadInput { parameter, problem } => bad(format!("{parameter}: {problem}")),
        CryptoError::MalformedMaterial
        | CryptoError::Entropy
        | CryptoError::Library(_)
        | CryptoError::RootFile { .. } => internal(),
    }
}

fn internal() -> Shape {
    shape(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", FAULT)
}

fn unavailable(message: &'static str) -> Shape {
    shape(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
}

const BACKUP_REFUSED: &str = "value: this is no whole and unaltered backup of a key that was made under this managed HSM's \
                              security domain by this version or an earlier one";
const WRAPPED_KEY_REJECTED: &str =
    "key_hsm: the key could not be unwrapped with this key exchange key, or is not of the type asked for";
const FAULT: &str = "The server failed; its log names the cause";
const RECOVERY_IN_PROGRESS: &str = "A recovery of this managed HSM is under way. Finish it (az keyvault security-domain \
                                    upload), or delete and purge the managed HSM and create it anew";
const NO_TRANSFER_KEY: &str = "There is no transfer key to open this upload with: none was asked for, or it has expired, was \
                               destroyed after too many failures, or ended with a restart of the server. Begin again with \
                               az keyvault security-domain init-recovery";
const DOWNLOAD_DISABLED: &str = "The managed HSM has been activated already, and the policy of this deployment, download_again = \
                                 \"disabled\", gives its security domain to nobody again. Whoever runs the server can set \
                                 [security_domain] download_again to \"quorum\"; custodians can make a file for others \
                                 offline with strongroom ceremony rewrap";
const QUORUM_NOT_PROVED: &str = "The managed HSM has been activated already, and the policy of this deployment, download_again = \
                                 \"quorum\", wants a quorum of its custodians first: az keyvault security-domain \
                                 init-recovery, then upload with their file; within an hour one download or rotation may \
                                 follow";
const SEALED: &str = "The managed HSM is sealed since the start of this server, or since a rotation that another node has \
                      confirmed: a quorum of its custodians must upload its security domain to this node (az keyvault \
                      security-domain init-recovery, then upload)";
const NOT_ACTIVATED: &str = "The managed HSM is not activated. Activate it by downloading its security domain (az keyvault \
                             security-domain download), or recover another one's (az keyvault security-domain init-recovery)";

#[cfg(test)]
pub(crate) mod tests;
