//! Changing a vault, and who may use its keys.

use crate::barrier::Stored;
use crate::pools::vaults::specification::check_policies;
use crate::pools::{Action, Error, OWNER, Permit, Pools, Result, Tags, VaultId, VaultSpecification, VaultView};
use crate::request::Request;
use crate::vault::{AccessControl, AccessPolicy, Permissions, Vault};

/// The last segment of `accessPolicies/{operationKind}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyChange {
    /// Allows more: permissions are added to what the principal has.
    Add,
    /// The principal gets these permissions and no others.
    Replace,
    /// Permissions are taken away; a policy without any goes.
    Remove,
}

impl Pools {
    /// Changes a vault that [`Pools::plan_vault`] or [`Pools::vault_to_patch`] found.
    ///
    /// # Errors
    /// [`Error::LocationDiffers`], [`Error::BadProperty`] for what cannot be changed, [`Error::AuthorizationFailed`] if
    /// the rights on keys are changed by who may not say who has them.
    pub async fn update_vault(
        &self,
        request: &Request,
        permit: &Permit,
        existing: &Stored<Vault>,
        specification: VaultSpecification,
    ) -> Result<VaultView> {
        let id = VaultId::of(&existing.value)?;
        permit.demand(Action::VaultWrite, &id.scope())?;
        check_unchanged(&existing.value, &specification)?;
        if let Some(policies) = &specification.policies {
            check_policies(policies, existing.value.tenant)?;
        }
        let current = self.core.access_control(existing.value.instance).await?;
        let wanted = AccessControl {
            model: specification.model.unwrap_or(current.model),
            policies: specification.policies.clone().unwrap_or_else(|| current.policies.clone()),
        };
        let vault = changed(&existing.value, specification, request);
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("instance {}", vault.instance));
        permit.bind(&mut transaction);
        transaction.replace(barrier.deployment(), existing, &vault)?;
        let stricter = vault.purge_protection && !existing.value.purge_protection;
        if wanted.model != current.model {
            // Only who may hand out any role may say that roles count, or do not: writing a vault must not be a way to keys.
            permit.require_delegation(Action::RoleAssignmentWrite, &id.scope(), OWNER)?;
        }
        if wanted != current || stricter {
            // Rewrites the guard: what was allowed before, a purge too, must not happen after this.
            self.core.stage_access(&mut transaction, vault.instance, |_| wanted.clone()).await?;
        }
        transaction.commit(request).await?;
        Ok(VaultView { vault, access: wanted })
    }

    /// Changes the access policies of the principals that are named, and leaves those of others.
    ///
    /// # Errors
    /// [`Error::ResourceNotFound`], [`Error::ResourceGroupNotFound`], [`Error::BadProperty`], [`Error::LimitReached`].
    pub async fn change_policies(
        &self,
        request: &Request,
        permit: &Permit,
        id: &VaultId,
        change: PolicyChange,
        named: Vec<AccessPolicy>,
    ) -> Result<VaultView> {
        permit.demand(Action::VaultPoliciesWrite, &id.scope())?;
        let existing = self.live_vault(id).await?;
        check_policies(&named, existing.value.tenant)?;
        let current = self.core.access_control(existing.value.instance).await?;
        let policies = change.apply(&current.policies, named);
        check_policies(&policies, existing.value.tenant)?;
        let vault = Vault { updated: request.received, ..existing.value.clone() };
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("instance {}", vault.instance));
        permit.bind(&mut transaction);
        transaction.replace(barrier.deployment(), &existing, &vault)?;
        let access = self.core.stage_access(&mut transaction, vault.instance, |now| AccessControl {
            policies: policies.clone(),
            ..now.clone()
        });
        let access = access.await?;
        transaction.commit(request).await?;
        Ok(VaultView { vault, access })
    }
}

impl PolicyChange {
    /// From the wire, without case; `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        let known = [("add", Self::Add), ("replace", Self::Replace), ("remove", Self::Remove)];
        known.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, change)| change)
    }

    fn apply(self, present: &[AccessPolicy], named: Vec<AccessPolicy>) -> Vec<AccessPolicy> {
        let mut policies = present.to_vec();
        for policy in named {
            match (policies.iter_mut().find(|present| present.is_about_the_same(&policy)), self) {
                (Some(present), Self::Add) => present.permissions = joined(&present.permissions, &policy.permissions),
                (Some(present), Self::Replace) => present.permissions = policy.permissions,
                (Some(present), Self::Remove) => {
                    present.permissions = without(&present.permissions, &policy.permissions)
                }
                (None, Self::Add | Self::Replace) => policies.push(policy),
                (None, Self::Remove) => {}
            }
        }
        if self == Self::Remove {
            policies.retain(|policy| policy.permissions != Permissions::default());
        }
        policies
    }
}

fn joined(present: &Permissions, added: &Permissions) -> Permissions {
    let join = |present: &[String], added: &[String]| {
        let new = added.iter().filter(|permission| !present.contains(permission));
        present.iter().chain(new).cloned().collect()
    };
    Permissions {
        keys: present.keys.union(added.keys),
        secrets: join(&present.secrets, &added.secrets),
        certificates: join(&present.certificates, &added.certificates),
        storage: join(&present.storage, &added.storage),
    }
}

fn without(present: &Permissions, removed: &Permissions) -> Permissions {
    let rest = |present: &[String], removed: &[String]| {
        present.iter().filter(|permission| !removed.contains(permission)).cloned().collect()
    };
    Permissions {
        keys: present.keys.difference(removed.keys),
        secrets: rest(&present.secrets, &removed.secrets),
        certificates: rest(&present.certificates, &removed.certificates),
        storage: rest(&present.storage, &removed.storage),
    }
}

fn changed(vault: &Vault, specification: VaultSpecification, request: &Request) -> Vault {
    Vault {
        sku: specification.sku.unwrap_or(vault.sku),
        tags: specification.tags.map_or_else(|| vault.tags.clone(), Tags::into_map),
        purge_protection: specification.purge_protection.unwrap_or(vault.purge_protection),
        enabled_for_deployment: specification.enabled_for_deployment.unwrap_or(vault.enabled_for_deployment),
        enabled_for_disk_encryption: specification
            .enabled_for_disk_encryption
            .unwrap_or(vault.enabled_for_disk_encryption),
        enabled_for_template_deployment: specification
            .enabled_for_template_deployment
            .unwrap_or(vault.enabled_for_template_deployment),
        public_network_access: specification.public_network_access.unwrap_or(vault.public_network_access),
        network_acls: specification.network_acls.or_else(|| vault.network_acls.clone()),
        updated: request.received,
        ..vault.clone()
    }
}

fn check_unchanged(vault: &Vault, specification: &VaultSpecification) -> Result<()> {
    let VaultSpecification { location, tenant, soft_delete, retention, purge_protection, .. } = specification;
    if let Some(asked) = location {
        asked.check_unchanged(&vault.location, &vault.name, &vault.resource_group)?;
    }
    let fixed = |property| Err(Error::bad_property(property, "it cannot be changed after creation"));
    if tenant.is_some_and(|asked| asked != vault.tenant) {
        return fixed("properties.tenantId");
    }
    if retention.is_some_and(|asked| asked.days() != vault.retention_days) {
        return fixed("properties.softDeleteRetentionInDays");
    }
    if *soft_delete == Some(false) {
        return Err(Error::bad_property("properties.enableSoftDelete", "soft delete cannot be switched off"));
    }
    if *purge_protection == Some(false) && vault.purge_protection {
        let problem = "purge protection cannot be switched off again";
        return Err(Error::bad_property("properties.enablePurgeProtection", problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use strongroom_types::{KeyPermission, PrincipalId, TenantId};
    use uuid::Uuid;

    use super::*;

    fn policy(principal: u128, keys: &[KeyPermission]) -> AccessPolicy {
        AccessPolicy {
            tenant: TenantId::from_uuid(Uuid::nil()),
            principal: PrincipalId::from_uuid(Uuid::from_u128(principal)),
            application: None,
            permissions: Permissions { keys: keys.iter().copied().collect(), ..Permissions::default() },
        }
    }

    #[test]
    fn adding_joins_replacing_replaces_and_removing_takes_away() {
        use KeyPermission::{Get, List, Sign};
        let present = [policy(1, &[Get]), policy(2, &[Sign])];
        assert_eq!(PolicyChange::Add.apply(&present, vec![policy(1, &[List])])[0], policy(1, &[Get, List]));
        assert_eq!(PolicyChange::Replace.apply(&present, vec![policy(1, &[List])])[0], policy(1, &[List]));
        assert_eq!(PolicyChange::Add.apply(&present, vec![policy(3, &[Get])]).len(), 3);
        assert_eq!(PolicyChange::Remove.apply(&present, vec![policy(1, &[Get])]), [policy(2, &[Sign])]);
        assert_eq!(PolicyChange::Remove.apply(&present, vec![policy(3, &[Get])]), present);
    }
}
