//! Subscriptions and resource groups.

use serde::{Deserialize, Serialize};
use strongroom_types::Timestamp;
use uuid::Uuid;

use crate::barrier::{Record, Stored, Transaction};
use crate::managed_hsm::ManagedHsm;
use crate::pools::{
    Action, Error, GroupName, HsmView, Location, Permit, Pools, PrivateEndpoint, ResourceScope, Result,
    StorageAccountView, Subscription, Tags, UserAssignedIdentity, VirtualNetwork, Written, layout,
};
use crate::request::{Caller, Request};
use crate::vault::Vault;

/// A resource group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceGroup {
    /// Its name as it was written at creation.
    pub name: GroupName,
    /// The subscription it belongs to.
    pub subscription: Uuid,
    /// The region's name; means nothing here and never changes.
    pub location: Location,
    /// Tags.
    pub tags: Tags,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Rises with every resource that is made in it, so that making one and removing the group exclude each other.
    pub members_changed: u64,
}

impl Record for ResourceGroup {
    const FORMAT: u16 = 1;
}

impl ResourceGroup {
    /// Its scope; its text is the resource id.
    pub fn scope(&self) -> ResourceScope {
        ResourceScope::group(self.subscription, &self.name)
    }
}

/// The resources of a subscription.
#[derive(Debug, Clone)]
pub struct Resources {
    /// Managed HSMs.
    pub hsms: Vec<HsmView>,
    /// Vaults.
    pub vaults: Vec<Vault>,
    /// User-assigned identities.
    pub identities: Vec<UserAssignedIdentity>,
    /// Storage accounts.
    pub storage_accounts: Vec<StorageAccountView>,
    /// Virtual networks.
    pub virtual_networks: Vec<VirtualNetwork>,
    /// Private endpoints.
    pub private_endpoints: Vec<PrivateEndpoint>,
}

/// What a user says about a resource group. What is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupSpecification {
    /// Needed to make one; cannot be changed.
    pub location: Option<Location>,
    /// Replaces all tags.
    pub tags: Option<Tags>,
}

impl Pools {
    /// The subscription of the permit.
    pub async fn show_subscription(&self, permit: &Permit, id: Uuid) -> Result<Subscription> {
        permit.demand_list(Action::SubscriptionRead, &ResourceScope::subscription(id))?;
        self.read_subscription(id).await?.map(|stored| stored.value).ok_or(Error::SubscriptionNotFound(id))
    }

    /// The subscriptions in which the caller may see anything at all. Needs no permit: it shows nothing to a stranger.
    pub async fn visible_subscriptions(&self, caller: &Caller) -> Result<Vec<Subscription>> {
        let rights = self.core.azure_rights().current(self.barrier()).await?.rights;
        let barrier = self.barrier();
        let all = barrier.all::<Subscription>(barrier.deployment(), layout::SUBSCRIPTIONS).await?;
        let visible = |subscription: &Subscription| {
            rights.reaches(caller, Action::SubscriptionRead, &ResourceScope::subscription(subscription.id))
        };
        Ok(all.into_iter().map(|stored| stored.value).filter(visible).collect())
    }

    /// A resource group.
    ///
    /// # Errors
    /// [`Error::ResourceGroupNotFound`].
    pub async fn group(&self, permit: &Permit, subscription: Uuid, name: &GroupName) -> Result<ResourceGroup> {
        permit.demand(Action::GroupRead, &ResourceScope::group(subscription, name))?;
        Ok(self.existing_group(subscription, name).await?.value)
    }

    /// The resource groups of a subscription that the caller may read.
    pub async fn groups(&self, permit: &Permit, subscription: Uuid) -> Result<Vec<ResourceGroup>> {
        permit.demand_list(Action::GroupRead, &ResourceScope::subscription(subscription))?;
        let barrier = self.barrier();
        let all = barrier.all::<ResourceGroup>(barrier.deployment(), &layout::resource_groups(subscription)).await?;
        let readable = |group: &ResourceGroup| permit.allows(Action::GroupRead, &group.scope());
        Ok(all.into_iter().map(|stored| stored.value).filter(readable).collect())
    }

    /// The resources of a subscription that the caller may read.
    pub async fn resources(&self, permit: &Permit, subscription: Uuid) -> Result<Resources> {
        permit.demand_list(Action::ResourcesRead, &ResourceScope::subscription(subscription))?;
        Ok(Resources {
            hsms: self.readable_hsms(permit, subscription, None).await?,
            vaults: self.readable_vaults(permit, subscription, None).await?,
            identities: self.readable_identities(permit, subscription, None).await?,
            storage_accounts: self.readable_storage_accounts(permit, subscription, None).await?,
            virtual_networks: self.readable_networks(permit, subscription, None).await?,
            private_endpoints: self.readable_endpoints(permit, subscription, None).await?,
        })
    }

    /// Whether a group is there that the caller is about to write: a PUT that makes one is answered otherwise.
    pub async fn group_is_there(&self, permit: &Permit, subscription: Uuid, name: &GroupName) -> Result<bool> {
        permit.demand(Action::GroupWrite, &ResourceScope::group(subscription, name))?;
        Ok(self.find_group(subscription, name).await?.is_some())
    }

    /// Makes or changes a resource group.
    ///
    /// # Errors
    /// [`Error::LocationRequired`] for a new one without, [`Error::LocationDiffers`] for an existing one elsewhere.
    pub async fn put_group(
        &self,
        request: &Request,
        permit: &Permit,
        subscription: Uuid,
        name: &GroupName,
        specification: GroupSpecification,
    ) -> Result<Written<ResourceGroup>> {
        permit.demand(Action::GroupWrite, &ResourceScope::group(subscription, name))?;
        match self.find_group(subscription, name).await? {
            Some(existing) => self.change_group(request, permit, &existing, specification).await,
            None => self.create_group(request, permit, subscription, name, specification).await,
        }
    }

    async fn create_group(
        &self,
        request: &Request,
        permit: &Permit,
        subscription: Uuid,
        name: &GroupName,
        specification: GroupSpecification,
    ) -> Result<Written<ResourceGroup>> {
        let GroupSpecification { location, tags } = specification;
        let barrier = self.barrier();
        let parent = self.read_subscription(subscription).await?.ok_or(Error::SubscriptionNotFound(subscription))?;
        if barrier.keys(&layout::resource_groups(subscription), GROUPS_MAX).await?.len() >= GROUPS_MAX {
            return Err(Error::LimitReached { what: "resource groups", limit: GROUPS_MAX });
        }
        let group = ResourceGroup {
            name: name.clone(),
            subscription,
            location: location.ok_or(Error::LocationRequired)?,
            tags: tags.unwrap_or_default(),
            created: request.received,
            updated: request.received,
            members_changed: 0,
        };
        let mut transaction = barrier.transaction().detail(format!("resource group {name}"));
        permit.bind(&mut transaction);
        transaction.expect(&parent);
        transaction.create(barrier.deployment(), layout::resource_group(subscription, &name.folded()), &group)?;
        transaction.commit(request).await?;
        Ok(Written::Created(group))
    }

    async fn change_group(
        &self,
        request: &Request,
        permit: &Permit,
        existing: &Stored<ResourceGroup>,
        specification: GroupSpecification,
    ) -> Result<Written<ResourceGroup>> {
        let GroupSpecification { location, tags } = specification;
        let mut group = existing.value.clone();
        if let Some(asked) = location {
            asked.check_unchanged(group.location.as_str(), &group.name, &group.name)?;
        }
        group.tags = tags.unwrap_or(group.tags);
        group.updated = request.received;
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("resource group {}", group.name));
        permit.bind(&mut transaction);
        transaction.replace(barrier.deployment(), existing, &group)?;
        transaction.commit(request).await?;
        Ok(Written::Updated(group))
    }

    /// Removes an empty resource group, with the role assignments in it. Soft-deleted HSMs and vaults do not count as its contents:
    /// they are recovered into a group of that name.
    ///
    /// # Errors
    /// [`Error::ResourceGroupNotFound`], [`Error::ResourceGroupNotEmpty`].
    pub async fn delete_group(
        &self,
        request: &Request,
        permit: &Permit,
        subscription: Uuid,
        name: &GroupName,
    ) -> Result<()> {
        let scope = ResourceScope::group(subscription, name);
        permit.demand(Action::GroupDelete, &scope)?;
        let group = self.existing_group(subscription, name).await?;
        if !self.is_empty(subscription, name).await? {
            return Err(Error::ResourceGroupNotEmpty(name.to_string()));
        }
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("resource group {name}"));
        let what = "role assignments in a removed group";
        permit.bind_and_remove_below(barrier, &mut transaction, &scope, what)?;
        transaction.delete(&group);
        transaction.commit(request).await?;
        Ok(())
    }

    async fn is_empty(&self, subscription: Uuid, name: &GroupName) -> Result<bool> {
        let barrier = self.barrier();
        let identities = layout::group_identities(subscription, &name.folded());
        if !barrier.keys(&identities, 1).await?.is_empty() {
            return Ok(false);
        }
        let hsms = barrier.all::<ManagedHsm>(barrier.deployment(), crate::layout::MANAGED_HSMS).await?;
        let inside = |hsm: &ManagedHsm| {
            hsm.subscription == subscription
                && hsm.resource_group.eq_ignore_ascii_case(name.as_str())
                && hsm.deletion.is_none()
        };
        let vaults = self.all_vaults().await?;
        let holds = |vault: &Vault| {
            vault.subscription == subscription
                && vault.resource_group.eq_ignore_ascii_case(name.as_str())
                && vault.deletion.is_none()
        };
        let accounts = self.all_storage_accounts().await?;
        let here = |of: Uuid, group: &GroupName| of == subscription && group.folded() == name.folded();
        let networks = self.all_networks().await?;
        let endpoints = self.all_endpoints().await?;
        if networks.iter().any(|network| here(network.subscription, &network.resource_group))
            || endpoints.iter().any(|endpoint| here(endpoint.subscription, &endpoint.resource_group))
            || accounts.iter().any(|account| here(account.subscription, &account.resource_group))
        {
            return Ok(false);
        }
        let has_hsm = hsms.iter().any(|stored| inside(&stored.value));
        Ok(!has_hsm && !vaults.iter().any(holds))
    }

    pub(super) async fn existing_group(&self, subscription: Uuid, name: &GroupName) -> Result<Stored<ResourceGroup>> {
        let found = self.find_group(subscription, name).await?;
        found.ok_or_else(|| Error::ResourceGroupNotFound(name.to_string()))
    }

    /// Adds to a commit that a resource is made in the group.
    pub(super) fn stage_member(&self, transaction: &mut Transaction<'_>, group: &Stored<ResourceGroup>) -> Result<()> {
        let members_changed = group.value.members_changed.saturating_add(1);
        let changed = ResourceGroup { members_changed, ..group.value.clone() };
        transaction.replace(self.barrier().deployment(), group, &changed)?;
        Ok(())
    }

    async fn find_group(&self, subscription: Uuid, name: &GroupName) -> Result<Option<Stored<ResourceGroup>>> {
        let barrier = self.barrier();
        Ok(barrier.read(barrier.deployment(), &layout::resource_group(subscription, &name.folded())).await?)
    }

    pub(super) async fn read_subscription(&self, id: Uuid) -> Result<Option<Stored<Subscription>>> {
        let barrier = self.barrier();
        Ok(barrier.read(barrier.deployment(), &layout::subscription(id)).await?)
    }
}

/// Most resource groups of a subscription (Azure: 980).
pub(super) const GROUPS_MAX: usize = 980;
/// Most role assignments that go in one commit with the resource they are about; below the store's limit.
pub(super) const REMOVALS_MAX: usize = 40;
