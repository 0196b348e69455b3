//! Deleting, recovering and purging a managed HSM.

use strongroom_types::HsmName;
use uuid::Uuid;

use crate::barrier::Stored;
use crate::guard::DeletionSwitch;
use crate::managed_hsm::{Deletion, ManagedHsm, Provisioning};
use crate::pools::{Action, Error, HsmId, HsmView, Location, Operation, OperationKind, Permit, Pools, Result};
use crate::request::Request;

impl Pools {
    /// Soft-deletes an HSM; `None` if there is none. When this returns, its data plane does not answer any more.
    ///
    /// # Errors
    /// [`Error::OperationInProgress`] while it is being made; [`Error::ResourceGroupNotFound`].
    pub async fn delete_hsm(&self, request: &Request, permit: &Permit, id: &HsmId) -> Result<Option<Operation>> {
        permit.demand(Action::HsmDelete, &id.scope())?;
        self.existing_group(id.subscription, &id.group).await?;
        let found = self.core.managed_hsm(&id.name).await?;
        let live = |hsm: &ManagedHsm| id.is(hsm) && hsm.deletion.is_none();
        let Some(stored) = found.filter(|stored| live(&stored.value)) else { return Ok(None) };
        if stored.value.provisioning != Provisioning::Succeeded {
            return Err(Error::OperationInProgress(id.name.to_string()));
        }
        let now = request.received;
        let deletion = Deletion { at: now, scheduled_purge: now.plus_days(stored.value.retention_days) };
        let deleted = ManagedHsm {
            deletion: Some(deletion),
            // Whoever recovers it decides anew who is connected (management-plane.md §4).
            private_endpoint_connections: Vec::new(),
            ..stored.value.clone()
        };
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("instance {}", deleted.instance));
        permit.bind(&mut transaction);
        transaction.replace(barrier.deployment(), &stored, &deleted)?;
        self.core.stage_deletion(&mut transaction, deleted.instance, DeletionSwitch::Delete).await?;
        let operation = self.stage_operation(&mut transaction, OperationKind::Delete, &deleted, now)?;
        transaction.commit(request).await?;
        Ok(Some(operation))
    }

    /// Takes the deletion of an HSM back that [`Pools::plan_hsm`] found deleted.
    ///
    /// # Errors
    /// [`Error::ResourceGroupNotFound`] if its group is gone: it must be made again first.
    pub async fn recover_hsm(
        &self,
        request: &Request,
        permit: &Permit,
        existing: &Stored<ManagedHsm>,
    ) -> Result<HsmView> {
        let id = HsmId::of(&existing.value)?;
        permit.demand(Action::HsmWrite, &id.scope())?;
        let group = self.existing_group(id.subscription, &id.group).await?;
        let recovered = ManagedHsm { deletion: None, updated: request.received, ..existing.value.clone() };
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("instance {} recovered", recovered.instance));
        permit.bind(&mut transaction);
        self.stage_member(&mut transaction, &group)?;
        transaction.replace(barrier.deployment(), existing, &recovered)?;
        self.core.stage_deletion(&mut transaction, recovered.instance, DeletionSwitch::Recover).await?;
        transaction.commit(request).await?;
        self.view(recovered).await
    }

    /// Begins to remove a soft-deleted HSM for good; [`Pools::advance`] does it. Its name is free when that is done.
    ///
    /// # Errors
    /// [`Error::DeletedHsmNotFound`], [`Error::PurgeProtected`], [`Error::OperationInProgress`] if it was begun already.
    pub async fn purge_hsm(
        &self,
        request: &Request,
        permit: &Permit,
        subscription: Uuid,
        location: &Location,
        name: &HsmName,
    ) -> Result<Operation> {
        let scope = HsmId::deleted_scope(subscription, location.as_str(), name.as_str());
        permit.demand(Action::DeletedHsmPurge, &scope)?;
        let stored = self.find_deleted(subscription, location, name).await?;
        if stored.value.provisioning == Provisioning::Purging {
            return Err(Error::OperationInProgress(name.to_string()));
        }
        let scheduled = stored.value.deletion.map(|deletion| deletion.scheduled_purge).unwrap_or_default();
        if stored.value.purge_protection {
            return Err(Error::PurgeProtected { name: name.to_string(), scheduled_purge: scheduled });
        }
        let mut transaction = self.barrier().transaction().detail(format!("instance {}", stored.value.instance));
        permit.bind(&mut transaction);
        let operation = self.stage_purge(&mut transaction, request, &stored)?;
        transaction.commit(request).await?;
        Ok(operation)
    }
}
