//! One thread, virtual time, and an order that a seed decides: what runs here runs the same way each time.
//!
//! Tasks belong to a node or to the world. Those of a node are not polled while it is paused, and vanish when it crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::random::Random;

/// Runs tasks; cheap to clone.
#[derive(Clone)]
pub(super) struct Executor(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

struct State {
    now: Duration,
    last: u64,
    tasks: BTreeMap<u64, Task>,
    timers: BTreeMap<(Duration, u64), Waker>,
    paused: BTreeMap<usize, Duration>,
    random: Random,
}

struct Task {
    node: Option<usize>,
    /// Taken out while it is polled.
    future: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

struct Woken {
    task: u64,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.ready.lock().unwrap().insert(self.task);
    }
}

impl Executor {
    pub(super) fn new(random: Random) -> Self {
        let state = State {
            now: Duration::ZERO,
            last: 0,
            tasks: BTreeMap::new(),
            timers: BTreeMap::new(),
            paused: BTreeMap::new(),
            random,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), ready: Arc::default() }))
    }

    /// Virtual time since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.state().now
    }

    pub(super) fn spawn(&self, node: Option<usize>, future: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        state.tasks.insert(number, Task { node, future: Some(Box::pin(future)) });
        self.ready().insert(number);
    }

    /// Does not poll a node's tasks before that much time went by.
    pub(super) fn pause(&self, node: usize, time: Duration) {
        let mut state = self.state();
        let until = state.now + time;
        state.paused.insert(node, until);
    }

    /// Drops a node's tasks, as the end of its process does.
    pub(super) fn crash(&self, node: usize) {
        let mut state = self.state();
        let of_node = |task: &Task| task.node == Some(node);
        let numbers: Vec<u64> =
            state.tasks.iter().filter(|(_, task)| of_node(task)).map(|(number, _)| *number).collect();
        let dropped: Vec<Task> = numbers.iter().filter_map(|number| state.tasks.remove(number)).collect();
        drop(state);
        // What they held may wake others.
        drop(dropped);
    }

    /// Drops all tasks: they hold the world, and the world holds this.
    pub(super) fn end(&self) {
        let mut state = self.state();
        let (tasks, timers) = (std::mem::take(&mut state.tasks), std::mem::take(&mut state.timers));
        drop(state);
        // What they held may wake others.
        drop((tasks, timers));
    }

    /// Waits until that much virtual time went by.
    pub(super) async fn sleep(&self, time: Duration) {
        let deadline = self.now() + time;
        let mut sleep = Sleep { executor: self.clone(), place: None };
        poll_fn(|context| sleep.poll(deadline, context)).await;
    }

    /// Runs until that time.
    pub(super) fn run(&self, end: Duration) {
        while self.now() < end {
            while let Some(task) = self.next_ready() {
                self.poll(task);
            }
            self.advance();
        }
    }

    /// A task that is ready and may be polled, by chance.
    fn next_ready(&self) -> Option<u64> {
        let mut state = self.state();
        let mut ready = self.ready();
        ready.retain(|number| state.tasks.contains_key(number));
        let now = state.now;
        let runs = |state: &State, number: &u64| {
            let node = state.tasks.get(number).and_then(|task| task.node);
            node.and_then(|node| state.paused.get(&node)).is_none_or(|until| *until <= now)
        };
        let candidates: Vec<u64> = ready.iter().filter(|number| runs(&state, number)).copied().collect();
        if candidates.is_empty() {
            return None;
        }
        let chosen = candidates[state.random.below(candidates.len())];
        ready.remove(&chosen);
        Some(chosen)
    }

    fn poll(&self, number: u64) {
        let Some(mut future) = self.state().tasks.get_mut(&number).and_then(|task| task.future.take()) else { return };
        let waker = Waker::from(Arc::new(Woken { task: number, ready: Arc::clone(&self.0.ready) }));
        let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut state = self.state();
        if done {
            state.tasks.remove(&number);
        } else if let Some(task) = state.tasks.get_mut(&number) {
            task.future = Some(future);
            return;
        }
        drop(state);
        drop(future);
    }

    /// Goes on to the next moment at which something happens.
    fn advance(&self) {
        let mut state = self.state();
        let timer = state.timers.first_key_value().map(|((at, _), _)| *at);
        let now = state.now;
        let resumed = state.paused.values().filter(|until| **until > now).min().copied();
        let next = [timer, resumed].into_iter().flatten().min().unwrap_or(Duration::MAX);
        state.now = state.now.max(next);
        let later = state.timers.split_off(&(next + Duration::from_nanos(1), 0));
        let due = std::mem::replace(&mut state.timers, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn ready(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.ready.lock().unwrap()
    }
}

struct Sleep {
    executor: Executor,
    place: Option<(Duration, u64)>,
}

impl Sleep {
    fn poll(&mut self, deadline: Duration, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.executor.state();
        if state.now >= deadline {
            return Poll::Ready(());
        }
        let place = *self.place.get_or_insert_with(|| {
            state.last += 1;
            (deadline, state.last)
        });
        state.timers.insert(place, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.executor.state().timers.remove(&place);
        }
    }
}
