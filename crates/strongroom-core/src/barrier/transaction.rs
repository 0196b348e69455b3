//! Writing: a batch that happens whole or not at all, together with its audit event.

use strongroom_crypto::seal::Sealer;
use strongroom_store::{Commit, Outcome, Precondition, Revision, Write};

use crate::audit::{Event, Result as EventResult};
use crate::barrier::{Barrier, Record, Stored, encode};
use crate::request::Request;
use crate::{Error, Result, layout};

/// A batch of writes under preconditions. Nothing happens before [`Transaction::commit`].
#[must_use = "nothing is written before commit"]
pub struct Transaction<'a> {
    barrier: &'a Barrier,
    commit: Commit,
    changes: Vec<(String, u64)>,
    detail: Option<String>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(barrier: &'a Barrier) -> Self {
        Self { barrier, commit: Commit::default(), changes: Vec::new(), detail: None }
    }

    /// Says in the audit event what the change was about: a key id, thumbprints. Never secrets.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The commit happens only if this record is as it was read.
    pub fn expect<T>(&mut self, stored: &Stored<T>) {
        self.expect_revision(&stored.key, stored.revision);
    }

    /// The commit happens only if this store key was last written by that commit.
    pub fn expect_revision(&mut self, key: &str, revision: Revision) {
        let precondition = Precondition::Unchanged(key.to_owned(), revision);
        if !self.commit.preconditions.contains(&precondition) {
            self.commit.preconditions.push(precondition);
        }
    }

    /// Makes a record where there is none.
    pub fn create<T: Record>(&mut self, sealer: &Sealer, key: String, record: &T) -> Result<()> {
        self.commit.preconditions.push(Precondition::Absent(key.clone()));
        self.put(sealer, key, self.barrier.floor(), encode(record)?.expose())
    }

    /// Makes a sealed secret where there is none: key material.
    pub fn create_secret(&mut self, sealer: &Sealer, key: String, secret: &[u8]) -> Result<()> {
        self.commit.preconditions.push(Precondition::Absent(key.clone()));
        self.put(sealer, key, self.barrier.floor(), secret)
    }

    /// Replaces a record that is as it was read.
    pub fn replace<T: Record>(&mut self, sealer: &Sealer, stored: &Stored<T>, record: &T) -> Result<()> {
        self.expect(stored);
        self.put(sealer, stored.key.clone(), stored.change, encode(record)?.expose())
    }

    /// Removes a record that is as it was read.
    pub fn delete<T>(&mut self, stored: &Stored<T>) {
        self.expect(stored);
        self.discard(stored.key.clone());
    }

    /// Writes a record into a generation that nothing points to yet: whatever lies there is of no account, and nobody
    /// has seen it.
    pub(crate) fn stage<T: Record>(&mut self, sealer: &Sealer, key: String, record: &T) -> Result<()> {
        self.stage_secret(sealer, key, encode(record)?.expose())
    }

    /// The same for a sealed secret: key material.
    pub(crate) fn stage_secret(&mut self, sealer: &Sealer, key: String, secret: &[u8]) -> Result<()> {
        let sealed = sealer.seal(self.barrier.entropy.as_ref(), &key, FIRST_CHANGE, secret)?;
        self.commit.writes.push(Write::Put(key, sealed));
        Ok(())
    }

    /// Removes a store key of a generation that nothing will ever point to again.
    pub(crate) fn sweep(&mut self, key: String) {
        self.commit.writes.push(Write::Delete(key));
    }

    /// Writes so far.
    pub(crate) fn writes(&self) -> usize {
        self.commit.writes.len()
    }

    /// Removes whatever lies under a store key.
    pub fn discard(&mut self, key: String) {
        // A copy of the removed record put back later must look old, so removal counts as a change.
        self.changes.push((key.clone(), self.barrier.witness.next(&key)));
        self.commit.writes.push(Write::Delete(key));
    }

    /// Does it: durable when this returns. The event of the change is part of the commit.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a precondition does not hold: nothing was written, and the request must be authorized
    /// again from the start.
    pub async fn commit(mut self, request: &Request) -> Result<Revision> {
        let barrier = self.barrier;
        let result =
            EventResult { status: request.context.success_status, code: "OK".to_owned(), message: String::new() };
        let event = Event::of(request, result, barrier.clock.now(), self.detail.take());
        let outbox_key = layout::outbox(event.event_id);
        let sealed = barrier.deployment.seal(
            barrier.entropy.as_ref(),
            &outbox_key,
            1,
            &serde_json::to_vec(&event).map_err(|_| Error::Internal("an event does not encode"))?,
        )?;
        self.commit.writes.push(Write::Put(outbox_key.clone(), sealed));
        let revision = self.write().await?;
        request.mark_recorded();
        barrier.audit.submit_committed(event, outbox_key);
        Ok(revision)
    }

    /// Does a step of a change that is too large for one commit. Nothing points to what it writes before the last commit
    /// of the change, which has the event.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a precondition does not hold: nothing was written.
    pub async fn commit_step(self) -> Result<Revision> {
        self.write().await
    }

    async fn write(self) -> Result<Revision> {
        let Self { barrier, commit, changes, detail: _ } = self;
        match barrier.store.commit(commit).await? {
            Outcome::Conflict => Err(Error::Conflict),
            Outcome::Committed(revision) => {
                for (key, change) in &changes {
                    // Our own commit is the newest there is; a racing reader may have seen a newer one already.
                    let _ = barrier.witness.look(key, *change);
                }
                Ok(revision)
            }
        }
    }

    pub(super) fn put(&mut self, sealer: &Sealer, key: String, previous: u64, plaintext: &[u8]) -> Result<()> {
        let barrier = self.barrier;
        let change = previous.saturating_add(1).max(barrier.witness.next(&key));
        let sealed = sealer.seal(barrier.entropy.as_ref(), &key, change, plaintext)?;
        self.changes.push((key.clone(), change));
        self.commit.writes.push(Write::Put(key, sealed));
        Ok(())
    }
}

/// The change number of a record that is written once.
const FIRST_CHANGE: u64 = 1;
