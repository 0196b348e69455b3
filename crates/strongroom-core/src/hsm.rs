//! A managed HSM as one request sees it, and the permits it gives.
//!
//! Every data-plane operation begins with [`Hsm::authorize`]: tenant, state, rights, in that order, before anything is
//! looked up. It answers with a [`Permit`], and only a permit begins a write: the write then carries the precondition
//! that the guard is as it was when it was authorized.

use std::sync::Arc;

use strongroom_crypto::seal::Sealer;
use strongroom_types::{DataAction, DataActionSet, HsmName, InstanceId, Scope};

use crate::barrier::{Barrier, Stored, Transaction};
use crate::guard::{Guard, HsmState};
use crate::layout::Generation;
use crate::limits::Limits;
use crate::managed_hsm::{ManagedHsm, Provisioning};
use crate::rbac::Rights;
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Core, Error, Result};

/// A managed HSM that exists and is not deleted.
#[derive(Debug)]
pub struct Hsm<'a> {
    core: &'a Core,
    record: Stored<ManagedHsm>,
}

/// Leave to do one thing on one HSM, as its state and rights were when it was asked for.
#[derive(Debug)]
pub struct Permit<'a> {
    core: &'a Core,
    guard: Stored<Guard>,
    sealer: Arc<Sealer>,
    rights: Arc<Rights>,
    generation: Generation,
}

impl Core {
    /// The HSM a host name means.
    ///
    /// # Errors
    /// [`Error::HsmNotFound`] if there is none, it is still being made, or it is deleted.
    pub async fn hsm(&self, name: &HsmName) -> Result<Hsm<'_>> {
        let record = self.managed_hsm(name).await?.ok_or(Error::HsmNotFound)?;
        if record.value.deletion.is_some() || record.value.provisioning != Provisioning::Succeeded {
            return Err(Error::HsmNotFound);
        }
        Ok(Hsm { core: self, record })
    }
}

impl<'a> Hsm<'a> {
    /// The record both planes share.
    pub fn record(&self) -> &ManagedHsm {
        &self.record.value
    }

    /// The record with its revision, for writes that depend on it.
    pub(crate) fn stored(&self) -> &Stored<ManagedHsm> {
        &self.record
    }

    /// How much there may be of what clients make.
    pub fn limits(&self) -> &'a Limits {
        self.core.limits()
    }

    pub(crate) fn core(&self) -> &'a Core {
        self.core
    }

    pub(crate) fn instance(&self) -> InstanceId {
        self.record.value.instance
    }

    /// Asks for leave to do something on an active HSM.
    ///
    /// # Errors
    /// [`Error::ForeignTenant`], [`Error::HsmNotFound`], [`Error::NotActivated`] or [`Error::Forbidden`].
    pub async fn authorize(&self, request: &Request, action: DataAction, scope: &Scope) -> Result<Permit<'a>> {
        // Rights that change while they are read are read again.
        retry_on_conflict!(self.try_authorize(request, action, scope))
    }

    async fn try_authorize(&self, request: &Request, action: DataAction, scope: &Scope) -> Result<Permit<'a>> {
        self.check_tenant(request)?;
        let guard = self.living_guard().await?;
        if guard.value.state != HsmState::Active {
            return Err(Error::NotActivated);
        }
        let permit = self.permit(guard).await?;
        if !permit.rights.allows(&request.caller, action, scope) {
            return Err(Error::Forbidden { action, scope: scope.clone() });
        }
        Ok(permit)
    }

    /// Leave for the server's own jobs, which no role governs.
    pub(crate) async fn permit_for_job(&self) -> Result<Permit<'a>> {
        let guard = self.living_guard().await?;
        if guard.value.state != HsmState::Active {
            return Err(Error::NotActivated);
        }
        self.permit(guard).await
    }

    /// Another tenant's token is as good as none.
    pub(crate) fn check_tenant(&self, request: &Request) -> Result<()> {
        if request.caller.tenant == self.record.value.tenant { Ok(()) } else { Err(Error::ForeignTenant) }
    }

    /// The guard of an HSM that was not deleted since its record was read.
    pub(crate) async fn living_guard(&self) -> Result<Stored<Guard>> {
        let guard = self.core.guard(self.instance()).await?;
        if guard.value.deleted { Err(Error::HsmNotFound) } else { Ok(guard) }
    }

    async fn permit(&self, guard: Stored<Guard>) -> Result<Permit<'a>> {
        let generation = guard.value.generation(self.instance());
        let sealer = self.core.hsm_sealer(self.instance(), &guard.value).await?;
        let rights = self.core.rights(generation, &guard.value, &sealer).await?;
        Ok(Permit { core: self.core, guard, sealer, rights, generation })
    }
}

impl<'a> Permit<'a> {
    /// Begins a write that happens only if state and rights are still as they were.
    pub fn transaction(&self) -> Transaction<'a> {
        let mut transaction = self.barrier().transaction();
        transaction.expect(&self.guard);
        transaction
    }

    /// Where the HSM's data lies.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Seals the HSM's records.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// What everybody may do.
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

    pub(crate) fn guard(&self) -> &Stored<Guard> {
        &self.guard
    }
}
