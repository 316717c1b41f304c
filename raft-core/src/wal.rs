//! The write-ahead log: Raft's entries, vote and committed pointer in files.
//!
//! # The life of an append
//!
//! `append` encodes the entries into the group being gathered and into the tail cache
//! (`wal/front.rs`, `wal/record.rs`, `wal/cache.rs`); they are readable at once. The writer
//! (`wal/writer.rs`) takes the group when the one before it is durable, puts its header in front
//! (`wal/group.rs`), opens a new segment if this one is full (`wal/segment.rs`), writes, syncs,
//! notes the places of the entries (`wal/index.rs`) and calls the callbacks. Reads of what has
//! left the cache go to the files (`wal/range.rs`, `wal/reader.rs`). After a restart
//! `wal/examined.rs` reads the segments (`wal/scan.rs`) and tells a torn tail from damage
//! (`wal/tail.rs`), and `wal/recovery.rs` mends what a crash left.
//!
//! It does not know what is in an entry, a vote or a pointer; does not retry; does not repair
//! damage (a damaged node is replaced and copies the log from its peers: "Protocol-Aware
//! Recovery", FAST'18).
//!
//! # The files
//!
//! A log is a directory of segments `NNNNNNNNNNNNNNNN.wal`, named by their number in 16
//! hexadecimal digits, ascending without gap, and `wal.lock`, which is locked while the log is
//! open. Other files are ignored. All numbers are little-endian; all checksums CRC32C
//! (Castagnoli). The bytes of each part are drawn in the file named:
//!
//! ```text
//! segment = head (76 bytes, segment.rs), opening group, change groups..., seal group
//! group   = header (48 bytes, group.rs), records...
//! record  = header (32 bytes, record.rs), payload
//! ```
//!
//! Bytes are only ever appended; nothing durable is changed, until the whole file is removed. But
//! behind the last group of the newest segment zeros may stand, written ahead (`wal/writer.rs`):
//! a sync then need not make a new length durable. They are cut off before a successor is made,
//! when the log is closed, and when it is opened after a crash.
//!
//! - A **record** is one change: an entry, a vote, a committed pointer, a truncation, a purge.
//!   The state of the log is what the records say when they are applied in order.
//! - A **group** is what one `write` and one `fdatasync` made durable. It counts as a whole or
//!   not at all. Groups are numbered through all segments. A group is written only after the one
//!   before it is durable, so its header, which repeats its own place, is the statement that
//!   everything before that place is durable. Its checksum includes the segment's nonce, so no
//!   payload and no remnant of another file can pass for a group.
//! - The **opening group** repeats vote, committed pointer and purge point, so that older
//!   segments can be removed without loss of these.
//! - The **seal** is an empty group that ends a segment. It is written when the successor is
//!   durable, name included, and before the successor takes its first change. So a sealed
//!   segment without a successor, and a used successor of an unsealed segment, are damage.
//! - The **head** holds the nonces of this segment and of the one before, and that one's length:
//!   a segment that was shortened, or replaced by another copy, does not fit its successor.
//! - A **purge** record names the oldest segment still needed. Older ones are removed after it
//!   is durable, oldest first, each with a sync of the directory, so that the segments present
//!   are always a gapless end of the sequence; if that begins later than the last purge says, a
//!   segment is missing.
//!
//! # What a crash may leave, and what is refused
//!
//! When the log is opened, reading stops at the first group that is not valid.
//!
//! - In the newest segment, and when it can be the last write cut off half-way: the **torn tail**
//!   is cut, and reported: as [`Recovery::torn_tail`], or as [`Recovery::zeros`] when it is
//!   nothing but zeros, which a log that was not closed has anyway. Nothing in it was
//!   acknowledged.
//! - Anywhere else, or when anything stands behind it, or when no torn write can have left it so
//!   (it has its full length and none of its sectors is missing): **damage**. The log does not
//!   open; [`WalError::Corrupt`] names file and offset.
//! - The newest segment without a valid start, while its predecessor has no seal: it was being
//!   made, and is removed. The same for segment 1, when nothing else was ever there.
//!
//! What cannot be told apart from a crash, within one log directory: the newest file cut short,
//! or turned to zeros from a group's header to its end; a change in the last group, if that group
//! holds zeros where a sector, the group's part of one, or its end may be missing (`wal/tail.rs`);
//! all files gone, which [`Recovery::created`] tells. A node that knows from elsewhere that it
//! had more (its applied state is ahead of the log) must not go on.
//!
//! # Errors while running
//!
//! The first failed write or sync fails the log for ever: every callback, waiting or later, gets
//! that error, and reads fail. It opens again after a restart, if the disk is well: recovery
//! needs no free space. What the failed group contained may then be there or not; it was not
//! acknowledged.
//!
//! # How fast it is
//!
//! `benches/benches/wal.rs` lets this log and a bare loop of write and `fdatasync` of the same
//! bytes take turns, each batch waited for. On two idle cores and an ext4 disk, three runs: one
//! entry of 256 B a batch ran at 1.27 to 1.30 of the loop on a file that grows, 16 at 1.70 to 1.73,
//! 64 at 1.35 to 1.52, 256 at 0.88 to 0.97, 1,024 at 0.81 to 0.83. The loop is slow where its new
//! length waits for the file system's journal. Against a loop over a file full of zeros, which
//! never waits for that, the log ran at 0.51 to 0.86: a thread must be woken twice for each batch,
//! and large batches grow the file like the first loop.
//!
//! # What is promised, and the tests in `wal/tests/` that show it
//!
//! - Acknowledged is synced, names included; as the system sees it, and as the disk does:
//!   `as_the_system_sees_it_every_acknowledgement_follows_a_sync_of_all_that_was_written`,
//!   `every_acknowledgement_follows_a_sync_of_what_it_acknowledges`,
//!   `a_segment_is_durable_before_its_predecessor_is_sealed_and_both_before_use`.
//! - No timer, and one sync for all that waits: `nothing_in_the_log_waits_for_a_time`,
//!   `all_that_queues_behind_a_sync_rides_on_the_next`,
//!   `sixty_four_writers_in_flight_cost_as_many_syncs_as_one`.
//! - A tail torn, zeroed or cut at any byte opens at its last whole group, and says so:
//!   `a_tail_cut_at_any_byte_opens_with_the_last_whole_group_and_says_so`,
//!   `a_tail_zeroed_from_any_byte_of_the_last_group_opens_and_says_so`,
//!   `after_a_cut_the_log_goes_on_and_opens_again`.
//! - Nothing acknowledged is lost and nothing dropped returns, in every crash state:
//!   `every_crash_state_of_every_two_changes_of_a_new_log_is_recovered`,
//!   `every_crash_state_of_every_two_changes_at_the_end_of_a_segment_is_recovered`,
//!   `every_crash_state_of_every_three_changes_is_recovered`,
//!   `a_crash_at_every_disk_operation_loses_nothing_acknowledged_and_resurrects_nothing`.
//! - A changed bit, a missing, shortened or stale segment is refused, with file and offset:
//!   `every_bit_of_a_small_log_matters`,
//!   `a_flipped_bit_anywhere_is_refused_naming_file_and_offset`,
//!   `a_missing_segment_is_refused_whichever_it_is`,
//!   `a_shortened_segment_is_refused_at_every_length`, `a_stale_or_foreign_segment_is_refused`;
//!   for the last group, `a_bit_of_the_last_group_is_refused_or_only_that_group_is_lost`.
//! - Opening twice is opening once, a crash meanwhile harmless, a torn first segment new:
//!   `a_log_opens_as_it_was_closed_and_twice_the_same`,
//!   `a_crash_at_every_step_of_recovery_is_harmless`,
//!   `a_first_segment_torn_before_any_acknowledgement_opens_as_new`.
//! - On any error every callback is called, nothing is retried, and a restart heals:
//!   `after_an_error_at_any_operation_every_callback_gets_it_and_a_restart_heals`,
//!   `after_a_full_disk_every_callback_gets_the_error_and_a_restart_with_room_heals`,
//!   `a_failed_sync_is_not_retried_and_the_error_names_its_cause`,
//!   `a_failed_log_touches_the_disk_no_more`.
//! - Memory is bounded, and ranges are: `the_cache_serves_the_tail_and_stays_within_its_bound`,
//!   `a_caller_that_outruns_the_disk_is_held_back_not_refused`,
//!   `old_entries_come_from_the_disk_and_within_the_limit_of_bytes`,
//!   `opening_reads_every_byte_once_and_holds_one_segment_and_four_bytes_an_entry`.
//! - Zeros written ahead hide no damage and no tear:
//!   `groups_take_the_place_of_zeros_and_a_kill_leaves_the_rest_of_them`,
//!   `a_flipped_bit_before_zeros_is_refused_and_one_among_them_harms_nothing`,
//!   `a_group_torn_before_zeros_is_cut_and_told`,
//!   `zeros_in_any_segment_but_the_newest_are_refused`.
//! - A purge gives the room back: `a_purge_of_nine_tenths_leaves_at_most_a_fifth_of_the_disk`,
//!   `disk_space_comes_back_after_a_purge_while_entries_are_read`.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;

use crate::disk::Disk;
use crate::log_store::{Durable, LogPosition, LogState, LogStats, LogStore, Record};
use crate::wal::config::WalConfig;
use crate::wal::error::WalError;
use crate::wal::examined::TornTail;
use crate::wal::front::Front;
use crate::wal::reader::Reader;
use crate::wal::recovery::{Recovered, Recovery, recover};
use crate::wal::shared::Shared;
use crate::wal::writer::Writer;

mod cache;
pub(crate) mod config;
pub(crate) mod error;
pub(crate) mod examined;
mod front;
mod group;
mod index;
mod little_endian;
mod range;
mod reader;
mod record;
pub(crate) mod recovery;
mod scan;
mod segment;
mod shared;
pub(crate) mod stored;
mod tail;
mod writer;

/// The name of the file whose lock says that the log is open.
const LOCK_NAME: &str = "wal.lock";

/// An open log. Dropping it closes it, and waits for the writer.
pub(crate) struct Wal {
    shared: Arc<Shared>,
    writer: Mutex<Driver>,
}

/// Who lets the writer work.
enum Driver {
    Thread(JoinHandle<()>),
    #[cfg(test)]
    Steps(Box<Writer>),
    Ended,
}

impl Wal {
    /// Opens the log in `dir`, or makes one, and starts its writer thread. Blocks: it reads the
    /// whole log.
    ///
    /// # Errors
    /// When another owner has it open, when it is damaged, when the disk refuses.
    pub(crate) fn open(
        dir: &Path,
        disk: Arc<dyn Disk>,
        config: WalConfig,
    ) -> Result<(Wal, Recovery), WalError> {
        let (writer, shared, report) = prepare(dir, disk, config)?;
        let thread = thread::Builder::new()
            .name("raft-wal".into())
            .spawn(move || writer.run())
            .map_err(|source| WalError::Io {
                operation: "start the writer thread for",
                path: dir.to_owned(),
                source,
            })?;
        Ok((Wal { shared, writer: Mutex::new(Driver::Thread(thread)) }, report))
    }

    /// Opens the log without a thread: it writes when [`Wal::step`] is called. For simulations.
    #[cfg(test)]
    pub(crate) fn open_stepped(
        dir: &Path,
        disk: Arc<dyn Disk>,
        config: WalConfig,
    ) -> Result<(Wal, Recovery), WalError> {
        let (writer, shared, report) = prepare(dir, disk, config)?;
        Ok((Wal { shared, writer: Mutex::new(Driver::Steps(Box::new(writer))) }, report))
    }

    /// Makes one group durable, or removes one segment; `false` when there is nothing to do.
    #[cfg(test)]
    pub(crate) fn step(&self) -> bool {
        let mut driver = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *driver {
            Driver::Steps(writer) => writer.step(),
            Driver::Thread(_) | Driver::Ended => false,
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the log was closed after it had failed");
        }
    }
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// Locks and recovers the log, and makes its parts.
fn prepare(
    dir: &Path,
    disk: Arc<dyn Disk>,
    config: WalConfig,
) -> Result<(Writer, Arc<Shared>, Recovery), WalError> {
    config.validate()?;
    let io =
        |operation, path: &Path, source| WalError::Io { operation, path: path.to_owned(), source };
    disk.create_dir(dir).map_err(|source| io("create", dir, source))?;
    let lock_path = dir.join(LOCK_NAME);
    let lock = disk.lock(&lock_path).map_err(|source| io("lock", &lock_path, source))?;
    let lock = lock.ok_or(WalError::Locked { path: lock_path })?;
    let Recovered { rebuilt, active, active_start_bytes, next_group, report } =
        recover(&*disk, dir)?;
    if let Some(torn) = &report.torn_tail {
        let TornTail { file, offset, bytes } = torn;
        tracing::warn!(file = %file.display(), offset, bytes, "cut a torn tail off the log");
    }
    if report.zeros > 0 {
        let bytes = report.zeros;
        tracing::info!(dir = %dir.display(), bytes, "cut zeros off a log that was not closed");
    }
    let WalConfig { segment_bytes, backlog_max_bytes, ahead_bytes, ahead_group_max_bytes, .. } =
        config;
    let carried = rebuilt.carried.clone();
    let reader = Reader::new(Arc::clone(&disk), dir.to_owned());
    let front = Front::new(config, rebuilt.index, rebuilt.carried);
    let shared = Arc::new(Shared::new(front, backlog_max_bytes, reader));
    let writer = Writer {
        shared: Arc::clone(&shared),
        disk,
        dir: dir.to_owned(),
        segment_bytes,
        ahead_bytes,
        ahead_group_max_bytes,
        active,
        active_start_bytes,
        next_group,
        carried,
        usual_group_bytes: 0,
        spare: Vec::new(),
        _lock: lock,
    };
    Ok((writer, shared, report))
}

impl LogStore for Wal {
    fn state(&self) -> LogState {
        self.shared.lock().state()
    }

    fn append(&self, records: Vec<Record>, done: Durable) {
        self.shared.submit(done, |front| front.append(records));
    }

    fn save_vote(&self, vote: Bytes, done: Durable) {
        self.shared.submit(done, |front| front.save_vote(vote));
    }

    fn save_committed(&self, committed: Bytes) {
        let mut front = self.shared.lock();
        if let Err(error) = front.check_open().and_then(|()| front.save_committed(committed)) {
            tracing::debug!(%error, "the committed pointer was not saved");
        }
    }

    fn truncate_after(&self, keep: Option<u64>, done: Durable) {
        self.shared.submit(done, |front| front.truncate_after(keep));
    }

    fn purge(&self, upto: LogPosition, done: Durable) {
        self.shared.submit(done, |front| front.purge(upto));
    }

    fn read(&self, from: u64, to_exclusive: u64, max_bytes: usize) -> io::Result<Vec<Record>> {
        range::read(&self.shared, from, to_exclusive, max_bytes)
    }

    fn read_cached(
        &self,
        from: u64,
        to_exclusive: u64,
        max_bytes: usize,
    ) -> io::Result<Option<Vec<Record>>> {
        range::read_cached(&self.shared.lock(), from, to_exclusive, max_bytes)
    }

    fn durable_last(&self) -> Option<LogPosition> {
        self.shared.lock().durable_last()
    }

    fn when_room(&self, wake: Box<dyn FnOnce() + Send>) {
        let mut front = self.shared.lock();
        if front.has_room() {
            drop(front);
            wake();
        } else {
            front.await_room(wake);
        }
    }

    fn failed(&self) -> Option<Arc<io::Error>> {
        self.shared.lock().failed.clone()
    }

    fn stats(&self) -> LogStats {
        let front = self.shared.lock();
        let mut stats = front.stats.clone();
        stats.segments = front.index.segments.len() as u64;
        stats.disk_bytes = front.index.segments.iter().map(|segment| segment.bytes).sum();
        stats.cache_bytes = front.cache.bytes() as u64;
        stats.backlog_bytes = front.backlog_bytes() as u64;
        stats
    }

    fn abandon(&self) {
        self.shared.fail(io::Error::other("the node was halted"));
    }

    fn close(&self) -> io::Result<()> {
        self.shared.begin_close();
        let mut driver = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *driver, Driver::Ended) {
            // The last handle may be dropped by a callback, on the writer's own thread.
            Driver::Thread(thread) if thread.thread().id() == thread::current().id() => {}
            Driver::Thread(thread) => {
                if thread.join().is_err() {
                    self.shared.fail(io::Error::other("the log writer panicked"));
                }
            }
            #[cfg(test)]
            Driver::Steps(mut writer) => {
                while writer.step() {}
                writer.end();
            }
            Driver::Ended => {}
        }
        self.shared.lock().check_failed()
    }
}

#[cfg(test)]
mod tests;
