//! Distributions of durations and sizes, cheap enough for the way of every command.
//!
//! Buckets are fixed, as Prometheus wants them: observing is two relaxed atomic additions and no
//! allocation, and whoever reads sees each bucket whole, though not all of one instant.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds of a histogram's buckets; one more bucket takes what is above them all.
const BOUNDS: usize = 15;

/// What a histogram counts, and between which bounds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    /// Upper bounds, included, ascending.
    bounds: [u64; BOUNDS],
    /// How many of the bounds' unit make one of the exposed unit.
    per_unit: u64,
}

const MICROS: u64 = 1_000;
const MILLIS: u64 = 1_000 * MICROS;
const SECONDS: u64 = 1_000 * MILLIS;

/// Steps of one command: from a memory copy to far beyond any election timeout.
pub(crate) static STEP: Scale = Scale {
    bounds: [
        100 * MICROS,
        250 * MICROS,
        500 * MICROS,
        MILLIS,
        2_500 * MICROS,
        5 * MILLIS,
        10 * MILLIS,
        25 * MILLIS,
        50 * MILLIS,
        100 * MILLIS,
        250 * MILLIS,
        500 * MILLIS,
        SECONDS,
        2_500 * MILLIS,
        10 * SECONDS,
    ],
    per_unit: SECONDS,
};

/// What moves a whole state, or waits for people: from 10 ms to half an hour.
pub(crate) static LONG: Scale = Scale {
    bounds: [
        10 * MILLIS,
        50 * MILLIS,
        100 * MILLIS,
        250 * MILLIS,
        500 * MILLIS,
        SECONDS,
        2_500 * MILLIS,
        5 * SECONDS,
        10 * SECONDS,
        30 * SECONDS,
        60 * SECONDS,
        120 * SECONDS,
        300 * SECONDS,
        600 * SECONDS,
        1_800 * SECONDS,
    ],
    per_unit: SECONDS,
};

/// Numbers of entries.
pub(crate) static ENTRIES: Scale = Scale {
    bounds: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384],
    per_unit: 1,
};

/// A distribution; shared by reference.
#[derive(Debug)]
pub(crate) struct Histogram {
    scale: &'static Scale,
    counts: [AtomicU64; BOUNDS + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// An empty distribution.
    pub(crate) const fn new(scale: &'static Scale) -> Histogram {
        Histogram {
            scale,
            counts: [const { AtomicU64::new(0) }; BOUNDS + 1],
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a duration; for the scales of time.
    pub(crate) fn time(&self, took: Duration) {
        self.value(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts a value, in the unit of the scale's bounds.
    pub(crate) fn value(&self, value: u64) {
        let bucket = self.scale.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn read(&self) -> Distribution {
        let mut counts = [0; BOUNDS + 1];
        for (to, from) in counts.iter_mut().zip(&self.counts) {
            *to = from.load(Ordering::Relaxed);
        }
        Distribution { scale: self.scale, counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// What a histogram had counted at some instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Distribution {
    scale: &'static Scale,
    counts: [u64; BOUNDS + 1],
    sum: u64,
}

impl Distribution {
    /// How many values.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().fold(0, |all, count| all.wrapping_add(*count))
    }

    /// Their sum, in the exposed unit.
    pub(crate) fn sum(&self) -> f64 {
        self.exposed(self.sum)
    }

    /// Each bucket's upper bound, in the exposed unit, and the number of values up to it; the last
    /// bound is infinite.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let bounds = self.scale.bounds.iter().map(|bound| self.exposed(*bound));
        let mut below = 0_u64;
        bounds.chain([f64::INFINITY]).zip(self.counts).map(move |(bound, count)| {
            below = below.wrapping_add(count);
            (bound, below)
        })
    }

    /// What came after `earlier`, which was read from the same histogram.
    pub(crate) fn since(&self, earlier: &Distribution) -> Distribution {
        let mut later = self.clone();
        for (count, before) in later.counts.iter_mut().zip(earlier.counts) {
            *count = count.wrapping_sub(before);
        }
        later.sum = self.sum.wrapping_sub(earlier.sum);
        later
    }

    /// The time below which 99 of 100 values lie, rounded up to a bucket's bound; `None` when
    /// there are none. Beyond the last bound it is that bound.
    pub(crate) fn p99_time(&self) -> Option<Duration> {
        let (all, mut below) = (self.count(), 0_u64);
        let bounds = self.scale.bounds.iter().chain(self.scale.bounds.last());
        for (bound, count) in bounds.zip(self.counts) {
            below = below.wrapping_add(count);
            if all > 0 && below.saturating_mul(100) >= all.saturating_mul(99) {
                return Some(Duration::from_nanos(*bound));
            }
        }
        None
    }

    fn exposed(&self, value: u64) -> f64 {
        value as f64 / self.scale.per_unit as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_ascend_in_every_scale() {
        for scale in [&STEP, &LONG, &ENTRIES] {
            assert!(scale.bounds.is_sorted_by(|one, next| one < next), "{scale:?}");
        }
    }

    #[test]
    fn a_value_lands_in_the_first_bucket_whose_bound_is_not_below_it() {
        let sizes = Histogram::new(&ENTRIES);
        for value in [0, 1, 2, 3, 16_384, 16_385] {
            sizes.value(value);
        }
        let seen = sizes.read();
        let cumulative: Vec<_> = seen.cumulative().collect();
        assert_eq!(cumulative[..3], [(1.0, 2), (2.0, 3), (4.0, 4)]);
        assert_eq!(cumulative[BOUNDS - 1..], [(16_384.0, 5), (f64::INFINITY, 6)]);
        assert_eq!((seen.count(), seen.sum()), (6, 32_775.0));
    }

    #[test]
    fn times_are_exposed_in_seconds() {
        let times = Histogram::new(&STEP);
        times.time(Duration::from_micros(2_500));
        times.time(Duration::from_secs(3));
        let seen = times.read();
        assert_eq!(seen.sum(), 3.0025);
        assert_eq!(seen.cumulative().find(|(bound, _)| *bound == 0.0025), Some((0.0025, 1)));
        assert_eq!(seen.cumulative().find(|(bound, _)| *bound == 10.0), Some((10.0, 2)));
    }

    #[test]
    fn the_recent_past_is_told_from_what_was_before() {
        let times = Histogram::new(&STEP);
        assert_eq!(times.read().p99_time(), None);
        for _ in 0..1000 {
            times.time(Duration::from_micros(90));
        }
        let before = times.read();
        assert_eq!(before.p99_time(), Some(Duration::from_micros(100)));
        for _ in 0..98 {
            times.time(Duration::from_millis(1));
        }
        times.time(Duration::from_millis(200));
        times.time(Duration::from_secs(60));
        let recent = times.read().since(&before);
        assert_eq!(recent.count(), 100);
        assert_eq!(recent.p99_time(), Some(Duration::from_millis(250)));
        assert_eq!(times.read().p99_time(), Some(Duration::from_millis(1)));
    }
}
