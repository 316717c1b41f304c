//! A log that is looked at and left as it is: for operators, where no node runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskLock};
use crate::log_store::{LogPosition, LogState, Record};
use crate::wal::LOCK_NAME;
use crate::wal::error::WalError;
use crate::wal::examined::{Examined, TornTail, examine, read_whole};
use crate::wal::group::{GroupHeader, GroupKind};
use crate::wal::index::LogIndex;
use crate::wal::reader::{Found, Reader, damaged};
use crate::wal::record::{Frame, Kind};
use crate::wal::scan::{Rebuilt, scan_with};
use crate::wal::segment::{self, Carried, Head, Purge};

/// Entries looked up at once.
const EXTENT_MAX_ENTRIES: usize = 1024;

/// A sound log on disk.
#[derive(Debug)]
pub(crate) struct StoredLog {
    index: LogIndex,
    carried: Carried,
    reader: Reader,
    /// What an interrupted write left. Nothing in it was acknowledged.
    pub(crate) torn_tail: Option<TornTail>,
    /// A segment whose creation was interrupted; nothing in it counts.
    pub(crate) unfinished: Option<PathBuf>,
}

/// Something found in a segment, with its offset there.
#[derive(Debug)]
pub(crate) enum Sight<'a> {
    /// A file of so many bytes.
    Segment { number: u64, bytes: u64 },
    /// What one write made durable.
    Group { offset: u64, number: u64, kind: &'static str, bytes: u64, records: u32 },
    /// An entry, encoded.
    Entry { offset: u64, position: LogPosition, payload: &'a [u8] },
    /// The vote, encoded.
    Vote { offset: u64, payload: &'a [u8] },
    /// The committed pointer, encoded.
    Committed { offset: u64, payload: &'a [u8] },
    /// All entries from this index on are dropped.
    Truncated { offset: u64, from: u64 },
    /// All entries up to here are dropped, and all segments before that number.
    Purged { offset: u64, upto: LogPosition, oldest_segment: u64 },
    /// Nothing can be read from here on.
    Unreadable { offset: u64, why: String },
}

/// Keeps owners of the log in `dir` out for as long as the lock lives.
///
/// # Errors
/// [`WalError::Locked`] when a node has it open.
pub(crate) fn lock(disk: &dyn Disk, dir: &Path) -> Result<DiskLock, WalError> {
    let path = dir.join(LOCK_NAME);
    match disk.lock(&path) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(WalError::Locked { path }),
        Err(source) => Err(WalError::Io { operation: "lock", path, source }),
    }
}

impl StoredLog {
    /// Reads and judges the whole log in `dir`; `None` when there is none.
    ///
    /// # Errors
    /// When it is damaged or not readable.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Option<StoredLog>, WalError> {
        let Examined { rebuilt, last, unfinished, torn_tail, .. } = examine(&*disk, dir)?;
        let Rebuilt { index, carried } = rebuilt;
        let reader = Reader::new(disk, dir.to_owned());
        Ok(last.map(|_| StoredLog { index, carried, reader, torn_tail, unfinished }))
    }

    /// What it holds.
    pub(crate) fn state(&self) -> LogState {
        LogState {
            purged: self.index.purged,
            last: self.index.last(),
            vote: self.carried.vote.clone(),
            committed: self.carried.committed.clone(),
        }
    }

    /// Its first entry.
    pub(crate) fn first(&self) -> Option<LogPosition> {
        self.index.position(self.index.first_index()?)
    }

    /// Number of entries.
    pub(crate) fn entries(&self) -> u64 {
        self.index.entries()
    }

    /// Number and bytes of its segments.
    pub(crate) fn segments(&self) -> (u64, u64) {
        let segments = &self.index.segments;
        (segments.len() as u64, segments.iter().map(|segment| segment.bytes).sum())
    }

    /// Entries with `from <= index < to`, until their payloads exceed `max_bytes`; at least one
    /// if any is there.
    pub(crate) fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<Record>> {
        let Some(last) = self.index.last_index() else { return Ok(Vec::new()) };
        let to = to.min(last.saturating_add(1));
        let mut found = Found::new(from.max(self.index.first_index().unwrap_or(from)), max_bytes);
        while found.next < to {
            let extent = self.index.extent(found.next, to, EXTENT_MAX_ENTRIES);
            let extent = extent.ok_or_else(|| damaged("an entry is in no segment"))?;
            let wanted = extent.first + extent.offsets.len() as u64;
            self.reader.read(&extent, &mut found)?;
            if found.next < wanted {
                break;
            }
        }
        Ok(found.records)
    }
}

/// Shows everything that lies in the segments of `dir`, also behind damage: a segment of which a
/// part is unreadable is left there, and the next one is gone on with.
///
/// # Errors
/// When a file cannot be read; damage is shown, not returned.
pub(crate) fn walk(
    disk: &dyn Disk,
    dir: &Path,
    visit: &mut dyn FnMut(&Path, Sight<'_>),
) -> Result<(), WalError> {
    let names = disk.list(dir).map_err(|source| WalError::Io {
        operation: "list",
        path: dir.to_owned(),
        source,
    })?;
    let mut numbers: Vec<u64> =
        names.iter().filter_map(|entry| segment::number_of(&entry.name)).collect();
    numbers.sort_unstable();
    for number in numbers {
        let path = segment::path(dir, number);
        let bytes = read_whole(disk, &path)?;
        visit(&path, Sight::Segment { number, bytes: bytes.len() as u64 });
        let Ok(head) = Head::decode(&bytes) else {
            let why = "the segment's head is unreadable".into();
            visit(&path, Sight::Unreadable { offset: 0, why });
            continue;
        };
        // On a log of its own: what was there before does not matter here.
        let scanned = scan_with(&path, &bytes, head, &mut Rebuilt::default(), &mut |at, frames| {
            show_group(&path, at, frames, visit);
        });
        match scanned {
            Ok(found) => {
                if let Some((offset, why)) = found.stop {
                    let (offset, why) = (offset as u64, why.into());
                    visit(&path, Sight::Unreadable { offset, why });
                }
            }
            Err(WalError::Corrupt { offset, why, .. }) => {
                visit(&path, Sight::Unreadable { offset, why });
            }
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

fn show_group(
    path: &Path,
    header: &GroupHeader,
    frames: &[(usize, Frame<'_>)],
    visit: &mut dyn FnMut(&Path, Sight<'_>),
) {
    let GroupHeader { offset, number, records, .. } = *header;
    let kind = match header.kind {
        GroupKind::Opening => "opening",
        GroupKind::Changes => "changes",
        GroupKind::Seal => "seal",
    };
    visit(path, Sight::Group { offset, number, kind, bytes: header.total_bytes(), records });
    for (offset, frame) in frames {
        let (offset, payload) = (*offset as u64, frame.payload);
        let position = LogPosition { index: frame.index, term: frame.term };
        visit(
            path,
            match frame.kind {
                Kind::Entry => Sight::Entry { offset, position, payload },
                Kind::Vote => Sight::Vote { offset, payload },
                Kind::Committed => Sight::Committed { offset, payload },
                Kind::Truncate => Sight::Truncated { offset, from: frame.index },
                Kind::Purge => match Purge::decode(frame) {
                    Some(Purge { upto, oldest_segment }) => {
                        Sight::Purged { offset, upto, oldest_segment }
                    }
                    None => {
                        let why = "a purge names no segment".into();
                        Sight::Unreadable { offset, why }
                    }
                },
            },
        );
    }
}
