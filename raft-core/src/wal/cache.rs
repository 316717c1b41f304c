//! The tail of the log in memory: what is not durable yet, and as much before it as fits.

use std::collections::VecDeque;

use crate::log_store::Record;

/// What an entry costs beside its payload: the record itself.
const OVERHEAD_BYTES: usize = size_of::<Record>();

/// Invariants:
/// - the records are contiguous, and the last one is the log's last entry or there is none.
#[derive(Debug, Default)]
pub(super) struct TailCache {
    records: VecDeque<Record>,
    bytes: usize,
}

impl TailCache {
    /// Bytes held, bookkeeping included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Index of the oldest entry held.
    pub(super) fn first(&self) -> Option<u64> {
        self.records.front().map(|record| record.index)
    }

    /// Adds the entry after the last one.
    pub(super) fn push(&mut self, record: Record) {
        if let Some(last) = self.records.back() {
            assert!(record.index == last.index + 1, "the cache has no gaps");
        }
        self.bytes += record.payload.len() + OVERHEAD_BYTES;
        self.records.push_back(record);
    }

    /// Drops the entries from `index` on.
    pub(super) fn truncate_from(&mut self, index: u64) {
        while self.records.back().is_some_and(|record| record.index >= index) {
            let dropped = self.records.pop_back();
            self.forget(dropped);
        }
    }

    /// Drops the entries up to `index`.
    pub(super) fn purge_to(&mut self, index: u64) {
        while self.first().is_some_and(|first| first <= index) {
            let dropped = self.records.pop_front();
            self.forget(dropped);
        }
    }

    /// Drops the oldest entries, while they are in a segment (up to `written`) and the cache
    /// exceeds `most_bytes`.
    pub(super) fn evict(&mut self, most_bytes: usize, written: u64) {
        while self.bytes > most_bytes && self.first().is_some_and(|first| first <= written) {
            let dropped = self.records.pop_front();
            self.forget(dropped);
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = TailCache::default();
    }

    /// The entries from `from` on, none when `from` is older than the cache or beyond the end.
    pub(super) fn records_from(&self, from: u64) -> impl Iterator<Item = &Record> {
        let skip = self.first().and_then(|first| from.checked_sub(first)).unwrap_or(u64::MAX);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(self.records.len());
        self.records.range(skip..)
    }

    fn forget(&mut self, dropped: Option<Record>) {
        if let Some(record) = dropped {
            self.bytes -= record.payload.len() + OVERHEAD_BYTES;
        }
        if self.records.is_empty() {
            assert!(self.bytes == 0, "an empty cache holds {} bytes", self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn cache(range: std::ops::RangeInclusive<u64>) -> TailCache {
        let mut cache = TailCache::default();
        for index in range {
            cache.push(Record { index, term: 1, payload: Bytes::from(vec![0; 100]) });
        }
        cache
    }

    fn held(cache: &TailCache, from: u64) -> Vec<u64> {
        cache.records_from(from).map(|record| record.index).collect()
    }

    #[test]
    fn both_ends_can_be_dropped() {
        let mut cache = cache(5..=9);
        cache.truncate_from(9);
        cache.purge_to(5);
        assert_eq!(held(&cache, 6), [6, 7, 8]);
        assert_eq!(held(&cache, 8), [8]);
        assert_eq!(held(&cache, 9), [0; 0]);
        assert_eq!(held(&cache, 5), [0; 0], "what is older must come from the disk");
        cache.truncate_from(0);
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn eviction_keeps_what_is_in_no_segment_yet() {
        let mut cache = cache(5..=9);
        cache.evict(0, 7);
        assert_eq!(cache.first(), Some(8));
        cache.evict(usize::MAX, 9);
        assert_eq!(cache.first(), Some(8));
    }
}
