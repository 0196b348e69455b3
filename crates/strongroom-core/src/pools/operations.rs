//! Long-running operations: a record with a state, advanced by idempotent steps (architecture.md §3.5).
//!
//! A request only makes the record; [`Pools::advance`] does the work, one commit a step, on any node, after any crash.
//! Running operations lie apart from finished ones, so that looking for work costs nothing when there is none.

use serde::{Deserialize, Serialize};
use strongroom_types::{HsmName, InstanceId, Timestamp};
use uuid::Uuid;

use crate::barrier::{Record, Stored, Transaction};
use crate::guard::Swept;
use crate::managed_hsm::{ManagedHsm, Provisioning};
use crate::pools::groups::REMOVALS_MAX;
use crate::pools::{Action, Error, HsmId, HsmView, Location, Permit, Pools, ResourceScope, Result, layout};
use crate::request::Request;

/// An operation on a managed HSM that takes longer than a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Names it in the polling URL.
    pub id: Uuid,
    /// What it does.
    pub kind: OperationKind,
    /// How far it is.
    pub state: OperationState,
    /// The HSM.
    pub hsm: HsmId,
    /// Which life of the name.
    pub instance: InstanceId,
    /// Where the HSM is; part of the polling URL.
    pub location: Location,
    /// When it was asked for.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

impl Record for Operation {
    const FORMAT: u16 = 1;
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationKind {
    /// Makes an HSM.
    Create,
    /// Soft-deletes one: done by the commit that asks for it.
    Delete,
    /// Removes a soft-deleted one for good.
    Purge,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationState {
    /// There are steps left.
    Running,
    /// Done.
    Succeeded,
}

/// What a step left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There are steps left.
    Running,
    /// Nothing is left to do.
    Done,
}

impl Operation {
    pub(super) fn new(id: Uuid, kind: OperationKind, hsm: &ManagedHsm, now: Timestamp) -> Result<Self> {
        let location = hsm.location.parse().map_err(|_| crate::Error::Internal("a stored location is not valid"))?;
        let (state, finished) = match kind {
            OperationKind::Delete => (OperationState::Succeeded, Some(now)),
            OperationKind::Create | OperationKind::Purge => (OperationState::Running, None),
        };
        Ok(Self { id, kind, state, hsm: HsmId::of(hsm)?, instance: hsm.instance, location, started: now, finished })
    }

    fn store_key(&self) -> String {
        match self.state {
            OperationState::Running => layout::operation(self.id),
            OperationState::Succeeded => layout::operation_result(self.id),
        }
    }
}

impl Pools {
    /// The operations that are not finished: what [`Pools::advance`] is to be called for, until it answers
    /// [`Progress::Done`].
    pub async fn unfinished_operations(&self) -> Result<Vec<Uuid>> {
        let barrier = self.barrier();
        let all = barrier.all::<Operation>(barrier.deployment(), layout::OPERATIONS).await?;
        Ok(all.into_iter().map(|stored| stored.value.id).collect())
    }

    /// Does the next step of an operation. May be called by several at the same time, and again after a crash.
    ///
    /// # Errors
    /// What the store says; the operation stays and is tried again.
    pub async fn advance(&self, id: Uuid) -> Result<Progress> {
        let barrier = self.barrier();
        let Some(operation) = barrier.read::<Operation>(barrier.deployment(), &layout::operation(id)).await? else {
            return Ok(Progress::Done);
        };
        let step = match operation.value.kind {
            OperationKind::Create => self.finish_creation(&operation).await,
            OperationKind::Purge => self.advance_purge(&operation).await,
            OperationKind::Delete => Err(crate::Error::Internal("a deletion has no steps").into()),
        };
        match step {
            // Somebody else did it, or the HSM was changed meanwhile: look again.
            Err(Error::Core(crate::Error::Conflict)) => Ok(Progress::Running),
            step => step,
        }
    }

    async fn finish_creation(&self, operation: &Stored<Operation>) -> Result<Progress> {
        let Operation { hsm: id, instance, .. } = &operation.value;
        let stored = self.instance(&id.name, *instance).await?;
        let stored = stored.ok_or(crate::Error::Internal("an HSM vanished while it was being made"))?;
        let request = self.internal("ManagedHsmProvision", id.scope().as_str())?;
        let made =
            ManagedHsm { provisioning: Provisioning::Succeeded, updated: request.received, ..stored.value.clone() };
        let mut transaction = self.barrier().transaction();
        self.core.stage_guard(&mut transaction, &made)?;
        transaction.replace(self.barrier().deployment(), &stored, &made)?;
        self.stage_end(&mut transaction, operation, request.received)?;
        transaction.commit(&request).await?;
        Ok(Progress::Done)
    }

    async fn advance_purge(&self, operation: &Stored<Operation>) -> Result<Progress> {
        let Operation { hsm: id, instance, .. } = &operation.value;
        let request = self.internal("ManagedHsmPurgeStep", id.scope().as_str())?;
        if self.core.sweep_instance(&request, *instance).await? == Swept::Some {
            return Ok(Progress::Running);
        }
        let barrier = self.barrier();
        let mut transaction = barrier.transaction();
        // Whoever gets the name next must not inherit the roles that were assigned on it.
        let guarded = self.core.azure_rights().current(barrier).await?;
        let mut assignments = guarded.assignments_below(&id.scope());
        let rest = assignments.split_off(assignments.len().min(REMOVALS_MAX));
        guarded.bind_or_remove(barrier, &mut transaction, &assignments)?;
        if !rest.is_empty() {
            transaction.commit(&request).await?;
            return Ok(Progress::Running);
        }
        if let Some(stored) = self.instance(&id.name, *instance).await? {
            transaction.delete(&stored);
        }
        self.stage_end(&mut transaction, operation, request.received)?;
        transaction.commit(&request).await?;
        Ok(Progress::Done)
    }

    /// An operation, and the HSM it is about if that still lives.
    ///
    /// # Errors
    /// [`Error::OperationNotFound`]; also if the caller may see neither the HSM's operations nor the HSM.
    pub async fn operation(
        &self,
        permit: &Permit,
        subscription: Uuid,
        id: Uuid,
    ) -> Result<(Operation, Option<HsmView>)> {
        permit.demand_list(Action::HsmOperationRead, &ResourceScope::subscription(subscription))?;
        let operation = self.find_operation(id).await?.ok_or(Error::OperationNotFound(id))?;
        let scope = operation.hsm.scope();
        if operation.hsm.subscription != subscription || !permit.allows(Action::HsmOperationRead, &scope) {
            return Err(Error::OperationNotFound(id));
        }
        let hsm = match self.instance(&operation.hsm.name, operation.instance).await? {
            Some(stored) if stored.value.deletion.is_none() => Some(self.view(stored.value).await?),
            _ => None,
        };
        Ok((operation, hsm))
    }

    /// Removes the records of operations that ended long ago.
    pub async fn forget_old_operations(&self) -> Result<()> {
        let barrier = self.barrier();
        let oldest = barrier.clock().now().plus_seconds(-RESULT_KEPT_SECONDS);
        let all = barrier.all::<Operation>(barrier.deployment(), layout::OPERATION_RESULTS).await?;
        let old = |stored: &&Stored<Operation>| stored.value.finished.is_some_and(|finished| finished < oldest);
        let old: Vec<_> = all.iter().filter(old).take(REMOVALS_MAX).collect();
        if old.is_empty() {
            return Ok(());
        }
        let mut transaction = barrier.transaction();
        old.iter().for_each(|stored| transaction.discard(stored.key.clone()));
        transaction.commit(&self.internal("OperationResultsForget", "")?).await?;
        Ok(())
    }

    /// Begins the purge of every deleted HSM whose retention has ended.
    pub async fn begin_due_purges(&self) -> Result<()> {
        let barrier = self.barrier();
        let now = barrier.clock().now();
        for stored in barrier.all::<ManagedHsm>(barrier.deployment(), crate::layout::MANAGED_HSMS).await? {
            let due = stored.value.deletion.is_some_and(|deletion| deletion.scheduled_purge <= now);
            if !due || stored.value.provisioning == Provisioning::Purging {
                continue;
            }
            let request = self.internal("ManagedHsmScheduledPurge", &stored.value.resource_id())?;
            let mut transaction = barrier.transaction();
            self.stage_purge(&mut transaction, &request, &stored)?;
            match transaction.commit(&request).await {
                Ok(_) | Err(crate::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Adds the beginning of a purge to a commit: from then on the HSM cannot be recovered.
    pub(super) fn stage_purge(
        &self,
        transaction: &mut Transaction<'_>,
        request: &Request,
        stored: &Stored<ManagedHsm>,
    ) -> Result<Operation> {
        let purging = ManagedHsm { provisioning: Provisioning::Purging, ..stored.value.clone() };
        transaction.replace(self.barrier().deployment(), stored, &purging)?;
        self.stage_operation(transaction, OperationKind::Purge, &purging, request.received)
    }

    pub(super) fn stage_operation(
        &self,
        transaction: &mut Transaction<'_>,
        kind: OperationKind,
        hsm: &ManagedHsm,
        now: Timestamp,
    ) -> Result<Operation> {
        let operation = Operation::new(self.draw_uuid()?, kind, hsm, now)?;
        transaction.create(self.barrier().deployment(), operation.store_key(), &operation)?;
        Ok(operation)
    }

    fn stage_end(
        &self,
        transaction: &mut Transaction<'_>,
        operation: &Stored<Operation>,
        now: Timestamp,
    ) -> Result<()> {
        let ended = Operation { state: OperationState::Succeeded, finished: Some(now), ..operation.value.clone() };
        transaction.delete(operation);
        transaction.create(self.barrier().deployment(), ended.store_key(), &ended)?;
        Ok(())
    }

    async fn find_operation(&self, id: Uuid) -> Result<Option<Operation>> {
        let barrier = self.barrier();
        // In this order: a finished operation moves from the first place to the second.
        for key in [layout::operation(id), layout::operation_result(id)] {
            if let Some(stored) = barrier.read::<Operation>(barrier.deployment(), &key).await? {
                return Ok(Some(stored.value));
            }
        }
        Ok(None)
    }

    async fn instance(&self, name: &HsmName, instance: InstanceId) -> Result<Option<Stored<ManagedHsm>>> {
        Ok(self.core.managed_hsm(name).await?.filter(|stored| stored.value.instance == instance))
    }
}

/// How long the result of an operation can be asked for.
pub(super) const RESULT_KEPT_SECONDS: i64 = 24 * 60 * 60;
