//! Role definitions and assignments of Azure RBAC (az-cli.md §6).

mod wire;

use http::StatusCode;
use strongroom_core::pools::{Permit, PrincipalType, ResourceScope, RoleAssignment, RoleDefinition};
use strongroom_types::PrincipalId;

use crate::arm::Call;
use crate::arm::error::ArmError;
use crate::arm::filter::{self, Condition};
use crate::arm::roles::wire::{AssignmentBody, DefinitionBody};
use crate::arm::wire::{body, list_of, written};
use crate::http::exchange::{Outbound, empty, json as answer};

/// `GET …/roleDefinitions`: those that can be assigned at the scope.
pub(super) fn list_definitions(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let scope = permit.scope();
    let conditions = conditions(call)?;
    let below =
        conditions.iter().any(|condition| matches!(condition, Condition::Call(name, _) if name == "atscopeandbelow"));
    let at_scope = |role: &RoleDefinition| {
        role.is_assignable_at(scope) || below && role.assignable_scopes.iter().any(|other| scope.covers(other))
    };
    let mut shown = Vec::new();
    for role in permit.rights().definitions().filter(|role| at_scope(role)) {
        if fits_definition(role, &conditions)? {
            shown.push(wire::definition(role, scope));
        }
    }
    Ok(list_of(shown))
}

fn fits_definition(role: &RoleDefinition, conditions: &[Condition]) -> Result<bool, ArmError> {
    for condition in conditions {
        let fits = match condition {
            Condition::Equals(name, value) if name == "rolename" => role.name.eq_ignore_ascii_case(value),
            Condition::Equals(name, value) if name == "type" => role.kind.as_str().eq_ignore_ascii_case(value),
            Condition::Call(name, None) if name == "atscopeandbelow" || name == "atscope" => true,
            _ => return Err(ArmError::FilterNotValid),
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `GET …/roleDefinitions/{id}`.
pub(super) fn get_definition(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let id = call.place.guid("role")?;
    let found = permit.rights().definition(id).filter(|role| role.is_assignable_at(permit.scope()));
    let role = found.ok_or_else(|| strongroom_core::pools::Error::RoleDefinitionNotFound(id.to_string()))?;
    Ok(answer(StatusCode::OK, &wire::definition(role, permit.scope())))
}

/// `PUT …/roleDefinitions/{id}`: 201 whether it is new or changed.
pub(super) async fn put_definition(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let specification = body::<DefinitionBody>(call.inbound)?.into_specification()?;
    let id = call.place.guid("role")?;
    let written = call.arm.pools.put_role_definition(call.request, permit, id, specification).await?;
    Ok(answer(StatusCode::CREATED, &wire::definition(&written.into_inner(), permit.scope())))
}

/// `DELETE …/roleDefinitions/{id}`: 204 if there is none.
pub(super) async fn delete_definition(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let id = call.place.guid("role")?;
    Ok(match call.arm.pools.remove_role_definition(call.request, permit, id).await? {
        Some(role) => answer(StatusCode::OK, &wire::definition(&role, permit.scope())),
        None => empty(StatusCode::NO_CONTENT),
    })
}

/// `GET …/roleAssignments`: those at the scope, above and below it, unless the filter says less.
pub(super) async fn list_assignments(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let scope = permit.scope();
    let related = |assignment: &&RoleAssignment| assignment.scope.covers(scope) || scope.covers(&assignment.scope);
    let mut shown: Vec<_> = permit.rights().assignments().iter().filter(related).collect();
    for condition in conditions(call)? {
        let principals = match &condition {
            Condition::Call(name, None) if name == "atscope" => {
                shown.retain(|assignment| assignment.scope.covers(scope));
                continue;
            }
            Condition::Equals(name, value) if name == "principalid" => vec![principal(value)?],
            Condition::Call(name, Some(value)) if name == "assignedto" => {
                call.arm.pools.principal_with_groups(principal(value)?).await?
            }
            _ => return Err(ArmError::FilterNotValid),
        };
        shown.retain(|assignment| principals.contains(&assignment.principal));
    }
    Ok(list_of(shown.into_iter().map(wire::assignment).collect()))
}

/// `GET …/roleAssignments/{name}`.
pub(super) fn get_assignment(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let name = call.place.guid("assignment")?;
    let here = |assignment: &&RoleAssignment| assignment.name == name && assignment.scope == *permit.scope();
    let found = permit.rights().assignments().iter().find(here);
    let assignment = found.ok_or(strongroom_core::pools::Error::RoleAssignmentNotFound(name))?;
    Ok(answer(StatusCode::OK, &wire::assignment(assignment)))
}

/// `PUT …/roleAssignments/{name}`: 201, or 200 if it is there already.
pub(super) async fn put_assignment(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let mut specification = body::<AssignmentBody>(call.inbound)?.into_specification()?;
    let name = call.place.guid("assignment")?;
    if specification.principal_type == PrincipalType::Unknown {
        specification.principal_type = call.arm.pools.principal_type(specification.principal).await?;
    }
    Ok(written(&call.arm.pools.assign_role(call.request, permit, name, specification).await?, wire::assignment))
}

/// `DELETE …/roleAssignments/{name}`: 204 if there is none at the scope.
pub(super) async fn delete_assignment(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let name = call.place.guid("assignment")?;
    Ok(match call.arm.pools.remove_role_assignment(call.request, permit, name).await? {
        Some(removed) => answer(StatusCode::OK, &wire::assignment(&removed)),
        None => empty(StatusCode::NO_CONTENT),
    })
}

fn conditions(call: &Call<'_>) -> Result<Vec<Condition>, ArmError> {
    filter::parse(call.inbound.query_parameter("$filter").as_deref())
}

fn principal(text: &str) -> Result<PrincipalId, ArmError> {
    text.parse().map_err(|_| ArmError::FilterNotValid)
}

/// The id of a role definition as it is seen from a scope: clients compare it letter by letter.
fn definition_id(role: uuid::Uuid, scope: &ResourceScope) -> String {
    let subscription = scope.subscription_id().unwrap_or_default();
    format!("/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}")
}
