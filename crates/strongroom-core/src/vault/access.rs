//! Who decides about the keys of a vault: Azure RBAC, or its own access policies.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use strongroom_crypto::digest::sha256;
use strongroom_types::{Epoch, InstanceId, KeyPermissionSet, PrincipalId, TenantId};

use crate::barrier::{Record, Stored, Transaction};
use crate::guard::{Guard, HsmState};
use crate::settings::Settings;
use crate::{Core, Error, Result, layout};

/// The rights of a vault. Its digest stands in the guard, so that neither model nor policies can be put back quietly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessControl {
    /// Which of the two decides.
    pub model: AuthorizationModel,
    /// The access policies; kept but without effect under Azure RBAC.
    pub policies: Vec<AccessPolicy>,
}

impl Record for AccessControl {
    const FORMAT: u16 = 1;
}

/// `enableRbacAuthorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthorizationModel {
    /// Azure role assignments at the vault, above it, or at single keys.
    AzureRbac,
    /// The vault's access policies.
    AccessPolicies,
}

/// An entry of `accessPolicies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPolicy {
    /// The tenant of the principal: the vault's own.
    pub tenant: TenantId,
    /// A user, group, service principal or managed identity.
    pub principal: PrincipalId,
    /// The client id of the only program through which the policy holds, in lower case.
    pub application: Option<String>,
    /// What it allows.
    pub permissions: Permissions,
}

/// `permissions` of an access policy. Secrets, certificates and storage are kept as written, in lower case: vaults hold
/// keys only here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Permissions {
    /// On keys.
    pub keys: KeyPermissionSet,
    /// On secrets.
    pub secrets: Vec<String>,
    /// On certificates.
    pub certificates: Vec<String>,
    /// On storage accounts.
    pub storage: Vec<String>,
}

impl AccessPolicy {
    /// Whether both are about the same principal through the same program: a vault has one policy for each.
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        (self.principal, &self.application) == (other.principal, &other.application)
    }
}

impl AccessControl {
    /// SHA-256 over the whole of it, base64url: what the guard keeps.
    fn digest(&self) -> Result<String> {
        let encoded = serde_json::to_vec(self).map_err(|_| Error::Internal("the access policies do not encode"))?;
        Ok(URL_SAFE_NO_PAD.encode(sha256(&encoded)))
    }
}

impl Core {
    /// Adds guard and rights of a new vault to the commit that makes it.
    pub(crate) fn stage_vault(
        &self,
        transaction: &mut Transaction<'_>,
        instance: InstanceId,
        access: &AccessControl,
    ) -> Result<()> {
        let guard = Guard {
            state: HsmState::Active,
            oldest_epoch: Epoch::FIRST,
            deleted: false,
            domain: None,
            epoch: Epoch::FIRST,
            generation: 1,
            rights_version: 1,
            rights_digest: access.digest()?,
            settings: Settings::default(),
        };
        let sealer = self.barrier().deployment();
        transaction.create(sealer, layout::guard(instance), &guard)?;
        transaction.create(sealer, layout::access(instance), access)
    }

    /// Adds a change of a vault's rights to a commit: what was authorized under the old ones then conflicts.
    pub(crate) async fn stage_access(
        &self,
        transaction: &mut Transaction<'_>,
        instance: InstanceId,
        change: impl FnOnce(&AccessControl) -> AccessControl,
    ) -> Result<AccessControl> {
        let (guard, stored) = self.stored_access(instance).await?;
        let changed = change(&stored.value);
        let rights_version = guard.value.rights_version.saturating_add(1);
        let new_guard = Guard { rights_version, rights_digest: changed.digest()?, ..guard.value.clone() };
        let sealer = self.barrier().deployment();
        transaction.replace(sealer, &guard, &new_guard)?;
        transaction.replace(sealer, &stored, &changed)?;
        Ok(changed)
    }

    /// The rights of a vault, as they are now.
    pub(crate) async fn access_control(&self, instance: InstanceId) -> Result<AccessControl> {
        Ok(self.stored_access(instance).await?.1.value)
    }

    async fn stored_access(&self, instance: InstanceId) -> Result<(Arc<Stored<Guard>>, Stored<AccessControl>)> {
        let guard = self.guard(instance).await?;
        let stored = self.access_of(instance, &guard.value).await?;
        Ok((guard, stored))
    }

    /// The rights that a guard names.
    pub(super) async fn access_of(&self, instance: InstanceId, guard: &Guard) -> Result<Stored<AccessControl>> {
        let key = layout::access(instance);
        let stored = self.barrier().read::<AccessControl>(self.barrier().deployment(), &key).await?;
        match stored {
            Some(stored) if stored.value.digest()? == guard.rights_digest => Ok(stored),
            // A change may have come between the two reads: then the guard is no longer the one we hold.
            _ if self.guard(instance).await?.value.rights_version != guard.rights_version => Err(Error::Conflict),
            _ => Err(Error::Tampered { key, problem: "the access policies are not those the guard names" }),
        }
    }
}
