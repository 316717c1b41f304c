//! A log as its files say it is: every segment read, the end of the log judged, nothing changed.

use std::path::{Path, PathBuf};

use crate::disk::{Disk, read_full};
use crate::wal::error::WalError;
use crate::wal::group::GROUP_HEADER_BYTES;
use crate::wal::scan::{Rebuilt, Scanned, scan};
use crate::wal::segment::{self, BadHead, HEAD_BYTES, Head, START_MAX_BYTES};
use crate::wal::tail::{Verdict, has_unwritten_part, judge, written_bytes};

/// What an interrupted write left; cut when the log is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TornTail {
    /// The segment.
    pub(crate) file: PathBuf,
    /// The end of the last whole group.
    pub(crate) offset: u64,
    /// Bytes behind it.
    pub(crate) bytes: u64,
}

/// What the files of a log hold.
#[derive(Debug)]
pub(super) struct Examined {
    /// The log.
    pub(super) rebuilt: Rebuilt,
    /// The newest segment that counts; `None` when there is no log yet.
    pub(super) last: Option<Loaded>,
    /// A segment whose creation was interrupted, so that nothing in it counts.
    pub(super) unfinished: Option<PathBuf>,
    /// The remains of a write that was interrupted.
    pub(super) torn_tail: Option<TornTail>,
    /// Bytes behind the last whole group, when all of them are zero.
    pub(super) zeros: u64,
}

/// A segment with its bytes.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) bytes: Vec<u8>,
    pub(super) found: Scanned,
}

/// Reads and judges the log in `dir`; nothing is changed.
///
/// # Errors
/// When it is damaged or not readable.
pub(super) fn examine(disk: &dyn Disk, dir: &Path) -> Result<Examined, WalError> {
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
    let Some(last) = before else {
        return Ok(Examined { rebuilt, last: None, unfinished, torn_tail: None, zeros: 0 });
    };
    check_end(dir, &last, unfinished.as_deref())?;
    check_oldest(dir, &rebuilt)?;
    let found = &last.found;
    let behind = (found.bytes - found.end) as u64;
    // Nothing but zeros is what was written ahead of the next group.
    let torn = written_bytes(&last.bytes) > found.end;
    let torn_tail = torn.then(|| TornTail {
        file: found.path.clone(),
        offset: found.end as u64,
        bytes: behind,
    });
    let zeros = if torn { 0 } else { behind };
    if let Some(segment) = rebuilt.index.segments.back_mut() {
        segment.bytes = found.end as u64;
    }
    Ok(Examined { rebuilt, last: Some(last), unfinished, torn_tail, zeros })
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

pub(super) fn read_whole(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, WalError> {
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

/// Judges the end of the newest segment that counts.
fn check_end(dir: &Path, last: &Loaded, unfinished: Option<&Path>) -> Result<(), WalError> {
    let found = &last.found;
    if found.sealed {
        let file = segment::path(dir, found.head.number.saturating_add(1));
        let why = format!("{} is sealed, so a successor exists", found.path.display());
        return Err(WalError::MissingSegment { file, why });
    }
    if let (Some(_), None) = (found.stop, unfinished)
        && let Verdict::Damaged(why) =
            judge(&last.bytes, found.end, &found.expected(), found.head.nonce)
    {
        return Err(found.corrupt(found.end, why));
    }
    Ok(())
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

fn io(operation: &'static str, path: &Path, source: std::io::Error) -> WalError {
    WalError::Io { operation, path: path.to_owned(), source }
}
