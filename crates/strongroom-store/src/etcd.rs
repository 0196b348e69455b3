//! The contract over etcd: for those who run one already, and trust it with the loss of a machine.
//!
//! A revision of the contract is etcd's own: it rises with every change of the whole cluster, so others who write to the same
//! cluster make gaps in it. Every call is one transaction of etcd that also compares the format record ([`open`]), so that
//! nothing else is ever mistaken for the store. Every question ends within a time limit, and a commit whose answer is lost within
//! six of them. Several nodes may use a store at once; what makes that safe is not the engine's but the crate
//! `strongroom-cluster`'s.
//!
//! Read first: [`open`] for what is opened and what is refused, [`commit`], [`turn`] and [`settle`] for what is known when no answer
//! comes, [`watch`] for how no change is lost, [`history`] for what is compacted away.
//!
//! It fails with [`StoreError::Unavailable`] as long as etcd does not answer, has no quorum or refuses this user, and for ever
//! once something else lies at the prefix; with [`StoreError::Full`] while etcd is out of space; with [`StoreError::OutcomeUnknown`]
//! when the answer to a commit is lost, and nothing tells what became of it.

mod commit;
mod history;
mod keyspace;
mod members;
mod open;
mod options;
mod paging;
mod settle;
mod trouble;
mod turn;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use etcd_client::{Compare, GetOptions, Txn, TxnOp, TxnResponse};
use tokio::sync::watch as latest;

use self::history::{History, TICKS};
use self::keyspace::{Keyspace, number};
use self::members::Members;
use self::open::{Access, fence, first_record, header_revision, keys_only};
use self::trouble::Trouble;
use self::turn::Turn;
use self::watch::EtcdWatch;
use crate::limits::check_key;
use crate::{Commit, Entry, Kv, Outcome, Page, Revision, StoreError, Watch};

pub use open::EtcdOpenError;
pub use options::{EtcdOptions, EtcdTls, EtcdUser};

/// A store in etcd, which other nodes may have open as well.
pub struct EtcdStore {
    inner: Arc<Inner>,
}

/// What the store and its watches share.
struct Inner {
    members: Members,
    keyspace: Keyspace,
    /// When the format record was last written: what every call is fenced with.
    format: u64,
    turn: Turn,
    access: Access,
    /// Whether something else lies at the prefix by now.
    lost: AtomicBool,
    /// The newest revision that was seen.
    newest: AtomicU64,
    history: History,
    closed: latest::Sender<bool>,
}

impl EtcdStore {
    /// Opens the store, or makes it.
    ///
    /// # Errors
    /// [`EtcdOpenError`] says in one line what is wrong and in another what helps.
    pub async fn open(options: EtcdOptions) -> Result<Self, EtcdOpenError> {
        Self::open_for(Access::Use, options).await
    }

    /// Opens a store that is there, to change something in it. It is neither made nor brought into another form.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub async fn enter(options: EtcdOptions) -> Result<Self, EtcdOpenError> {
        Self::open_for(Access::Enter, options).await
    }

    /// Opens a store that is there to look at it. Nothing is changed, neither now nor by any call later.
    ///
    /// # Errors
    /// As [`Self::open`]; [`EtcdOpenError::Missing`] if there is none, [`EtcdOpenError::OlderFormat`] if it would have to be changed.
    pub async fn observe(options: EtcdOptions) -> Result<Self, EtcdOpenError> {
        Self::open_for(Access::Look, options).await
    }

    async fn open_for(access: Access, options: EtcdOptions) -> Result<Self, EtcdOpenError> {
        let keyspace = Keyspace::new(&options.prefix).ok_or_else(|| EtcdOpenError::Prefix(options.prefix.clone()))?;
        let members = Members::new(options);
        let opened = open::open(&members, &keyspace, access).await?;
        let inner = Inner {
            members,
            keyspace,
            format: opened.format,
            turn: Turn::default(),
            access,
            lost: AtomicBool::new(false),
            newest: AtomicU64::new(opened.newest),
            history: History::default(),
            closed: latest::Sender::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Compacts etcd from time to time, as far as its history is promised to nobody. Ends when the store is closed.
    pub async fn tend(&self) {
        let Some(history) = self.inner.members.options().history else { return };
        let tick = history / u32::try_from(TICKS).unwrap_or(1);
        let mut closed = self.inner.closed.subscribe();
        loop {
            tokio::select! {
                () = until_closed(&mut closed) => return,
                () = tokio::time::sleep(tick) => {}
            }
            let forgotten = self.forget().await;
            if self.inner.lost.load(Ordering::Acquire) {
                return;
            }
            if let Err(error) = forgotten {
                tracing::warn!(%error, "etcd could not be compacted; it is tried again in {tick:?}");
            }
        }
    }

    /// One step of [`Self::tend`]: counts as a tenth of the promised history, and compacts what has become older than that.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if etcd does not answer or does not let this user compact.
    pub async fn forget(&self) -> Result<(), StoreError> {
        self.inner.check_access()?;
        let newest = self.revision().await?;
        let Some(target) = self.inner.history.tick(newest.0) else { return Ok(()) };
        match self.inner.members.compact(number(target)).await {
            // Compacted already is as good.
            Ok(()) | Err(Trouble::Compacted) => self.inner.history.set_compacted(target),
            Err(trouble) => return Err(self.inner.explain(trouble)),
        }
        tracing::debug!(revision = target, "etcd was compacted");
        Ok(())
    }

    /// Asks something unless the store is closed or lost, and until it is closed.
    async fn run<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.run_or(StoreError::Unavailable, Box::pin(call)).await
    }

    /// The same for what has another answer when it is cut off.
    async fn run_or<T>(
        &self,
        cut_off: fn(String) -> StoreError,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if self.inner.lost.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable(LOST.to_owned()));
        }
        let mut closed = self.inner.closed.subscribe();
        if *closed.borrow() {
            return Err(StoreError::Unavailable(CLOSED.to_owned()));
        }
        tokio::select! {
            biased;
            () = until_closed(&mut closed) => Err(cut_off(CLOSED.to_owned())),
            answer = call => answer,
        }
    }
}

#[async_trait]
impl Kv for EtcdStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        check_key(key)?;
        let question = self.inner.fenced([TxnOp::get(self.inner.keyspace.data(key), None)]);
        let answer = self.run(self.inner.ask(&question)).await?;
        first_record(answer).map(|record| self.inner.keyspace.entry(record)).transpose()
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        self.run(paging::page(&self.inner, prefix, after, limit, at)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        commit.check_limits()?;
        self.inner.check_access()?;
        self.run_or(StoreError::OutcomeUnknown, Box::pin(commit::commit(&self.inner, &commit))).await
    }

    async fn watch(&self, prefix: &str, behind: Revision) -> Result<Box<dyn Watch>, StoreError> {
        let watch = self.run(async {
            self.inner.check_kept(behind).await?;
            EtcdWatch::begin(Arc::clone(&self.inner), prefix, behind).await
        });
        Ok(Box::new(watch.await?))
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        let question = self.inner.fenced([keys_only(self.inner.keyspace.format())]);
        let answer = self.run(self.inner.ask(&question)).await?;
        Ok(Revision(header_revision(&answer)))
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.inner.closed.send_replace(true) {
            return Err(StoreError::Unavailable(CLOSED.to_owned()));
        }
        Ok(())
    }
}

impl Inner {
    /// Questions that are answered only while the store is the one that was opened.
    fn fenced(&self, questions: impl Into<Vec<TxnOp>>) -> Txn {
        self.fenced_if([], questions)
    }

    /// What is done only while that holds, and more does. Otherwise the answer has the format record and that of the turn.
    fn fenced_if(&self, more: impl IntoIterator<Item = Compare>, operations: impl Into<Vec<TxnOp>>) -> Txn {
        let all: Vec<Compare> = [fence(&self.keyspace, self.format)].into_iter().chain(more).collect();
        Txn::new().when(all).and_then(operations).or_else([self.keyspace.format(), self.keyspace.turn()].map(keys_only))
    }

    async fn ask(&self, question: &Txn) -> Result<TxnResponse, StoreError> {
        let answer = self.members.ask(question).await.and_then(|answer| self.known(answer));
        answer.map_err(|trouble| self.explain(trouble))
    }

    /// The answer to fenced questions, if the store is still the one that was opened.
    fn known(&self, answer: TxnResponse) -> Result<TxnResponse, Trouble> {
        self.note(&answer);
        if answer.succeeded() { Ok(answer) } else { Err(self.lose()) }
    }

    /// The format record in the answer of a transaction that was not done is still the one of the store that was opened.
    fn check_format(&self, answer: TxnResponse) -> Result<(), StoreError> {
        match first_record(answer) {
            Some(record) if record.mod_revision == number(self.format) => Ok(()),
            _ => Err(self.explain(self.lose())),
        }
    }

    /// Says once in the log that the store is no longer there, and remembers it.
    fn lose(&self) -> Trouble {
        if !self.lost.swap(true, Ordering::AcqRel) {
            let prefix = self.keyspace.prefix();
            tracing::error!(
                prefix,
                "something else lies at the prefix in etcd than was opened; this node can only be stopped"
            );
        }
        Trouble::Refused(LOST.to_owned())
    }

    fn check_access(&self) -> Result<(), StoreError> {
        match self.access {
            Access::Use | Access::Enter => Ok(()),
            Access::Look => Err(StoreError::Unavailable("it was opened to look at it only".to_owned())),
        }
    }

    /// Whether everything behind a revision can still be told. One that lies ahead can be waited for.
    async fn check_kept(&self, behind: Revision) -> Result<(), StoreError> {
        let then = GetOptions::new().with_keys_only().with_revision(number(behind.0.max(1)));
        let question = self.fenced([TxnOp::get(self.keyspace.format(), Some(then))]);
        match self.members.ask(&question).await.and_then(|answer| self.known(answer)) {
            Ok(_) | Err(Trouble::Ahead) => Ok(()),
            Err(trouble) => Err(self.explain_at(trouble, behind)),
        }
    }

    /// Remembers how far the cluster has come.
    fn note(&self, answer: &TxnResponse) {
        self.note_revision(header_revision(answer));
    }

    fn note_revision(&self, seen: u64) {
        self.newest.fetch_max(seen, Ordering::AcqRel);
    }

    fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Says in the contract's words what went wrong.
    fn explain(&self, trouble: Trouble) -> StoreError {
        match trouble {
            Trouble::Full => StoreError::Full,
            Trouble::Corrupt(detail) => StoreError::Damaged { path: self.keyspace.prefix().to_owned(), detail },
            trouble => StoreError::Unavailable(trouble.text().to_owned()),
        }
    }

    /// The same for a question about a revision.
    fn explain_at(&self, trouble: Trouble, at: Revision) -> StoreError {
        match trouble {
            Trouble::Compacted => StoreError::Compacted(at),
            Trouble::Ahead => StoreError::NotYetCommitted(at),
            trouble => self.explain(trouble),
        }
    }
}

async fn until_closed(closed: &mut latest::Receiver<bool>) {
    // The sender outlives every call.
    let _ = closed.wait_for(|closed| *closed).await;
}

const CLOSED: &str = "it is closed";
const LOST: &str = "what lies at the prefix in etcd is no longer the store that was opened there";
