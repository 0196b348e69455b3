//! Writing: a batch that happens whole or not at all, together with its audit event.

use std::sync::Arc;

use strongroom_crypto::seal::Sealer;
use strongroom_store::{Commit, Outcome, Precondition, Revision, Write};
use strongroom_types::Secret;

use crate::audit::{Event, Result as EventResult};
use crate::barrier::{Barrier, Record, Stored, encode};
use crate::request::Request;
use crate::{Error, Result};

/// A batch of writes under preconditions. Nothing happens before [`Transaction::commit`].
#[must_use = "nothing is written before commit"]
pub struct Transaction<'a> {
    barrier: &'a Barrier,
    commit: Commit,
    puts: Vec<Put>,
    discards: Vec<Discard>,
    detail: Option<String>,
}

/// A record to be written. It is sealed when it is committed: only then is its change number known.
struct Put {
    sealer: Arc<Sealer>,
    key: String,
    replaced: Replaced,
    plaintext: Secret<Vec<u8>>,
}

/// A store key to be removed.
struct Discard {
    key: String,
    replaced: Replaced,
}

/// What a write takes the place of.
#[derive(Clone, Copy)]
enum Replaced {
    /// The record with this change number.
    Change(u64),
    /// Nothing, or whatever lies there. Another node may have written and removed records there that this one has never
    /// seen, with numbers of their own.
    Unseen,
}

impl Replaced {
    /// The number that is higher than that of every record that ever lay there. No number is higher than the revision that
    /// its commit made (with what is added to it: [`crate::deployment::moved`]), so none of those is higher than the present one.
    fn next(self, present: u64) -> u64 {
        match self {
            Self::Change(change) => change.saturating_add(1),
            Self::Unseen => present.saturating_add(1),
        }
    }
}

impl<'a> Transaction<'a> {
    pub(super) fn new(barrier: &'a Barrier) -> Self {
        Self { barrier, commit: Commit::default(), puts: Vec::new(), discards: Vec::new(), detail: None }
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
    pub fn create<T: Record>(&mut self, sealer: &Arc<Sealer>, key: String, record: &T) -> Result<()> {
        self.commit.preconditions.push(Precondition::Absent(key.clone()));
        self.put(sealer, key, Replaced::Unseen, encode(record)?);
        Ok(())
    }

    /// Makes a sealed secret where there is none: key material.
    pub fn create_secret(&mut self, sealer: &Arc<Sealer>, key: String, secret: &[u8]) {
        self.commit.preconditions.push(Precondition::Absent(key.clone()));
        self.put(sealer, key, Replaced::Unseen, Secret::new(secret.to_vec()));
    }

    /// Replaces a record that is as it was read.
    pub fn replace<T: Record>(&mut self, sealer: &Arc<Sealer>, stored: &Stored<T>, record: &T) -> Result<()> {
        self.expect(stored);
        self.put(sealer, stored.key.clone(), Replaced::Change(stored.change), encode(record)?);
        Ok(())
    }

    /// Removes a record that is as it was read.
    pub fn delete<T>(&mut self, stored: &Stored<T>) {
        self.expect(stored);
        self.discards.push(Discard { key: stored.key.clone(), replaced: Replaced::Change(stored.change) });
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
        self.commit.writes.len() + self.puts.len() + self.discards.len()
    }

    /// Removes whatever lies under a store key.
    pub fn discard(&mut self, key: String) {
        self.discards.push(Discard { key, replaced: Replaced::Unseen });
    }

    /// Does it: durable when this returns. The event of the change is part of the commit.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a precondition does not hold: nothing was written, and the request must be authorized
    /// again from the start.
    pub async fn commit(mut self, request: &Request) -> Result<Revision> {
        let barrier = self.barrier;
        let result = EventResult::success(request.context.success_status);
        let detail = self.detail.take();
        let event = Event::of(request, &result, barrier.clock.now(), detail.as_deref());
        let (outbox_key, sealed) = barrier.seal_event(&event)?;
        self.commit.writes.push(Write::Put(outbox_key.clone(), sealed));
        let revision = self.write().await?;
        request.mark_recorded();
        barrier.audit.submit_committed(&event, outbox_key);
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
        let Self { barrier, mut commit, puts, discards, detail: _ } = self;
        let mut replaced = puts.iter().map(|put| put.replaced).chain(discards.iter().map(|discard| discard.replaced));
        let present = if replaced.any(|replaced| matches!(replaced, Replaced::Unseen)) {
            barrier.store.revision().await?.0.saturating_add(barrier.change_base)
        } else {
            0
        };
        let mut changes = Vec::with_capacity(puts.len() + discards.len());
        for Put { sealer, key, replaced, plaintext } in puts {
            let change = replaced.next(present).max(barrier.witness.next(&key));
            let sealed = sealer.seal(barrier.entropy.as_ref(), &key, change, plaintext.expose())?;
            changes.push((key.clone(), change));
            commit.writes.push(Write::Put(key, sealed));
        }
        for Discard { key, replaced } in discards {
            // A copy of the removed record put back later must look old, so removal counts as a change.
            changes.push((key.clone(), replaced.next(present).max(barrier.witness.next(&key))));
            commit.writes.push(Write::Delete(key));
        }
        match barrier.store.commit(commit).await? {
            Outcome::Conflict => Err(Error::Conflict),
            Outcome::Committed(revision) => {
                barrier.witness.look_at_written(&changes);
                Ok(revision)
            }
        }
    }

    fn put(&mut self, sealer: &Arc<Sealer>, key: String, replaced: Replaced, plaintext: Secret<Vec<u8>>) {
        self.puts.push(Put { sealer: Arc::clone(sealer), key, replaced, plaintext });
    }

    /// Writes again what was read under another seal, if it is as it was read.
    pub(super) fn put_again(
        &mut self,
        sealer: &Arc<Sealer>,
        key: String,
        (revision, change): (Revision, u64),
        plaintext: Secret<Vec<u8>>,
    ) {
        self.expect_revision(&key, revision);
        self.put(sealer, key, Replaced::Change(change), plaintext);
    }
}

/// The change number of a record that is written once.
const FIRST_CHANGE: u64 = 1;
