//! What the tests of the directory share: a founded directory over a store in memory, and a clock that stands still.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_crypto::providers::FileRoot;
use strongroom_crypto::{Entropy, SystemEntropy};
use strongroom_store::MemoryStore;
use strongroom_types::{NodeId, Timestamp};

use crate::audit::Event;
use crate::deployment::{Deployment, Expectation};
use crate::identity::{Directory, Foundation};
use crate::ports::{AuditSink, AuditUnavailable, Clock, CryptoPool, Job, Lane, Overloaded, do_at_once};
use crate::request::Request;
use crate::witness::{NoLog, Witness};
use crate::{Core, Foundations};

/// The time at which everything happens.
pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
/// The resource id of the identity `machine`.
pub(super) const MACHINE: &str =
    "/subscriptions/s/resourceGroups/strongroom/providers/Microsoft.ManagedIdentity/userAssignedIdentities/machine";
/// Where tokens come from.
pub(super) const AUTHORITY_URL: &str = "https://login.localhost:8443";

/// A founded directory.
pub(super) async fn directory() -> (Arc<Directory>, Foundation) {
    let directory = directory_on(core().await);
    let foundation = directory.found(&request(), MACHINE).await.unwrap();
    (Arc::new(directory), foundation)
}

/// Another node's directory on the same store.
pub(super) fn directory_on(core: Arc<Core>) -> Directory {
    Directory::new(core, AUTHORITY_URL.to_owned()).unwrap()
}

/// A core over an empty store in memory.
pub(super) async fn core() -> Arc<Core> {
    let folder = tempfile::tempdir().unwrap();
    let root = FileRoot::create(&folder.path().join("root.key"), &SystemEntropy).unwrap();
    let store = Arc::new(MemoryStore::new());
    let expectation = Expectation { init: true, ..Expectation::default() };
    let deployment = Deployment::open(store.as_ref(), &root, &SystemEntropy, expectation).await.unwrap();
    let foundations = Foundations {
        store,
        entropy: Arc::new(SystemEntropy),
        clock: Arc::new(StandingClock),
        audit: Arc::new(NoAudit),
        witness: Arc::new(Witness::new(HashMap::new(), Box::new(NoLog))),
        node: NodeId::from_random([1; 16]),
        root: Arc::new(root),
        pool: Arc::new(InlinePool),
    };
    Arc::new(Core::new(deployment, foundations))
}

/// A request of the server itself, now.
pub(super) fn request() -> Request {
    request_at(NOW)
}

/// A request of the server itself.
pub(super) fn request_at(now: Timestamp) -> Request {
    let id = uuid::Builder::from_random_bytes(SystemEntropy.sixteen().unwrap()).into_uuid();
    Request::internal(id, now, "Test", String::new())
}

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        NOW
    }
}

struct InlinePool;

impl CryptoPool for InlinePool {
    fn submit(&self, _lane: Lane, job: Job) -> Result<(), Overloaded> {
        do_at_once(job);
        Ok(())
    }
}

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
