//! The outbox: events of committed changes that may not have reached a log yet (protocols.md §7).
//!
//! Each node has its own part, and copies it into its own log. What a node leaves that is gone for good is moved to another
//! one's part by a commit that both depend on, so that two who try do not both have it; where there is one process at a time,
//! it stays where it is. The gone node may have written the line and not have removed the record any more: then the event
//! stands in both logs, under the same event id.

use strongroom_store::{Commit, Entry, Outcome, Precondition, Write, entries};
use strongroom_types::NodeId;

use super::{Barrier, open_sealed};
use crate::audit::Event;
use crate::{Error, Result, layout};

/// An event in the outbox, with its store key.
pub type OutboxEvent = (String, Event<'static>);

/// Whose events a log takes over from the outbox at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxOf {
    /// Those of its own node, and those that bear no node's name.
    ThisNode,
    /// All: where nobody else can be at work.
    Everybody,
}

impl Barrier {
    /// This node's events of committed changes that may not have reached its log yet.
    pub async fn outbox(&self) -> Result<Vec<OutboxEvent>> {
        let own = self.outbox_entries(&layout::outbox_of(self.node)).await?;
        own.into_iter().map(|entry| self.open_event(entry)).collect()
    }

    /// The events that a log writes at its start. Those of a release before there were several nodes are moved to this
    /// node first, where others may find them too; all others stay under their key until their line is written.
    ///
    /// # Errors
    /// What the store says. Events that were moved before are then this node's.
    pub async fn outbox_at_start(&self, whose: OutboxOf) -> Result<Vec<OutboxEvent>> {
        let entries = self.outbox_entries(layout::OUTBOX).await?;
        let mut events = Vec::with_capacity(entries.len());
        for entry in entries {
            match (whose, layout::outbox_owner(&entry.key)) {
                (OutboxOf::Everybody, _) => events.push(self.open_event(entry)?),
                (OutboxOf::ThisNode, None) => events.extend(self.move_one(entry).await?),
                (OutboxOf::ThisNode, Some(owner)) if owner == self.node => events.push(self.open_event(entry)?),
                (OutboxOf::ThisNode, Some(_)) => {}
            }
        }
        Ok(events)
    }

    /// The nodes that have events in the outbox: those at work, and those that are gone.
    pub async fn outbox_owners(&self) -> Result<Vec<NodeId>> {
        let all = self.outbox_entries(layout::OUTBOX).await?;
        let mut owners: Vec<_> = all.iter().filter_map(|entry| layout::outbox_owner(&entry.key)).collect();
        // Keys come in order.
        owners.dedup();
        Ok(owners)
    }

    /// Moves the events of a node that is gone for good to this node, and answers them.
    ///
    /// # Errors
    /// What the store says. Those that were moved before are then found by [`Barrier::outbox`].
    pub async fn adopt_outbox(&self, gone: NodeId) -> Result<Vec<OutboxEvent>> {
        if gone == self.node {
            return Ok(Vec::new());
        }
        let entries = self.outbox_entries(&layout::outbox_of(gone)).await?;
        let mut moved = Vec::with_capacity(entries.len());
        for entry in entries {
            moved.extend(self.move_one(entry).await?);
        }
        Ok(moved)
    }

    /// `None` if another node was faster, or its owner lives after all and has removed it.
    async fn move_one(&self, entry: Entry) -> Result<Option<OutboxEvent>> {
        let (from, modified) = (entry.key.clone(), entry.modified);
        let (_, event) = self.open_event(entry)?;
        let (to, sealed) = self.seal_event(&event)?;
        let commit = Commit {
            preconditions: vec![Precondition::Unchanged(from.clone(), modified), Precondition::Absent(to.clone())],
            writes: vec![Write::Delete(from), Write::Put(to.clone(), sealed)],
        };
        match self.store.commit(commit).await? {
            Outcome::Committed(_) => Ok(Some((to, event))),
            Outcome::Conflict => Ok(None),
        }
    }

    /// An event as this node's part of the outbox holds it, with its store key.
    pub(super) fn seal_event(&self, event: &Event<'_>) -> Result<(String, Vec<u8>)> {
        let key = layout::outbox(self.node, &event.time, event.event_id);
        let bytes = serde_json::to_vec(event).map_err(|_| Error::Internal("an event does not encode"))?;
        let sealed = self.deployment.seal(self.entropy.as_ref(), &key, WRITTEN_ONCE, &bytes)?;
        Ok((key, sealed))
    }

    fn open_event(&self, entry: Entry) -> Result<OutboxEvent> {
        let opened = open_sealed(&self.deployment, &entry)?;
        let event = serde_json::from_slice(opened.plaintext.expose());
        let malformed = Error::Tampered { key: entry.key.clone(), problem: "it is no event" };
        Ok((entry.key, event.map_err(|_| malformed)?))
    }

    async fn outbox_entries(&self, prefix: &str) -> Result<Vec<Entry>> {
        let (_, entries) = entries(self.store.as_ref(), prefix).await?;
        Ok(entries)
    }
}

/// The change number of an event.
const WRITTEN_ONCE: u64 = 1;
