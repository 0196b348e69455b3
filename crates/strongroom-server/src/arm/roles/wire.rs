//! Role definitions and assignments on the wire.

use serde::Deserialize;
use serde_json::{Value, json};
use strongroom_core::audit::rfc3339;
use strongroom_core::pools::{
    AssignmentSpecification, Changes, CustomRoleSpecification, Error, Permission, PrincipalType, ResourceScope, Result,
    RoleAssignment, RoleDefinition, RoleKind,
};
use uuid::Uuid;

use crate::arm::roles::definition_id;

/// The body of a PUT of an assignment.
#[derive(Debug, Deserialize)]
pub(super) struct AssignmentBody {
    properties: AssignmentProperties,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssignmentProperties {
    role_definition_id: String,
    principal_id: String,
    principal_type: Option<String>,
    description: Option<String>,
    condition: Option<String>,
    delegated_managed_identity_resource_id: Option<String>,
}

/// The body of a PUT of a definition.
#[derive(Debug, Deserialize)]
pub(super) struct DefinitionBody {
    properties: DefinitionProperties,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DefinitionProperties {
    role_name: String,
    description: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    permissions: Vec<PermissionBody>,
    #[serde(default)]
    assignable_scopes: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PermissionBody {
    actions: Option<Vec<String>>,
    not_actions: Option<Vec<String>>,
    data_actions: Option<Vec<String>>,
    not_data_actions: Option<Vec<String>>,
    condition: Option<String>,
}

impl AssignmentBody {
    /// What the user wants.
    pub(super) fn into_specification(self) -> Result<AssignmentSpecification> {
        let AssignmentProperties {
            role_definition_id,
            principal_id,
            principal_type,
            description,
            condition,
            delegated_managed_identity_resource_id,
        } = self.properties;
        // Kept without effect, a condition would give more than its author meant to give.
        refuse_condition("properties.condition", condition.as_deref())?;
        let delegated = delegated_managed_identity_resource_id.as_deref();
        refuse_condition("properties.delegatedManagedIdentityResourceId", delegated)?;
        let not_valid = |property, problem| move |_| Error::bad_property(property, problem);
        Ok(AssignmentSpecification {
            principal: principal_id.parse().map_err(not_valid("properties.principalId", "a GUID is expected"))?,
            principal_type: match principal_type.as_deref() {
                None | Some("") => PrincipalType::Unknown,
                Some(text) => PrincipalType::parse(text).ok_or_else(|| {
                    Error::bad_property("properties.principalType", "User, Group or ServicePrincipal is expected")
                })?,
            },
            role: role_of(&role_definition_id)?,
            description: description.filter(|text| !text.is_empty()),
        })
    }
}

impl DefinitionBody {
    /// What the user wants.
    pub(super) fn into_specification(self) -> Result<CustomRoleSpecification> {
        let DefinitionProperties { role_name, description, kind, permissions, assignable_scopes } = self.properties;
        if kind.is_some_and(|kind| !kind.is_empty() && !kind.eq_ignore_ascii_case(RoleKind::Custom.as_str())) {
            return Err(Error::bad_property("properties.type", "CustomRole is expected"));
        }
        let not_valid = |_| {
            Error::bad_property("properties.assignableScopes", "ids of subscriptions, groups or resources are expected")
        };
        let scopes = assignable_scopes.iter().map(|scope| scope.parse().map_err(not_valid));
        let permissions = permissions.into_iter().map(PermissionBody::into_permission).collect::<Result<_>>()?;
        CustomRoleSpecification::new(
            role_name,
            description.unwrap_or_default(),
            permissions,
            scopes.collect::<Result<Vec<ResourceScope>>>()?,
        )
    }
}

impl PermissionBody {
    fn into_permission(self) -> Result<Permission> {
        let Self { actions, not_actions, data_actions, not_data_actions, condition } = self;
        refuse_condition("properties.permissions.condition", condition.as_deref())?;
        Ok(Permission {
            actions: actions.unwrap_or_default(),
            not_actions: not_actions.unwrap_or_default(),
            data_actions: data_actions.unwrap_or_default(),
            not_data_actions: not_data_actions.unwrap_or_default(),
        })
    }
}

fn refuse_condition(property: &'static str, text: Option<&str>) -> Result<()> {
    match text {
        None | Some("") => Ok(()),
        Some(_) => Err(Error::bad_property(property, "it is not supported here")),
    }
}

/// The GUID of a role in an id that ends in `…/roleDefinitions/{guid}`.
fn role_of(id: &str) -> Result<Uuid> {
    let mut segments = id.rsplit('/');
    let (name, kind) = (segments.next().unwrap_or_default(), segments.next());
    let role = Uuid::try_parse(name).ok().filter(|_| name.len() == 36);
    let named = kind.is_none_or(|kind| kind.eq_ignore_ascii_case("roleDefinitions"));
    role.filter(|_| named).ok_or_else(|| Error::RoleDefinitionNotFound(id.chars().take(ID_SHOWN_MAX).collect()))
}

/// A role definition, as it is seen from a scope.
pub(super) fn definition(role: &RoleDefinition, scope: &ResourceScope) -> Value {
    let RoleDefinition { id, name, description, kind, permissions, assignable_scopes, grants: _, times } = role;
    let permissions: Vec<_> = permissions
        .iter()
        .map(|Permission { actions, not_actions, data_actions, not_data_actions }| {
            json!({
                "actions": actions,
                "notActions": not_actions,
                "dataActions": data_actions,
                "notDataActions": not_data_actions,
            })
        })
        .collect();
    let scopes = match kind {
        RoleKind::BuiltIn => vec!["/"],
        RoleKind::Custom => assignable_scopes.iter().map(ResourceScope::as_str).collect(),
    };
    json!({
        "id": definition_id(*id, scope),
        "name": id,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": name,
            "type": kind.as_str(),
            "description": description,
            "assignableScopes": scopes,
            "permissions": permissions,
            "createdOn": times.map(|times| rfc3339(times.created)),
            "createdBy": times.map(|times| times.created_by),
            "updatedOn": times.map(|times| rfc3339(times.updated)),
            "updatedBy": times.map(|times| times.updated_by),
        },
    })
}

/// A role assignment.
pub(super) fn assignment(assignment: &RoleAssignment) -> Value {
    let RoleAssignment { name, tenant: _, principal, principal_type, role, scope, description, changes } = assignment;
    let Changes { created, created_by, updated, updated_by } = changes;
    json!({
        "id": assignment.id(),
        "name": name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": definition_id(*role, scope),
            "principalId": principal,
            "principalType": principal_type.as_str(),
            "scope": scope.as_str(),
            "description": description,
            "condition": null,
            "conditionVersion": null,
            "delegatedManagedIdentityResourceId": null,
            "createdOn": rfc3339(*created),
            "createdBy": created_by,
            "updatedOn": rfc3339(*updated),
            "updatedBy": updated_by,
        },
    })
}

/// Characters of a wrong role id that an error repeats.
const ID_SHOWN_MAX: usize = 200;
