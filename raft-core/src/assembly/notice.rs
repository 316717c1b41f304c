//! Telling what was decided: what happens once, once; what lasts, again and again, but not always.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Event, Events};
use crate::metrics::Counters;

/// Time after which what still lasts is told again.
const AGAIN: Duration = Duration::from_secs(5);

/// Lasting things kept in mind; a node has one or two, a leader one for each node it refuses.
const LASTING_MAX: usize = 32;

/// Tells and counts decisions; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Notices {
    events: Events,
    counters: Arc<Counters>,
    /// What was told lately and may last, and when.
    lasting: Arc<Mutex<Vec<(Event, Instant)>>>,
}

impl Notices {
    /// Has told nothing yet.
    pub(crate) fn new(events: Events, counters: Arc<Counters>) -> Notices {
        Notices { events, counters, lasting: Arc::default() }
    }

    /// Tells what happened.
    pub(crate) fn tell(&self, event: Event) {
        self.counters.assembly.count(&event);
        self.events.tell(event);
    }

    /// Tells what lasts, unless the same was told lately.
    pub(crate) fn remind(&self, event: Event) {
        self.remind_at(event, Instant::now());
    }

    fn remind_at(&self, event: Event, now: Instant) {
        {
            let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
            lasting.retain(|(_, at)| now.saturating_duration_since(*at) < AGAIN);
            if lasting.iter().any(|(told, _)| *told == event) {
                return;
            }
            if lasting.len() < LASTING_MAX {
                lasting.push((event.clone(), now));
            }
        }
        self.tell(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_every_five_seconds_and_a_change_at_once() {
        let events = Events::default();
        let mut told = events.listen();
        let notices = Notices::new(events, Arc::default());
        let waiting = |why: &str| Event::Waiting { why: why.into() };
        let start = Instant::now();
        for tenths in 0..60 {
            notices.remind_at(waiting("for b"), start + Duration::from_millis(100) * tenths);
        }
        notices.remind_at(waiting("for c"), start + AGAIN);
        notices.tell(waiting("for c"));
        let mut counted = Vec::new();
        while let Ok(event) = told.try_recv() {
            counted.push(event);
        }
        let expected = ["for b", "for b", "for c", "for c"].map(waiting);
        assert_eq!(counted, expected);
    }
}
