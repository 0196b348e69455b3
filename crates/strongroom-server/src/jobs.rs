//! What the server does by itself: rotates and purges what is due, removes what purges left, in steps that may run twice.

use std::sync::Arc;

use strongroom_core::backup::SweptGeneration;
use strongroom_core::barrier::Record;
use strongroom_core::container::KeyContainer;
use strongroom_core::guard::Swept;
use strongroom_core::keys::RotationRound;
use strongroom_core::managed_hsm::ManagedHsm;
use strongroom_core::ports::Clock;
use strongroom_core::request::Request;
use strongroom_core::vault::Vault;
use strongroom_core::{Core, Error, Result, layout};
use uuid::Uuid;

use crate::metrics::{ContainerState, JobKind, Metrics};

/// The jobs on the keys of all managed HSMs and vaults.
pub struct KeyJobs {
    core: Arc<Core>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl KeyJobs {
    /// Jobs over a core.
    pub fn new(core: Arc<Core>, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        Self { core, clock, metrics }
    }

    /// One round over all of them. One that fails is logged and tried again in the next round.
    pub async fn run(&self) {
        match self.all::<ManagedHsm>(layout::MANAGED_HSMS).await {
            Ok(hsms) => {
                let (mut active, mut not_activated, mut sealed, mut restoring) = (0, 0, 0, 0);
                for hsm in hsms {
                    let done = async { self.run_on(&*self.core.hsm(&hsm.name).await?).await }.await;
                    match &done {
                        Err(Error::NotActivated) => not_activated += 1,
                        Err(Error::Sealed) => sealed += 1,
                        Err(Error::Restoring) => restoring += 1,
                        Err(Error::HsmNotFound) => {}
                        Ok(()) | Err(_) => active += 1,
                    }
                    self.report(&hsm.resource_id(), done);
                }
                self.metrics.containers(ContainerState::Active, active);
                self.metrics.containers(ContainerState::NotActivated, not_activated);
                self.metrics.containers(ContainerState::Sealed, sealed);
                self.metrics.containers(ContainerState::Restoring, restoring);
            }
            Err(error) => tracing::warn!(%error, "the managed HSMs cannot be listed for their jobs"),
        }
        match self.all::<Vault>(layout::VAULTS).await {
            Ok(vaults) => {
                for vault in vaults {
                    let done = async { self.run_on(&self.core.vault(&vault.name).await?).await };
                    self.report(&vault.resource_id(), done.await);
                }
            }
            Err(error) => tracing::warn!(%error, "the vaults cannot be listed for their jobs"),
        }
    }

    async fn all<T: Record>(&self, prefix: &str) -> Result<Vec<T>> {
        let barrier = self.core.barrier();
        let all = barrier.all::<T>(barrier.deployment(), prefix).await?;
        Ok(all.into_iter().map(|stored| stored.value).collect())
    }

    async fn run_on(&self, container: &KeyContainer<'_>) -> Result<()> {
        let resource_id = &container.record().resource_id;
        let entropy = Arc::clone(self.core.barrier().entropy());
        // Without random bytes no id; the round ends with the first use of the generator in the core anyway.
        let request = |operation| {
            let id = entropy.sixteen().map_or(Uuid::nil(), |bytes| uuid::Builder::from_random_bytes(bytes).into_uuid());
            Request::internal(id, self.clock.now(), operation, Arc::clone(resource_id))
        };
        while container.sweep_generations(&request("GenerationSweep")).await? == SweptGeneration::Some {}
        let purged = container.purge_due_keys(&request, self.clock.now()).await?;
        if purged > 0 {
            self.metrics.did(JobKind::Purged, purged);
            tracing::info!(container = &**resource_id, purged, "keys were purged at the end of their retention");
        }
        while container.sweep_leftovers(&request).await? == Swept::Some {}
        let round = container.rotate_due_keys(&request, self.clock.now()).await?;
        self.metrics.did(JobKind::Rotated, round.rotated.len());
        self.metrics.did(JobKind::Failed, round.failed.len());
        report_rotation(resource_id, &round);
        Ok(())
    }

    fn report(&self, container: &str, result: Result<()>) {
        match result {
            // Not active, sealed, being restored, or deleted meanwhile: nothing to do.
            Ok(()) | Err(Error::NotActivated | Error::Sealed | Error::Restoring | Error::HsmNotFound) => {}
            Err(error) => {
                self.metrics.did(JobKind::Failed, 1);
                tracing::warn!(container, %error, "a job on keys failed; it will be tried again");
            }
        }
    }
}

fn report_rotation(container: &str, round: &RotationRound) {
    let RotationRound { rotated, postponed, failed } = round;
    if !rotated.is_empty() {
        tracing::info!(container, rotated = rotated.len(), "keys were rotated by their policy");
    }
    for key in postponed {
        tracing::warn!(container, %key, "a key is due for rotation but disabled, or has too many versions");
    }
    for (key, error) in failed {
        tracing::warn!(container, %key, %error, "a key that is due was not rotated; it will be tried again");
    }
}
