//! Saying something often enough, and not a thousand times.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two messages of one kind: whoever knocks at every heartbeat must not fill the log.
const PAUSE: Duration = Duration::from_secs(5);

/// Lets one message pass in a while.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    /// True when it is time for another message.
    pub(crate) fn passes(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passes = last.is_none_or(|last| last.elapsed() >= PAUSE);
        if passes {
            *last = Some(Instant::now());
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_of_many_messages_passes() {
        let throttle = Throttle::default();
        assert!(throttle.passes());
        assert!((0..100).all(|_| !throttle.passes()));
    }
}
