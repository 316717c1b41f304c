//! Opening: mending what a crash left, once the log was read and judged (`examined.rs`).
//!
//! Everything is read and judged before anything is changed, so a refused log stays as it is for
//! whoever examines it. What is mended, in this order, and each step may be repeated after a
//! crash in the middle:
//!
//! 1. a segment that was being created is removed (its predecessor carries no seal yet, so
//!    nothing in it was acknowledged);
//! 2. a torn tail is cut, and so are zeros that were written ahead;
//! 3. the last group is written again, byte for byte, and synced. After kill -9 it may be only in
//!    the page cache; and after a failed sync the cache may hold it as clean although it never
//!    reached the disk (ATC'20). Everything before it is durable, as the group itself says.

use std::path::{Path, PathBuf};

use crate::disk::{Disk, read_full};
use crate::wal::error::WalError;
use crate::wal::examined::{Examined, Loaded, TornTail, examine};
use crate::wal::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::wal::index::{Run, SegmentRun};
use crate::wal::scan::Rebuilt;
use crate::wal::segment::{self, Carried, HEAD_BYTES, Head, Segment};

/// What was found when the log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// There was no log (or one that was torn while it was made): this one is new. The caller
    /// knows whether that can be.
    pub(crate) created: bool,
    /// Entries in the log.
    pub(crate) entries: u64,
    /// Segment files.
    pub(crate) segments: u64,
    /// Bytes of all segment files.
    pub(crate) disk_bytes: u64,
    /// The unacknowledged remains of the last write, if a crash interrupted it.
    pub(crate) torn_tail: Option<TornTail>,
    /// Zeros that were cut: written ahead by a log that was not closed. A last write of which
    /// nothing reached the disk looks the same, and nothing in it was acknowledged either.
    pub(crate) zeros: u64,
    /// A segment whose creation a crash interrupted; it was removed.
    pub(crate) unfinished_segment: Option<PathBuf>,
}

/// A log ready to be appended to.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) rebuilt: Rebuilt,
    pub(super) active: Segment,
    /// Length of the active segment's head and opening group.
    pub(super) active_start_bytes: u64,
    pub(super) next_group: u64,
    pub(super) report: Recovery,
}

/// Reads, judges and mends the log in `dir`, or makes a new one.
pub(super) fn recover(disk: &dyn Disk, dir: &Path) -> Result<Recovered, WalError> {
    let Examined { rebuilt, last, unfinished, torn_tail, zeros } = examine(disk, dir)?;
    let Some(last) = last else { return create_first(disk, dir, unfinished) };
    let active = mend(disk, dir, &last, unfinished.as_deref())?;
    let report = Recovery {
        created: false,
        entries: rebuilt.index.entries(),
        segments: rebuilt.index.segments.len() as u64,
        disk_bytes: rebuilt.index.segments.iter().map(|segment| segment.bytes).sum(),
        torn_tail,
        zeros,
        unfinished_segment: unfinished,
    };
    let active_start_bytes = start_bytes(&last);
    Ok(Recovered { rebuilt, active, active_start_bytes, next_group: last.found.next_group, report })
}

fn start_bytes(last: &Loaded) -> u64 {
    let opening = last.bytes.get(HEAD_BYTES..).unwrap_or(&[]);
    GroupHeader::decode(opening, last.found.head.nonce)
        .map_or(HEAD_BYTES as u64, |header| HEAD_BYTES as u64 + header.total_bytes())
}

fn mend(
    disk: &dyn Disk,
    dir: &Path,
    last: &Loaded,
    unfinished: Option<&Path>,
) -> Result<Segment, WalError> {
    let Loaded { bytes, found } = last;
    // Its name may come back until the directory is synced below; it is unfinished then as now.
    if let Some(path) = unfinished {
        disk.remove(path).map_err(|source| io("remove", path, source))?;
    }
    let (path, number) = (&found.path, found.head.number);
    if found.last_group_start == 0
        && let Some(before) = number.checked_sub(1)
    {
        sync_again(disk, &segment::path(dir, before))?;
    }
    let file = disk.open(path).map_err(|source| io("open", path, source))?;
    if found.bytes > found.end {
        file.cut(found.end as u64).map_err(|source| io("cut", path, source))?;
    }
    let again = bytes.get(found.last_group_start..found.end).unwrap_or(&[]);
    file.write_at(again, found.last_group_start as u64)
        .map_err(|source| io("write", path, source))?;
    file.sync_data().map_err(|source| io("sync", path, source))?;
    disk.sync_dir(dir).map_err(|source| io("sync", dir, source))?;
    let bytes = found.end as u64;
    Ok(Segment { number, nonce: found.head.nonce, file, bytes, file_bytes: bytes })
}

/// Writes the seal of the segment before again, if that segment is still there: it was the last
/// write when the newest segment has no group of its own.
fn sync_again(disk: &dyn Disk, path: &Path) -> Result<(), WalError> {
    let rewrite = || {
        let file = disk.open(path)?;
        let Some(at) = file.length()?.checked_sub(GROUP_HEADER_BYTES as u64) else {
            return Ok(());
        };
        let mut seal = [0; GROUP_HEADER_BYTES];
        if read_full(&*file, &mut seal, at)? == seal.len() {
            file.write_at(&seal, at)?;
        }
        file.sync_data()
    };
    match rewrite() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io("sync", path, source)),
        Ok(()) => Ok(()),
    }
}

/// Makes segment 1, in place of `torn` if that was left of an attempt.
fn create_first(disk: &dyn Disk, dir: &Path, torn: Option<PathBuf>) -> Result<Recovered, WalError> {
    if let Some(path) = &torn {
        disk.remove(path).map_err(|source| io("remove", path, source))?;
    }
    let head = Head {
        number: 1,
        nonce: disk.nonce(),
        previous_nonce: 0,
        previous_bytes: 0,
        first_group: 1,
        last_index: None,
    };
    let active = segment::create(disk, dir, &head, &Carried::default())
        .map_err(|source| io("create", &segment::path(dir, 1), source))?;
    let mut rebuilt = Rebuilt::default();
    let (number, bytes, run) = (1, active.bytes, Run::default());
    rebuilt.index.segments.push_back(SegmentRun { number, bytes, run });
    let report = Recovery {
        created: true,
        segments: 1,
        disk_bytes: active.bytes,
        unfinished_segment: torn,
        ..Recovery::default()
    };
    let active_start_bytes = active.bytes;
    Ok(Recovered { rebuilt, active, active_start_bytes, next_group: 2, report })
}

fn io(operation: &'static str, path: &Path, source: std::io::Error) -> WalError {
    WalError::Io { operation, path: path.to_owned(), source }
}
