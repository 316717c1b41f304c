//! When to try again.

use std::time::Duration;

/// Full-jitter exponential back-off: each pause is drawn evenly from zero to a bound that doubles,
/// so that those who were cut off together do not come back together.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, failures: 0 }
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let bound = self.bound();
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(fraction())
    }

    fn bound(&self) -> Duration {
        let factor = 2u32.saturating_pow(self.failures);
        self.first.saturating_mul(factor).min(self.max)
    }
}

/// Evenly from 0 to 1; the middle when the system has no randomness.
fn fraction() -> f64 {
    let mut bytes = [0x80, 0, 0, 0];
    // Jitter is a courtesy: without it nothing breaks.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_after_a_success() {
        let (first, max) = (Duration::from_millis(500), Duration::from_secs(300));
        let mut backoff = Backoff::new(first, max);
        let mut bound = first;
        for _ in 0..100 {
            assert_eq!(backoff.bound(), bound);
            assert!(backoff.pause() <= bound);
            bound = (bound * 2).min(max);
        }
        assert_eq!(backoff.bound(), max);
        backoff.reset();
        assert_eq!(backoff.bound(), first);
    }

    #[test]
    fn pauses_are_spread() {
        let mut backoff = Backoff::new(Duration::from_secs(100), Duration::from_secs(100));
        let pauses: Vec<Duration> = (0..200).map(|_| backoff.pause()).collect();
        assert!(pauses.iter().any(|pause| *pause < Duration::from_secs(25)));
        assert!(pauses.iter().any(|pause| *pause > Duration::from_secs(75)));
    }
}
