//! Role definitions: what a role may do.

use serde::{Deserialize, Serialize};
use strongroom_types::{PrincipalId, Timestamp, matches_action};
use uuid::Uuid;

use crate::barrier::Record;
use crate::pools::{Error, ResourceScope, Result};

/// A role, built in or custom, as it is shown and evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDefinition {
    /// Its GUID.
    pub id: Uuid,
    /// `roleName`.
    pub name: String,
    /// `description`.
    pub description: String,
    /// Who made it.
    pub kind: RoleKind,
    /// What it may do: the union of these.
    pub permissions: Vec<Permission>,
    /// Where it can be assigned: below these; everywhere if it is built in.
    pub assignable_scopes: Vec<ResourceScope>,
    /// The only roles its holder may assign; `None`: the actions alone decide.
    pub grants: Option<&'static [Uuid]>,
    /// When and by whom a custom role was made and changed.
    pub times: Option<Changes>,
}

/// `properties.type` of a role definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleKind {
    /// Part of the service.
    BuiltIn,
    /// Made by users.
    Custom,
}

impl RoleKind {
    /// The spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "BuiltInRole",
            Self::Custom => "CustomRole",
        }
    }
}

/// One entry of `permissions`: patterns of actions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Permission {
    /// What is allowed on the management plane.
    pub actions: Vec<String>,
    /// What of that is not.
    pub not_actions: Vec<String>,
    /// What is allowed on the data planes that ask Azure RBAC (vaults, blobs; never a managed HSM).
    pub data_actions: Vec<String>,
    /// What of that is not.
    pub not_data_actions: Vec<String>,
}

/// Who made and changed a record, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// When it was made.
    pub created: Timestamp,
    /// By whom.
    pub created_by: PrincipalId,
    /// When it was last changed.
    pub updated: Timestamp,
    /// By whom.
    pub updated_by: PrincipalId,
}

/// A custom role as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomRole {
    /// Its GUID.
    pub id: Uuid,
    /// `roleName`; unique among all roles, without case.
    pub name: String,
    /// `description`.
    pub description: String,
    /// What it may do.
    pub permissions: Vec<Permission>,
    /// Where it can be assigned.
    pub assignable_scopes: Vec<ResourceScope>,
    /// Who made and changed it.
    pub changes: Changes,
}

impl Record for CustomRole {
    const FORMAT: u16 = 1;
}

/// What a user says about a custom role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomRoleSpecification {
    name: String,
    description: String,
    permissions: Vec<Permission>,
    assignable_scopes: Vec<ResourceScope>,
}

impl RoleDefinition {
    /// Whether the role alone allows an action: one of its permissions has a pattern for it, and no exception.
    pub fn allows(&self, action: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches_action(pattern, action));
        self.permissions.iter().any(|permission| any(&permission.actions) && !any(&permission.not_actions))
    }

    /// Whether the role alone allows a data action.
    pub(crate) fn allows_data(&self, action: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches_action(pattern, action));
        self.permissions.iter().any(|permission| any(&permission.data_actions) && !any(&permission.not_data_actions))
    }

    /// Whether the role can be assigned there.
    pub fn is_assignable_at(&self, scope: &ResourceScope) -> bool {
        self.kind == RoleKind::BuiltIn || self.assignable_scopes.iter().any(|assignable| assignable.covers(scope))
    }
}

impl From<CustomRole> for RoleDefinition {
    fn from(role: CustomRole) -> Self {
        let CustomRole { id, name, description, permissions, assignable_scopes, changes } = role;
        let kind = RoleKind::Custom;
        Self { id, name, description, kind, permissions, assignable_scopes, grants: None, times: Some(changes) }
    }
}

impl CustomRoleSpecification {
    /// Longest name, in characters.
    pub const NAME_MAX: usize = 512;
    /// Longest description, in characters.
    pub const DESCRIPTION_MAX: usize = 2048;
    /// Most patterns of a role, all lists together.
    pub const PATTERNS_MAX: usize = 2048;
    /// Longest pattern, in bytes.
    pub const PATTERN_LENGTH_MAX: usize = 256;
    /// Most entries of `permissions` and of `assignableScopes`.
    pub const ENTRIES_MAX: usize = 64;

    /// Checks what a user wrote.
    ///
    /// # Errors
    /// [`Error::BadProperty`] names what is missing or too much.
    pub fn new(
        name: String,
        description: String,
        permissions: Vec<Permission>,
        assignable_scopes: Vec<ResourceScope>,
    ) -> Result<Self> {
        let length = name.chars().count();
        if name.trim().is_empty() || length > Self::NAME_MAX || name.contains(char::is_control) {
            return Err(Error::bad_property("properties.roleName", "1 to 512 printable characters are expected"));
        }
        if description.chars().count() > Self::DESCRIPTION_MAX {
            return Err(Error::bad_property("properties.description", "at most 2048 characters are allowed"));
        }
        if assignable_scopes.is_empty() || assignable_scopes.len() > Self::ENTRIES_MAX {
            return Err(Error::bad_property("properties.assignableScopes", "1 to 64 scopes are expected"));
        }
        check_permissions(&permissions)?;
        Ok(Self { name, description, permissions, assignable_scopes })
    }

    /// `roleName`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the role will be assignable.
    pub fn assignable_scopes(&self) -> &[ResourceScope] {
        &self.assignable_scopes
    }

    pub(super) fn into_record(self, id: Uuid, changes: Changes) -> CustomRole {
        let Self { name, description, permissions, assignable_scopes } = self;
        CustomRole { id, name, description, permissions, assignable_scopes, changes }
    }
}

fn check_permissions(permissions: &[Permission]) -> Result<()> {
    let patterns = || {
        permissions.iter().flat_map(|permission| {
            let Permission { actions, not_actions, data_actions, not_data_actions } = permission;
            [actions, not_actions, data_actions, not_data_actions].into_iter().flatten()
        })
    };
    if permissions.len() > CustomRoleSpecification::ENTRIES_MAX
        || patterns().count() > CustomRoleSpecification::PATTERNS_MAX
    {
        return Err(Error::bad_property("properties.permissions", "there are too many entries"));
    }
    let well_formed = |pattern: &&String| {
        (1..=CustomRoleSpecification::PATTERN_LENGTH_MAX).contains(&pattern.len())
            && pattern.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./*-_".contains(&byte))
    };
    if !patterns().all(|pattern| well_formed(&pattern)) {
        let problem = "an action is 1 to 256 letters, digits, full stops, slashes, hyphens and stars";
        return Err(Error::bad_property("properties.permissions", problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_takes_from_its_own_permission_only() {
        let permission = |actions: &[&str], not_actions: &[&str]| Permission {
            actions: actions.iter().map(ToString::to_string).collect(),
            not_actions: not_actions.iter().map(ToString::to_string).collect(),
            ..Permission::default()
        };
        let mut role = crate::pools::rbac::builtin::BUILT_IN_ROLES[0].definition();
        role.permissions = vec![permission(&["A/*"], &["A/write"])];
        assert!(role.allows("a/read") && !role.allows("A/Write"));
        role.permissions.push(permission(&["A/write"], &[]));
        assert!(role.allows("A/write"));
    }

    #[test]
    fn a_custom_role_needs_a_name_a_scope_and_patterns_that_are_some() {
        let scope = || vec![ResourceScope::subscription(Uuid::nil())];
        let new = |name: &str, action: &str, scopes| {
            let permission = Permission { actions: vec![action.to_owned()], ..Permission::default() };
            CustomRoleSpecification::new(name.to_owned(), String::new(), vec![permission], scopes)
        };
        assert!(new("Watcher", "*/read", scope()).is_ok());
        assert!(new(" ", "*/read", scope()).is_err());
        assert!(new("Watcher", "a b", scope()).is_err());
        assert!(new("Watcher", "*/read", Vec::new()).is_err());
    }
}
