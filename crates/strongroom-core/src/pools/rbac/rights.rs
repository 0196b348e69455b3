//! The compiled rights: all assignments and roles of one rights version.

use std::collections::BTreeMap;

use strongroom_crypto::digest::sha256;
use strongroom_types::{PrincipalId, TenantId};
use uuid::Uuid;

use crate::Result;
use crate::pools::rbac::assignment::RoleAssignment;
use crate::pools::rbac::builtin::BUILT_IN_ROLES;
use crate::pools::rbac::definition::{CustomRole, RoleDefinition};
use crate::pools::{Action, ResourceScope};
use crate::request::Caller;

/// All assignments and roles, as of one version of the management guard.
#[derive(Debug, Clone)]
pub struct Rights {
    version: u64,
    assignments: Vec<RoleAssignment>,
    custom: Vec<CustomRole>,
    definitions: BTreeMap<Uuid, RoleDefinition>,
}

impl Rights {
    /// Compiles a set.
    pub fn new(version: u64, mut assignments: Vec<RoleAssignment>, mut custom: Vec<CustomRole>) -> Self {
        assignments.sort_by_key(|assignment| assignment.name);
        custom.sort_by_key(|role| role.id);
        let built_in = BUILT_IN_ROLES.iter().map(|role| (role.id, role.definition()));
        let definitions =
            custom.iter().map(|role| (role.id, RoleDefinition::from(role.clone()))).chain(built_in).collect();
        Self { version, assignments, custom, definitions }
    }

    /// The version of the guard they belong to.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// SHA-256 over the whole set, in the order of names.
    pub(in crate::pools) fn digest(&self) -> Result<[u8; 32]> {
        let encoded = serde_json::to_vec(&(&self.assignments, &self.custom))
            .map_err(|_| crate::Error::Internal("the rights do not encode"))?;
        Ok(sha256(&encoded))
    }

    /// Every assignment, in the order of names.
    pub fn assignments(&self) -> &[RoleAssignment] {
        &self.assignments
    }

    /// A role by its id.
    pub fn definition(&self, id: Uuid) -> Option<&RoleDefinition> {
        self.definitions.get(&id)
    }

    /// Every role, in the order of ids.
    pub fn definitions(&self) -> impl Iterator<Item = &RoleDefinition> {
        self.definitions.values()
    }

    /// Whether the caller may do this there.
    pub fn allows(&self, caller: &Caller, action: Action, scope: &ResourceScope) -> bool {
        self.granting(caller, action).any(|(assignment, _)| assignment.scope.covers(scope))
    }

    /// Whether a principal that is also a member of groups may do something with data there; all of them are `bearers`.
    pub(in crate::pools) fn allows_data(
        &self,
        tenant: TenantId,
        bearers: &[PrincipalId],
        data_action: &str,
        scope: &ResourceScope,
    ) -> bool {
        self.assignments
            .iter()
            .filter(|assignment| assignment.tenant == tenant && bearers.contains(&assignment.principal))
            .filter(|assignment| assignment.scope.covers(scope))
            .filter_map(|assignment| self.definitions.get(&assignment.role))
            .any(|role| role.allows_data(data_action))
    }

    /// Whether the caller may do this there, or on something below: what lists ask before they show a part.
    pub fn reaches(&self, caller: &Caller, action: Action, scope: &ResourceScope) -> bool {
        self.granting(caller, action)
            .any(|(assignment, _)| assignment.scope.covers(scope) || scope.covers(&assignment.scope))
    }

    /// Whether the caller may assign this role there, or take it away: some roles allow that for a few roles only.
    pub fn may_delegate(&self, caller: &Caller, action: Action, scope: &ResourceScope, role: Uuid) -> bool {
        self.granting(caller, action)
            .filter(|(assignment, _)| assignment.scope.covers(scope))
            .any(|(_, definition)| definition.grants.is_none_or(|grants| grants.contains(&role)))
    }

    /// Principals whose assignments allow to assign any role everywhere in a subscription.
    pub fn role_administrators(&self, subscription: &ResourceScope) -> impl Iterator<Item = &RoleAssignment> {
        self.assignments.iter().filter(move |assignment| {
            let definition = self.definitions.get(&assignment.role);
            assignment.scope.covers(subscription)
                && definition
                    .is_some_and(|role| role.grants.is_none() && role.allows(Action::RoleAssignmentWrite.as_str()))
        })
    }

    /// The assignments of a principal and of groups, wherever they hold.
    pub fn assigned_to<'a>(&'a self, principals: &'a [PrincipalId]) -> impl Iterator<Item = &'a RoleAssignment> {
        self.assignments.iter().filter(|assignment| principals.contains(&assignment.principal))
    }

    pub(in crate::pools) fn custom(&self) -> &[CustomRole] {
        &self.custom
    }

    fn granting<'a>(
        &'a self,
        caller: &'a Caller,
        action: Action,
    ) -> impl Iterator<Item = (&'a RoleAssignment, &'a RoleDefinition)> {
        self.assignments
            .iter()
            .filter(|assignment| assignment.tenant == caller.tenant && caller.is(assignment.principal))
            .filter_map(|assignment| self.definitions.get(&assignment.role).map(|role| (assignment, role)))
            .filter(move |(_, role)| role.allows(action.as_str()))
    }
}

#[cfg(test)]
#[path = "rights/tests.rs"]
mod tests;
