//! The node of a cluster that this process is while its store is shared: from the opening of the store to its end.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use strongroom_cluster::{DRAINS, Identity, Layout, Node, OpenError, SystemBootClock};
use strongroom_core::layout;
use strongroom_crypto::{Entropy, SystemEntropy};
use strongroom_store::Kv;
use uuid::Uuid;

use crate::audit_log::OutboxOf;
use crate::config::{Settings, StorePlace};
use crate::data_dir::DataDir;
use crate::membership::Membership;
use crate::serve::error::StartError;
use crate::serve::{node, store};
use crate::tasks::TaskOwner;

/// The store that everything works on, and this process's part in the cluster that shares it.
pub(super) struct Joined {
    pub(super) store: Arc<dyn Kv>,
    pub(super) membership: Membership,
    /// `None` without a cluster.
    node: Option<Arc<Node>>,
}

impl Joined {
    /// Makes this process a node of the cluster on the engine, and waits until it serves. An engine that one process has to
    /// itself is the store as it is. If this fails, the engine is closed.
    pub(super) async fn join(
        folder: &DataDir,
        settings: &Settings,
        version: &'static str,
        engine: Arc<dyn Kv>,
    ) -> Result<Self, StartError> {
        if settings.store == StorePlace::Embedded {
            return Ok(Self { store: engine, membership: Membership::alone(), node: None });
        }
        let node = match open(folder, settings, version, Arc::clone(&engine)).await {
            Ok(node) => node,
            Err(error) => {
                store::give_up(engine.as_ref()).await;
                return Err(error);
            }
        };
        let running = Arc::clone(&node);
        // It outlives all other tasks, so it is none of theirs: closing the store ends it.
        TaskOwner::new().tasks().spawn(async move { running.run().await });
        if !node.serving(SERVING_MAX).await {
            store::give_up(node.as_ref()).await;
            return Err(StartError::NotServing { seconds: SERVING_MAX.as_secs() });
        }
        if let Err(error) = node.end_drain().await {
            tracing::warn!(%error, "this node could not note that it is not being emptied any more");
        }
        let (store, membership) = (Arc::<Node>::clone(&node), Membership::of(Arc::clone(&node)));
        Ok(Self { store, membership, node: Some(node) })
    }

    /// Whose events in the outbox are this process's: whoever else has used a store that one process has to itself is gone.
    pub(super) fn outbox(&self) -> OutboxOf {
        if self.node.is_some() { OutboxOf::ThisNode } else { OutboxOf::Everybody }
    }

    /// Resolves when the node has ended by itself; never without a cluster.
    pub(super) async fn ended(&self) {
        match &self.node {
            Some(node) => node.stopped().await,
            None => std::future::pending().await,
        }
    }

    /// Whether the node has ended by itself.
    pub(super) fn has_ended(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.ended_by_itself())
    }
}

async fn open(
    folder: &DataDir,
    settings: &Settings,
    version: &str,
    engine: Arc<dyn Kv>,
) -> Result<Arc<Node>, StartError> {
    let entropy = SystemEntropy;
    let start = Uuid::from_bytes(entropy.sixteen()?).as_simple().to_string();
    let (id, name) = (node::node_id(folder, &entropy)?.to_string(), machine());
    let identity = Identity { id, start, name, release: version.to_owned(), records: RECORDS };
    Ok(Node::open(engine, Arc::new(SystemBootClock), identity, LAYOUT, settings.cluster).await?)
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Timing(error) => Self::Settings(error.into()),
            OpenError::Store(error) => Self::Store(error),
            OpenError::NewerNode { name, release } => Self::NewerNode { name, release },
        }
    }
}

fn incidental(key: &str) -> bool {
    key.starts_with(layout::OUTBOX) || key.starts_with(DRAINS)
}

/// What people call this machine.
fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.chars().filter(|character| !character.is_control()).collect();
    if name.is_empty() { "a machine without a name".to_owned() } else { name }
}

/// Key material is read when it is needed. No answer that is promised anything ever depends on the outbox of audit events, or on who
/// is being emptied.
const LAYOUT: Layout = Layout { on_demand: layout::is_material, incidental };
/// The form of records that this release reads and writes. Nothing raises it by itself: whoever changes what is written into records so
/// that this release could not read it raises it too, and writes the new form only when no node is registered that says less.
pub(super) const RECORDS: u32 = 1;
/// Longest time until a node serves whose store has been loaded.
const SERVING_MAX: Duration = Duration::from_secs(30);
