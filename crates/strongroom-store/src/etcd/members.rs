//! The members of an etcd cluster, and whom to ask next.
//!
//! One member is asked until it fails. A question is then put to the next one; a write only if the first has certainly
//! not begun it, because nobody else repeats a write (see [`super::commit`]). While members say that they have no leader,
//! they are asked again until the time limit is near: choosing one takes a second or two.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{Client, KvClient, Txn, TxnResponse, WatchOptions, WatchStream};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

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
    standing: Mutex<Standing>,
}

impl Members {
    pub(super) fn new(options: EtcdOptions) -> Self {
        let member = |endpoint: &String| Member {
            endpoint: endpoint.clone(),
            client: OnceCell::new(),
            standing: Mutex::default(),
        };
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
        self.hand_round(question, Purpose::Question).await
    }

    /// Writes, once.
    pub(super) async fn tell(&self, write: &Txn) -> Result<TxnResponse, Trouble> {
        self.hand_round(write, Purpose::Write).await
    }

    async fn hand_round(&self, txn: &Txn, purpose: Purpose) -> Result<TxnResponse, Trouble> {
        let asked = AtomicUsize::new(self.current());
        let rounds = async {
            let mut rounds = self.rounds();
            loop {
                let mut last = Trouble::silence();
                for _ in 0..self.attempts() {
                    let index = self.current();
                    asked.store(index, Ordering::Relaxed);
                    match self.attempt(index, txn, purpose).await {
                        Err(trouble) if trouble.may_differ_elsewhere() => {
                            self.leave(index, &trouble);
                            if purpose == Purpose::Write && !trouble.is_untouched() {
                                return Err(trouble);
                            }
                            last = trouble.or_later(last);
                        }
                        answer => {
                            self.praise(index);
                            return answer;
                        }
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

    /// Begins a watch at the member of the hour, and waits until it has taken it. Says which member that is.
    pub(super) async fn watch(&self, first: &[u8], options: WatchOptions) -> Result<(usize, WatchStream), Trouble> {
        let index = self.current();
        let beginning = async {
            let mut watch = self.client(index).await?.watch_client().max_decoding_message_size(ANSWER_BYTES_MAX);
            let mut stream = watch.watch(first, Some(options)).await.map_err(Trouble::of)?;
            match stream.message().await.map_err(Trouble::of)? {
                Some(answer) if answer.canceled() && answer.compact_revision() > 0 => Err(Trouble::Compacted),
                Some(answer) if answer.canceled() => Err(Trouble::Refused(answer.cancel_reason().to_owned())),
                Some(_) => Ok(stream),
                None => Err(Trouble::stream_ended()),
            }
        };
        match timeout(self.share, beginning).await.unwrap_or_else(|_| Err(Trouble::silence())) {
            Ok(stream) => Ok((index, stream)),
            Err(trouble) => {
                self.leave(index, &trouble);
                Err(trouble)
            }
        }
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

    /// A question that one member does not answer in its share of the time is put to the next one; a write has all of it.
    async fn attempt(&self, index: usize, txn: &Txn, purpose: Purpose) -> Result<TxnResponse, Trouble> {
        match purpose {
            Purpose::Question => {
                let answer = timeout(self.share, self.send(index, txn)).await;
                answer.unwrap_or_else(|_| Err(Trouble::silence()))
            }
            Purpose::Write => self.send(index, txn).await,
        }
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

    /// A member failed, be it a request or a watch on it. If it is the one that is asked, the next one is from now on.
    pub(super) fn leave(&self, index: usize, why: &Trouble) {
        if !why.may_differ_elsewhere() {
            return;
        }
        let next = (index + 1) % self.members.len().max(1);
        // Somebody may have moved on already.
        let _ = self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
        if let Some(member) = self.members.get(index)
            && member.standing().fails(Instant::now())
        {
            tracing::warn!(endpoint = member.endpoint, why = why.text(), "an etcd member does not answer as it should");
        }
    }

    /// A member answered.
    fn praise(&self, index: usize) {
        if let Some(member) = self.members.get(index)
            && member.standing().answers()
        {
            tracing::info!(endpoint = member.endpoint, "the etcd member answers again");
        }
    }
}

impl Member {
    /// No code panics while it holds the lock.
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was last said in the log about a member: so that it says what changes, and no more than a line a minute while all are away
/// and every request finds that out anew.
#[derive(Default)]
struct Standing {
    complained: Option<Instant>,
    /// The complaint still stands.
    is_open: bool,
}

impl Standing {
    /// It failed: whether that is to be said.
    fn fails(&mut self, now: Instant) -> bool {
        if self.complained.is_some_and(|last| now.duration_since(last) < REPEAT) {
            return false;
        }
        self.complained = Some(now);
        self.is_open = true;
        true
    }

    /// It answered: whether that is to be said.
    fn answers(&mut self) -> bool {
        std::mem::take(&mut self.is_open)
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Question,
    Write,
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
/// The same is said of a member at most this often.
const REPEAT: Duration = Duration::from_secs(60);

/// Longest answer that is taken: a batch of [`super::paging::BATCH_ENTRIES`] of the largest values there can be.
const ANSWER_BYTES_MAX: usize = 40 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::super::options::EtcdTls;
    use super::*;

    fn members(count: u16) -> Members {
        Members::new(EtcdOptions {
            endpoints: (0..count).map(|index| format!("http://127.0.0.1:{}", index + 1)).collect(),
            prefix: "/p".to_owned(),
            tls: EtcdTls::default(),
            user: None,
            timeout: Duration::from_secs(1),
            history: None,
        })
    }

    #[test]
    fn what_fails_elsewhere_does_not_move_requests_away_from_a_member_that_answers() {
        let members = members(3);
        members.leave(0, &Trouble::silence());
        assert_eq!(members.current(), 1);
        // A watch that still ran on the first one breaks off as well.
        members.leave(0, &Trouble::stream_ended());
        assert_eq!(members.current(), 1);
        // What every member would say is no reason to leave.
        members.leave(1, &Trouble::Refused("etcdserver: permission denied".to_owned()));
        assert_eq!(members.current(), 1);
        members.leave(1, &Trouble::stream_ended());
        assert_eq!(members.current(), 2);
    }

    #[test]
    fn a_member_that_fails_and_fails_is_told_of_once_a_minute() {
        let (mut standing, start) = (Standing::default(), Instant::now());
        assert!(!standing.answers(), "nothing was said of it");
        assert!(standing.fails(start));
        let calls = (0..1000).filter(|call| standing.fails(start + REPEAT / 1000 * *call)).count();
        assert_eq!(calls, 0);
        assert!(standing.fails(start + REPEAT), "it is still away");
        assert!(standing.answers());
        assert!(!standing.answers());
        assert!(!standing.fails(start + REPEAT), "one that comes and goes is no news either");
        assert!(!standing.answers());
    }
}
