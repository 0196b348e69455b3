//! Deleting, recovering and purging a vault.

use serde::{Deserialize, Serialize};
use strongroom_types::{InstanceId, VaultName};
use uuid::Uuid;

use crate::barrier::{Record, Stored};
use crate::guard::{DeletionSwitch, Swept};
use crate::managed_hsm::Deletion;
use crate::pools::groups::REMOVALS_MAX;
use crate::pools::{Action, Error, Location, Permit, Pools, Removed, Result, VaultId, VaultView, layout};
use crate::request::Request;
use crate::vault::Vault;

/// A purged vault whose keys remain to be removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PurgedVault {
    instance: InstanceId,
    resource_id: String,
}

impl Record for PurgedVault {
    const FORMAT: u16 = 1;
}

impl Pools {
    /// Soft-deletes a vault. When this returns, its data plane does not answer any more.
    ///
    /// # Errors
    /// [`Error::ResourceGroupNotFound`].
    pub async fn delete_vault(&self, request: &Request, permit: &Permit, id: &VaultId) -> Result<Removed> {
        permit.demand(Action::VaultDelete, &id.scope())?;
        self.existing_group(id.subscription, &id.group).await?;
        let stored = match self.live_vault(id).await {
            Ok(stored) => stored,
            Err(Error::ResourceNotFound { .. }) => return Ok(Removed::WasAbsent),
            Err(error) => return Err(error),
        };
        let now = request.received;
        let deletion = Deletion { at: now, scheduled_purge: now.plus_days(stored.value.retention_days) };
        let deleted = Vault {
            deletion: Some(deletion),
            // Whoever recovers it decides anew who is connected.
            private_endpoint_connections: Vec::new(),
            ..stored.value.clone()
        };
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("instance {}", deleted.instance));
        permit.bind(&mut transaction);
        transaction.replace(barrier.deployment(), &stored, &deleted)?;
        self.core.stage_deletion(&mut transaction, deleted.instance, DeletionSwitch::Delete).await?;
        transaction.commit(request).await?;
        Ok(Removed::Gone)
    }

    /// Takes the deletion of a vault back that [`Pools::plan_vault`] found deleted.
    ///
    /// # Errors
    /// [`Error::ResourceGroupNotFound`] if its group is gone: it must be made again first.
    pub async fn recover_vault(
        &self,
        request: &Request,
        permit: &Permit,
        existing: &Stored<Vault>,
    ) -> Result<VaultView> {
        let id = VaultId::of(&existing.value)?;
        permit.demand(Action::VaultWrite, &id.scope())?;
        let group = self.existing_group(id.subscription, &id.group).await?;
        let recovered = Vault { deletion: None, updated: request.received, ..existing.value.clone() };
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("instance {} recovered", recovered.instance));
        permit.bind(&mut transaction);
        self.stage_member(&mut transaction, &group)?;
        transaction.replace(barrier.deployment(), existing, &recovered)?;
        self.core.stage_deletion(&mut transaction, recovered.instance, DeletionSwitch::Recover).await?;
        transaction.commit(request).await?;
        self.vault_view(recovered).await
    }

    /// Removes a soft-deleted vault for good. When this returns its name is free; [`Pools::sweep_purged_vaults`] removes
    /// what its keys leave.
    ///
    /// # Errors
    /// [`Error::DeletedVaultNotFound`], [`Error::PurgeProtected`].
    pub async fn purge_vault(
        &self,
        request: &Request,
        permit: &Permit,
        subscription: Uuid,
        location: &Location,
        name: &VaultName,
    ) -> Result<()> {
        let scope = VaultId::deleted_scope(subscription, location.as_str(), name.as_str());
        permit.demand(Action::DeletedVaultPurge, &scope)?;
        let stored = self.find_deleted_vault(subscription, location, name).await?;
        if stored.value.purge_protection {
            let scheduled_purge = stored.value.deletion.map(|deletion| deletion.scheduled_purge).unwrap_or_default();
            return Err(Error::PurgeProtected { name: name.to_string(), scheduled_purge });
        }
        self.purge_stored(request, &stored).await
    }

    /// Purges every deleted vault whose retention has ended.
    pub async fn purge_due_vaults(&self) -> Result<()> {
        let barrier = self.barrier();
        let now = barrier.clock().now();
        for stored in barrier.all::<Vault>(barrier.deployment(), crate::layout::VAULTS).await? {
            if stored.value.deletion.is_some_and(|deletion| deletion.scheduled_purge <= now) {
                let request = self.internal("VaultScheduledPurge", &stored.value.resource_id())?;
                match self.purge_stored(&request, &stored).await {
                    Ok(()) | Err(Error::Core(crate::Error::Conflict)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Removes what purged vaults left, whole.
    pub async fn sweep_purged_vaults(&self) -> Result<()> {
        let barrier = self.barrier();
        for left in barrier.all::<PurgedVault>(barrier.deployment(), layout::PURGED_VAULTS).await? {
            let request = || self.internal("VaultPurgeStep", &left.value.resource_id);
            while self.core.sweep_instance(&request()?, left.value.instance).await? == Swept::Some {}
            let mut transaction = barrier.transaction();
            transaction.delete(&left);
            match transaction.commit(&request()?).await {
                Ok(_) | Err(crate::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// One commit frees the name and takes the guard away. Role assignments on the vault go first or with it: whoever gets
    /// the name next must not inherit them.
    async fn purge_stored(&self, request: &Request, stored: &Stored<Vault>) -> Result<()> {
        let (barrier, vault) = (self.barrier(), &stored.value);
        let scope = VaultId::of(vault)?.scope();
        loop {
            let guarded = self.core.azure_rights().current(barrier).await?;
            let mut assignments = guarded.assignments_below(&scope);
            let rest = assignments.split_off(assignments.len().min(REMOVALS_MAX));
            let mut transaction = barrier.transaction().detail(format!("instance {}", vault.instance));
            transaction.expect(stored);
            guarded.bind_or_remove(barrier, &mut transaction, &assignments)?;
            if rest.is_empty() {
                let guard = self.core.guard(vault.instance).await?;
                transaction.delete(stored);
                transaction.delete(&guard);
                let left = PurgedVault { instance: vault.instance, resource_id: vault.resource_id() };
                transaction.create(barrier.deployment(), layout::purged_vault(vault.instance), &left)?;
                transaction.commit(request).await?;
                return Ok(());
            }
            transaction.commit(&self.internal("VaultPurgeStep", &vault.resource_id())?).await?;
        }
    }
}
