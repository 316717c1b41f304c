//! How long operations took, counted by many callers at once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Buckets of each power of two: a value is told to within one part in so many.
const PARTS: u64 = 128;
const PARTS_BITS: u32 = PARTS.trailing_zeros();

/// Counts durations in nanoseconds, each to less than one per cent, in 60 kB however many there
/// are.
///
/// - A value never leaves the bucket whose bounds enclose it; the largest is known exactly.
#[derive(Debug)]
pub struct Histogram {
    buckets: Vec<AtomicU64>,
    largest: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        let buckets = (0..=bucket(u64::MAX)).map(|_| AtomicU64::new(0)).collect();
        Histogram { buckets, largest: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one more; 584 years and anything longer are the same.
    pub fn record(&self, taken: Duration) {
        let nanoseconds = u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.buckets.get(bucket(nanoseconds)) {
            count.fetch_add(1, Relaxed);
        }
        self.largest.fetch_max(nanoseconds, Relaxed);
    }

    /// Counts what another one has counted too.
    pub fn add(&self, other: &Histogram) {
        for (count, other) in self.buckets.iter().zip(&other.buckets) {
            count.fetch_add(other.load(Relaxed), Relaxed);
        }
        self.largest.fetch_max(other.largest.load(Relaxed), Relaxed);
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// The duration that `part` (0 to 1) of all do not exceed; none of none.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = ((count as f64 * part).ceil() as u64).clamp(1, count);
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += bucket.load(Relaxed);
            if seen >= rank {
                let largest = self.largest.load(Relaxed);
                return Some(Duration::from_nanos(upper_bound(index).min(largest)));
            }
        }
        None
    }
}

fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(PARTS_BITS + 1);
    let index = u64::from(shift) * PARTS + (value >> shift);
    assert!(index < 64 * PARTS, "buckets are bounded");
    index as usize
}

/// The largest value of a bucket.
fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / PARTS).saturating_sub(1);
    let within = u128::from(index - shift * PARTS);
    u64::try_from(((within + 1) << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_encloses_its_values_and_is_narrow() {
        for value in (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) + 1, (1 << bit) / 2 * 3]) {
            let bound = upper_bound(bucket(value));
            assert!(bound >= value && bound - value <= value / 64, "{value} {bound}");
            assert_eq!(bucket(bound), bucket(value));
            assert!(bound == u64::MAX || bucket(bound + 1) == bucket(value) + 1, "{value}");
        }
        assert_eq!(upper_bound(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=1000).for_each(|us| histogram.record(Duration::from_micros(us)));
        for (part, expected) in [(0.0, 1.0), (0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = histogram.quantile(part).unwrap().as_secs_f64() * 1e6;
            assert!((found / expected - 1.0).abs() < 0.01, "{part}: {found}");
        }
        assert_eq!(histogram.quantile(1.0), Some(Duration::from_millis(1)));
        assert_eq!(histogram.count(), 1000);
    }

    #[test]
    fn what_another_one_counted_is_added() {
        let [one, other] = [1, 3].map(|ms| {
            let histogram = Histogram::default();
            histogram.record(Duration::from_millis(ms));
            histogram
        });
        one.add(&other);
        assert_eq!((one.count(), other.count()), (2, 1));
        assert_eq!(one.quantile(1.0), Some(Duration::from_millis(3)));
    }
}
