//! The management plane: subscriptions, resource groups, managed HSMs, vaults, identities, storage accounts, Azure RBAC
//! (management-plane.md).
//!
//! Every function here takes a [`Permit`], and only [`Pools::authorize`] makes one. It names the action and the scope
//! that were allowed, and the management guard as of that moment: each write depends on it, so that nothing is written
//! on a right that has been taken away in between (protocols.md §4). On [`crate::Error::Conflict`] the request is to be
//! authorized again from the start.
//!
//! Nothing here gives a right on the data plane of a managed HSM. That of a vault asks what is decided here.
//!
//! Read first: [`Pools`], [`Permit`], [`ResourceScope`].
//!
//! It fails with [`Error`], which says what happened and never a status.

mod error;
mod federated;
mod founding;
mod groups;
mod hsms;
mod identities;
mod layout;
mod network;
mod operations;
mod rbac;
mod scope;
mod storage;
mod tags;
mod vaults;

use std::sync::Arc;

use strongroom_types::{PrincipalId, TenantId};
use uuid::Uuid;

use crate::barrier::{Barrier, Stored};
use crate::identity::Directory;
use crate::identity::record::{Principal, PrincipalKind};
use crate::{Core, request::Request};

pub use error::{Error, Result};
pub use federated::IdentityId;
pub use founding::{MACHINE_IDENTITY, RESOURCE_GROUP, Subscription, machine_identity_id, subscription_id};
pub use groups::{GroupSpecification, ResourceGroup, Resources};
pub use hsms::{
    CreateMode, HsmId, HsmPlan, HsmSpecification, HsmView, IdentityChange, NameAvailability, RetentionDays,
    network_acls, sku,
};
pub use identities::{IdentitySpecification, UserAssignedIdentity};
pub(crate) use layout::GUARD as MANAGEMENT_GUARD;
pub use network::{
    ConnectionDecision, LinkTarget, PrivateEndpoint, PrivateEndpointId, PrivateEndpointSpecification,
    PrivateEndpointView, Subnet, VirtualNetwork, VirtualNetworkId, VirtualNetworkSpecification,
};
pub use operations::{Operation, OperationKind, OperationState, Progress};
pub use rbac::{
    Action, AssignmentSpecification, BUILT_IN_ROLES, BuiltInRole, Changes, CustomRoleSpecification, OWNER, Permission,
    Permit, PrincipalType, READER, Reach, Rights, RoleAssignment, RoleDefinition, RoleKind,
};
pub(crate) use rbac::{CompiledRights, Guarded};
pub use scope::{GroupName, IdentityName, Location, NetworkName, ResourceScope, StorageAccountName};
pub use storage::{
    BlobAccess, BlobEndpoint, ContainerName, EndpointError, StorageAccount, StorageAccountId,
    StorageAccountSpecification, StorageAccountView, StorageCredentialError, StorageEndpoint,
};
pub use tags::Tags;
pub use vaults::{PolicyChange, VaultId, VaultPlan, VaultSpecification, VaultView, vault_network_acls, vault_sku};

/// The management plane of a deployment.
pub struct Pools {
    core: Arc<Core>,
    directory: Arc<Directory>,
    /// Tenants of outside issuers: an HSM may be made for one of them, ARM itself knows only ours.
    outside_tenants: Vec<TenantId>,
    /// Blob stores that storage accounts can be made over.
    storage_endpoints: Vec<StorageEndpoint>,
}

impl std::fmt::Debug for Pools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pools").finish_non_exhaustive()
    }
}

/// What a write did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written<T> {
    /// There is something new.
    Created(T),
    /// It was there already, and is now as asked.
    Updated(T),
}

impl<T> Written<T> {
    /// What is there now.
    pub fn into_inner(self) -> T {
        match self {
            Self::Created(value) | Self::Updated(value) => value,
        }
    }
}

/// What a removal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It was there and is gone.
    Gone,
    /// It was not there.
    WasAbsent,
}

impl Pools {
    /// The management plane over a core and its directory.
    pub fn new(core: Arc<Core>, directory: Arc<Directory>) -> Self {
        Self { core, directory, outside_tenants: Vec::new(), storage_endpoints: Vec::new() }
    }

    /// Lets HSMs be made for tenants of outside issuers (protocols.md §8: assignments mean the HSM's own tenant).
    #[must_use]
    pub fn serving_tenants(self, outside_tenants: Vec<TenantId>) -> Self {
        Self { outside_tenants, ..self }
    }

    /// Lets storage accounts be made over these blob stores; no two of them have the same name.
    #[must_use]
    pub fn with_storage_endpoints(self, storage_endpoints: Vec<StorageEndpoint>) -> Self {
        Self { storage_endpoints, ..self }
    }

    /// The core it works on.
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The tenant whose principals hold roles here.
    pub fn tenant(&self) -> Result<TenantId> {
        Ok(self.directory.tenant()?.id)
    }

    /// What kind of principal an object id names, as far as our directory knows.
    pub async fn principal_type(&self, principal: PrincipalId) -> Result<PrincipalType> {
        Ok(match self.principal(principal).await? {
            None => PrincipalType::Unknown,
            Some(principal) => match principal.kind {
                PrincipalKind::User(_) => PrincipalType::User,
                PrincipalKind::Group(_) => PrincipalType::Group,
                PrincipalKind::ServicePrincipal(_) | PrincipalKind::ManagedIdentity(_) => {
                    PrincipalType::ServicePrincipal
                }
            },
        })
    }

    /// A principal and the groups it is a member of: whom assignments to it can name.
    pub async fn principal_with_groups(&self, principal: PrincipalId) -> Result<Vec<PrincipalId>> {
        let groups = self.principal(principal).await?.map(|principal| principal.groups).unwrap_or_default();
        Ok([principal].into_iter().chain(groups).collect())
    }

    async fn principal(&self, principal: PrincipalId) -> Result<Option<Principal>> {
        let stored: Option<Stored<Principal>> = self.directory.principal(principal).await?;
        Ok(stored.map(|stored| stored.value))
    }

    fn barrier(&self) -> &Barrier {
        self.core.barrier()
    }

    fn draw_uuid(&self) -> Result<Uuid> {
        let bytes = self.barrier().entropy().sixteen().map_err(crate::Error::from)?;
        Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// A request of our own: a step of an operation, a removal on schedule.
    fn internal(&self, operation: &'static str, resource_id: &str) -> Result<Request> {
        let now = self.barrier().clock().now();
        Ok(Request::internal(self.draw_uuid()?, now, operation, resource_id.to_owned()))
    }
}
