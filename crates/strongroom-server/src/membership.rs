//! Whether this server may answer: one that is a node of a cluster only while the cluster counts on it
//! (docs/consistency.md), any other always.
//!
//! It decides nothing itself: [`strongroom_cluster::Node`] does.

use std::sync::Arc;

use strongroom_cluster::{Node, NotServing, Status, Ticket};

/// This server's part in a cluster, if it has one. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Membership(Option<Arc<Node>>);

impl Membership {
    /// Of a server that has its store for itself.
    pub fn alone() -> Self {
        Self(None)
    }

    /// Of a node.
    pub fn of(node: Arc<Node>) -> Self {
        Self(Some(node))
    }

    /// Takes leave to answer a request whose last byte has been read; `None` if nobody needs to be asked.
    ///
    /// # Errors
    /// [`NotServing`].
    pub fn begin(&self) -> Result<Option<Ticket>, NotServing> {
        self.0.as_ref().map(|node| node.begin()).transpose()
    }

    /// Whether requests are answered at this moment.
    pub fn is_serving(&self) -> bool {
        self.0.as_ref().is_none_or(|node| node.is_serving())
    }

    /// How the node is; `None` without a cluster.
    pub fn status(&self) -> Option<Status> {
        self.0.as_ref().map(|node| node.status())
    }
}
