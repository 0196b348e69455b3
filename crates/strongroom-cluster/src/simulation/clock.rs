//! The boot clock of a simulated node: it goes a little too fast or too slow, and may stand still.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::executor::Executor;
use crate::boot_clock::BootClock;

pub(super) struct Clock {
    executor: Executor,
    /// What it shows at the beginning: no two machines started at the same time.
    offset: Duration,
    /// Millionths of a second that it gains or loses a second.
    drift: i32,
    stood_still: Mutex<StoodStill>,
}

#[derive(Default)]
struct StoodStill {
    total: Duration,
    last: Option<Duration>,
}

impl Clock {
    pub(super) fn new(executor: Executor, offset: Duration, drift: i32) -> Arc<Self> {
        Arc::new(Self { executor, offset, drift, stood_still: Mutex::default() })
    }

    /// The clock is about to stand still for so long: a guest whose host does not run it. Not again soon: what is promised is
    /// that it stands still for the margin at most while a registration counts.
    pub(super) fn stand_still(&self, time: Duration) -> bool {
        let (now, mut stood_still) = (self.executor.now(), self.stood_still.lock().unwrap());
        if stood_still.last.is_some_and(|last| now < last + ONCE_IN) {
            return false;
        }
        (stood_still.total, stood_still.last) = (stood_still.total + time, Some(now));
        true
    }

    fn rate(&self) -> f64 {
        1.0 + f64::from(self.drift) / 1e6
    }
}

#[async_trait]
impl BootClock for Clock {
    fn now(&self) -> Duration {
        let gone = self.executor.now().saturating_sub(self.stood_still.lock().unwrap().total);
        self.offset + gone.mul_f64(self.rate())
    }

    async fn sleep(&self, duration: Duration) {
        self.executor.sleep(duration.mul_f64(1.0 / self.rate())).await;
    }
}

/// Longer than a registration counts.
const ONCE_IN: Duration = Duration::from_secs(6);
