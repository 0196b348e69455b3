//! What a server does now and then by itself.

use std::sync::Arc;
use std::time::Duration;

use strongroom_core::Core;
use strongroom_core::identity::Directory;
use strongroom_core::ports::Clock;
use strongroom_core::request::Request;
use strongroom_crypto::Entropy;

use crate::arm::Arm;
use crate::backup_jobs::BackupJobs;
use crate::http::health::Health;
use crate::jobs::KeyJobs;
use crate::membership::Membership;
use crate::resealing::Resealing;
use crate::serve::adoption::{self, Adoption};
use crate::tasks::Tasks;
use crate::tls::certificates::Certificates;

/// Everything that has work of its own.
pub(super) struct Work {
    pub(super) arm: Arc<Arm>,
    pub(super) keys: Arc<KeyJobs>,
    pub(super) backups: Arc<BackupJobs>,
    pub(super) resealing: Arc<Resealing>,
    pub(super) core: Arc<Core>,
    pub(super) health: Arc<Health>,
    pub(super) directory: Arc<Directory>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) adoption: Adoption,
    pub(super) membership: Membership,
}

impl Work {
    /// Begins all of it. What is the deployment's is done only while this node serves.
    pub(super) fn begin(self, tasks: &Tasks) {
        let Self { arm, keys, backups, resealing, core, health, directory, certificates, entropy, clock, .. } = self;
        let (membership, adoption) = (self.membership, Arc::new(self.adoption));
        let serving = || {
            let membership = membership.clone();
            move || membership.is_serving()
        };
        backups.begin(tasks, membership.clone());
        tasks.every_while(OPERATIONS_PERIOD, serving(), move || {
            let arm = Arc::clone(&arm);
            async move { arm.run_pending().await }
        });
        tasks.every_while(adoption::PERIOD, serving(), move || {
            let adoption = Arc::clone(&adoption);
            async move { adoption.run().await }
        });
        tasks.every_while(KEYS_PERIOD, serving(), move || {
            let keys = Arc::clone(&keys);
            async move { keys.run().await }
        });
        let stop = tasks.clone();
        tasks.every_while(RESEALING_PERIOD, serving(), move || {
            let (resealing, stop) = (Arc::clone(&resealing), stop.clone());
            async move { resealing.run(&|| stop.is_stopping()).await }
        });
        // Under any other provider none is ever sealed.
        if !core.root_provider().wraps_hsm_roots() {
            let holding = Arc::clone(&core);
            tasks.every_while(STALE_PERIOD, serving(), move || {
                let core = Arc::clone(&holding);
                async move { drop_stale(&core).await }
            });
            tasks.every_while(SEALED_PERIOD, serving(), move || {
                let (core, health) = (Arc::clone(&core), Arc::clone(&health));
                async move { count_sealed(&core, &health).await }
            });
        }
        let (rotation_entropy, rotation_clock) = (Arc::clone(&entropy), Arc::clone(&clock));
        tasks.every_while(ROTATION_PERIOD, serving(), move || {
            let (directory, entropy, clock) =
                (Arc::clone(&directory), Arc::clone(&rotation_entropy), Arc::clone(&rotation_clock));
            async move { rotate_signing_key(&directory, entropy.as_ref(), clock.as_ref()).await }
        });
        tasks.every(CERTIFICATE_PERIOD, move || {
            let (certificates, entropy, clock) = (Arc::clone(&certificates), Arc::clone(&entropy), Arc::clone(&clock));
            async move { renew_certificate(&certificates, entropy.as_ref(), clock.as_ref()) }
        });
    }
}

async fn drop_stale(core: &Core) {
    if let Err(error) = core.drop_stale_domains().await {
        tracing::warn!(%error, "roots in memory that count no more could not be looked for");
    }
}

async fn count_sealed(core: &Core, health: &Health) {
    match core.sealed_hsms().await {
        Ok(sealed) => health.set_sealed(sealed),
        Err(error) => tracing::warn!(%error, "the sealed managed HSMs could not be counted"),
    }
}

async fn rotate_signing_key(directory: &Directory, entropy: &dyn Entropy, clock: &dyn Clock) {
    let Ok(id) = entropy.sixteen() else {
        return tracing::warn!("the random number generator failed; the token-signing key is looked at again later");
    };
    let id = uuid::Builder::from_random_bytes(id).into_uuid();
    let request = Request::internal(id, clock.now(), "SigningKeyRotate", String::new());
    match directory.rotate_signing_key_if_due(&request).await {
        Ok(None) => {}
        Ok(Some(kid)) => tracing::info!(kid, "a new token-signing key is published"),
        Err(error) => tracing::warn!(%error, "the token-signing key could not be rotated; it will be tried again"),
    }
}

fn renew_certificate(certificates: &Certificates, entropy: &dyn Entropy, clock: &dyn Clock) {
    match certificates.renew(entropy, clock.now()) {
        Ok(false) => {}
        Ok(true) => tracing::info!("connections are answered with a new certificate from now on"),
        Err(error) => tracing::warn!(%error, "the certificate could not be renewed; the current one stays"),
    }
}

/// How often steps of long-running operations are looked for; new ones begin at once.
const OPERATIONS_PERIOD: Duration = Duration::from_secs(1);
/// How often records are looked for that a rotation has left to be sealed again.
const RESEALING_PERIOD: Duration = Duration::from_secs(1);
/// How often sealed managed HSMs are counted.
const SEALED_PERIOD: Duration = Duration::from_secs(1);
/// How often roots in memory are looked for that another node has superseded, or has purged.
const STALE_PERIOD: Duration = Duration::from_secs(10);
/// How often purges of keys that are due, and what purges left, are looked for.
const KEYS_PERIOD: Duration = Duration::from_secs(60);
/// How often the age of the token-signing key is looked at.
const ROTATION_PERIOD: Duration = Duration::from_secs(3600);
/// How often the certificate's age and the operator's files are looked at.
const CERTIFICATE_PERIOD: Duration = Duration::from_secs(60);
