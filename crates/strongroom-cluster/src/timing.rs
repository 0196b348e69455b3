//! How long what may take. Meant to be the same on every node of a cluster. A node with a longer T is waited for all the same:
//! its registration says how long.

use std::time::Duration;

/// The times of the protocol. The defaults are meant for machines in one data centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// T: how long a registration counts. A node serves until the moment it sent its last successful renewal + T − margin.
    pub serving: Duration,
    /// What clocks may differ by over T, and how long the clock of a guest may stand still. Whoever expels a node waits
    /// T + margin.
    pub margin: Duration,
    /// How often a registration is renewed when there is nothing to report.
    pub renewal: Duration,
    /// A ticket as old as this is revoked if a newer revision waits to be reported.
    pub ticket_max: Duration,
    /// A node that has not applied a change after this time is expelled.
    pub silence: Duration,
    /// No acknowledgement waits longer; the change stands.
    pub acknowledgement_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self::of(Duration::from_secs(4), Duration::from_millis(500))
    }
}

impl Timing {
    /// What follows from T and the margin. Whether that can work is for [`Timing::check`] to say.
    #[must_use]
    pub fn of(serving: Duration, margin: Duration) -> Self {
        Self {
            serving,
            margin,
            renewal: serving / 4,
            ticket_max: serving / 2,
            silence: serving.saturating_sub(margin),
            acknowledgement_max: ACKNOWLEDGEMENT_MAX,
        }
    }

    /// How long a node may serve from the moment it sent a renewal.
    pub(crate) fn may_serve(&self) -> Duration {
        self.serving.saturating_sub(self.margin)
    }

    /// How long after its expulsion a node may still serve, by the clock of another.
    pub(crate) fn must_wait(&self) -> Duration {
        self.serving + self.margin
    }

    /// How long one call of the engine is waited for before its outcome counts as unknown. An engine that has somebody else
    /// to ask should have an answer within this time; one that is only about to ask is not waited for, and whoever called looks
    /// at the record itself.
    pub fn call_max(&self) -> Duration {
        self.may_serve() / 2
    }

    /// The same for a page of records, which has megabytes.
    pub(crate) fn page_max(&self) -> Duration {
        self.acknowledgement_max
    }

    /// Refuses times that cannot work together.
    ///
    /// # Errors
    /// [`TimingError`] says which.
    pub fn check(&self) -> Result<(), TimingError> {
        let sensible = [
            (self.renewal > Duration::ZERO, TimingError::Zero),
            (self.margin * 4 <= self.serving, TimingError::Margin),
            (self.margin >= MARGIN_MIN, TimingError::MarginShort),
            (self.renewal * 3 <= self.may_serve(), TimingError::Renewal),
            (self.ticket_max + self.renewal <= self.silence, TimingError::Silence),
            (self.silence + self.must_wait() + SPARE <= self.acknowledgement_max, TimingError::Acknowledgement),
            (self.acknowledgement_max <= ACKNOWLEDGEMENT_MAX, TimingError::TooLong),
        ];
        sensible.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, error)| Err(error))
    }
}

/// Why times cannot work together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// Nothing can be done that often.
    #[error("the renewal interval must not be zero")]
    Zero,
    /// Little would be left to serve in.
    #[error("the margin must be a quarter of the serving time at most")]
    Margin,
    /// Clocks are not that exact.
    #[error("the margin must be 10 ms at least")]
    MarginShort,
    /// One lost renewal would stop the node.
    #[error("three renewals must fit into the serving time less the margin")]
    Renewal,
    /// Nodes would be expelled for one slow request.
    #[error("the silence must be longer than the age of a ticket and a renewal together")]
    Silence,
    /// A dead node would make every acknowledgement fail.
    #[error("silence, serving time, margin and one second more must fit into the longest acknowledgement")]
    Acknowledgement,
    /// Clients do not wait longer.
    #[error("an acknowledgement may take 10 seconds at most")]
    TooLong,
}

/// What an expulsion takes besides the waiting.
const SPARE: Duration = Duration::from_secs(1);
const MARGIN_MIN: Duration = Duration::from_millis(10);
/// Part of the promise: nobody waits longer for a node that is dead.
pub(crate) const ACKNOWLEDGEMENT_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work_together() {
        let defaults = Timing::default();
        assert_eq!(defaults.check(), Ok(()));
        let milliseconds = [defaults.renewal, defaults.ticket_max, defaults.silence].map(|time| time.as_millis());
        assert_eq!(milliseconds, [1000, 2000, 3500], "as docs/consistency.md says");
    }

    #[test]
    fn times_that_do_not_work_together_are_refused() {
        let sensible = Timing::default();
        let second = Duration::from_secs(1);
        let wrong = [
            (Timing { renewal: Duration::ZERO, ..sensible }, TimingError::Zero),
            (Timing { margin: second * 2, ..sensible }, TimingError::Margin),
            (Timing { margin: Duration::ZERO, ..sensible }, TimingError::MarginShort),
            (Timing { renewal: second * 2, ..sensible }, TimingError::Renewal),
            (Timing { ticket_max: second * 3, ..sensible }, TimingError::Silence),
            (Timing { silence: second * 5, ..sensible }, TimingError::Acknowledgement),
            (Timing { acknowledgement_max: second * 11, ..sensible }, TimingError::TooLong),
        ];
        for (timing, error) in wrong {
            assert_eq!(timing.check(), Err(error));
        }
    }
}
