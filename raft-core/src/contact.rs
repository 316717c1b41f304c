//! Whether a member can be reached, told when it changes and not at every call.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::throttle::Throttle;

/// What calls to a member come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Contact {
    /// It was never called.
    Unknown,
    /// It answers.
    Connected,
    /// It cannot be reached, or does not answer in time.
    Unreachable,
    /// It answers that it does not know us.
    Refused,
}

/// What is known of one member, and when that was last told.
#[derive(Debug)]
pub(crate) struct Contacts {
    told: AtomicU8,
    throttle: Throttle,
}

impl Default for Contacts {
    fn default() -> Contacts {
        Contacts { told: AtomicU8::new(Contact::Unknown as u8), throttle: Throttle::default() }
    }
}

impl Contacts {
    /// Notes what a call came to; true when that is to be told. A member that comes and goes is
    /// told of as gone every few seconds only, and as back once for each time.
    pub(crate) fn note(&self, contact: Contact) -> bool {
        if self.told.load(Ordering::Relaxed) == contact as u8 {
            return false;
        }
        if contact != Contact::Connected && !self.throttle.passes() {
            return false;
        }
        self.told.swap(contact as u8, Ordering::Relaxed) != contact as u8
    }

    /// True while it answers, as far as told.
    pub(crate) fn is_connected(&self) -> bool {
        self.told.load(Ordering::Relaxed) == Contact::Connected as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_told_and_flapping_not_at_all() {
        let contacts = Contacts::default();
        assert!(!contacts.is_connected());
        assert!(contacts.note(Contact::Connected) && contacts.is_connected());
        assert!((0..100).all(|_| !contacts.note(Contact::Connected)));
        assert!(contacts.note(Contact::Unreachable) && !contacts.is_connected());
        assert!(!contacts.note(Contact::Unreachable) && !contacts.note(Contact::Refused));
        assert!(contacts.note(Contact::Connected));
        // Gone again within the pause: not told, hence its return is not either.
        assert!(!contacts.note(Contact::Unreachable) && !contacts.note(Contact::Connected));
    }
}
