//! A store whose answers wait until a test lets them go on.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use strongroom_store::{Commit, Entry, Kv, MemoryStore, Outcome, Page, Revision, StoreError, Watch};
use tokio::sync::oneshot;

/// A store in memory whose next answer waits on its way.
#[derive(Default)]
pub(crate) struct SlowStore {
    store: MemoryStore,
    read: Mutex<Option<Hold>>,
    commit: Mutex<Option<Hold>>,
}

struct Hold {
    answered: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

/// Says that the answer is on its way, and lets it arrive.
pub(crate) type Held = (oneshot::Receiver<()>, oneshot::Sender<()>);

impl SlowStore {
    /// Holds the answer to the next read.
    pub(crate) fn hold_next(&self) -> Held {
        hold(&self.read)
    }

    /// Holds the answer to the next commit.
    pub(crate) fn hold_next_commit(&self) -> Held {
        hold(&self.commit)
    }
}

fn hold(place: &Mutex<Option<Hold>>) -> Held {
    let ((answered, seen), (release, go_on)) = (oneshot::channel(), oneshot::channel());
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(Hold { answered, go_on });
    (seen, release)
}

async fn wait(place: &Mutex<Option<Hold>>) {
    let hold = place.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(Hold { answered, go_on }) = hold {
        answered.send(()).unwrap();
        go_on.await.unwrap();
    }
}

#[async_trait]
impl Kv for SlowStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let found = self.store.get(key).await;
        wait(&self.read).await;
        found
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        let found = self.store.range(prefix, after, limit, at).await;
        wait(&self.read).await;
        found
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let outcome = self.store.commit(commit).await;
        wait(&self.commit).await;
        outcome
    }

    async fn watch(&self, prefix: &str, behind: Revision) -> Result<Box<dyn Watch>, StoreError> {
        self.store.watch(prefix, behind).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.store.revision().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}
