//! The seam between the consensus engine and the Raft log: what a log store promises, in bytes.
//!
//! Nothing here knows openraft, and nothing knows files. The engine's adapter encodes entries,
//! votes and committed pointers to bytes and maps openraft's storage calls one to one:
//!
//! | openraft | here |
//! |---|---|
//! | `append(entries, callback)` | [`LogStore::append`], `callback` called from the [`Durable`] |
//! | `save_vote`, `truncate_after`, `purge` | the same names, awaiting the [`Durable`] |
//! | `save_committed` | [`LogStore::save_committed`] |
//! | `get_log_state`, `read_vote`, `read_committed` | [`LogStore::state`] |
//! | `try_get_log_entries`, `limited_get_log_entries` | [`LogStore::read`] on a blocking thread, |
//! |  | or [`LogStore::read_cached`] first, which never touches the disk |
//!
//! Calls take effect in the order they are made: what is read back right after a call already
//! shows it, and it becomes durable in that order too. Two stores implement the seam: the
//! write-ahead log (`wal.rs`) and its memory twin (`memory_log.rs`).

#![cfg_attr(
    not(feature = "testing"),
    allow(unreachable_pub, reason = "public with the feature `testing`")
)]

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// The longest payload of one entry, in bytes (32 MiB). A snapshot travels as a file, never as an
/// entry, so that an entry is a handful of commands; the limit bounds what recovery must hold.
pub const PAYLOAD_MAX_BYTES: usize = 32 << 20;

/// The longest vote or committed pointer, in bytes (4 KiB). Both are repeated in every segment.
pub const POINTER_MAX_BYTES: usize = 4 << 10;

/// Called exactly once: with `Ok` when the submitted change survives power loss, with the error
/// when it may not. It may run on the log's own thread, or on the caller's before the call
/// returns, so it must not block and must not call back into the store.
pub type Durable = Box<dyn FnOnce(io::Result<()>) + Send>;

/// The place of an entry: Raft paper §5.3, "index" and "term".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogPosition {
    /// Index of the entry; the engine starts at 0 or 1, the store accepts either.
    pub index: u64,
    /// Term of the leader that made the entry.
    pub term: u64,
}

/// One entry of the log. The payload is opaque: the engine's encoded entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Index of the entry.
    pub index: u64,
    /// Term of the leader that made the entry.
    pub term: u64,
    /// Encoded entry, at most [`PAYLOAD_MAX_BYTES`].
    pub payload: Bytes,
}

impl Record {
    /// Where this entry stands in the log.
    pub(crate) fn position(&self) -> LogPosition {
        LogPosition { index: self.index, term: self.term }
    }
}

/// What the store holds now, including what is submitted but not yet durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// Last entry purged; everything up to it is gone. `None` when nothing was ever purged.
    pub purged: Option<LogPosition>,
    /// Last entry, or `purged` when the log is empty, as openraft wants it.
    pub last: Option<LogPosition>,
    /// Last vote saved.
    pub vote: Option<Bytes>,
    /// Last committed pointer saved.
    pub committed: Option<Bytes>,
}

/// Upper bounds, in microseconds, of the buckets of [`LogStats::sync_buckets`]; the last bucket
/// takes everything slower.
pub const SYNC_BUCKET_MICROS: [u64; 11] =
    [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 102_400, 1_000_000];

/// Counters since the store was opened, and its size now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Calls of [`LogStore::append`] accepted.
    pub appends: u64,
    /// Entries accepted.
    pub entries: u64,
    /// Write groups made durable, one `fdatasync` each.
    pub groups: u64,
    /// `fdatasync` calls in all, including those of new segments.
    pub syncs: u64,
    /// Bytes written, headers included.
    pub bytes_written: u64,
    /// Groups by the time their write and sync took; bounds in [`SYNC_BUCKET_MICROS`].
    pub sync_buckets: [u64; SYNC_BUCKET_MICROS.len() + 1],
    /// Sum of those times.
    pub sync_time: Duration,
    /// Segment files on disk.
    pub segments: u64,
    /// Bytes of all segment files, without the zeros the newest may have ahead of its next groups.
    pub disk_bytes: u64,
    /// Bytes held by the cache of the log's tail.
    pub cache_bytes: u64,
    /// Bytes submitted and not yet durable.
    pub backlog_bytes: u64,
    /// Entries of the log that were read from disk, not from the cache.
    pub disk_reads: u64,
}

/// A durable Raft log with its vote and committed pointer.
///
/// What an implementor guarantees:
/// - changes become durable in the order of the calls, and each [`Durable`] is called exactly
///   once, whatever happens to the disk;
/// - a change is visible to [`state`](LogStore::state) and [`read`](LogStore::read) when its call
///   returns, and an entry truncated or purged is never served after that;
/// - after the first failed write or sync the store is failed for ever: that call's, every
///   waiting and every later [`Durable`] gets an error, and reads fail too, so that nothing
///   undurable is taken for durable (a failed sync is never retried: ATC'20, "Can Applications
///   Recover from fsync Failures?");
/// - a call that breaks the log's rules (a gap, a payload too long) is refused with
///   [`io::ErrorKind::InvalidInput`], changes nothing and fails nothing else.
pub trait LogStore: fmt::Debug + Send + Sync + 'static {
    /// What the log holds now, durable or not.
    fn state(&self) -> LogState;

    /// Appends entries after the last one; indexes must be contiguous, except that the first
    /// entry of an empty log may have any index above the purge point.
    ///
    /// Readable when the call returns; `done` when durable. Never waits for the disk, unless
    /// the caller has ignored [`LogStore::when_room`] for a long time.
    fn append(&self, records: Vec<Record>, done: Durable);

    /// Saves the vote (Raft paper §5.2); the caller answers its RPC only after `done`.
    fn save_vote(&self, vote: Bytes, done: Durable);

    /// Saves the committed pointer with the next change that is synced, or at close. It may be
    /// lost in a crash, which is safe: it only ever lags.
    fn save_committed(&self, committed: Bytes);

    /// Drops all entries with an index above `keep`; `None` drops everything after the purge
    /// point. `keep` below the purge point is refused.
    fn truncate_after(&self, keep: Option<u64>, done: Durable);

    /// Drops all entries up to and including `upto`, which may be beyond the last entry (then the
    /// log is empty and continues behind it: a snapshot was installed). A purge below the purge
    /// point does nothing. The room is given back shortly after `done`.
    fn purge(&self, upto: LogPosition, done: Durable);

    /// Reads entries with `from <= index < to_exclusive`, in order and without gap, until their
    /// payloads exceed `max_bytes`; at least one if any is there. What is purged is skipped, so
    /// the first entry returned may be later than `from`.
    ///
    /// Reads the disk, hence blocks, when the range is not in the tail cache. Fails on an I/O
    /// error, on damaged bytes ([`io::ErrorKind::InvalidData`]) and on a failed store.
    fn read(&self, from: u64, to_exclusive: u64, max_bytes: usize) -> io::Result<Vec<Record>>;

    /// Like [`LogStore::read`], but `None` if that would need the disk. Never blocks.
    fn read_cached(
        &self,
        from: u64,
        to_exclusive: u64,
        max_bytes: usize,
    ) -> io::Result<Option<Vec<Record>>>;

    /// The last entry of the present log that is known durable, or the purge point. It goes back
    /// when entries are truncated, at once. Entries up to it may be applied.
    fn durable_last(&self) -> Option<LogPosition>;

    /// Calls `wake` once the bytes waiting for the disk are few enough for another append: at
    /// once, when they are. Awaiting it before each append bounds the memory.
    fn when_room(&self, wake: Box<dyn FnOnce() + Send>);

    /// Why the store failed, if it did.
    fn failed(&self) -> Option<Arc<io::Error>>;

    /// Counters and sizes, for metrics.
    fn stats(&self) -> LogStats;

    /// Gives the log up as a killed process does: nothing more is written, every waiting and later
    /// change is refused. [`LogStore::close`] still has to be called.
    fn abandon(&self);

    /// Makes everything accepted durable and lets go of the log, so that it can be opened again.
    /// Blocks. Later changes are refused; reads go on. Fails as the log did, if it failed before
    /// everything was durable.
    fn close(&self) -> io::Result<()>;
}

/// Refuses an append that would leave a gap, reach below the purge point or hold too long a
/// payload. `last` is the last entry, `None` when the log is empty.
pub(crate) fn check_append(
    records: &[Record],
    last: Option<u64>,
    purged: Option<u64>,
) -> io::Result<()> {
    let mut previous = last;
    for record in records {
        if let Some(previous) = previous {
            if previous.checked_add(1) != Some(record.index) {
                return refuse(format!("entry {} does not follow {previous}", record.index));
            }
        } else if purged.is_some_and(|purged| record.index <= purged) {
            return refuse(format!("entry {} is not above the purge point", record.index));
        }
        if record.payload.len() > PAYLOAD_MAX_BYTES {
            return refuse(format!("entry {} has {} bytes", record.index, record.payload.len()));
        }
        // The range [index, index + 1) must be expressible, so the very last number is not used.
        if record.index == u64::MAX {
            return refuse("entry index is out of numbers".into());
        }
        previous = Some(record.index);
    }
    Ok(())
}

/// Refuses a vote or committed pointer too long to be repeated in every segment.
pub(crate) fn check_pointer(pointer: &Bytes) -> io::Result<()> {
    if pointer.len() > POINTER_MAX_BYTES {
        return refuse(format!("a pointer of {} bytes is too long", pointer.len()));
    }
    Ok(())
}

/// Refuses a truncation into what is purged.
pub(crate) fn check_truncate(keep: Option<u64>, purged: Option<u64>) -> io::Result<()> {
    match (keep, purged) {
        (Some(keep), Some(purged)) if keep < purged => {
            refuse(format!("cannot keep up to {keep}: purged up to {purged}"))
        }
        _ => Ok(()),
    }
}

fn refuse<T>(why: String) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u64, bytes: usize) -> Record {
        Record { index, term: 1, payload: Bytes::from(vec![0; bytes]) }
    }

    #[test]
    fn an_append_must_follow_the_last_entry_without_a_gap() {
        assert!(check_append(&[record(5, 1), record(6, 1)], Some(4), None).is_ok());
        assert!(check_append(&[record(6, 1)], Some(4), None).is_err());
        assert!(check_append(&[record(4, 1)], Some(4), None).is_err());
        assert!(check_append(&[record(5, 1), record(7, 1)], Some(4), None).is_err());
        assert!(check_append(&[record(u64::MAX, 1)], Some(u64::MAX - 1), None).is_err());
    }

    #[test]
    fn an_empty_log_starts_anywhere_above_the_purge_point() {
        assert!(check_append(&[record(0, 1)], None, None).is_ok());
        assert!(check_append(&[record(9, 1)], None, None).is_ok());
        assert!(check_append(&[record(9, 1)], None, Some(8)).is_ok());
        assert!(check_append(&[record(9, 1)], None, Some(9)).is_err());
    }

    #[test]
    fn what_is_too_long_is_refused() {
        assert!(check_append(&[record(1, PAYLOAD_MAX_BYTES)], None, None).is_ok());
        assert!(check_append(&[record(1, PAYLOAD_MAX_BYTES + 1)], None, None).is_err());
        assert!(check_pointer(&Bytes::from(vec![0; POINTER_MAX_BYTES])).is_ok());
        assert!(check_pointer(&Bytes::from(vec![0; POINTER_MAX_BYTES + 1])).is_err());
    }

    #[test]
    fn a_truncation_never_reaches_below_the_purge_point() {
        assert!(check_truncate(Some(4), Some(4)).is_ok());
        assert!(check_truncate(None, Some(4)).is_ok());
        assert!(check_truncate(Some(3), Some(4)).is_err());
    }
}
