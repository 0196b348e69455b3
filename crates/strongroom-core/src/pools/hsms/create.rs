//! Making a managed HSM.

use std::collections::BTreeSet;

use strongroom_types::{InstanceId, PrincipalId, TenantId};
use uuid::Uuid;

use crate::managed_hsm::{ManagedHsm, Provisioning, PublicNetworkAccess, ResourceIdentity};
use crate::pools::hsms::specification::{IDENTITIES_MAX, INITIAL_ADMINISTRATORS_MAX, network_acls};
use crate::pools::{
    Action, Error, HsmId, HsmSpecification, HsmView, IdentityChange, Operation, OperationKind, Permit, Pools,
    ResourceScope, Result, RetentionDays, UserAssignedIdentity,
};
use crate::request::Request;

impl Pools {
    /// Begins to make an HSM where [`Pools::plan_hsm`] found the name free; [`Pools::advance`] finishes it.
    ///
    /// # Errors
    /// [`Error::LocationRequired`], [`Error::SkuNotSupported`], [`Error::BadProperty`], [`Error::LimitReached`];
    /// [`crate::Error::Conflict`] if somebody else took the name in between.
    pub async fn create_hsm(
        &self,
        request: &Request,
        permit: &Permit,
        id: &HsmId,
        specification: HsmSpecification,
    ) -> Result<(HsmView, Operation)> {
        permit.demand(Action::HsmWrite, &id.scope())?;
        let group = self.existing_group(id.subscription, &id.group).await?;
        let hsm = self.new_hsm(request, permit, id, specification).await?;
        let barrier = self.barrier();
        if barrier.keys(crate::layout::MANAGED_HSMS, HSMS_MAX).await?.len() >= HSMS_MAX {
            return Err(Error::LimitReached { what: "managed HSMs", limit: HSMS_MAX });
        }
        let mut transaction = barrier.transaction().detail(format!("instance {}", hsm.instance));
        permit.bind(&mut transaction);
        self.stage_member(&mut transaction, &group)?;
        transaction.create(barrier.deployment(), crate::layout::managed_hsm(id.name.folded()), &hsm)?;
        let operation = self.stage_operation(&mut transaction, OperationKind::Create, &hsm, request.received)?;
        transaction.commit(request).await?;
        Ok((self.view(hsm).await?, operation))
    }

    async fn new_hsm(
        &self,
        request: &Request,
        permit: &Permit,
        id: &HsmId,
        specification: HsmSpecification,
    ) -> Result<ManagedHsm> {
        let tenant = self.tenant_for(id.subscription, specification.tenant).await?;
        let location = specification.location.ok_or(Error::LocationRequired)?;
        if specification.soft_delete == Some(false) {
            return Err(Error::bad_property("properties.enableSoftDelete", "soft delete cannot be switched off"));
        }
        let identity = match specification.identity {
            None => None,
            Some(change) => self.resource_identity(permit, change, &[]).await?,
        };
        Ok(ManagedHsm {
            name: id.name.clone(),
            subscription: id.subscription,
            resource_group: id.group.to_string(),
            location: location.to_string(),
            sku: specification.sku.ok_or(Error::SkuNotSupported { problem: "a SKU is required" })?,
            tags: specification.tags.unwrap_or_default().into_map(),
            identity,
            tenant,
            initial_administrators: initial_administrators(specification.initial_administrators)?,
            retention_days: specification.retention.unwrap_or(RetentionDays::DEFAULT).days(),
            purge_protection: specification.purge_protection.unwrap_or(false),
            private_endpoint_connections: Vec::new(),
            public_network_access: specification.public_network_access.unwrap_or(PublicNetworkAccess::Enabled),
            network_acls: match specification.network_acls {
                Some(acls) => acls,
                None => network_acls(None, None, &[])?,
            },
            instance: InstanceId::from_uuid(self.draw_uuid()?),
            provisioning: Provisioning::Provisioning,
            created: request.received,
            updated: request.received,
            deletion: None,
        })
    }

    /// The tenant of a new HSM or vault: the subscription's own, or one of a configured issuer.
    pub(in crate::pools) async fn tenant_for(&self, subscription: Uuid, asked: Option<TenantId>) -> Result<TenantId> {
        let parent = self.read_subscription(subscription).await?;
        let own_tenant = parent.ok_or(Error::SubscriptionNotFound(subscription))?.value.tenant;
        let tenant = asked.unwrap_or(own_tenant);
        if tenant != own_tenant && !self.outside_tenants.contains(&tenant) {
            let problem =
                format!("only the tenant of the subscription, {own_tenant}, or one of a configured issuer can be used");
            return Err(Error::bad_property("properties.tenantId", problem));
        }
        Ok(tenant)
    }

    /// Checks the identities that an HSM is to have: each must exist, and the caller must be allowed to give it away.
    /// Those it has already need no new right.
    pub(super) async fn resource_identity(
        &self,
        permit: &Permit,
        change: IdentityChange,
        present: &[String],
    ) -> Result<Option<ResourceIdentity>> {
        let IdentityChange::UserAssigned(identities) = change else { return Ok(None) };
        if !(1..=IDENTITIES_MAX).contains(&identities.len()) {
            let problem = "1 to 10 user-assigned identities are expected";
            return Err(Error::bad_property("identity.userAssignedIdentities", problem));
        }
        let mut user_assigned = Vec::new();
        for identity in identities {
            let kept = present.iter().any(|id| id.eq_ignore_ascii_case(identity.as_str()));
            if !kept {
                self.check_assignable(permit, &identity).await?;
            }
            user_assigned.push(identity.to_string());
        }
        Ok(Some(ResourceIdentity { user_assigned }))
    }

    async fn check_assignable(&self, permit: &Permit, identity: &ResourceScope) -> Result<()> {
        permit.require(Action::IdentityAssign, identity)?;
        let principal = self.directory.by_resource_id(identity.as_str()).await?;
        if principal.is_some_and(|stored| stored.value.managed_identity().is_some()) {
            return Ok(());
        }
        let problem = format!("there is no {} {identity}", UserAssignedIdentity::RESOURCE_TYPE);
        Err(Error::bad_property("identity.userAssignedIdentities", problem))
    }
}

fn initial_administrators(given: Option<Vec<PrincipalId>>) -> Result<Vec<PrincipalId>> {
    let given = given.unwrap_or_default();
    let mut seen = BTreeSet::new();
    let distinct: Vec<_> = given.into_iter().filter(|principal| seen.insert(*principal)).collect();
    if (1..=INITIAL_ADMINISTRATORS_MAX).contains(&distinct.len()) {
        return Ok(distinct);
    }
    Err(Error::bad_property("properties.initialAdminObjectIds", "1 to 30 object ids are expected"))
}

/// Most managed HSMs of a deployment, deleted ones included. Azure allows 5 in a subscription and region.
pub(super) const HSMS_MAX: usize = 1000;
