//! Leaf: the seam between the rules and where the bytes are.

use crate::error::StoreError;
use crate::keys::Range;
use std::collections::BTreeMap;

/// A key with its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// What to store: a value, or `None` to remove the key. Sorted, so that nothing depends on the
/// order of a hash map.
pub(crate) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Ordered keys with values.
pub(crate) trait KeyValues {
    /// The value of a key. Fails when it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The first `limit` pairs of a range, in the order of the keys. Fails when they cannot be
    /// read.
    fn range(&self, range: &Range, limit: usize) -> Result<Vec<Pair>, StoreError>;
}

/// Somewhere a state is built up that nobody reads before it is complete.
pub(crate) trait Target: KeyValues {
    /// Makes these changes. Fails when they cannot be written.
    fn write(&mut self, changes: Changes) -> Result<(), StoreError>;
}

/// Pairs read at a time where a range may be long: bounds memory, not the range.
const PAGE: usize = 256;

/// Does `each` for every pair of a range, in the order of the keys, whatever its length.
pub(crate) fn for_each<E: From<StoreError>>(
    from: &dyn KeyValues,
    range: &Range,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut rest = range.clone();
    loop {
        let page = from.range(&rest, PAGE)?;
        for (key, value) in &page {
            each(key, value)?;
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => rest = rest.after(last),
            _ => return Ok(()),
        }
    }
}

/// The twin without a disk.
#[cfg(test)]
impl KeyValues for BTreeMap<Vec<u8>, Vec<u8>> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(BTreeMap::get(self, key).cloned())
    }

    fn range(&self, range: &Range, limit: usize) -> Result<Vec<Pair>, StoreError> {
        let pairs = BTreeMap::range(self, range.from.clone()..range.to.clone());
        Ok(pairs.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

#[cfg(test)]
impl Target for BTreeMap<Vec<u8>, Vec<u8>> {
    fn write(&mut self, changes: Changes) -> Result<(), StoreError> {
        for (key, value) in changes {
            match value {
                Some(value) => self.insert(key, value),
                None => self.remove(&key),
            };
        }
        Ok(())
    }
}
