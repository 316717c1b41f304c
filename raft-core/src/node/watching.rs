//! What a node notices of itself: its status becomes events and measures.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::event::Event;
use crate::metrics::Counters;
use crate::observer::Observer;
use crate::status::{Role, Status};

/// Watches one node. What comes and goes between two looks is not observer.
#[derive(Debug)]
pub(crate) struct Watcher {
    counters: Arc<Counters>,
    observer: Observer,
    last: Status,
    /// The leader last told of, and its term.
    led_by: Option<(u64, u64)>,
    leaderless: Instant,
}

impl Watcher {
    /// Watches from `first` on, when no leader was known.
    pub(crate) fn new(first: Status, counters: Arc<Counters>, observer: Observer) -> Watcher {
        Watcher { counters, observer, last: first, led_by: None, leaderless: Instant::now() }
    }

    /// Watches until nobody tells the status any more.
    pub(crate) async fn run(mut self, mut status: watch::Receiver<Status>) {
        while status.changed().await.is_ok() {
            let next = status.borrow_and_update().clone();
            self.look(next);
        }
    }

    fn look(&mut self, next: Status) {
        if next.term > self.last.term {
            self.observer.meters.terms.add(next.term - self.last.term);
            self.observer.events.tell(Event::TermChanged { term: next.term });
        }
        if next.role != self.last.role && next.role != Role::Stopped {
            self.observer.events.tell(Event::RoleChanged { term: next.term, role: next.role });
        }
        match (self.last.leader, next.leader) {
            (Some(leader), None) => {
                self.leaderless = Instant::now();
                self.observer.events.tell(Event::LeaderLost { term: self.last.term, leader });
            }
            (None, Some(_)) => self.observer.meters.election.time(self.leaderless.elapsed()),
            _ => {}
        }
        let led_by = next.leader.map(|leader| (leader, next.term));
        if let Some((leader, term)) = led_by.filter(|led_by| self.led_by != Some(*led_by)) {
            self.led_by = led_by;
            self.counters.leader_change();
            self.observer.events.tell(Event::LeaderElected { term, leader });
        }
        self.last = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Position;

    fn status(term: u64, role: Role, leader: Option<u64>) -> Status {
        Status {
            node_id: 1,
            cluster_id: [0; 16],
            role,
            term,
            leader,
            committed: Position::default(),
            applied: Position::default(),
            last_log: Position::default(),
            snapshot: None,
            voters: Vec::new(),
            rebuilds: 0,
        }
    }

    #[test]
    fn each_change_is_told_once_and_measured() {
        let observer = Observer::default();
        let mut told = observer.events.listen();
        let first = status(4, Role::Follower, None);
        let mut watcher = Watcher::new(first, Arc::default(), observer.clone());
        for next in [
            status(4, Role::Follower, Some(2)),
            status(4, Role::Follower, Some(2)),
            // Lost from sight, and found again: no new leader, though it took some time.
            status(4, Role::Follower, None),
            status(4, Role::Follower, Some(2)),
            status(4, Role::Follower, None),
            status(6, Role::Candidate, None),
            status(6, Role::Leader, Some(1)),
            status(6, Role::Stopped, None),
        ] {
            watcher.look(next);
        }
        let all: Vec<Event> = std::iter::from_fn(|| told.try_recv().ok()).collect();
        let lost = Event::LeaderLost { term: 4, leader: 2 };
        let expected = [
            Event::LeaderElected { term: 4, leader: 2 },
            lost.clone(),
            lost,
            Event::TermChanged { term: 6 },
            Event::RoleChanged { term: 6, role: Role::Candidate },
            Event::RoleChanged { term: 6, role: Role::Leader },
            Event::LeaderElected { term: 6, leader: 1 },
            Event::LeaderLost { term: 6, leader: 1 },
        ];
        assert_eq!(all, expected);
        assert_eq!((observer.meters.terms.get(), observer.meters.election.read().count()), (2, 3));
    }
}
