//! Handlers of local RBAC: extract, call, convert.

use http::StatusCode;
use strongroom_api::rbac as api;
use strongroom_core::Error;
use strongroom_core::rbac::{AssignmentFilter, RoleAssignment, RoleDefinition, RoleDefinitionId};
use strongroom_types::Scope;
use uuid::Uuid;

use super::wire::{self, required};
use super::{ApiError, Call};
use crate::http::exchange::{Outbound, json};

type Answer = Result<Outbound, ApiError>;

pub(super) async fn list_definitions(call: &Call<'_>) -> Answer {
    let definitions = call.hsm.role_definitions(call.request, &scope(call)?).await?;
    let value = definitions.iter().map(show_definition).collect();
    Ok(json(StatusCode::OK, &api::List { value }))
}

pub(super) async fn get_definition(call: &Call<'_>) -> Answer {
    let name = guid(call, "role-definition-name", "Role definition name must be a GUID")?;
    let definition = call.hsm.role_definition(call.request, &scope(call)?, RoleDefinitionId(name)).await?;
    Ok(json(StatusCode::OK, &show_definition(definition)))
}

pub(super) async fn list_assignments(call: &Call<'_>) -> Answer {
    let filter = filter(call.inbound.query_parameter("$filter").as_deref())?;
    let assignments = call.hsm.role_assignments(call.request, &scope(call)?, filter).await?;
    let value = assignments.iter().map(show_assignment).collect();
    Ok(json(StatusCode::OK, &api::List { value }))
}

pub(super) async fn get_assignment(call: &Call<'_>) -> Answer {
    let name = assignment_name(call)?;
    let assignment = call.hsm.role_assignment(call.request, &scope(call)?, name).await?;
    Ok(json(StatusCode::OK, &show_assignment(&assignment)))
}

pub(super) async fn create_assignment(call: &Call<'_>) -> Answer {
    let name = assignment_name(call)?;
    let body: api::RoleAssignmentCreateParameters = wire::body(&call.inbound.body)?;
    let properties = required("properties", body.properties)?;
    let role = required("roleDefinitionId", properties.role_definition_id)?;
    let role = role.parse().map_err(wire::bad("roleDefinitionId"))?;
    let principal = required("principalId", properties.principal_id)?;
    let principal = principal.parse().map_err(wire::bad("principalId"))?;
    let made = call.hsm.create_role_assignment(call.request, &scope(call)?, name, role, principal).await?;
    Ok(json(StatusCode::CREATED, &show_assignment(&made)))
}

pub(super) async fn delete_assignment(call: &Call<'_>) -> Answer {
    let name = assignment_name(call)?;
    let removed = call.hsm.delete_role_assignment(call.request, &scope(call)?, name).await?;
    Ok(json(StatusCode::OK, &show_assignment(&removed)))
}

/// The scope in front of `/providers`: everything the path names there.
fn scope(call: &Call<'_>) -> Result<Scope, ApiError> {
    match call.captures.get("key-name") {
        Some(_) => wire::key_name(call).map(Scope::Key),
        None if call.inbound.path.trim_start_matches('/').to_ascii_lowercase().starts_with("keys/") => Ok(Scope::Keys),
        None => Ok(Scope::Root),
    }
}

fn assignment_name(call: &Call<'_>) -> Result<Uuid, ApiError> {
    guid(call, "role-assignment-name", "Role assignment name must be a GUID")
}

fn guid(call: &Call<'_>, placeholder: &'static str, problem: &'static str) -> Result<Uuid, ApiError> {
    let text = call.captures.get(placeholder).unwrap_or_default();
    Uuid::try_parse(text).map_err(|_| ApiError::BadBody(problem.to_owned()))
}

/// The forms of Azure RBAC; others are refused, so that nobody takes a whole list for a filtered one.
fn filter(text: Option<&str>) -> Result<AssignmentFilter, ApiError> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(AssignmentFilter::All) };
    if text.eq_ignore_ascii_case("atScope()") {
        return Ok(AssignmentFilter::AtScope);
    }
    let mut words = text.split_whitespace();
    let principal = match (words.next(), words.next(), words.next(), words.next()) {
        (Some(name), Some(eq), Some(value), None)
            if name.eq_ignore_ascii_case("principalId") && eq.eq_ignore_ascii_case("eq") =>
        {
            value.trim_matches('\'').parse().ok()
        }
        _ => None,
    };
    let problem = "only atScope() and principalId eq '{guid}' are supported";
    principal.map(AssignmentFilter::Principal).ok_or_else(|| Error::bad_parameter("$filter", problem).into())
}

fn show_definition(definition: &RoleDefinition) -> api::RoleDefinition {
    api::RoleDefinition {
        id: definition.id.to_string(),
        name: definition.id.0.to_string(),
        properties: api::RoleDefinitionProperties {
            assignable_scopes: vec!["/".to_owned()],
            description: String::new(),
            permissions: vec![api::Permission {
                actions: Vec::new(),
                data_actions: definition.data_actions.iter().map(|action| action.as_str().to_owned()).collect(),
                not_actions: Vec::new(),
                not_data_actions: Vec::new(),
            }],
            role_name: definition.role_name.to_owned(),
            kind: "AKVBuiltInRole",
        },
        kind: "Microsoft.Authorization/roleDefinitions",
    }
}

fn show_assignment(assignment: &RoleAssignment) -> api::RoleAssignment {
    let scope = assignment.scope.to_string();
    api::RoleAssignment {
        id: format!(
            "{}/providers/Microsoft.Authorization/roleAssignments/{}",
            scope.trim_end_matches('/'),
            assignment.name
        ),
        name: assignment.name.to_string(),
        properties: api::RoleAssignmentProperties {
            principal_id: assignment.principal.to_string(),
            role_definition_id: assignment.role.to_string(),
            scope,
        },
        kind: "Microsoft.Authorization/roleAssignments",
    }
}
