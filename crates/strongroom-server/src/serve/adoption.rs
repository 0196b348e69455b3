//! What lost nodes have left in the outbox: another node writes it to its own log (docs/operating/cluster.md).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_cluster::node_of;
use strongroom_core::Core;
use strongroom_types::NodeId;
use tokio::time::Instant;

use crate::audit_log::AuditLog;
use crate::membership::Membership;

/// Looks for events of nodes that are gone, and writes them.
pub(super) struct Adoption {
    core: Arc<Core>,
    audit: Arc<AuditLog>,
    membership: Membership,
    absent: Mutex<Absent>,
}

/// Nodes that have events in the outbox and are not registered, and since when this node knows that.
#[derive(Default)]
struct Absent(BTreeMap<NodeId, Instant>);

impl Adoption {
    pub(super) fn new(core: Arc<Core>, audit: Arc<AuditLog>, membership: Membership) -> Self {
        Self { core, audit, membership, absent: Mutex::default() }
    }

    /// One look. Without a cluster there is nothing to look for: the start has taken over everything.
    pub(super) async fn run(&self) {
        let Some(status) = self.membership.status() else { return };
        let registered = status.registrations.iter().filter_map(|(key, _)| node_of(key)?.parse().ok());
        let present: BTreeSet<NodeId> = registered.chain([self.core.barrier().node()]).collect();
        let owners = match self.core.barrier().outbox_owners().await {
            Ok(owners) => owners,
            Err(error) => return tracing::warn!(%error, "events of lost nodes could not be looked for"),
        };
        let owners = owners.into_iter().filter(|owner| !present.contains(owner)).collect();
        let gone = self.absent.lock().unwrap_or_else(PoisonError::into_inner).look(owners, Instant::now());
        for node in gone {
            match self.audit.adopt(&self.core, node).await {
                Ok(events) => tracing::info!(%node, events, "audit events that a lost node has left are in this log"),
                Err(error) => tracing::warn!(%node, %error, "audit events of a lost node could not be taken over yet"),
            }
        }
    }
}

impl Absent {
    /// Notes who is absent now, and answers who has been for so long that nobody waits any more.
    fn look(&mut self, absent: BTreeSet<NodeId>, now: Instant) -> Vec<NodeId> {
        let Self(since) = self;
        since.retain(|node, _| absent.contains(node));
        for node in absent {
            since.entry(node).or_insert(now);
        }
        since.iter().filter(|(_, since)| now.duration_since(**since) >= ABSENT_MIN).map(|(node, _)| *node).collect()
    }
}

/// How long a node must have been neither registered nor expelled. One that comes back writes its events itself.
const ABSENT_MIN: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_gone_when_it_was_absent_at_every_look_for_ten_minutes() {
        let (lost, slow) = (NodeId::from_random([1; 16]), NodeId::from_random([2; 16]));
        let (mut absent, start) = (Absent::default(), Instant::now());
        let mut look = |seconds: u64, nodes: &[NodeId]| {
            absent.look(nodes.iter().copied().collect(), start + Duration::from_secs(seconds))
        };
        assert!(look(0, &[lost, slow]).is_empty());
        assert!(look(300, &[lost]).is_empty(), "the slow one is back");
        assert!(look(599, &[lost, slow]).is_empty());
        assert_eq!(look(600, &[lost, slow]), [lost]);
        assert_eq!(look(1198, &[slow]), []);
        assert_eq!(look(1199, &[slow]), [slow]);
    }
}
