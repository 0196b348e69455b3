//! What a core needs from outside, for tests.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use strongroom_core::audit::Event;
use strongroom_core::ports::{AuditSink, AuditUnavailable, Clock, CryptoPool, Job, Lane, Overloaded, do_at_once};
use strongroom_crypto::providers::RootProvider;
use strongroom_crypto::seal::Sealer;
use strongroom_crypto::{CryptoError, Entropy, Root, SystemEntropy};
use strongroom_types::{DomainId, Epoch, Secret, Timestamp};
use uuid::Uuid;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct FakeClock(AtomicI64);

impl FakeClock {
    /// A clock at a time.
    pub const fn at(time: Timestamp) -> Self {
        Self(AtomicI64::new(time.millis()))
    }

    /// Moves the clock by so many seconds.
    pub fn advance_seconds(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// Moves the clock by so many days.
    pub fn advance_days(&self, days: i64) {
        self.advance_seconds(days * 86_400);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// An audit log in memory.
#[derive(Debug, Default)]
pub struct MemoryAudit {
    events: Mutex<Vec<Event<'static>>>,
    unavailable: AtomicBool,
}

impl MemoryAudit {
    /// Every event so far, in the order it was submitted.
    pub fn events(&self) -> Vec<Event<'static>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The events that were submitted since the last call.
    pub fn take(&self) -> Vec<Event<'static>> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the log unwritable.
    pub fn fail(&self) {
        self.unavailable.store(true, Ordering::SeqCst);
    }

    /// Keeps an event as the log would: written, and read again.
    fn push(&self, event: &Event<'_>) {
        let written = serde_json::to_vec(event).and_then(|json| serde_json::from_slice(&json));
        #[expect(clippy::expect_used, reason = "an event that is lost must not look like one that was not submitted")]
        let event = written.expect("an event is written and read again");
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

#[async_trait]
impl AuditSink for MemoryAudit {
    fn submit(&self, event: &Event<'_>) {
        self.push(event);
    }

    fn submit_committed(&self, event: &Event<'_>, _outbox_key: String) {
        self.push(event);
    }

    async fn flush(&self) -> Result<(), AuditUnavailable> {
        if self.accepts() { Ok(()) } else { Err(AuditUnavailable) }
    }

    fn accepts(&self) -> bool {
        !self.unavailable.load(Ordering::SeqCst)
    }
}

/// A pool that does each job at once, on the caller's thread, unless the test fills it.
#[derive(Debug, Default)]
pub struct InlinePool {
    full: AtomicBool,
}

impl InlinePool {
    /// Says from now on that all lanes are full, or that none is.
    pub fn fill(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }
}

impl CryptoPool for InlinePool {
    fn submit(&self, lane: Lane, job: Job) -> Result<(), Overloaded> {
        if self.is_full(lane) {
            return Err(Overloaded);
        }
        do_at_once(job);
        Ok(())
    }

    fn is_full(&self, _: Lane) -> bool {
        self.full.load(Ordering::SeqCst)
    }
}

/// A platform root that lives as long as the test.
#[derive(Debug)]
pub struct MemoryRoot {
    sealer: Sealer,
    check_value: [u8; 16],
    wraps_hsm_roots: bool,
}

impl MemoryRoot {
    /// Draws a new root.
    ///
    /// # Errors
    /// [`CryptoError::Entropy`] if the system has no random bytes.
    pub fn generate() -> Result<Self, CryptoError> {
        let sealer =
            Sealer::new(&Root::generate(&SystemEntropy)?, DomainId::from_uuid(Uuid::nil()), Epoch::FIRST, Uuid::nil())?;
        Ok(Self { sealer, check_value: SystemEntropy.sixteen()?, wraps_hsm_roots: true })
    }

    /// One that, as provider `quorum`, wraps no root of a managed HSM.
    pub fn without_hsm_roots(self) -> Self {
        Self { wraps_hsm_roots: false, ..self }
    }
}

impl RootProvider for MemoryRoot {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn wrap(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.sealer.seal(&SystemEntropy, purpose, 1, secret)
    }

    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError> {
        self.sealer.open(purpose, wrapped).map(|opened| opened.plaintext)
    }

    fn wraps_hsm_roots(&self) -> bool {
        self.wraps_hsm_roots
    }

    fn check_value(&self) -> [u8; 16] {
        self.check_value
    }
}
