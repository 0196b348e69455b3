//! A budget of failed decryptions. A failed decrypt or unwrap looks the same whatever its cause, and RSA1_5 and CBC padding
//! are oracles all the same: attacks on them need thousands of failures, honest callers have none (protocols.md §10).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use strongroom_types::{KeyId, PrincipalId, Timestamp};

use crate::{Error, Result};

/// Failures of each caller on each key, in the current window.
#[derive(Debug)]
pub(crate) struct FailureBudget {
    windows: Mutex<HashMap<(KeyId, PrincipalId), Window>>,
    failures_max: usize,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    begin: Timestamp,
    failures: usize,
}

impl FailureBudget {
    /// A budget of so many failures in a window.
    pub(crate) fn new(failures_max: usize) -> Self {
        Self { windows: Mutex::default(), failures_max }
    }

    /// Refuses a caller that has used its budget on this key up.
    ///
    /// # Errors
    /// [`Error::Throttled`] until the window ends.
    pub(super) fn check(&self, key: KeyId, caller: PrincipalId, now: Timestamp) -> Result<()> {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        match windows.get(&(key, caller)) {
            Some(window) if window.is_open(now) && window.failures >= self.failures_max => Err(Error::Throttled),
            _ => Ok(()),
        }
    }

    /// Counts a failure.
    pub(super) fn failed(&self, key: KeyId, caller: PrincipalId, now: Timestamp) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= WINDOWS_MAX {
            windows.retain(|_, window| window.is_open(now));
        }
        let window = windows.entry((key, caller)).or_insert(Window { begin: now, failures: 0 });
        if !window.is_open(now) {
            *window = Window { begin: now, failures: 0 };
        }
        window.failures = window.failures.saturating_add(1);
    }
}

impl Window {
    fn is_open(self, now: Timestamp) -> bool {
        now < self.begin.plus_seconds(WINDOW_SECONDS)
    }
}

/// Length of a window.
const WINDOW_SECONDS: i64 = 60;
/// Windows kept before closed ones are dropped.
const WINDOWS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_fails_too_often_waits_for_the_window_to_end() {
        let (budget, key, caller) =
            (FailureBudget::new(3), KeyId::from_random([1; 16]), PrincipalId::from_random([2; 16]));
        let start = Timestamp::from_seconds(1000);
        for _ in 0..3 {
            budget.check(key, caller, start).unwrap();
            budget.failed(key, caller, start);
        }
        assert!(matches!(budget.check(key, caller, start), Err(Error::Throttled)));
        budget.check(key, PrincipalId::from_random([3; 16]), start).unwrap();
        budget.check(key, caller, start.plus_seconds(WINDOW_SECONDS)).unwrap();
    }
}
