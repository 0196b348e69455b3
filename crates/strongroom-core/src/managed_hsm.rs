//! The record of a managed HSM: the one thing both planes share.
//!
//! The management plane makes, changes and deletes it; the data plane reads from it which instance a name means, its
//! tenant and its retention. Everything else of an instance lies under its guard ([`crate::guard`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strongroom_types::{HsmName, InstanceId, PrincipalId, TenantId, Timestamp};
use uuid::Uuid;

use crate::barrier::{Record, Stored};
use crate::network::PrivateEndpointConnection;
use crate::{Core, Result, layout};

/// A managed HSM (`Microsoft.KeyVault/managedHSMs`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedHsm {
    /// Its name as it was written at creation.
    pub name: HsmName,
    /// The subscription it belongs to.
    pub subscription: Uuid,
    /// The resource group, as written.
    pub resource_group: String,
    /// The region's name, as written; it means nothing here.
    pub location: String,
    /// Family and name of the SKU; kept, without effect on capacity.
    pub sku: Sku,
    /// Tags of the resource.
    pub tags: BTreeMap<String, String>,
    /// Managed identities associated with it.
    pub identity: Option<ResourceIdentity>,
    /// The tenant whose tokens it accepts; never changes.
    pub tenant: TenantId,
    /// Who becomes Managed HSM Administrator at activation; never changes.
    pub initial_administrators: Vec<PrincipalId>,
    /// Days a deleted key, or the deleted HSM, is kept: 7 to 90, never changes.
    pub retention_days: u32,
    /// Whether deleted keys and the deleted HSM are kept until then whatever is asked; never switched off again.
    pub purge_protection: bool,
    /// `Enabled` or `Disabled`.
    pub public_network_access: PublicNetworkAccess,
    /// The network rules, as the resource shows them.
    pub network_acls: NetworkAcls,
    /// The private endpoints that lead here, or want to; records of earlier versions have none.
    #[serde(default)]
    pub private_endpoint_connections: Vec<PrivateEndpointConnection>,
    /// This life of the name.
    pub instance: InstanceId,
    /// How far the management plane is with it.
    pub provisioning: Provisioning,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed through the management plane.
    pub updated: Timestamp,
    /// Set while it is soft-deleted.
    pub deletion: Option<Deletion>,
}

impl Record for ManagedHsm {
    const FORMAT: u16 = 1;
}

/// `sku`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sku {
    /// `B` or `C`.
    pub family: String,
    /// Such as `Standard_B1`.
    pub name: String,
}

/// `identity`: user-assigned identities by their resource ids, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceIdentity {
    /// Resource ids of `Microsoft.ManagedIdentity/userAssignedIdentities`.
    pub user_assigned: Vec<String>,
}

/// `publicNetworkAccess`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublicNetworkAccess {
    /// Reachable from everywhere the rules allow.
    Enabled,
    /// Reachable through private endpoints only.
    Disabled,
}

/// `networkAcls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAcls {
    /// `AzureServices` or `None`.
    pub bypass: String,
    /// `Allow` or `Deny`.
    pub default_action: String,
    /// Addresses or networks.
    pub ip_rules: Vec<String>,
}

/// `provisioningState`, as far as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Provisioning {
    /// Being made; the data plane does not know it yet.
    Provisioning,
    /// Made.
    Succeeded,
    /// Being removed for good; it cannot be recovered any more.
    Purging,
}

/// A soft deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When it was deleted.
    pub at: Timestamp,
    /// When it goes for good by itself.
    pub scheduled_purge: Timestamp,
}

impl ManagedHsm {
    /// The ARM resource id.
    pub fn resource_id(&self) -> String {
        let Self { subscription, resource_group, name, .. } = self;
        format!(
            "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.KeyVault/managedHSMs/{name}"
        )
    }
}

impl Core {
    /// The record under a name, deleted or not.
    pub async fn managed_hsm(&self, name: &HsmName) -> Result<Option<Stored<ManagedHsm>>> {
        self.barrier().read(self.barrier().deployment(), &layout::managed_hsm(name.folded())).await
    }
}
