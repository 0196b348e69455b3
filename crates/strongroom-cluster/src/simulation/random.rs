//! Chance that a seed decides.

use std::time::Duration;

/// `SplitMix64` (Steele, Lea, Flood 2014): small, fast, good enough to explore with.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// One stream of a seed; streams with different labels are apart.
    pub(super) fn new(seed: u64, label: u64) -> Self {
        let mut mixed = Self(seed ^ label.wrapping_mul(0xd6e8_feb8_6659_fd93));
        mixed.next();
        mixed
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    /// Whether something with that chance happens.
    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }

    /// A time within bounds, in milliseconds.
    pub(super) fn millis(&mut self, least: u64, most: u64) -> Duration {
        // Microseconds, so that seldom two events fall together.
        Duration::from_micros(least * 1000 + self.next() % ((most - least) * 1000 + 1))
    }

    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
