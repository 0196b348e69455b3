//! Short words for what the tests do.

use std::thread;
use std::time::Duration;

use strongroom_store::{
    Change, Commit, EtcdOptions, EtcdStore, EtcdTls, Kv, Outcome, Revision, StoreError, Watch, Write,
};

use crate::server::EtcdServer;

pub(crate) const PREFIX: &str = "/tests/one";

/// How a node opens the store of a server.
pub(crate) fn options(server: &EtcdServer) -> EtcdOptions {
    EtcdOptions {
        endpoints: server.endpoints(),
        prefix: PREFIX.to_owned(),
        tls: EtcdTls::default(),
        user: None,
        timeout: Duration::from_secs(10),
        history: None,
    }
}

pub(crate) async fn open(server: &EtcdServer) -> EtcdStore {
    EtcdStore::open(options(server)).await.unwrap()
}

pub(crate) fn put_of(key: &str, value: &[u8]) -> Commit {
    Commit { preconditions: vec![], writes: vec![Write::Put(key.to_owned(), value.to_vec())] }
}

pub(crate) fn delete_of(key: &str) -> Commit {
    Commit { preconditions: vec![], writes: vec![Write::Delete(key.to_owned())] }
}

pub(crate) fn committed(outcome: Result<Outcome, StoreError>) -> Revision {
    match outcome {
        Ok(Outcome::Committed(revision)) => revision,
        other => panic!("not committed: {other:?}"),
    }
}

pub(crate) async fn put(store: &EtcdStore, key: &str, value: &str) -> Revision {
    committed(store.commit(put_of(key, value.as_bytes())).await)
}

/// A write that is repeated until it is acknowledged, as a client repeats one: it may be done more than once.
pub(crate) async fn put_at_last(store: &EtcdStore, key: &str, value: &str) -> usize {
    for failures in 0..REPEATS_MAX {
        match store.commit(put_of(key, value.as_bytes())).await {
            Ok(outcome) => {
                assert!(matches!(outcome, Outcome::Committed(_)));
                return failures;
            }
            Err(StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("not acknowledged after {REPEATS_MAX} attempts")
}

pub(crate) async fn value(store: &EtcdStore, key: &str) -> Option<String> {
    store.get(key).await.unwrap().map(|entry| String::from_utf8(entry.value).unwrap())
}

/// The changes of the next commit, readable.
pub(crate) async fn next(watch: &mut Box<dyn Watch>) -> Vec<String> {
    let shown = |change: &Change| match change {
        Change::Put(entry) => format!("{}={}", entry.key, String::from_utf8_lossy(&entry.value)),
        Change::Deleted(key, _) => format!("{key} deleted"),
    };
    watch.next().await.unwrap().unwrap().iter().map(shown).collect()
}

/// A client of etcd that knows nothing of stores.
pub(crate) async fn raw(server: &EtcdServer) -> etcd_client::Client {
    etcd_client::Client::connect(server.endpoints(), None).await.unwrap()
}

/// Waits until something holds, for half a minute at most.
pub(crate) async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    for _ in 0..300 {
        if holds().await {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("it does not come true");
}

const REPEATS_MAX: usize = 20;
