//! What the server does by itself: rotates and purges what is due, removes what purges left, in steps that may run twice.

use std::sync::Arc;

use strongroom_core::guard::Swept;
use strongroom_core::keys::RotationRound;
use strongroom_core::managed_hsm::ManagedHsm;
use strongroom_core::ports::Clock;
use strongroom_core::request::Request;
use strongroom_core::{Core, Error, Result, layout};
use uuid::Uuid;

/// The jobs on the keys of all managed HSMs.
pub struct KeyJobs {
    core: Arc<Core>,
    clock: Arc<dyn Clock>,
}

impl KeyJobs {
    /// Jobs over a core.
    pub fn new(core: Arc<Core>, clock: Arc<dyn Clock>) -> Self {
        Self { core, clock }
    }

    /// One round over all HSMs. An HSM that fails is logged and tried again in the next round.
    pub async fn run(&self) {
        let hsms = match self.hsms().await {
            Ok(hsms) => hsms,
            Err(error) => return tracing::warn!(%error, "the managed HSMs cannot be listed for their jobs"),
        };
        for hsm in hsms {
            match self.run_on(&hsm).await {
                // Not active, sealed, or deleted meanwhile: nothing to do.
                Ok(()) | Err(Error::NotActivated | Error::Sealed | Error::HsmNotFound) => {}
                Err(error) => tracing::warn!(hsm = %hsm.name, %error, "a job on keys failed; it will be tried again"),
            }
        }
    }

    async fn hsms(&self) -> Result<Vec<ManagedHsm>> {
        let barrier = self.core.barrier();
        let all = barrier.all::<ManagedHsm>(barrier.deployment(), layout::MANAGED_HSMS).await?;
        Ok(all.into_iter().map(|stored| stored.value).collect())
    }

    async fn run_on(&self, record: &ManagedHsm) -> Result<()> {
        let hsm = self.core.hsm(&record.name).await?;
        let resource_id = record.resource_id();
        let entropy = Arc::clone(self.core.barrier().entropy());
        // Without random bytes no id; the round ends with the first use of the generator in the core anyway.
        let request = |operation| {
            let id = entropy.sixteen().map_or(Uuid::nil(), |bytes| uuid::Builder::from_random_bytes(bytes).into_uuid());
            Request::internal(id, self.clock.now(), operation, resource_id.clone())
        };
        let purged = hsm.purge_due_keys(&request, self.clock.now()).await?;
        if purged > 0 {
            tracing::info!(hsm = %record.name, purged, "keys were purged at the end of their retention");
        }
        while hsm.sweep_leftovers(&request).await? == Swept::Some {}
        let round = hsm.rotate_due_keys(&request, self.clock.now()).await?;
        report_rotation(record, &round);
        Ok(())
    }
}

fn report_rotation(hsm: &ManagedHsm, round: &RotationRound) {
    let RotationRound { rotated, postponed, failed } = round;
    if !rotated.is_empty() {
        tracing::info!(hsm = %hsm.name, rotated = rotated.len(), "keys were rotated by their policy");
    }
    for key in postponed {
        tracing::warn!(hsm = %hsm.name, %key, "a key is due for rotation but disabled, or has too many versions");
    }
    for (key, error) in failed {
        tracing::warn!(hsm = %hsm.name, %key, %error, "a key that is due was not rotated; it will be tried again");
    }
}
