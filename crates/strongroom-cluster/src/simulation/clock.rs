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
    stood_still: Mutex<Duration>,
}

impl Clock {
    pub(super) fn new(executor: Executor, offset: Duration, drift: i32) -> Arc<Self> {
        Arc::new(Self { executor, offset, drift, stood_still: Mutex::default() })
    }

    /// The clock is about to stand still for so long: a guest whose host does not run it.
    pub(super) fn stand_still(&self, time: Duration) {
        *self.stood_still.lock().unwrap() += time;
    }

    fn rate(&self) -> f64 {
        1.0 + f64::from(self.drift) / 1e6
    }
}

#[async_trait]
impl BootClock for Clock {
    fn now(&self) -> Duration {
        let gone = self.executor.now().saturating_sub(*self.stood_still.lock().unwrap());
        self.offset + gone.mul_f64(self.rate())
    }

    async fn sleep(&self, duration: Duration) {
        self.executor.sleep(duration.mul_f64(1.0 / self.rate())).await;
    }
}
