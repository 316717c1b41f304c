//! The memory twin of the write-ahead log: the same promises but durability.
//!
//! For tests of what stands on a log store, and the oracle the write-ahead log is checked
//! against. Every change is "durable" at once and its callback runs before the call returns.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::log_store::{
    Durable, LogPosition, LogState, LogStats, LogStore, Record, check_append, check_pointer,
    check_truncate,
};

/// A log that lives as long as the process.
///
/// Invariants:
/// - `records` is contiguous and begins above `purged`;
/// - nothing changes through a handle that has `ended`.
#[derive(Debug, Default)]
pub(crate) struct MemoryLog {
    held: Arc<Mutex<Held>>,
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct Held {
    records: VecDeque<Record>,
    purged: Option<LogPosition>,
    vote: Option<Bytes>,
    committed: Option<Bytes>,
    stats: LogStats,
}

impl MemoryLog {
    /// An empty log.
    #[cfg(test)]
    pub(crate) fn new() -> MemoryLog {
        MemoryLog::default()
    }

    /// The same log, opened again after this handle has ended.
    #[cfg(feature = "testing")]
    pub(crate) fn reopen(&self) -> MemoryLog {
        MemoryLog { held: Arc::clone(&self.held), ended: AtomicBool::new(false) }
    }

    /// What is held, to be changed.
    fn change(&self) -> io::Result<MutexGuard<'_, Held>> {
        if self.ended.load(Ordering::Acquire) {
            return Err(io::Error::other("the log was closed"));
        }
        Ok(self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // A panic of another test thread leaves complete values behind: every method changes
        // them without calling out.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn last(&self) -> Option<LogPosition> {
        self.records.back().map(Record::position).or(self.purged)
    }

    fn append(&mut self, records: Vec<Record>) -> io::Result<()> {
        let last = self.records.back().map(|record| record.index);
        check_append(&records, last, self.purged.map(|purged| purged.index))?;
        self.stats.appends += 1;
        self.stats.entries += records.len() as u64;
        self.records.extend(records);
        if let (Some(purged), Some(first)) = (self.purged, self.records.front()) {
            assert!(first.index > purged.index, "the log begins above its purge point");
        }
        Ok(())
    }

    fn truncate_after(&mut self, keep: Option<u64>) -> io::Result<()> {
        check_truncate(keep, self.purged.map(|purged| purged.index))?;
        while self.records.back().is_some_and(|r| keep.is_none_or(|keep| r.index > keep)) {
            self.records.pop_back();
        }
        Ok(())
    }

    fn purge(&mut self, upto: LogPosition) {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return;
        }
        while self.records.front().is_some_and(|record| record.index <= upto.index) {
            self.records.pop_front();
        }
        self.purged = Some(upto);
    }

    fn read(&self, from: u64, to_exclusive: u64, max_bytes: usize) -> Vec<Record> {
        let mut found = Vec::new();
        let mut bytes = 0_usize;
        let first = self.records.front().map_or(0, |record| record.index);
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        for record in self.records.iter().skip(skip) {
            bytes = bytes.saturating_add(record.payload.len());
            if record.index >= to_exclusive || (bytes > max_bytes && !found.is_empty()) {
                break;
            }
            found.push(record.clone());
        }
        found
    }
}

impl LogStore for MemoryLog {
    fn state(&self) -> LogState {
        let held = self.lock();
        LogState {
            purged: held.purged,
            last: held.last(),
            vote: held.vote.clone(),
            committed: held.committed.clone(),
        }
    }

    fn append(&self, records: Vec<Record>, done: Durable) {
        let result = self.change().and_then(|mut held| held.append(records));
        done(result);
    }

    fn save_vote(&self, vote: Bytes, done: Durable) {
        let result = check_pointer(&vote).and_then(|()| self.change()).map(|mut held| {
            held.vote = Some(vote);
        });
        done(result);
    }

    fn save_committed(&self, committed: Bytes) {
        if check_pointer(&committed).is_ok()
            && let Ok(mut held) = self.change()
        {
            held.committed = Some(committed);
        }
    }

    fn truncate_after(&self, keep: Option<u64>, done: Durable) {
        let result = self.change().and_then(|mut held| held.truncate_after(keep));
        done(result);
    }

    fn purge(&self, upto: LogPosition, done: Durable) {
        let result = self.change().map(|mut held| held.purge(upto));
        done(result);
    }

    fn read(&self, from: u64, to_exclusive: u64, max_bytes: usize) -> io::Result<Vec<Record>> {
        Ok(self.lock().read(from, to_exclusive, max_bytes))
    }

    fn read_cached(
        &self,
        from: u64,
        to_exclusive: u64,
        max_bytes: usize,
    ) -> io::Result<Option<Vec<Record>>> {
        self.read(from, to_exclusive, max_bytes).map(Some)
    }

    fn durable_last(&self) -> Option<LogPosition> {
        self.lock().last()
    }

    fn when_room(&self, wake: Box<dyn FnOnce() + Send>) {
        wake();
    }

    fn failed(&self) -> Option<Arc<io::Error>> {
        None
    }

    fn stats(&self) -> LogStats {
        self.lock().stats.clone()
    }

    fn abandon(&self) {
        self.ended.store(true, Ordering::Release);
    }

    fn close(&self) -> io::Result<()> {
        self.ended.store(true, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(range: std::ops::Range<u64>, term: u64) -> Vec<Record> {
        range
            .map(|index| Record { index, term, payload: Bytes::from(vec![index as u8; 10]) })
            .collect()
    }

    fn expect_ok() -> Durable {
        Box::new(|result| result.unwrap())
    }

    fn indexes(log: &MemoryLog, from: u64, to: u64, max: usize) -> Vec<u64> {
        log.read(from, to, max).unwrap().iter().map(|record| record.index).collect()
    }

    #[test]
    fn reads_are_limited_by_bytes_but_serve_at_least_one() {
        let log = MemoryLog::new();
        log.append(records(1..9, 1), expect_ok());
        assert_eq!(indexes(&log, 2, 9, 30), [2, 3, 4]);
        assert_eq!(indexes(&log, 2, 9, 0), [2]);
        assert_eq!(indexes(&log, 9, 12, 100), [0; 0]);
    }

    #[test]
    fn truncation_and_purge_move_both_ends() {
        let log = MemoryLog::new();
        log.append(records(1..9, 1), expect_ok());
        log.truncate_after(Some(6), expect_ok());
        log.append(records(7..8, 2), expect_ok());
        log.purge(LogPosition { index: 3, term: 1 }, expect_ok());
        assert_eq!(indexes(&log, 0, 99, 1000), [4, 5, 6, 7]);
        assert_eq!(log.state().last, Some(LogPosition { index: 7, term: 2 }));
        log.purge(LogPosition { index: 20, term: 2 }, expect_ok());
        assert_eq!(log.state().last, Some(LogPosition { index: 20, term: 2 }));
        log.append(records(21..22, 3), expect_ok());
        assert_eq!(indexes(&log, 0, 99, 1000), [21]);
    }
}
