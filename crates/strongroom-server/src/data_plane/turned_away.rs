//! What was refused because too much cryptography waited, so that the next such request is refused before it costs anything.
//!
//! Only the key says whether its operation is slow, and the key is known when everything else about a request is. So where a
//! request went that was refused is remembered, and asked for as long as the lane is full. It counts for the same token from
//! the same address alone: who passed neither the network rules nor the authentication learns nothing here, not even that
//! there is such a key.

use std::hash::{BuildHasher, RandomState};

use http::{HeaderMap, header};
use quick_cache::sync::Cache;

use crate::http::exchange::{Host, Peer};

/// The requests that were refused.
pub(super) struct TurnedAway {
    /// Hashes, which nobody outside can make collide. Two that do are refused together, while the lane is full.
    requests: Cache<u64, ()>,
    hashes: RandomState,
}

impl Default for TurnedAway {
    fn default() -> Self {
        Self { requests: Cache::new(REQUESTS_MAX), hashes: RandomState::new() }
    }
}

impl TurnedAway {
    /// A request was refused, of a caller who is known and may come from there.
    pub(super) fn note(&self, host: &Host, peer: Peer, path: &str, headers: &HeaderMap) {
        self.requests.insert(self.hash(host, peer, path, headers), ());
    }

    /// Whether such a request was.
    pub(super) fn knows(&self, host: &Host, peer: Peer, path: &str, headers: &HeaderMap) -> bool {
        self.requests.get(&self.hash(host, peer, path, headers)).is_some()
    }

    fn hash(&self, host: &Host, peer: Peer, path: &str, headers: &HeaderMap) -> u64 {
        let token = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        self.hashes.hash_one((&host.authority, peer.remote.ip(), peer.local, path, token))
    }
}

/// Callers at a time, times the keys they use, that are worth remembering.
const REQUESTS_MAX: usize = 10_000;
