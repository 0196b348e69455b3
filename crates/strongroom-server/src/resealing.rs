//! The job behind a rotation of a security domain: it seals the records of every managed HSM again that an earlier epoch has
//! sealed, step by step ([`strongroom_core::epochs`]).
//!
//! It keeps nothing that a restart could lose: where it is, is only how far it has looked. It ends a round early when the
//! process stops, and an HSM that fails is tried again in the next round.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_core::barrier::Stored;
use strongroom_core::epochs::{ResealRound, ResealStep};
use strongroom_core::managed_hsm::ManagedHsm;
use strongroom_core::request::Request;
use strongroom_core::{Core, Error, Result, layout};
use strongroom_types::InstanceId;
use uuid::Uuid;

/// The resealing of all managed HSMs.
pub struct Resealing {
    core: Arc<Core>,
    rounds: Mutex<HashMap<InstanceId, ResealRound>>,
}

impl Resealing {
    /// Over a core.
    pub fn new(core: Arc<Core>) -> Self {
        Self { core, rounds: Mutex::default() }
    }

    /// Goes on with all of them until nothing is left, or the process stops.
    pub async fn run(&self, is_stopping: &(dyn Fn() -> bool + Sync)) {
        let barrier = self.core.barrier();
        let hsms = match barrier.all::<ManagedHsm>(barrier.deployment(), layout::MANAGED_HSMS).await {
            Ok(hsms) => hsms,
            Err(error) => return tracing::warn!(%error, "the managed HSMs cannot be listed for their rotations"),
        };
        self.rounds().retain(|instance, _| hsms.iter().any(|hsm| hsm.value.instance == *instance));
        for hsm in hsms {
            match self.run_on(&hsm, is_stopping).await {
                // Not active, sealed, being restored, or deleted meanwhile: it goes on when that is over.
                Ok(()) | Err(Error::NotActivated | Error::Sealed | Error::Restoring | Error::HsmNotFound) => {}
                Err(error) => {
                    let hsm = hsm.value.resource_id();
                    tracing::warn!(hsm, %error, "records could not be sealed again; it will be tried again");
                }
            }
        }
    }

    async fn run_on(&self, record: &Stored<ManagedHsm>, is_stopping: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        let hsm = self.core.hsm_of(record.clone())?;
        let (instance, resource_id) = (record.value.instance, record.value.resource_id());
        let (entropy, clock) = (self.core.barrier().entropy(), self.core.barrier().clock());
        let request = |operation| {
            // Without random bytes no id; the step ends with the first use of the generator anyway.
            let id = entropy.sixteen().map_or(Uuid::nil(), |bytes| uuid::Builder::from_random_bytes(bytes).into_uuid());
            Request::internal(id, clock.now(), operation, resource_id.clone())
        };
        let mut round = self.rounds().get(&instance).cloned().unwrap_or_default();
        let mut conflicts_left = CONFLICTS_MAX;
        while !is_stopping() {
            match hsm.reseal(&request, &mut round).await {
                Ok(ResealStep::Idle) => break,
                Ok(ResealStep::Went) => conflicts_left = CONFLICTS_MAX,
                Ok(ResealStep::Ended(epoch)) => {
                    let epoch = epoch.number();
                    tracing::info!(hsm = resource_id, epoch, "every record is sealed under the new epoch");
                }
                // Requests come first; they change what a step has read.
                Err(Error::Conflict) if conflicts_left > 0 => conflicts_left -= 1,
                Err(error) => return Err(error),
            }
            self.rounds().insert(instance, round.clone());
        }
        Ok(())
    }

    fn rounds(&self) -> MutexGuard<'_, HashMap<InstanceId, ResealRound>> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often in a row a step may be overtaken before the HSM is left for the next round.
const CONFLICTS_MAX: u32 = 100;
