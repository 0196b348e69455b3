//! The clock that decides whether a node may serve.

use std::time::Duration;

use async_trait::async_trait;
use rustix::time::{ClockId, clock_gettime};

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
