//! The members of an etcd cluster, and whom to ask next.
//!
//! One member is asked until it fails. A question is then put to the next one; a write only if the first has certainly
//! not begun it, because nobody else repeats a write (see [`super::commit`]). While members say that they have no leader,
//! they are asked again until the time limit is near: choosing one takes a second or two.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, KvClient, Txn, TxnResponse, WatchOptions, WatchStream};
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use super::options::EtcdOptions;
use super::trouble::Trouble;

/// All members that are known.
pub(super) struct Members {
    members: Vec<Member>,
    /// Who is asked.
    current: AtomicUsize,
    options: EtcdOptions,
    /// What each attempt may take, so that all of them fit into the time limit.
    share: Duration,
}

struct Member {
    endpoint: String,
    /// Made at its first use, so that one that is down holds nobody up.
    client: OnceCell<Client>,
}

impl Members {
    pub(super) fn new(options: EtcdOptions) -> Self {
        let member = |endpoint: &String| Member { endpoint: endpoint.clone(), client: OnceCell::new() };
        let members: Vec<Member> = options.endpoints.iter().map(member).collect();
        // A single member is asked twice: it may have been restarted since its connection was made.
        let attempts = u32::try_from(members.len()).unwrap_or(u32::MAX).max(2);
        let share = options.timeout / attempts;
        Self { members, current: AtomicUsize::new(0), options, share }
    }

    pub(super) fn options(&self) -> &EtcdOptions {
        &self.options
    }

    /// Puts a question, to one member after another.
    pub(super) async fn ask(&self, question: &Txn) -> Result<TxnResponse, Trouble> {
        let rounds = async {
            let mut rounds = self.rounds();
            loop {
                let mut last = Trouble::silence();
                for _ in 0..self.attempts() {
                    let index = self.current();
                    let answer = timeout(self.share, self.send(index, question)).await;
                    match answer.unwrap_or_else(|_| Err(Trouble::silence())) {
                        Err(trouble) if trouble.may_differ_elsewhere() => {
                            self.leave(index, &trouble);
                            last = trouble.or_later(last);
                        }
                        answer => return answer,
                    }
                }
                rounds.next(last).await?;
            }
        };
        timeout(self.options.timeout, rounds).await.unwrap_or_else(|_| Err(Trouble::silence()))
    }

    /// Writes, once.
    pub(super) async fn tell(&self, write: &Txn) -> Result<TxnResponse, Trouble> {
        let asked = AtomicUsize::new(self.current());
        let rounds = async {
            let mut rounds = self.rounds();
            loop {
                let mut last = Trouble::silence();
                for _ in 0..self.attempts() {
                    let index = self.current();
                    asked.store(index, Ordering::Relaxed);
                    match self.send(index, write).await {
                        Err(trouble) if trouble.may_differ_elsewhere() => {
                            self.leave(index, &trouble);
                            if !trouble.is_untouched() {
                                return Err(trouble);
                            }
                            last = trouble.or_later(last);
                        }
                        answer => return answer,
                    }
                }
                rounds.next(last).await?;
            }
        };
        timeout(self.options.timeout, rounds).await.unwrap_or_else(|_| {
            let trouble = Trouble::silence();
            self.leave(asked.load(Ordering::Relaxed), &trouble);
            Err(trouble)
        })
    }

    /// Forgets history before a revision.
    pub(super) async fn compact(&self, revision: i64) -> Result<(), Trouble> {
        let compaction = async {
            let mut kv = self.client(self.current()).await?.kv_client();
            kv.compact(revision, None).await.map(drop).map_err(Trouble::of)
        };
        timeout(self.options.timeout, compaction).await.unwrap_or_else(|_| Err(Trouble::silence()))
    }

    /// Begins a watch at the member of the hour.
    pub(super) async fn watch(&self, first: &[u8], options: WatchOptions) -> Result<WatchStream, Trouble> {
        let index = self.current();
        let beginning = async {
            let mut watch = self.client(index).await?.watch_client().max_decoding_message_size(ANSWER_BYTES_MAX);
            watch.watch(first, Some(options)).await.map_err(Trouble::of)
        };
        let stream = timeout(self.share, beginning).await.unwrap_or_else(|_| Err(Trouble::silence()));
        stream.inspect_err(|trouble| self.leave(index, trouble))
    }

    /// Has whoever is asked next be another member, after a watch broke off.
    pub(super) fn leave_current(&self, why: &Trouble) {
        self.leave(self.current(), why);
    }

    /// Whether any member answers, be it that it cannot decide anything without the others.
    pub(super) async fn somebody_answers(&self) -> bool {
        for index in 0..self.members.len() {
            let status = async {
                let mut maintenance = self.client(index).await?.maintenance_client();
                maintenance.status().await.map_err(Trouble::of)
            };
            if matches!(timeout(self.share, status).await, Ok(Ok(_) | Err(Trouble::NotDone(_)))) {
                return true;
            }
        }
        false
    }

    async fn send(&self, index: usize, txn: &Txn) -> Result<TxnResponse, Trouble> {
        let mut kv: KvClient = self.client(index).await?.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX);
        kv.txn(txn.clone()).await.map_err(Trouble::of)
    }

    async fn client(&self, index: usize) -> Result<Client, Trouble> {
        let Some(member) = self.members.get(index) else {
            return Err(Trouble::NotSent("no member is configured".to_owned()));
        };
        let connect = || async {
            let options = self.options.connect(&member.endpoint, self.share);
            Client::connect([&member.endpoint], Some(options)).await
        };
        let client = member.client.get_or_try_init(connect).await;
        client.cloned().map_err(|error| Trouble::of(error).before_sending())
    }

    /// So many that they end before the time limit, if members answer at once.
    fn rounds(&self) -> Rounds {
        Rounds { left: self.options.timeout.as_millis() * 4 / 5 / ROUND_PAUSE.as_millis() }
    }

    fn attempts(&self) -> usize {
        self.members.len().max(2)
    }

    fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// The next one is asked from now on, unless somebody has moved on already.
    fn leave(&self, index: usize, why: &Trouble) {
        let next = (index + 1) % self.members.len().max(1);
        let moved = self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
        if moved.is_ok() {
            let endpoint = self.members.get(index).map_or("", |member| member.endpoint.as_str());
            tracing::warn!(endpoint, why = why.text(), "an etcd member does not answer as it should");
        }
    }
}

/// Further attempts at a cluster that says that it is choosing a leader, or is too busy: in a second it may do.
struct Rounds {
    left: u128,
}

impl Rounds {
    /// Waits before the next round, if there is any sense in one.
    async fn next(&mut self, last: Trouble) -> Result<(), Trouble> {
        if self.left == 0 || !matches!(last, Trouble::NotDone(_)) {
            return Err(last);
        }
        self.left -= 1;
        sleep(ROUND_PAUSE).await;
        Ok(())
    }
}

const ROUND_PAUSE: Duration = Duration::from_millis(200);

/// Longest answer that is taken: a batch of [`super::paging::BATCH_ENTRIES`] of the largest values there can be.
const ANSWER_BYTES_MAX: usize = 40 * 1024 * 1024;
