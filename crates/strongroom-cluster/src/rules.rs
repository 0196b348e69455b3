//! The rules that the promise rests on, by name: so that a test can break one of them and see that the promise falls.

/// A rule of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// An acknowledgement waits for every registered node.
    AcknowledgementWaits,
    /// A watch that was compacted away is followed by a load of everything.
    CompactedWatchReloads,
    /// A renewal counts from the moment it was sent.
    RenewalCountsFromSending,
    /// A revision is reported when no ticket on an older snapshot is open.
    ReportWaitsForTickets,
    /// Whoever acknowledges waits until an expelled node can no longer serve.
    ExpelledIsWaitedFor,
    /// An expulsion stays in the store until nobody need wait for it, so that others wait as well.
    ExpulsionIsRemembered,
    /// A node serves when it has applied its own registration, not before.
    RegistrationIsApplied,
}

/// Which rules hold: all of them, outside tests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    #[cfg(test)]
    pub(crate) broken: Option<Rule>,
}

impl Rules {
    #[cfg(test)]
    pub(crate) fn hold(self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests ask which rule is broken")]
    pub(crate) const fn hold(self, _rule: Rule) -> bool {
        true
    }
}
