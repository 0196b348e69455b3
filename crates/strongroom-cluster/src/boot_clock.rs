//! The clock that decides whether a node may serve.

use std::time::Duration;

use async_trait::async_trait;
use rustix::time::{ClockId, clock_gettime};
use strongroom_store::StoreError;

/// Time since the machine started, the time it slept included. Read at each use, never kept: a process may be stopped
/// between any two steps.
#[async_trait]
pub trait BootClock: Send + Sync {
    /// Now. Never goes back; means nothing on another machine.
    fn now(&self) -> Duration;

    /// Waits about so long. Whoever must be sure reads the clock afterwards.
    async fn sleep(&self, duration: Duration);
}

/// `CLOCK_BOOTTIME` of the machine (`clock_gettime(2)`).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemBootClock;

#[async_trait]
impl BootClock for SystemBootClock {
    fn now(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        // Neither part of a time since the start is ever negative.
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(seconds, nanos)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Runs a future for so long at most.
pub(crate) async fn within<T>(clock: &dyn BootClock, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = clock.sleep(limit) => None,
    }
}

/// Waits for an engine's answer for so long at most. What it was asked for may have happened all the same: whoever commits
/// must not take the error for a no.
pub(crate) async fn call<T>(
    clock: &dyn BootClock,
    limit: Duration,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answer = within(clock, limit, asked).await;
    answer.unwrap_or_else(|| Err(StoreError::Unavailable(NO_ANSWER.to_owned())))
}

/// What is said of an engine that is silent.
pub(crate) const NO_ANSWER: &str = "it did not answer in time";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_machine_does_not_go_back() {
        let first = SystemBootClock.now();
        assert!(first > Duration::ZERO);
        assert!(SystemBootClock.now() >= first);
    }
}
