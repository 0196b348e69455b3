//! User-assigned managed identities (`Microsoft.ManagedIdentity/userAssignedIdentities`).

use serde::{Deserialize, Serialize};
use strongroom_types::{PrincipalId, TenantId, Timestamp};
use uuid::Uuid;

use crate::barrier::{Record, Stored};
use crate::identity::NewManagedIdentity;
use crate::pools::{
    Action, Error, GroupName, IdentityName, Location, Permit, Pools, Removed, ResourceScope, Result, Tags, Written,
    layout,
};
use crate::request::Request;

/// A user-assigned identity: a principal of the directory that belongs to a resource group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserAssignedIdentity {
    /// Its name as it was written at creation.
    pub name: IdentityName,
    /// The subscription it belongs to.
    pub subscription: Uuid,
    /// The resource group.
    pub resource_group: GroupName,
    /// The region's name; means nothing here and never changes.
    pub location: Location,
    /// Tags.
    pub tags: Tags,
    /// The tenant of its tokens.
    pub tenant: TenantId,
    /// Its object id in the directory.
    pub principal: PrincipalId,
    /// Its client id.
    pub client_id: Uuid,
    /// When it was made.
    pub created: Timestamp,
}

impl Record for UserAssignedIdentity {
    const FORMAT: u16 = 1;
}

/// What a user says about an identity. What is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdentitySpecification {
    /// Needed to make one; cannot be changed.
    pub location: Option<Location>,
    /// Replaces all tags.
    pub tags: Option<Tags>,
}

impl UserAssignedIdentity {
    /// `{namespace}/{type}` of these resources.
    pub const RESOURCE_TYPE: &'static str = "Microsoft.ManagedIdentity/userAssignedIdentities";

    /// Its scope; its text is the resource id.
    pub fn scope(&self) -> ResourceScope {
        Self::scope_of(self.subscription, &self.resource_group, &self.name)
    }

    /// The scope of an identity, whether it exists or not.
    pub fn scope_of(subscription: Uuid, group: &GroupName, name: &IdentityName) -> ResourceScope {
        let group = ResourceScope::group(subscription, group);
        group.resource("Microsoft.ManagedIdentity", "userAssignedIdentities", name.as_str())
    }

    pub(super) fn store_key(&self) -> String {
        layout::identity(self.subscription, &self.resource_group.folded(), &self.name.folded())
    }
}

impl Pools {
    /// An identity.
    ///
    /// # Errors
    /// [`Error::ResourceGroupNotFound`], [`Error::ResourceNotFound`].
    pub async fn identity(
        &self,
        permit: &Permit,
        subscription: Uuid,
        group: &GroupName,
        name: &IdentityName,
    ) -> Result<UserAssignedIdentity> {
        permit.demand(Action::IdentityRead, &UserAssignedIdentity::scope_of(subscription, group, name))?;
        Ok(self.existing_identity(subscription, group, name).await?.value)
    }

    /// The identities of a subscription, or of one group of it, that the caller may read.
    pub async fn identities(
        &self,
        permit: &Permit,
        subscription: Uuid,
        group: Option<&GroupName>,
    ) -> Result<Vec<UserAssignedIdentity>> {
        permit.demand_list(Action::IdentityRead, &list_scope(subscription, group))?;
        self.readable_identities(permit, subscription, group).await
    }

    pub(super) async fn readable_identities(
        &self,
        permit: &Permit,
        subscription: Uuid,
        group: Option<&GroupName>,
    ) -> Result<Vec<UserAssignedIdentity>> {
        let prefix = match group {
            Some(group) => {
                self.existing_group(subscription, group).await?;
                layout::group_identities(subscription, &group.folded())
            }
            None => layout::identities(subscription),
        };
        let barrier = self.barrier();
        let all = barrier.all::<UserAssignedIdentity>(barrier.deployment(), &prefix).await?;
        let readable = |identity: &UserAssignedIdentity| permit.allows(Action::IdentityRead, &identity.scope());
        Ok(all.into_iter().map(|stored| stored.value).filter(readable).collect())
    }

    /// Whether an identity is there that the caller is about to write: a PUT that makes one is answered otherwise.
    pub async fn identity_is_there(
        &self,
        permit: &Permit,
        subscription: Uuid,
        group: &GroupName,
        name: &IdentityName,
    ) -> Result<bool> {
        permit.demand(Action::IdentityWrite, &UserAssignedIdentity::scope_of(subscription, group, name))?;
        Ok(self.find_identity(subscription, group, name).await?.is_some())
    }

    /// Makes an identity with a new principal, or changes the tags of an existing one.
    ///
    /// # Errors
    /// [`Error::LocationRequired`], [`Error::LocationDiffers`], [`Error::ResourceGroupNotFound`].
    pub async fn put_identity(
        &self,
        request: &Request,
        permit: &Permit,
        subscription: Uuid,
        group: &GroupName,
        name: &IdentityName,
        specification: IdentitySpecification,
    ) -> Result<Written<UserAssignedIdentity>> {
        permit.demand(Action::IdentityWrite, &UserAssignedIdentity::scope_of(subscription, group, name))?;
        if let Some(existing) = self.find_identity(subscription, group, name).await? {
            return self.change_identity(request, permit, &existing, specification).await;
        }
        let parent = self.existing_group(subscription, group).await?;
        let barrier = self.barrier();
        if barrier.keys(&layout::identities(subscription), IDENTITIES_MAX).await?.len() >= IDENTITIES_MAX {
            return Err(Error::LimitReached { what: "user-assigned identities", limit: IDENTITIES_MAX });
        }
        let location = specification.location.ok_or(Error::LocationRequired)?;
        let id = UserAssignedIdentity::scope_of(subscription, &parent.value.name, name);
        let mut transaction = barrier.transaction().detail(format!("identity {id}"));
        let new = NewManagedIdentity { display_name: name.as_str(), resource_id: id.as_str() };
        let ids = self.directory.stage_managed_identity(&mut transaction, new)?;
        let identity = UserAssignedIdentity {
            name: name.clone(),
            subscription,
            resource_group: parent.value.name.clone(),
            location,
            tags: specification.tags.unwrap_or_default(),
            tenant: self.directory.tenant()?.id,
            principal: ids.object_id,
            client_id: ids.client_id,
            created: request.received,
        };
        permit.bind(&mut transaction);
        self.stage_member(&mut transaction, &parent)?;
        transaction.create(barrier.deployment(), identity.store_key(), &identity)?;
        transaction.commit(request).await?;
        Ok(Written::Created(identity))
    }

    async fn change_identity(
        &self,
        request: &Request,
        permit: &Permit,
        existing: &Stored<UserAssignedIdentity>,
        specification: IdentitySpecification,
    ) -> Result<Written<UserAssignedIdentity>> {
        let IdentitySpecification { location, tags } = specification;
        let mut identity = existing.value.clone();
        if let Some(asked) = location {
            asked.check_unchanged(identity.location.as_str(), &identity.name, &identity.resource_group)?;
        }
        identity.tags = tags.unwrap_or(identity.tags);
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("identity {}", identity.scope()));
        permit.bind(&mut transaction);
        transaction.replace(barrier.deployment(), existing, &identity)?;
        transaction.commit(request).await?;
        Ok(Written::Updated(identity))
    }

    /// Removes an identity, its principal and the role assignments on it. Roles that were
    /// assigned to its principal stay visible and mean nobody: object ids are not used again.
    pub async fn delete_identity(
        &self,
        request: &Request,
        permit: &Permit,
        subscription: Uuid,
        group: &GroupName,
        name: &IdentityName,
    ) -> Result<Removed> {
        let scope = UserAssignedIdentity::scope_of(subscription, group, name);
        permit.demand(Action::IdentityDelete, &scope)?;
        let Some(existing) = self.find_identity(subscription, group, name).await? else {
            return Ok(Removed::WasAbsent);
        };
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("identity {scope}"));
        self.directory.stage_removal(&mut transaction, existing.value.principal).await?;
        let what = "role assignments on a removed identity";
        permit.bind_and_remove_below(barrier, &mut transaction, &scope, what)?;
        transaction.delete(&existing);
        transaction.commit(request).await?;
        Ok(Removed::Gone)
    }

    pub(super) async fn existing_identity(
        &self,
        subscription: Uuid,
        group: &GroupName,
        name: &IdentityName,
    ) -> Result<Stored<UserAssignedIdentity>> {
        self.existing_group(subscription, group).await?;
        let found = self.find_identity(subscription, group, name).await?;
        found.ok_or_else(|| Error::ResourceNotFound {
            resource_type: UserAssignedIdentity::RESOURCE_TYPE,
            name: name.to_string(),
            group: group.to_string(),
        })
    }

    pub(super) async fn find_identity(
        &self,
        subscription: Uuid,
        group: &GroupName,
        name: &IdentityName,
    ) -> Result<Option<Stored<UserAssignedIdentity>>> {
        let barrier = self.barrier();
        let key = layout::identity(subscription, &group.folded(), &name.folded());
        Ok(barrier.read(barrier.deployment(), &key).await?)
    }
}

/// The scope that a list asks for: one group, or the whole subscription.
pub(super) fn list_scope(subscription: Uuid, group: Option<&GroupName>) -> ResourceScope {
    match group {
        Some(group) => ResourceScope::group(subscription, group),
        None => ResourceScope::subscription(subscription),
    }
}

/// Most user-assigned identities of a subscription; Azure has no such limit, here each is read by lists.
pub(super) const IDENTITIES_MAX: usize = 1000;
