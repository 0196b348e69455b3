//! The core itself: one opened deployment.

use std::sync::Arc;

use quick_cache::sync::Cache;
use strongroom_crypto::providers::RootProvider;
use strongroom_crypto::seal::Sealer;
use strongroom_crypto::{Entropy, KeyMaterial};
use strongroom_store::Kv;
use strongroom_types::{DomainId, Epoch, InstanceId, KeyId, KeyVersion, NodeId, RsaSize};
use tokio::sync::oneshot;

use crate::backup::BackupRules;
use crate::barrier::Barrier;
use crate::blobs::BlobStores;
use crate::deployment::Deployment;
use crate::domain::OpenDomains;
use crate::download_policy::DownloadPolicy;
use crate::keys::{FailureBudget, RsaStock};
use crate::layout::Generation;
use crate::limits::Limits;
use crate::pools::CompiledRights;
use crate::ports::{AuditSink, Clock, CryptoPool, HandOver, Lane};
use crate::rbac::Rights;
use crate::request::Caller;
use crate::throttle::{Rates, Throttle};
use crate::transfer_keys::ExchangeKeys;
use crate::vault::{AccessControl, VaultRights};
use crate::witness::Witness;
use crate::{Error, Result};

/// One opened deployment: what all planes work on.
pub struct Core {
    barrier: Barrier,
    deployment: Deployment,
    root: Arc<dyn RootProvider>,
    pool: Arc<dyn CryptoPool>,
    rsa_stock: Arc<RsaStock>,
    caches: Caches,
    azure_rights: CompiledRights,
    decryption_failures: FailureBudget,
    throttle: Throttle,
    limits: Limits,
    download_policy: DownloadPolicy,
    open_domains: OpenDomains,
    exchange_keys: ExchangeKeys,
    blob_stores: Option<Arc<dyn BlobStores>>,
    backup_rules: BackupRules,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("deployment", &self.deployment).finish_non_exhaustive()
    }
}

/// What a core stands on.
pub struct Foundations {
    /// Where records lie.
    pub store: Arc<dyn Kv>,
    /// Where random bytes come from.
    pub entropy: Arc<dyn Entropy>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where audit events go.
    pub audit: Arc<dyn AuditSink>,
    /// What this node has seen.
    pub witness: Arc<Witness>,
    /// Which node this is.
    pub node: NodeId,
    /// What wraps the roots of HSMs.
    pub root: Arc<dyn RootProvider>,
    /// Where slow cryptography runs.
    pub pool: Arc<dyn CryptoPool>,
}

/// What is kept in memory because making it is slow. Each key names one unchangeable value, so nothing goes stale.
pub(crate) struct Caches {
    /// Compiled rights by generation and rights version.
    pub(crate) rights: Cache<(Generation, u64), Arc<Rights>>,
    /// Rights of vaults by the version of their guard.
    pub(crate) access: Cache<(InstanceId, u64), Arc<AccessControl>>,
    /// Compiled rights of vaults by the version of their guard and of the management guard, where that counts.
    pub(crate) vault_rights: Cache<(InstanceId, u64, Option<u64>), Arc<VaultRights>>,
    /// Record keys by instance, domain, and the oldest and the newest epoch that are opened.
    pub(crate) sealers: Cache<(InstanceId, DomainId, Epoch, Epoch), Arc<Sealer>>,
    /// Parsed key material; a version's material never changes within a generation. Dropped when its key is disabled, deleted
    /// or purged.
    pub(crate) materials: Cache<(Generation, KeyId, KeyVersion), Arc<KeyMaterial>>,
}

impl Core {
    /// A core over an opened deployment, with the default limits.
    pub fn new(deployment: Deployment, foundations: Foundations) -> Self {
        let Foundations { store, entropy, clock, audit, witness, node, root, pool } = foundations;
        let barrier = Barrier::new(store, entropy, clock, audit, witness, node, Arc::clone(deployment.sealer()))
            .with_change_base(deployment.change_base());
        let rsa_stock = Arc::new(RsaStock::new(Arc::clone(barrier.entropy())));
        let caches = Caches {
            rights: Cache::new(CACHED_RIGHTS_MAX),
            access: Cache::new(CACHED_RIGHTS_MAX),
            vault_rights: Cache::new(CACHED_RIGHTS_MAX),
            sealers: Cache::new(CACHED_SEALERS_MAX),
            materials: Cache::new(CACHED_MATERIALS_MAX),
        };
        let limits = Limits::default();
        let decryption_failures = FailureBudget::new(limits.failed_decryptions_per_minute);
        Self {
            barrier,
            deployment,
            root,
            pool,
            rsa_stock,
            caches,
            azure_rights: CompiledRights::default(),
            decryption_failures,
            throttle: Throttle::default(),
            limits,
            download_policy: DownloadPolicy::default(),
            open_domains: OpenDomains::default(),
            exchange_keys: ExchangeKeys::default(),
            blob_stores: None,
            backup_rules: BackupRules::default(),
        }
    }

    /// The same with limits of the operator's choice.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { decryption_failures: FailureBudget::new(limits.failed_decryptions_per_minute), limits, ..self }
    }

    /// The same with token buckets of the operator's choice.
    #[must_use]
    pub fn with_throttle(self, rates: Rates) -> Self {
        Self { throttle: Throttle::new(rates, self.barrier.clock()), ..self }
    }

    /// The same with what stores blobs.
    #[must_use]
    pub fn with_blob_stores(self, stores: Arc<dyn BlobStores>) -> Self {
        Self { blob_stores: Some(stores), ..self }
    }

    /// The same with rules of the operator's choice.
    #[must_use]
    pub fn with_backup_rules(self, backup_rules: BackupRules) -> Self {
        Self { backup_rules, ..self }
    }

    /// The same with a policy of the operator's choice on the security domains of active HSMs.
    #[must_use]
    pub fn with_download_policy(self, download_policy: DownloadPolicy) -> Self {
        Self { download_policy, ..self }
    }

    /// Who may have the security domain of an active HSM.
    pub fn download_policy(&self) -> DownloadPolicy {
        self.download_policy
    }

    /// How much there may be of what clients make.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The one way to the store.
    pub fn barrier(&self) -> &Barrier {
        &self.barrier
    }

    /// The deployment.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// What wraps the roots of HSMs.
    pub fn root_provider(&self) -> &dyn RootProvider {
        self.root.as_ref()
    }

    pub(crate) fn caches(&self) -> &Caches {
        &self.caches
    }

    pub(crate) fn open_domains(&self) -> &OpenDomains {
        &self.open_domains
    }

    /// What stores blobs, if this deployment has it.
    pub fn blob_stores(&self) -> Option<&dyn BlobStores> {
        self.blob_stores.as_deref()
    }

    pub(crate) fn backup_rules(&self) -> BackupRules {
        self.backup_rules
    }

    pub(crate) fn exchange_keys(&self) -> &ExchangeKeys {
        &self.exchange_keys
    }

    /// Who may do what on the management plane and in vaults.
    pub(crate) fn azure_rights(&self) -> &CompiledRights {
        &self.azure_rights
    }

    /// Counts a request to a managed HSM or vault against its caller, whatever becomes of it.
    ///
    /// # Errors
    /// [`Error::RateExceeded`] if the caller asks more often than the operator allows.
    pub fn admit(&self, caller: &Caller) -> Result<()> {
        self.throttle.admit(caller)
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    pub(crate) fn decryption_failures(&self) -> &FailureBudget {
        &self.decryption_failures
    }

    /// An RSA key that nobody has had: one that is ready, or one that is made on the slow lane.
    ///
    /// # Errors
    /// [`Error::Throttled`] if too many are being made.
    pub(crate) async fn rsa_key(&self, size: RsaSize) -> Result<KeyMaterial> {
        if let Some(ready) = self.rsa_stock.take(size, self.pool.as_ref()) {
            return Ok(ready);
        }
        let stock = Arc::clone(&self.rsa_stock);
        Ok(self.run(Lane::Slow, move || stock.make(size)).await??)
    }

    /// Whether cryptography of a few milliseconds would be refused now.
    pub fn is_full(&self) -> bool {
        self.pool.is_full(Lane::Fast)
    }

    /// Runs slow work on the pool, away from the threads that serve connections.
    ///
    /// # Errors
    /// [`Error::Throttled`] if the lane's queue is full.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let job = move || {
            // Nobody waits for the result of a request whose client has gone.
            if sender.is_closed() {
                return None;
            }
            let result = work();
            let hand_over: HandOver = Box::new(move || drop(sender.send(result)));
            Some(hand_over)
        };
        self.pool.submit(lane, Box::new(job)).map_err(|_| Error::Throttled)?;
        receiver.await.map_err(|_| Error::Internal("the crypto pool dropped a job"))
    }
}

const CACHED_RIGHTS_MAX: usize = 256;
const CACHED_SEALERS_MAX: usize = 256;
const CACHED_MATERIALS_MAX: usize = 10_000;
