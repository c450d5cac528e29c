//! Durations counted by powers of two.

use std::array;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const BUCKETS: usize = 32;

/// Bucket 0 ends here, at 1.024 µs; each further one ends at twice the one before.
const FIRST_END_LOG2: u32 = 10;

/// How many durations fell into each power of two of nanoseconds.
///
/// The first bucket holds what took less than 1.024 µs, the last what took 18 minutes or more. A
/// duration is known to within a factor of two.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
}

impl Histogram {
    /// Returns how many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns a duration that the fraction `q` of those counted stayed below, or `None` if none
    /// was counted. The answer is the end of a bucket: at most twice the true quantile.
    /// [`Duration::MAX`] stands for the last bucket, which has no end.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let count = self.count();
        let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (end, in_bucket) in self.buckets() {
            seen += in_bucket;
            if seen >= rank {
                return Some(end);
            }
        }
        None
    }

    /// Returns the buckets from short to long: where each ends (exclusive), and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.counts.iter().enumerate().map(|(bucket, count)| (end_of(bucket), *count))
    }

    /// Returns what was counted after `earlier` was taken.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self { counts: array::from_fn(|i| self.counts[i].saturating_sub(earlier.counts[i])) }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS] }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.buckets().filter(|(_, count)| *count > 0)).finish()
    }
}

fn bucket_of(nanos: u64) -> usize {
    let log2_end = u64::BITS - nanos.leading_zeros();
    (log2_end.saturating_sub(FIRST_END_LOG2) as usize).min(BUCKETS - 1)
}

fn end_of(bucket: usize) -> Duration {
    if bucket == BUCKETS - 1 {
        return Duration::MAX;
    }
    Duration::from_nanos(1 << (FIRST_END_LOG2 + bucket as u32))
}

/// A histogram that one thread adds to and any thread reads.
#[derive(Debug, Default)]
pub(super) struct AtomicHistogram {
    counts: [AtomicU64; BUCKETS],
}

impl AtomicHistogram {
    #[inline]
    pub(super) fn add(&self, nanos: u64) {
        let count = &self.counts[bucket_of(nanos)];
        // Ordering: a count stands for itself, and one thread alone writes it.
        count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> Histogram {
        Histogram { counts: array::from_fn(|i| self.counts[i].load(Ordering::Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every duration lies below its bucket's end, and not below the end of the one before.
        #[test]
        fn a_bucket_holds_its_power_of_two(nanos in 0_u64..1 << 45) {
            let bucket = bucket_of(nanos);
            prop_assert!(Duration::from_nanos(nanos) < end_of(bucket));
            prop_assert!(bucket == 0 || Duration::from_nanos(nanos) >= end_of(bucket - 1));
        }
    }

    /// A quantile lies above the true one, by no more than a factor of two.
    #[test]
    fn quantiles_are_known_to_a_factor_of_two() {
        let shared = AtomicHistogram::default();
        (1..=1000).for_each(|i| shared.add(i * 10_000));
        let histogram = shared.snapshot();
        for (q, exact) in [(0.5, 5_000_000), (0.99, 9_900_000), (1.0, 10_000_000), (0.0, 10_000)] {
            let told = histogram.quantile(q).unwrap().as_nanos();
            assert!(told > exact && told <= 2 * exact, "{q}: {told}");
        }
        assert_eq!(histogram.count(), 1000);
        assert_eq!(histogram.since(&histogram).quantile(0.5), None);
    }
}
