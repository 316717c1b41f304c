//! What a moment held under keys that have changed since, as far as there is room in memory.

use crate::key_values::Changes;
use crate::keys::Range;

/// Bytes a key takes in the map besides its own and the value's.
const OVERHEAD: usize = 96;

/// A key with what the moment held under it.
type Held = (Vec<u8>, Option<Vec<u8>>);

/// Values of a moment, put aside for one reader who goes through the keys in their order.
///
/// - A key the reader has passed is neither kept nor taken: nobody asks for it any more.
/// - Keys and values take no more than `room` bytes.
#[derive(Default)]
pub(crate) struct Aside {
    room: usize,
    bytes: usize,
    kept: Changes,
    /// The first key the reader has not passed.
    next: Vec<u8>,
}

impl Aside {
    /// Nothing yet, and so much room in bytes.
    pub(crate) fn new(room: usize) -> Aside {
        Aside { room, ..Aside::default() }
    }

    /// Whether the reader may still ask for a key of which nothing is kept.
    pub(crate) fn lacks(&self, key: &[u8]) -> bool {
        self.next.as_slice() <= key && !self.kept.contains_key(key)
    }

    /// Keeps what the moment held under a key. False, and nothing is kept, when there is no room.
    pub(crate) fn keep(&mut self, key: &[u8], before: Option<&[u8]>) -> bool {
        let bytes = self.bytes.saturating_add(size(key, before));
        if bytes > self.room {
            return false;
        }
        self.bytes = bytes;
        self.kept.insert(key.to_vec(), before.map(<[u8]>::to_vec));
        true
    }

    /// Lets go of what is before `next`, where the reader goes on.
    pub(crate) fn pass(&mut self, next: &[u8]) {
        assert!(self.next.as_slice() <= next, "a moment is read in the order of the keys");
        let to_come = self.kept.split_off(next);
        for (key, before) in std::mem::replace(&mut self.kept, to_come) {
            self.bytes = self.bytes.saturating_sub(size(&key, before.as_deref()));
        }
        self.next = next.to_vec();
    }

    /// The first `limit` that are kept of a range, in the order of the keys.
    pub(crate) fn range(&self, range: &Range, limit: usize) -> Vec<Held> {
        let kept = self.kept.range(range.from.clone()..range.to.clone()).take(limit);
        kept.map(|(key, before)| (key.clone(), before.clone())).collect()
    }
}

fn size(key: &[u8], before: Option<&[u8]>) -> usize {
    key.len().saturating_add(before.map_or(0, <[u8]>::len)).saturating_add(OVERHEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_not_kept_until_the_reader_has_made_some() {
        let mut aside = Aside::new(2 * (OVERHEAD + 10));
        assert!(aside.lacks(b"b"));
        assert!(aside.keep(b"b", Some(b"123456789")));
        assert!(!aside.lacks(b"b"));
        assert!(aside.keep(b"d", None));
        assert!(!aside.keep(b"c", Some(b"123456789")), "there is no room");
        assert!(aside.lacks(b"c"));
        aside.pass(b"c");
        assert!(!aside.lacks(b"b"), "it was passed");
        assert!(aside.keep(b"c", Some(b"123456789")));
        let all = Range { from: vec![], to: vec![0xff] };
        let c = (b"c".to_vec(), Some(b"123456789".to_vec()));
        assert_eq!(aside.range(&all, 1), std::slice::from_ref(&c));
        assert_eq!(aside.range(&all, 9), [c, (b"d".to_vec(), None)]);
        aside.pass(b"e");
        assert_eq!((aside.bytes, aside.kept.len()), (0, 0));
    }
}
