//! What the log's callers and its writer share, behind one mutex: the log as it is readable now,
//! the group that is being gathered, and the group that is on its way to the disk.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::log_store::{
    Durable, LogPosition, LogState, LogStats, Record, check_append, check_pointer, check_truncate,
};
use crate::wal::cache::TailCache;
use crate::wal::config::WalConfig;
use crate::wal::group::GROUP_HEADER_BYTES;
use crate::wal::index::{LogIndex, Run, SegmentRun};
use crate::wal::record::{Frame, Kind, RECORD_HEADER_BYTES};
use crate::wal::segment::{Carried, Purge};

/// The longest group body one call may add (1 GiB); keeps group lengths and offsets in a segment
/// below 4 GiB, with [`WalConfig::validate`]'s bounds.
const APPEND_MAX_BYTES: usize = 1 << 30;

/// Room of a group buffer that is kept for the next group (16 MiB).
const BUFFER_KEEP_BYTES: usize = 16 << 20;

/// Changes encoded and not yet taken by the writer.
#[derive(Default)]
struct Gathering {
    /// Room for the group header, then the records.
    buffer: Vec<u8>,
    records: u32,
    /// Entries in the buffer that are still live, with their offsets in it.
    run: Run,
    waiting: Vec<Durable>,
    oldest_needed: Option<u64>,
}

/// What of a group the writer has taken matters to others until it is durable.
#[derive(Default)]
struct InFlight {
    run: Run,
    bytes: usize,
    waiting: Vec<Durable>,
    oldest_needed: Option<u64>,
}

/// A group for the writer to make durable.
pub(super) struct Group {
    /// Room for the header, then the records.
    pub(super) buffer: Vec<u8>,
    pub(super) records: u32,
    /// What a segment that is opened after this group repeats.
    pub(super) carried: Carried,
}

/// What the writer is to do next.
pub(super) enum Work {
    /// Make a group durable, then [`Front::publish`].
    Group(Group),
    /// Remove this segment's file; it is already forgotten here.
    Remove(u64),
}

/// A group that became durable.
pub(super) struct Published {
    /// Callbacks to be called with `Ok`.
    pub(super) waiting: Vec<Durable>,
    /// Appenders to be told that there is room.
    pub(super) wakes: Vec<Box<dyn FnOnce() + Send>>,
}

/// Invariants:
/// - live entries are, in order, those in the runs of `index`, of `in_flight`, of `gathering`;
/// - the latter two, being in no segment, are all in `cache`;
/// - once `failed` is set nothing is accepted, served or taken any more.
pub(super) struct Front {
    config: WalConfig,
    pub(super) index: LogIndex,
    pub(super) cache: TailCache,
    carried: Carried,
    committed_dirty: bool,
    gathering: Gathering,
    in_flight: InFlight,
    /// Last live entry known durable.
    durable: Option<u64>,
    /// Segments below this number are no longer needed, and that is durable.
    removable_below: u64,
    removed_last: bool,
    room: Vec<Box<dyn FnOnce() + Send>>,
    pub(super) failed: Option<Arc<io::Error>>,
    pub(super) closing: bool,
    /// The writer sleeps and must be woken.
    pub(super) writer_idle: bool,
    /// Counts truncations, for readers that release the lock.
    pub(super) truncations: u64,
    pub(super) stats: LogStats,
}

impl Front {
    /// Starts from what recovery found, all of it durable.
    pub(super) fn new(config: WalConfig, index: LogIndex, carried: Carried) -> Front {
        Front {
            config,
            durable: index.last_index(),
            removable_below: carried.purge.map_or(0, |purge| purge.oldest_segment),
            index,
            cache: TailCache::default(),
            carried,
            committed_dirty: false,
            gathering: Gathering::default(),
            in_flight: InFlight::default(),
            removed_last: false,
            room: Vec::new(),
            failed: None,
            closing: false,
            writer_idle: false,
            truncations: 0,
            stats: LogStats::default(),
        }
    }

    pub(super) fn state(&self) -> LogState {
        LogState {
            purged: self.index.purged,
            last: self.index.last(),
            vote: self.carried.vote.clone(),
            committed: self.carried.committed.clone(),
        }
    }

    pub(super) fn durable_last(&self) -> Option<LogPosition> {
        self.durable.and_then(|index| self.index.position(index)).or(self.index.purged)
    }

    /// Bytes submitted and not durable.
    pub(super) fn backlog_bytes(&self) -> usize {
        self.gathering.buffer.len().saturating_sub(GROUP_HEADER_BYTES) + self.in_flight.bytes
    }

    /// Whether appenders should go on.
    pub(super) fn has_room(&self) -> bool {
        self.closing || self.failed.is_some() || self.backlog_bytes() < self.config.room_bytes
    }

    /// Keeps `wake` until there is room.
    pub(super) fn await_room(&mut self, wake: Box<dyn FnOnce() + Send>) {
        self.room.push(wake);
    }

    /// Refuses further changes when the log has failed or is being closed.
    pub(super) fn check_open(&self) -> io::Result<()> {
        self.check_failed()?;
        if self.closing {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the log is closed"));
        }
        Ok(())
    }

    /// Refuses everything when the log has failed.
    pub(super) fn check_failed(&self) -> io::Result<()> {
        self.failed.as_ref().map_or(Ok(()), |error| Err(share(error)))
    }

    pub(super) fn append(&mut self, records: Vec<Record>) -> io::Result<()> {
        let purged = self.index.purged.map(|purged| purged.index);
        check_append(&records, self.index.last_index(), purged)?;
        let bytes = records.iter().fold(0_usize, |sum, record| {
            sum.saturating_add(record.payload.len()).saturating_add(RECORD_HEADER_BYTES)
        });
        if bytes > APPEND_MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "one append exceeds 1 GiB"));
        }
        self.stats.appends += 1;
        self.stats.entries += records.len() as u64;
        self.gathering.prepare(bytes);
        for record in records {
            let Record { index, term, payload } = &record;
            let offset = u32::try_from(self.gathering.buffer.len())
                .expect("backlog and append limits keep a group below 4 GiB");
            self.gathering.encode(Frame { kind: Kind::Entry, term: *term, index: *index, payload });
            self.gathering.run.push(*index, offset);
            self.index.append(record.position());
            self.cache.push(record);
        }
        Ok(())
    }

    pub(super) fn save_vote(&mut self, vote: Bytes) -> io::Result<()> {
        check_pointer(&vote)?;
        self.gathering.encode(Frame { kind: Kind::Vote, term: 0, index: 0, payload: &vote });
        self.carried.vote = Some(vote);
        Ok(())
    }

    pub(super) fn save_committed(&mut self, committed: Bytes) -> io::Result<()> {
        check_pointer(&committed)?;
        self.carried.committed = Some(committed);
        self.committed_dirty = true;
        Ok(())
    }

    pub(super) fn truncate_after(&mut self, keep: Option<u64>) -> io::Result<()> {
        check_truncate(keep, self.index.purged.map(|purged| purged.index))?;
        let from = keep.map_or(Some(0), |keep| keep.checked_add(1));
        let Some(from) = from.filter(|from| self.index.last_index() >= Some(*from)) else {
            return Ok(());
        };
        let (term, payload) = (0, &[][..]);
        self.gathering.encode(Frame { kind: Kind::Truncate, term, index: from, payload });
        self.index.truncate_from(from);
        self.cache.truncate_from(from);
        for run in [&mut self.gathering.run, &mut self.in_flight.run] {
            run.truncate_from(from);
            if let Some(purged) = self.index.purged {
                run.purge_to(purged.index);
            }
        }
        if self.durable >= Some(from) {
            self.durable = self.index.last_index();
        }
        self.truncations += 1;
        Ok(())
    }

    pub(super) fn purge(&mut self, upto: LogPosition) -> io::Result<()> {
        if self.index.purged.is_some_and(|purged| purged.index >= upto.index) {
            return Ok(());
        }
        if upto.index == u64::MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "purge beyond all numbers"));
        }
        self.index.purge_to(upto);
        self.cache.purge_to(upto.index);
        self.gathering.run.purge_to(upto.index);
        self.in_flight.run.purge_to(upto.index);
        let purge = Purge { upto, oldest_segment: self.index.oldest_needed() };
        self.gathering.prepare(0);
        purge.encode(&mut self.gathering.buffer);
        self.gathering.records += 1;
        self.gathering.oldest_needed = Some(purge.oldest_segment);
        self.carried.purge = Some(purge);
        Ok(())
    }

    /// Lets `done` be called when all changes so far are durable.
    pub(super) fn await_durable(&mut self, done: Durable) {
        self.gathering.waiting.push(done);
    }

    /// What the writer is to do now; `None` when there is nothing. `spare` is a buffer to gather
    /// the next group in.
    pub(super) fn take(&mut self, spare: &mut Vec<u8>) -> Option<Work> {
        if self.failed.is_some() {
            return None;
        }
        let flush_committed = self.closing && self.committed_dirty;
        let group_ready = !self.gathering.waiting.is_empty() || flush_committed;
        // One segment between two groups: neither keeps the other waiting for long.
        if !(group_ready && self.removed_last)
            && let Some(segment) = self.take_removable()
        {
            self.removed_last = true;
            return Some(Work::Remove(segment));
        }
        self.removed_last = false;
        group_ready.then(|| Work::Group(self.take_group(spare)))
    }

    fn take_removable(&mut self) -> Option<u64> {
        let oldest = self.index.segments.front()?;
        let removable = oldest.number < self.removable_below && self.index.segments.len() > 1;
        removable.then(|| self.index.segments.pop_front().map(|segment| segment.number))?
    }

    fn take_group(&mut self, spare: &mut Vec<u8>) -> Group {
        if std::mem::take(&mut self.committed_dirty)
            && let Some(payload) = &self.carried.committed
        {
            self.gathering.encode(Frame { kind: Kind::Committed, term: 0, index: 0, payload });
        }
        spare.clear();
        spare.shrink_to(BUFFER_KEEP_BYTES);
        let next = Gathering { buffer: std::mem::take(spare), ..Gathering::default() };
        let taken = std::mem::replace(&mut self.gathering, next);
        self.in_flight = InFlight {
            bytes: taken.buffer.len().saturating_sub(GROUP_HEADER_BYTES),
            run: taken.run,
            waiting: taken.waiting,
            oldest_needed: taken.oldest_needed,
        };
        Group { buffer: taken.buffer, records: taken.records, carried: self.carried.clone() }
    }

    /// Notes that the group in flight is durable, `base` bytes into the newest segment, which now
    /// has `segment_bytes`.
    pub(super) fn publish(&mut self, base: u64, segment_bytes: u64) -> Published {
        let group = std::mem::take(&mut self.in_flight);
        if let Some(last) = group.run.last() {
            self.durable = Some(last);
        }
        if let Some(segment) = self.index.segments.back_mut() {
            for (index, offset) in group.run.entries() {
                let offset = u32::try_from(base + u64::from(offset))
                    .expect("segment and group limits keep offsets below 4 GiB");
                segment.run.push(index, offset);
            }
            segment.bytes = segment_bytes;
        }
        self.removable_below = self.removable_below.max(group.oldest_needed.unwrap_or(0));
        let wakes = if self.has_room() { std::mem::take(&mut self.room) } else { Vec::new() };
        Published { waiting: group.waiting, wakes }
    }

    /// Lets go of what the cache need not hold any more. Takes its time: not for those to
    /// wait for who were promised no more than durability.
    pub(super) fn evict(&mut self) {
        if let Some(durable) = self.durable {
            self.cache.evict(self.config.cache_bytes, durable);
        }
    }

    /// Notes a new newest segment.
    pub(super) fn add_segment(&mut self, number: u64, bytes: u64) {
        if let Some(segment) = self.index.segments.back_mut() {
            segment.run.shrink();
        }
        self.index.segments.push_back(SegmentRun { number, bytes, run: Run::default() });
    }

    /// Lets go of everything undone after a failure. Returns who must be told.
    pub(super) fn abandon(&mut self) -> Published {
        let mut waiting = std::mem::take(&mut self.in_flight).waiting;
        waiting.append(&mut std::mem::take(&mut self.gathering).waiting);
        self.cache.clear();
        Published { waiting, wakes: std::mem::take(&mut self.room) }
    }
}

impl Gathering {
    /// Leaves room for the group header, and for `bytes` more.
    fn prepare(&mut self, bytes: usize) {
        self.buffer.reserve(GROUP_HEADER_BYTES + bytes);
        if self.buffer.is_empty() {
            self.buffer.resize(GROUP_HEADER_BYTES, 0);
        }
    }

    fn encode(&mut self, frame: Frame<'_>) {
        self.prepare(frame.bytes());
        frame.encode(&mut self.buffer);
        self.records += 1;
    }
}

/// The failure of the log, as each caller gets it: the first error is the source of all.
pub(super) fn share(error: &Arc<io::Error>) -> io::Error {
    io::Error::new(error.kind(), Failed(Arc::clone(error)))
}

#[derive(Debug, thiserror::Error)]
#[error("the log has failed and accepts nothing more")]
struct Failed(#[source] Arc<io::Error>);
