//! Role assignments: who holds which role where.

use serde::{Deserialize, Serialize};
use strongroom_types::{PrincipalId, TenantId};
use uuid::Uuid;

use crate::barrier::Record;
use crate::pools::ResourceScope;
use crate::pools::rbac::definition::Changes;

/// An Azure role assignment. It means the principal of that tenant, whichever issuer vouches for it
/// (protocols.md §8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignment {
    /// The name that whoever made it chose.
    pub name: Uuid,
    /// The tenant of the principal.
    pub tenant: TenantId,
    /// A user, service principal, managed identity or group.
    pub principal: PrincipalId,
    /// What kind of principal it was said to be.
    pub principal_type: PrincipalType,
    /// The role.
    pub role: Uuid,
    /// Where it holds, and everywhere below.
    pub scope: ResourceScope,
    /// What it is for.
    pub description: Option<String>,
    /// Who made it.
    pub changes: Changes,
}

impl Record for RoleAssignment {
    const FORMAT: u16 = 1;
}

/// `principalType`: for show; the object id alone decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrincipalType {
    /// A person.
    User,
    /// A group.
    Group,
    /// A program or a managed identity.
    ServicePrincipal,
    /// Nobody said.
    Unknown,
}

impl PrincipalType {
    /// The spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::ServicePrincipal => "ServicePrincipal",
            Self::Unknown => "Unknown",
        }
    }

    /// From the wire, without case; `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::User, Self::Group, Self::ServicePrincipal, Self::Unknown]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }
}

impl RoleAssignment {
    /// Whether it gives the same role to the same principal at the same scope.
    pub(in crate::pools) fn means_the_same(&self, other: &Self) -> bool {
        (self.tenant, self.principal, self.role) == (other.tenant, other.principal, other.role)
            && self.scope == other.scope
    }

    /// Its resource id.
    pub fn id(&self) -> String {
        format!("{}/providers/Microsoft.Authorization/roleAssignments/{}", self.scope, self.name)
    }
}

/// Longest description of an assignment, in characters.
pub(in crate::pools) const DESCRIPTION_MAX: usize = 1024;
/// Most role assignments (Azure: per subscription).
pub(in crate::pools) const ROLE_ASSIGNMENTS_MAX: usize = 4000;
/// Most custom roles (Azure: per tenant, 5000; each one is in memory and compared on every request).
pub(in crate::pools) const CUSTOM_ROLES_MAX: usize = 500;
