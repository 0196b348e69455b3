//! An empty store of some engine, and short words for what the tests do with it.

use std::ops::Deref;
use std::sync::Arc;
#[cfg(feature = "etcd")]
use std::time::Duration;

use strongroom_store::{Commit, EmbeddedStore, Entry, Kv, MemoryStore, Outcome, Page, Precondition, Revision, Write};
#[cfg(feature = "etcd")]
use strongroom_store::{EtcdOptions, EtcdStore, EtcdTls};
use tempfile::TempDir;

#[cfg(feature = "etcd")]
use crate::server::EtcdServer;

/// An empty store; what it lies in is removed with it.
pub(crate) struct Fixture {
    store: Arc<dyn Kv>,
    /// Then a commit that is cut off may have been done: others know, and nobody asks them any more.
    pub(crate) over_a_network: bool,
    _folder: Option<TempDir>,
    /// The store again, and the server below it.
    #[cfg(feature = "etcd")]
    etcd: Option<(Arc<EtcdStore>, EtcdServer)>,
}

impl Fixture {
    pub(crate) fn memory() -> Self {
        Self::over(Arc::new(MemoryStore::new()), None)
    }

    pub(crate) fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&folder.path().join("store")).unwrap();
        Self::over(Arc::new(store), Some(folder))
    }

    /// A server of its own, so that nobody else raises the revision.
    #[cfg(feature = "etcd")]
    pub(crate) async fn etcd() -> Self {
        let server = EtcdServer::start();
        let options = EtcdOptions {
            endpoints: server.endpoints(),
            prefix: "/conformance".to_owned(),
            tls: EtcdTls::default(),
            user: None,
            timeout: Duration::from_secs(20),
            history: None,
        };
        let store = Arc::new(EtcdStore::open(options).await.unwrap());
        Self { etcd: Some((Arc::clone(&store), server)), over_a_network: true, ..Self::over(store, None) }
    }

    fn over(store: Arc<dyn Kv>, folder: Option<TempDir>) -> Self {
        Self {
            store,
            over_a_network: false,
            _folder: folder,
            #[cfg(feature = "etcd")]
            etcd: None,
        }
    }

    /// Lets an engine forget what it need not keep; those that forget by themselves have done so.
    pub(crate) async fn forget(&self) {
        #[cfg(feature = "etcd")]
        if let Some((store, _)) = &self.etcd {
            // A tenth of the promised age each time.
            for _ in 0..=10 {
                store.forget().await.unwrap();
            }
        }
    }

    pub(crate) fn share(&self) -> Arc<dyn Kv> {
        Arc::clone(&self.store)
    }

    /// Writes without preconditions.
    pub(crate) async fn write(&self, writes: Vec<Write>) -> Revision {
        write(&*self.store, writes).await
    }

    pub(crate) async fn put(&self, key: &str, value: &str) -> Revision {
        self.write(vec![put(key, value)]).await
    }

    pub(crate) async fn delete(&self, key: &str) -> Revision {
        self.write(vec![delete(key)]).await
    }

    /// A write that happens only if these hold.
    pub(crate) async fn write_if(&self, preconditions: Vec<Precondition>, writes: Vec<Write>) -> Outcome {
        self.store.commit(Commit { preconditions, writes }).await.unwrap()
    }

    pub(crate) async fn value(&self, key: &str) -> Option<String> {
        self.store.get(key).await.unwrap().map(|entry| text(&entry))
    }

    /// What lies under a prefix, as `key=value`.
    pub(crate) async fn listed(&self, prefix: &str, at: Option<Revision>) -> Vec<String> {
        shown(&self.store.range(prefix, None, 1000, at).await.unwrap())
    }
}

impl Deref for Fixture {
    type Target = dyn Kv;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

pub(crate) async fn write(store: &dyn Kv, writes: Vec<Write>) -> Revision {
    match store.commit(Commit { preconditions: vec![], writes }).await.unwrap() {
        Outcome::Committed(revision) => revision,
        Outcome::Conflict => panic!("a conflict without preconditions"),
    }
}

pub(crate) fn put(key: &str, value: &str) -> Write {
    Write::Put(key.to_owned(), value.as_bytes().to_vec())
}

pub(crate) fn delete(key: &str) -> Write {
    Write::Delete(key.to_owned())
}

pub(crate) fn absent(key: &str) -> Precondition {
    Precondition::Absent(key.to_owned())
}

pub(crate) fn unchanged(key: &str, revision: Revision) -> Precondition {
    Precondition::Unchanged(key.to_owned(), revision)
}

pub(crate) fn text(entry: &Entry) -> String {
    String::from_utf8(entry.value.clone()).unwrap()
}

/// The entries of a page as `key=value`.
pub(crate) fn shown(page: &Page) -> Vec<String> {
    page.entries.iter().map(|entry| format!("{}={}", entry.key, text(entry))).collect()
}

/// The keys of a page.
pub(crate) fn keys(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.key.as_str()).collect()
}
