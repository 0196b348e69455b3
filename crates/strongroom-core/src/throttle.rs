//! Token buckets: how often one principal may ask, and how often one key may be used (`[throttle]`). Nothing is limited
//! unless the operator says so.
//!
//! A bucket is full at first; each request takes one token, and tokens come back at a steady rate. A request that finds none
//! is refused and takes none. Buckets are in memory, and each node of a cluster has its own.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use quick_cache::sync::Cache;
use strongroom_types::{InstanceId, KeyId, PrincipalId, TenantId};

use crate::ports::Clock;
use crate::request::Caller;
use crate::{Error, Result};

/// How much is let through; what is `None` is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests of one principal to all managed HSMs and vaults together.
    pub per_principal: Option<Rate>,
    /// Uses of one key, all its versions and all callers together.
    pub per_key: Option<Rate>,
}

/// What one bucket lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that come back in a second.
    pub per_second: NonZeroU32,
    /// Tokens of a full bucket: what passes at once after a pause.
    pub burst: NonZeroU32,
}

/// Whose bucket was empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// The caller's.
    Principal,
    /// The key's.
    Key,
}

impl std::fmt::Display for Limited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Principal => "the principal",
            Self::Key => "the key",
        })
    }
}

/// The buckets of this node.
#[derive(Default)]
pub(crate) struct Throttle {
    principals: Option<Buckets<(TenantId, PrincipalId)>>,
    keys: Option<Buckets<(InstanceId, KeyId)>>,
}

impl Throttle {
    pub(crate) fn new(rates: Rates, clock: &Arc<dyn Clock>) -> Self {
        let Rates { per_principal, per_key } = rates;
        Self {
            principals: per_principal.map(|rate| Buckets::new(rate, BUCKETS_MAX, clock)),
            keys: per_key.map(|rate| Buckets::new(rate, BUCKETS_MAX, clock)),
        }
    }

    /// Takes a token from the caller's bucket.
    ///
    /// # Errors
    /// [`Error::RateExceeded`] if it is empty.
    pub(crate) fn admit(&self, caller: &Caller) -> Result<()> {
        let Some(buckets) = &self.principals else { return Ok(()) };
        buckets.take((caller.tenant, caller.principal)).map_err(|wait| exceeded(Limited::Principal, wait))
    }

    /// Takes a token from a key's bucket, for a caller that may use the key.
    ///
    /// # Errors
    /// [`Error::RateExceeded`] if it is empty.
    pub(crate) fn use_key(&self, instance: InstanceId, key: KeyId) -> Result<()> {
        let Some(buckets) = &self.keys else { return Ok(()) };
        buckets.take((instance, key)).map_err(|wait| exceeded(Limited::Key, wait))
    }
}

fn exceeded(limited: Limited, wait: Duration) -> Error {
    Error::RateExceeded { limited, wait }
}

/// One bucket for each of many, all at one rate.
struct Buckets<K: Copy + Eq + Hash>(RateLimiter<K, Kept<K>, Monotonic, NoOpMiddleware<Duration>>);

impl<K: Copy + Eq + Hash> Buckets<K> {
    fn new(rate: Rate, buckets_max: usize, clock: &Arc<dyn Clock>) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self(RateLimiter::new(quota, Kept(Cache::new(buckets_max)), Monotonic(Arc::clone(clock))))
    }

    /// Takes a token, or says how long it takes until there is one.
    fn take(&self, whose: K) -> std::result::Result<(), Duration> {
        let Self(limiter) = self;
        limiter.check_key(&whose).map_err(|until| until.wait_time_from(governor::clock::Clock::now(limiter.clock())))
    }
}

/// The buckets that are kept. Their number is bounded: a new one displaces one that was not asked for lately. Whoever that
/// belonged to begins with a full one, so too many callers are let through rather than refused.
struct Kept<K>(Cache<K, Arc<InMemoryState>>);

impl<K: Copy + Eq + Hash> StateStore for Kept<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, whose: &K, decide: F) -> std::result::Result<T, E>
    where
        F: Fn(Option<Nanos>) -> std::result::Result<(T, Nanos), E>,
    {
        let Self(buckets) = self;
        let made = buckets.get_or_insert_with(whose, || Ok::<_, std::convert::Infallible>(Arc::default()));
        let bucket = match made {
            Ok(bucket) => bucket,
            Err(never) => match never {},
        };
        bucket.measure_and_replace(&NotKeyed::NonKey, decide)
    }
}

/// The clock that nobody sets, as the buckets read it.
struct Monotonic(Arc<dyn Clock>);

impl governor::clock::Clock for Monotonic {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

/// Buckets of principals, and as many of keys: 12 MB each when all are in use.
const BUCKETS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use strongroom_types::Timestamp;

    use super::*;

    /// A clock whose time of day jumps, while the time that passes does not.
    #[derive(Default)]
    struct Clocks {
        millis: AtomicU64,
    }

    impl Clocks {
        fn pass(&self, millis: u64) {
            self.millis.fetch_add(millis, Ordering::SeqCst);
        }
    }

    impl Clock for Clocks {
        fn now(&self) -> Timestamp {
            panic!("buckets do not ask for the time of day")
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.millis.load(Ordering::SeqCst))
        }
    }

    fn buckets(per_second: u32, burst: u32, buckets_max: usize) -> (Buckets<u32>, Arc<Clocks>) {
        let clocks = Arc::<Clocks>::default();
        let clock: Arc<dyn Clock> = Arc::<Clocks>::clone(&clocks);
        let rate = Rate { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() };
        (Buckets::new(rate, buckets_max, &clock), clocks)
    }

    #[test]
    fn a_full_bucket_lets_its_burst_through_and_says_how_long_it_takes_until_there_is_a_token() {
        let (buckets, _) = buckets(4, 3, 8);
        for _ in 0..3 {
            assert_eq!(buckets.take(1), Ok(()));
        }
        assert_eq!(buckets.take(1), Err(Duration::from_millis(250)));
        assert_eq!(buckets.take(1), Err(Duration::from_millis(250)), "who is refused takes no token");
    }

    #[test]
    fn tokens_come_back_one_by_one_and_never_more_than_the_burst() {
        let (buckets, clocks) = buckets(4, 3, 8);
        while buckets.take(1).is_ok() {}
        clocks.pass(249);
        assert_eq!(buckets.take(1), Err(Duration::from_millis(1)));
        clocks.pass(1);
        assert_eq!(buckets.take(1), Ok(()));
        assert!(buckets.take(1).is_err());
        clocks.pass(3_600_000);
        assert_eq!((0..10).filter(|_| buckets.take(1).is_ok()).count(), 3);
    }

    #[test]
    fn each_has_a_bucket_of_its_own() {
        let (buckets, _) = buckets(1, 1, 8);
        for whose in 0..8 {
            assert_eq!(buckets.take(whose), Ok(()), "{whose}");
            assert!(buckets.take(whose).is_err(), "{whose}");
        }
    }

    #[test]
    fn threads_that_take_at_once_take_no_token_twice() {
        let (buckets, _) = buckets(1, 1000, 8);
        let taken = || (0..1000).filter(|_| buckets.take(1).is_ok()).count();
        let all: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(taken)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(all, 1000);
    }

    #[test]
    fn there_are_never_more_buckets_than_allowed_and_who_asks_all_the_time_keeps_its_own() {
        let (buckets, _) = buckets(1, 1, 64);
        assert_eq!(buckets.take(0), Ok(()));
        for whose in 1..10_000 {
            assert_eq!(buckets.take(whose), Ok(()), "a newcomer is let through");
            assert!(buckets.take(0).is_err(), "after {whose} newcomers");
        }
        let Buckets(limiter) = buckets;
        let Kept(kept) = limiter.into_state_store();
        assert!(kept.len() <= 64, "{}", kept.len());
    }

    #[test]
    fn nothing_is_limited_unless_it_is_set() {
        let clock: Arc<dyn Clock> = Arc::<Clocks>::default();
        for throttle in [Throttle::default(), Throttle::new(Rates::default(), &clock)] {
            assert!(throttle.principals.is_none() && throttle.keys.is_none());
            throttle.use_key(InstanceId::from_random([1; 16]), KeyId::from_random([2; 16])).unwrap();
        }
    }
}
