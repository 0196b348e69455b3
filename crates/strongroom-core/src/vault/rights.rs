//! The rights of a vault, compiled: what is asked on every request. Both models come to the same: permissions of
//! principals at the vault or at one key.

use std::collections::HashMap;
use std::sync::Arc;

use strongroom_types::{DataAction, InstanceId, KeyPermission, KeyPermissionSet, PrincipalId, Scope, TenantId};

use crate::container::Part;
use crate::guard::Guard;
use crate::pools::{Guarded, ResourceScope, Rights as AzureRights, VaultId};
use crate::request::Caller;
use crate::vault::{AccessControl, AuthorizationModel, Vault};
use crate::{Core, Result};

/// Where a vault stands among the resources, and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct VaultPlace {
    pub(crate) scope: ResourceScope,
    pub(crate) tenant: TenantId,
    pub(crate) instance: InstanceId,
}

impl VaultPlace {
    /// Where a vault stands.
    ///
    /// # Errors
    /// [`crate::Error::Internal`] if its record names no place.
    pub(crate) fn of_vault(vault: &Vault) -> Result<Self> {
        let Vault { instance, tenant, .. } = *vault;
        Ok(Self { scope: VaultId::of(vault)?.scope(), tenant, instance })
    }

    /// Where a scope inside the vault lies among the resources.
    pub(crate) fn of(&self, scope: &Scope) -> ResourceScope {
        match scope {
            Scope::Key(name) => self.scope.child("keys", name.as_str()),
            Scope::Root | Scope::Keys => self.scope.clone(),
        }
    }
}

/// Everything that is allowed in one vault.
#[derive(Debug)]
pub(crate) struct VaultRights {
    by_principal: HashMap<PrincipalId, Vec<Grant>>,
}

#[derive(Debug)]
struct Grant {
    scope: Scope,
    /// The only program through which it holds.
    application: Option<String>,
    permissions: KeyPermissionSet,
}

/// The permission an action needs in a vault; `None` for what only managed HSMs do.
pub(crate) fn permission(action: DataAction, part: Part) -> Option<KeyPermission> {
    use DataAction as A;
    use KeyPermission as P;
    match (action, part) {
        (A::KeysRead | A::DeletedKeysRead, Part::Key) => Some(P::Get),
        (A::KeysRead | A::DeletedKeysRead, Part::List) => Some(P::List),
        (A::KeysRead, Part::RotationPolicy) => Some(P::GetRotationPolicy),
        (A::KeysWrite, Part::RotationPolicy) => Some(P::SetRotationPolicy),
        (A::KeysWrite, Part::Key) => Some(P::Update),
        (A::KeysCreate, Part::Key) => Some(P::Create),
        (A::KeysImport, Part::Key) => Some(P::Import),
        (A::KeysDelete, Part::Key) => Some(P::Delete),
        (A::DeletedKeysRecover, Part::Key) => Some(P::Recover),
        (A::DeletedKeysDelete, Part::Key) => Some(P::Purge),
        (A::KeysBackup, Part::Key) => Some(P::Backup),
        (A::KeysRestore, Part::Key) => Some(P::Restore),
        (A::KeysEncrypt, Part::Key) => Some(P::Encrypt),
        (A::KeysDecrypt, Part::Key) => Some(P::Decrypt),
        (A::KeysWrap, Part::Key) => Some(P::WrapKey),
        (A::KeysUnwrap, Part::Key) => Some(P::UnwrapKey),
        (A::KeysSign, Part::Key) => Some(P::Sign),
        (A::KeysVerify, Part::Key) => Some(P::Verify),
        (A::KeysRelease, Part::Key) => Some(P::Release),
        (A::KeysRotate, Part::Key) => Some(P::Rotate),
        _ => None,
    }
}

impl VaultRights {
    /// The access policies: each holds in the whole vault.
    fn of_policies(access: &AccessControl) -> Self {
        let mut by_principal: HashMap<PrincipalId, Vec<Grant>> = HashMap::new();
        for policy in &access.policies {
            by_principal.entry(policy.principal).or_default().push(Grant {
                scope: Scope::Root,
                application: policy.application.clone(),
                permissions: policy.permissions.keys,
            });
        }
        Self { by_principal }
    }

    /// The Azure role assignments that reach the vault or a key in it.
    fn of_roles(rights: &AzureRights, place: &VaultPlace) -> Self {
        let mut by_principal: HashMap<PrincipalId, Vec<Grant>> = HashMap::new();
        for assignment in rights.assignments().iter().filter(|assignment| assignment.tenant == place.tenant) {
            let Some(scope) = scope_within(&place.scope, &assignment.scope) else { continue };
            let Some(role) = rights.definition(assignment.role) else { continue };
            let permissions: KeyPermissionSet = KeyPermission::ALL
                .iter()
                .copied()
                .filter(|permission| *permission != KeyPermission::All)
                .filter(|permission| role.allows_data(permission.data_action()))
                .collect();
            if !permissions.is_empty() {
                let grant = Grant { scope, application: None, permissions };
                by_principal.entry(assignment.principal).or_default().push(grant);
            }
        }
        Self { by_principal }
    }

    /// Whether the caller, by itself or by one of its groups, may do it there.
    pub(crate) fn allows(&self, caller: &Caller, permission: KeyPermission, scope: &Scope) -> bool {
        let through = |grant: &Grant| match (&grant.application, &caller.application) {
            (None, _) => true,
            (Some(wanted), Some(used)) => wanted.eq_ignore_ascii_case(used),
            (Some(_), None) => false,
        };
        std::iter::once(&caller.principal)
            .chain(&caller.groups)
            .filter_map(|principal| self.by_principal.get(principal))
            .flatten()
            .any(|grant| grant.permissions.allows(permission) && grant.scope.covers(scope) && through(grant))
    }
}

/// What an assignment's scope means inside a vault: all of it, one key, or nothing.
fn scope_within(vault: &ResourceScope, assigned: &ResourceScope) -> Option<Scope> {
    if assigned.covers(vault) {
        return Some(Scope::Root);
    }
    match assigned.below(vault)? {
        [kind, name] if kind == "keys" => name.parse().ok().map(Scope::Key),
        _ => None,
    }
}

impl Core {
    /// The rights of a vault under its guard. Under Azure RBAC the management guard they were compiled for comes with them:
    /// writes depend on it too.
    pub(crate) async fn vault_rights(
        &self,
        place: &VaultPlace,
        guard: &Guard,
    ) -> Result<(Arc<VaultRights>, Option<Guarded>)> {
        let access = self.cached_access(place.instance, guard).await?;
        let guarded = match access.model {
            AuthorizationModel::AccessPolicies => None,
            AuthorizationModel::AzureRbac => Some(self.azure_rights().current(self.barrier()).await?),
        };
        let azure_version = guarded.as_ref().map(|guarded| guarded.rights.version());
        let cache_key = (place.instance, guard.rights_version, azure_version);
        if let Some(rights) = self.caches().vault_rights.get(&cache_key) {
            return Ok((rights, guarded));
        }
        let rights = Arc::new(match &guarded {
            None => VaultRights::of_policies(&access),
            Some(guarded) => VaultRights::of_roles(&guarded.rights, place),
        });
        self.caches().vault_rights.insert(cache_key, Arc::clone(&rights));
        Ok((rights, guarded))
    }

    async fn cached_access(&self, instance: InstanceId, guard: &Guard) -> Result<Arc<AccessControl>> {
        let cache_key = (instance, guard.rights_version);
        if let Some(access) = self.caches().access.get(&cache_key) {
            return Ok(access);
        }
        let access = Arc::new(self.access_of(instance, guard).await?.value);
        self.caches().access.insert(cache_key, Arc::clone(&access));
        Ok(access)
    }
}
