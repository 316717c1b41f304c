//! Opening: reading every segment, judging the end of the log, and mending what a crash left.
//!
//! Everything is read and judged before anything is changed, so a refused log stays as it is for
//! whoever examines it. What is mended, in this order, and each step may be repeated after a
//! crash in the middle:
//!
//! 1. a segment that was being created is removed (its predecessor carries no seal yet, so
//!    nothing in it was acknowledged);
//! 2. a torn tail is cut;
//! 3. the last group is written again, byte for byte, and synced. After kill -9 it may be only in
//!    the page cache; and after a failed sync the cache may hold it as clean although it never
//!    reached the disk (ATC'20). Everything before it is durable, as the group itself says.

use std::path::{Path, PathBuf};

use crate::disk::{Disk, read_full};
use crate::wal::error::WalError;
use crate::wal::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::wal::index::{Run, SegmentRun};
use crate::wal::scan::{Rebuilt, Scanned, scan};
use crate::wal::segment::{self, BadHead, Carried, HEAD_BYTES, Head, START_MAX_BYTES, Segment};
use crate::wal::tail::{Verdict, has_unwritten_part, judge};

/// A tail that was cut when the log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TornTail {
    /// The segment.
    pub(crate) file: PathBuf,
    /// Its length now: the end of the last whole group.
    pub(crate) offset: u64,
    /// Bytes cut off.
    pub(crate) bytes: u64,
}

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

/// A segment with its bytes.
struct Loaded {
    bytes: Vec<u8>,
    found: Scanned,
}

/// Reads, judges and mends the log in `dir`, or makes a new one.
pub(super) fn recover(disk: &dyn Disk, dir: &Path) -> Result<Recovered, WalError> {
    let numbers = segment_numbers(disk, dir)?;
    let mut rebuilt = Rebuilt::default();
    let mut before: Option<Loaded> = None;
    let mut unfinished = None;
    for (position, number) in numbers.iter().enumerate() {
        let newest = position + 1 == numbers.len();
        let path = segment::path(dir, *number);
        let bytes = read_whole(disk, &path)?;
        if newest && is_unfinished(&path, &bytes, *number, before.as_ref())? {
            unfinished = Some(path);
            break;
        }
        let head = read_head(&path, &bytes, *number)?;
        if let Some(before) = &before {
            check_link(&before.found, &head)?;
        }
        let found = scan(&path, &bytes, head, &mut rebuilt)?;
        if !found.opened {
            return Err(found.corrupt(HEAD_BYTES, "the opening group is unreadable"));
        }
        before = Some(Loaded { bytes, found });
    }
    match before {
        Some(last) => finish(disk, dir, rebuilt, last, unfinished),
        None => create_first(disk, dir, unfinished),
    }
}

/// The numbers of all segments, ascending and without gap.
fn segment_numbers(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, WalError> {
    let listed = disk.list(dir).map_err(|source| io("list", dir, source))?;
    let mut numbers: Vec<u64> =
        listed.iter().filter_map(|entry| segment::number_of(&entry.name)).collect();
    numbers.sort_unstable();
    for pair in numbers.windows(2) {
        if let [number, next] = pair
            && number.checked_add(1) != Some(*next)
        {
            let file = segment::path(dir, number.saturating_add(1));
            let why = format!("segments {number} and {next} exist");
            return Err(WalError::MissingSegment { file, why });
        }
    }
    Ok(numbers)
}

fn read_whole(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, WalError> {
    let read = || {
        let file = disk.open(path)?;
        let length = usize::try_from(file.length()?).map_err(std::io::Error::other)?;
        let mut bytes = vec![0; length];
        let filled = read_full(&*file, &mut bytes, 0)?;
        bytes.truncate(filled);
        Ok(bytes)
    };
    read().map_err(|source| io("read", path, source))
}

fn read_head(path: &Path, bytes: &[u8], number: u64) -> Result<Head, WalError> {
    let corrupt = |why: String| WalError::Corrupt { file: path.to_owned(), offset: 0, why };
    match Head::decode(bytes) {
        Ok(head) if head.number == number => Ok(head),
        Ok(head) => Err(corrupt(format!("this is segment {}, not {number}", head.number))),
        Err(BadHead::Unreadable) => Err(corrupt("the segment's head is unreadable".into())),
        Err(BadHead::Version(found)) => {
            Err(WalError::UnsupportedVersion { file: path.to_owned(), found })
        }
    }
}

/// Whether the newest segment's creation was interrupted, so that nothing in it counts.
fn is_unfinished(
    path: &Path,
    bytes: &[u8],
    number: u64,
    before: Option<&Loaded>,
) -> Result<bool, WalError> {
    if before.is_some_and(|before| before.found.sealed) {
        return Ok(false);
    }
    let head = match Head::decode(bytes) {
        Err(BadHead::Version(_)) => return Ok(false),
        other => other.ok(),
    };
    let Some(before) = before else {
        // The first segment of all has no records in its opening group.
        let start = HEAD_BYTES + GROUP_HEADER_BYTES;
        let holed = bytes.len() == start && has_unwritten_part(bytes, 0, start);
        return Ok(number == 1 && (bytes.len() < start || holed));
    };
    // How much of it is whole, on a scratch log: here only its own groups matter.
    let own = match head {
        Some(head) => Some(scan(path, bytes, head, &mut Rebuilt::default())?),
        None => None,
    };
    let opened = own.as_ref().is_some_and(|own| own.opened);
    let written = own.as_ref().is_some_and(|own| own.change_groups > 0 || own.sealed);
    let longer = own.as_ref().filter(|own| own.opened).is_some_and(|own| own.bytes > own.end);
    if written || longer || bytes.len() > START_MAX_BYTES {
        let (offset, why) = before.found.stop.unwrap_or((before.found.end, "the seal is missing"));
        return Err(before.found.corrupt(offset, why));
    }
    match (head.filter(|_| opened), before.found.stop) {
        // Its start is durable, so the predecessor was complete, and its seal perhaps under way.
        (Some(head), _) => check_successor_of_unsealed(before, &head).map(|()| true),
        (None, None) => Ok(true),
        // The name is made after the last group of the predecessor is durable.
        (None, Some((offset, why))) => Err(before.found.corrupt(offset, why)),
    }
}

fn check_successor_of_unsealed(before: &Loaded, head: &Head) -> Result<(), WalError> {
    let found = &before.found;
    if head.previous_nonce != found.head.nonce || head.previous_bytes != found.end as u64 {
        let (offset, why) = found.stop.unwrap_or((
            found.end,
            "the segment was shortened or replaced: its successor knows another one",
        ));
        return Err(found.corrupt(offset, why));
    }
    if found.stop.is_none() {
        return Ok(());
    }
    if found.bytes - found.end > GROUP_HEADER_BYTES {
        return Err(found.corrupt(found.end, "more than a seal stands at the end"));
    }
    match judge(&before.bytes, found.end, &found.expected(), found.head.nonce) {
        Verdict::Damaged(why) => Err(found.corrupt(found.end, why)),
        Verdict::Torn => Ok(()),
    }
}

/// Checks that `head` is the successor of the complete segment `before`.
fn check_link(before: &Scanned, head: &Head) -> Result<(), WalError> {
    if let Some((offset, why)) = before.stop {
        return Err(before.corrupt(offset, why));
    }
    if !before.sealed {
        return Err(before.corrupt(before.end, "the segment's end is missing"));
    }
    let linked = head.previous_nonce == before.head.nonce
        && head.previous_bytes == before.end as u64
        && head.first_group == before.next_group;
    if !linked {
        let why = "the segment was shortened or replaced: its successor knows another one";
        return Err(before.corrupt(before.end, why));
    }
    Ok(())
}

/// Judges the tail, checks the whole, mends the files.
fn finish(
    disk: &dyn Disk,
    dir: &Path,
    mut rebuilt: Rebuilt,
    last: Loaded,
    unfinished: Option<PathBuf>,
) -> Result<Recovered, WalError> {
    let found = &last.found;
    if found.sealed {
        let file = segment::path(dir, found.head.number.saturating_add(1));
        let why = format!("{} is sealed, so a successor exists", found.path.display());
        return Err(WalError::MissingSegment { file, why });
    }
    if let (Some(_), None) = (found.stop, &unfinished)
        && let Verdict::Damaged(why) =
            judge(&last.bytes, found.end, &found.expected(), found.head.nonce)
    {
        return Err(found.corrupt(found.end, why));
    }
    check_oldest(dir, &rebuilt)?;
    let torn_tail = (found.bytes > found.end).then(|| TornTail {
        file: found.path.clone(),
        offset: found.end as u64,
        bytes: (found.bytes - found.end) as u64,
    });
    if let Some(segment) = rebuilt.index.segments.back_mut() {
        segment.bytes = found.end as u64;
    }
    let active = mend(disk, dir, &last, unfinished.as_deref())?;
    let report = Recovery {
        created: false,
        entries: rebuilt.index.entries(),
        segments: rebuilt.index.segments.len() as u64,
        disk_bytes: rebuilt.index.segments.iter().map(|segment| segment.bytes).sum(),
        torn_tail,
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

/// Checks that no segment is missing at the front.
fn check_oldest(dir: &Path, rebuilt: &Rebuilt) -> Result<(), WalError> {
    let needed = rebuilt.carried.purge.map_or(1, |purge| purge.oldest_segment);
    let oldest = rebuilt.index.segments.front().map_or(0, |segment| segment.number);
    if oldest > needed {
        let why = format!("the log needs it, but begins with segment {oldest}");
        return Err(WalError::MissingSegment { file: segment::path(dir, needed), why });
    }
    Ok(())
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
    Ok(Segment { number, nonce: found.head.nonce, file, bytes: found.end as u64 })
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
