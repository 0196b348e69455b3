//! A store whose answers wait until a test lets them go on.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use strongroom_store::{Commit, Kv, Look, MemoryStore, Outcome, Page, Revision, StoreError};
use strongroom_testkit::{Wrap, Wrapped, look};
use tokio::sync::oneshot;

/// A store in memory whose next answer waits on its way.
pub(crate) type SlowStore = Wrapped<Slow>;

#[derive(Default)]
pub(crate) struct Slow {
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

impl Slow {
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
impl Wrap for Slow {
    fn behind(&self) -> &dyn Kv {
        &self.store
    }

    async fn look(&self, key: &str, known: Option<Revision>) -> Result<Look, StoreError> {
        let found = look(&self.store, key, known).await;
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
}
