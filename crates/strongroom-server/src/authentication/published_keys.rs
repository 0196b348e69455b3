//! The keys of an issuer, kept in memory and read again when they must be.

use std::sync::Arc;

use arc_swap::ArcSwap;
use strongroom_core::identity::token::{KeySet, VerificationKey};
use strongroom_types::Timestamp;
use tokio::sync::Mutex;

use crate::authentication::fetch::KeySource;

/// The keys that an issuer publishes. Nothing is read before a token needs it.
pub(super) struct PublishedKeys {
    source: KeySource,
    held: ArcSwap<Held>,
    reading: Mutex<()>,
}

#[derive(Default)]
struct Held {
    keys: KeySet,
    read: Option<Timestamp>,
    tried: Option<Timestamp>,
}

impl PublishedKeys {
    pub(super) fn new(source: KeySource) -> Self {
        Self { source, held: ArcSwap::default(), reading: Mutex::new(()) }
    }

    /// The key with this id: from memory, or read again if it is unknown or the memory is old. Read at most once a minute,
    /// whatever tokens come.
    pub(super) async fn get(&self, kid: &str, now: Timestamp) -> Option<VerificationKey> {
        let held = self.held.load_full();
        if held.age(now).is_some_and(|age| age < FRESH_SECONDS)
            && let Some(key) = held.keys.get(kid)
        {
            return Some(key.clone());
        }
        let old = held.usable(kid, now);
        if held.tried_lately(now) {
            return old;
        }
        // Whoever has an old key does not wait for the one who reads.
        let _reading = match (&old, self.reading.try_lock()) {
            (_, Ok(reading)) => reading,
            (Some(_), Err(_)) => return old,
            (None, Err(_)) => self.reading.lock().await,
        };
        if !self.held.load().tried_lately(now) {
            self.read(now).await;
        }
        self.held.load().usable(kid, now)
    }

    async fn read(&self, now: Timestamp) {
        let held = self.held.load_full();
        let next = match self.source.read().await {
            Ok(keys) => Held { keys, read: Some(now), tried: Some(now) },
            Err(error) => {
                tracing::warn!(issuer = self.source.issuer(), %error, "the keys of an issuer cannot be read");
                Held { keys: held.keys.clone(), read: held.read, tried: Some(now) }
            }
        };
        self.held.store(Arc::new(next));
    }
}

impl Held {
    fn age(&self, now: Timestamp) -> Option<i64> {
        self.read.map(|read| now.seconds() - read.seconds())
    }

    fn tried_lately(&self, now: Timestamp) -> bool {
        self.tried.is_some_and(|tried| now < tried.plus_seconds(TRY_SECONDS))
    }

    fn usable(&self, kid: &str, now: Timestamp) -> Option<VerificationKey> {
        let keeps = self.age(now).is_some_and(|age| age < KEPT_SECONDS);
        keeps.then(|| self.keys.get(kid).cloned()).flatten()
    }
}

/// Keys are read again after an hour, so that a withdrawn key is noticed.
const FRESH_SECONDS: i64 = 3600;
/// Keys are used for a day while their issuer cannot be reached.
const KEPT_SECONDS: i64 = 86_400;
/// Keys are read at most once a minute.
const TRY_SECONDS: i64 = 60;
