//! What criterion has measured, without what it has warmed up with.

use std::collections::VecDeque;

use crate::taken::Taken;

/// Samples criterion is told to take: those of a bench are its last calls, for before them it
/// warms up by calling the same function.
pub const SAMPLES: usize = 10;

/// The last [`SAMPLES`] calls of a bench.
#[derive(Debug, Default)]
pub struct Samples {
    last: VecDeque<Taken>,
}

impl Samples {
    /// Adds what one call has done, in place of the one that is too long ago.
    pub fn add(&mut self, taken: Taken) {
        if self.last.len() == SAMPLES {
            self.last.pop_front();
        }
        self.last.push_back(taken);
    }

    /// All of them together; nothing when the bench was filtered out.
    #[must_use]
    pub fn all(self) -> Taken {
        let mut all = Taken::default();
        self.last.into_iter().for_each(|taken| all.add(taken));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_was_before_the_samples_is_forgotten() {
        let mut samples = Samples::default();
        let of = |ms| Taken::new(Duration::from_millis(ms), vec![Duration::from_millis(ms)]);
        (0..3).for_each(|_| samples.add(of(1000)));
        (0..SAMPLES).for_each(|_| samples.add(of(1)));
        let all = samples.all();
        assert_eq!(all.elapsed(), Duration::from_millis(SAMPLES as u64));
        assert_eq!(all.p50(), Duration::from_millis(1));
        assert!(Samples::default().all().is_empty());
    }
}
