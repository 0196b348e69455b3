//! What the server does by itself: removes what purges left, purges what is due, in steps that may run twice.

use std::sync::Arc;

use strongroom_core::guard::Swept;
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
                // Not active, or deleted meanwhile: nothing to do.
                Ok(()) | Err(Error::NotActivated | Error::HsmNotFound) => {}
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
        Ok(())
    }
}
