//! From files to an opened deployment: root, store, witness, audit log, core.

use std::sync::Arc;

use strongroom_core::deployment::{Deployment, check_not_rolled_back};
use strongroom_core::ports::Clock;
use strongroom_core::request::Request;
use strongroom_core::witness::Witness;
use strongroom_core::{Core, Foundations};
use strongroom_crypto::{CryptoError, Entropy, SystemEntropy};
use strongroom_store::Kv;
use uuid::Uuid;

use crate::audit_log::checkpoint::PublicJwk;
use crate::audit_log::{self, AuditLog, OutboxOf, Starting, Strangers, open_or_create_key};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::crypto_pool::ThreadPool;
use crate::data_dir::{DataDir, DataDirError};
use crate::serve::error::StartError;
use crate::serve::{blobs, node};
use crate::tls::trust::TrustedRoots;
use crate::witness_file::WitnessFile;

/// An opened deployment, and what must be closed at the end.
pub(super) struct Opened {
    pub(super) core: Arc<Core>,
    pub(super) store: Arc<dyn Kv>,
    pub(super) audit: Arc<AuditLog>,
    pub(super) strangers: Arc<Strangers>,
    pub(super) pool: Arc<ThreadPool>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) root_provider: &'static str,
    /// What checkpoints of the audit log are verified with.
    pub(super) audit_key: PublicJwk,
}

impl Opened {
    /// Opens the deployment of a data folder and a store, or founds it; takes over events of these nodes from the outbox.
    pub(super) async fn open(
        folder: &DataDir,
        settings: &Settings,
        roots: &TrustedRoots,
        store: Arc<dyn Kv>,
        whose: OutboxOf,
    ) -> Result<Self, StartError> {
        let (entropy, clock): (Arc<dyn Entropy>, Arc<dyn Clock>) = (Arc::new(SystemEntropy), Arc::new(SystemClock));
        let (root, expectation) = node::open_root(folder, settings, store.as_ref(), entropy.as_ref()).await?;
        let root_provider = root.name();
        let deployment = Deployment::open(store.as_ref(), root.as_ref(), entropy.as_ref(), expectation).await?;
        let audit_folder = folder.join(audit_log::FOLDER);
        let of_audit = |source| StartError::AuditLog { folder: audit_folder.clone(), source };
        let audit = AuditLog::open(&audit_folder, Arc::clone(&store), settings.audit).map_err(of_audit)?;
        let witness = Arc::new(open_witness(folder, settings, store.as_ref(), &audit).await?);
        node::remember(folder, deployment.id)?;
        let (audit, strangers) = (Arc::new(audit), Strangers::open(&audit_folder).map_err(of_audit)?);
        let pool = Arc::new(ThreadPool::start().map_err(StartError::Thread)?);
        let foundations = Foundations {
            store: Arc::clone(&store),
            entropy: Arc::clone(&entropy),
            clock: Arc::clone(&clock),
            audit: Arc::clone(&audit) as Arc<dyn strongroom_core::ports::AuditSink>,
            witness: Arc::clone(&witness),
            node: node::node_id(folder, entropy.as_ref())?,
            root,
            pool: Arc::clone(&pool) as Arc<dyn strongroom_core::ports::CryptoPool>,
        };
        let places = blobs::places(folder, settings, roots, Arc::clone(&clock), Arc::clone(&entropy))?;
        let core = Core::new(deployment, foundations).with_limits(settings.limits).with_blob_stores(Arc::new(places));
        let core = core.with_throttle(settings.throttle).with_backup_rules(settings.storage.rules);
        let core = Arc::new(core.with_download_policy(settings.download_policy));
        let recovered = audit.recover(&core, whose).await;
        recovered.map_err(|source| StartError::AuditRecovery { folder: audit_folder.clone(), source })?;
        let request = internal(random_id(entropy.as_ref())?, clock.as_ref(), "AuditKeyCreate");
        let key = open_or_create_key(&core, &request).await?;
        let audit_key = key.public().clone();
        publish(folder, &audit_key)?;
        let new_log = random_id(entropy.as_ref())?;
        let starting = Starting { key, witness, clock: Arc::clone(&clock), new_log };
        audit.start(starting).map_err(|source| StartError::AuditLog { folder: audit_folder, source })?;
        let strangers = Arc::new(strangers);
        Ok(Self { core, store, audit, strangers, pool, entropy, clock, root_provider, audit_key })
    }

    /// Work of the server itself; every commit needs a request of its own.
    pub(super) fn request(&self, operation: &'static str) -> Result<Request, CryptoError> {
        Ok(internal(random_id(self.entropy.as_ref())?, self.clock.as_ref(), operation))
    }
}

fn random_id(entropy: &dyn Entropy) -> Result<Uuid, CryptoError> {
    Ok(uuid::Builder::from_random_bytes(entropy.sixteen()?).into_uuid())
}

/// Leaves the key of audit checkpoints where its users find it.
fn publish(folder: &DataDir, key: &PublicJwk) -> Result<(), StartError> {
    let path = folder.join(AUDIT_KEY);
    let text = serde_json::to_vec(key).map_err(|error| DataDirError::Io { path, source: error.into() })?;
    Ok(folder.write(AUDIT_KEY, &text)?)
}

fn internal(id: Uuid, clock: &dyn Clock, operation: &'static str) -> Request {
    Request::internal(id, clock.now(), operation, String::new())
}

/// Compares the store with what this node has seen, unless the operator accepts that it is older.
async fn open_witness(
    folder: &DataDir,
    settings: &Settings,
    store: &dyn Kv,
    audit: &AuditLog,
) -> Result<Witness, StartError> {
    if settings.accept_rollback {
        return Ok(Witness::new(Default::default(), Box::new(WitnessFile::reset(folder)?)));
    }
    let (mut seen, file) = WitnessFile::open(folder)?;
    // A witness that was put back, or lost, does not hide what the audit log still knows.
    for (key, change) in audit.seen() {
        let highest = seen.entry(key).or_insert(change);
        *highest = change.max(*highest);
    }
    let witness = Witness::new(seen, Box::new(file));
    check_not_rolled_back(store, &witness).await?;
    Ok(witness)
}

/// The public key of its checkpoints, a JWK.
const AUDIT_KEY: &str = "audit-key.json";
