//! The time of day, and the time that passes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_cluster::{BootClock, SystemBootClock};
use strongroom_core::ports::Clock;
use strongroom_types::Timestamp;

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter the ban points to")]
    fn now(&self) -> Timestamp {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
        };
        Timestamp::from_millis(millis)
    }

    fn monotonic(&self) -> Duration {
        SystemBootClock.now()
    }
}
