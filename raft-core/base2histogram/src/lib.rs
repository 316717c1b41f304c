//! Stands in for the histograms under openraft: the same names, and nothing behind them.
//!
//! openraft keeps statistics of itself that can only be asked for with its feature `runtime-stats`,
//! which raft-core does not turn on, since it measures what it tells by itself. The first of those
//! histograms that is made fills tables of every resolution from 1 to 16 bits, of which one is
//! used: 26 MiB of memory in each process, more than all else a member at rest takes. With that
//! feature openraft does not compile with this crate.
//!
//! It is put in place by `[patch]` in the workspace's `Cargo.toml`, and so for this workspace's
//! programs alone; another one that embeds raft-core may do the same. It can go once the tables are
//! made on demand.

use std::fmt;
use std::marker::PhantomData;

/// Takes numbers, and keeps none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()>(PhantomData<T>);

impl<T> Histogram<T> {
    /// An empty one, which it stays.
    pub fn new() -> Histogram<T> {
        Histogram(PhantomData)
    }

    /// Forgets a number.
    pub fn record(&mut self, _: u64) {}

    /// Forgets a number that came `count` times.
    pub fn record_n(&mut self, _: u64, _count: u64) {}

    /// What there is to say of no numbers.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats::default()
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Histogram<T> {
        Histogram::new()
    }
}

/// Percentiles of nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are named for what they would be")]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not recorded")
    }
}

/// A chart of nothing.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart;

impl AsciiChart {
    /// An empty one, which it stays.
    pub fn new() -> AsciiChart {
        AsciiChart
    }

    /// Leaves a histogram out.
    #[must_use]
    pub fn add(self, _: &str, _: Histogram) -> AsciiChart {
        self
    }
}
