//! Changes that are not in the file yet.
//!
//! They are gathered in memory and written many at a time, in the order of the keys: a page of the
//! file that many of them change is written once. Nothing is lost by that. A change is safe in the
//! log before it comes here, and the file says in its records how far it is.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What a change leaves of a key: its value, or nothing.
pub(crate) type Left = Option<Box<[u8]>>;

/// Bytes that a change takes beside its key and value, about.
const OVERHEAD_BYTES: usize = 100;

/// Changes of pairs, and the records that came with them.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pairs: HashMap<Box<[u8]>, Left>,
    records: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// How many were made, and the room that what is left of them takes.
    count: usize,
    bytes: usize,
}

impl Changes {
    /// Notes what a change leaves of a key. Gives whether earlier ones left a value; `None` if none
    /// changed it.
    fn put(&mut self, key: &[u8], left: Option<&[u8]>) -> Option<bool> {
        self.count += 1;
        self.bytes += left.map_or(0, <[u8]>::len);
        let Some(kept) = self.pairs.get_mut(key) else {
            self.bytes += OVERHEAD_BYTES + key.len();
            self.pairs.insert(key.into(), left.map(Box::from));
            return None;
        };
        self.bytes -= kept.as_ref().map_or(0, |value| value.len());
        let known = kept.is_some();
        match (kept, left) {
            // Mostly a value has the length of the one before, and takes its place.
            (Some(kept), Some(value)) if kept.len() == value.len() => kept.copy_from_slice(value),
            (kept, left) => *kept = left.map(Box::from),
        }
        Some(known)
    }

    /// Notes records; `None` takes one away.
    pub(crate) fn record(&mut self, records: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        self.records.extend(records);
    }

    /// What is left of a key; `None` if it was not changed.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Left> {
        self.pairs.get(key)
    }

    /// How many changes there were.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of what is left of all keys, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All pairs, in the order of their keys.
    pub(crate) fn sorted(&self) -> Vec<(&[u8], Option<&[u8]>)> {
        let pairs = self.pairs.iter();
        let mut pairs: Vec<_> = pairs.map(|(key, left)| (&**key, left.as_deref())).collect();
        pairs.sort_unstable();
        pairs
    }

    /// All records.
    pub(crate) fn records(&self) -> &BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        &self.records
    }
}

/// The changes before the file: those that come in, and the last ones that left, which are being
/// written, or were and are still at hand. What changes often is never looked up in the file.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    pub(crate) incoming: Changes,
    pub(crate) left: Arc<Changes>,
}

impl Layers {
    /// What the latest change left of a key; `None` if it is as in the file.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Left> {
        self.incoming.get(key).or_else(|| self.left.get(key))
    }

    /// Notes what a change leaves of a key. Gives whether there was a value before; `None` if that
    /// is as in the file.
    pub(crate) fn put(&mut self, key: &[u8], left: Option<&[u8]>) -> Option<bool> {
        self.incoming.put(key, left).or_else(|| self.left.get(key).map(Option::is_some))
    }

    /// Lets the incoming ones leave. Gives them, and those that left before, which must be in the
    /// file: to let go of them takes a while.
    pub(crate) fn leave(&mut self) -> (Arc<Changes>, Arc<Changes>) {
        let leaving = Arc::new(std::mem::take(&mut self.incoming));
        let before = std::mem::replace(&mut self.left, Arc::clone(&leaving));
        (leaving, before)
    }
}

/// The same for many: one changes, many read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent(Arc<RwLock<Layers>>);

impl Recent {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Layers> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Layers> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
