//! The leader's memory of who was heard when. No clock, no I/O: times are handed in.

use std::collections::HashMap;
use std::time::Duration;
use telegraph_proto::account::AccountId;
use tokio::time::Instant;

/// Leases of everybody who is online.
///
/// - Whoever is online has a lease from the first look on, and nobody loses one before a full
///   lease has passed in which he could have renewed it: a new leader begins with none at all, and
///   thereby grants everybody a full one.
/// - Who came online anew has a full lease from when that is seen: what is left of an earlier one
///   says nothing of him.
/// - A renewal only ever makes a lease later.
/// - Those who are not online keep no lease beyond its end: memory is bounded by who is online.
#[derive(Debug)]
pub(super) struct Leases {
    lease: Duration,
    held: HashMap<AccountId, Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    since: Instant,
    /// False while it was only granted, and its holder not heard.
    heard: bool,
    /// The presence it was last seen with; `None`: not looked at yet.
    presence_version: Option<u64>,
}

/// Somebody whose lease ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Silent {
    pub(super) account: AccountId,
    /// The presence version this was decided on.
    pub(super) presence_version: u64,
    /// When he was last heard; `None`: not by this leader.
    pub(super) last_heard: Option<Instant>,
}

impl Leases {
    pub(super) fn new(lease: Duration) -> Self {
        Self { lease, held: HashMap::new() }
    }

    /// Somebody was heard at `at`. False when that is a whole lease ago and changes nothing.
    pub(super) fn renew(&mut self, account: AccountId, at: Instant, now: Instant) -> bool {
        if now.saturating_duration_since(at) >= self.lease {
            return false;
        }
        let first = Held { since: at, heard: true, presence_version: None };
        let held = self.held.entry(account).or_insert(first);
        let before = held.since;
        held.since = before.max(at);
        held.heard = true;
        assert!(held.since >= before, "a renewal never shortens a lease");
        true
    }

    /// Looks through everybody who is online (with the version of that presence): grants a lease
    /// to who has none, and returns whose lease ran out, which is then no longer held.
    pub(super) fn look(
        &mut self,
        online: impl IntoIterator<Item = (AccountId, u64)>,
        now: Instant,
    ) -> Vec<Silent> {
        let mut silent = Vec::new();
        for (account, presence_version) in online {
            let seen = Some(presence_version);
            let granted = Held { since: now, heard: false, presence_version: seen };
            let held = self.held.entry(account).or_insert(granted);
            if held.presence_version.is_some_and(|before| before != presence_version) {
                *held = granted;
            }
            held.presence_version = seen;
            if now.saturating_duration_since(held.since) >= self.lease {
                let last_heard = held.heard.then_some(held.since);
                silent.push(Silent { account, presence_version, last_heard });
            }
        }
        let lease = self.lease;
        self.held.retain(|_, held| now.saturating_duration_since(held.since) < lease);
        silent
    }

    /// Leases held.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn account(number: u8) -> AccountId {
        AccountId::from_slice(&[number; 32]).unwrap()
    }

    fn after(begun: Instant, seconds: u64) -> Instant {
        begun + Duration::from_secs(seconds)
    }

    #[test]
    fn who_was_online_before_this_leader_has_a_full_lease() {
        let (begun, online) = (Instant::now(), [(account(1), 7)]);
        let mut leases = Leases::new(LEASE);
        assert_eq!(leases.look(online, begun), []);
        assert_eq!(leases.look(online, after(begun, 14)), []);
        let silent = leases.look(online, after(begun, 15));
        let expected = Silent { account: account(1), presence_version: 7, last_heard: None };
        assert_eq!(silent, [expected]);
    }

    #[test]
    fn a_renewal_moves_the_end_and_never_back() {
        let (begun, online) = (Instant::now(), [(account(1), 1)]);
        let mut leases = Leases::new(LEASE);
        assert!(leases.renew(account(1), after(begun, 10), after(begun, 10)));
        // A batch that was long on its way.
        assert!(leases.renew(account(1), after(begun, 2), after(begun, 11)));
        assert_eq!(leases.look(online, after(begun, 24)), []);
        let silent = leases.look(online, after(begun, 25));
        assert_eq!(silent[0].last_heard, Some(after(begun, 10)));
    }

    #[test]
    fn who_came_anew_is_not_judged_by_an_earlier_lease() {
        let begun = Instant::now();
        let mut leases = Leases::new(LEASE);
        leases.renew(account(1), begun, begun);
        assert_eq!(leases.look([(account(1), 1)], after(begun, 1)), []);
        // Logged out and in again meanwhile; the new login's renewal is still on its way.
        assert_eq!(leases.look([], after(begun, 14)), []);
        assert_eq!(leases.look([(account(1), 3)], after(begun, 15)), []);
        assert_eq!(leases.look([(account(1), 3)], after(begun, 29)), []);
        assert_eq!(leases.look([(account(1), 3)], after(begun, 30)).len(), 1);
    }

    #[test]
    fn a_renewal_of_a_lease_ago_revives_nobody() {
        let begun = Instant::now();
        let mut leases = Leases::new(LEASE);
        assert!(!leases.renew(account(1), begun, after(begun, 15)));
        assert_eq!(leases.len(), 0);
    }

    #[test]
    fn the_silent_are_told_once_and_the_offline_forgotten() {
        let begun = Instant::now();
        let mut leases = Leases::new(LEASE);
        leases.renew(account(1), begun, begun);
        leases.renew(account(2), begun, begun);
        let silent = leases.look([(account(1), 1)], after(begun, 15));
        assert_eq!(silent.len(), 1);
        assert_eq!(leases.len(), 0, "neither the silent nor who is not online keeps a lease");
        // Were he still online, because the change did not come about, he gets a full lease.
        assert_eq!(leases.look([(account(1), 1)], after(begun, 16)), []);
    }
}
