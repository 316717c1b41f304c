//! How often the responder answers: a bucket of tokens in all, and one for each source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Answers one source gets at once. A sweep asks each address twice; the rest is for several
/// searchers behind one address.
pub(crate) const SOURCE_BURST: u32 = 8;
/// Time until one source has earned one more answer.
const SOURCE_REFILL: Duration = Duration::from_millis(125);
/// Answers all sources together get at once: a site that starts all its clients in one moment.
pub(crate) const TOTAL_BURST: u32 = 256;
/// Time until one more answer was earned by all together: 200 a second, some 25 kB/s at the most.
const TOTAL_REFILL: Duration = Duration::from_millis(5);
/// Sources remembered. A bucket is created only with a token of the total, and is forgotten once it
/// is full again, one second later at the most (8 × 125 ms): 256 at once and 200 during that
/// second.
const SOURCES_MAX: usize = 512;

/// Decides which requests are answered.
///
/// - It remembers at most [`SOURCES_MAX`] sources, however many are forged.
/// - A source that has used up its own bucket takes nothing from the total.
#[derive(Debug)]
pub(crate) struct RateLimit {
    total: Bucket,
    sources: HashMap<IpAddr, Bucket>,
}

impl RateLimit {
    pub(crate) fn new(now: Instant) -> RateLimit {
        let total = Bucket::full(TOTAL_BURST, TOTAL_REFILL, now);
        RateLimit { total, sources: HashMap::new() }
    }

    /// Takes a token for `source`; false if it, or all together, have asked too often.
    pub(crate) fn allow(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.sources.get_mut(&source).is_some_and(|bucket| !bucket.has_token(now)) {
            return false;
        }
        if !self.make_room(source, now) || !self.total.take(now) {
            return false;
        }
        let fresh = || Bucket::full(SOURCE_BURST, SOURCE_REFILL, now);
        let taken = self.sources.entry(source).or_insert_with(fresh).take(now);
        debug_assert!(taken && self.sources.len() <= SOURCES_MAX);
        taken
    }

    /// Whether there is a place for `source`, after forgetting those whose buckets are full again.
    fn make_room(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.sources.len() < SOURCES_MAX || self.sources.contains_key(&source) {
            return true;
        }
        self.sources.retain(|_, bucket| !bucket.is_full(now));
        self.sources.len() < SOURCES_MAX
    }
}

/// Tokens that come back one by one.
#[derive(Debug)]
struct Bucket {
    tokens: u32,
    capacity: u32,
    refill: Duration,
    /// When `tokens` was right.
    counted_at: Instant,
}

impl Bucket {
    fn full(capacity: u32, refill: Duration, now: Instant) -> Bucket {
        Bucket { tokens: capacity, capacity, refill, counted_at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let available = self.has_token(now);
        self.tokens = self.tokens.saturating_sub(1);
        available
    }

    fn has_token(&mut self, now: Instant) -> bool {
        self.count(now);
        self.tokens > 0
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.count(now);
        self.tokens == self.capacity
    }

    fn count(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.counted_at);
        let earned = u32::try_from(elapsed.as_nanos() / self.refill.as_nanos()).unwrap_or(u32::MAX);
        let missing = self.capacity - self.tokens;
        debug_assert!(self.tokens <= self.capacity);
        if earned >= missing {
            self.tokens = self.capacity;
            self.counted_at = now;
        } else {
            self.tokens += earned;
            self.counted_at += self.refill * earned;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn source(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(number))
    }

    #[test]
    fn one_source_gets_its_burst_and_then_its_rate_while_others_are_served() {
        let start = Instant::now();
        let mut limit = RateLimit::new(start);
        let burst = (0..100).filter(|_| limit.allow(source(1), start)).count();
        assert_eq!(burst, SOURCE_BURST as usize);
        assert!(limit.allow(source(2), start));
        let later = start + SOURCE_REFILL * 3;
        let earned = (0..100).filter(|_| limit.allow(source(1), later)).count();
        assert_eq!(earned, 3);
    }

    #[test]
    fn a_greedy_source_takes_nothing_from_the_total() {
        let start = Instant::now();
        let mut limit = RateLimit::new(start);
        for _ in 0..10_000 {
            limit.allow(source(1), start);
        }
        let others = (2..10_000).filter(|n| limit.allow(source(*n), start)).count();
        assert_eq!(others, (TOTAL_BURST - SOURCE_BURST) as usize);
    }

    #[test]
    fn forged_sources_get_the_total_rate_and_a_bounded_place_in_memory() {
        let start = Instant::now();
        let mut limit = RateLimit::new(start);
        let mut allowed = 0;
        for step in 0..10_000_u32 {
            let now = start + Duration::from_millis(1) * step;
            for forged in 0..5 {
                allowed += u32::from(limit.allow(source(step * 5 + forged), now));
            }
            assert!(limit.sources.len() <= SOURCES_MAX);
        }
        assert!((2_200..=2_300).contains(&allowed), "{allowed} in ten seconds");
    }
}
