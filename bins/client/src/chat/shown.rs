//! Which messages are on the screen already.

use peer_messaging::{Message, MessageId};
use std::collections::{HashSet, VecDeque};
use telegraph_proto::account::AccountId;

/// Messages remembered: more than are looked through at once, and than can be behind in events.
const CAPACITY: usize = 4096;

/// The last messages shown, so that one that is found in the history and announced by an event as
/// well is shown once.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    known: HashSet<(AccountId, MessageId)>,
    order: VecDeque<(AccountId, MessageId)>,
}

impl Shown {
    /// True the first time it is told of a message.
    pub(crate) fn is_first(&mut self, message: &Message) -> bool {
        let key = (message.with.account_id, message.id);
        if !self.known.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        debug_assert_eq!(self.known.len(), self.order.len(), "both hold the same messages");
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peer_messaging::{Correspondent, Direction, Stage};

    fn message(account: u8, number: u16) -> Message {
        let mut id = [7; 16];
        id[6] = 0x70;
        id[8] = 0x80;
        id[14..].copy_from_slice(&number.to_be_bytes());
        let account_id = AccountId::from_slice(&[account; 32]).unwrap();
        Message {
            id: MessageId::from_slice(&id).unwrap(),
            direction: Direction::Incoming,
            with: Correspondent { account_id, username: None },
            sequence: 1,
            gap: false,
            text: String::new(),
            composed_unix_ms: 0,
            delivered_unix_ms: None,
            read_unix_ms: None,
            stage: Stage::Delivered,
        }
    }

    #[test]
    fn a_message_is_first_once_and_ids_of_two_people_are_two() {
        let mut shown = Shown::default();
        assert!(shown.is_first(&message(1, 1)));
        assert!(!shown.is_first(&message(1, 1)));
        assert!(shown.is_first(&message(2, 1)));
    }

    #[test]
    fn memory_is_bounded_and_the_newest_are_kept() {
        let mut shown = Shown::default();
        for number in 0..6000 {
            assert!(shown.is_first(&message(1, number)));
        }
        assert_eq!(shown.known.len(), CAPACITY);
        assert!(!shown.is_first(&message(1, 5999)));
    }
}
