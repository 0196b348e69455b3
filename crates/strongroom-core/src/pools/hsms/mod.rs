//! Managed HSMs as resources (management-plane.md §1, §3).

mod change;
mod create;
mod delete;
mod keys;
pub(super) mod specification;

use serde::{Deserialize, Serialize};
use strongroom_types::HsmName;
use uuid::Uuid;

use crate::barrier::Stored;
use crate::guard::HsmState;
use crate::identity::ProgramIds;
use crate::managed_hsm::{ManagedHsm, Provisioning};
use crate::pools::identities::list_scope;
use crate::pools::{Action, Error, GroupName, Location, Permit, Pools, ResourceScope, Result};

pub use specification::{HsmSpecification, IdentityChange, RetentionDays, network_acls, sku};

/// The place of a managed HSM among the resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HsmId {
    /// The subscription.
    pub subscription: Uuid,
    /// The resource group.
    pub group: GroupName,
    /// The name; global.
    pub name: HsmName,
}

/// A managed HSM with what is shown of it beyond its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HsmView {
    /// The record.
    pub hsm: ManagedHsm,
    /// Its state on the data plane; `None` while it is being made.
    pub state: Option<HsmState>,
    /// Whether nothing on this machine opens it until its quorum has uploaded its security domain.
    pub sealed: bool,
    /// Its user-assigned identities, and what they are called if they still exist.
    pub identities: Vec<(String, Option<ProgramIds>)>,
}

/// `createMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateMode {
    /// Make a new HSM, or change the one that is there.
    Default,
    /// Take a soft deletion back.
    Recover,
}

/// What a PUT comes to.
#[derive(Debug, Clone)]
pub enum HsmPlan {
    /// [`Pools::create_hsm`].
    Create,
    /// [`Pools::update_hsm`] of this one.
    Update(Stored<ManagedHsm>),
    /// [`Pools::recover_hsm`] of this one.
    Recover(Stored<ManagedHsm>),
}

/// Whether a name can be given to a new HSM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameAvailability {
    /// Yes.
    Available,
    /// It is no name for an HSM.
    Invalid,
    /// An HSM has it, maybe a deleted one.
    Taken,
}

impl HsmId {
    /// `{namespace}/{type}` of these resources.
    pub const RESOURCE_TYPE: &'static str = "Microsoft.KeyVault/managedHSMs";

    /// The id of a record.
    pub fn of(hsm: &ManagedHsm) -> Result<Self> {
        let group =
            hsm.resource_group.parse().map_err(|_| crate::Error::Internal("a stored group name is not valid"))?;
        Ok(Self { subscription: hsm.subscription, group, name: hsm.name.clone() })
    }

    /// Its scope.
    pub fn scope(&self) -> ResourceScope {
        ResourceScope::group(self.subscription, &self.group).resource(
            "Microsoft.KeyVault",
            "managedHSMs",
            self.name.as_str(),
        )
    }

    /// The scope of a deleted HSM: it lies in the subscription, in no group.
    pub fn deleted_scope(subscription: Uuid, location: &str, name: &str) -> ResourceScope {
        ResourceScope::subscription(subscription)
            .resource("Microsoft.KeyVault", "locations", location)
            .child("deletedManagedHSMs", name)
    }

    pub(in crate::pools) fn not_found(&self) -> Error {
        let (name, group) = (self.name.to_string(), self.group.to_string());
        Error::ResourceNotFound { resource_type: Self::RESOURCE_TYPE, name, group }
    }

    pub(in crate::pools) fn is(&self, hsm: &ManagedHsm) -> bool {
        self.subscription == hsm.subscription && hsm.resource_group.eq_ignore_ascii_case(self.group.as_str())
    }
}

impl Pools {
    /// A managed HSM.
    ///
    /// # Errors
    /// [`Error::ResourceGroupNotFound`], [`Error::ResourceNotFound`].
    pub async fn hsm(&self, permit: &Permit, id: &HsmId) -> Result<HsmView> {
        permit.demand(Action::HsmRead, &id.scope())?;
        self.view_of(id).await
    }

    /// A managed HSM, for one of the actions that show a part of it.
    pub async fn hsm_for(&self, permit: &Permit, action: Action, id: &HsmId) -> Result<HsmView> {
        permit.demand(action, &id.scope())?;
        self.view_of(id).await
    }

    async fn view_of(&self, id: &HsmId) -> Result<HsmView> {
        self.existing_group(id.subscription, &id.group).await?;
        match self.core.managed_hsm(&id.name).await? {
            Some(stored) if id.is(&stored.value) && stored.value.deletion.is_none() => self.view(stored.value).await,
            _ => Err(id.not_found()),
        }
    }

    /// The HSMs of a subscription, or of one group of it, that the caller may read, in the order of their names.
    pub async fn hsms(&self, permit: &Permit, subscription: Uuid, group: Option<&GroupName>) -> Result<Vec<HsmView>> {
        permit.demand_list(Action::HsmRead, &list_scope(subscription, group))?;
        self.readable_hsms(permit, subscription, group).await
    }

    pub(super) async fn readable_hsms(
        &self,
        permit: &Permit,
        subscription: Uuid,
        group: Option<&GroupName>,
    ) -> Result<Vec<HsmView>> {
        if let Some(group) = group {
            self.existing_group(subscription, group).await?;
        }
        let mut views = Vec::new();
        for hsm in self.all_hsms().await? {
            let id = HsmId::of(&hsm)?;
            let wanted = hsm.deletion.is_none()
                && id.subscription == subscription
                && group.is_none_or(|group| group.folded() == id.group.folded());
            if wanted && permit.allows(Action::HsmRead, &id.scope()) {
                views.push(self.view(hsm).await?);
            }
        }
        Ok(views)
    }

    /// The soft-deleted HSMs of a subscription that the caller may see: those on whose former place the caller may read
    /// deleted HSMs.
    pub async fn deleted_hsms(&self, permit: &Permit, subscription: Uuid) -> Result<Vec<ManagedHsm>> {
        permit.demand_list(Action::DeletedHsmsRead, &ResourceScope::subscription(subscription))?;
        let mut deleted = Vec::new();
        for hsm in self.all_hsms().await? {
            let wanted = hsm.deletion.is_some() && hsm.subscription == subscription;
            if wanted && permit.allows(Action::DeletedHsmsRead, &HsmId::of(&hsm)?.scope()) {
                deleted.push(hsm);
            }
        }
        Ok(deleted)
    }

    /// A soft-deleted HSM.
    ///
    /// # Errors
    /// [`Error::DeletedHsmNotFound`].
    pub async fn deleted_hsm(
        &self,
        permit: &Permit,
        subscription: Uuid,
        location: &Location,
        name: &HsmName,
    ) -> Result<ManagedHsm> {
        let scope = HsmId::deleted_scope(subscription, location.as_str(), name.as_str());
        permit.demand(Action::DeletedHsmRead, &scope)?;
        Ok(self.find_deleted(subscription, location, name).await?.value)
    }

    async fn find_deleted(
        &self,
        subscription: Uuid,
        location: &Location,
        name: &HsmName,
    ) -> Result<Stored<ManagedHsm>> {
        let here = |hsm: &ManagedHsm| {
            let stored: Option<Location> = hsm.location.parse().ok();
            hsm.deletion.is_some()
                && hsm.subscription == subscription
                && stored.is_some_and(|stored| stored.normalized() == location.normalized())
        };
        let found = self.core.managed_hsm(name).await?.filter(|stored| here(&stored.value));
        found.ok_or_else(|| Error::DeletedHsmNotFound { name: name.to_string() })
    }

    /// What a request to make, change or recover an HSM comes to.
    ///
    /// # Errors
    /// [`Error::NameTaken`] or [`Error::NameDeleted`] if another HSM has the name, [`Error::DeletedHsmNotFound`] if there is
    /// nothing to recover, [`Error::OperationInProgress`] while it is being made or purged,
    /// [`Error::ResourceGroupNotFound`].
    pub async fn plan_hsm(&self, permit: &Permit, id: &HsmId, mode: CreateMode) -> Result<HsmPlan> {
        permit.demand(Action::HsmWrite, &id.scope())?;
        self.existing_group(id.subscription, &id.group).await?;
        let name = || id.name.to_string();
        let Some(stored) = self.core.managed_hsm(&id.name).await? else {
            return match mode {
                CreateMode::Default => Ok(HsmPlan::Create),
                CreateMode::Recover => Err(Error::DeletedHsmNotFound { name: name() }),
            };
        };
        let (here, deleted) = (id.is(&stored.value), stored.value.deletion.is_some());
        if here && stored.value.provisioning != Provisioning::Succeeded {
            return Err(Error::OperationInProgress(name()));
        }
        match (mode, here, deleted) {
            (CreateMode::Default, true, false) => Ok(HsmPlan::Update(stored)),
            (CreateMode::Default, _, true) => Err(Error::NameDeleted(name())),
            (CreateMode::Default, false, false) => Err(Error::NameTaken(name())),
            (CreateMode::Recover, true, true) => Ok(HsmPlan::Recover(stored)),
            (CreateMode::Recover, _, _) => Err(Error::DeletedHsmNotFound { name: name() }),
        }
    }

    /// The HSM that a PATCH changes.
    ///
    /// # Errors
    /// [`Error::ResourceNotFound`], [`Error::OperationInProgress`], [`Error::ResourceGroupNotFound`].
    pub async fn hsm_to_patch(&self, permit: &Permit, id: &HsmId) -> Result<Stored<ManagedHsm>> {
        permit.demand(Action::HsmWrite, &id.scope())?;
        self.existing_group(id.subscription, &id.group).await?;
        let found = self.core.managed_hsm(&id.name).await?;
        let live = |hsm: &ManagedHsm| id.is(hsm) && hsm.deletion.is_none();
        let stored = found.filter(|stored| live(&stored.value)).ok_or_else(|| id.not_found())?;
        if stored.value.provisioning != Provisioning::Succeeded {
            return Err(Error::OperationInProgress(id.name.to_string()));
        }
        Ok(stored)
    }

    /// Whether a name can be given to a new HSM.
    pub async fn check_hsm_name(&self, permit: &Permit, subscription: Uuid, name: &str) -> Result<NameAvailability> {
        permit.demand_list(Action::HsmNameCheck, &ResourceScope::subscription(subscription))?;
        let Ok(name) = name.parse::<HsmName>() else { return Ok(NameAvailability::Invalid) };
        let taken = self.core.managed_hsm(&name).await?.is_some();
        Ok(if taken { NameAvailability::Taken } else { NameAvailability::Available })
    }

    pub(super) async fn view(&self, hsm: ManagedHsm) -> Result<HsmView> {
        let (state, sealed) = match self.core.guard(hsm.instance).await {
            Ok(guard) => (Some(guard.value.state), self.core.is_sealed(hsm.instance, &guard.value)),
            Err(crate::Error::HsmNotFound) => (None, false),
            Err(error) => return Err(error.into()),
        };
        let mut identities = Vec::new();
        for id in hsm.identity.iter().flat_map(|identity| &identity.user_assigned) {
            let principal = self.directory.by_resource_id(id).await?.map(|stored| stored.value);
            let ids = principal.and_then(|principal| {
                principal.client_id().map(|client_id| ProgramIds { client_id, object_id: principal.object_id })
            });
            identities.push((id.clone(), ids));
        }
        Ok(HsmView { hsm, state, sealed, identities })
    }

    async fn all_hsms(&self) -> Result<Vec<ManagedHsm>> {
        let barrier = self.barrier();
        let all = barrier.all::<ManagedHsm>(barrier.deployment(), crate::layout::MANAGED_HSMS).await?;
        Ok(all.into_iter().map(|stored| stored.value).collect())
    }
}
