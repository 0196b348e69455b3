//! The audit log on disk: `DIR/audit/audit-<first sequence>.jsonl`, one JSON object a line (architecture.md §3.6).
//!
//! One thread writes. It collects what arrives within a moment, writes it, makes it durable, and only then removes the
//! outbox records of the changes among it and answers who waits. Events are numbered in the order they are written.
//! While the log cannot be written nothing is dropped: events wait, [`AuditSink::accepts`] says no, and cryptography
//! stops unless `[audit] on_full = "serve"`.

mod segment;
mod strangers;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_core::Core;
use strongroom_core::audit::Event;
use strongroom_core::ports::{AuditSink, AuditUnavailable};
use strongroom_store::{Commit, Kv, Write};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use segment::Segments;
pub use strangers::Strangers;

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

/// The audit log of a node.
pub struct AuditLog {
    queue: Sender<Message>,
    state: Arc<State>,
    on_full: OnFull,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Why the outbox could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The newest segment cannot be read.
    #[error("the audit log cannot be read")]
    Log(#[source] std::io::Error),
    /// The outbox cannot be read.
    #[error("the outbox of audit events cannot be read")]
    Outbox(#[source] strongroom_core::Error),
}

/// What the writer and those who submit share.
#[derive(Default)]
struct State {
    waiting: AtomicUsize,
    failing: AtomicBool,
    dropped: AtomicUsize,
}

enum Message {
    Event { event: Box<Event>, outbox_key: Option<String> },
    Recorded { outbox_key: String },
    Flush(oneshot::Sender<()>),
    Close,
}

impl AuditLog {
    /// Opens the log in a folder, repairs a line that a crash cut short, and starts its thread.
    ///
    /// # Errors
    /// What the system says if the folder cannot be made, read or written.
    pub fn open(folder: &Path, store: Arc<dyn Kv>, on_full: OnFull) -> std::io::Result<Self> {
        let segments = Segments::open(folder)?;
        let (queue, messages) = channel();
        let state = Arc::new(State::default());
        let writer = Writer { segments, store, state: Arc::clone(&state), runtime: Handle::current() };
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(&messages))?;
        Ok(Self { queue, state, on_full, thread: Mutex::new(Some(thread)) })
    }

    /// Takes over what a crash left in the outbox: events whose line was not written yet are written now, the records of
    /// the others are removed. Call it once, before anything else is submitted.
    ///
    /// # Errors
    /// If the newest segment or the outbox cannot be read.
    pub async fn recover(&self, folder: &Path, core: &Core) -> Result<(), RecoverError> {
        let recorded = segment::recorded(folder).map_err(RecoverError::Log)?;
        for (key, event) in core.barrier().outbox().await.map_err(RecoverError::Outbox)? {
            if recorded.contains(&event.event_id) {
                let _ = self.queue.send(Message::Recorded { outbox_key: key });
            } else {
                self.submit_committed(event, key);
            }
        }
        Ok(())
    }

    /// Writes what is waiting and ends the thread.
    pub fn close(&self) {
        let _ = self.queue.send(Message::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn send(&self, event: Event, outbox_key: Option<String>) {
        // An event with an outbox record is safe in the store; the others are bounded here.
        if outbox_key.is_none() && self.state.waiting.load(Ordering::Acquire) >= WAITING_MAX {
            self.state.dropped.fetch_add(1, Ordering::AcqRel);
            return;
        }
        self.state.waiting.fetch_add(1, Ordering::AcqRel);
        let _ = self.queue.send(Message::Event { event: Box::new(event), outbox_key });
    }
}

#[async_trait]
impl AuditSink for AuditLog {
    fn submit(&self, event: Event) {
        self.send(event, None);
    }

    fn submit_committed(&self, event: Event, outbox_key: String) {
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
        self.on_full == OnFull::Serve || !troubled
    }
}

struct Writer {
    segments: Segments,
    store: Arc<dyn Kv>,
    state: Arc<State>,
    runtime: Handle,
}

/// What is written and made durable together.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    outbox_keys: Vec<String>,
    waiters: Vec<oneshot::Sender<()>>,
    close: bool,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let batch = Batch::collect(messages);
            self.write(&batch.events);
            self.state.waiting.fetch_sub(batch.events.len(), Ordering::AcqRel);
            self.remove_from_outbox(batch.outbox_keys);
            for waiter in batch.waiters {
                // Who no longer waits needs no answer.
                let _ = waiter.send(());
            }
            if batch.close {
                return;
            }
        }
    }

    /// Tries until it succeeds: an event is never given up.
    fn write(&mut self, events: &[Event]) {
        while let Err(error) = self.segments.append(events) {
            if !self.state.failing.swap(true, Ordering::AcqRel) {
                tracing::error!(%error, "the audit log cannot be written; cryptography stops until it can");
            }
            std::thread::sleep(RETRY_PAUSE);
        }
        if self.state.failing.swap(false, Ordering::AcqRel) {
            tracing::info!("the audit log can be written again");
        }
        let dropped = self.state.dropped.swap(0, Ordering::AcqRel);
        if dropped > 0 {
            tracing::error!(dropped, "audit events were dropped while the log could not be written");
        }
    }

    /// The lines are durable, so the records have done their work. One that stays is recognised at the next start.
    fn remove_from_outbox(&self, keys: Vec<String>) {
        for keys in keys.chunks(OUTBOX_KEYS) {
            let writes = keys.iter().cloned().map(Write::Delete).collect();
            let commit = Commit { preconditions: Vec::new(), writes };
            if let Err(error) = self.runtime.block_on(self.store.commit(commit)) {
                tracing::warn!(%error, "events stay in the outbox; they are removed at the next start");
            }
        }
    }
}

impl Batch {
    /// Waits for the first message, then takes what follows within a moment; someone who waits ends the moment.
    fn collect(messages: &Receiver<Message>) -> Self {
        let mut batch = Self::default();
        match messages.recv() {
            Ok(message) => batch.take(message),
            Err(_) => batch.close = true,
        }
        while !batch.is_urgent() && batch.events.len() < BATCH_EVENTS {
            match messages.recv_timeout(COLLECT) {
                Ok(message) => batch.take(message),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => batch.close = true,
            }
        }
        batch
    }

    fn is_urgent(&self) -> bool {
        self.close || !self.waiters.is_empty()
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Event { event, outbox_key } => {
                self.events.push(*event);
                self.outbox_keys.extend(outbox_key);
            }
            Message::Recorded { outbox_key } => self.outbox_keys.push(outbox_key),
            Message::Flush(waiter) => self.waiters.push(waiter),
            Message::Close => self.close = true,
        }
    }
}

/// How long the writer waits for one more event; with [`BATCH_EVENTS`] it keeps the promise of 100 ms.
const COLLECT: Duration = Duration::from_millis(5);
/// Most events written together.
const BATCH_EVENTS: usize = 512;
/// Outbox records removed in one commit.
const OUTBOX_KEYS: usize = 60;
/// Most events that wait in memory; beyond it cryptography stops.
const WAITING_MAX: usize = 100_000;
/// How long a request waits for its event to be durable.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);
/// Pause between attempts to write.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
