//! The first start: one subscription, one resource group, an owner.

use serde::{Deserialize, Serialize};
use strongroom_crypto::digest::sha256;
use strongroom_types::{DeploymentId, PrincipalId, TenantId, Timestamp};
use uuid::Uuid;

use crate::barrier::{Record, Transaction};
use crate::identity::{Foundation, ProgramIds};
use crate::pools::rbac::{self, Changes, OWNER, PrincipalType, READER, RoleAssignment};
use crate::pools::{
    GroupName, Location, Pools, ResourceGroup, ResourceScope, Result, Rights, Tags, UserAssignedIdentity, layout,
};
use crate::request::Request;

/// A subscription: the top of the scopes. A deployment has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its GUID.
    pub id: Uuid,
    /// `displayName`.
    pub display_name: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// When it was made.
    pub created: Timestamp,
}

impl Record for Subscription {
    const FORMAT: u16 = 1;
}

/// The resource group that the first start makes.
pub const RESOURCE_GROUP: &str = "strongroom";
/// The user-assigned identity that the first start makes.
pub const MACHINE_IDENTITY: &str = "machine";

/// The subscription of a deployment, known before anything is stored: the directory names it in the resource id of
/// `machine`.
pub fn subscription_id(deployment: DeploymentId) -> Uuid {
    let digest = sha256(&[b"strongroom/subscription/".as_slice(), deployment.as_bytes()].concat());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, digit)| *byte = digit);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The resource id of the identity `machine`.
pub fn machine_identity_id(subscription: Uuid) -> String {
    format!(
        "/subscriptions/{subscription}/resourceGroups/{RESOURCE_GROUP}\
         /providers/Microsoft.ManagedIdentity/userAssignedIdentities/{MACHINE_IDENTITY}"
    )
}

impl Pools {
    /// Makes the subscription, the resource group `strongroom`, the identity `machine` in it, Owner for the
    /// administrator and Reader for `machine`; does nothing if they were made before. Call it at every start, after
    /// [`crate::identity::Directory::found`].
    ///
    /// # Errors
    /// What the store says.
    pub async fn found(&self, request: &Request, foundation: &Foundation) -> Result<Subscription> {
        let id = subscription_id(self.core.deployment().id);
        if let Some(subscription) = self.read_subscription(id).await? {
            return Ok(subscription.value);
        }
        let mut transaction = self.barrier().transaction();
        self.stage_founding(&mut transaction, request, foundation, id)?;
        match transaction.detail(format!("subscription {id}")).commit(request).await {
            // Another node was faster: what it made is as good.
            Ok(_) | Err(crate::Error::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
        let found = self.read_subscription(id).await?;
        Ok(found.ok_or(crate::Error::Internal("the subscription was not made"))?.value)
    }

    fn stage_founding(
        &self,
        transaction: &mut Transaction<'_>,
        request: &Request,
        foundation: &Foundation,
        id: Uuid,
    ) -> Result<()> {
        let Foundation { tenant, administrator, machine } = *foundation;
        let now = request.received;
        let fault = || crate::Error::Internal("a founding name is not valid");
        let group_name: GroupName = RESOURCE_GROUP.parse().map_err(|_| fault())?;
        let location: Location = LOCATION.parse().map_err(|_| fault())?;
        let sealer = self.barrier().deployment();
        let subscription = Subscription { id, display_name: SUBSCRIPTION_NAME.to_owned(), tenant, created: now };
        transaction.create(sealer, layout::subscription(id), &subscription)?;
        let group = ResourceGroup {
            name: group_name.clone(),
            subscription: id,
            location: location.clone(),
            tags: Tags::default(),
            created: now,
            updated: now,
            members_changed: 0,
        };
        transaction.create(sealer, layout::resource_group(id, &group_name.folded()), &group)?;
        let ProgramIds { client_id, object_id } = machine;
        let identity = UserAssignedIdentity {
            name: MACHINE_IDENTITY.parse().map_err(|_| fault())?,
            subscription: id,
            resource_group: group_name.clone(),
            location,
            tags: Tags::default(),
            tenant,
            principal: object_id,
            client_id,
            created: now,
        };
        transaction.create(sealer, identity.store_key(), &identity)?;
        let scope = ResourceScope::group(id, &group_name);
        let assignments = vec![
            self.first_assignment(tenant, administrator.object_id, OWNER, ResourceScope::subscription(id), now)?,
            self.first_assignment(tenant, object_id, READER, scope, now)?,
        ];
        for assignment in &assignments {
            transaction.create(sealer, layout::role_assignment(assignment.name), assignment)?;
        }
        let guard = rbac::guard_of(&Rights::new(1, assignments, Vec::new()))?;
        transaction.create(sealer, layout::GUARD.to_owned(), &guard)?;
        Ok(())
    }

    fn first_assignment(
        &self,
        tenant: TenantId,
        principal: PrincipalId,
        role: Uuid,
        scope: ResourceScope,
        now: Timestamp,
    ) -> Result<RoleAssignment> {
        let changes = Changes { created: now, created_by: principal, updated: now, updated_by: principal };
        let (name, principal_type) = (self.draw_uuid()?, PrincipalType::ServicePrincipal);
        Ok(RoleAssignment { name, tenant, principal, principal_type, role, scope, description: None, changes })
    }
}

const SUBSCRIPTION_NAME: &str = "strongroom";
const LOCATION: &str = "local";
