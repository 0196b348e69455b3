//! RSA keys in advance. Finding the primes takes from a twentieth of a second to seconds, so where one key of a size was
//! asked for and then another, the next ones are made before anybody waits for them.
//!
//! A key in stock is nobody's: it has no name, belongs to no managed HSM, was never written anywhere, and goes with the
//! process. Each is given out once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_crypto::{CryptoError, Entropy, KeyMaterial, KeySpecification};
use strongroom_types::RsaSize;

use crate::ports::CryptoPool;

/// Makes a key of a size.
type Generate = dyn Fn(RsaSize) -> Result<KeyMaterial, CryptoError> + Send + Sync;

/// The keys that are ready, by size.
pub(crate) struct RsaStock {
    shelves: Mutex<HashMap<RsaSize, Shelf>>,
    generate: Box<Generate>,
}

#[derive(Default)]
struct Shelf {
    keys: Vec<KeyMaterial>,
    /// How many were asked for since the start.
    asked: usize,
    /// Whether somebody is filling it.
    filling: bool,
}

impl Shelf {
    /// One key alone says nothing of a second; from then on as many as were asked for, within reason.
    fn is_short(&self) -> bool {
        self.keys.len() < self.asked.saturating_sub(1).min(AHEAD_MAX)
    }
}

impl RsaStock {
    /// An empty stock.
    pub(crate) fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self::of(Box::new(move |size| KeyMaterial::generate(KeySpecification::Rsa(size), entropy.as_ref())))
    }

    fn of(generate: Box<Generate>) -> Self {
        Self { shelves: Mutex::default(), generate }
    }

    /// A key that is made now: this takes up to seconds.
    ///
    /// # Errors
    /// As [`KeyMaterial::generate`].
    pub(crate) fn make(&self, size: RsaSize) -> Result<KeyMaterial, CryptoError> {
        (self.generate)(size)
    }

    /// A key that is ready, if one is; has others made where nobody waits for them.
    pub(crate) fn take(self: &Arc<Self>, size: RsaSize, pool: &dyn CryptoPool) -> Option<KeyMaterial> {
        let (key, is_short) = self.on_shelf(size, |shelf| {
            shelf.asked = shelf.asked.saturating_add(1);
            let key = shelf.keys.pop();
            let is_short = !shelf.filling && shelf.is_short();
            shelf.filling |= is_short;
            (key, is_short)
        });
        if is_short {
            let stock = Arc::clone(self);
            let job = move || {
                stock.fill(size);
                None
            };
            if pool.submit_ahead(Box::new(job)).is_err() {
                self.on_shelf(size, |shelf| shelf.filling = false);
            }
        }
        key
    }

    fn fill(&self, size: RsaSize) {
        let goes_on = |shelf: &mut Shelf| {
            shelf.filling = shelf.is_short();
            shelf.filling
        };
        while self.on_shelf(size, goes_on) {
            let Ok(key) = self.make(size) else {
                // Whoever asks next makes a key of their own, and is told if that fails.
                return self.on_shelf(size, |shelf| shelf.filling = false);
            };
            self.on_shelf(size, |shelf| shelf.keys.push(key));
        }
    }

    fn on_shelf<T>(&self, size: RsaSize, action: impl FnOnce(&mut Shelf) -> T) -> T {
        action(self.shelves.lock().unwrap_or_else(PoisonError::into_inner).entry(size).or_default())
    }
}

/// Most keys of a size in stock.
const AHEAD_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use strongroom_crypto::SystemEntropy;

    use super::*;
    use crate::ports::{Job, Lane, Overloaded, do_at_once};

    /// Keeps jobs until they are run.
    #[derive(Default)]
    struct Later(Mutex<Vec<Job>>);

    impl CryptoPool for Later {
        fn submit(&self, _: Lane, _: Job) -> Result<(), Overloaded> {
            panic!("nobody waits for these")
        }

        fn submit_ahead(&self, job: Job) -> Result<(), Overloaded> {
            self.0.lock().unwrap().push(job);
            Ok(())
        }
    }

    impl Later {
        fn run(&self) -> usize {
            let jobs = std::mem::take(&mut *self.0.lock().unwrap());
            jobs.into_iter().map(do_at_once).count()
        }
    }

    struct Full;

    impl CryptoPool for Full {
        fn submit(&self, _: Lane, _: Job) -> Result<(), Overloaded> {
            Err(Overloaded)
        }
    }

    /// A stock of AES keys, which are quickly made, and how many were.
    fn stock() -> (Arc<RsaStock>, Arc<AtomicUsize>) {
        let made = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&made);
        let generate = move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            KeyMaterial::generate(KeySpecification::Oct(strongroom_types::SymmetricSize::Bits256), &SystemEntropy)
        };
        (Arc::new(RsaStock::of(Box::new(generate))), made)
    }

    const SIZE: RsaSize = RsaSize::Bits2048;

    #[test]
    fn nothing_is_made_for_who_asks_once() {
        let ((stock, made), pool) = (stock(), Later::default());
        assert!(stock.take(SIZE, &pool).is_none());
        assert!(stock.take(RsaSize::Bits4096, &pool).is_none(), "another size");
        assert_eq!((pool.run(), made.load(Ordering::SeqCst)), (0, 0));
    }

    #[test]
    fn the_stock_grows_with_what_is_asked_for_up_to_a_bound_and_no_key_is_given_out_twice() {
        let ((stock, made), pool) = (stock(), Later::default());
        assert!(stock.take(SIZE, &pool).is_none());
        assert!(stock.take(SIZE, &pool).is_none());
        assert!(stock.take(SIZE, &pool).is_none(), "somebody is at it");
        assert_eq!((pool.run(), made.load(Ordering::SeqCst)), (1, 2), "one job for all that is missing");
        let mut seen = Vec::new();
        for _ in 0..20 {
            let key = stock.take(SIZE, &pool).expect("it is ready");
            seen.push(key.to_sealable().unwrap().expose().clone());
            pool.run();
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 20);
        assert_eq!(made.load(Ordering::SeqCst), 20 + AHEAD_MAX);
        assert!(stock.take(RsaSize::Bits3072, &pool).is_none());
    }

    #[test]
    fn a_pool_that_is_full_is_asked_again() {
        let ((stock, made), pool) = (stock(), Later::default());
        for _ in 0..3 {
            assert!(stock.take(SIZE, &Full).is_none());
        }
        assert!(stock.take(SIZE, &pool).is_none());
        assert_eq!((pool.run(), made.load(Ordering::SeqCst)), (1, 3));
    }

    #[test]
    fn who_fails_to_fill_it_lets_the_next_one_try() {
        let fails = Arc::new(RsaStock::of(Box::new(|_| Err(CryptoError::Entropy))));
        let pool = Later::default();
        for expected in [0, 1, 1] {
            assert!(fails.take(SIZE, &pool).is_none());
            assert_eq!(pool.run(), expected);
        }
    }
}
