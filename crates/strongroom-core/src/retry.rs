//! Trying again what lost a race.

/// Runs an attempt until it does not end in [`Error::Conflict`](crate::Error::Conflict), a bounded number of times.
/// The attempt authorizes anew each time (protocols.md §4).
///
/// A macro because an attempt borrows its arguments anew each time, which a `Send` future of a closure cannot say.
#[macro_export]
macro_rules! retry_on_conflict {
    ($attempt:expr) => {{
        let mut attempts_left = $crate::retry::ATTEMPTS_MAX;
        loop {
            match $attempt.await {
                Err($crate::Error::Conflict) if attempts_left > 1 => attempts_left -= 1,
                other => break other,
            }
        }
    }};
}

/// How often a write is tried before the client is told of the conflict.
pub const ATTEMPTS_MAX: u32 = 16;
