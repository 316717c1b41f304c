//! What others refuse this node for, so that somebody learns of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::event::{Event, Events};
use crate::member::NodeId;

/// What each member last refused us for. Told once, however often we knock.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    events: Events,
    last: Mutex<BTreeMap<NodeId, String>>,
}

impl Refusals {
    /// Nothing was refused yet; what will be is told there.
    pub(crate) fn new(events: Events) -> Refusals {
        Refusals { events, last: Mutex::default() }
    }

    /// A member refuses us, or somebody else answers in its place.
    pub(crate) fn note(&self, by: NodeId, why: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(&by).map(String::as_str) != Some(why) {
            last.insert(by, why.to_owned());
            self.events.tell(Event::Refused { by, why: why.to_owned() });
        }
    }

    /// A member does not refuse us any more.
    pub(crate) fn clear(&self, by: NodeId) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(&by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_once_until_it_changes_or_ends() {
        let events = Events::default();
        let mut told = events.listen();
        let refusals = Refusals::new(events);
        refusals.note(2, "a");
        refusals.note(2, "a");
        refusals.note(3, "a");
        refusals.note(2, "b");
        refusals.clear(2);
        refusals.note(2, "b");
        let all: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).collect();
        let expected = [(2, "a"), (3, "a"), (2, "b"), (2, "b")];
        let expected = expected.map(|(by, why)| Event::Refused { by, why: why.into() });
        assert_eq!(all, expected);
    }
}
