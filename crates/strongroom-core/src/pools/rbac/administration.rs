//! Changing who may do what.

use strongroom_types::PrincipalId;
use uuid::Uuid;

use crate::barrier::Stored;
use crate::pools::groups::REMOVALS_MAX;
use crate::pools::rbac::assignment::{CUSTOM_ROLES_MAX, DESCRIPTION_MAX, ROLE_ASSIGNMENTS_MAX};
use crate::pools::rbac::definition::CustomRole;
use crate::pools::rbac::{
    Action, Changes, CustomRoleSpecification, Permit, PrincipalType, RoleAssignment, RoleDefinition, RoleKind,
};
use crate::pools::{Error, Pools, ResourceScope, Result, Written, layout};
use crate::request::Request;

/// What a user says about a role assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentSpecification {
    /// Who gets the role.
    pub principal: PrincipalId,
    /// What kind of principal that is, if it was said.
    pub principal_type: PrincipalType,
    /// The role.
    pub role: Uuid,
    /// What it is for.
    pub description: Option<String>,
}

impl Pools {
    /// Assigns a role at the scope of the permit.
    ///
    /// # Errors
    /// [`Error::RoleAssignmentExists`] if it is assigned under another name, [`Error::RoleAssignmentUpdateNotPermitted`]
    /// if the name means something else, [`Error::RoleDefinitionNotFound`] if the role cannot be assigned there,
    /// [`Error::ResourceGroupNotFound`].
    pub async fn assign_role(
        &self,
        request: &Request,
        permit: &Permit,
        name: Uuid,
        specification: AssignmentSpecification,
    ) -> Result<Written<RoleAssignment>> {
        let scope = permit.scope();
        permit.demand(Action::RoleAssignmentWrite, scope)?;
        let assignment = self.new_assignment(request, permit, name, specification)?;
        let assignments = permit.rights().assignments();
        if let Some(same_name) = assignments.iter().find(|other| other.name == name) {
            if !same_name.means_the_same(&assignment) {
                return Err(Error::RoleAssignmentUpdateNotPermitted(name));
            }
            return Ok(Written::Updated(same_name.clone()));
        }
        if let Some(same) = assignments.iter().find(|other| other.means_the_same(&assignment)) {
            return Err(Error::RoleAssignmentExists { existing: same.name });
        }
        if assignments.len() >= ROLE_ASSIGNMENTS_MAX {
            return Err(Error::LimitReached { what: "role assignments", limit: ROLE_ASSIGNMENTS_MAX });
        }
        if let Some(key) = scope.vault_key()
            && permit.guarded().assignments_below(&key).len() >= REMOVALS_MAX
        {
            // They go with the key, in one commit.
            return Err(Error::LimitReached { what: "role assignments on a key of a vault", limit: REMOVALS_MAX });
        }
        let barrier = self.barrier();
        let mut transaction = barrier
            .transaction()
            .detail(format!("role {} for {} at {}", assignment.role, assignment.principal, assignment.scope));
        if let Some((subscription, group)) = scope.subscription_id().zip(scope.group_name()) {
            // A role must not wait for a group that somebody else will make.
            transaction.expect(&self.existing_group(subscription, &group).await?);
        }
        transaction.create(barrier.deployment(), layout::role_assignment(name), &assignment)?;
        let all = assignments.iter().cloned().chain([assignment.clone()]).collect();
        permit.guarded().stage(barrier, &mut transaction, all, permit.rights().custom().to_vec())?;
        transaction.commit(request).await?;
        Ok(Written::Created(assignment))
    }

    fn new_assignment(
        &self,
        request: &Request,
        permit: &Permit,
        name: Uuid,
        specification: AssignmentSpecification,
    ) -> Result<RoleAssignment> {
        let AssignmentSpecification { principal, principal_type, role, description } = specification;
        if description.as_ref().is_some_and(|text| text.chars().count() > DESCRIPTION_MAX) {
            return Err(Error::bad_property("properties.description", "at most 1024 characters are allowed"));
        }
        permit
            .rights()
            .definition(role)
            .filter(|definition| definition.is_assignable_at(permit.scope()))
            .ok_or_else(|| Error::RoleDefinitionNotFound(role.to_string()))?;
        permit.require_delegation(Action::RoleAssignmentWrite, permit.scope(), role)?;
        let (tenant, by) = (permit.caller().tenant, permit.caller().principal);
        let changes = Changes { created: request.received, created_by: by, updated: request.received, updated_by: by };
        let scope = permit.scope().clone();
        Ok(RoleAssignment { name, tenant, principal, principal_type, role, scope, description, changes })
    }

    /// Takes an assignment away; `None` if there was none of that name at the scope of the permit.
    ///
    /// # Errors
    /// [`Error::LastRoleAdministrator`] if nobody could assign roles in the subscription any more.
    pub async fn remove_role_assignment(
        &self,
        request: &Request,
        permit: &Permit,
        name: Uuid,
    ) -> Result<Option<RoleAssignment>> {
        permit.demand(Action::RoleAssignmentDelete, permit.scope())?;
        let rights = permit.rights();
        let Some(assignment) =
            rights.assignments().iter().find(|other| other.name == name && other.scope == *permit.scope())
        else {
            return Ok(None);
        };
        permit.require_delegation(Action::RoleAssignmentDelete, permit.scope(), assignment.role)?;
        let subscription = permit.scope().subscription_id().map(ResourceScope::subscription);
        if let Some(subscription) = subscription {
            let mut administrators = rights.role_administrators(&subscription);
            if administrators.next().is_some_and(|first| first.name == name) && administrators.next().is_none() {
                return Err(Error::LastRoleAdministrator);
            }
        }
        let barrier = self.barrier();
        let mut transaction = barrier
            .transaction()
            .detail(format!("role {} of {} at {}", assignment.role, assignment.principal, assignment.scope));
        permit.guarded().stage_removal(barrier, &mut transaction, std::slice::from_ref(assignment))?;
        transaction.commit(request).await?;
        Ok(Some(assignment.clone()))
    }

    /// Makes or changes a custom role.
    ///
    /// # Errors
    /// [`Error::RoleDefinitionBuiltIn`], [`Error::RoleDefinitionNameTaken`], [`Error::AuthorizationFailed`] if the caller
    /// may not write roles in each of its scopes.
    pub async fn put_role_definition(
        &self,
        request: &Request,
        permit: &Permit,
        id: Uuid,
        specification: CustomRoleSpecification,
    ) -> Result<Written<RoleDefinition>> {
        permit.demand(Action::RoleDefinitionWrite, permit.scope())?;
        let existing = permit.rights().definition(id);
        self.check_role(permit, id, existing, &specification)?;
        let by = permit.caller().principal;
        let fresh = Changes { created: request.received, created_by: by, updated: request.received, updated_by: by };
        let changes = match existing.and_then(|role| role.times) {
            Some(times) => Changes { updated: request.received, updated_by: by, ..times },
            None => fresh,
        };
        let record = specification.into_record(id, changes);
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("role definition {id}"));
        match self.stored_role(id).await? {
            Some(stored) => transaction.replace(barrier.deployment(), &stored, &record)?,
            None => transaction.create(barrier.deployment(), layout::role_definition(id), &record)?,
        }
        let others = permit.rights().custom().iter().filter(|role| role.id != id).cloned();
        let all = others.chain([record.clone()]).collect();
        permit.guarded().stage(barrier, &mut transaction, permit.rights().assignments().to_vec(), all)?;
        transaction.commit(request).await?;
        Ok(if existing.is_some() { Written::Updated(record.into()) } else { Written::Created(record.into()) })
    }

    fn check_role(
        &self,
        permit: &Permit,
        id: Uuid,
        existing: Option<&RoleDefinition>,
        specification: &CustomRoleSpecification,
    ) -> Result<()> {
        if existing.is_some_and(|role| role.kind == RoleKind::BuiltIn) {
            return Err(Error::RoleDefinitionBuiltIn(id));
        }
        let before = existing.map(|role| role.assignable_scopes.as_slice()).unwrap_or_default();
        for scope in before.iter().chain(specification.assignable_scopes()) {
            permit.require(Action::RoleDefinitionWrite, scope)?;
        }
        let same_name = |role: &&RoleDefinition| role.id != id && role.name.eq_ignore_ascii_case(specification.name());
        if permit.rights().definitions().find(same_name).is_some() {
            return Err(Error::RoleDefinitionNameTaken(specification.name().to_owned()));
        }
        let covered = |assignment: &RoleAssignment| {
            specification.assignable_scopes().iter().any(|scope| scope.covers(&assignment.scope))
        };
        if permit.rights().assignments().iter().any(|assignment| assignment.role == id && !covered(assignment)) {
            let problem = "the role is assigned outside these scopes: remove those assignments first";
            return Err(Error::bad_property("properties.assignableScopes", problem));
        }
        if existing.is_none() && permit.rights().custom().len() >= CUSTOM_ROLES_MAX {
            return Err(Error::LimitReached { what: "custom roles", limit: CUSTOM_ROLES_MAX });
        }
        Ok(())
    }

    /// Removes a custom role; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::RoleDefinitionInUse`] while it is assigned.
    pub async fn remove_role_definition(
        &self,
        request: &Request,
        permit: &Permit,
        id: Uuid,
    ) -> Result<Option<RoleDefinition>> {
        permit.demand(Action::RoleDefinitionDelete, permit.scope())?;
        let Some(role) = permit.rights().definition(id).cloned() else { return Ok(None) };
        if role.kind == RoleKind::BuiltIn {
            return Err(Error::RoleDefinitionBuiltIn(id));
        }
        for scope in &role.assignable_scopes {
            permit.require(Action::RoleDefinitionDelete, scope)?;
        }
        if permit.rights().assignments().iter().any(|assignment| assignment.role == id) {
            return Err(Error::RoleDefinitionInUse(id));
        }
        let Some(stored) = self.stored_role(id).await? else { return Err(crate::Error::Conflict.into()) };
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("role definition {id}"));
        transaction.delete(&stored);
        let rest = permit.rights().custom().iter().filter(|other| other.id != id).cloned().collect();
        permit.guarded().stage(barrier, &mut transaction, permit.rights().assignments().to_vec(), rest)?;
        transaction.commit(request).await?;
        Ok(Some(role))
    }

    async fn stored_role(&self, id: Uuid) -> Result<Option<Stored<CustomRole>>> {
        let barrier = self.barrier();
        Ok(barrier.read(barrier.deployment(), &layout::role_definition(id)).await?)
    }
}
