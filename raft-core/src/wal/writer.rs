//! The one writer: takes groups, writes each with one `write` and one `fdatasync`, then tells
//! everybody who waited.
//!
//! While a group is on its way to the disk the next one is being gathered (`front.rs`), so that
//! one sync carries all that queued behind the last: group commit without a timer. The writer
//! runs on a thread of its own, or step by step where a simulation wants to decide when.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::disk::{Disk, DiskLock};
use crate::log_store::SYNC_BUCKET_MICROS;
use crate::wal::front::{Group, Published, Work};
use crate::wal::group::{GROUP_HEADER_BYTES, GroupHeader, GroupKind};
use crate::wal::segment::{self, Carried, Head, Segment};
use crate::wal::shared::Shared;

/// Owns the files.
///
/// Invariants:
/// - everything before `active.bytes` is durable whenever a group is begun, and only zeros stand
///   behind it, in the newest segment and in no other;
/// - `carried` is what the groups written so far say, so that a new segment repeats the past and
///   nothing of the group that opens it.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) segment_bytes: u64,
    pub(super) ahead_bytes: u64,
    pub(super) ahead_group_max_bytes: usize,
    pub(super) active: Segment,
    /// Length of the active segment when it had no changes yet.
    pub(super) active_start_bytes: u64,
    pub(super) next_group: u64,
    pub(super) carried: Carried,
    /// Bytes of a group, averaged over about the last eight.
    pub(super) usual_group_bytes: usize,
    /// Buffer for the group after the next.
    pub(super) spare: Vec<u8>,
    /// Keeps other owners out for as long as this writer may write.
    pub(super) _lock: DiskLock,
}

impl Writer {
    /// Works until the log is closed and everything is durable, or until it has failed.
    pub(super) fn run(mut self) {
        while let Some(work) = self.shared.await_work(&mut self.spare) {
            self.perform(work);
        }
        self.end();
    }

    /// Leaves the newest segment without zeros, when the log is closed and has not failed.
    pub(super) fn end(&mut self) {
        if self.shared.lock().failed.is_none()
            && let Err(error) = self.active.cut_ahead()
        {
            self.shared.fail(error);
        }
    }

    /// Does what there is to do now, at most one group or one removal; `false` if nothing.
    #[cfg(test)]
    pub(super) fn step(&mut self) -> bool {
        let work = self.shared.lock().take(&mut self.spare);
        work.is_some_and(|work| {
            self.perform(work);
            true
        })
    }

    fn perform(&mut self, work: Work) {
        // A bug must not leave callers waiting for ever: a panic fails the log like an error.
        let result = catch_unwind(AssertUnwindSafe(|| match work {
            Work::Group(group) => self.write_group(group),
            Work::Remove(number) => self.remove(number).map(|()| None),
        }));
        let result = result.unwrap_or_else(|_| Err(io::Error::other("the log writer panicked")));
        match result {
            Ok(Some(published)) => self.shared.complete(published),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(dir = %self.dir.display(), %error, "the log has failed");
                self.shared.fail(error);
            }
        }
    }

    /// Makes one group durable and publishes it.
    fn write_group(&mut self, mut group: Group) -> io::Result<Option<Published>> {
        if group.records == 0 {
            // Only waiting for what is durable already, since groups are written in order.
            self.spare = group.buffer;
            let published = self.shared.lock().publish(self.active.bytes, self.active.bytes);
            return Ok(Some(published));
        }
        let length = group.buffer.len() as u64;
        let full = self.active.bytes.saturating_add(length) > self.segment_bytes;
        let mut syncs = 1;
        if full && self.active.bytes > self.active_start_bytes {
            syncs += self.roll()?;
        }
        let body = length.saturating_sub(GROUP_HEADER_BYTES as u64);
        let header = GroupHeader {
            kind: GroupKind::Changes,
            number: self.next_group,
            segment: self.active.number,
            offset: self.active.bytes,
            body_bytes: u32::try_from(body).expect("backlog and append limits keep it below"),
            records: group.records,
        };
        self.next_group = next_number(self.next_group)?;
        let encoded = header.encode(self.active.nonce);
        for (place, byte) in group.buffer.iter_mut().zip(encoded) {
            *place = byte;
        }
        let base = self.active.bytes;
        let end = base + length;
        self.usual_group_bytes = match self.usual_group_bytes {
            0 => group.buffer.len(),
            usual => (usual * 7 + group.buffer.len()) / 8,
        };
        if end > self.active.file_bytes {
            self.active.file_bytes = end + self.write_ahead(&mut group.buffer, end);
        }
        let started = Instant::now();
        self.active.file.write_at(&group.buffer, base)?;
        self.active.file.sync_data()?;
        let took = started.elapsed();
        self.active.bytes = end;
        self.carried = group.carried;
        self.spare = group.buffer;
        let mut front = self.shared.lock();
        let stats = &mut front.stats;
        stats.groups += 1;
        stats.syncs += syncs;
        stats.bytes_written += length;
        stats.sync_time += took;
        if let Some(bucket) = stats.sync_buckets.get_mut(bucket_of(took)) {
            *bucket += 1;
        }
        Ok(Some(front.publish(base, self.active.bytes)))
    }

    /// Puts zeros behind a group that ends at `end`, not beyond a full segment; returns how many.
    ///
    /// A file that grows has its new length written to the file system's journal by each sync.
    /// Groups that take the place of these zeros are spared that. Where the zeros would serve but
    /// a few groups of the usual size, writing them costs more than they spare.
    fn write_ahead(&self, buffer: &mut Vec<u8>, end: u64) -> u64 {
        if self.usual_group_bytes > self.ahead_group_max_bytes {
            return 0;
        }
        let ahead = self.ahead_bytes.min(self.segment_bytes.saturating_sub(end));
        let zeros = usize::try_from(ahead).expect("the configuration limits it to 16 MiB");
        buffer.resize(buffer.len() + zeros, 0);
        ahead
    }

    /// Opens the next segment and seals this one, in the order recovery relies on: no zeros stand
    /// behind the end when there is a successor, the successor is durable before the seal says
    /// so, and the seal before the successor is used. Returns the number of syncs.
    fn roll(&mut self) -> io::Result<u64> {
        let syncs = 3 + u64::from(self.active.cut_ahead()?);
        let seal = GroupHeader {
            kind: GroupKind::Seal,
            number: self.next_group,
            segment: self.active.number,
            offset: self.active.bytes,
            body_bytes: 0,
            records: 0,
        };
        let head = Head {
            number: next_number(self.active.number)?,
            nonce: self.disk.nonce(),
            previous_nonce: self.active.nonce,
            previous_bytes: self.active.bytes,
            first_group: next_number(self.next_group)?,
            last_index: self.shared.lock().durable_last().map(|last| last.index),
        };
        let next = segment::create(&*self.disk, &self.dir, &head, &self.carried)?;
        let seal = seal.encode(self.active.nonce);
        self.active.file.write_at(&seal, self.active.bytes)?;
        self.active.file.sync_data()?;
        self.next_group = next_number(head.first_group)?;
        self.active_start_bytes = next.bytes;
        self.active = next;
        let mut front = self.shared.lock();
        front.stats.bytes_written += self.active.bytes + seal.len() as u64;
        if let Some(sealed) = front.index.segments.back_mut() {
            sealed.bytes += seal.len() as u64;
        }
        front.add_segment(self.active.number, self.active.bytes);
        Ok(syncs)
    }

    /// Removes a segment that is no longer needed. One at a time, each durably: what is left must
    /// be a gapless end of the sequence whenever power fails.
    fn remove(&mut self, number: u64) -> io::Result<()> {
        self.disk.remove(&segment::path(&self.dir, number))?;
        self.shared.reader.forget(number);
        self.disk.sync_dir(&self.dir)
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("dir", &self.dir).field("active", &self.active).finish()
    }
}

fn next_number(number: u64) -> io::Result<u64> {
    number.checked_add(1).ok_or_else(|| io::Error::other("the log is out of numbers"))
}

fn bucket_of(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    SYNC_BUCKET_MICROS.partition_point(|bound| *bound < micros)
}
