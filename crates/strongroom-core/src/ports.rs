//! What the core needs from outside: time, and a place for audit events. (Entropy comes from `strongroom_crypto`,
//! storage from `strongroom_store`.)

use std::time::Duration;

use async_trait::async_trait;
use strongroom_types::Timestamp;

use crate::audit::Event;
use crate::identity::token::{Claims, ParsedToken, TokenError};

/// The time of day, and the time that passes. One adapter in the server; tests bring their own.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Time since some moment, whatever becomes of the time of day meanwhile. As it is here, it suits clocks that nobody sets.
    fn monotonic(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now().millis()).unwrap_or_default())
    }
}

/// Where audit events go (protocols.md §7).
#[async_trait]
pub trait AuditSink: Send + Sync {
    /// Takes an event that has no record of its own: durable within 100 ms. Never blocks on the disk.
    fn submit(&self, event: &Event<'_>);

    /// Takes an event whose outbox record has been committed; the sink removes that record once the line is durable.
    fn submit_committed(&self, event: &Event<'_>, outbox_key: String);

    /// Waits until everything submitted before is durable.
    ///
    /// # Errors
    /// [`AuditUnavailable`] if the log cannot be written.
    async fn flush(&self) -> std::result::Result<(), AuditUnavailable>;

    /// Whether cryptography may go on: false while the log cannot be written and `[audit] on_full` is not `serve`.
    fn accepts(&self) -> bool;
}

/// The audit log cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct AuditUnavailable;

/// Who may vouch for environments that keys are released to. One adapter in the server, which knows the configuration
/// and reads the keys of authorities (protocols.md §9); tests bring their own.
#[async_trait]
pub trait AttestationAuthorities: Send + Sync {
    /// Proves that the authority a token names signed it and that it counts now.
    ///
    /// # Errors
    /// [`TokenError`]; [`TokenError::UnknownIssuer`] before anything is read or computed if the authority is not trusted
    /// here.
    async fn verify(&self, token: ParsedToken<'_>, now: Timestamp) -> std::result::Result<Claims, TokenError>;
}

/// Work that somebody waits for. What it answers with hands its result over, if there is still somebody: a pool may do that
/// for several jobs together, so that who waits is not woken for each.
pub type Job = Box<dyn FnOnce() -> Option<HandOver> + Send>;

/// Hands a result over. It neither blocks nor takes long.
pub type HandOver = Box<dyn FnOnce() + Send>;

/// Does a job and hands its result over at once: all that a pool without threads of its own has to do.
pub fn do_at_once(job: Job) {
    if let Some(hand_over) = job() {
        hand_over();
    }
}

/// Where slow cryptography runs: in bounded queues, and in the way of connections for a moment at most.
pub trait CryptoPool: Send + Sync {
    /// Queues a job.
    ///
    /// # Errors
    /// [`Overloaded`] if the lane's queue is full; the job is dropped.
    fn submit(&self, lane: Lane, job: Job) -> std::result::Result<(), Overloaded>;

    /// Queues work that nobody waits for, to be done where nothing else is. A pool without threads of its own refuses it: whoever
    /// waits for something else would wait for that as well.
    ///
    /// # Errors
    /// [`Overloaded`]; the job is dropped.
    fn submit_ahead(&self, _job: Job) -> std::result::Result<(), Overloaded> {
        Err(Overloaded)
    }

    /// Whether a job would be refused now.
    fn is_full(&self, _lane: Lane) -> bool {
        false
    }
}

/// Jobs of one lane do not wait for those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Up to a few milliseconds: RSA private operations, large curves.
    Fast,
    /// Longer: RSA key generation, security-domain work.
    Slow,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full")]
pub struct Overloaded;
