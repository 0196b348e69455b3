//! The record of a vault: the one thing both planes share.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strongroom_crypto::backup::BackupKey;
use strongroom_crypto::seal::Sealer;
use strongroom_types::{DomainId, Epoch, InstanceId, TenantId, Timestamp, VaultName};
use uuid::Uuid;

use crate::barrier::{Kept, Record, Stored};
use crate::container::{ContainerRecord, KeyContainer};
use crate::guard::Guard;
use crate::managed_hsm::{Deletion, NetworkAcls};
use crate::network::PrivateEndpointConnection;
use crate::vault::VaultPlace;
use crate::{Core, Error, Result, layout};

/// A vault (`Microsoft.KeyVault/vaults`). Its access policies lie apart, under its guard ([`crate::vault::AccessControl`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vault {
    /// Its name as it was written at creation.
    pub name: VaultName,
    /// The subscription it belongs to.
    pub subscription: Uuid,
    /// The resource group, as written.
    pub resource_group: String,
    /// The region's name, as written; it means nothing here.
    pub location: String,
    /// Which types of key it takes.
    pub sku: VaultSku,
    /// Tags of the resource.
    pub tags: BTreeMap<String, String>,
    /// The tenant whose tokens it accepts; never changes.
    pub tenant: TenantId,
    /// Days a deleted key, or the deleted vault, is kept: 7 to 90, never changes.
    pub retention_days: u32,
    /// Whether deleted keys and the deleted vault are kept until then whatever is asked; never switched off again.
    pub purge_protection: bool,
    /// `enabledForDeployment`; kept, without effect here.
    pub enabled_for_deployment: bool,
    /// `enabledForDiskEncryption`; kept, without effect here.
    pub enabled_for_disk_encryption: bool,
    /// `enabledForTemplateDeployment`; kept, without effect here.
    pub enabled_for_template_deployment: bool,
    /// `publicNetworkAccess`.
    pub public_network_access: VaultNetworkAccess,
    /// The network rules, as the resource shows them.
    pub network_acls: Option<VaultNetworkAcls>,
    /// The private endpoints that lead here, or want to; records of earlier versions have none.
    #[serde(default)]
    pub private_endpoint_connections: Vec<PrivateEndpointConnection>,
    /// This life of the name.
    pub instance: InstanceId,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed through the management plane.
    pub updated: Timestamp,
    /// Set while it is soft-deleted.
    pub deletion: Option<Deletion>,
}

impl Record for Vault {
    const FORMAT: u16 = 1;
}

/// `sku.name`; the family is always `A`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VaultSku {
    /// Software types of key only.
    Standard,
    /// The `-HSM` types as well.
    Premium,
}

/// `publicNetworkAccess` of a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VaultNetworkAccess {
    /// Reachable from everywhere the rules allow.
    Enabled,
    /// Reachable through private endpoints only.
    Disabled,
    /// As a network security perimeter says; there is none here.
    SecuredByPerimeter,
}

/// `networkAcls` of a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultNetworkAcls {
    /// What vaults and managed HSMs have in common.
    pub acls: NetworkAcls,
    /// Subnets.
    pub virtual_network_rules: Vec<VirtualNetworkRule>,
}

/// An entry of `virtualNetworkRules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualNetworkRule {
    /// The resource id of a subnet, as written.
    pub id: String,
    /// `ignoreMissingVnetServiceEndpoint`, if it was said.
    pub ignore_missing_service_endpoint: Option<bool>,
}

impl VaultSku {
    /// The spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Premium => "premium",
        }
    }
}

impl VaultNetworkAccess {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Disabled, Self::SecuredByPerimeter];

    /// The spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::SecuredByPerimeter => "SecuredByPerimeter",
        }
    }
}

impl Vault {
    /// The ARM resource id.
    pub fn resource_id(&self) -> String {
        let Self { subscription, resource_group, name, .. } = self;
        format!(
            "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.KeyVault/vaults/{name}"
        )
    }
}

/// What a request asks of the record of a vault.
struct KeptVault {
    is_deleted: bool,
    sku: VaultSku,
    /// `None` if the record names no place, which is the server's own fault.
    place: Option<Arc<VaultPlace>>,
    container: Arc<ContainerRecord>,
}

impl Kept for KeptVault {
    type Record = Vault;

    fn of(stored: Stored<Vault>) -> Self {
        Self {
            is_deleted: stored.value.deletion.is_some(),
            sku: stored.value.sku,
            place: VaultPlace::of_vault(&stored.value).ok().map(Arc::new),
            container: Arc::new(ContainerRecord::of_vault(&stored)),
        }
    }
}

impl Core {
    /// Seals the records of a vault: under the deployment key, bound to the vault's instance.
    pub(crate) fn vault_sealer(&self, instance: InstanceId, guard: &Guard) -> Result<Arc<Sealer>> {
        let deployment = self.deployment();
        let domain = DomainId::from_uuid(deployment.id.uuid());
        let cache_key = (instance, domain, guard.oldest_epoch, guard.epoch);
        if let Some(sealer) = self.caches().sealers.get(&cache_key) {
            return Ok(sealer);
        }
        let sealer = Arc::new(Sealer::new(deployment.root(), domain, guard.epoch, instance.uuid())?);
        self.caches().sealers.insert(cache_key, Arc::clone(&sealer));
        Ok(sealer)
    }

    /// What wraps the backups of keys of vaults.
    pub(crate) fn vault_backup_key(&self, epoch: Epoch) -> Result<BackupKey> {
        let deployment = self.deployment();
        Ok(BackupKey::new(deployment.root(), DomainId::from_uuid(deployment.id.uuid()), epoch)?)
    }

    /// The record under a name, deleted or not.
    pub async fn vault_record(&self, name: &VaultName) -> Result<Option<Stored<Vault>>> {
        self.barrier().read(self.barrier().deployment(), &layout::vault(name.folded())).await
    }

    /// The vault a host name means.
    ///
    /// # Errors
    /// [`Error::HsmNotFound`] if there is none, or it is deleted.
    pub async fn vault(&self, name: &VaultName) -> Result<KeyContainer<'_>> {
        let (barrier, key) = (self.barrier(), layout::vault(name.folded()));
        let record: Arc<KeptVault> = barrier.read_kept(barrier.deployment(), &key).await?.ok_or(Error::HsmNotFound)?;
        if record.is_deleted {
            return Err(Error::HsmNotFound);
        }
        let place = record.place.as_ref().ok_or(Error::Internal("the record of a vault names no place"))?;
        Ok(KeyContainer::of_vault(self, Arc::clone(&record.container), Arc::clone(place), record.sku))
    }
}
