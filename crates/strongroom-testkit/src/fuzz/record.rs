//! What an untrusted store gives back.

#![expect(clippy::expect_used, reason = "a root and a runtime of this process, or nothing here works")]

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use strongroom_core::Error;
use strongroom_core::barrier::{Barrier, Record};
use strongroom_core::guard::Guard;
use strongroom_core::identity::record::{Principal, Tenant};
use strongroom_core::managed_hsm::ManagedHsm;
use strongroom_core::witness::{NoLog, Witness};
use strongroom_crypto::seal::{Header, Sealer};
use strongroom_crypto::{Root, SystemEntropy};
use strongroom_store::{Commit, Entry, Kv, Outcome, Page, Revision, StoreError, Watch};
use strongroom_types::{DomainId, Epoch, NodeId};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::{FakeClock, MemoryAudit, START};

/// Bytes that were not sealed here do not open, whatever their header claims.
pub(super) fn sealed(input: &[u8]) {
    let sealer = sealer();
    let opened = sealer.open(PLACE, input);
    assert!(opened.is_err(), "bytes opened that nobody sealed");
    // A true value with one part of it replaced: the input is laid over it.
    let Some((at, patch)) = input.split_first_chunk::<2>() else { return };
    let genuine = sealer.seal(&SystemEntropy, PLACE, 1, b"content").expect("sealing works");
    let mut altered = genuine.clone();
    let at = usize::from(u16::from_be_bytes(*at)) % altered.len();
    for (byte, new) in altered.iter_mut().skip(at).zip(patch) {
        *byte = *new;
    }
    let opened = sealer.open(PLACE, &altered);
    assert_eq!(opened.is_ok(), altered == genuine, "an altered value opened, or a true one did not");
    assert!(sealer.open("d/elsewhere", &genuine).is_err(), "a value opened in another place");
    let _ = Header::peek(input);
}

/// Content of any form under a true seal is a record or is refused as damage, whatever type is expected there.
pub(super) fn content(input: &[u8]) {
    read::<Guard>(input);
    read::<ManagedHsm>(input);
    read::<Tenant>(input);
    read::<Principal>(input);
}

fn read<T: Record>(plaintext: &[u8]) {
    let sealer = sealer();
    let value = sealer.seal(&SystemEntropy, PLACE, 1, plaintext).expect("sealing works");
    let barrier = Barrier::new(
        Arc::new(OneRecord(value)),
        Arc::new(SystemEntropy),
        Arc::new(FakeClock::at(START)),
        Arc::new(MemoryAudit::default()),
        Arc::new(Witness::new(HashMap::new(), Box::new(NoLog))),
        NodeId::from_uuid(Uuid::nil()),
        Arc::clone(sealer),
    );
    match runtime().block_on(barrier.read::<T>(sealer, PLACE)) {
        Ok(stored) => assert!(stored.is_some(), "the record is there"),
        Err(error) => assert!(matches!(error, Error::Tampered { .. }), "{error}"),
    }
}

fn sealer() -> &'static Arc<Sealer> {
    static SEALER: OnceLock<Arc<Sealer>> = OnceLock::new();
    SEALER.get_or_init(|| {
        let root = Root::from_bytes(&[7; Root::BYTES]).expect("a root has this many bytes");
        let domain = DomainId::from_uuid(Uuid::from_u128(1));
        Arc::new(Sealer::new(&root, domain, Epoch::FIRST, Uuid::from_u128(2)).expect("a record key"))
    })
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_current_thread().build().expect("a runtime"))
}

/// A store that has one record under every key.
struct OneRecord(Vec<u8>);

#[async_trait]
impl Kv for OneRecord {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let (created, modified) = (Revision(1), Revision(1));
        Ok(Some(Entry { key: key.to_owned(), value: self.0.clone(), created, modified }))
    }

    async fn range(&self, _: &str, _: Option<&str>, _: usize, _: Option<Revision>) -> Result<Page, StoreError> {
        Ok(Page { entries: Vec::new(), revision: Revision(1), more: false })
    }

    async fn commit(&self, _: Commit) -> Result<Outcome, StoreError> {
        Ok(Outcome::Conflict)
    }

    async fn watch(&self, _: &str, _: Revision) -> Result<Box<dyn Watch>, StoreError> {
        Err(StoreError::Unavailable("it only reads".to_owned()))
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(Revision(1))
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

const PLACE: &str = "d/fuzzed";
