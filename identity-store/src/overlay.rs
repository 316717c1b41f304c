//! A batch of commands, each of which sees what those before it changed.

use crate::error::StoreError;
use crate::key_values::{Changes, KeyValues, Pair};
use crate::keys::Range;

/// Changes on top of a base that stays as it is.
///
/// - What is pending is seen by reads, and forgotten by [`discard`](Overlay::discard).
/// - What was accepted is never taken back.
pub(crate) struct Overlay<'a> {
    base: &'a dyn KeyValues,
    accepted: Changes,
    pending: Changes,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(base: &'a dyn KeyValues) -> Overlay<'a> {
        Overlay { base, accepted: Changes::new(), pending: Changes::new() }
    }

    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.pending.insert(key, Some(value));
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.pending.insert(key, None);
    }

    /// Keeps what is pending, in time that does not grow with what was accepted before.
    pub(crate) fn accept(&mut self) {
        // `append` would walk through both.
        self.accepted.extend(std::mem::take(&mut self.pending));
    }

    /// Forgets what is pending.
    pub(crate) fn discard(&mut self) {
        self.pending.clear();
    }

    /// What was accepted; what is pending is forgotten.
    pub(crate) fn into_changes(self) -> Changes {
        self.accepted
    }
}

impl KeyValues for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.pending.get(key).or_else(|| self.accepted.get(key)) {
            Some(changed) => Ok(changed.clone()),
            None => self.base.get(key),
        }
    }

    fn range(&self, range: &Range, limit: usize) -> Result<Vec<Pair>, StoreError> {
        let span = || range.from.clone()..range.to.clone();
        let mut changed: Changes =
            self.accepted.range(span()).map(|(key, value)| (key.clone(), value.clone())).collect();
        let pending = self.pending.range(span());
        changed.extend(pending.map(|(key, value)| (key.clone(), value.clone())));
        // As many more as may be removed from them.
        let removed = changed.values().filter(|value| value.is_none()).count();
        let below = self.base.range(range, limit.saturating_add(removed))?;
        let mut merged: Changes =
            below.into_iter().map(|(key, value)| (key, Some(value))).collect();
        merged.append(&mut changed);
        let present = merged.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Ok(present.take(limit).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn base() -> BTreeMap<Vec<u8>, Vec<u8>> {
        (0..9).map(|n| (vec![1, n], vec![n])).collect()
    }

    fn keys(overlay: &Overlay<'_>, limit: usize) -> Vec<u8> {
        let pairs = overlay.range(&Range::of(1), limit).unwrap();
        pairs.into_iter().map(|(key, _)| key[1]).collect()
    }

    #[test]
    fn a_range_shows_the_base_with_its_changes_up_to_the_limit() {
        let base = base();
        let mut overlay = Overlay::new(&base);
        overlay.remove(vec![1, 0]);
        overlay.remove(vec![1, 1]);
        overlay.accept();
        overlay.remove(vec![1, 3]);
        overlay.put(vec![1, 200], vec![]);
        overlay.put(vec![2, 0], vec![]);
        assert_eq!(keys(&overlay, 2), [2, 4]);
        assert_eq!(keys(&overlay, 99), [2, 4, 5, 6, 7, 8, 200]);
        assert_eq!(overlay.get(&[1, 3]).unwrap(), None);
        overlay.discard();
        assert_eq!(keys(&overlay, 99), [2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(overlay.get(&[1, 3]).unwrap(), Some(vec![3]));
    }

    #[test]
    fn what_was_accepted_can_be_changed_again() {
        let base = base();
        let mut overlay = Overlay::new(&base);
        overlay.remove(vec![1, 0]);
        overlay.accept();
        overlay.put(vec![1, 0], vec![7]);
        assert_eq!(overlay.get(&[1, 0]).unwrap(), Some(vec![7]));
        overlay.accept();
        assert_eq!(overlay.into_changes(), Changes::from([(vec![1, 0], Some(vec![7]))]));
    }
}
