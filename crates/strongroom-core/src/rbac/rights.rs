//! Assignments, compiled: what is asked on every request.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_crypto::digest::sha256;
use strongroom_crypto::seal::Sealer;
use strongroom_types::{DataAction, DataActionSet, PrincipalId, Scope};

use crate::barrier::Stored;
use crate::guard::Guard;
use crate::layout::Generation;
use crate::rbac::{RoleAssignment, RoleDefinition};
use crate::request::Caller;
use crate::{Core, Error, Result};

/// All role assignments of an HSM at one rights version.
#[derive(Debug, Default)]
pub struct Rights {
    assignments: Vec<Stored<RoleAssignment>>,
    by_principal: HashMap<PrincipalId, Vec<(Scope, DataActionSet)>>,
}

impl Rights {
    pub(super) fn compile(assignments: Vec<Stored<RoleAssignment>>) -> Self {
        let mut by_principal: HashMap<PrincipalId, Vec<(Scope, DataActionSet)>> = HashMap::new();
        for Stored { value, .. } in &assignments {
            // A role this release does not know gives nothing.
            let actions = RoleDefinition::builtin(value.role).map(RoleDefinition::actions).unwrap_or_default();
            by_principal.entry(value.principal).or_default().push((value.scope.clone(), actions));
        }
        Self { assignments, by_principal }
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

    /// The assignments.
    pub fn assignments(&self) -> &[Stored<RoleAssignment>] {
        &self.assignments
    }
}

/// SHA-256 over the whole set, base64url: what the guard keeps.
pub(crate) fn digest<'a>(assignments: impl IntoIterator<Item = &'a RoleAssignment>) -> String {
    let mut lines: Vec<String> = assignments
        .into_iter()
        .map(|RoleAssignment { name, scope, role, principal, created: _, created_by: _ }| {
            format!("{name} {} {} {principal}\n", scope.to_string().to_ascii_lowercase(), role.0)
        })
        .collect();
    lines.sort();
    URL_SAFE_NO_PAD.encode(sha256(lines.concat().as_bytes()))
}

impl Core {
    /// The rights of the guard's version; compiled once.
    pub(crate) async fn rights(&self, generation: Generation, guard: &Guard, sealer: &Sealer) -> Result<Arc<Rights>> {
        let cache_key = (generation, guard.rights_version);
        if let Some(rights) = self.caches().rights.get(&cache_key) {
            return Ok(rights);
        }
        let prefix = generation.role_assignments();
        let assignments = self.barrier().all::<RoleAssignment>(sealer, &prefix).await?;
        if digest(assignments.iter().map(|stored| &stored.value)) != guard.rights_digest {
            // A change may have come between the two reads: then the guard is no longer the one we hold.
            let current = self.guard(generation.instance).await?;
            if current.value.rights_version != guard.rights_version {
                return Err(Error::Conflict);
            }
            return Err(Error::Tampered { key: prefix, problem: "the role assignments are not those the guard names" });
        }
        let rights = Arc::new(Rights::compile(assignments));
        self.caches().rights.insert(cache_key, Arc::clone(&rights));
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
    use crate::rbac::builtin_definitions;
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

    fn assignment(principal: u8, scope: &Scope, role: usize) -> Stored<RoleAssignment> {
        let value = RoleAssignment {
            name: Uuid::from_u128(u128::from(principal) << 8 | role as u128),
            scope: scope.clone(),
            role: builtin_definitions()[role].id,
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
            assigned in prop::collection::vec((0u8..4, scopes(), 0usize..9), 0..6),
            added in (0u8..4, scopes(), 0usize..9),
            asked in scopes(),
        ) {
            let before: Vec<_> = assigned.iter().map(|(principal, scope, role)| assignment(*principal, scope, *role)).collect();
            let mut after = before.clone();
            after.push(assignment(added.0, &added.1, added.2));
            let (before, after) = (Rights::compile(before), Rights::compile(after));
            let caller = caller(0, &[1, 2]);
            prop_assert!(after.actions(&caller, &asked).is_superset(before.actions(&caller, &asked)));
        }
    }

    #[test]
    fn a_group_gives_its_members_what_it_holds() {
        let rights = Rights::compile(vec![assignment(7, &Scope::Keys, 2)]);
        let key = "/keys/x".parse().unwrap();
        assert!(rights.allows(&caller(1, &[7]), DataAction::KeysSign, &key));
        assert!(!rights.allows(&caller(1, &[8]), DataAction::KeysSign, &key));
        assert!(!rights.allows(&caller(1, &[7]), DataAction::KeysSign, &Scope::Root));
    }
}
