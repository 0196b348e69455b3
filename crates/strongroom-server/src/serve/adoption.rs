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

/// Nodes that have events in the outbox and are not registered.
#[derive(Default)]
struct Absent {
    /// Since when this node knows that. It has looked often enough since that none can have been back for long.
    since: BTreeMap<NodeId, Instant>,
    looked: Option<Instant>,
}

impl Adoption {
    pub(super) fn new(core: Arc<Core>, audit: Arc<AuditLog>, membership: Membership) -> Self {
        Self { core, audit, membership, absent: Mutex::default() }
    }

    /// One look. Without a cluster there is nothing to look for: the start has taken over everything.
    pub(super) async fn run(&self) {
        self.run_at(Instant::now()).await;
    }

    async fn run_at(&self, now: Instant) {
        let Some(status) = self.membership.status() else { return };
        let registered = status.registrations.iter().filter_map(|(key, _)| node_of(key)?.parse().ok());
        let present: BTreeSet<NodeId> = registered.chain([self.core.barrier().node()]).collect();
        let owners = match self.core.barrier().outbox_owners().await {
            Ok(owners) => owners,
            Err(error) => return tracing::warn!(%error, "events of lost nodes could not be looked for"),
        };
        let owners = owners.into_iter().filter(|owner| !present.contains(owner)).collect();
        let gone = self.absent.lock().unwrap_or_else(PoisonError::into_inner).look(owners, now);
        for node in gone {
            match self.audit.adopt(&self.core, node).await {
                Ok(events) => tracing::info!(%node, events, "audit events that a lost node has left are in this log"),
                Err(error) => tracing::warn!(%node, %error, "audit events of a lost node could not be taken over yet"),
            }
        }
    }
}

impl Absent {
    /// Notes who is absent now, and answers who has been for so long that nobody waits any more. Looks are left out while this node
    /// does not serve, and anybody may have come and gone meanwhile.
    fn look(&mut self, absent: BTreeSet<NodeId>, now: Instant) -> Vec<NodeId> {
        let Self { since, looked } = self;
        if looked.replace(now).is_none_or(|earlier| now.duration_since(earlier) > 2 * PERIOD) {
            since.clear();
        }
        since.retain(|node, _| absent.contains(node));
        for node in absent {
            since.entry(node).or_insert(now);
        }
        since.iter().filter(|(_, since)| now.duration_since(**since) >= ABSENT_MIN).map(|(node, _)| *node).collect()
    }
}

/// How often events of lost nodes are looked for.
pub(super) const PERIOD: Duration = Duration::from_secs(60);
/// How long a node must have been neither registered nor expelled. One that comes back writes its events itself.
const ABSENT_MIN: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use strongroom_cluster::{Identity, Layout, Node, SystemBootClock, Timing};
    use strongroom_core::layout;
    use strongroom_core::ports::Clock;
    use strongroom_core::request::Request;
    use strongroom_store::Kv;
    use strongroom_testkit::{START, TestCore, core_in_memory, draw_uuid};
    use uuid::Uuid;

    use super::*;
    use crate::audit_log::{AuditTerms, OutboxOf, Starting, open_or_create_key};
    use crate::tasks::TaskOwner;

    fn lost() -> BTreeSet<NodeId> {
        [NodeId::from_random([1; 16])].into()
    }

    /// Looks once a minute, and answers after how many minutes the lost node counts as gone.
    fn minutes(absent: &mut Absent, from: Instant) -> Option<u32> {
        (0..=20).find(|minute| !absent.look(lost(), from + *minute * PERIOD).is_empty())
    }

    #[test]
    fn a_node_is_gone_when_it_was_absent_at_every_look_for_ten_minutes() {
        let (mut absent, start) = (Absent::default(), Instant::now());
        for minute in 0..10 {
            assert!(absent.look(lost(), start + minute * PERIOD).is_empty());
        }
        assert!(absent.look(BTreeSet::new(), start + 10 * PERIOD).is_empty(), "it is back");
        assert_eq!(minutes(&mut absent, start + 11 * PERIOD), Some(10));
    }

    #[test]
    fn a_time_without_looks_does_not_count() {
        let (mut absent, start) = (Absent::default(), Instant::now());
        assert!(absent.look(lost(), start).is_empty());
        assert_eq!(minutes(&mut absent, start + ABSENT_MIN), Some(10), "nobody has looked for ten minutes");
    }

    /// A node that serves.
    async fn registered(store: &Arc<dyn Kv>, id: NodeId, owner: &TaskOwner) -> Arc<Node> {
        let text = |text: &str| text.to_owned();
        let identity =
            Identity { id: id.to_string(), start: text("1"), name: text("a"), release: text("1"), records: 1 };
        let layout = Layout { on_demand: layout::is_material, incidental: |_| false };
        let (engine, clock) = (Arc::clone(store), Arc::new(SystemBootClock));
        let node = Node::open(engine, clock, identity, layout, Timing::default()).await.unwrap();
        let running = Arc::clone(&node);
        owner.tasks().spawn(async move { running.run().await });
        assert!(node.serving(Duration::from_secs(60)).await);
        node
    }

    /// A log that is written.
    async fn log(of: &TestCore, folder: &Path) -> Arc<AuditLog> {
        let log = AuditLog::open(folder, Arc::clone(&of.store), AuditTerms::default()).unwrap();
        log.recover(&of.core, OutboxOf::ThisNode).await.unwrap();
        let (witness, clock) = (Arc::clone(&of.witness), Arc::clone(&of.clock) as Arc<dyn Clock>);
        let key = open_or_create_key(&of.core, &request()).await.unwrap();
        log.start(Starting { key, witness, clock, new_log: draw_uuid().unwrap() }).unwrap();
        Arc::new(log)
    }

    fn request() -> Request {
        Request::internal(draw_uuid().unwrap(), START, "Change", String::new())
    }

    async fn changed(on: &TestCore) -> Uuid {
        let (request, barrier) = (request(), on.core.barrier());
        let mut transaction = barrier.transaction();
        transaction.create_secret(barrier.deployment(), "d/test/1".to_owned(), b"x");
        transaction.commit(&request).await.unwrap();
        request.id
    }

    #[tokio::test]
    async fn events_of_a_node_that_is_registered_are_its_own_and_those_of_a_lost_one_are_taken_over() {
        let (test, owner) = (core_in_memory().await.unwrap(), TaskOwner::new());
        let lost = test.another_node().await.unwrap();
        let event = changed(&lost).await;
        let here = registered(&test.store, test.node, &owner).await;
        let there = registered(&test.store, lost.node, &owner).await;
        let folder = tempfile::tempdir().unwrap();
        let audit = log(&test, folder.path()).await;
        let adoption = Adoption::new(Arc::clone(&test.core), Arc::clone(&audit), Membership::of(Arc::clone(&here)));
        let left = async || test.core.barrier().outbox_owners().await.unwrap().contains(&lost.node);
        let knows = async |nodes: usize| {
            while here.status().registrations.len() != nodes {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        knows(2).await;
        let start = Instant::now();
        for minute in 0..12 {
            adoption.run_at(start + minute * PERIOD).await;
        }
        assert!(left().await, "it is registered");
        there.stop();
        knows(1).await;
        for minute in 12..22 {
            adoption.run_at(start + minute * PERIOD).await;
            assert!(left().await, "minute {minute}");
        }
        adoption.run_at(start + 22 * PERIOD).await;
        audit.close();
        assert!(!left().await);
        let texts = fs::read_dir(folder.path()).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        assert!(texts.into_iter().any(|text| text.contains(&event.to_string())));
        here.stop();
        assert!(owner.stop(Duration::from_secs(5)).await);
    }
}
