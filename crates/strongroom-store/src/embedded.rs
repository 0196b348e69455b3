//! The contract over one redb file: the default engine, which needs nothing but a disk.
//!
//! One thread writes; it makes everything that waits durable in one step (group commit) and then shows it to readers. Those
//! share a snapshot of the last durable state and read it where they are called: they are synchronous, touch one B-tree path
//! or one page of a range, and never wait for the disk, so handing them to a pool would cost more than they do.

mod disk;
mod engine;
mod published;
mod snapshot;
mod tables;
mod watch;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as blocking};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch as latest};

use self::engine::{Engine, Trouble};
use self::snapshot::Snapshot;
use self::watch::EmbeddedWatch;
use self::writer::{Request, Writer};
use crate::limits::check_key;
use crate::{Commit, Entry, HISTORY_REVISIONS, Kv, Look, Outcome, Page, Revision, Shown, StoreError, Watch};

/// A store in one file, held by one process.
///
/// Opening verifies every page of the file. A full disk refuses writes with [`StoreError::Full`] until there is space
/// again; any other failed write stops the store, because what the disk holds is then uncertain until the file is opened
/// anew.
///
/// Dropping the store finishes the commits that wait and lets go of the file, but waits for that only
/// some seconds: [`Kv::close`] is the graceful way, and says if it went wrong.
pub struct EmbeddedStore {
    engine: Arc<Engine>,
    committed: latest::Receiver<Revision>,
    running: Mutex<Option<Running>>,
    /// What `running` says, for who asks often.
    is_closing: AtomicBool,
}

/// The thread that writes, and the only way to it.
struct Running {
    queue: mpsc::Sender<Request>,
    thread: JoinHandle<Result<(), StoreError>>,
    /// Nothing is ever sent: the thread drops its end when it is done.
    done: blocking::Receiver<()>,
}

impl EmbeddedStore {
    /// Opens the file, or makes it (mode 600), and starts the thread that writes.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while another process or store has it open, [`StoreError::Damaged`] if a page is not what was
    /// written or the file is not a store, [`StoreError::NewerFormat`], [`StoreError::Full`], [`StoreError::Io`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with_history(path, HISTORY_REVISIONS)
    }

    /// A store that keeps another depth of history, so that a test need not write 10,000 commits to lose one.
    pub(crate) fn open_with_history(path: &Path, history: u64) -> Result<Self, StoreError> {
        let engine = Arc::new(Engine::open(path, history)?);
        let revision = engine.read(|snapshot| Ok(snapshot.revision()))?;
        let (queue, requests) = mpsc::channel(QUEUE_COMMITS_MAX);
        let (sender, committed) = latest::channel(revision);
        let (finished, done) = blocking::channel();
        let writer = Writer::new(Arc::clone(&engine), requests, sender);
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            let _finished: blocking::Sender<()> = finished;
            writer.run()
        });
        let thread = thread.map_err(|source| StoreError::Io { path: path.display().to_string(), source })?;
        let running = Mutex::new(Some(Running { queue, thread, done }));
        Ok(Self { engine, committed, running, is_closing: AtomicBool::new(false) })
    }

    fn queue(&self) -> Result<mpsc::Sender<Request>, StoreError> {
        self.running().as_ref().map(|running| running.queue.clone()).ok_or_else(engine::closed)
    }

    /// Reads while the store closes are refused, though the file may still be open.
    fn read<T>(&self, action: impl FnOnce(&Snapshot) -> Result<T, Trouble>) -> Result<T, StoreError> {
        self.check_open()?;
        self.engine.read(action)
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.running().is_none() { Err(engine::closed()) } else { Ok(()) }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Kv for EmbeddedStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        check_key(key)?;
        self.read(|snapshot| snapshot.get(key))
    }

    async fn get_unless(&self, key: &str, known: Revision) -> Result<Look, StoreError> {
        check_key(key)?;
        self.check_open()?;
        self.engine.look(|published| published.get_unless(key, known))
    }

    fn shown(&self) -> Option<Shown> {
        if self.is_closing.load(Ordering::SeqCst) { None } else { self.engine.shown() }
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        self.read(|snapshot| snapshot.range(prefix, after, limit, at))
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        commit.check_limits()?;
        let queue = self.queue()?;
        let (answer, outcome) = oneshot::channel();
        queue.send(Request::Commit(commit, answer)).await.map_err(|_| engine::closed())?;
        outcome.await.map_err(|_| engine::closed())?
    }

    async fn watch(&self, prefix: &str, behind: Revision) -> Result<Box<dyn Watch>, StoreError> {
        self.read(|snapshot| snapshot.check_watchable(behind))?;
        Ok(Box::new(EmbeddedWatch::new(Arc::clone(&self.engine), self.committed.clone(), prefix, behind)))
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.read(|snapshot| Ok(snapshot.revision()))
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.is_closing.store(true, Ordering::SeqCst);
        let running = self.running().take();
        let Running { queue, thread, done: _ } = running.ok_or_else(engine::closed)?;
        // Refused only if the thread has ended already.
        let _ = queue.send(Request::Close).await;
        let mut committed = self.committed.clone();
        // The thread drops the sender as its last act, so joining it afterwards blocks nobody.
        while committed.changed().await.is_ok() {}
        thread.join().unwrap_or_else(|_| Err(StoreError::Unavailable("its writer panicked".to_owned())))
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        let running = self.running().take();
        let Some(Running { queue, thread, done }) = running else { return };
        // Nobody else has a sender: a commit that waits borrows the store.
        drop(queue);
        if done.recv_timeout(DROP_WAIT) == Err(blocking::RecvTimeoutError::Timeout) {
            tracing::warn!("the store is still writing; leaving it to finish alone");
            return;
        }
        if !matches!(thread.join(), Ok(Ok(()))) {
            tracing::warn!("the store was not closed cleanly; it will be checked when it is opened again");
        }
    }
}

/// Most commits that wait for the thread that writes; a caller beyond them waits for its turn to wait.
const QUEUE_COMMITS_MAX: usize = 256;
/// Longest time that dropping a store may take.
const DROP_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
