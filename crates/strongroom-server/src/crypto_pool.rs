//! Threads for slow cryptography, apart from those that serve connections (crates-and-limits.md §2.4); where there is one core, short
//! operations are done between connections instead.
//!
//! Three lanes: RSA private operations must not wait behind the generation of RSA keys, and neither behind keys that nobody
//! has asked for yet. The slower a lane is the less it may press: where cores are scarce, its threads stand back. Each lane
//! has a queue that is bounded by the time it takes to work it off; a full one refuses, and the client is told to come back,
//! before any key was touched.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_core::ports::{CryptoPool, HandOver, Job, Lane, Overloaded};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::Instant;

/// The pool of a process. Its threads end when it is dropped, after what is queued.
pub struct ThreadPool {
    fast: Queue,
    slow: Queue,
    ahead: Queue,
    refused: AtomicU64,
}

struct Queue {
    jobs: SyncSender<Job>,
    /// For jobs that are done between connections, on the thread that serves them.
    between: Option<mpsc::Sender<Job>>,
    load: Arc<Load>,
    terms: Terms,
}

/// How a lane works.
#[derive(Debug, Clone, Copy)]
struct Terms {
    name: &'static str,
    threads: usize,
    /// By how much its threads are nicer than those that serve connections.
    nice: i32,
    /// Most jobs that wait.
    jobs_max: usize,
    /// Longest time that a new job would wait.
    wait_max: Duration,
}

/// What waits on a lane, and how long one job takes.
#[derive(Debug, Default)]
struct Load {
    waiting: AtomicU64,
    /// A running mean, in nanoseconds; 0 before the first job.
    mean_cost: AtomicU64,
}

/// How the pool is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// Jobs that wait on the fast lane.
    pub fast: u64,
    /// Jobs that wait on the slow lane.
    pub slow: u64,
    /// Jobs refused so far because a lane was full.
    pub refused: u64,
}

impl ThreadPool {
    /// A pool with one fast thread a core, a slow one, and one for what nobody waits for. Where there is one core, and a runtime
    /// on it, fast jobs that do not take long are done between connections.
    ///
    /// # Errors
    /// What the system says if a thread cannot be started.
    pub fn start() -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let [fast, slow, ahead] = [Terms { threads: cores, ..FAST }, SLOW, AHEAD].map(lane);
        let (mut fast, slow, ahead) = (fast?, slow?, ahead?);
        if cores == 1 {
            fast.between = tokio::runtime::Handle::try_current().ok().map(|runtime| fast.work_between(&runtime));
        }
        Ok(Self { fast, slow, ahead, refused: AtomicU64::default() })
    }

    /// How it is doing.
    pub fn status(&self) -> PoolStatus {
        let waiting = |queue: &Queue| queue.load.waiting.load(Ordering::Relaxed);
        PoolStatus {
            fast: waiting(&self.fast),
            slow: waiting(&self.slow),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn queue(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Fast => &self.fast,
            Lane::Slow => &self.slow,
        }
    }
}

impl CryptoPool for ThreadPool {
    fn submit(&self, lane: Lane, job: Job) -> Result<(), Overloaded> {
        self.queue(lane).submit(job).inspect_err(|Overloaded| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn submit_ahead(&self, job: Job) -> Result<(), Overloaded> {
        self.ahead.submit(job)
    }

    fn is_full(&self, lane: Lane) -> bool {
        self.queue(lane).is_full()
    }
}

impl Queue {
    fn submit(&self, job: Job) -> Result<(), Overloaded> {
        if self.is_full() {
            return Err(Overloaded);
        }
        let Self { jobs, between, load, .. } = self;
        // Counted before: a thread may take the job at once.
        load.waiting.fetch_add(1, Ordering::Relaxed);
        let queued = match between {
            Some(between) if load.is_short() => between.try_send(job).is_ok(),
            _ => jobs.try_send(job).is_ok(),
        };
        if queued {
            return Ok(());
        }
        load.waiting.fetch_sub(1, Ordering::Relaxed);
        Err(Overloaded)
    }

    /// Where jobs go that are done on the runtime's own thread: one, then whatever connections have to do, then the next. No
    /// thread is changed for them, and connections find many requests and answers at a time. It ends with the pool.
    fn work_between(&self, runtime: &tokio::runtime::Handle) -> mpsc::Sender<Job> {
        let (jobs, receiver) = mpsc::channel(self.terms.jobs_max);
        runtime.spawn(work_between(receiver, Arc::clone(&self.load)));
        jobs
    }

    fn is_full(&self) -> bool {
        let Self { load, terms, .. } = self;
        let jobs_max = u64::try_from(terms.jobs_max).unwrap_or(u64::MAX);
        load.waiting.load(Ordering::Relaxed) >= jobs_max || load.wait(terms.threads) > terms.wait_max
    }
}

impl Load {
    /// How long a new job would wait.
    fn wait(&self, threads: usize) -> Duration {
        let jobs = self.waiting.load(Ordering::Relaxed).div_ceil(u64::try_from(threads.max(1)).unwrap_or(1));
        self.mean().saturating_mul(u32::try_from(jobs).unwrap_or(u32::MAX))
    }

    /// How long a job takes.
    fn mean(&self) -> Duration {
        Duration::from_nanos(self.mean_cost.load(Ordering::Relaxed))
    }

    /// Whether jobs are known to take so little time that connections may wait for one.
    fn is_short(&self) -> bool {
        (1..=BETWEEN_MAX_NANOS).contains(&self.mean_cost.load(Ordering::Relaxed))
    }

    /// A job took so long. Two threads that say so at once may lose one of the two: it is a mean.
    fn took(&self, cost: Duration) {
        let cost = u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX);
        let mean = self.mean_cost.load(Ordering::Relaxed);
        let next = if mean == 0 { cost } else { mean - mean / MEAN_OF + cost / MEAN_OF };
        self.mean_cost.store(next, Ordering::Relaxed);
    }
}

fn lane(terms: Terms) -> std::io::Result<Queue> {
    let (jobs, receiver) = sync_channel(terms.jobs_max);
    let (receiver, load) = (Arc::new(Mutex::new(receiver)), Arc::<Load>::default());
    for number in 0..terms.threads {
        let (receiver, load) = (Arc::clone(&receiver), Arc::clone(&load));
        std::thread::Builder::new().name(format!("{}-{number}", terms.name)).spawn(move || {
            stand_back(terms.nice);
            work(&receiver, &load);
        })?;
    }
    Ok(Queue { jobs, between: None, load, terms })
}

/// Makes the calling thread nicer. One that cannot be works all the same.
fn stand_back(by: i32) {
    if by == 0 {
        return;
    }
    // On Linux a thread has a niceness of its own (setpriority(2), "C library/kernel differences").
    let nicer = rustix::process::getpriority_process(None)
        .and_then(|own| rustix::process::setpriority_process(None, own.saturating_add(by).min(NICEST)));
    if let Err(error) = nicer {
        tracing::debug!(%error, "a thread for slow work has the priority of all others");
    }
}

/// Works until the pool is dropped.
///
/// Results are handed over together as long as there is more to do: each time a thread that serves connections is woken, it
/// takes the processor's caches with it, or the processor itself where there is only one.
fn work(queue: &Mutex<Receiver<Job>>, load: &Load) {
    let mut done = Done::default();
    loop {
        // Taken apart from running it: the lock is held while waiting for a job, never during one. Who holds it waits for a job,
        // so that there is none.
        let job = if done.results.is_empty() {
            let Ok(job) = queue.lock().unwrap_or_else(PoisonError::into_inner).recv() else { return };
            Some(job)
        } else {
            queue.try_lock().ok().and_then(|queue| queue.try_recv().ok())
        };
        let Some(job) = job else {
            done.hand_over();
            continue;
        };
        done.run(job, load);
    }
}

/// The same on the thread that serves connections, which get their turn after each job.
async fn work_between(mut queue: mpsc::Receiver<Job>, load: Arc<Load>) {
    let mut done = Done::default();
    loop {
        let job = if done.results.is_empty() {
            let Some(job) = queue.recv().await else { return };
            Some(job)
        } else {
            queue.try_recv().ok()
        };
        match job {
            Some(job) => done.run(job, &load),
            None => done.hand_over(),
        }
        yield_now().await;
    }
}

/// Results that wait to be handed over.
#[derive(Default)]
struct Done {
    results: Vec<HandOver>,
    first: Option<Instant>,
}

impl Done {
    /// Does a job, and hands over what has waited long enough.
    fn run(&mut self, job: Job, load: &Load) {
        load.waiting.fetch_sub(1, Ordering::Relaxed);
        let began = Instant::now();
        // A job that panics drops its answer, which its request sees as a fault; the thread goes on.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
        let now = Instant::now();
        load.took(now.saturating_duration_since(began));
        if let Ok(Some(result)) = result {
            self.add(result, now);
        }
        if self.is_due(now, load.mean()) {
            self.hand_over();
        }
    }

    fn add(&mut self, result: HandOver, now: Instant) {
        self.first.get_or_insert(now);
        self.results.push(result);
    }

    /// Whether the first of them has waited long enough, once another job has been done that takes as long as most.
    fn is_due(&self, now: Instant, job: Duration) -> bool {
        let waits = self.first.map(|first| now.saturating_duration_since(first).saturating_add(job));
        self.results.len() >= TOGETHER_MAX || waits.is_some_and(|waits| waits > HELD_MAX)
    }

    fn hand_over(&mut self) {
        self.first = None;
        self.results.drain(..).for_each(|result| result());
    }
}

/// A thread a core. It stands back behind the threads that serve connections, so that a refusal never waits for signatures.
const FAST: Terms =
    Terms { name: "crypto-fast", threads: 1, nice: 5, jobs_max: 1024, wait_max: Duration::from_millis(250) };
/// Measured (crates-and-limits.md §2.3): at this priority it costs others a tenth of a core at most.
const SLOW: Terms =
    Terms { name: "crypto-slow", threads: 1, nice: 10, jobs_max: 64, wait_max: Duration::from_secs(30) };
const AHEAD: Terms = Terms { name: "crypto-ahead", threads: 1, nice: 19, jobs_max: 16, wait_max: Duration::MAX };
/// Most results that are handed over together, and the longest time that one is held back for it. A client notices neither:
/// where so much waits, its own job has waited longer.
const TOGETHER_MAX: usize = 8;
const HELD_MAX: Duration = Duration::from_millis(2);
/// Longest mean of jobs that connections may wait for: they wait for one at a time.
const BETWEEN_MAX_NANOS: u64 = 1_000_000;
/// The lowest priority there is (`nice(1)`).
const NICEST: i32 = 19;
/// Jobs that a running mean is about.
const MEAN_OF: u64 = 16;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// A job without a result.
    fn resultless(work: impl FnOnce() + Send + 'static) -> Job {
        Box::new(move || {
            work();
            None
        })
    }

    #[test]
    fn what_waits_and_what_is_refused_is_counted() {
        let pool = ThreadPool::start().unwrap();
        let (go, gate) = channel::<()>();
        let (began, begun) = channel();
        let hold = move || {
            began.send(()).unwrap();
            gate.recv().unwrap();
        };
        pool.submit(Lane::Slow, resultless(hold)).unwrap();
        begun.recv().unwrap();
        assert_eq!(pool.status().slow, 0, "it is at work");
        for _ in 0..SLOW.jobs_max {
            pool.submit(Lane::Slow, resultless(|| ())).unwrap();
        }
        assert!(pool.submit(Lane::Slow, resultless(|| ())).is_err());
        assert_eq!(pool.status(), PoolStatus { fast: 0, slow: SLOW.jobs_max as u64, refused: 1 });
        let (last, done) = channel();
        go.send(()).unwrap();
        while pool
            .submit(Lane::Slow, {
                let last = last.clone();
                resultless(move || last.send(()).unwrap())
            })
            .is_err()
        {
            std::thread::yield_now();
        }
        done.recv().unwrap();
        assert_eq!(pool.status().slow, 0);
    }

    /// A lane whose one thread is held until the sender is used or dropped.
    fn held(terms: Terms) -> (Queue, std::sync::mpsc::Sender<()>) {
        let queue = lane(terms).unwrap();
        let (go, gate) = channel::<()>();
        let (began, begun) = channel();
        let hold = move || {
            began.send(()).unwrap();
            let _ = gate.recv();
        };
        queue.submit(resultless(hold)).unwrap();
        begun.recv().unwrap();
        (queue, go)
    }

    #[test]
    fn a_queue_is_full_when_working_it_off_would_take_too_long() {
        let (queue, _go) = held(FAST);
        queue.load.took(Duration::from_millis(100));
        for _ in 0..3 {
            queue.submit(resultless(|| ())).unwrap();
        }
        assert!(queue.is_full());
        assert_eq!(queue.submit(resultless(|| ())), Err(Overloaded), "300 ms wait in front of it");
        queue.load.mean_cost.store(1_000_000, Ordering::Relaxed);
        queue.submit(resultless(|| ())).unwrap();
    }

    #[test]
    fn the_mean_follows_what_jobs_take() {
        let load = Load::default();
        load.took(Duration::from_millis(1));
        assert_eq!(load.mean_cost.load(Ordering::Relaxed), 1_000_000, "the first says all that is known");
        for _ in 0..200 {
            load.took(Duration::from_millis(3));
        }
        let mean = load.mean_cost.load(Ordering::Relaxed);
        assert!((2_990_000..=3_000_000).contains(&mean), "{mean}");
    }

    #[test]
    fn slow_threads_are_nicer_than_who_starts_them() {
        let own = rustix::process::getpriority_process(None).unwrap();
        for terms in [FAST, SLOW, AHEAD] {
            let (told, nice) = channel();
            let queue = lane(terms).unwrap();
            queue
                .submit(resultless(move || {
                    told.send(rustix::process::getpriority_process(None).unwrap()).unwrap();
                }))
                .unwrap();
            assert_eq!(nice.recv().unwrap(), (own + terms.nice).min(NICEST), "{}", terms.name);
        }
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), own);
    }

    /// A job that tells when its result is handed over.
    fn telling(told: &std::sync::mpsc::Sender<u32>, number: u32) -> Job {
        let told = told.clone();
        Box::new(move || Some(Box::new(move || told.send(number).unwrap())))
    }

    #[test]
    fn results_are_handed_over_in_order_and_none_waits_for_a_job_that_is_not_there() {
        let (queue, go) = held(FAST);
        let (told, results) = channel();
        let count = u32::try_from(TOGETHER_MAX).unwrap() * 2 + 3;
        (0..count).for_each(|number| queue.submit(telling(&told, number)).unwrap());
        go.send(()).unwrap();
        assert_eq!((0..count).map(|_| results.recv().unwrap()).collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
    }

    /// Which jobs ran, and on which thread.
    type Ran = Arc<Mutex<Vec<(u32, std::thread::ThreadId)>>>;

    /// A lane with a place between connections, and what its jobs say.
    fn between() -> (Queue, Ran) {
        let mut queue = lane(FAST).unwrap();
        queue.between = Some(queue.work_between(&tokio::runtime::Handle::current()));
        (queue, Arc::default())
    }

    /// A job that notes where it runs.
    fn noting(ran: &Ran, number: u32) -> Job {
        let ran = Arc::clone(ran);
        resultless(move || ran.lock().unwrap().push((number, std::thread::current().id())))
    }

    #[tokio::test]
    async fn short_jobs_are_done_between_connections_one_at_a_time() {
        let (queue, ran) = between();
        queue.load.took(Duration::from_micros(1));
        queue.submit(resultless(|| panic!("a job that fails"))).unwrap();
        (0..5).for_each(|number| queue.submit(noting(&ran, number)).unwrap());
        assert!(ran.lock().unwrap().is_empty(), "whoever queues a job does not do it");
        let mut done = 0;
        while done < 5 {
            yield_now().await;
            let now = ran.lock().unwrap().len();
            assert!(now <= done + 1, "{now} jobs in a turn");
            done = now;
        }
        let here = std::thread::current().id();
        assert_eq!(*ran.lock().unwrap(), (0..5).map(|number| (number, here)).collect::<Vec<_>>());
        assert_eq!(queue.load.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn connections_wait_for_no_job_that_takes_long_or_of_which_nobody_knows_how_long() {
        for mean in [None, Some(Duration::from_millis(2))] {
            let (queue, ran) = between();
            mean.into_iter().for_each(|mean| queue.load.took(mean));
            queue.submit(noting(&ran, 1)).unwrap();
            // Not a turn for the runtime's other tasks: only a thread can do it.
            while ran.lock().unwrap().is_empty() {
                std::thread::yield_now();
            }
            assert_ne!(ran.lock().unwrap()[0].1, std::thread::current().id());
        }
    }

    #[tokio::test]
    async fn results_between_connections_are_all_handed_over() {
        let (queue, _) = between();
        queue.load.took(Duration::from_micros(1));
        let (told, results) = channel();
        let count = u32::try_from(TOGETHER_MAX).unwrap() * 2 + 3;
        (0..count).for_each(|number| queue.submit(telling(&told, number)).unwrap());
        let mut all = Vec::new();
        while all.len() < count as usize {
            yield_now().await;
            all.extend(results.try_iter());
        }
        assert_eq!(all, (0..count).collect::<Vec<_>>());
    }

    #[test]
    fn a_result_does_not_wait_for_a_job_that_takes_long() {
        let (queue, go) = held(FAST);
        let (told, results) = channel();
        queue.submit(telling(&told, 1)).unwrap();
        let (never, waits) = channel::<()>();
        queue
            .submit(resultless(move || {
                let _ = waits.recv();
            }))
            .unwrap();
        queue.load.mean_cost.store(1_000_000_000, Ordering::Relaxed);
        go.send(()).unwrap();
        assert_eq!(results.recv(), Ok(1), "though the next job does not end");
        drop(never);
    }
}
