//! A container of keys as one request sees it, and the permits it gives.
//!
//! Azure has two resources that hold keys: managed HSMs and vaults. They differ in who decides about rights and in what
//! seals their records; keys, their life and their use are the same. A [`KeyContainer`] is what they have in common.
//!
//! Every operation on keys begins with [`KeyContainer::authorize`]: tenant, state, rights, in that order, before anything
//! is looked up. It answers with a [`Permit`], and only a permit begins a write: the write then carries the precondition
//! that the guard is as it was when it was authorized.

use std::sync::Arc;

use strongroom_crypto::backup::BackupKey;
use strongroom_crypto::seal::Sealer;
use strongroom_store::Revision;
use strongroom_types::{DataAction, DataActionSet, Epoch, InstanceId, KeyName, KeyType, Protection, Scope, TenantId};

use crate::barrier::{Barrier, Stored, Transaction};
use crate::guard::{Guard, HsmState};
use crate::keys::ReleaseTerms;
use crate::layout::Generation;
use crate::limits::Limits;
use crate::managed_hsm::ManagedHsm;
use crate::network::NetworkRules;
use crate::pools::Guarded;
use crate::rbac::{Rights, stage_rights};
use crate::request::Request;
use crate::retry_on_conflict;
use crate::vault::{self, Vault, VaultPlace, VaultSku};
use crate::{Core, Error, Result};

/// A managed HSM or a vault that exists and is not deleted.
#[derive(Debug)]
pub struct KeyContainer<'a> {
    core: &'a Core,
    record: Arc<ContainerRecord>,
    kind: Kind,
}

/// Which of the two it is, with what only that one needs.
#[derive(Debug)]
enum Kind {
    ManagedHsm,
    Vault { place: Arc<VaultPlace>, sku: VaultSku },
}

/// What of a key an action is about. Local RBAC makes no difference; a vault has rights of their own for some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The key itself.
    Key,
    /// Its place in a list, or the list of its versions.
    List,
    /// Its rotation policy.
    RotationPolicy,
}

/// What the record of a managed HSM or a vault says about the keys in it.
#[derive(Debug, Clone)]
pub struct ContainerRecord {
    /// The name in the one form in which it is compared: the first label of the host.
    pub label: String,
    /// The ARM resource id.
    pub resource_id: Arc<str>,
    /// This life of the name.
    pub instance: InstanceId,
    /// The tenant whose tokens it accepts.
    pub tenant: TenantId,
    /// Days a deleted key is kept.
    pub retention_days: u32,
    /// Whether deleted keys are kept until then whatever is asked.
    pub purge_protection: bool,
    /// From where it may be reached.
    pub network: NetworkRules,
    store_key: String,
    revision: Revision,
}

/// Leave to do one thing in one container, as its state and rights were when it was asked for.
#[derive(Debug)]
pub struct Permit<'a> {
    core: &'a Core,
    guard: Arc<Stored<Guard>>,
    sealer: Arc<Sealer>,
    rights: Arc<Rights>,
    /// The management guard, where Azure RBAC decided.
    azure: Option<Guarded>,
    generation: Generation,
}

impl ContainerRecord {
    /// What a managed HSM says about its keys.
    pub(crate) fn of_hsm(stored: &Stored<ManagedHsm>) -> Self {
        let ManagedHsm { instance, tenant, retention_days, purge_protection, .. } = stored.value;
        Self {
            label: stored.value.name.folded().to_owned(),
            resource_id: stored.value.resource_id().into(),
            instance,
            tenant,
            retention_days,
            purge_protection,
            network: NetworkRules::of_hsm(&stored.value),
            store_key: stored.key.clone(),
            revision: stored.revision,
        }
    }

    /// What a vault says about its keys.
    pub(crate) fn of_vault(stored: &Stored<Vault>) -> Self {
        let Vault { instance, tenant, retention_days, purge_protection, .. } = stored.value;
        Self {
            label: stored.value.name.folded().to_owned(),
            resource_id: stored.value.resource_id().into(),
            instance,
            tenant,
            retention_days,
            purge_protection,
            network: NetworkRules::of_vault(&stored.value),
            store_key: stored.key.clone(),
            revision: stored.revision,
        }
    }
}

impl<'a> KeyContainer<'a> {
    pub(crate) fn of_hsm(core: &'a Core, record: Arc<ContainerRecord>) -> Self {
        Self { core, record, kind: Kind::ManagedHsm }
    }

    pub(crate) fn of_vault(
        core: &'a Core,
        record: Arc<ContainerRecord>,
        place: Arc<VaultPlace>,
        sku: VaultSku,
    ) -> Self {
        Self { core, record, kind: Kind::Vault { place, sku } }
    }

    /// What the resource says about the keys in it.
    pub fn record(&self) -> &ContainerRecord {
        &self.record
    }

    /// Makes a commit depend on the resource's record being as it was read.
    pub(crate) fn expect_record(&self, transaction: &mut Transaction<'_>) {
        transaction.expect_revision(&self.record.store_key, self.record.revision);
    }

    /// How much there may be of what clients make.
    pub fn limits(&self) -> &'a Limits {
        self.core.limits()
    }

    pub(crate) fn core(&self) -> &'a Core {
        self.core
    }

    pub(crate) fn instance(&self) -> InstanceId {
        self.record.instance
    }

    /// In which form a key is held here that a client asks for as `asked`: a managed HSM holds every key in hardware form, a
    /// vault as its SKU allows (data-plane.md §8, §9).
    ///
    /// # Errors
    /// [`Error::BadParameter`] if the container takes no such key.
    pub(crate) fn protection(&self, key_type: KeyType, asked: Protection) -> Result<Protection> {
        let refuse = |problem| Err(Error::bad_parameter("kty", problem));
        match (&self.kind, key_type, asked) {
            (Kind::ManagedHsm, ..) => Ok(Protection::Hsm),
            (Kind::Vault { .. }, KeyType::OctHsm, _) => refuse("a vault takes RSA and EC keys only"),
            (Kind::Vault { sku: VaultSku::Standard, .. }, _, Protection::Hsm) => {
                refuse("a Standard vault takes no -HSM types: use RSA or EC, or a Premium vault")
            }
            (Kind::Vault { .. }, ..) => Ok(asked),
        }
    }

    /// Checks whether keys here may be released.
    ///
    /// # Errors
    /// [`Error::BadParameter`] in a vault.
    pub(crate) fn check_release(&self, terms: &ReleaseTerms) -> Result<()> {
        let wanted = terms.exportable == Some(true) || terms.policy.is_some();
        match self.kind {
            Kind::Vault { .. } if wanted => {
                Err(Error::bad_parameter("release_policy", "keys are released by managed HSMs only in this release"))
            }
            Kind::Vault { .. } | Kind::ManagedHsm => Ok(()),
        }
    }

    /// Asks for leave to do something to a key, or to what a scope names.
    ///
    /// # Errors
    /// [`Error::ForeignTenant`], [`Error::HsmNotFound`], [`Error::NotActivated`]; [`Error::Forbidden`] in a managed HSM,
    /// [`Error::ForbiddenByRbac`] or [`Error::ForbiddenByPolicy`] in a vault.
    pub async fn authorize(&self, request: &Request, action: DataAction, scope: &Scope) -> Result<Permit<'a>> {
        self.authorize_part(request, action, Part::Key, scope).await
    }

    /// As [`KeyContainer::authorize`], for a part of keys that a vault has a right of its own for.
    ///
    /// # Errors
    /// As [`KeyContainer::authorize`].
    pub async fn authorize_part(
        &self,
        request: &Request,
        action: DataAction,
        part: Part,
        scope: &Scope,
    ) -> Result<Permit<'a>> {
        // Rights that change while they are read are read again.
        retry_on_conflict!(self.try_authorize(request, action, part, scope))
    }

    async fn try_authorize(
        &self,
        request: &Request,
        action: DataAction,
        part: Part,
        scope: &Scope,
    ) -> Result<Permit<'a>> {
        self.check_tenant(request)?;
        let guard = self.living_guard().await?;
        let permit = self.permit(guard).await?;
        match &self.kind {
            Kind::ManagedHsm if permit.rights.allows(&request.caller, action, scope) => Ok(permit),
            Kind::ManagedHsm => Err(Error::Forbidden { action, scope: scope.clone() }),
            Kind::Vault { place, .. } => {
                Box::pin(self.authorize_in_vault(permit, place, request, (action, part), scope)).await
            }
        }
    }

    /// Asks the vault's own model, Azure RBAC or access policies.
    async fn authorize_in_vault(
        &self,
        permit: Permit<'a>,
        place: &VaultPlace,
        request: &Request,
        (action, part): (DataAction, Part),
        scope: &Scope,
    ) -> Result<Permit<'a>> {
        // What only managed HSMs do is refused here as well, whatever a table says.
        let Some(permission) = vault::permission(action, part) else {
            return Err(Error::Forbidden { action, scope: scope.clone() });
        };
        let (rights, azure) = self.core.vault_rights(place, &permit.guard.value).await?;
        if rights.allows(&request.caller, permission, scope) {
            return Ok(Permit { azure, ..permit });
        }
        let principal = request.caller.principal;
        Err(match azure {
            None => Error::ForbiddenByPolicy { principal, permission, vault: place.scope.to_string() },
            Some(_) => {
                let resource = place.of(scope).to_string();
                Error::ForbiddenByRbac { principal, action: permission.data_action(), resource }
            }
        })
    }

    /// What wraps the backups of keys under one epoch of the root in use; `None` if there is no such epoch. Those of a
    /// managed HSM open under its security domain, those of a vault in the vaults of the same deployment.
    pub(crate) async fn backup_key(&self, guard: &Guard, epoch: Epoch) -> Result<Option<BackupKey>> {
        match &self.kind {
            Kind::ManagedHsm => self.core.backup_key(self.instance(), guard, epoch).await,
            Kind::Vault { .. } if epoch == guard.epoch => self.core.vault_backup_key(epoch).map(Some),
            Kind::Vault { .. } => Ok(None),
        }
    }

    /// Leave for the server's own jobs, which no role governs.
    pub(crate) async fn permit_for_job(&self) -> Result<Permit<'a>> {
        let guard = self.living_guard().await?;
        self.permit(guard).await
    }

    /// Adds the end of all rights on a key to the commit that destroys it: nobody's right must wait for the next key of
    /// that name.
    pub(crate) async fn stage_end_of_rights(
        &self,
        transaction: &mut Transaction<'_>,
        permit: &Permit<'_>,
        key: &KeyName,
    ) -> Result<()> {
        let scope = Scope::Key(key.clone());
        match &self.kind {
            Kind::ManagedHsm => permit.stage_removal_at(transaction, &scope),
            // Their number is limited where they are made, so that they fit one commit.
            Kind::Vault { place, .. } => {
                let barrier = permit.barrier();
                let guarded = match &permit.azure {
                    Some(guarded) => guarded.clone(),
                    None => self.core.azure_rights().current(barrier).await?,
                };
                let assignments = guarded.assignments_below(&place.of(&scope));
                guarded.bind_or_remove(barrier, transaction, &assignments)
            }
        }
    }

    /// Another tenant's token is as good as none.
    pub(crate) fn check_tenant(&self, request: &Request) -> Result<()> {
        if request.caller.tenant == self.record.tenant { Ok(()) } else { Err(Error::ForeignTenant) }
    }

    /// The guard of a container that was not deleted since its record was read.
    pub(crate) async fn living_guard(&self) -> Result<Arc<Stored<Guard>>> {
        let guard = self.core.guard(self.instance()).await?;
        if guard.value.deleted { Err(Error::HsmNotFound) } else { Ok(guard) }
    }

    /// Leave under a guard that was read: for whoever is authorized, and for the server's own jobs.
    pub(crate) async fn permit(&self, guard: Arc<Stored<Guard>>) -> Result<Permit<'a>> {
        match guard.value.state {
            HsmState::Active => self.permit_in(guard).await,
            HsmState::Restoring => Err(Error::Restoring),
            HsmState::NotActivated | HsmState::Recovering => Err(Error::NotActivated),
        }
    }

    /// Leave for what answers during a full restore as well: how far it is, and the restore itself.
    pub(crate) async fn permit_while_restoring(&self) -> Result<Permit<'a>> {
        let guard = self.living_guard().await?;
        match guard.value.state {
            HsmState::Restoring => self.permit_in(guard).await,
            HsmState::Active | HsmState::NotActivated | HsmState::Recovering => self.permit(guard).await,
        }
    }

    /// As [`KeyContainer::authorize`] at `/`, for what answers during a full restore as well.
    pub(crate) async fn authorize_while_restoring(&self, request: &Request, action: DataAction) -> Result<Permit<'a>> {
        self.check_tenant(request)?;
        let permit = retry_on_conflict!(self.permit_while_restoring())?;
        if permit.rights.allows(&request.caller, action, &Scope::Root) {
            return Ok(permit);
        }
        Err(Error::Forbidden { action, scope: Scope::Root })
    }

    async fn permit_in(&self, guard: Arc<Stored<Guard>>) -> Result<Permit<'a>> {
        let generation = guard.value.generation(self.instance());
        let (sealer, rights) = match &self.kind {
            Kind::ManagedHsm => {
                let sealer = self.core.hsm_sealer(self.instance(), &guard.value).await?;
                let rights = self.core.rights(generation, &guard.value, &sealer).await?;
                (sealer, rights)
            }
            Kind::Vault { .. } => (self.core.vault_sealer(self.instance(), &guard.value)?, Arc::default()),
        };
        Ok(Permit { core: self.core, guard, sealer, rights, azure: None, generation })
    }
}

impl<'a> Permit<'a> {
    /// Begins a write that happens only if state and rights are still as they were.
    pub fn transaction(&self) -> Transaction<'a> {
        let mut transaction = self.barrier().transaction();
        transaction.expect(&self.guard);
        if let Some(guarded) = &self.azure {
            guarded.bind(&mut transaction);
        }
        transaction
    }

    /// Where the data lies.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Seals the records.
    pub fn sealer(&self) -> &Arc<Sealer> {
        &self.sealer
    }

    /// What everybody may do by local RBAC; nothing in a vault.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Everything the caller may do at a scope.
    pub fn actions(&self, request: &Request, scope: &Scope) -> DataActionSet {
        self.rights.actions(&request.caller, scope)
    }

    pub(crate) fn barrier(&self) -> &'a Barrier {
        self.core.barrier()
    }

    pub(crate) fn guard(&self) -> &Arc<Stored<Guard>> {
        &self.guard
    }

    /// Adds the removal of all local role assignments made exactly at a scope.
    fn stage_removal_at(&self, transaction: &mut Transaction<'_>, scope: &Scope) -> Result<()> {
        let (own, left): (Vec<_>, Vec<_>) =
            self.rights.assignments().iter().partition(|stored| stored.value.scope == *scope);
        if own.is_empty() {
            return Ok(());
        }
        let left = left.into_iter().map(|stored| &stored.value);
        stage_rights(self, transaction, left, self.rights.custom_roles())?;
        own.into_iter().for_each(|assignment| transaction.delete(assignment));
        Ok(())
    }
}
