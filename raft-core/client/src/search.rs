//! How far one call has come in its search for the leader.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::ClientError;

/// Longest time a call may be given; more is cut to it, so that arithmetic on time cannot overflow.
const DEADLINE_MAX: Duration = Duration::from_secs(3600);
/// Hints followed in a row before they are taken for a circle, and the other members are asked.
const HINTS_MAX: u32 = 4;

/// How far one call has come in its search for the leader.
pub(crate) struct Search {
    deadline: Instant,
    /// Asked in vain in this lap.
    tried: Vec<String>,
    hint: Option<String>,
    /// Hints followed in this lap, at most [`HINTS_MAX`].
    hints: u32,
    /// Whether any member answered that it does not lead.
    met_follower: bool,
    last_failure: Option<String>,
}

/// When a call that begins now and is given `limit` is over.
pub(crate) fn deadline(limit: Duration) -> Instant {
    Instant::now() + limit.min(DEADLINE_MAX)
}

impl Search {
    pub(crate) fn new(limit: Duration) -> Search {
        Search {
            deadline: deadline(limit),
            tried: Vec::new(),
            hint: None,
            hints: 0,
            met_follower: false,
            last_failure: None,
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Who was asked in vain in this lap.
    pub(crate) fn tried(&self) -> &[String] {
        &self.tried
    }

    /// Where the last follower pointed, once.
    pub(crate) fn take_hint(&mut self) -> Option<String> {
        self.hint.take()
    }

    /// Everybody may be asked again.
    pub(crate) fn next_lap(&mut self) {
        self.tried.clear();
        self.hints = 0;
    }

    /// `address` answered that it does not lead, and perhaps who does.
    pub(crate) fn met_follower(&mut self, address: &str, hint: Option<String>) {
        self.met_follower = true;
        self.tried.push(address.to_owned());
        let followed = hint.filter(|hint| self.hints < HINTS_MAX && !self.tried.contains(hint));
        self.hints += u32::from(followed.is_some());
        self.hint = followed;
        assert!(self.hints <= HINTS_MAX, "hints are bounded");
    }

    /// `address` was of no use.
    pub(crate) fn failed(&mut self, address: &str, why: String) {
        self.tried.push(address.to_owned());
        self.last_failure = Some(why);
    }

    /// What the caller is told when the time is over: nothing was proposed.
    pub(crate) fn give_up(&mut self) -> ClientError {
        if self.met_follower {
            return ClientError::NoLeader;
        }
        let last = self.last_failure.take().unwrap_or_else(|| "no address is known".to_owned());
        ClientError::Unreachable { last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_members_that_point_at_each_other_are_not_followed_for_ever() {
        let mut search = Search::new(Duration::MAX);
        search.met_follower("a:1", Some("b:1".to_owned()));
        assert_eq!(search.take_hint().as_deref(), Some("b:1"));
        search.met_follower("b:1", Some("a:1".to_owned()));
        assert_eq!(search.take_hint(), None);
        assert_eq!(search.tried(), ["a:1", "b:1"]);
    }

    #[test]
    fn a_chain_of_hints_ends() {
        let mut search = Search::new(Duration::from_secs(1));
        let followed = (0..100).filter(|step| {
            search.met_follower(&format!("h:{step}"), Some(format!("h:{}", step + 1)));
            search.take_hint().is_some()
        });
        assert_eq!(followed.count(), 4);
        search.next_lap();
        search.met_follower("a:1", Some("b:1".to_owned()));
        assert!(search.take_hint().is_some());
    }
}
