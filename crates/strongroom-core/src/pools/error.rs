//! What can go wrong on the management plane, in its own words.

use strongroom_types::{PrincipalId, Timestamp};
use uuid::Uuid;

use crate::pools::{Action, ResourceScope};

/// The result of the management plane.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What happened. Never a status: the server maps each variant to the wire in one place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's roles do not allow it.
    #[error("the client with object id {principal} is not authorized to perform {action} over {scope}")]
    AuthorizationFailed {
        /// Who asked.
        principal: PrincipalId,
        /// What for.
        action: Action,
        /// Where.
        scope: Box<ResourceScope>,
    },
    /// No such subscription.
    #[error("subscription {0} was not found")]
    SubscriptionNotFound(Uuid),
    /// No such resource group.
    #[error("resource group {0} was not found")]
    ResourceGroupNotFound(String),
    /// No such resource in the group.
    #[error("resource {resource_type}/{name} was not found in resource group {group}")]
    ResourceNotFound {
        /// Such as `Microsoft.KeyVault/managedHSMs`.
        resource_type: &'static str,
        /// Its name.
        name: String,
        /// The group.
        group: String,
    },
    /// No soft-deleted HSM of that name at that location.
    #[error("no deleted managed HSM {name} was found")]
    DeletedHsmNotFound {
        /// The name asked for.
        name: String,
    },
    /// No soft-deleted vault of that name at that location.
    #[error("no deleted vault {name} was found")]
    DeletedVaultNotFound {
        /// The name asked for.
        name: String,
    },
    /// No such operation, or it ended too long ago, or the caller may not see it.
    #[error("operation {0} was not found")]
    OperationNotFound(Uuid),
    /// A name that cannot be one.
    #[error("{name} is no valid name of a {what}: expected {expected}")]
    NameNotValid {
        /// What was to be named.
        what: &'static str,
        /// The name, bounded by the edge.
        name: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The name of an HSM belongs to another one; names are global.
    #[error("the name {0} is in use by another managed HSM")]
    NameTaken(String),
    /// The name of an HSM is held by a soft-deleted one.
    #[error("the name {0} is held by a deleted managed HSM")]
    NameDeleted(String),
    /// The name of a vault belongs to another one; names are global.
    #[error("the name {0} is in use by another vault")]
    VaultNameTaken(String),
    /// The name of a vault is held by a soft-deleted one.
    #[error("the name {0} is held by a deleted vault")]
    VaultNameDeleted(String),
    /// The name of a storage account belongs to another one; names are global.
    #[error("the name {0} is in use by another storage account")]
    StorageAccountNameTaken(String),
    /// No blob store is configured for a storage account of that name.
    #[error("no blob store is configured for a storage account named {0}")]
    StorageAccountNotConfigured(String),
    /// The name of a virtual network belongs to another one; listeners are named by them.
    #[error(
        "the name {0} is in use by a virtual network elsewhere, and listeners are named by them: choose another one"
    )]
    VirtualNetworkNameTaken(String),
    /// Private endpoints lie in a subnet that is to go.
    #[error("private endpoint {endpoint} lies in subnet {subnet}: delete it first")]
    SubnetInUse {
        /// The subnet.
        subnet: String,
        /// One of the endpoints.
        endpoint: String,
    },
    /// The body names no location.
    #[error("a location is required")]
    LocationRequired,
    /// The resource exists at another location.
    #[error("{name} exists already at {existing}, not at {asked}")]
    LocationDiffers {
        /// The resource.
        name: String,
        /// Its group.
        group: String,
        /// Where it is.
        existing: String,
        /// Where it was asked for.
        asked: String,
    },
    /// The family or name of the SKU is none.
    #[error("the SKU is not supported: {problem}")]
    SkuNotSupported {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A property is wrong, missing, or cannot be changed.
    #[error("{property}: {problem}")]
    BadProperty {
        /// The property, in the words of the wire.
        property: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// Purge protection keeps a deleted HSM or vault until its retention ends.
    #[error("purge protection is on: {name} is kept until its retention ends")]
    PurgeProtected {
        /// The HSM or vault.
        name: String,
        /// When it goes by itself.
        scheduled_purge: Timestamp,
    },
    /// Another operation on the same HSM is not finished.
    #[error("another operation on {0} is in progress")]
    OperationInProgress(String),
    /// A resource group that still holds resources is not removed.
    #[error("resource group {0} is not empty")]
    ResourceGroupNotEmpty(String),
    /// No such role definition.
    #[error("role definition {0} was not found")]
    RoleDefinitionNotFound(String),
    /// A custom role that is assigned is not removed.
    #[error("role definition {0} is assigned")]
    RoleDefinitionInUse(Uuid),
    /// Another role has that name.
    #[error("a role definition named {0} exists already")]
    RoleDefinitionNameTaken(String),
    /// Built-in roles are not changed.
    #[error("role definition {0} is built in")]
    RoleDefinitionBuiltIn(Uuid),
    /// No such role assignment at that scope.
    #[error("role assignment {0} was not found")]
    RoleAssignmentNotFound(Uuid),
    /// The same principal has the same role at the same scope already.
    #[error("the role assignment exists already as {existing}")]
    RoleAssignmentExists {
        /// The name of the one that exists.
        existing: Uuid,
    },
    /// The name belongs to an assignment of something else.
    #[error("role assignment {0} exists with another role, principal or scope")]
    RoleAssignmentUpdateNotPermitted(Uuid),
    /// After this nobody could assign roles in the subscription any more.
    #[error("it is the last role assignment that allows to assign roles in the subscription")]
    LastRoleAdministrator,
    /// A limit of the service is reached.
    #[error("{what}: the limit of {limit} is reached")]
    LimitReached {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The directory refused or failed.
    #[error(transparent)]
    Directory(#[from] crate::identity::IdentityError),
    /// The core refused or failed.
    #[error(transparent)]
    Core(#[from] crate::Error),
}

impl Error {
    /// A wrong property.
    pub fn bad_property(property: &'static str, problem: impl Into<String>) -> Self {
        Self::BadProperty { property, problem: problem.into() }
    }
}
