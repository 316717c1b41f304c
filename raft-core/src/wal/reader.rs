//! Reading entries of one segment back from its file, each checked against what it must be.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::disk::{Disk, DiskFile, read_full};
use crate::log_store::Record;
use crate::wal::front::Front;
use crate::wal::index::Extent;
use crate::wal::record::{self, Kind, RECORD_HEADER_BYTES};
use crate::wal::segment;

/// Bytes read at once, unless one entry is longer (256 KiB: the read-ahead of most disks).
const CHUNK_BYTES: u64 = 256 << 10;

/// Bytes read beyond what the caller asked for, so that headers and a little more fit (4 KiB).
const CHUNK_MIN_BYTES: u64 = 4 << 10;

/// Open files kept for the next read. Readers follow the log in order, one file each, and there
/// are as many readers as a cluster has members that lag.
const FILES_MAX: usize = 8;

/// Opens segments for reading and keeps the last few open.
#[derive(Debug)]
pub(super) struct Reader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    files: Mutex<OpenFiles>,
}

/// Invariants:
/// - no segment below `oldest` is kept: its file is gone, and an open one would keep its room.
#[derive(Debug, Default)]
struct OpenFiles {
    oldest: u64,
    kept: VecDeque<(u64, Arc<dyn DiskFile>)>,
}

impl Reader {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Reader {
        Reader { disk, dir, files: Mutex::default() }
    }

    /// Closes a segment that was removed; all before it were removed earlier.
    pub(super) fn forget(&self, number: u64) {
        let mut files = self.files();
        files.oldest = files.oldest.max(number.saturating_add(1));
        let oldest = files.oldest;
        files.kept.retain(|(kept, _)| *kept >= oldest);
    }

    fn file(&self, number: u64) -> io::Result<Arc<dyn DiskFile>> {
        if let Some((_, file)) = self.files().kept.iter().find(|(kept, _)| *kept == number) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&segment::path(&self.dir, number))?;
        let mut files = self.files();
        if number >= files.oldest && files.kept.iter().all(|(kept, _)| *kept != number) {
            if files.kept.len() >= FILES_MAX {
                files.kept.pop_front();
            }
            files.kept.push_back((number, Arc::clone(&file)));
        }
        Ok(file)
    }

    /// The segments kept open.
    #[cfg(test)]
    pub(super) fn open_segments(&self) -> Vec<u64> {
        self.files().kept.iter().map(|(number, _)| *number).collect()
    }

    fn files(&self) -> MutexGuard<'_, OpenFiles> {
        // Every change is complete when the lock is released, even by a panic.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the entries of `extent` into `found`.
    pub(super) fn read(&self, extent: &Extent, found: &mut Found) -> io::Result<()> {
        let file = self.file(extent.segment)?;
        let wanted = found.max_bytes.saturating_sub(found.bytes) as u64;
        let mut window = Window {
            file: &*file,
            end: extent.end,
            chunk_bytes: wanted.saturating_add(CHUNK_MIN_BYTES).min(CHUNK_BYTES),
            start: 0,
            bytes: Vec::new(),
        };
        let places = extent.offsets.iter().zip(&extent.terms);
        for (index, (offset, term)) in (extent.first..).zip(places) {
            let payload = window.entry(u64::from(*offset), index, *term).map_err(|error| {
                let file = segment::path(&self.dir, extent.segment);
                io::Error::new(error.kind(), format!("{} at {offset}: {error}", file.display()))
            })?;
            if !found.push(Record { index, term: *term, payload }) {
                break;
            }
        }
        Ok(())
    }
}

/// A part of a segment in memory.
struct Window<'a> {
    file: &'a dyn DiskFile,
    /// Nothing of interest lies behind this offset.
    end: u64,
    /// Read at once, unless an entry is longer.
    chunk_bytes: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The payload of the entry at `offset`, checked against what it must be.
    fn entry(&mut self, offset: u64, index: u64, term: u64) -> io::Result<Bytes> {
        let header = self.bytes_at(offset, RECORD_HEADER_BYTES)?;
        let length = record::claimed_bytes(header).map_err(damaged)?;
        let frame = record::decode(self.bytes_at(offset, length)?).map_err(damaged)?;
        if (frame.kind, frame.index, frame.term) != (Kind::Entry, index, term) {
            return Err(damaged("another record stands in the place of an entry"));
        }
        Ok(Bytes::copy_from_slice(frame.payload))
    }

    /// `length` bytes at `offset`.
    fn bytes_at(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let end = offset.saturating_add(length as u64);
        if end > self.end {
            return Err(damaged("an entry reaches beyond its place"));
        }
        let held = self.start..self.start + self.bytes.len() as u64;
        if offset < held.start || end > held.end {
            let size = (self.end - offset).min(self.chunk_bytes).max(length as u64);
            self.bytes.resize(usize::try_from(size).map_err(io::Error::other)?, 0);
            let filled = read_full(self.file, &mut self.bytes, offset)?;
            self.bytes.truncate(filled);
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).map_err(io::Error::other)?;
        let bytes = self.bytes.get(from..).and_then(|rest| rest.get(..length));
        bytes.ok_or_else(|| damaged("the file is shorter than it was"))
    }
}

/// What a read has found so far, within its limit.
pub(super) struct Found {
    pub(super) records: Vec<Record>,
    bytes: usize,
    max_bytes: usize,
    /// Index of the next entry wanted.
    pub(super) next: u64,
}

impl Found {
    pub(super) fn new(from: u64, max_bytes: usize) -> Found {
        Found { records: Vec::new(), bytes: 0, max_bytes, next: from }
    }

    /// Adds a record; `false` when it does not fit any more. The first always fits.
    fn push(&mut self, record: Record) -> bool {
        let bytes = self.bytes.saturating_add(record.payload.len());
        if bytes > self.max_bytes && !self.records.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.next = record.index + 1;
        self.records.push(record);
        true
    }

    /// Adds what the cache has of `next..to`; `true` when the read is complete with that.
    pub(super) fn push_cached(&mut self, front: &Front, to: u64) -> bool {
        let mut any = false;
        for record in front.cache.records_from(self.next) {
            if record.index >= to || !self.push(record.clone()) {
                return true;
            }
            any = true;
        }
        any
    }
}

/// Bytes are not what was written.
pub(super) fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
