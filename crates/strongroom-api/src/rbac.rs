//! Models of local RBAC (REST: Role Definitions, Role Assignments).

use serde::{Deserialize, Serialize};

/// A list that is never paged.
#[derive(Debug, Clone, Serialize)]
pub struct List<T> {
    /// The entries.
    pub value: Vec<T>,
}

/// A role definition.
#[derive(Debug, Clone, Serialize)]
pub struct RoleDefinition {
    /// Path-shaped id, without a leading slash.
    pub id: String,
    /// GUID.
    pub name: String,
    /// What it is.
    pub properties: RoleDefinitionProperties,
    /// `Microsoft.Authorization/roleDefinitions`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// What a role definition is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleDefinitionProperties {
    /// Where it can be assigned.
    pub assignable_scopes: Vec<String>,
    /// Text for people.
    pub description: String,
    /// What it allows.
    pub permissions: Vec<Permission>,
    /// Name for people.
    pub role_name: String,
    /// `AKVBuiltInRole` or `CustomRole`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// What a role allows.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// Always empty on a managed HSM.
    pub actions: Vec<String>,
    /// Data actions.
    pub data_actions: Vec<String>,
    /// Always empty on a managed HSM.
    pub not_actions: Vec<String>,
    /// Data actions taken out again.
    pub not_data_actions: Vec<String>,
}

/// Body of `PUT …/roleDefinitions/{guid}`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RoleDefinitionCreateParameters {
    /// What the role is to be.
    pub properties: Option<RoleDefinitionParameters>,
}

/// What a custom role is to be; what is absent is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleDefinitionParameters {
    /// Name for people.
    pub role_name: Option<String>,
    /// Text for people.
    pub description: Option<String>,
    /// `CustomRole`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What it allows.
    pub permissions: Option<Vec<PermissionParameters>>,
    /// `/`.
    pub assignable_scopes: Option<Vec<String>>,
}

/// What a custom role is to allow; what is absent is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PermissionParameters {
    /// Must be empty on a managed HSM.
    pub actions: Option<Vec<String>>,
    /// Must be empty on a managed HSM.
    pub not_actions: Option<Vec<String>>,
    /// Data actions.
    pub data_actions: Option<Vec<String>>,
    /// Data actions taken out again.
    pub not_data_actions: Option<Vec<String>>,
}

/// Body of `PUT …/roleAssignments/{guid}`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RoleAssignmentCreateParameters {
    /// What is assigned to whom.
    pub properties: Option<RoleAssignmentParameters>,
}

/// What is assigned to whom.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleAssignmentParameters {
    /// Path-shaped id of the role.
    pub role_definition_id: Option<String>,
    /// Object id.
    pub principal_id: Option<String>,
}

/// A role assignment.
#[derive(Debug, Clone, Serialize)]
pub struct RoleAssignment {
    /// `{scope}/providers/Microsoft.Authorization/roleAssignments/{guid}`.
    pub id: String,
    /// GUID.
    pub name: String,
    /// What is assigned to whom.
    pub properties: RoleAssignmentProperties,
    /// `Microsoft.Authorization/roleAssignments`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// What is assigned to whom.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleAssignmentProperties {
    /// Object id.
    pub principal_id: String,
    /// Path-shaped id of the role.
    pub role_definition_id: String,
    /// Where it holds.
    pub scope: String,
}
