//! The tasks of the process: the only place that spawns, so that a graceful stop waits for all of them.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// Spawns tasks and tells them when to end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tasks {
    stop: watch::Receiver<bool>,
    /// Nothing is ever sent: each task holds a sender, and the owner waits until all are dropped.
    alive: mpsc::Sender<Infallible>,
}

/// Owns the tasks of a process: tells them to end, and waits for them.
#[derive(Debug)]
pub struct TaskOwner {
    stop: watch::Sender<bool>,
    alive: mpsc::Receiver<Infallible>,
    tasks: Tasks,
}

impl TaskOwner {
    /// No tasks yet.
    pub fn new() -> Self {
        let (stop, stopping) = watch::channel(false);
        let (sender, alive) = mpsc::channel(1);
        Self { stop, alive, tasks: Tasks { stop: stopping, alive: sender } }
    }

    /// A handle to spawn with.
    pub fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }

    /// Tells all tasks to end and waits for them; false if some were still running when the limit was reached.
    pub async fn stop(self, limit: Duration) -> bool {
        let Self { stop, mut alive, tasks } = self;
        drop(tasks);
        // Nobody listens if no task is left, and that is fine.
        let _ = stop.send(true);
        tokio::time::timeout(limit, alive.recv()).await.is_ok()
    }
}

impl Default for TaskOwner {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// Runs a future beside everything else. A panic in it ends that task only.
    #[expect(clippy::disallowed_methods, reason = "this is the tracker the ban points to")]
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let alive = self.alive.clone();
        tokio::spawn(async move {
            future.await;
            drop(alive);
        });
    }

    /// Runs a step now and then, until the process stops.
    pub fn every<F>(&self, period: Duration, step: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.every_while(period, || true, step);
    }

    /// The same, leaving out steps at whose time a condition does not hold.
    pub fn every_while<F>(
        &self,
        period: Duration,
        holds: impl Fn() -> bool + Send + 'static,
        mut step: impl FnMut() -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.clone();
        self.spawn(async move {
            loop {
                tokio::select! {
                    () = tasks.stopping() => return,
                    () = tokio::time::sleep(period) => {}
                }
                if holds() {
                    step().await;
                }
            }
        });
    }

    /// Resolves when the process begins to stop.
    pub async fn stopping(&self) {
        // An error means that the owner is gone, which is a stop as well.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }

    /// Whether the process has begun to stop.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }
}

/// The streams of an HTTP/2 connection are tasks as well.
impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(future);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn stopping_waits_for_a_task_that_finishes_its_work() {
        let owner = TaskOwner::new();
        let tasks = owner.tasks();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let inner = tasks.clone();
        tasks.spawn(async move {
            inner.stopping().await;
            tokio::task::yield_now().await;
            sender.send(()).unwrap();
        });
        drop(tasks);
        assert!(owner.stop(Duration::from_secs(5)).await);
        receiver.await.unwrap();
    }

    #[tokio::test]
    async fn stopping_gives_up_on_a_task_that_never_ends() {
        let owner = TaskOwner::new();
        owner.tasks().spawn(std::future::pending());
        assert!(!owner.stop(Duration::from_millis(20)).await);
    }

    #[tokio::test]
    async fn a_periodic_step_is_left_out_while_its_condition_does_not_hold() {
        let owner = TaskOwner::new();
        let (sender, mut receiver) = mpsc::channel(10);
        let looks = Arc::new(AtomicU32::new(0));
        let at_step = Arc::clone(&looks);
        let holds = move || looks.fetch_add(1, Ordering::SeqCst) >= 3;
        owner.tasks().every_while(Duration::from_millis(1), holds, move || {
            let (sender, looks) = (sender.clone(), at_step.load(Ordering::SeqCst));
            async move { sender.send(looks).await.unwrap_or_default() }
        });
        assert_eq!(receiver.recv().await, Some(4), "three looks were left out");
        receiver.close();
        assert!(owner.stop(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn a_periodic_step_runs_until_the_stop() {
        let owner = TaskOwner::new();
        let (sender, mut receiver) = mpsc::channel(10);
        owner.tasks().every(Duration::from_millis(1), move || {
            let sender = sender.clone();
            async move { sender.send(()).await.unwrap_or_default() }
        });
        receiver.recv().await.unwrap();
        receiver.recv().await.unwrap();
        assert!(owner.stop(Duration::from_secs(5)).await);
        while receiver.recv().await.is_some() {}
    }
}
