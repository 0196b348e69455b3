//! Assignments, compiled: what is asked on every request.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_crypto::digest::sha256;
use strongroom_crypto::seal::Sealer;
use strongroom_types::{DataAction, DataActionSet, PrincipalId, Scope};

use crate::barrier::{Stored, Transaction};
use crate::container::Permit;
use crate::guard::Guard;
use crate::layout::Generation;
use crate::rbac::{ADMINISTRATOR, BuiltInRole, CustomRole, RoleAssignment, RoleDefinition, RoleDefinitionId};
use crate::request::Caller;
use crate::{Core, Error, Result};

/// All role assignments and custom roles of an HSM at one rights version.
#[derive(Debug, Default)]
pub struct Rights {
    assignments: Vec<Stored<RoleAssignment>>,
    custom_roles: Vec<Stored<CustomRole>>,
    by_principal: HashMap<PrincipalId, Vec<(Scope, DataActionSet)>>,
}

impl Rights {
    pub(super) fn compile(assignments: Vec<Stored<RoleAssignment>>, custom_roles: Vec<Stored<CustomRole>>) -> Self {
        let custom: HashMap<_, _> = custom_roles.iter().map(|role| (role.value.id, role.value.actions())).collect();
        let mut by_principal: HashMap<PrincipalId, Vec<(Scope, DataActionSet)>> = HashMap::new();
        for Stored { value, .. } in &assignments {
            // A role that is neither built in nor defined gives nothing.
            let actions = match BuiltInRole::find(value.role) {
                Some(role) => role.actions(),
                None => custom.get(&value.role).copied().unwrap_or_default(),
            };
            by_principal.entry(value.principal).or_default().push((value.scope.clone(), actions));
        }
        Self { assignments, custom_roles, by_principal }
    }

    /// Whether the caller, by itself or by one of its groups, may do it there.
    pub fn allows(&self, caller: &Caller, action: DataAction, scope: &Scope) -> bool {
        self.actions(caller, scope).contains(action)
    }

    /// Everything the caller may do at a scope.
    pub fn actions(&self, caller: &Caller, scope: &Scope) -> DataActionSet {
        std::iter::once(&caller.principal)
            .chain(&caller.groups)
            .filter_map(|principal| self.by_principal.get(principal))
            .flatten()
            .filter(|(assigned, _)| assigned.covers(scope))
            .fold(DataActionSet::EMPTY, |all, (_, actions)| all.union(*actions))
    }

    /// Whether the caller, by itself or by one of its groups, is Managed HSM Administrator of the whole HSM.
    pub fn is_administrator(&self, caller: &Caller) -> bool {
        let administration = |assignment: &RoleAssignment| {
            assignment.role == ADMINISTRATOR && assignment.scope == Scope::Root && caller.is(assignment.principal)
        };
        self.assignments.iter().any(|stored| administration(&stored.value))
    }

    /// The assignments.
    pub fn assignments(&self) -> &[Stored<RoleAssignment>] {
        &self.assignments
    }

    /// All roles: the built-in ones in the service's order, then the custom ones.
    pub fn definitions(&self) -> impl Iterator<Item = RoleDefinition> {
        let built_in = BuiltInRole::ALL.iter().map(RoleDefinition::from);
        built_in.chain(self.custom_roles().map(RoleDefinition::from))
    }

    /// The role with an id.
    pub fn definition(&self, id: RoleDefinitionId) -> Option<RoleDefinition> {
        let built_in = BuiltInRole::find(id).map(RoleDefinition::from);
        built_in.or_else(|| self.custom_role(id).map(|stored| RoleDefinition::from(&stored.value)))
    }

    pub(crate) fn custom_roles(&self) -> impl Iterator<Item = &CustomRole> {
        self.custom_roles.iter().map(|stored| &stored.value)
    }

    pub(super) fn custom_role(&self, id: RoleDefinitionId) -> Option<&Stored<CustomRole>> {
        self.custom_roles.iter().find(|stored| stored.value.id == id)
    }
}

/// SHA-256 over the whole set, base64url: what the guard keeps.
pub(crate) fn digest<'a>(
    assignments: impl IntoIterator<Item = &'a RoleAssignment>,
    custom_roles: impl IntoIterator<Item = &'a CustomRole>,
) -> Result<String> {
    let assignments =
        assignments.into_iter().map(|RoleAssignment { name, scope, role, principal, created: _, created_by: _ }| {
            Ok(format!("{name} {} {} {principal}\n", scope.to_string().to_ascii_lowercase(), role.0))
        });
    // As JSON, in which no text can look like the end of a line.
    let custom_roles = custom_roles.into_iter().map(|role| {
        let json = serde_json::to_string(role).map_err(|_| Error::Internal("a role does not encode"))?;
        Ok(format!("{json}\n"))
    });
    let mut lines: Vec<String> = assignments.chain(custom_roles).collect::<Result<_>>()?;
    lines.sort();
    Ok(URL_SAFE_NO_PAD.encode(sha256(lines.concat().as_bytes())))
}

/// Rewrites the guard for a changed set of rights, in the commit that changes them.
pub(crate) fn stage_rights<'a>(
    permit: &Permit<'_>,
    transaction: &mut Transaction<'_>,
    assignments: impl IntoIterator<Item = &'a RoleAssignment>,
    custom_roles: impl IntoIterator<Item = &'a CustomRole>,
) -> Result<()> {
    let guard = permit.guard();
    let changed = Guard {
        rights_version: guard.value.rights_version.saturating_add(1),
        rights_digest: digest(assignments, custom_roles)?,
        ..guard.value.clone()
    };
    transaction.replace(permit.barrier().deployment(), guard, &changed)
}

impl Core {
    /// The rights of the guard's version; compiled once.
    pub(crate) async fn rights(&self, generation: Generation, guard: &Guard, sealer: &Sealer) -> Result<Arc<Rights>> {
        let cache_key = (generation, guard.rights_version);
        if let Some(rights) = self.caches().rights.get(&cache_key) {
            return Ok(rights);
        }
        Box::pin(self.compile_rights(generation, guard, sealer)).await
    }

    async fn compile_rights(&self, generation: Generation, guard: &Guard, sealer: &Sealer) -> Result<Arc<Rights>> {
        let prefix = generation.role_assignments();
        let assignments = self.barrier().all::<RoleAssignment>(sealer, &prefix).await?;
        let custom_roles = self.barrier().all::<CustomRole>(sealer, &generation.role_definitions()).await?;
        let found =
            digest(assignments.iter().map(|stored| &stored.value), custom_roles.iter().map(|stored| &stored.value))?;
        if found != guard.rights_digest {
            // A change may have come between the reads: then the guard is no longer the one we hold.
            let current = self.guard(generation.instance).await?;
            if current.value.rights_version != guard.rights_version {
                return Err(Error::Conflict);
            }
            let problem = "role assignments and definitions are not those the guard names";
            return Err(Error::Tampered { key: prefix, problem });
        }
        let rights = Arc::new(Rights::compile(assignments, custom_roles));
        self.caches().rights.insert((generation, guard.rights_version), Arc::clone(&rights));
        Ok(rights)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strongroom_store::Revision;
    use strongroom_types::{TenantId, Timestamp};
    use uuid::Uuid;

    use super::*;
    use crate::rbac::Permission;
    use crate::request::CallerKind;

    fn caller(principal: u8, groups: &[u8]) -> Caller {
        Caller {
            tenant: TenantId::from_uuid(Uuid::nil()),
            principal: id(principal),
            groups: groups.iter().copied().map(id).collect(),
            application: None,
            kind: CallerKind::Application,
            issuer: String::new(),
            name: None,
        }
    }

    fn id(number: u8) -> PrincipalId {
        PrincipalId::from_uuid(Uuid::from_u128(u128::from(number)))
    }

    /// Encrypts in one permission what it excepts in another, and decrypts nowhere.
    const CUSTOM: RoleDefinitionId = RoleDefinitionId(Uuid::from_u128(9));

    fn custom_role() -> Stored<CustomRole> {
        use DataAction::{KeysDecrypt, KeysEncrypt, KeysSign};
        let value = CustomRole {
            id: CUSTOM,
            role_name: "Custom".to_owned(),
            description: String::new(),
            permissions: vec![
                Permission { data_actions: vec![KeysDecrypt, KeysEncrypt], not_data_actions: vec![KeysDecrypt] },
                Permission { data_actions: vec![KeysSign], not_data_actions: vec![KeysEncrypt] },
            ],
            created: Timestamp::default(),
            created_by: id(0),
            updated: Timestamp::default(),
            updated_by: id(0),
        };
        Stored { key: String::new(), value, revision: Revision(1), change: 1 }
    }

    fn compile(assignments: Vec<Stored<RoleAssignment>>) -> Rights {
        Rights::compile(assignments, vec![custom_role()])
    }

    fn assignment(principal: u8, scope: &Scope, role: usize) -> Stored<RoleAssignment> {
        let value = RoleAssignment {
            name: Uuid::from_u128(u128::from(principal) << 8 | role as u128),
            scope: scope.clone(),
            role: BuiltInRole::ALL.get(role).map_or(CUSTOM, |role| role.id),
            principal: id(principal),
            created: Timestamp::default(),
            created_by: id(0),
        };
        Stored { key: String::new(), value, revision: Revision(1), change: 1 }
    }

    fn scopes() -> impl Strategy<Value = Scope> {
        prop_oneof![Just("/"), Just("/keys"), Just("/keys/a"), Just("/keys/b")].prop_map(|text| text.parse().unwrap())
    }

    proptest! {
        #[test]
        fn adding_an_assignment_never_removes_access(
            assigned in prop::collection::vec((0u8..4, scopes(), 0usize..10), 0..6),
            added in (0u8..4, scopes(), 0usize..10),
            asked in scopes(),
        ) {
            let before: Vec<_> = assigned.iter().map(|(principal, scope, role)| assignment(*principal, scope, *role)).collect();
            let mut after = before.clone();
            after.push(assignment(added.0, &added.1, added.2));
            let (before, after) = (compile(before), compile(after));
            let caller = caller(0, &[1, 2]);
            prop_assert!(after.actions(&caller, &asked).is_superset(before.actions(&caller, &asked)));
        }
    }

    #[test]
    fn a_group_gives_its_members_what_it_holds() {
        let rights = compile(vec![assignment(7, &Scope::Keys, 2)]);
        let key = "/keys/x".parse().unwrap();
        assert!(rights.allows(&caller(1, &[7]), DataAction::KeysSign, &key));
        assert!(!rights.allows(&caller(1, &[8]), DataAction::KeysSign, &key));
        assert!(!rights.allows(&caller(1, &[7]), DataAction::KeysSign, &Scope::Root));
    }

    #[test]
    fn a_custom_role_gives_its_data_actions_without_the_exceptions_of_the_same_permission() {
        let rights = compile(vec![assignment(1, &Scope::Root, 9)]);
        let actions = rights.actions(&caller(1, &[]), &Scope::Keys);
        assert_eq!(actions, [DataAction::KeysEncrypt, DataAction::KeysSign].into_iter().collect());
    }

    #[test]
    fn a_role_without_a_definition_gives_nothing() {
        let rights = Rights::compile(vec![assignment(1, &Scope::Root, 9)], Vec::new());
        assert_eq!(rights.actions(&caller(1, &[]), &Scope::Root), DataActionSet::EMPTY);
    }

    #[test]
    fn the_digest_knows_every_member_of_a_custom_role() {
        let role = custom_role().value;
        let one = |role: &CustomRole| digest(&[], [role]).unwrap();
        let renamed = CustomRole { role_name: "Other".to_owned(), ..role.clone() };
        let widened = CustomRole { permissions: role.permissions[..1].to_vec(), ..role.clone() };
        assert_ne!(one(&role), one(&renamed));
        assert_ne!(one(&role), one(&widened));
        assert_ne!(one(&role), digest(&[], []).unwrap());
    }
}
