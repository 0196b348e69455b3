//! Vaults as resources (management-plane.md §8).

mod change;
mod create;
mod delete;
mod specification;

use serde::{Deserialize, Serialize};
use strongroom_types::VaultName;
use uuid::Uuid;

use crate::barrier::Stored;
use crate::pools::identities::list_scope;
use crate::pools::{
    Action, CreateMode, Error, GroupName, Location, NameAvailability, Permit, Pools, ResourceScope, Result,
};
use crate::vault::{AccessControl, Vault};

pub use change::PolicyChange;
pub use specification::{VaultSpecification, vault_network_acls, vault_sku};

/// The place of a vault among the resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultId {
    /// The subscription.
    pub subscription: Uuid,
    /// The resource group.
    pub group: GroupName,
    /// The name; global.
    pub name: VaultName,
}

/// A vault with its rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultView {
    /// The record.
    pub vault: Vault,
    /// Who decides about its keys.
    pub access: AccessControl,
}

/// What a PUT comes to.
#[derive(Debug, Clone)]
pub enum VaultPlan {
    /// [`Pools::create_vault`].
    Create,
    /// [`Pools::update_vault`] of this one.
    Update(Stored<Vault>),
    /// [`Pools::recover_vault`] of this one.
    Recover(Stored<Vault>),
}

impl VaultId {
    /// `{namespace}/{type}` of these resources.
    pub const RESOURCE_TYPE: &'static str = "Microsoft.KeyVault/vaults";

    /// The id of a record.
    pub fn of(vault: &Vault) -> crate::Result<Self> {
        let group =
            vault.resource_group.parse().map_err(|_| crate::Error::Internal("a stored group name is not valid"))?;
        Ok(Self { subscription: vault.subscription, group, name: vault.name.clone() })
    }

    /// Its scope.
    pub fn scope(&self) -> ResourceScope {
        let group = ResourceScope::group(self.subscription, &self.group);
        group.resource("Microsoft.KeyVault", "vaults", self.name.as_str())
    }

    /// The scope of a deleted vault: it lies in the subscription, in no group.
    pub fn deleted_scope(subscription: Uuid, location: &str, name: &str) -> ResourceScope {
        let locations = ResourceScope::subscription(subscription).resource("Microsoft.KeyVault", "locations", location);
        locations.child("deletedVaults", name)
    }

    fn not_found(&self) -> Error {
        let (name, group) = (self.name.to_string(), self.group.to_string());
        Error::ResourceNotFound { resource_type: Self::RESOURCE_TYPE, name, group }
    }

    fn is(&self, vault: &Vault) -> bool {
        self.subscription == vault.subscription && vault.resource_group.eq_ignore_ascii_case(self.group.as_str())
    }
}

impl Pools {
    /// A vault.
    ///
    /// # Errors
    /// [`Error::ResourceGroupNotFound`], [`Error::ResourceNotFound`].
    pub async fn vault(&self, permit: &Permit, id: &VaultId) -> Result<VaultView> {
        permit.demand(Action::VaultRead, &id.scope())?;
        self.vault_view(self.live_vault(id).await?.value).await
    }

    /// A vault, for one of the actions that show a part of it.
    pub async fn vault_for(&self, permit: &Permit, action: Action, id: &VaultId) -> Result<VaultView> {
        permit.demand(action, &id.scope())?;
        self.vault_view(self.live_vault(id).await?.value).await
    }

    /// The vaults of a subscription, or of one group of it, that the caller may read, in the order of their names.
    pub async fn vaults(
        &self,
        permit: &Permit,
        subscription: Uuid,
        group: Option<&GroupName>,
    ) -> Result<Vec<VaultView>> {
        permit.demand_list(Action::VaultRead, &list_scope(subscription, group))?;
        let mut views = Vec::new();
        for vault in self.readable_vaults(permit, subscription, group).await? {
            match self.vault_view(vault).await {
                Ok(view) => views.push(view),
                // Purged since the list was read.
                Err(Error::Core(crate::Error::HsmNotFound)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(views)
    }

    /// The records alone, for lists of resources of any type.
    pub(super) async fn readable_vaults(
        &self,
        permit: &Permit,
        subscription: Uuid,
        group: Option<&GroupName>,
    ) -> Result<Vec<Vault>> {
        if let Some(group) = group {
            self.existing_group(subscription, group).await?;
        }
        let mut readable = Vec::new();
        for vault in self.all_vaults().await? {
            let id = VaultId::of(&vault)?;
            let wanted = vault.deletion.is_none()
                && id.subscription == subscription
                && group.is_none_or(|group| group.folded() == id.group.folded());
            if wanted && permit.allows(Action::VaultRead, &id.scope()) {
                readable.push(vault);
            }
        }
        Ok(readable)
    }

    /// The soft-deleted vaults of a subscription that the caller may see: those on whose former place the caller may read
    /// deleted vaults.
    pub async fn deleted_vaults(&self, permit: &Permit, subscription: Uuid) -> Result<Vec<Vault>> {
        permit.demand_list(Action::DeletedVaultsRead, &ResourceScope::subscription(subscription))?;
        let mut deleted = Vec::new();
        for vault in self.all_vaults().await? {
            let wanted = vault.deletion.is_some() && vault.subscription == subscription;
            if wanted && permit.allows(Action::DeletedVaultsRead, &VaultId::of(&vault)?.scope()) {
                deleted.push(vault);
            }
        }
        Ok(deleted)
    }

    /// A soft-deleted vault.
    ///
    /// # Errors
    /// [`Error::DeletedVaultNotFound`].
    pub async fn deleted_vault(
        &self,
        permit: &Permit,
        subscription: Uuid,
        location: &Location,
        name: &VaultName,
    ) -> Result<Vault> {
        let scope = VaultId::deleted_scope(subscription, location.as_str(), name.as_str());
        permit.demand(Action::DeletedVaultRead, &scope)?;
        Ok(self.find_deleted_vault(subscription, location, name).await?.value)
    }

    async fn find_deleted_vault(
        &self,
        subscription: Uuid,
        location: &Location,
        name: &VaultName,
    ) -> Result<Stored<Vault>> {
        let here = |vault: &Vault| {
            let stored: Option<Location> = vault.location.parse().ok();
            vault.deletion.is_some()
                && vault.subscription == subscription
                && stored.is_some_and(|stored| stored.normalized() == location.normalized())
        };
        let found = self.core.vault_record(name).await?.filter(|stored| here(&stored.value));
        found.ok_or_else(|| Error::DeletedVaultNotFound { name: name.to_string() })
    }

    /// What a request to make, change or recover a vault comes to.
    ///
    /// # Errors
    /// [`Error::VaultNameTaken`] or [`Error::VaultNameDeleted`] if another vault has the name,
    /// [`Error::DeletedVaultNotFound`] if there is nothing to recover, [`Error::ResourceGroupNotFound`].
    pub async fn plan_vault(&self, permit: &Permit, id: &VaultId, mode: CreateMode) -> Result<VaultPlan> {
        permit.demand(Action::VaultWrite, &id.scope())?;
        self.existing_group(id.subscription, &id.group).await?;
        let name = || id.name.to_string();
        let Some(stored) = self.core.vault_record(&id.name).await? else {
            return match mode {
                CreateMode::Default => Ok(VaultPlan::Create),
                CreateMode::Recover => Err(Error::DeletedVaultNotFound { name: name() }),
            };
        };
        match (mode, id.is(&stored.value), stored.value.deletion.is_some()) {
            (CreateMode::Default, true, false) => Ok(VaultPlan::Update(stored)),
            (CreateMode::Default, _, true) => Err(Error::VaultNameDeleted(name())),
            (CreateMode::Default, false, false) => Err(Error::VaultNameTaken(name())),
            (CreateMode::Recover, true, true) => Ok(VaultPlan::Recover(stored)),
            (CreateMode::Recover, _, _) => Err(Error::DeletedVaultNotFound { name: name() }),
        }
    }

    /// The vault that a PATCH changes.
    ///
    /// # Errors
    /// [`Error::ResourceNotFound`], [`Error::ResourceGroupNotFound`].
    pub async fn vault_to_patch(&self, permit: &Permit, id: &VaultId) -> Result<Stored<Vault>> {
        permit.demand(Action::VaultWrite, &id.scope())?;
        self.live_vault(id).await
    }

    /// Whether a name can be given to a new vault.
    pub async fn check_vault_name(&self, permit: &Permit, subscription: Uuid, name: &str) -> Result<NameAvailability> {
        permit.demand_list(Action::VaultNameCheck, &ResourceScope::subscription(subscription))?;
        let Ok(name) = name.parse::<VaultName>() else { return Ok(NameAvailability::Invalid) };
        let taken = self.core.vault_record(&name).await?.is_some();
        Ok(if taken { NameAvailability::Taken } else { NameAvailability::Available })
    }

    pub(super) async fn live_vault(&self, id: &VaultId) -> Result<Stored<Vault>> {
        self.existing_group(id.subscription, &id.group).await?;
        let found = self.core.vault_record(&id.name).await?;
        found.filter(|stored| id.is(&stored.value) && stored.value.deletion.is_none()).ok_or_else(|| id.not_found())
    }

    async fn vault_view(&self, vault: Vault) -> Result<VaultView> {
        let access = self.core.access_control(vault.instance).await?;
        Ok(VaultView { vault, access })
    }

    pub(super) async fn all_vaults(&self) -> Result<Vec<Vault>> {
        let barrier = self.barrier();
        let all = barrier.all::<Vault>(barrier.deployment(), crate::layout::VAULTS).await?;
        Ok(all.into_iter().map(|stored| stored.value).collect())
    }
}
