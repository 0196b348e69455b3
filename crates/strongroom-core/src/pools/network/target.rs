//! What a private endpoint leads to.

use serde::{Deserialize, Serialize};
use strongroom_types::Timestamp;

use crate::barrier::{Barrier, Stored, Transaction};
use crate::managed_hsm::{ManagedHsm, Provisioning};
use crate::network::PrivateEndpointConnection;
use crate::pools::{Action, Error, HsmId, Pools, ResourceScope, Result, VaultId};
use crate::vault::Vault;

/// A managed HSM or a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkTarget {
    /// A managed HSM.
    ManagedHsm(HsmId),
    /// A vault.
    Vault(VaultId),
}

/// Its record, as it was read.
pub(super) enum Linked {
    ManagedHsm(Stored<ManagedHsm>),
    Vault(Stored<Vault>),
}

impl LinkTarget {
    /// What a resource id names; `None` if no private endpoint can lead there.
    pub fn of_resource_id(id: &ResourceScope) -> Option<Self> {
        let (subscription, group) = (id.subscription_id()?, id.group_name()?);
        let segments: Vec<&str> = id.as_str().split('/').skip(6).collect();
        let [namespace, resource_type, name] = segments.as_slice() else { return None };
        let is = |text: &str, word: &str| text.eq_ignore_ascii_case(word);
        match () {
            () if !is(namespace, "Microsoft.KeyVault") => None,
            () if is(resource_type, "managedHSMs") => {
                Some(Self::ManagedHsm(HsmId { subscription, group, name: name.parse().ok()? }))
            }
            () if is(resource_type, "vaults") => {
                Some(Self::Vault(VaultId { subscription, group, name: name.parse().ok()? }))
            }
            () => None,
        }
    }

    /// Its scope; its text is the resource id.
    pub fn scope(&self) -> ResourceScope {
        match self {
            Self::ManagedHsm(id) => id.scope(),
            Self::Vault(id) => id.scope(),
        }
    }

    /// `groupIds`: the one group each of them has (limits.md, "Networking").
    pub fn group_id(&self) -> &'static str {
        match self {
            Self::ManagedHsm(_) => "managedhsm",
            Self::Vault(_) => "vault",
        }
    }

    /// The name as it was written.
    pub(super) fn name(&self) -> String {
        match self {
            Self::ManagedHsm(id) => id.name.to_string(),
            Self::Vault(id) => id.name.to_string(),
        }
    }

    /// The first of these for a managed HSM, the second for a vault.
    pub(super) fn action(&self, [of_hsm, of_vault]: [Action; 2]) -> Action {
        match self {
            Self::ManagedHsm(_) => of_hsm,
            Self::Vault(_) => of_vault,
        }
    }
}

impl Linked {
    pub(super) fn connections(&self) -> &[PrivateEndpointConnection] {
        match self {
            Self::ManagedHsm(stored) => &stored.value.private_endpoint_connections,
            Self::Vault(stored) => &stored.value.private_endpoint_connections,
        }
    }

    /// Adds to a commit that it has these connections and no others.
    pub(super) fn stage(
        &self,
        barrier: &Barrier,
        transaction: &mut Transaction<'_>,
        private_endpoint_connections: Vec<PrivateEndpointConnection>,
        updated: Timestamp,
    ) -> Result<()> {
        match self {
            Self::ManagedHsm(stored) => {
                let changed = ManagedHsm { private_endpoint_connections, updated, ..stored.value.clone() };
                transaction.replace(barrier.deployment(), stored, &changed)?;
            }
            Self::Vault(stored) => {
                let changed = Vault { private_endpoint_connections, updated, ..stored.value.clone() };
                transaction.replace(barrier.deployment(), stored, &changed)?;
            }
        }
        Ok(())
    }
}

impl Pools {
    /// The record of what a private endpoint leads to.
    ///
    /// # Errors
    /// [`Error::ResourceNotFound`] if there is none, it is deleted, or is still being made.
    pub(super) async fn linked(&self, target: &LinkTarget) -> Result<Linked> {
        match target {
            LinkTarget::ManagedHsm(id) => {
                let found = self.core.managed_hsm(&id.name).await?;
                let live = |hsm: &ManagedHsm| {
                    id.is(hsm) && hsm.deletion.is_none() && hsm.provisioning == Provisioning::Succeeded
                };
                let stored = found.filter(|stored| live(&stored.value)).ok_or_else(|| id.not_found())?;
                Ok(Linked::ManagedHsm(stored))
            }
            LinkTarget::Vault(id) => Ok(Linked::Vault(self.live_vault(id).await?)),
        }
    }

    /// The same, or nothing if it is gone.
    pub(super) async fn linked_if_there(&self, target: &LinkTarget) -> Result<Option<Linked>> {
        match self.linked(target).await {
            Ok(linked) => Ok(Some(linked)),
            Err(Error::ResourceNotFound { .. } | Error::ResourceGroupNotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
