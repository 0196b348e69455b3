//! A read that a write overtakes is no rollback; one that is older than what was known before it began is.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use strongroom_core::barrier::{Record, Stored};
use strongroom_core::{Core, Error, Result};
use strongroom_store::{Commit, Entry, Kv, MemoryStore, Outcome, Page, Revision, StoreError, Watch, Write};
use strongroom_testkit::{core_on, draw_uuid, request_of};
use tokio::sync::oneshot;

const KEY: &str = "d/test/one";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Number(u32);

impl Record for Number {
    const FORMAT: u16 = 1;
}

/// A store whose next answer waits on its way.
struct SlowStore {
    store: MemoryStore,
    hold: Mutex<Option<Hold>>,
}

struct Hold {
    answered: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

impl SlowStore {
    fn hold_next(&self) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let ((answered, seen), (release, go_on)) = (oneshot::channel(), oneshot::channel());
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = Some(Hold { answered, go_on });
        (seen, release)
    }

    async fn wait(&self) {
        let hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Hold { answered, go_on }) = hold {
            answered.send(()).unwrap();
            go_on.await.unwrap();
        }
    }
}

#[async_trait]
impl Kv for SlowStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let found = self.store.get(key).await;
        self.wait().await;
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
        self.wait().await;
        found
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.store.commit(commit).await
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

async fn world() -> (Arc<SlowStore>, Arc<Core>) {
    let store = Arc::new(SlowStore { store: MemoryStore::new(), hold: Mutex::default() });
    let core = core_on(Arc::<SlowStore>::clone(&store)).await.unwrap().core;
    let barrier = core.barrier();
    let mut transaction = barrier.transaction();
    transaction.create(barrier.deployment(), KEY.to_owned(), &Number(1)).unwrap();
    transaction.commit(&request()).await.unwrap();
    (store, core)
}

fn request() -> strongroom_core::request::Request {
    let tenant = strongroom_types::TenantId::from_uuid(draw_uuid().unwrap());
    let principal = strongroom_types::PrincipalId::from_uuid(draw_uuid().unwrap());
    request_of(strongroom_testkit::program(tenant, principal), strongroom_testkit::START).unwrap()
}

async fn read(core: &Core) -> Result<Option<Stored<Number>>> {
    core.barrier().read(core.barrier().deployment(), KEY).await
}

async fn all(core: &Core) -> Result<Vec<Stored<Number>>> {
    core.barrier().all(core.barrier().deployment(), "d/test/").await
}

async fn replace(core: &Core, number: u32) {
    let stored = read(core).await.unwrap().unwrap();
    let mut transaction = core.barrier().transaction();
    transaction.replace(core.barrier().deployment(), &stored, &Number(number)).unwrap();
    transaction.commit(&request()).await.unwrap();
}

#[tokio::test]
async fn a_record_that_is_replaced_while_it_is_read_is_shown_as_it_was() {
    let (store, core) = world().await;
    let (answered, release) = store.hold_next();
    let writer = async {
        answered.await.unwrap();
        replace(&core, 2).await;
        release.send(()).unwrap();
    };
    let (found, ()) = tokio::join!(read(&core), writer);
    assert_eq!(found.unwrap().unwrap().value, Number(1));
    assert_eq!(read(&core).await.unwrap().unwrap().value, Number(2));
}

#[tokio::test]
async fn a_page_on_which_a_record_was_replaced_meanwhile_is_read_again() {
    let (store, core) = world().await;
    let (answered, release) = store.hold_next();
    let writer = async {
        answered.await.unwrap();
        replace(&core, 2).await;
        release.send(()).unwrap();
    };
    let (found, ()) = tokio::join!(all(&core), writer);
    assert_eq!(found.unwrap()[0].value, Number(2));
}

#[tokio::test]
async fn a_record_that_was_put_back_is_refused_by_itself_and_on_a_page() {
    let (store, core) = world().await;
    let old = store.get(KEY).await.unwrap().unwrap().value;
    replace(&core, 2).await;
    let writes = vec![Write::Put(KEY.to_owned(), old)];
    store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
    assert!(matches!(read(&core).await, Err(Error::Tampered { .. })));
    assert!(matches!(all(&core).await, Err(Error::Tampered { .. })));
}
