//! Roles and assignments of both planes in one form, and what they allow.
//!
//! It says again what the server decides by, because a client can see no more than this; a test holds the two together.

use serde_json::Value;
use strongroom_types::matches_action;

/// What a role allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Role {
    /// Its GUID, in lower case.
    pub(super) id: String,
    pub(super) name: String,
    permissions: Vec<Permission>,
}

/// One entry of a role's `permissions`: patterns, and their exceptions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Permission {
    actions: Vec<String>,
    not_actions: Vec<String>,
    data_actions: Vec<String>,
    not_data_actions: Vec<String>,
}

/// Which of a role's two lists an action is looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What is done to resources.
    Management,
    /// What is done to keys.
    Data,
}

/// A role for somebody somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    /// The GUID that names it; empty for one that is only supposed.
    pub(super) name: String,
    /// Who has it: an object id, in lower case.
    pub(super) principal: String,
    /// The role's GUID, in lower case.
    pub(super) role: String,
    pub(super) scope: Scope,
}

/// A place: segments in lower case; what holds here holds below.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope {
    // First, so that the order is that of places and not of their spelling.
    folded: Vec<String>,
    shown: String,
}

/// The roles and assignments of one plane.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Rights {
    pub(super) roles: Vec<Role>,
    pub(super) assignments: Vec<Assignment>,
}

impl Scope {
    /// A scope as it is written.
    pub(super) fn new(text: &str) -> Self {
        let folded = text.split('/').filter(|segment| !segment.is_empty()).map(str::to_lowercase).collect();
        Self { shown: text.to_owned(), folded }
    }

    /// Whether what is assigned here holds there.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other.folded.starts_with(&self.folded)
    }

    /// As it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.shown
    }
}

impl Role {
    /// A role definition, as both planes show it.
    pub(super) fn read(definition: &Value) -> Option<Self> {
        let properties = definition.get("properties")?;
        let list = |permission: &Value, name: &str| {
            let items = permission.get(name).and_then(Value::as_array).into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let permissions = properties.get("permissions")?.as_array()?.iter().map(|permission| Permission {
            actions: list(permission, "actions"),
            not_actions: list(permission, "notActions"),
            data_actions: list(permission, "dataActions"),
            not_data_actions: list(permission, "notDataActions"),
        });
        Some(Self {
            id: last_segment(definition.get("id")?.as_str()?),
            name: properties.get("roleName")?.as_str()?.to_owned(),
            permissions: permissions.collect(),
        })
    }

    /// Whether it allows an action: one of its permissions has a pattern for it, and no exception.
    pub(super) fn allows(&self, kind: Kind, action: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches_action(pattern, action));
        self.permissions.iter().any(|permission| match kind {
            Kind::Management => any(&permission.actions) && !any(&permission.not_actions),
            Kind::Data => any(&permission.data_actions) && !any(&permission.not_data_actions),
        })
    }
}

impl Assignment {
    /// A role assignment, as both planes show it.
    pub(super) fn read(assignment: &Value) -> Option<Self> {
        let text = |member: &str| assignment.pointer(member).and_then(Value::as_str);
        Some(Self {
            name: text("/name")?.to_lowercase(),
            principal: text("/properties/principalId")?.to_lowercase(),
            role: last_segment(text("/properties/roleDefinitionId")?),
            scope: Scope::new(text("/properties/scope")?),
        })
    }
}

impl Rights {
    /// The assignments that allow an action at a scope.
    pub(super) fn allowing<'a>(
        &'a self,
        kind: Kind,
        action: &'a str,
        scope: &'a Scope,
    ) -> impl Iterator<Item = (&'a Assignment, &'a Role)> {
        let there = self.assignments.iter().filter(|assignment| assignment.scope.covers(scope));
        let with_role = there.filter_map(|assignment| Some((assignment, self.role(&assignment.role)?)));
        with_role.filter(move |(_, role)| role.allows(kind, action))
    }

    /// The role with an id.
    pub(super) fn role(&self, id: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.id == id)
    }

    /// The role that a person means: by name, or by GUID.
    pub(super) fn role_called(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name.eq_ignore_ascii_case(name) || role.id.eq_ignore_ascii_case(name))
    }
}

fn last_segment(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(permissions: &Value) -> Role {
        let id = "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/ABC";
        Role::read(&json!({"id": id, "properties": {"roleName": "R", "permissions": permissions}})).unwrap()
    }

    #[test]
    fn an_exception_takes_from_its_own_permission_only() {
        let role = role(&json!([
            {"actions": ["A/*"], "notActions": ["a/*/Write"]},
            {"actions": ["a/b/write"], "dataActions": ["a/keys/sign/action"]},
        ]));
        assert_eq!(role.id, "abc");
        assert!(role.allows(Kind::Management, "a/b/WRITE") && role.allows(Kind::Management, "a/c/read"));
        assert!(!role.allows(Kind::Management, "a/c/write") && !role.allows(Kind::Data, "a/c/read"));
        assert!(role.allows(Kind::Data, "A/keys/sign/action"));
    }

    #[test]
    fn a_scope_covers_itself_and_what_lies_below_without_case() {
        let [root, keys, one, other] = ["/", "/keys", "/KEYS/One", "/keys/onet"].map(Scope::new);
        assert!(root.covers(&one) && keys.covers(&one) && one.covers(&Scope::new("/keys/one")));
        assert!(!one.covers(&other) && !one.covers(&keys) && !keys.covers(&root));
    }

    #[test]
    fn a_role_that_is_not_defined_allows_nothing() {
        let assignment = Assignment {
            name: String::new(),
            principal: "p".to_owned(),
            role: "gone".to_owned(),
            scope: Scope::new("/"),
        };
        let rights = Rights { roles: vec![role(&json!([{"actions": ["*"]}]))], assignments: vec![assignment] };
        assert_eq!(rights.allowing(Kind::Management, "x", &Scope::new("/")).count(), 0);
    }
}
