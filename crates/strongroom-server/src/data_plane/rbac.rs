//! Handlers of local RBAC: extract, call, convert.

use http::StatusCode;
use strongroom_api::rbac as api;
use strongroom_core::Error;
use strongroom_core::rbac::{
    AssignmentFilter, DefinitionFilter, Permission, RoleAssignment, RoleDefinition, RoleDefinitionId, RoleKind,
    RoleSpecification,
};
use strongroom_types::{DataAction, Scope};
use uuid::Uuid;

use super::wire::{self, required};
use super::{ApiError, Call};
use crate::http::exchange::{Outbound, json};

type Answer = Result<Outbound, ApiError>;

pub(super) async fn list_definitions(call: &Call<'_>) -> Answer {
    let filter = definition_filter(call.inbound.query_parameter("$filter").as_deref())?;
    let definitions = call.hsm()?.role_definitions(call.request, &scope(call)?, &filter).await?;
    let value = definitions.into_iter().map(show_definition).collect();
    Ok(json(StatusCode::OK, &api::List { value }))
}

pub(super) async fn get_definition(call: &Call<'_>) -> Answer {
    let definition = call.hsm()?.role_definition(call.request, &scope(call)?, definition_name(call)?).await?;
    Ok(json(StatusCode::OK, &show_definition(definition)))
}

pub(super) async fn put_definition(call: &Call<'_>) -> Answer {
    let name = definition_name(call)?;
    let wanted = role_specification(wire::body(&call.inbound.body)?)?;
    let written = call.hsm()?.put_role_definition(call.request, &scope(call)?, name, &wanted).await?;
    Ok(json(StatusCode::CREATED, &show_definition(written)))
}

pub(super) async fn delete_definition(call: &Call<'_>) -> Answer {
    let removed = call.hsm()?.delete_role_definition(call.request, &scope(call)?, definition_name(call)?).await?;
    Ok(json(StatusCode::OK, &show_definition(removed)))
}

pub(super) async fn list_assignments(call: &Call<'_>) -> Answer {
    let filter = filter(call.inbound.query_parameter("$filter").as_deref())?;
    let assignments = call.hsm()?.role_assignments(call.request, &scope(call)?, filter).await?;
    let value = assignments.iter().map(show_assignment).collect();
    Ok(json(StatusCode::OK, &api::List { value }))
}

pub(super) async fn get_assignment(call: &Call<'_>) -> Answer {
    let name = assignment_name(call)?;
    let assignment = call.hsm()?.role_assignment(call.request, &scope(call)?, name).await?;
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
    let made = call.hsm()?.create_role_assignment(call.request, &scope(call)?, name, role, principal).await?;
    Ok(json(StatusCode::CREATED, &show_assignment(&made)))
}

pub(super) async fn delete_assignment(call: &Call<'_>) -> Answer {
    let name = assignment_name(call)?;
    let removed = call.hsm()?.delete_role_assignment(call.request, &scope(call)?, name).await?;
    Ok(json(StatusCode::OK, &show_assignment(&removed)))
}

/// The scope in front of `/providers`: everything the path names there.
fn scope(call: &Call<'_>) -> Result<Scope, ApiError> {
    match call.asked.captures.get("key-name") {
        Some(_) => wire::key_name(call).map(Scope::Key),
        None if call.inbound.path().trim_start_matches('/').to_ascii_lowercase().starts_with("keys/") => {
            Ok(Scope::Keys)
        }
        None => Ok(Scope::Root),
    }
}

fn definition_name(call: &Call<'_>) -> Result<RoleDefinitionId, ApiError> {
    guid(call, "role-definition-name", "Role definition name must be a GUID").map(RoleDefinitionId)
}

fn assignment_name(call: &Call<'_>) -> Result<Uuid, ApiError> {
    guid(call, "role-assignment-name", "Role assignment name must be a GUID")
}

fn guid(call: &Call<'_>, placeholder: &'static str, problem: &'static str) -> Result<Uuid, ApiError> {
    let text = call.asked.captures.get(placeholder).unwrap_or_default();
    Uuid::try_parse(text).map_err(|_| ApiError::BadBody(problem.to_owned()))
}

/// The forms of Azure RBAC; others are refused, so that nobody takes a whole list for a filtered one.
fn filter(text: Option<&str>) -> Result<AssignmentFilter, ApiError> {
    let Some(text) = given(text) else { return Ok(AssignmentFilter::All) };
    if text.eq_ignore_ascii_case("atScope()") {
        return Ok(AssignmentFilter::AtScope);
    }
    let principal = equals(text, "principalId").and_then(|value| value.parse().ok());
    let problem = "only atScope() and principalId eq '{guid}' are supported";
    principal.map(AssignmentFilter::Principal).ok_or_else(|| Error::bad_parameter("$filter", problem).into())
}

/// The same for definitions, all of which belong to the whole HSM.
fn definition_filter(text: Option<&str>) -> Result<DefinitionFilter, ApiError> {
    let Some(text) = given(text) else { return Ok(DefinitionFilter::All) };
    if text.eq_ignore_ascii_case("atScope()") || text.eq_ignore_ascii_case("atScopeAndBelow()") {
        return Ok(DefinitionFilter::All);
    }
    if let Some(name) = equals(text, "roleName") {
        return Ok(DefinitionFilter::Named(name));
    }
    let kinds = [RoleKind::BuiltIn, RoleKind::Custom];
    let kind = equals(text, "type")
        .and_then(|value| kinds.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(&value)));
    let problem = "only atScope(), atScopeAndBelow(), roleName eq '{name}' and type eq 'AKVBuiltInRole' or \
                   'CustomRole' are supported";
    kind.map(DefinitionFilter::Kind).ok_or_else(|| Error::bad_parameter("$filter", problem).into())
}

fn given(filter: Option<&str>) -> Option<&str> {
    filter.map(str::trim).filter(|text| !text.is_empty())
}

/// The value of `name eq 'value'`, in which `''` stands for one quote (OData 4.01 URL Conventions §5.1.1.6.1). The quotes
/// may be missing around a value without spaces.
fn equals(filter: &str, name: &str) -> Option<String> {
    let (left, rest) = filter.split_once(char::is_whitespace)?;
    let (operator, value) = rest.trim_start().split_once(char::is_whitespace)?;
    if !left.eq_ignore_ascii_case(name) || !operator.eq_ignore_ascii_case("eq") {
        return None;
    }
    let value = value.trim();
    match value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')) {
        Some(quoted) => {
            let unescaped = quoted.replace("''", "'");
            (quoted.matches('\'').count() == 2 * unescaped.matches('\'').count()).then_some(unescaped)
        }
        None => (!value.contains(|one: char| one.is_whitespace() || one == '\'')).then(|| value.to_owned()),
    }
}

/// What a body says about a custom role. Lists that are absent are empty: a definition is replaced whole.
fn role_specification(body: api::RoleDefinitionCreateParameters) -> Result<RoleSpecification, ApiError> {
    let api::RoleDefinitionParameters { role_name, description, kind, permissions, assignable_scopes } =
        required("properties", body.properties)?;
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case(RoleKind::Custom.as_str())) {
        return Err(Error::bad_parameter("type", "must be CustomRole").into());
    }
    let scopes = assignable_scopes.unwrap_or_default();
    if !scopes.iter().all(|scope| scope == "/") {
        return Err(Error::bad_parameter("assignableScopes", "must be [\"/\"]").into());
    }
    let permissions = permissions.unwrap_or_default().into_iter().map(permission).collect::<Result<_, _>>()?;
    Ok(RoleSpecification::new(role_name.unwrap_or_default(), description.unwrap_or_default(), permissions)?)
}

fn permission(given: api::PermissionParameters) -> Result<Permission, ApiError> {
    let api::PermissionParameters { actions, not_actions, data_actions, not_data_actions } = given;
    if actions.into_iter().chain(not_actions).any(|list| !list.is_empty()) {
        let problem = "actions and notActions must be empty: a managed HSM grants dataActions alone";
        return Err(Error::bad_parameter("permissions", problem).into());
    }
    let data_actions =
        data_actions.unwrap_or_default().iter().map(|text| data_action(text)).collect::<Result<_, _>>()?;
    let not_data_actions =
        not_data_actions.unwrap_or_default().iter().map(|text| data_action(text)).collect::<Result<_, _>>()?;
    Ok(Permission { data_actions, not_data_actions })
}

/// A data action by its name, compared without case as Azure compares them. There are no wildcards.
fn data_action(text: &str) -> Result<DataAction, ApiError> {
    let found = DataAction::ALL.iter().copied().find(|action| action.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        let shown: String = text.chars().take(ACTION_SHOWN_MAX).collect();
        Error::bad_parameter("permissions", format!("{shown:?} is not a data action of a managed HSM")).into()
    })
}

fn show_definition(definition: RoleDefinition) -> api::RoleDefinition {
    let RoleDefinition { id, role_name, description, kind, permissions } = definition;
    let texts = |actions: Vec<DataAction>| actions.into_iter().map(|action| action.as_str().to_owned()).collect();
    let permissions = permissions.into_iter().map(|permission| api::Permission {
        actions: Vec::new(),
        data_actions: texts(permission.data_actions),
        not_actions: Vec::new(),
        not_data_actions: texts(permission.not_data_actions),
    });
    api::RoleDefinition {
        id: id.to_string(),
        name: id.0.to_string(),
        properties: api::RoleDefinitionProperties {
            assignable_scopes: vec!["/".to_owned()],
            description,
            permissions: permissions.collect(),
            role_name,
            kind: kind.as_str(),
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

/// Characters of an unknown data action that an error repeats.
const ACTION_SHOWN_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_compares_one_member_with_a_quoted_value() {
        assert_eq!(equals("roleName eq 'My Role'", "rolename"), Some("My Role".to_owned()));
        assert_eq!(equals("roleName  eq  'it''s'", "roleName"), Some("it's".to_owned()));
        assert_eq!(equals("principalId eq abc", "principalId"), Some("abc".to_owned()));
        for wrong in
            ["roleName eq 'a' or 1 eq '1'", "roleName ne 'a'", "roleName eq a b", "roleName eq 'a'b'", "other eq 'a'"]
        {
            assert_eq!(equals(wrong, "roleName"), None, "{wrong}");
        }
        assert!(definition_filter(Some("type eq 'customrole'")).is_ok());
        assert!(definition_filter(Some("type eq 'Nothing'")).is_err());
        assert!(filter(Some("assignedTo('x')")).is_err());
    }

    #[test]
    fn a_role_is_read_from_what_clients_send_and_nothing_else() {
        let read = |text: &str| role_specification(serde_json::from_str(text).unwrap());
        let read_key = "Microsoft.KeyVault/managedhsm/keys/READ/action";
        for good in [
            r#"{"properties":{}}"#.to_owned(),
            r#"{"properties":{"roleName":"x","permissions":[{"actions":[],"dataActions":null}]}}"#.to_owned(),
            format!(
                r#"{{"properties":{{"type":"CustomRole","assignableScopes":["/"],"permissions":[{{"dataActions":["{read_key}"]}}]}}}}"#
            ),
        ] {
            assert!(read(&good).is_ok(), "{good}");
        }
        for bad in [
            r#"{}"#,
            r#"{"properties":{"type":"AKVBuiltInRole"}}"#,
            r#"{"properties":{"assignableScopes":["/keys"]}}"#,
            r#"{"properties":{"permissions":[{"actions":["*"]}]}}"#,
            r#"{"properties":{"permissions":[{"notActions":["x"]}]}}"#,
            r#"{"properties":{"permissions":[{"dataActions":["Microsoft.KeyVault/managedHsm/keys/*"]}]}}"#,
            r#"{"properties":{"permissions":[{"notDataActions":["keys/read/action"]}]}}"#,
        ] {
            assert!(matches!(read(bad), Err(ApiError::Core(Error::BadParameter { .. }))), "{bad}");
        }
    }
}
