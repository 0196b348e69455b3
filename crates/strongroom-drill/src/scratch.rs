//! A managed HSM in the memory of this process: no store on a disk, no name, no network, gone when the drill ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use strongroom_core::audit::Event;
use strongroom_core::backup::{BackupRules, OneContainer};
use strongroom_core::blobs::BlobContainer;
use strongroom_core::deployment::{Deployment, Expectation};
use strongroom_core::hsm::Hsm;
use strongroom_core::managed_hsm::{ManagedHsm, NetworkAcls, Provisioning, PublicNetworkAccess, Sku};
use strongroom_core::ports::{AuditSink, AuditUnavailable, Clock, CryptoPool, Job, Lane, Overloaded, do_at_once};
use strongroom_core::request::{Caller, CallerKind, Context, Request};
use strongroom_core::witness::{NoLog, Witness};
use strongroom_core::{Core, Error, Foundations, layout};
use strongroom_crypto::providers::RootProvider;
use strongroom_crypto::seal::Sealer;
use strongroom_crypto::{CryptoError, Entropy, Root, SystemEntropy};
use strongroom_security_domain::{Entries, restore_blob};
use strongroom_store::MemoryStore;
use strongroom_types::{DomainId, Epoch, HsmName, InstanceId, NodeId, PrincipalId, Secret, TenantId, Timestamp};
use uuid::Uuid;

use crate::DrillError;

/// The scratch HSM, and the one principal it knows.
pub(crate) struct Scratch {
    core: Arc<Core>,
    name: HsmName,
    administrator: Caller,
}

impl Scratch {
    /// Makes a new HSM and recovers a security domain into it, by the protocol of a real recovery: the HSM draws a
    /// transfer key, the entries are encrypted to it and uploaded.
    pub(crate) async fn recover(container: Arc<dyn BlobContainer>, entries: &Entries) -> Result<Self, DrillError> {
        let scratch = Self::create(container).await?;
        let hsm = scratch.hsm().await?;
        let transfer: TransferKey = serde_json::from_str(&hsm.transfer_key(&scratch.request()?).await?)
            .map_err(|_| Error::Internal("a transfer key is no JWK"))?;
        let certificate = transfer.x5c.first().and_then(|text| STANDARD.decode(text).ok());
        let certificate = certificate.ok_or(Error::Internal("a transfer key has no certificate"))?;
        let upload = restore_blob(entries, &certificate, &SystemEntropy)?;
        hsm.upload_security_domain(&scratch.request()?, upload).await?;
        Ok(scratch)
    }

    async fn create(container: Arc<dyn BlobContainer>) -> Result<Self, DrillError> {
        let core = Arc::new(core().await?.with_blob_stores(Arc::new(OneContainer(container))));
        let administrator = Caller {
            tenant: TenantId::from_uuid(draw()?),
            principal: PrincipalId::from_uuid(draw()?),
            groups: Vec::new(),
            application: None,
            kind: CallerKind::Application,
            issuer: "drill".to_owned(),
            name: None,
        };
        let name: HsmName = NAME.parse().map_err(|_| Error::Internal("the scratch HSM has no valid name"))?;
        let scratch = Self { core, name, administrator };
        scratch.add_hsm().await?;
        Ok(scratch)
    }

    async fn add_hsm(&self) -> Result<(), DrillError> {
        let barrier = self.core.barrier();
        let now = barrier.clock().now();
        let hsm = ManagedHsm {
            name: self.name.clone(),
            subscription: Uuid::nil(),
            resource_group: NAME.to_owned(),
            location: NAME.to_owned(),
            sku: Sku { family: "B".to_owned(), name: "Standard_B1".to_owned() },
            tags: BTreeMap::new(),
            identity: None,
            tenant: self.administrator.tenant,
            initial_administrators: vec![self.administrator.principal],
            retention_days: 90,
            purge_protection: false,
            public_network_access: PublicNetworkAccess::Disabled,
            network_acls: NetworkAcls {
                bypass: "None".to_owned(),
                default_action: "Deny".to_owned(),
                ip_rules: Vec::new(),
            },
            private_endpoint_connections: Vec::new(),
            instance: InstanceId::from_random(SystemEntropy.sixteen().map_err(Error::from)?),
            provisioning: Provisioning::Succeeded,
            created: now,
            updated: now,
            deletion: None,
        };
        let mut transaction = barrier.transaction();
        transaction.create(barrier.deployment(), layout::managed_hsm(hsm.name.folded()), &hsm)?;
        self.core.stage_guard(&mut transaction, &hsm)?;
        transaction.commit(&self.request()?).await?;
        Ok(())
    }

    /// The core.
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// The HSM.
    pub(crate) async fn hsm(&self) -> Result<Hsm<'_>, DrillError> {
        Ok(self.core.hsm(&self.name).await?)
    }

    /// A request of its administrator, now.
    pub(crate) fn request(&self) -> Result<Request, DrillError> {
        let context = Context::internal("Drill", String::new());
        Ok(Request::new(draw()?, self.administrator.clone(), SystemClock.now(), context))
    }
}

/// A random id.
fn draw() -> Result<Uuid, DrillError> {
    let bytes = SystemEntropy.sixteen().map_err(Error::from)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// The member that counts of a transfer key (a JWK).
#[derive(Deserialize)]
struct TransferKey {
    x5c: Vec<String>,
}

/// A core over an empty store in memory, under a root that nobody keeps.
async fn core() -> Result<Core, DrillError> {
    let store = Arc::new(MemoryStore::new());
    let root = Arc::new(ScratchRoot::generate().map_err(Error::from)?);
    let deployment = Deployment::open(store.as_ref(), root.as_ref(), &SystemEntropy, Expectation::default()).await?;
    let foundations = Foundations {
        store,
        entropy: Arc::new(SystemEntropy),
        clock: Arc::new(SystemClock),
        audit: Arc::new(NoAudit),
        witness: Arc::new(Witness::new(HashMap::new(), Box::new(NoLog))),
        node: NodeId::from_random(SystemEntropy.sixteen().map_err(Error::from)?),
        root,
        pool: Arc::new(ThisThread),
    };
    // It is new, so there is nothing that a restore could destroy.
    let rules = BackupRules { fresh_target_backup_minutes: None, earliest_end_seconds: 0, ..BackupRules::default() };
    Ok(Core::new(deployment, foundations).with_backup_rules(rules))
}

/// The time of day.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the adapter to the system's clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The report is the record of a drill; nothing outside the process changes.
struct NoAudit;

#[async_trait]
impl AuditSink for NoAudit {
    fn submit(&self, _event: &Event<'_>) {}

    fn submit_committed(&self, _event: &Event<'_>, _outbox_key: String) {}

    async fn flush(&self) -> Result<(), AuditUnavailable> {
        Ok(())
    }

    fn accepts(&self) -> bool {
        true
    }
}

/// A drill does one thing after another.
struct ThisThread;

impl CryptoPool for ThisThread {
    fn submit(&self, _lane: Lane, job: Job) -> Result<(), Overloaded> {
        do_at_once(job);
        Ok(())
    }
}

/// A root that is never written anywhere.
struct ScratchRoot {
    sealer: Sealer,
    check_value: [u8; 16],
}

impl ScratchRoot {
    fn generate() -> Result<Self, CryptoError> {
        let root = Root::generate(&SystemEntropy)?;
        let sealer = Sealer::new(&root, DomainId::from_uuid(Uuid::nil()), Epoch::FIRST, Uuid::nil())?;
        Ok(Self { sealer, check_value: SystemEntropy.sixteen()? })
    }
}

impl RootProvider for ScratchRoot {
    fn name(&self) -> &'static str {
        "scratch"
    }

    fn wrap(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.sealer.seal(&SystemEntropy, purpose, 1, secret)
    }

    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError> {
        self.sealer.open(purpose, wrapped).map(|opened| opened.plaintext)
    }

    fn check_value(&self) -> [u8; 16] {
        self.check_value
    }
}

const NAME: &str = "drill";
