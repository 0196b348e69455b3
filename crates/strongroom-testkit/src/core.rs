//! A core over a store in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use strongroom_core::backup::BackupRules;
use strongroom_core::deployment::{Deployment, Expectation};
use strongroom_core::download_policy::DownloadPolicy;
use strongroom_core::request::{Caller, CallerKind, Context, Request};
use strongroom_core::throttle::Rates;
use strongroom_core::witness::{NoLog, Witness};
use strongroom_core::{Core, Foundations, Limits, Result};
use strongroom_crypto::{Entropy, SystemEntropy};
use strongroom_store::{Kv, MemoryStore};
use strongroom_types::{NodeId, PrincipalId, TenantId, Timestamp};
use uuid::Uuid;

use crate::{FakeClock, InlinePool, MemoryAudit, MemoryBlobs, MemoryRoot};

/// A core, and the test's hold on what is around it.
pub struct TestCore {
    /// The core.
    pub core: Arc<Core>,
    /// Its clock; it begins at [`START`].
    pub clock: Arc<FakeClock>,
    /// Its audit log.
    pub audit: Arc<MemoryAudit>,
    /// Its store.
    pub store: Arc<dyn Kv>,
    /// Its blob store.
    pub blobs: Arc<MemoryBlobs>,
    /// Its threads for cryptography.
    pub pool: Arc<InlinePool>,
    root: Arc<MemoryRoot>,
    /// Which node it is.
    pub node: NodeId,
    /// What it has seen.
    pub witness: Arc<Witness>,
}

/// What of a node a restart leaves as it is.
struct Kept {
    clock: Arc<FakeClock>,
    audit: Arc<MemoryAudit>,
    blobs: Arc<MemoryBlobs>,
    node: NodeId,
    seen: HashMap<String, u64>,
}

impl Kept {
    fn of(test: &TestCore) -> Self {
        let (clock, audit, blobs) = (Arc::clone(&test.clock), Arc::clone(&test.audit), Arc::clone(&test.blobs));
        Self { clock, audit, blobs, node: test.node, seen: HashMap::new() }
    }

    fn new() -> Result<Self> {
        let (clock, audit) = (Arc::new(FakeClock::at(START)), Arc::new(MemoryAudit::default()));
        let node = NodeId::from_random(SystemEntropy.sixteen()?);
        Ok(Self { clock, audit, blobs: Arc::new(MemoryBlobs::default()), node, seen: HashMap::new() })
    }
}

impl fmt::Debug for TestCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCore").field("core", &self.core).finish_non_exhaustive()
    }
}

impl TestCore {
    /// The same deployment after a restart: nothing is left of what was in memory. Clock, audit log and blobs go on.
    ///
    /// # Errors
    /// What the opening of a deployment says.
    pub async fn restarted(&self) -> Result<Self> {
        self.restarted_with(Limits::default()).await
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// What the opening of a deployment says.
    pub async fn restarted_with(&self, limits: Limits) -> Result<Self> {
        let (store, root) = (Arc::clone(&self.store), Arc::clone(&self.root));
        let configured = |core: Core| core.with_limits(limits);
        open(store, root, Kept::of(self), configured).await
    }

    /// The same with token buckets.
    ///
    /// # Errors
    /// What the opening of a deployment says.
    pub async fn restarted_throttled(&self, rates: Rates) -> Result<Self> {
        let (store, root) = (Arc::clone(&self.store), Arc::clone(&self.root));
        open(store, root, Kept::of(self), |core: Core| core.with_throttle(rates)).await
    }

    /// Another node of the same deployment on the same store.
    ///
    /// # Errors
    /// What the opening of a deployment says.
    pub async fn another_node(&self) -> Result<Self> {
        self.beside(Arc::clone(&self.store)).await
    }

    /// Another node of the same deployment, with its own way to the store, a witness and an audit log of its own, and nothing
    /// in memory. Clock and blobs are shared.
    ///
    /// # Errors
    /// What the opening of a deployment says.
    pub async fn beside(&self, store: Arc<dyn Kv>) -> Result<Self> {
        let kept = Kept { clock: Arc::clone(&self.clock), blobs: Arc::clone(&self.blobs), ..Kept::new()? };
        open(store, Arc::clone(&self.root), kept, |core| core).await
    }

    /// The same node on a store that the deployment was moved to; it remembers what it has seen in the other one.
    ///
    /// # Errors
    /// What the opening of a deployment says.
    pub async fn moved_to(&self, store: Arc<dyn Kv>) -> Result<Self> {
        let kept = Kept { seen: self.witness.all(), ..Kept::of(self) };
        open(store, Arc::clone(&self.root), kept, |core| core).await
    }

    /// The same under another policy on the security domains of active HSMs.
    ///
    /// # Errors
    /// What the opening of a deployment says.
    pub async fn restarted_under(&self, policy: DownloadPolicy) -> Result<Self> {
        let (store, root) = (Arc::clone(&self.store), Arc::clone(&self.root));
        let configured = |core: Core| core.with_download_policy(policy);
        open(store, root, Kept::of(self), configured).await
    }
}

/// The time at which a test begins.
pub const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A core over a new store in memory.
///
/// # Errors
/// What the founding of a deployment says.
pub async fn core_in_memory() -> Result<TestCore> {
    core_on(Arc::new(MemoryStore::new())).await
}

/// A core over a new deployment in an empty store, such as a [`crate::FaultyStore`].
///
/// # Errors
/// What the founding of a deployment says.
pub async fn core_on(store: Arc<dyn Kv>) -> Result<TestCore> {
    core_under(MemoryRoot::generate()?, store).await
}

/// The same under a root of the test's choice.
///
/// # Errors
/// What the founding of a deployment says.
pub async fn core_under(root: MemoryRoot, store: Arc<dyn Kv>) -> Result<TestCore> {
    open(store, Arc::new(root), Kept::new()?, |core| core).await
}

async fn open(
    store: Arc<dyn Kv>,
    root: Arc<MemoryRoot>,
    Kept { clock, audit, blobs, node, seen }: Kept,
    configured: impl FnOnce(Core) -> Core,
) -> Result<TestCore> {
    let deployment = Deployment::open(store.as_ref(), root.as_ref(), &SystemEntropy, Expectation::default()).await?;
    let witness = Arc::new(Witness::new(seen, Box::new(NoLog)));
    let pool = Arc::<InlinePool>::default();
    let foundations = Foundations {
        store: Arc::clone(&store),
        entropy: Arc::new(SystemEntropy),
        clock: Arc::<FakeClock>::clone(&clock),
        audit: Arc::<MemoryAudit>::clone(&audit),
        witness: Arc::clone(&witness),
        node,
        root: Arc::<MemoryRoot>::clone(&root),
        pool: Arc::<InlinePool>::clone(&pool),
    };
    // Small parts, so that a few keys make several.
    let rules = BackupRules { part_bytes: 64 * 1024, ..BackupRules::default() };
    let core = configured(Core::new(deployment, foundations)).with_backup_rules(rules);
    let core = Arc::new(core.with_blob_stores(Arc::<MemoryBlobs>::clone(&blobs)));
    Ok(TestCore { core, clock, audit, store, blobs, pool, root, node, witness })
}

/// A program of a tenant, member of no group.
pub fn program(tenant: TenantId, principal: PrincipalId) -> Caller {
    Caller {
        tenant,
        principal,
        groups: Vec::new(),
        application: None,
        kind: CallerKind::Application,
        issuer: format!("https://login.localhost:8443/{tenant}/v2.0"),
        name: None,
    }
}

/// A request of a caller, at a time.
///
/// # Errors
/// [`strongroom_core::Error::Crypto`] if the system has no random bytes.
pub fn request_of(caller: Caller, received: Timestamp) -> Result<Request> {
    Ok(Request::new(draw_uuid()?, caller, received, Context::internal("Test", String::new())))
}

/// A random GUID.
///
/// # Errors
/// [`strongroom_core::Error::Crypto`] if the system has no random bytes.
pub fn draw_uuid() -> Result<Uuid> {
    Ok(uuid::Builder::from_random_bytes(SystemEntropy.sixteen()?).into_uuid())
}
