//! Role definitions: the built-in ones, and the custom ones people make.
//!
//! A definition belongs to the whole HSM: it is written at `/` and can be assigned at every scope. Writing one replaces it
//! whole. Who may write definitions can widen every role that is assigned, so that right counts like all of them
//! (protocols.md §8).

use serde::{Deserialize, Serialize};
use strongroom_types::{DataAction, DataActionSet, PrincipalId, Scope, Timestamp};

use crate::barrier::Record;
use crate::hsm::Hsm;
use crate::rbac::{BuiltInRole, RoleDefinitionId, stage_rights};
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Error, Result};

/// A role as it is shown, built in or custom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDefinition {
    /// Its id.
    pub id: RoleDefinitionId,
    /// Its name, as shown to people; a custom role may have none.
    pub role_name: String,
    /// Text for people.
    pub description: String,
    /// Who made it.
    pub kind: RoleKind,
    /// What it allows: the union of these.
    pub permissions: Vec<Permission>,
}

/// `properties.type` of a role definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleKind {
    /// Part of the service.
    BuiltIn,
    /// Made by people.
    Custom,
}

/// One entry of `permissions`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Permission {
    /// What is allowed, in the order it was written.
    pub data_actions: Vec<DataAction>,
    /// What of that is not. It takes nothing from other permissions, nor from other roles.
    pub not_data_actions: Vec<DataAction>,
}

/// A custom role as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomRole {
    /// Its id; the GUID is the client's choice.
    pub id: RoleDefinitionId,
    /// `roleName`; unless empty, unique among all roles of the HSM, without case.
    pub role_name: String,
    /// `description`.
    pub description: String,
    /// What it allows.
    pub permissions: Vec<Permission>,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: PrincipalId,
    /// When it was last written.
    pub updated: Timestamp,
    /// Who wrote it last.
    pub updated_by: PrincipalId,
}

impl Record for CustomRole {
    const FORMAT: u16 = 1;
}

/// What somebody wants a custom role to be; within all limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSpecification {
    role_name: String,
    description: String,
    permissions: Vec<Permission>,
}

/// Which definitions a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefinitionFilter {
    /// All: each can be assigned at every scope.
    All,
    /// Those of a kind (`type eq '…'`).
    Kind(RoleKind),
    /// Those of a name, compared without case (`roleName eq '…'`).
    Named(String),
}

impl RoleKind {
    /// The spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "AKVBuiltInRole",
            Self::Custom => "CustomRole",
        }
    }
}

impl Permission {
    /// What it allows.
    pub fn actions(&self) -> DataActionSet {
        let set = |actions: &[DataAction]| actions.iter().copied().collect::<DataActionSet>();
        set(&self.data_actions).difference(set(&self.not_data_actions))
    }
}

impl CustomRole {
    /// What it allows.
    pub fn actions(&self) -> DataActionSet {
        self.permissions.iter().fold(DataActionSet::EMPTY, |all, permission| all.union(permission.actions()))
    }

    fn is(&self, wanted: &RoleSpecification) -> bool {
        let RoleSpecification { role_name, description, permissions } = wanted;
        (&self.role_name, &self.description, &self.permissions) == (role_name, description, permissions)
    }
}

impl From<&BuiltInRole> for RoleDefinition {
    fn from(role: &BuiltInRole) -> Self {
        let permission = Permission { data_actions: role.data_actions.to_vec(), not_data_actions: Vec::new() };
        Self {
            id: role.id,
            role_name: role.role_name.to_owned(),
            description: String::new(),
            kind: RoleKind::BuiltIn,
            permissions: vec![permission],
        }
    }
}

impl From<&CustomRole> for RoleDefinition {
    fn from(role: &CustomRole) -> Self {
        Self {
            id: role.id,
            role_name: role.role_name.clone(),
            description: role.description.clone(),
            kind: RoleKind::Custom,
            permissions: role.permissions.clone(),
        }
    }
}

impl RoleSpecification {
    /// Longest name, in characters.
    pub const NAME_CHARACTERS_MAX: usize = 512;
    /// Longest description, in characters.
    pub const DESCRIPTION_CHARACTERS_MAX: usize = 2048;
    /// Most entries of `permissions`.
    pub const PERMISSIONS_MAX: usize = 16;
    /// Most entries of one list of a permission.
    pub const ACTIONS_MAX: usize = 128;

    /// Checks what somebody wrote.
    ///
    /// # Errors
    /// [`Error::BadParameter`] names what is too much.
    pub fn new(role_name: String, description: String, permissions: Vec<Permission>) -> Result<Self> {
        if role_name.chars().count() > Self::NAME_CHARACTERS_MAX || role_name.contains(char::is_control) {
            let problem = format!("must be at most {} printable characters", Self::NAME_CHARACTERS_MAX);
            return Err(Error::bad_parameter("roleName", problem));
        }
        if description.chars().count() > Self::DESCRIPTION_CHARACTERS_MAX {
            let problem = format!("must be at most {} characters", Self::DESCRIPTION_CHARACTERS_MAX);
            return Err(Error::bad_parameter("description", problem));
        }
        let lists = permissions.iter().flat_map(|permission| [&permission.data_actions, &permission.not_data_actions]);
        if permissions.len() > Self::PERMISSIONS_MAX || lists.into_iter().any(|list| list.len() > Self::ACTIONS_MAX) {
            let problem = format!("must be at most {} entries of {} actions", Self::PERMISSIONS_MAX, Self::ACTIONS_MAX);
            return Err(Error::bad_parameter("permissions", problem));
        }
        Ok(Self { role_name, description, permissions })
    }
}

impl DefinitionFilter {
    fn shows(&self, definition: &RoleDefinition) -> bool {
        match self {
            Self::All => true,
            Self::Kind(kind) => definition.kind == *kind,
            Self::Named(name) => folded(&definition.role_name) == folded(name),
        }
    }
}

impl Hsm<'_> {
    /// The role definitions assignable at a scope.
    pub async fn role_definitions(
        &self,
        request: &Request,
        scope: &Scope,
        filter: &DefinitionFilter,
    ) -> Result<Vec<RoleDefinition>> {
        let permit = self.authorize(request, DataAction::RoleDefinitionsRead, scope).await?;
        Ok(permit.rights().definitions().filter(|definition| filter.shows(definition)).collect())
    }

    /// One role definition.
    pub async fn role_definition(
        &self,
        request: &Request,
        scope: &Scope,
        id: RoleDefinitionId,
    ) -> Result<RoleDefinition> {
        let permit = self.authorize(request, DataAction::RoleDefinitionsRead, scope).await?;
        permit.rights().definition(id).ok_or_else(|| not_found(id))
    }

    /// Makes a custom role, or replaces it whole.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for a built-in role or another scope than `/`; [`Error::RoleNameTaken`];
    /// [`Error::LimitReached`].
    pub async fn put_role_definition(
        &self,
        request: &Request,
        scope: &Scope,
        id: RoleDefinitionId,
        wanted: &RoleSpecification,
    ) -> Result<RoleDefinition> {
        retry_on_conflict!(self.try_put_role_definition(request, scope, id, wanted))
    }

    /// Removes a custom role, and answers what it was.
    ///
    /// # Errors
    /// [`Error::RoleDefinitionNotFound`]; [`Error::RoleDefinitionInUse`] while it is assigned;
    /// [`Error::BadParameter`] for a built-in role or another scope than `/`.
    pub async fn delete_role_definition(
        &self,
        request: &Request,
        scope: &Scope,
        id: RoleDefinitionId,
    ) -> Result<RoleDefinition> {
        retry_on_conflict!(self.try_delete_role_definition(request, scope, id))
    }

    async fn try_put_role_definition(
        &self,
        request: &Request,
        scope: &Scope,
        id: RoleDefinitionId,
        wanted: &RoleSpecification,
    ) -> Result<RoleDefinition> {
        let permit = self.authorize(request, DataAction::RoleDefinitionsWrite, &Scope::Root).await?;
        check_writable(scope, id)?;
        let rights = permit.rights();
        let existing = rights.custom_role(id);
        if let Some(unchanged) = existing.filter(|stored| stored.value.is(wanted)) {
            return Ok(RoleDefinition::from(&unchanged.value));
        }
        let namesake = rights.definitions().find(|other| {
            other.id != id && !wanted.role_name.is_empty() && folded(&other.role_name) == folded(&wanted.role_name)
        });
        if let Some(other) = namesake {
            let existing = other.id.0.to_string();
            return Err(Error::RoleNameTaken { role_name: wanted.role_name.clone(), existing });
        }
        if existing.is_none() && rights.custom_roles().count() >= self.limits().custom_roles_per_hsm {
            return Err(Error::LimitReached {
                what: "custom role definitions",
                limit: self.limits().custom_roles_per_hsm,
            });
        }
        let made = existing.map(|stored| (stored.value.created, stored.value.created_by));
        let (created, created_by) = made.unwrap_or((request.received, request.caller.principal));
        let RoleSpecification { role_name, description, permissions } = wanted.clone();
        let (updated, updated_by) = (request.received, request.caller.principal);
        let role = CustomRole { id, role_name, description, permissions, created, created_by, updated, updated_by };
        let mut transaction = permit.transaction().detail(describe(&role));
        let assignments = rights.assignments().iter().map(|stored| &stored.value);
        let others = rights.custom_roles().filter(|other| other.id != id);
        stage_rights(&permit, &mut transaction, assignments, others.chain([&role]))?;
        match existing {
            Some(stored) => transaction.replace(permit.sealer(), stored, &role)?,
            None => transaction.create(permit.sealer(), permit.generation().role_definition(id.0), &role)?,
        }
        transaction.commit(request).await?;
        Ok(RoleDefinition::from(&role))
    }

    async fn try_delete_role_definition(
        &self,
        request: &Request,
        scope: &Scope,
        id: RoleDefinitionId,
    ) -> Result<RoleDefinition> {
        let permit = self.authorize(request, DataAction::RoleDefinitionsDelete, &Scope::Root).await?;
        check_writable(scope, id)?;
        let rights = permit.rights();
        let removed = rights.custom_role(id).ok_or_else(|| not_found(id))?;
        let assignments = || rights.assignments().iter().map(|stored| &stored.value);
        let uses = assignments().filter(|assignment| assignment.role == id).count();
        if uses > 0 {
            return Err(Error::RoleDefinitionInUse { id: id.0.to_string(), assignments: uses });
        }
        let mut transaction = permit.transaction().detail(describe(&removed.value));
        let left = rights.custom_roles().filter(|left| left.id != id);
        stage_rights(&permit, &mut transaction, assignments(), left)?;
        transaction.delete(removed);
        transaction.commit(request).await?;
        Ok(RoleDefinition::from(&removed.value))
    }
}

/// Only custom roles are written, and only at `/`.
fn check_writable(scope: &Scope, id: RoleDefinitionId) -> Result<()> {
    if *scope != Scope::Root {
        return Err(Error::bad_parameter("scope", "role definitions are made and removed at /"));
    }
    if BuiltInRole::find(id).is_some() {
        let problem = "is the GUID of a built-in role, which cannot be changed, removed or re-used";
        return Err(Error::bad_parameter("roleDefinitionName", problem));
    }
    Ok(())
}

/// What the audit log says of a role: enough to see what a change gave to whom.
fn describe(role: &CustomRole) -> String {
    let actions: Vec<_> = role.actions().iter().map(DataAction::as_str).collect();
    format!("role {} allows {}", role.id.0, if actions.is_empty() { "nothing".to_owned() } else { actions.join(" ") })
}

fn folded(name: &str) -> String {
    name.to_lowercase()
}

fn not_found(id: RoleDefinitionId) -> Error {
    Error::RoleDefinitionNotFound { id: id.0.to_string() }
}
