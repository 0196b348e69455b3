//! Threads for slow cryptography, apart from those that serve connections (crates-and-limits.md §2.4).
//!
//! Two lanes: RSA private operations must not wait behind the generation of RSA keys. Each lane has a bounded queue; a
//! full one refuses, and the client is told to come back, before any key was touched.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_core::ports::{CryptoPool, Lane, Overloaded};

type Job = Box<dyn FnOnce() + Send>;

/// The pool of a process. Its threads end when it is dropped, after what is queued.
pub struct ThreadPool {
    fast: Queue,
    slow: Queue,
    refused: AtomicU64,
}

struct Queue {
    jobs: SyncSender<Job>,
    waiting: Arc<AtomicU64>,
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
    /// A pool with one fast thread a core, and one slow thread.
    ///
    /// # Errors
    /// What the system says if a thread cannot be started.
    pub fn start() -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (fast, slow) = (lane("crypto-fast", cores, FAST_QUEUE)?, lane("crypto-slow", 1, SLOW_QUEUE)?);
        Ok(Self { fast, slow, refused: AtomicU64::default() })
    }

    /// How it is doing.
    pub fn status(&self) -> PoolStatus {
        let waiting = |queue: &Queue| queue.waiting.load(Ordering::Relaxed);
        PoolStatus {
            fast: waiting(&self.fast),
            slow: waiting(&self.slow),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

impl CryptoPool for ThreadPool {
    fn submit(&self, lane: Lane, job: Job) -> Result<(), Overloaded> {
        let queue = match lane {
            Lane::Fast => &self.fast,
            Lane::Slow => &self.slow,
        };
        // Counted before: a thread may take the job at once.
        queue.waiting.fetch_add(1, Ordering::Relaxed);
        queue.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => {
                queue.waiting.fetch_sub(1, Ordering::Relaxed);
                self.refused.fetch_add(1, Ordering::Relaxed);
                Overloaded
            }
        })
    }
}

fn lane(name: &str, threads: usize, queue: usize) -> std::io::Result<Queue> {
    let (jobs, receiver) = sync_channel(queue);
    let (receiver, waiting) = (Arc::new(Mutex::new(receiver)), Arc::new(AtomicU64::default()));
    for number in 0..threads {
        let (receiver, waiting) = (Arc::clone(&receiver), Arc::clone(&waiting));
        std::thread::Builder::new().name(format!("{name}-{number}")).spawn(move || work(&receiver, &waiting))?;
    }
    Ok(Queue { jobs, waiting })
}

fn work(queue: &Mutex<Receiver<Job>>, waiting: &AtomicU64) {
    loop {
        // Taken apart from running it: the lock is held while waiting for a job, never during one.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        waiting.fetch_sub(1, Ordering::Relaxed);
        // A job that panics drops its answer, which its request sees as a fault; the thread goes on.
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)));
    }
}

/// Jobs waiting on the fast lane: about 250 ms of RSA-2048 signatures on two cores.
const FAST_QUEUE: usize = 1024;
/// Jobs waiting on the slow lane: about 30 s of RSA-3072 generation.
const SLOW_QUEUE: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_waits_and_what_is_refused_is_counted() {
        let pool = ThreadPool::start().unwrap();
        let (go, gate) = channel::<()>();
        let (began, begun) = channel();
        let hold = move || {
            began.send(()).unwrap();
            gate.recv().unwrap();
        };
        pool.submit(Lane::Slow, Box::new(hold)).unwrap();
        begun.recv().unwrap();
        assert_eq!(pool.status().slow, 0, "it is at work");
        for _ in 0..SLOW_QUEUE {
            pool.submit(Lane::Slow, Box::new(|| ())).unwrap();
        }
        assert!(pool.submit(Lane::Slow, Box::new(|| ())).is_err());
        assert_eq!(pool.status(), PoolStatus { fast: 0, slow: SLOW_QUEUE as u64, refused: 1 });
        let (last, done) = channel();
        go.send(()).unwrap();
        while pool
            .submit(Lane::Slow, {
                let last = last.clone();
                Box::new(move || last.send(()).unwrap())
            })
            .is_err()
        {
            std::thread::yield_now();
        }
        done.recv().unwrap();
        assert_eq!(pool.status().slow, 0);
    }
}
