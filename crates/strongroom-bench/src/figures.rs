//! The arithmetic of figures: percentiles, medians over repetitions, ratios.

use serde::Serialize;

/// A figure over several repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The lowest.
    pub min: f64,
    /// The one in the middle; of an even number, the mean of the two there.
    pub median: f64,
    /// The highest.
    pub max: f64,
}

impl Spread {
    /// `None` without any repetition, or with one that is no number.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Self { min: *sorted.first()?, median: f64::midpoint(lower, upper), max: *sorted.last()? })
    }
}

/// How fast a ceiling was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Operations a second.
    pub per_second: f64,
    /// Processor time of one, in microseconds. It hardly changes when other work takes turns on the core.
    pub microseconds: Option<f64>,
}

/// Times of single operations, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies {
    sorted: Vec<u32>,
}

impl Latencies {
    /// From any order.
    pub fn new(mut microseconds: Vec<u32>) -> Self {
        microseconds.sort_unstable();
        Self { sorted: microseconds }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The lowest time that so many of a thousand did not exceed (nearest rank), in microseconds.
    pub fn of_thousand(&self, thousandths: usize) -> Option<u32> {
        let rank = (self.sorted.len() * thousandths).div_ceil(1000).max(1);
        self.sorted.get(rank - 1).copied()
    }

    /// How many took longer than a number of microseconds.
    pub fn above(&self, microseconds: u32) -> usize {
        self.sorted.len() - self.sorted.partition_point(|one| *one <= microseconds)
    }
}

/// What one core can do at best if each operation needs it for two things, one after the other, whose rates are known.
pub fn one_after_the_other(one: f64, other: f64) -> f64 {
    1.0 / (1.0 / one + 1.0 / other)
}

/// Rate of a number of operations, a second.
pub fn per_second(operations: u64, elapsed: std::time::Duration) -> f64 {
    real(operations) / elapsed.as_secs_f64().max(f64::EPSILON)
}

/// A count, to be divided.
#[expect(clippy::cast_precision_loss, reason = "a count of operations is far below 2^52")]
pub fn real(count: u64) -> f64 {
    count as f64
}

/// The whole ones of a count.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates, and nothing is negative")]
pub(crate) fn whole(count: f64) -> u64 {
    count as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_spread_has_the_middle_of_odd_and_even_numbers() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]), Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn percentiles_are_the_nearest_rank() {
        let latencies = Latencies::new((1..=1000).rev().collect());
        let read = [500, 990, 999, 1000, 0].map(|thousandths| latencies.of_thousand(thousandths));
        assert_eq!(read, [Some(500), Some(990), Some(999), Some(1000), Some(1)]);
        assert_eq!(Latencies::new(vec![7]).of_thousand(999), Some(7));
        assert_eq!(Latencies::default().of_thousand(500), None);
        assert_eq!((latencies.above(990), latencies.above(0), latencies.above(1000)), (10, 1000, 0));
    }

    #[test]
    fn two_rates_on_one_core_add_their_times() {
        assert!((one_after_the_other(100.0, 100.0) - 50.0).abs() < 1e-9);
        assert!((one_after_the_other(150_000.0, 61_000.0) - 43_364.9).abs() < 0.1);
        assert!((per_second(30, Duration::from_millis(1500)) - 20.0).abs() < 1e-9);
    }
}
