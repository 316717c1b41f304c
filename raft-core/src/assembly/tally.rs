//! How often what was decided; told and counted in one place.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::Event;

/// The kinds of decisions, by the name under which they are counted.
const KINDS: [&str; 11] = [
    "waiting",
    "promised",
    "formed",
    "joining",
    "joined",
    "blocked",
    "admitted",
    "turned_away",
    "promoted",
    "replacing",
    "replaced",
];

/// Counts decisions by kind.
#[derive(Debug, Default)]
pub(crate) struct Tally([AtomicU64; KINDS.len()]);

impl Tally {
    /// Counts one; other events are none.
    pub(crate) fn count(&self, event: &Event) {
        let kind = kind(event).and_then(|kind| KINDS.iter().position(|name| *name == kind));
        if let Some(counter) = kind.and_then(|place| self.0.get(place)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts, each with its name.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS.into_iter().zip(self.0.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }
}

fn kind(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::Waiting { .. } => "waiting",
        Event::Promised { .. } => "promised",
        Event::Formed { .. } => "formed",
        Event::Joining { .. } => "joining",
        Event::Joined { .. } => "joined",
        Event::Blocked { .. } => "blocked",
        Event::TurnedAway { .. } => "turned_away",
        Event::Admitted { .. } => "admitted",
        Event::Promoted { .. } => "promoted",
        Event::Replacing { .. } => "replacing",
        Event::Replaced { .. } => "replaced",
        _ => return None,
    })
}
