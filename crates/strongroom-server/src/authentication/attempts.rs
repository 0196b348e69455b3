//! Failed attempts, and the growing delay they cost.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use strongroom_types::Timestamp;

/// How attempts are limited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// So many failures cost nothing.
    pub(crate) free: u32,
    /// The delay doubles with each failure beyond, up to so many seconds.
    pub(crate) delay_seconds_max: i64,
    /// Failures are forgotten so many seconds after the last one.
    pub(crate) forgotten_after_seconds: i64,
}

/// Failed attempts by user, by address, by whatever can be told apart.
pub(crate) struct Attempts<K> {
    limits: Limits,
    failures: Mutex<HashMap<K, Failures>>,
}

/// The next attempt is allowed in so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooSoon {
    pub(crate) seconds: i64,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl<K: Eq + Hash + Clone> Attempts<K> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, failures: Mutex::new(HashMap::new()) }
    }

    /// Whether an attempt may be made now. It changes nothing.
    pub(crate) fn check(&self, who: &K, now: Timestamp) -> Result<(), TooSoon> {
        self.delay(self.locked().get(who).copied(), now)
    }

    /// Counts an attempt as failed before it is made, so that many at once do not all pass for the first;
    /// [`Attempts::succeeded`] takes it back.
    pub(crate) fn begin(&self, who: &K, now: Timestamp) -> Result<(), TooSoon> {
        let mut failures = self.locked();
        self.delay(failures.get(who).copied(), now)?;
        self.count(&mut failures, who, now);
        Ok(())
    }

    /// Counts a failed attempt.
    pub(crate) fn failed(&self, who: &K, now: Timestamp) {
        self.count(&mut self.locked(), who, now);
    }

    /// Takes back what [`Attempts::begin`] counted; earlier failures stay.
    pub(crate) fn succeeded(&self, who: &K) {
        if let Entry::Occupied(mut entry) = self.locked().entry(who.clone()) {
            entry.get_mut().count = entry.get().count.saturating_sub(1);
            if entry.get().count == 0 {
                entry.remove();
            }
        }
    }

    /// Forgets all failures.
    pub(crate) fn forget(&self, who: &K) {
        self.locked().remove(who);
    }

    fn delay(&self, failures: Option<Failures>, now: Timestamp) -> Result<(), TooSoon> {
        let Some(Failures { count, last }) = failures else { return Ok(()) };
        let Some(beyond) = count.checked_sub(self.limits.free).filter(|beyond| *beyond > 0) else { return Ok(()) };
        let delay = 1i64.checked_shl(beyond - 1).filter(|delay| *delay > 0).unwrap_or(i64::MAX);
        let seconds = last.plus_seconds(delay.min(self.limits.delay_seconds_max)).seconds() - now.seconds();
        if seconds > 0 { Err(TooSoon { seconds }) } else { Ok(()) }
    }

    fn count(&self, failures: &mut HashMap<K, Failures>, who: &K, now: Timestamp) {
        if failures.len() >= KEPT_MAX && !failures.contains_key(who) {
            self.make_room(failures, now);
        }
        let entry = failures.entry(who.clone()).or_insert(Failures { count: 0, last: now });
        if entry.last.plus_seconds(self.limits.forgotten_after_seconds) <= now {
            entry.count = 0;
        }
        entry.count = entry.count.saturating_add(1);
        entry.last = now;
    }

    fn make_room(&self, failures: &mut HashMap<K, Failures>, now: Timestamp) {
        failures.retain(|_, known| known.last.plus_seconds(self.limits.forgotten_after_seconds) > now);
        if failures.len() >= KEPT_MAX {
            let oldest = failures.iter().min_by_key(|(_, known)| known.last).map(|(who, _)| who.clone());
            oldest.map(|who| failures.remove(&who));
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<K, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address attempts are counted under: one household has a whole IPv6 /64 to try from.
pub(crate) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

/// Most of whom failures are remembered.
const KEPT_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { free: 3, delay_seconds_max: 60, forgotten_after_seconds: 600 };
    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    #[test]
    fn the_delay_doubles_from_the_first_failure_that_is_not_free() {
        let attempts = Attempts::new(LIMITS);
        for _ in 0..3 {
            attempts.begin(&"ada", NOW).unwrap();
        }
        attempts.begin(&"ada", NOW).unwrap();
        assert_eq!(attempts.begin(&"ada", NOW), Err(TooSoon { seconds: 1 }));
        let mut now = NOW.plus_seconds(1);
        for expected in [2, 4, 8, 16, 32, 60, 60] {
            attempts.begin(&"ada", now).unwrap();
            assert_eq!(attempts.check(&"ada", now), Err(TooSoon { seconds: expected }));
            now = now.plus_seconds(expected);
        }
        assert_eq!(attempts.check(&"bob", now), Ok(()));
    }

    #[test]
    fn success_takes_back_one_attempt_and_time_forgets_them_all() {
        let attempts = Attempts::new(LIMITS);
        for _ in 0..100 {
            attempts.begin(&1, NOW).unwrap();
            attempts.succeeded(&1);
        }
        for _ in 0..4 {
            attempts.failed(&1, NOW);
        }
        assert!(attempts.check(&1, NOW).is_err());
        let later = NOW.plus_seconds(600);
        attempts.failed(&1, later);
        assert_eq!(attempts.check(&1, later), Ok(()));
        attempts.forget(&1);
        assert!(attempts.locked().is_empty());
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let attempts = Attempts::new(LIMITS);
        for who in 0..=KEPT_MAX {
            attempts.failed(&who, NOW.plus_seconds(i64::from(who > 0)));
        }
        let kept = attempts.locked();
        assert_eq!(kept.len(), KEPT_MAX);
        assert!(!kept.contains_key(&0));
    }

    #[test]
    fn a_whole_ipv6_network_counts_as_one_address() {
        let address = |text: &str| counted(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
    }
}
