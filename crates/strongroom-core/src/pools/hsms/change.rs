//! Changing a managed HSM.

use std::collections::BTreeSet;

use crate::barrier::Stored;
use crate::managed_hsm::ManagedHsm;
use crate::pools::{Action, Error, HsmId, HsmSpecification, HsmView, Permit, Pools, Result};
use crate::request::Request;

impl Pools {
    /// Changes an HSM that [`Pools::plan_hsm`] found.
    ///
    /// # Errors
    /// [`Error::LocationDiffers`], [`Error::BadProperty`] for what cannot be changed.
    pub async fn update_hsm(
        &self,
        request: &Request,
        permit: &Permit,
        existing: &Stored<ManagedHsm>,
        specification: HsmSpecification,
    ) -> Result<HsmView> {
        permit.demand(Action::HsmWrite, &HsmId::of(&existing.value)?.scope())?;
        check_unchanged(&existing.value, &specification)?;
        let mut hsm = existing.value.clone();
        let HsmSpecification { sku, tags, identity, purge_protection, public_network_access, network_acls, .. } =
            specification;
        if let Some(change) = identity {
            let present = hsm.identity.take().map(|identity| identity.user_assigned).unwrap_or_default();
            hsm.identity = self.resource_identity(permit, change, &present).await?;
        }
        hsm.sku = sku.unwrap_or(hsm.sku);
        hsm.tags = tags.map_or(hsm.tags, crate::pools::Tags::into_map);
        hsm.purge_protection = purge_protection.unwrap_or(hsm.purge_protection);
        hsm.public_network_access = public_network_access.unwrap_or(hsm.public_network_access);
        hsm.network_acls = network_acls.unwrap_or(hsm.network_acls);
        hsm.updated = request.received;
        let barrier = self.barrier();
        let mut transaction = barrier.transaction();
        permit.bind(&mut transaction);
        transaction.replace(barrier.deployment(), existing, &hsm)?;
        if hsm.purge_protection && !existing.value.purge_protection {
            // A purge of a key that was allowed before this must not happen after it.
            let guard = self.core.guard(hsm.instance).await?;
            transaction.replace(barrier.deployment(), &guard, &guard.value)?;
        }
        transaction.commit(request).await?;
        self.view(hsm).await
    }
}

fn check_unchanged(hsm: &ManagedHsm, specification: &HsmSpecification) -> Result<()> {
    let HsmSpecification { location, tenant, initial_administrators, soft_delete, retention, purge_protection, .. } =
        specification;
    if let Some(asked) = location {
        asked.check_unchanged(&hsm.location, &hsm.name, &hsm.resource_group)?;
    }
    let fixed = |property| Err(Error::bad_property(property, "it cannot be changed after creation"));
    if tenant.is_some_and(|asked| asked != hsm.tenant) {
        return fixed("properties.tenantId");
    }
    let as_set = |list: &[_]| list.iter().copied().collect::<BTreeSet<_>>();
    if initial_administrators.as_ref().is_some_and(|asked| as_set(asked) != as_set(&hsm.initial_administrators)) {
        return fixed("properties.initialAdminObjectIds");
    }
    if retention.is_some_and(|asked| asked.days() != hsm.retention_days) {
        return fixed("properties.softDeleteRetentionInDays");
    }
    if *soft_delete == Some(false) {
        return Err(Error::bad_property("properties.enableSoftDelete", "soft delete cannot be switched off"));
    }
    if *purge_protection == Some(false) && hsm.purge_protection {
        let problem = "purge protection cannot be switched off again";
        return Err(Error::bad_property("properties.enablePurgeProtection", problem));
    }
    Ok(())
}
