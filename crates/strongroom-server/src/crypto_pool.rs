//! Threads for slow cryptography, apart from those that serve connections (crates-and-limits.md §2.4).
//!
//! Two lanes: RSA private operations must not wait behind the generation of RSA keys. Each lane has a bounded queue; a
//! full one refuses, and the client is told to come back, before any key was touched.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_core::ports::{CryptoPool, Lane, Overloaded};

type Job = Box<dyn FnOnce() + Send>;

/// The pool of a process. Its threads end when it is dropped, after what is queued.
pub struct ThreadPool {
    fast: SyncSender<Job>,
    slow: SyncSender<Job>,
}

impl ThreadPool {
    /// A pool with one fast thread a core, and one slow thread.
    ///
    /// # Errors
    /// What the system says if a thread cannot be started.
    pub fn start() -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { fast: lane("crypto-fast", cores, FAST_QUEUE)?, slow: lane("crypto-slow", 1, SLOW_QUEUE)? })
    }
}

impl CryptoPool for ThreadPool {
    fn submit(&self, lane: Lane, job: Job) -> Result<(), Overloaded> {
        let queue = match lane {
            Lane::Fast => &self.fast,
            Lane::Slow => &self.slow,
        };
        queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Overloaded,
        })
    }
}

fn lane(name: &str, threads: usize, queue: usize) -> std::io::Result<SyncSender<Job>> {
    let (sender, receiver) = sync_channel(queue);
    let receiver = Arc::new(Mutex::new(receiver));
    for number in 0..threads {
        let receiver = Arc::clone(&receiver);
        std::thread::Builder::new().name(format!("{name}-{number}")).spawn(move || work(&receiver))?;
    }
    Ok(sender)
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        // Taken apart from running it: the lock is held while waiting for a job, never during one.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            // A job that panics drops its answer, which its request sees as a fault; the thread goes on.
            Ok(job) => drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(job))),
            Err(_) => return,
        }
    }
}

/// Jobs waiting on the fast lane: about 250 ms of RSA-2048 signatures on two cores.
const FAST_QUEUE: usize = 1024;
/// Jobs waiting on the slow lane: about 30 s of RSA-3072 generation.
const SLOW_QUEUE: usize = 64;
