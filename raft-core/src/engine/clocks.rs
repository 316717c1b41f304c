//! What the voters' clocks say, as a leader hears it from their answers: no command is stamped with
//! a time that a majority has not reached.
//!
//! One wrong clock, the leader's own included, thus never moves log time by more than the right
//! ones allow: of five voters two may be years ahead, or years behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::member::NodeId;

/// Age at which a reading counts no more: the clock may have been set since. Members answer several
/// times a second.
const READING_MAX_AGE: Duration = Duration::from_secs(60);

/// The clocks of the other members.
#[derive(Debug, Default)]
pub(crate) struct Clocks(Mutex<BTreeMap<NodeId, Reading>>);

/// What a member's clock said, and when we heard it. Since then both clocks are taken to have gone
/// alike; our own wall clock, which may be set meanwhile, has no part in it.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// `None` from a program that does not say it yet.
    unix_ms: Option<u64>,
    heard: Instant,
}

/// What a leader may stamp a command with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamped {
    /// The highest time that a majority's clocks have reached.
    Reached(u64),
    /// A majority has answered, but not said what its clocks say: some run an older program.
    Unsaid,
    /// A majority has not answered lately.
    Unheard,
}

impl Clocks {
    /// Notes what a member's answer says of its clock: 0 if nothing.
    pub(crate) fn note(&self, id: NodeId, unix_ms: u64) {
        let reading = Reading { unix_ms: (unix_ms > 0).then_some(unix_ms), heard: Instant::now() };
        let mut readings = self.readings();
        if readings.insert(id, reading).is_none() {
            // Somebody else may have left for good.
            readings.retain(|_, reading| reading.heard.elapsed() < READING_MAX_AGE);
        }
    }

    /// What a command may be stamped with now, where `us` with the clock `own_unix_ms` leads these
    /// sets of voters: one, or two during a joint change.
    pub(crate) fn stamp(
        &self,
        us: NodeId,
        own_unix_ms: u64,
        voter_sets: &[BTreeSet<NodeId>],
    ) -> Stamped {
        let readings = self.readings();
        let clock = |id: &NodeId| {
            if *id == us {
                return Some(Some(own_unix_ms));
            }
            let reading = readings.get(id)?;
            let since = reading.heard.elapsed();
            let passed = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            let now = reading.unix_ms.map(|unix_ms| unix_ms.saturating_add(passed));
            (since < READING_MAX_AGE).then_some(now)
        };
        let each = voter_sets.iter().map(|voters| {
            let heard: Vec<Option<u64>> = voters.iter().filter_map(clock).collect();
            reached(voters.len(), &heard)
        });
        // What holds for both sets: the less certain, and the earlier.
        each.reduce(Stamped::lesser).unwrap_or(Stamped::Unheard)
    }

    fn readings(&self) -> MutexGuard<'_, BTreeMap<NodeId, Reading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stamped {
    fn lesser(self, other: Stamped) -> Stamped {
        match (self, other) {
            (Stamped::Reached(one), Stamped::Reached(other)) => Stamped::Reached(one.min(other)),
            (Stamped::Unheard, _) | (_, Stamped::Unheard) => Stamped::Unheard,
            (Stamped::Unsaid, _) | (_, Stamped::Unsaid) => Stamped::Unsaid,
        }
    }
}

/// The highest time that a majority of `voters` has reached, of whom these have answered.
fn reached(voters: usize, heard: &[Option<u64>]) -> Stamped {
    let majority = voters / 2 + 1;
    let mut said: Vec<u64> = heard.iter().copied().flatten().collect();
    said.sort_unstable_by_key(|unix_ms| std::cmp::Reverse(*unix_ms));
    match said.get(majority - 1) {
        Some(unix_ms) => Stamped::Reached(*unix_ms),
        None if heard.len() >= majority => Stamped::Unsaid,
        None => Stamped::Unheard,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;
    const DAY: u64 = 24 * 60 * 60 * 1000;

    fn all(clocks: &[u64]) -> Stamped {
        let heard: Vec<Option<u64>> = clocks.iter().copied().map(Some).collect();
        reached(clocks.len(), &heard)
    }

    #[test]
    fn a_minority_of_wrong_clocks_moves_the_stamp_no_further_than_the_right_ones() {
        assert_eq!(all(&[NOW]), Stamped::Reached(NOW));
        assert_eq!(all(&[NOW + DAY, NOW]), Stamped::Reached(NOW));
        for wrong in [NOW - DAY, NOW + DAY, 1, u64::MAX] {
            assert_eq!(all(&[wrong, NOW, NOW]), Stamped::Reached(NOW));
            assert_eq!(all(&[NOW, wrong, NOW, wrong, NOW]), Stamped::Reached(NOW));
        }
        // Of an even number, half may be ahead.
        assert_eq!(all(&[NOW, NOW, NOW + DAY, NOW + DAY]), Stamped::Reached(NOW));
    }

    #[test]
    fn what_is_not_known_of_a_majority_is_not_stamped() {
        assert_eq!(reached(3, &[Some(NOW)]), Stamped::Unheard);
        assert_eq!(reached(3, &[Some(NOW), None]), Stamped::Unsaid);
        assert_eq!(reached(3, &[Some(NOW), Some(NOW - 5)]), Stamped::Reached(NOW - 5));
        assert_eq!(reached(5, &[Some(NOW), Some(NOW)]), Stamped::Unheard);
        assert_eq!(reached(4, &[Some(NOW), Some(NOW)]), Stamped::Unheard);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_goes_on_by_itself_and_is_forgotten_after_a_while() {
        let clocks = Clocks::default();
        let voters = [BTreeSet::from([1, 2, 3])];
        assert_eq!(clocks.stamp(1, NOW + DAY, &voters), Stamped::Unheard);
        clocks.note(2, NOW);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(clocks.stamp(1, NOW + DAY, &voters), Stamped::Reached(NOW + 30_000));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(clocks.stamp(1, NOW + DAY, &voters), Stamped::Unheard);
        clocks.note(2, 0);
        assert_eq!(clocks.stamp(1, NOW + DAY, &voters), Stamped::Unsaid);
        assert_eq!(clocks.stamp(1, NOW, &[BTreeSet::from([1])]), Stamped::Reached(NOW));
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_joint_change_both_majorities_must_have_reached_it() {
        let clocks = Clocks::default();
        let joint = [BTreeSet::from([1, 2, 3]), BTreeSet::from([1, 4])];
        clocks.note(2, NOW);
        assert_eq!(clocks.stamp(1, NOW, &joint), Stamped::Unheard);
        clocks.note(4, NOW - 7);
        assert_eq!(clocks.stamp(1, NOW, &joint), Stamped::Reached(NOW - 7));
    }
}
