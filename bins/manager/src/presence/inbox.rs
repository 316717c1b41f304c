//! Renewals on their way to whoever decides: one per account, the newest.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use telegraph_proto::account::AccountId;
use tokio::time::Instant;

/// Accounts whose renewal may wait, some 5 MB: more than a manager hears within one interval.
pub(super) const CAPACITY: usize = 65_536;

/// Renewals that were received and not yet dealt with.
///
/// - At most [`CAPACITY`] accounts, each once, with the latest time it was heard.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    heard: Mutex<HashMap<AccountId, Instant>>,
}

impl Inbox {
    /// Keeps renewals. Returns how many found no room: their senders renew again in a third of a
    /// lease.
    pub(super) fn put(&self, renewals: impl IntoIterator<Item = (AccountId, Instant)>) -> usize {
        let mut dropped = 0;
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        for (account, at) in renewals {
            if let Some(known) = heard.get_mut(&account) {
                *known = at.max(*known);
            } else if heard.len() < CAPACITY {
                heard.insert(account, at);
            } else {
                dropped += 1;
            }
        }
        assert!(heard.len() <= CAPACITY, "the inbox is bounded");
        dropped
    }

    /// Takes everything.
    pub(super) fn take(&self) -> HashMap<AccountId, Instant> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_newest_renewal_of_each_account_waits_and_no_more_than_fit() {
        let (inbox, now) = (Inbox::default(), Instant::now());
        let account = |number: u64| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            AccountId::from_slice(&bytes).unwrap()
        };
        let later = now + Duration::from_secs(1);
        assert_eq!(inbox.put([(account(0), later), (account(0), now)]), 0);
        let many = (0..CAPACITY as u64 + 10).map(|number| (account(number), now));
        assert_eq!(inbox.put(many), 10);
        let taken = inbox.take();
        assert_eq!(taken.len(), CAPACITY);
        assert_eq!(taken[&account(0)], later);
        assert!(inbox.take().is_empty());
    }
}
