//! Transfer keys: what the upload of a security domain is encrypted to (docs/decisions/0006-transfer-keys-in-memory.md).
//!
//! The private half is in the memory of the node that drew it and nowhere else. The domain record holds a mark of each, so
//! that other nodes can say where it is, and so that it counts no more as soon as its mark is gone, whichever node has
//! removed that.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use strongroom_security_domain::{
    EXCHANGE_KEY_SECONDS, EXCHANGE_TRIES_MAX, ExchangeKey, OpenedDomain, SecurityDomainError, open_upload,
};
use strongroom_types::{InstanceId, NodeId, Timestamp};

use crate::domain::DomainRecord;
use crate::{Core, Error, Result};

/// That a node holds a transfer key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TransferMark {
    /// The node that has drawn it.
    node: NodeId,
    /// `x5t#S256` of its certificate.
    thumbprint: String,
    /// When it ends by itself.
    expires: Timestamp,
}

/// A transfer key in this process.
#[derive(Debug)]
pub(crate) struct HeldKey {
    pub(crate) exchange: ExchangeKey,
    expires: Timestamp,
    /// Whether its mark was committed, or may have been: from then on it counts only as long as that is there.
    is_marked: AtomicBool,
    /// Uploads that did not decrypt. Locked while one is opened, so that many at once are not more than the limit.
    rejected: Mutex<u32>,
}

impl HeldKey {
    pub(crate) fn new(exchange: ExchangeKey, drawn: Timestamp) -> Self {
        let expires = drawn.plus_seconds(EXCHANGE_KEY_SECONDS);
        Self { exchange, expires, is_marked: AtomicBool::new(false), rejected: Mutex::new(0) }
    }

    pub(crate) fn open(&self, upload: &str) -> Result<OpenedDomain, SecurityDomainError> {
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        if *rejected >= EXCHANGE_TRIES_MAX {
            return Err(SecurityDomainError::Rejected);
        }
        let opened = open_upload(upload, &self.exchange);
        if matches!(opened, Err(SecurityDomainError::Rejected)) {
            *rejected += 1;
        }
        opened
    }

    pub(crate) fn is_spent(&self) -> bool {
        *self.rejected.lock().unwrap_or_else(PoisonError::into_inner) >= EXCHANGE_TRIES_MAX
    }

    /// Its mark is in the store, or may be.
    pub(crate) fn marked(&self) {
        self.is_marked.store(true, Ordering::Release);
    }

    pub(crate) fn is_marked(&self) -> bool {
        self.is_marked.load(Ordering::Acquire)
    }

    fn is_named_by(&self, mark: &TransferMark, node: NodeId) -> bool {
        mark.node == node && mark.thumbprint == self.exchange.thumbprint().to_string()
    }
}

impl DomainRecord {
    /// The same with the mark of a transfer key; a node has one at a time.
    pub(crate) fn with_transfer_key(mut self, node: NodeId, key: &HeldKey, now: Timestamp) -> Self {
        self.transfer_keys.retain(|mark| mark.node != node && now < mark.expires);
        let superfluous = (self.transfer_keys.len() + 1).saturating_sub(MARKS_MAX);
        self.transfer_keys.drain(..superfluous);
        let thumbprint = key.exchange.thumbprint().to_string();
        self.transfer_keys.push(TransferMark { node, thumbprint, expires: key.expires });
        self
    }

    /// The same without the mark of a node's transfer key.
    pub(crate) fn without_transfer_key(mut self, node: NodeId, key: &HeldKey) -> Self {
        self.transfer_keys.retain(|mark| !key.is_named_by(mark, node));
        self
    }
}

impl Core {
    /// The transfer key that this node holds, if it counts. A record that names it proves that its mark was committed, also
    /// where the answer of that commit was lost.
    pub(crate) fn transfer_key(
        &self,
        instance: InstanceId,
        record: &DomainRecord,
        now: Timestamp,
    ) -> Option<Arc<HeldKey>> {
        let (key, node) = (self.exchange_keys().live(instance, now)?, self.barrier().node());
        if !record.transfer_keys.iter().any(|mark| key.is_named_by(mark, node)) {
            return None;
        }
        key.marked();
        Some(key)
    }

    /// Whether a transfer key waits for its upload on another node.
    pub(crate) fn is_awaited_elsewhere(&self, record: &DomainRecord, now: Timestamp) -> bool {
        // One of this node's own that it does not hold ended with a restart.
        record.transfer_keys.iter().any(|mark| mark.node != self.barrier().node() && now < mark.expires)
    }

    /// Whether a transfer key waits for its upload on any node.
    pub(crate) fn is_awaited(&self, instance: InstanceId, record: &DomainRecord, now: Timestamp) -> bool {
        self.transfer_key(instance, record, now).is_some() || self.is_awaited_elsewhere(record, now)
    }
}

/// The transfer keys that this node holds, of all HSMs: in memory only, so that a stolen disk together with an upload that
/// was left in some folder opens nothing. A restart ends a recovery; it is begun again.
#[derive(Debug, Default)]
pub(crate) struct ExchangeKeys(Mutex<HashMap<InstanceId, Arc<HeldKey>>>);

impl ExchangeKeys {
    /// Holds a key in the place of one that counts no more, or answers the one that another request has drawn meanwhile.
    pub(crate) fn hold(
        &self,
        instance: InstanceId,
        key: HeldKey,
        superseded: Option<&Arc<HeldKey>>,
        now: Timestamp,
    ) -> Result<Arc<HeldKey>> {
        let mut keys = self.lock();
        keys.retain(|_, key| now < key.expires);
        if let Some(superseded) = superseded {
            remove(&mut keys, instance, superseded);
        }
        if keys.len() >= EXCHANGE_KEYS_MAX && !keys.contains_key(&instance) {
            return Err(Error::LimitReached { what: "managed HSMs in recovery", limit: EXCHANGE_KEYS_MAX });
        }
        Ok(Arc::clone(keys.entry(instance).or_insert_with(|| Arc::new(key))))
    }

    /// Destroys a key that has done its work, and not the next one of its HSM.
    pub(crate) fn destroy(&self, instance: InstanceId, key: &Arc<HeldKey>) {
        remove(&mut self.lock(), instance, key);
    }

    /// The key that was drawn for an HSM and waits for its mark.
    pub(crate) fn unmarked(&self, instance: InstanceId, now: Timestamp) -> Option<Arc<HeldKey>> {
        self.live(instance, now).filter(|key| !key.is_marked())
    }

    /// The key that is held of an HSM, if its mark was committed: it counts if that is still there afterwards.
    pub(crate) fn marked(&self, instance: InstanceId) -> Option<Arc<HeldKey>> {
        self.lock().get(&instance).filter(|key| key.is_marked()).map(Arc::clone)
    }

    fn live(&self, instance: InstanceId, now: Timestamp) -> Option<Arc<HeldKey>> {
        self.lock().get(&instance).filter(|key| now < key.expires).map(Arc::clone)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, Arc<HeldKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(keys: &mut HashMap<InstanceId, Arc<HeldKey>>, instance: InstanceId, key: &Arc<HeldKey>) {
    if keys.get(&instance).is_some_and(|held| Arc::ptr_eq(held, key)) {
        keys.remove(&instance);
    }
}

/// Most HSMs in recovery at once on one node.
const EXCHANGE_KEYS_MAX: usize = 256;
/// Most nodes whose transfer keys for one HSM are known of; the earliest ends with the next.
const MARKS_MAX: usize = 16;
