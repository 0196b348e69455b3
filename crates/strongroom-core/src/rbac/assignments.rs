//! Role assignments: list, create, delete.

use serde::{Deserialize, Serialize};
use strongroom_types::{DataAction, PrincipalId, Scope, Timestamp};
use uuid::Uuid;

use crate::barrier::{Record, Stored};
use crate::container::Permit;
use crate::hsm::Hsm;
use crate::limits::Limits;
use crate::rbac::{ADMINISTRATOR, RoleDefinitionId, stage_rights};
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Error, Result};

/// A role given to a principal at a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignment {
    /// The GUID the client chose.
    pub name: Uuid,
    /// Where it holds.
    pub scope: Scope,
    /// The role.
    pub role: RoleDefinitionId,
    /// Who gets it; a principal of the HSM's tenant, known to us or not.
    pub principal: PrincipalId,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: PrincipalId,
}

impl Record for RoleAssignment {
    const FORMAT: u16 = 1;
}

/// Which assignments a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignmentFilter {
    /// All that hold at the scope, and those at `/keys` when asked at `/`.
    All,
    /// Those made exactly at the scope (`atScope()`).
    AtScope,
    /// Those of one principal (`principalId eq '…'`).
    Principal(PrincipalId),
}

impl Hsm<'_> {
    /// The assignments a scope knows of. Those of single keys show only at their key (roles.json, rules).
    pub async fn role_assignments(
        &self,
        request: &Request,
        scope: &Scope,
        filter: AssignmentFilter,
    ) -> Result<Vec<RoleAssignment>> {
        let permit = self.authorize(request, DataAction::RoleAssignmentsRead, scope).await?;
        let shown = |assignment: &RoleAssignment| match filter {
            AssignmentFilter::AtScope => assignment.scope == *scope,
            AssignmentFilter::Principal(principal) => {
                assignment.principal == principal && shows(scope, &assignment.scope)
            }
            AssignmentFilter::All => shows(scope, &assignment.scope),
        };
        let all = permit.rights().assignments().iter().map(|stored| &stored.value);
        Ok(all.filter(|assignment| shown(assignment)).cloned().collect())
    }

    /// One assignment at a scope.
    pub async fn role_assignment(&self, request: &Request, scope: &Scope, name: Uuid) -> Result<RoleAssignment> {
        let permit = self.authorize(request, DataAction::RoleAssignmentsRead, scope).await?;
        find(&permit, scope, name).map(|stored| stored.value.clone())
    }

    /// Gives a role to a principal at a scope. Repeating a call with the same name and content changes nothing.
    ///
    /// # Errors
    /// [`Error::RoleAssignmentExists`] if another assignment says the same, or the name says something else;
    /// [`Error::RoleDefinitionNotFound`]; [`Error::LimitReached`].
    pub async fn create_role_assignment(
        &self,
        request: &Request,
        scope: &Scope,
        name: Uuid,
        role: RoleDefinitionId,
        principal: PrincipalId,
    ) -> Result<RoleAssignment> {
        let wanted = RoleAssignment {
            name,
            scope: scope.clone(),
            role,
            principal,
            created: request.received,
            created_by: request.caller.principal,
        };
        retry_on_conflict!(self.try_create_role_assignment(request, &wanted))
    }

    /// Takes an assignment away, and answers what it was.
    ///
    /// # Errors
    /// [`Error::RoleAssignmentNotFound`]; [`Error::LastAdministrator`].
    pub async fn delete_role_assignment(&self, request: &Request, scope: &Scope, name: Uuid) -> Result<RoleAssignment> {
        retry_on_conflict!(self.try_delete_role_assignment(request, scope, name))
    }

    async fn try_create_role_assignment(&self, request: &Request, wanted: &RoleAssignment) -> Result<RoleAssignment> {
        let permit = self.authorize(request, DataAction::RoleAssignmentsWrite, &wanted.scope).await?;
        if permit.rights().definition(wanted.role).is_none() {
            return Err(Error::RoleDefinitionNotFound { id: wanted.role.0.to_string() });
        }
        let existing = permit.rights().assignments();
        let same = |assignment: &RoleAssignment| {
            (&assignment.scope, assignment.role, assignment.principal) == (&wanted.scope, wanted.role, wanted.principal)
        };
        if let Some(Stored { value, .. }) =
            existing.iter().find(|stored| stored.value.name == wanted.name || same(&stored.value))
        {
            return if value.name == wanted.name && same(value) {
                Ok(value.clone())
            } else {
                Err(Error::RoleAssignmentExists { existing: value.name.to_string() })
            };
        }
        check_limit(&permit, &wanted.scope, self.limits())?;
        let mut transaction =
            permit.transaction().detail(format!("role {} to {} at {}", wanted.role.0, wanted.principal, wanted.scope));
        let assignments = existing.iter().map(|stored| &stored.value).chain([wanted]);
        stage_rights(&permit, &mut transaction, assignments, permit.rights().custom_roles())?;
        transaction.create(permit.sealer(), permit.generation().role_assignment(wanted.name), wanted)?;
        transaction.commit(request).await?;
        Ok(wanted.clone())
    }

    async fn try_delete_role_assignment(&self, request: &Request, scope: &Scope, name: Uuid) -> Result<RoleAssignment> {
        let permit = self.authorize(request, DataAction::RoleAssignmentsDelete, scope).await?;
        let removed = find(&permit, scope, name)?;
        let left = || permit.rights().assignments().iter().map(|stored| &stored.value).filter(|left| left.name != name);
        if is_administration(&removed.value) && !left().any(is_administration) {
            return Err(Error::LastAdministrator { principal: removed.value.principal });
        }
        let mut transaction = permit
            .transaction()
            .detail(format!("role {} from {} at {scope}", removed.value.role.0, removed.value.principal));
        stage_rights(&permit, &mut transaction, left(), permit.rights().custom_roles())?;
        transaction.delete(removed);
        transaction.commit(request).await?;
        Ok(removed.value.clone())
    }
}

/// Whether a list at one scope shows an assignment made at another.
fn shows(asked: &Scope, assigned: &Scope) -> bool {
    assigned.covers(asked) || (*asked == Scope::Root && *assigned == Scope::Keys)
}

fn is_administration(assignment: &RoleAssignment) -> bool {
    assignment.role == ADMINISTRATOR && assignment.scope == Scope::Root
}

fn find<'p>(permit: &'p Permit<'_>, scope: &Scope, name: Uuid) -> Result<&'p Stored<RoleAssignment>> {
    let mut all = permit.rights().assignments().iter();
    all.find(|stored| stored.value.name == name && stored.value.scope == *scope)
        .ok_or_else(|| Error::RoleAssignmentNotFound { name: name.to_string() })
}

fn check_limit(permit: &Permit<'_>, scope: &Scope, limits: &Limits) -> Result<()> {
    let at_key = matches!(scope, Scope::Key(_));
    let count = permit.rights().assignments().iter().filter(|stored| {
        if at_key { stored.value.scope == *scope } else { !matches!(stored.value.scope, Scope::Key(_)) }
    });
    let limit = if at_key { limits.role_assignments_per_key } else { limits.role_assignments_per_hsm };
    if count.count() >= limit {
        return Err(Error::LimitReached { what: "role assignments at this scope", limit });
    }
    Ok(())
}
