//! The guard: one record of each HSM and each vault that every write into it depends on (protocols.md §4).
//!
//! It holds the state, the generation, the settings, and the version and digest of the rights. A change of any rewrites
//! it; every other write carries the precondition that it is as it was when the write was authorized. Writes of keys do
//! not rewrite it, so they do not contend.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strongroom_types::{DomainId, Epoch, InstanceId};

use crate::barrier::{KeptWhole, Record, Stored, Transaction};
use crate::layout::{self, Generation};
use crate::managed_hsm::ManagedHsm;
use crate::settings::Settings;
use crate::{Core, Error, Result};

/// What every write into an HSM depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// What the HSM answers at all.
    pub state: HsmState,
    /// Whether the HSM is soft-deleted; its state is kept for a recovery.
    pub deleted: bool,
    /// The security domain, once activated.
    pub domain: Option<DomainId>,
    /// Which root of the domain seals the HSM's records.
    pub epoch: Epoch,
    /// The oldest epoch that a record may still be sealed under; as [`Guard::epoch`], unless records are being sealed again
    /// after a rotation.
    #[serde(default = "first_epoch")]
    pub oldest_epoch: Epoch,
    /// The generation its data lies under.
    pub generation: u32,
    /// Rises with every change of role assignments or definitions.
    pub rights_version: u64,
    /// SHA-256 over the whole set of assignments and definitions, base64url; empty before activation.
    pub rights_digest: String,
    /// What is set.
    pub settings: Settings,
}

impl Record for Guard {
    const FORMAT: u16 = 1;
}

impl KeptWhole for Guard {}

/// The life of a managed HSM on the data plane (architecture.md §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HsmState {
    /// Only the security-domain calls answer.
    NotActivated,
    /// As before, and a recovery has begun: the HSM waits for the upload of another one's security domain.
    Recovering,
    /// In use.
    Active,
    /// In use until a full restore began, and again when it ends: meanwhile nothing else answers.
    Restoring,
}

impl Core {
    /// Adds the guard of a new HSM to the commit that finishes its creation.
    pub fn stage_guard(&self, transaction: &mut Transaction<'_>, hsm: &ManagedHsm) -> Result<()> {
        let guard = Guard {
            state: HsmState::NotActivated,
            deleted: false,
            domain: None,
            epoch: Epoch::FIRST,
            oldest_epoch: Epoch::FIRST,
            generation: 1,
            rights_version: 0,
            rights_digest: String::new(),
            settings: Settings::default(),
        };
        transaction.create(self.barrier().deployment(), layout::guard(hsm.instance), &guard)
    }

    /// Adds the switch to deleted, or back, to a commit: writes in flight on the data plane then conflict and are
    /// refused when they are authorized again.
    pub async fn stage_deletion(
        &self,
        transaction: &mut Transaction<'_>,
        instance: InstanceId,
        deletion: DeletionSwitch,
    ) -> Result<()> {
        let guard = self.guard(instance).await?;
        let changed = Guard { deleted: deletion == DeletionSwitch::Delete, ..guard.value.clone() };
        transaction.replace(self.barrier().deployment(), &guard, &changed)
    }

    /// The guard as it is now.
    ///
    /// # Errors
    /// [`Error::HsmNotFound`] if the instance is gone or not made yet.
    pub async fn guard(&self, instance: InstanceId) -> Result<Arc<Stored<Guard>>> {
        self.barrier().read_kept(self.barrier().deployment(), &layout::guard(instance)).await?.ok_or(Error::HsmNotFound)
    }

    /// Removes some of what is left of a purged instance, the guard first. Answers whether nothing is left.
    pub async fn sweep_instance(&self, request: &crate::request::Request, instance: InstanceId) -> Result<Swept> {
        self.open_domains().keep_only(instance, &None);
        let keys = self.barrier().keys(&layout::instance(instance), SWEEP_KEYS).await?;
        if keys.is_empty() {
            return Ok(Swept::Everything);
        }
        let mut transaction = self.barrier().transaction();
        keys.into_iter().for_each(|key| transaction.discard(key));
        transaction.commit(request).await?;
        Ok(Swept::Some)
    }
}

/// Which way a deletion goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionSwitch {
    /// Soft-delete.
    Delete,
    /// Take it back.
    Recover,
}

/// What a step of a sweep left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// Something was removed; there may be more.
    Some,
    /// Nothing is left.
    Everything,
}

impl Guard {
    /// Whether records may still be sealed under an earlier epoch.
    pub fn is_resealing(&self) -> bool {
        self.oldest_epoch != self.epoch
    }

    /// Where the data of the instance lies.
    pub fn generation(&self, instance: InstanceId) -> Generation {
        Generation { instance, number: self.generation }
    }
}

/// Guards that were written before there were rotations.
const fn first_epoch() -> Epoch {
    Epoch::FIRST
}

/// Keys removed in one commit; below the store's limit on operations.
const SWEEP_KEYS: usize = 60;
