//! Errors of the management plane on the wire: the one place that maps them (management-plane.md §7).

use http::StatusCode;
use strongroom_api::error::ErrorBody;
use strongroom_core::audit::{Result as EventResult, rfc3339};
use strongroom_core::identity::IdentityError;
use strongroom_core::{Error as CoreError, pools};
use strongroom_store::StoreError;
use uuid::Uuid;

use crate::arm::storage::StorageKeyError;
use crate::arm::versions;
use crate::http::exchange::{OUTCOME_UNKNOWN, Outbound, TOO_LARGE, json, retryable};

/// Why a request is not answered with success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArmError {
    /// No `api-version` was given.
    #[error("the api-version is missing")]
    ApiVersionMissing,
    /// It is no date.
    #[error("api-version {0} is not valid")]
    ApiVersionNotValid(String),
    /// The provider does not know it.
    #[error("api-version {0} is not supported")]
    ApiVersionNotSupported(String),
    /// The path cannot be decoded.
    #[error("the path is malformed")]
    PathMalformed,
    /// No such provider.
    #[error("there is no resource provider {0}")]
    NamespaceUnknown(String),
    /// No operation has this path.
    #[error("there is nothing under this path")]
    RouteNotFound,
    /// Operations have this path, but not this method.
    #[error("the method is not allowed here")]
    MethodNotAllowed,
    /// The subscription in the path is no GUID.
    #[error("{0} is no subscription id")]
    SubscriptionIdNotValid(String),
    /// A name in the path that must be a GUID is none.
    #[error("{0} is no GUID")]
    GuidNotValid(String),
    /// What comes before the authorization provider is no scope.
    #[error("the scope is not valid")]
    ScopeNotValid,
    /// `$filter` is not understood.
    #[error("the filter is not valid")]
    FilterNotValid,
    /// A query parameter is wrong.
    #[error("query parameter {0} is not valid")]
    QueryNotValid(&'static str),
    /// The body is no JSON, or not of the shape expected.
    #[error("the body is not valid: {0}")]
    BodyNotValid(String),
    /// No shared key is configured for a storage account.
    #[error("no shared key is configured for storage account {0}")]
    StorageKeyNotConfigured(String),
    /// The file with a shared key cannot be used.
    #[error(transparent)]
    StorageKey(#[from] StorageKeyError),
    /// The core refused or failed.
    #[error(transparent)]
    Pools(#[from] pools::Error),
}

impl From<strongroom_core::Error> for ArmError {
    fn from(error: strongroom_core::Error) -> Self {
        Self::Pools(error.into())
    }
}

impl ArmError {
    /// The answer, and how the audit log calls it.
    pub(crate) fn answer(&self, request_id: Uuid) -> (Outbound, EventResult) {
        let ((status, code), message) = (self.status(), self.message());
        if status.is_server_error() {
            tracing::error!(%request_id, error = self as &dyn std::error::Error, "a management request failed");
        }
        let answer = json(status, &ErrorBody::new(code, message.as_str()));
        let answer = retryable(answer, self.core().is_some_and(CoreError::is_outcome_unknown));
        (answer, EventResult { status: status.as_u16(), code: code.into(), message })
    }

    /// Whether the request is to be authorized again from the start (protocols.md §4).
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self.core(), Some(CoreError::Conflict))
    }

    /// The core's own error, if it is one.
    fn core(&self) -> Option<&CoreError> {
        match self {
            Self::Pools(pools::Error::Core(error) | pools::Error::Directory(IdentityError::Core(error))) => Some(error),
            _ => None,
        }
    }

    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::ApiVersionMissing => (StatusCode::BAD_REQUEST, "MissingApiVersionParameter"),
            Self::ApiVersionNotValid(_) => (StatusCode::BAD_REQUEST, "InvalidApiVersionParameter"),
            Self::ApiVersionNotSupported(_) => (StatusCode::BAD_REQUEST, "NoRegisteredProviderFound"),
            Self::PathMalformed => (StatusCode::BAD_REQUEST, "InvalidRequestUri"),
            Self::NamespaceUnknown(_) => (StatusCode::NOT_FOUND, "InvalidResourceNamespace"),
            Self::RouteNotFound => (StatusCode::NOT_FOUND, "InvalidResourceType"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Self::SubscriptionIdNotValid(_) => (StatusCode::BAD_REQUEST, "InvalidSubscriptionId"),
            Self::GuidNotValid(_) | Self::ScopeNotValid => (StatusCode::BAD_REQUEST, "BadRequest"),
            Self::FilterNotValid => (StatusCode::BAD_REQUEST, "InvalidFilterInQueryString"),
            Self::QueryNotValid(_) => (StatusCode::BAD_REQUEST, "InvalidQueryParameter"),
            Self::BodyNotValid(_) => (StatusCode::BAD_REQUEST, "InvalidRequestContent"),
            Self::StorageKeyNotConfigured(_) => (StatusCode::CONFLICT, "StorageAccountKeyNotConfigured"),
            Self::StorageKey(_) => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            Self::Pools(error) => status_of_pools(error),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::ApiVersionMissing => "The query parameter api-version is required for all requests.".to_owned(),
            Self::ApiVersionNotValid(version) => {
                format!("The api-version '{version}' is not valid: a date such as 2024-11-01 is expected.")
            }
            Self::ApiVersionNotSupported(version) => format!(
                "No registered resource provider was found for api-version '{version}'. Microsoft.KeyVault supports: {}.",
                versions::KEY_VAULT.join(", ")
            ),
            Self::PathMalformed => "The path of the request cannot be decoded.".to_owned(),
            Self::NamespaceUnknown(namespace) => format!("The resource namespace '{namespace}' is not known here."),
            Self::RouteNotFound => "There is no resource type or operation under this path.".to_owned(),
            Self::MethodNotAllowed => "The resource does not support this method.".to_owned(),
            Self::SubscriptionIdNotValid(id) => format!("'{id}' is not a subscription id: a GUID is expected."),
            Self::GuidNotValid(text) => format!("'{text}' is not valid: a GUID is expected."),
            Self::ScopeNotValid => {
                "The scope is not valid: the id of a subscription, a resource group or a resource is \
                                    expected."
                    .to_owned()
            }
            Self::FilterNotValid => "The $filter is not understood.".to_owned(),
            Self::QueryNotValid(name) => format!("The query parameter {name} is not valid."),
            Self::BodyNotValid(problem) => format!("The body of the request is not valid: {problem}."),
            Self::StorageKeyNotConfigured(name) => format!(
                "No shared key of the storage account '{name}' is known here. The operator names the file that holds it in the \
                 configuration: key_file in its [[storage_account]]."
            ),
            Self::StorageKey(_) => {
                "The shared key cannot be read at the moment. The log of the server says more under the id of the request."
                    .to_owned()
            }
            Self::Pools(error) => message_of_pools(error),
        }
    }
}

fn status_of_pools(error: &pools::Error) -> (StatusCode, &'static str) {
    use pools::Error as E;
    match error {
        E::AuthorizationFailed { .. } => (StatusCode::FORBIDDEN, "AuthorizationFailed"),
        E::SubscriptionNotFound(_) => (StatusCode::NOT_FOUND, "SubscriptionNotFound"),
        E::ResourceGroupNotFound(_) => (StatusCode::NOT_FOUND, "ResourceGroupNotFound"),
        E::ResourceNotFound { .. }
        | E::DeletedHsmNotFound { .. }
        | E::DeletedVaultNotFound { .. }
        | E::OperationNotFound(_) => (StatusCode::NOT_FOUND, "ResourceNotFound"),
        E::NameNotValid { what: "managed HSM", .. } => (StatusCode::BAD_REQUEST, "ManagedHsmNameNotValid"),
        E::NameNotValid { what: "vault", .. } => (StatusCode::BAD_REQUEST, "VaultNameNotValid"),
        E::NameNotValid { what: "storage account", .. } => (StatusCode::BAD_REQUEST, "AccountNameInvalid"),
        E::NameNotValid { .. } => (StatusCode::BAD_REQUEST, "InvalidResourceName"),
        E::NameTaken(_) | E::NameDeleted(_) | E::VaultNameDeleted(_) | E::OperationInProgress(_) => {
            (StatusCode::CONFLICT, "ConflictError")
        }
        E::VaultNameTaken(_) => (StatusCode::CONFLICT, "VaultAlreadyExists"),
        E::VirtualNetworkNameTaken(_) => (StatusCode::CONFLICT, "ConflictError"),
        E::SubnetInUse { .. } => (StatusCode::BAD_REQUEST, "InUseSubnetCannotBeDeleted"),
        E::StorageAccountNameTaken(_) => (StatusCode::CONFLICT, "StorageAccountAlreadyTaken"),
        E::StorageAccountNotConfigured(_) => (StatusCode::BAD_REQUEST, "StorageAccountNotConfigured"),
        E::LocationRequired => (StatusCode::BAD_REQUEST, "LocationRequired"),
        E::LocationDiffers { .. } => (StatusCode::CONFLICT, "InvalidResourceLocation"),
        E::SkuNotSupported { .. } => (StatusCode::BAD_REQUEST, "SkuNotSupported"),
        E::BadProperty { .. } => (StatusCode::BAD_REQUEST, "BadRequest"),
        E::PurgeProtected { .. } => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        E::ResourceGroupNotEmpty(_) => (StatusCode::CONFLICT, "ResourceGroupDeletionBlocked"),
        E::RoleDefinitionNotFound(_) => (StatusCode::NOT_FOUND, "RoleDefinitionDoesNotExist"),
        E::RoleDefinitionInUse(_) => (StatusCode::BAD_REQUEST, "RoleDefinitionHasAssignments"),
        E::RoleDefinitionNameTaken(_) => (StatusCode::CONFLICT, "RoleDefinitionWithSameNameExists"),
        E::RoleDefinitionBuiltIn(_) => (StatusCode::BAD_REQUEST, "RoleDefinitionIsBuiltIn"),
        E::RoleAssignmentNotFound(_) => (StatusCode::NOT_FOUND, "RoleAssignmentNotFound"),
        E::RoleAssignmentExists { .. } => (StatusCode::CONFLICT, "RoleAssignmentExists"),
        E::RoleAssignmentUpdateNotPermitted(_) => (StatusCode::BAD_REQUEST, "RoleAssignmentUpdateNotPermitted"),
        E::LastRoleAdministrator => (StatusCode::BAD_REQUEST, "CannotDeleteLastRbacAdminAssignment"),
        E::LimitReached { .. } => (StatusCode::CONFLICT, "ResourceCountExceedsLimit"),
        E::Directory(error) => status_of_directory(error),
        E::Core(error) => status_of_core(error),
    }
}

fn message_of_pools(error: &pools::Error) -> String {
    use pools::Error as E;
    match error {
        E::AuthorizationFailed { principal, action, scope } => format!(
            "The client '{principal}' with object id '{principal}' does not have authorization to perform action \
             '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your \
             credentials."
        ),
        E::SubscriptionNotFound(id) => format!("The subscription '{id}' could not be found."),
        E::ResourceGroupNotFound(name) => format!("Resource group '{name}' could not be found."),
        E::ResourceNotFound { resource_type, name, group } => {
            format!("The Resource '{resource_type}/{name}' under resource group '{group}' was not found.")
        }
        E::DeletedHsmNotFound { name } => format!("No deleted managed HSM '{name}' was found."),
        E::DeletedVaultNotFound { name } => format!("No deleted vault '{name}' was found."),
        E::OperationNotFound(id) => format!("The operation '{id}' was not found."),
        E::NameNotValid { what, name, expected } => {
            format!("'{name}' is not a valid name of a {what}. Expected: {expected}.")
        }
        E::NameTaken(name) => {
            format!("The name '{name}' is already in use by another managed HSM. Names are global: choose another one.")
        }
        E::NameDeleted(name) => format!(
            "A managed HSM with the name '{name}' exists in deleted state. Recover it (createMode 'recover'), or purge it \
             to reuse the name."
        ),
        E::VaultNameTaken(name) => {
            format!("The vault name '{name}' is already in use. Vault names are global: choose another one.")
        }
        E::VaultNameDeleted(name) => format!(
            "A vault with the name '{name}' exists in deleted state. Recover it (createMode 'recover'), or purge it to reuse \
             the name."
        ),
        E::StorageAccountNameTaken(name) => {
            format!("The storage account named '{name}' is already taken. The names of storage accounts are global.")
        }
        E::StorageAccountNotConfigured(name) => not_configured(name),
        E::LocationRequired => "The location property is required for this definition.".to_owned(),
        E::LocationDiffers { name, group, existing, asked } => format!(
            "The resource '{name}' already exists in location '{existing}' in resource group '{group}'. It cannot be made \
             in or moved to location '{asked}'."
        ),
        E::SkuNotSupported { problem } => format!("The SKU is not supported: {problem}."),
        E::BadProperty { property, problem } => format!("The property '{property}' is not valid: {problem}."),
        E::PurgeProtected { name, scheduled_purge } => format!(
            "The purge is not allowed: purge protection is on for '{name}'. It is removed by \
             itself at {}.",
            rfc3339(*scheduled_purge)
        ),
        E::OperationInProgress(name) => {
            format!("Another operation on '{name}' is in progress. Try again when it is done.")
        }
        E::ResourceGroupNotEmpty(name) => {
            format!("Resource group '{name}' still holds resources: delete them first.")
        }
        E::LimitReached { what, limit } => format!("The limit of {limit} {what} is reached."),
        E::Core(error) => message_of_core(error),
        E::RoleDefinitionNotFound(_)
        | E::RoleDefinitionInUse(_)
        | E::RoleDefinitionNameTaken(_)
        | E::RoleDefinitionBuiltIn(_)
        | E::RoleAssignmentNotFound(_)
        | E::RoleAssignmentExists { .. }
        | E::RoleAssignmentUpdateNotPermitted(_)
        | E::LastRoleAdministrator
        | E::VirtualNetworkNameTaken(_)
        | E::SubnetInUse { .. } => sentence(&error.to_string()),
        E::Directory(error) => message_of_directory(error),
    }
}

fn not_configured(name: &str) -> String {
    format!(
        "There is no blob store for a storage account named '{name}'. The operator binds a name to a blob store in the \
         configuration: [[storage_account]] with name = \"{name}\", blob_endpoint and key_file, and a restart."
    )
}

fn status_of_directory(error: &IdentityError) -> (StatusCode, &'static str) {
    use IdentityError as E;
    match error {
        E::Core(error) => status_of_core(error),
        E::Protected => (StatusCode::CONFLICT, "ResourceProtected"),
        E::LimitReached { .. } => (StatusCode::CONFLICT, "ResourceCountExceedsLimit"),
        E::NameTaken { .. } | E::GroupNotEmpty => (StatusCode::CONFLICT, "ConflictError"),
        E::BadParameter { .. } => (StatusCode::BAD_REQUEST, "BadRequest"),
        E::PrincipalNotFound => (StatusCode::NOT_FOUND, "PrincipalNotFound"),
        // The management plane signs nobody in.
        E::NotFounded
        | E::ClientNotFound
        | E::PrincipalDisabled
        | E::WrongSecret
        | E::SecretExpired
        | E::RefreshTokenInvalid
        | E::AlreadyEnrolled => INTERNAL,
    }
}

fn status_of_core(error: &CoreError) -> (StatusCode, &'static str) {
    use CoreError as E;
    match error {
        E::Conflict | E::KeyDeleted { .. } | E::NotActivated | E::RecoveryInProgress | E::Restoring => {
            (StatusCode::CONFLICT, "ConflictError")
        }
        E::ManagementNotAllowed => (StatusCode::FORBIDDEN, "Forbidden"),
        E::KeyNotFound { .. } => (StatusCode::NOT_FOUND, "ResourceNotFound"),
        E::BadParameter { .. } | E::Store(StoreError::TooLarge { .. }) => (StatusCode::BAD_REQUEST, "BadRequest"),
        E::Throttled | E::RateExceeded { .. } => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
        E::Store(_) | E::AuditUnavailable | E::Sealed => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        // The management plane asks the core for nothing of this; if it happens it is a mistake of ours.
        E::Forbidden { .. }
        | E::ForbiddenByRbac { .. }
        | E::ForbiddenByPolicy { .. }
        | E::RefusedByNetwork(_)
        | E::ForeignTenant
        | E::HsmNotFound
        | E::AlreadyActivated
        | E::NoTransferKey
        | E::OnAnotherNode { .. }
        | E::OtherSecurityDomain { .. }
        | E::OtherEpoch { .. }
        | E::DownloadDisabled
        | E::QuorumNotProved
        | E::KeyExists { .. }
        | E::NewerVersions { .. }
        | E::JobInProgress { .. }
        | E::JobNotFound { .. }
        | E::NoFreshBackup { .. }
        | E::RestoreNeedsAdministrator { .. }
        | E::Backup(_)
        | E::Blob(_)
        | E::BackupRefused
        | E::RotationPolicyMissing { .. }
        | E::KeyDisabled { .. }
        | E::KeyOutsideValidity { .. }
        | E::OperationNotPermitted { .. }
        | E::AttestationRefused { .. }
        | E::PurgeProtected { .. }
        | E::WrappedKeyRejected
        | E::LimitReached { .. }
        | E::SettingNotFound { .. }
        | E::RoleDefinitionNotFound { .. }
        | E::RoleDefinitionInUse { .. }
        | E::RoleNameTaken { .. }
        | E::RoleAssignmentNotFound { .. }
        | E::RoleAssignmentExists { .. }
        | E::LastAdministrator { .. }
        | E::Tampered { .. }
        | E::Deployment(_)
        | E::SecurityDomain(_)
        | E::Crypto(_)
        | E::Internal(_) => INTERNAL,
    }
}

fn message_of_core(error: &CoreError) -> String {
    match error {
        CoreError::KeyNotFound { .. }
        | CoreError::KeyDeleted { .. }
        | CoreError::NotActivated
        | CoreError::RecoveryInProgress
        | CoreError::Restoring
        | CoreError::BadParameter { .. } => return sentence(&error.to_string()),
        CoreError::ManagementNotAllowed => return MANAGEMENT_NOT_ALLOWED.to_owned(),
        CoreError::Store(StoreError::TooLarge { .. }) => return sentence(TOO_LARGE),
        error if error.is_outcome_unknown() => return sentence(OUTCOME_UNKNOWN),
        _ => {}
    }
    let (status, _) = status_of_core(error);
    let message = match status {
        StatusCode::CONFLICT => "The resource was changed by somebody else at the same time. Try again.",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests are waiting. Try again in a moment.",
        StatusCode::SERVICE_UNAVAILABLE => "The service is not available at the moment. Try again in a moment.",
        _ => "The service made a mistake. Its log says more under the id of the request.",
    };
    message.to_owned()
}

fn message_of_directory(error: &IdentityError) -> String {
    match error {
        IdentityError::Core(error) => message_of_core(error),
        error if status_of_directory(error) == INTERNAL => message_of_core(&CoreError::Internal("")),
        error => sentence(&error.to_string()),
    }
}

const MANAGEMENT_NOT_ALLOWED: &str = "The management plane may not deal with keys of this managed HSM. One of its \
                                      administrators can allow it: az keyvault setting update --name \
                                      AllowKeyManagementOperationsThroughARM --value true.";

/// Our error texts begin in lower case and end without a full stop; what clients print does not.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str())
}

const INTERNAL: (StatusCode, &str) = (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError");

#[cfg(test)]
pub(crate) mod tests;
