//! The audit log on disk: `DIR/audit/audit-<first sequence>.jsonl`, one JSON object a line (architecture.md §3.6).
//!
//! One thread writes. It collects what arrives within a moment, writes it, makes it durable, and only then answers who
//! waits and lets the outbox records of the changes among it be removed, which another thread does: the store is never
//! waited for here. Events are numbered in the order they are written, and each line carries a hash over itself and the
//! line before ([`format`]); now and then the end of that chain is signed ([`checkpoint`]). [`verify`] reads it all back.
//! While the log cannot be written nothing is dropped: events wait, [`AuditSink::accepts`] says no, and cryptography
//! stops unless `[audit] on_full = "serve"`.
//!
//! It is *not* where events are made: that is the core's. Read first: [`AuditLog`], `docs/audit-log-format.md`.

pub mod checkpoint;
mod checkpoint_key;
pub mod follow;
mod format;
mod keeper;
mod outbox;
mod queue;
mod scan;
pub(crate) mod segment;
mod strangers;
pub mod verify;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_core::Core;
use strongroom_core::audit::Event;
use strongroom_core::ports::{AuditSink, AuditUnavailable, Clock};
use strongroom_core::witness::Witness;
use strongroom_store::Kv;
use strongroom_types::NodeId;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use checkpoint::{CheckpointKey, Reason, Signed};
pub use checkpoint_key::open_or_create as open_or_create_key;
use format::EventLine;
pub use format::{Gap, GapReason, LineHash};
pub use keeper::{CheckpointKeeper, earlier as earlier_checkpoints};
use outbox::Outbox;
use queue::{Batch, Message, Receiver, Sender, channel};
pub use scan::deployment;
use segment::{Batch as SegmentBatch, Found, Segments, Signing};
pub use segment::{SegmentTerms, timestamp};
pub use strangers::Strangers;
/// Whose events [`AuditLog::recover`] takes over.
pub use strongroom_core::barrier::OutboxOf;
/// What [`timestamp`] answers with.
pub use strongroom_types::Timestamp;

/// The log's folder, in the data folder.
pub const FOLDER: &str = "audit";
/// The newest checkpoint, in the data folder.
pub const NEWEST_CHECKPOINT: &str = "audit-checkpoint";

/// What to do when the log cannot be written (`[audit] on_full`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFull {
    /// Refuse cryptography with 503 until it can be written again.
    #[default]
    Stop,
    /// Go on; events wait in memory, up to a bound, and are then counted only.
    Serve,
}

/// How the log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditTerms {
    /// What to do when it cannot be written.
    pub on_full: OnFull,
    /// When segments end, and how long they are kept.
    pub segments: SegmentTerms,
    /// How often the end of the chain is signed, if there were events.
    pub checkpoint_every: Duration,
}

impl Default for AuditTerms {
    fn default() -> Self {
        Self {
            on_full: OnFull::default(),
            segments: SegmentTerms::default(),
            checkpoint_every: Duration::from_secs(60),
        }
    }
}

/// The audit log of a node. What is submitted waits until [`AuditLog::start`].
pub struct AuditLog {
    queue: Sender,
    state: Arc<State>,
    terms: AuditTerms,
    unstarted: Mutex<Option<Unstarted>>,
    /// The one that writes, then the one that removes what it has written from the outbox.
    threads: Mutex<Vec<JoinHandle<()>>>,
    newest: watch::Sender<Option<Arc<Signed>>>,
}

/// What the thread will work on.
struct Unstarted {
    found: Found,
    messages: Receiver,
    store: Arc<dyn Kv>,
}

/// What the log is started with.
pub struct Starting {
    /// Signs checkpoints.
    pub key: CheckpointKey,
    /// What checkpoints say about the store.
    pub witness: Arc<Witness>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The log's id, if it begins now.
    pub new_log: Uuid,
}

/// Why the outbox could not be taken over.
#[derive(Debug, thiserror::Error)]
#[error("the outbox of audit events cannot be read")]
pub struct RecoverError(#[source] strongroom_core::Error);

/// What the writer and those who submit share.
#[derive(Default)]
struct State {
    waiting: AtomicUsize,
    failing: AtomicBool,
    dropped: AtomicU64,
    closing: AtomicBool,
    written: AtomicU64,
}

/// How the log is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditStatus {
    /// Events that wait to be written.
    pub waiting: usize,
    /// Whether the last attempt to write failed.
    pub is_failing: bool,
    /// The number of the last line.
    pub written: u64,
}

impl AuditLog {
    /// Opens the log in a folder, and changes nothing yet but for segments that were never begun.
    ///
    /// # Errors
    /// What the system says if the folder cannot be made or read; [`std::io::ErrorKind::InvalidData`] if a line that a
    /// checkpoint covers is not as it was written.
    pub fn open(folder: &Path, store: Arc<dyn Kv>, terms: AuditTerms) -> std::io::Result<Self> {
        let found = Found::open(folder, terms.segments)?;
        let (queue, messages) = channel();
        let newest = watch::Sender::new(None);
        let unstarted = Mutex::new(Some(Unstarted { found, messages, store }));
        Ok(Self { queue, state: Arc::default(), terms, unstarted, threads: Mutex::default(), newest })
    }

    /// The change numbers of guards that the last checkpoint named; none after the start.
    pub fn seen(&self) -> Vec<(String, u64)> {
        let unstarted = self.unstarted.lock().unwrap_or_else(PoisonError::into_inner);
        let checkpoint = unstarted.as_ref().and_then(|unstarted| unstarted.found.checkpoint.as_ref());
        checkpoint.map(|checkpoint| checkpoint.guards.clone().into_iter().collect()).unwrap_or_default()
    }

    /// Takes over what a crash left in the outbox: events whose line was not written yet are written at the start, the
    /// records of the others are removed. Call it once, before anything else is submitted.
    ///
    /// # Errors
    /// If the outbox cannot be read.
    pub async fn recover(&self, core: &Core, whose: OutboxOf) -> Result<(), RecoverError> {
        let recorded = self.recorded();
        for (key, event) in core.barrier().outbox_at_start(whose).await.map_err(RecoverError)? {
            if recorded.contains(&event.event_id) {
                let _ = self.queue.send(Message::Recorded { outbox_key: key });
            } else {
                self.submit_committed(&event, key);
            }
        }
        Ok(())
    }

    /// Writes what another node, which is gone for good, has left in the outbox; answers how many events that were. Some
    /// may stand in that node's log as well, under the same event id.
    ///
    /// # Errors
    /// If the outbox cannot be read or changed. What was taken over before is written at the next start.
    pub async fn adopt(&self, core: &Core, gone: NodeId) -> Result<usize, RecoverError> {
        let adopted = core.barrier().adopt_outbox(gone).await.map_err(RecoverError)?;
        let count = adopted.len();
        for (key, event) in adopted {
            self.submit_committed(&event, key);
        }
        Ok(count)
    }

    /// Repairs what a crash left, says so in the log, and begins to write.
    ///
    /// # Errors
    /// What the system says if the log cannot be written or a thread not be started.
    pub fn start(&self, starting: Starting) -> std::io::Result<()> {
        let unstarted = self.unstarted.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Unstarted { found, messages, store }) = unstarted else { return Ok(()) };
        let Starting { key, witness, clock, new_log } = starting;
        let highest = || witness.summary();
        let signing = Signing { key: &key, now: clock.now(), highest: &highest };
        let (segments, checkpoint) = found.start(&signing, new_log)?;
        self.state.written.store(segments.last(), Ordering::Release);
        self.newest.send_replace(Some(Arc::new(checkpoint)));
        let (outbox, removing) = Outbox::start(store, Arc::clone(&self.state), Handle::current())?;
        let writer = Writer {
            segments,
            outbox,
            state: Arc::clone(&self.state),
            key,
            witness,
            clock,
            newest: self.newest.clone(),
            every: self.terms.checkpoint_every,
            due: None,
        };
        let writing = std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(&messages))?;
        *self.threads.lock().unwrap_or_else(PoisonError::into_inner) = vec![writing, removing];
        Ok(())
    }

    /// The newest checkpoint, and word of each newer one.
    pub fn checkpoints(&self) -> watch::Receiver<Option<Arc<Signed>>> {
        self.newest.subscribe()
    }

    /// How the log is doing.
    pub fn status(&self) -> AuditStatus {
        AuditStatus {
            waiting: self.state.waiting.load(Ordering::Acquire),
            is_failing: self.state.failing.load(Ordering::Acquire),
            written: self.state.written.load(Ordering::Acquire),
        }
    }

    /// Writes what is waiting and a last checkpoint, empties the outbox, and ends the threads. A log that cannot be written
    /// is given up after a few attempts; events of changes are then still in the store.
    pub fn close(&self) {
        self.state.closing.store(true, Ordering::Release);
        let _ = self.queue.send(Message::Close);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn recorded(&self) -> HashSet<Uuid> {
        let mut unstarted = self.unstarted.lock().unwrap_or_else(PoisonError::into_inner);
        unstarted.as_mut().map(|unstarted| std::mem::take(&mut unstarted.found.events)).unwrap_or_default()
    }

    fn send(&self, event: &Event<'_>, outbox_key: Option<String>) {
        // An event with an outbox record is safe in the store; the others are bounded here.
        if outbox_key.is_none() && self.state.waiting.load(Ordering::Acquire) >= WAITING_MAX {
            self.state.dropped.fetch_add(1, Ordering::AcqRel);
            return;
        }
        let Ok(event) = EventLine::of(event) else {
            tracing::error!(event = %event.event_id, "an audit event does not encode: please report this");
            self.state.dropped.fetch_add(1, Ordering::AcqRel);
            return;
        };
        self.state.waiting.fetch_add(1, Ordering::AcqRel);
        let _ = self.queue.send(Message::Event { event, outbox_key });
    }
}

#[async_trait]
impl AuditSink for AuditLog {
    fn submit(&self, event: &Event<'_>) {
        self.send(event, None);
    }

    fn submit_committed(&self, event: &Event<'_>, outbox_key: String) {
        self.send(event, Some(outbox_key));
    }

    async fn flush(&self) -> Result<(), AuditUnavailable> {
        let (sender, receiver) = oneshot::channel();
        self.queue.send(Message::Flush(sender)).map_err(|_| AuditUnavailable)?;
        match tokio::time::timeout(FLUSH_PATIENCE, receiver).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(AuditUnavailable),
        }
    }

    fn accepts(&self) -> bool {
        let troubled =
            self.state.failing.load(Ordering::Acquire) || self.state.waiting.load(Ordering::Acquire) >= WAITING_MAX;
        self.terms.on_full == OnFull::Serve || !troubled
    }
}

struct Writer {
    segments: Segments,
    outbox: Outbox,
    state: Arc<State>,
    key: CheckpointKey,
    witness: Arc<Witness>,
    clock: Arc<dyn Clock>,
    newest: watch::Sender<Option<Arc<Signed>>>,
    every: Duration,
    /// When the next checkpoint is due; none while the last line is covered by one.
    due: Option<Instant>,
}

/// Events were not written: the log is being closed and cannot be written.
struct GaveUp;

impl Writer {
    fn run(mut self, messages: &Receiver) {
        loop {
            let batch = Batch::collect(messages, self.due, COLLECT);
            if self.write(&batch).is_err() {
                return;
            }
            self.state.waiting.fetch_sub(batch.events.len(), Ordering::AcqRel);
            for waiter in batch.waiters {
                // Who no longer waits needs no answer.
                let _ = waiter.send(());
            }
            self.outbox.remove(batch.outbox_keys);
            if batch.close {
                return;
            }
        }
    }

    /// Tries until it succeeds: an event is never given up, unless the server stops.
    fn write(&mut self, batch: &Batch) -> Result<(), GaveUp> {
        let checkpoint = match self.due {
            _ if batch.close => Some(Reason::Stop),
            Some(due) if Instant::now() >= due => Some(Reason::Interval),
            Some(_) | None => None,
        };
        let mut last_attempts = LAST_ATTEMPTS;
        loop {
            match self.try_write(&batch.events, checkpoint) {
                Ok(()) => break,
                Err(error) => {
                    if !self.state.failing.swap(true, Ordering::AcqRel) {
                        tracing::error!(%error, "the audit log cannot be written; cryptography stops until it can");
                    }
                }
            }
            if self.state.closing.load(Ordering::Acquire) {
                last_attempts -= 1;
            }
            if last_attempts == 0 {
                let events = batch.events.len();
                tracing::error!(events, "audit events are given up: the log cannot be written and the server stops");
                return Err(GaveUp);
            }
            std::thread::sleep(RETRY_PAUSE);
        }
        if self.state.failing.swap(false, Ordering::AcqRel) {
            tracing::info!("the audit log can be written again");
        }
        Ok(())
    }

    fn try_write(&mut self, events: &[EventLine], checkpoint: Option<Reason>) -> std::io::Result<()> {
        let dropped = self.state.dropped.load(Ordering::Acquire);
        let gap = (dropped > 0).then_some(Gap {
            reason: GapReason::LogNotWritable,
            cut_bytes: None,
            cut_file: None,
            dropped_events: Some(dropped),
        });
        let has_news = gap.is_some() || !events.is_empty();
        let (key, now, witness) = (&self.key, self.clock.now(), &self.witness);
        let signing = Signing { key, now, highest: &|| witness.summary() };
        let signed = self.segments.append(&SegmentBatch { gap, events, checkpoint }, &signing)?;
        self.state.written.store(self.segments.last(), Ordering::Release);
        if dropped > 0 {
            tracing::error!(dropped, "audit events were dropped while the log could not be written");
            self.state.dropped.fetch_sub(dropped, Ordering::AcqRel);
        }
        // A checkpoint at the end of a segment does not cover the lines behind it.
        self.due = if checkpoint.is_some() {
            None
        } else if has_news {
            self.due.or_else(|| Instant::now().checked_add(self.every))
        } else {
            self.due
        };
        if let Some(signed) = signed {
            self.newest.send_replace(Some(Arc::new(signed)));
        }
        Ok(())
    }
}

/// How long the writer lets events gather after the first: a fifth of the 100 ms within which an event is durable.
const COLLECT: Duration = Duration::from_millis(20);
/// Most events that wait in memory; beyond it cryptography stops.
const WAITING_MAX: usize = 100_000;
/// How long a request waits for its event to be durable.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);
/// Attempts to write once the server stops.
const LAST_ATTEMPTS: u32 = 3;
/// Pause between attempts to write.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
