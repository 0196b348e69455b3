//! What lies between a node and its engine: delays, loss in one direction or both, a watch that stalls, a full disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_store::{Change, Commit, Entry, Kv, Outcome, Page, Revision, StoreError, Watch, Write};

use super::executor::Executor;
use super::random::Random;

/// One node's way to the engine.
pub(super) struct Link(Arc<Ends>);

struct Ends {
    engine: Arc<dyn Kv>,
    executor: Executor,
    state: Mutex<State>,
    full: Arc<AtomicBool>,
}

struct State {
    random: Random,
    faults: Faults,
}

/// What is wrong with a link at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Nothing reaches the engine.
    pub(super) requests_lost: bool,
    /// Nothing comes back from it.
    pub(super) answers_lost: bool,
    /// The watch shows nothing, though all else works.
    pub(super) watch_stalled: bool,
    /// Answers take up to so many milliseconds.
    pub(super) slow: Option<u64>,
}

impl Link {
    pub(super) fn new(engine: Arc<dyn Kv>, executor: Executor, random: Random, full: Arc<AtomicBool>) -> Arc<Self> {
        let state = Mutex::new(State { random, faults: Faults::default() });
        Arc::new(Self(Arc::new(Ends { engine, executor, state, full })))
    }

    pub(super) fn set(&self, faults: Faults) {
        self.state().faults = faults;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn faults(&self) -> Faults {
        self.state().faults
    }

    fn chance(&self, percent: u64) -> bool {
        self.state().random.percent(percent)
    }

    async fn delay(&self, most: u64) {
        let time = self.state().random.millis(0, most);
        self.0.executor.sleep(time).await;
    }

    async fn way_back(&self) {
        let (least, most) = self.faults().slow.map_or((0, ANSWER_MILLIS), |most| (most / 2, most));
        let time = self.state().random.millis(least, most);
        self.0.executor.sleep(time).await;
    }

    /// A call whose request or answer may be lost.
    async fn call<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.delay(REQUEST_MILLIS).await;
        if self.faults().requests_lost {
            return self.unanswered().await;
        }
        self.answered(call).await
    }

    /// The second half of a call: what has arrived is done, and its answer may be lost.
    async fn answered<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let answer = call.await;
        self.way_back().await;
        if self.faults().answers_lost {
            return self.unanswered().await;
        }
        answer
    }

    async fn unanswered<T>(&self) -> Result<T, StoreError> {
        self.0.executor.sleep(CALL_MAX).await;
        Err(StoreError::Unavailable("the link is cut".to_owned()))
    }

    /// A commit that is on its way still when nobody waits for it any more.
    fn deliver_late(&self, commit: Commit) {
        let (engine, executor) = (Arc::clone(&self.0.engine), self.0.executor.clone());
        let time = self.state().random.millis(0, 8_000);
        self.0.executor.spawn(None, async move {
            executor.sleep(time).await;
            let _ = engine.commit(commit).await;
        });
    }
}

#[async_trait]
impl Kv for Link {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.call(self.0.engine.get(key)).await
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        self.call(self.0.engine.range(prefix, after, limit, at)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.delay(REQUEST_MILLIS).await;
        if self.faults().requests_lost {
            if self.chance(LATE_PERCENT) {
                self.deliver_late(commit);
            }
            return self.unanswered().await;
        }
        let grows = commit.writes.iter().any(|write| matches!(write, Write::Put(..)));
        let committed = async {
            if grows && self.0.full.load(Ordering::SeqCst) {
                return Err(StoreError::Full);
            }
            self.0.engine.commit(commit).await
        };
        self.answered(committed).await
    }

    async fn watch(&self, prefix: &str, behind: Revision) -> Result<Box<dyn Watch>, StoreError> {
        let watch = self.call(self.0.engine.watch(prefix, behind)).await?;
        Ok(Box::new(LinkWatch { watch, pending: None, link: Link(Arc::clone(&self.0)) }))
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.call(self.0.engine.revision()).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

struct LinkWatch {
    watch: Box<dyn Watch>,
    /// Arrived, and not handed out yet.
    pending: Option<Vec<Change>>,
    link: Link,
}

#[async_trait]
impl Watch for LinkWatch {
    async fn next(&mut self) -> Option<Result<Vec<Change>, StoreError>> {
        if self.pending.is_none() {
            match self.watch.next().await? {
                Ok(changes) => self.pending = Some(changes),
                Err(error) => return Some(Err(error)),
            }
        }
        self.link.way_back().await;
        while self.link.faults().answers_lost || self.link.faults().watch_stalled {
            self.link.delay(STALL_MILLIS).await;
            if self.link.chance(BREAK_PERCENT) {
                return Some(Err(StoreError::Unavailable("the watch broke".to_owned())));
            }
        }
        let changes = self.pending.take()?;
        if self.link.chance(REPEAT_PERCENT) {
            self.pending = Some(changes.clone());
        }
        Some(Ok(changes))
    }
}

const REQUEST_MILLIS: u64 = 3;
const ANSWER_MILLIS: u64 = 3;
/// How often a stalled watch looks whether it may go on.
const STALL_MILLIS: u64 = 400;
/// How often a commit that seems lost arrives when nobody waits for it any more.
const LATE_PERCENT: u64 = 30;
const BREAK_PERCENT: u64 = 5;
/// How often changes come twice.
const REPEAT_PERCENT: u64 = 5;
/// What an engine waits for an answer before it gives up.
const CALL_MAX: Duration = Duration::from_secs(3);
