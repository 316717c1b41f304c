//! Reading one segment from its bytes: every group checked whole, then applied.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::log_store::LogPosition;
use crate::wal::error::WalError;
use crate::wal::group::{GROUP_HEADER_BYTES, GroupHeader, GroupKind};
use crate::wal::index::{LogIndex, Run, SegmentRun};
use crate::wal::record::{self, Frame, Kind};
use crate::wal::segment::{Carried, HEAD_BYTES, Head, Purge};
use crate::wal::tail::is_expected;

/// The log as read so far.
#[derive(Debug, Default)]
pub(super) struct Rebuilt {
    pub(super) index: LogIndex,
    pub(super) carried: Carried,
}

/// What a segment was found to be.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) path: PathBuf,
    pub(super) head: Head,
    /// Length of the file.
    pub(super) bytes: usize,
    /// End of the last valid group that is no seal.
    pub(super) end: usize,
    /// Where that group starts; 0 when it is the opening group, which goes with the head.
    pub(super) last_group_start: usize,
    /// Whether the opening group is valid.
    pub(super) opened: bool,
    /// Valid groups between opening and seal.
    pub(super) change_groups: u64,
    pub(super) sealed: bool,
    /// Number of the group after the last valid one, seal included.
    pub(super) next_group: u64,
    /// Where and why reading stopped before the end of the file.
    pub(super) stop: Option<(usize, &'static str)>,
}

impl Scanned {
    /// The header that should stand at the end of the valid groups.
    pub(super) fn expected(&self) -> GroupHeader {
        GroupHeader {
            kind: GroupKind::Changes,
            number: self.next_group,
            segment: self.head.number,
            offset: self.end as u64,
            body_bytes: 0,
            records: 0,
        }
    }

    /// Damage in this segment.
    pub(super) fn corrupt(&self, offset: usize, why: &str) -> WalError {
        WalError::Corrupt { file: self.path.clone(), offset: offset as u64, why: why.into() }
    }
}

/// A group as it was read: its header, and its records with their offsets in the file.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&GroupHeader, &[(usize, Frame<'_>)]);

/// Reads the segment at `path`, whose valid head is `head`, onto `rebuilt`.
///
/// A group that is not valid ends the reading and is left to the caller to judge.
///
/// # Errors
/// [`WalError::Corrupt`] when a valid group says what cannot be, such as an entry after a gap.
pub(super) fn scan(
    path: &Path,
    bytes: &[u8],
    head: Head,
    rebuilt: &mut Rebuilt,
) -> Result<Scanned, WalError> {
    scan_with(path, bytes, head, rebuilt, &mut |_, _| {})
}

/// The same, and shows every valid group to `visit`.
pub(super) fn scan_with(
    path: &Path,
    bytes: &[u8],
    head: Head,
    rebuilt: &mut Rebuilt,
    visit: Visit<'_>,
) -> Result<Scanned, WalError> {
    let run = Run::default();
    let file_bytes = bytes.len() as u64;
    rebuilt.index.segments.push_back(SegmentRun { number: head.number, bytes: file_bytes, run });
    let mut found = Scanned {
        path: path.to_owned(),
        head,
        bytes: bytes.len(),
        end: HEAD_BYTES,
        last_group_start: 0,
        opened: false,
        change_groups: 0,
        sealed: false,
        next_group: head.first_group,
        stop: None,
    };
    let mut frames = Vec::new();
    let mut at = HEAD_BYTES;
    while at < bytes.len() {
        if found.sealed {
            found.stop = Some((at, "bytes stand behind the seal"));
            break;
        }
        frames.clear();
        let header = match read_group(bytes, at, &found, &mut frames) {
            Ok(header) => header,
            Err(why) => {
                found.stop = Some((at, why));
                break;
            }
        };
        visit(&header, &frames);
        for (offset, frame) in &frames {
            apply(rebuilt, *offset, frame).map_err(|why| found.corrupt(*offset, &why))?;
        }
        let Some(next_group) = header.number.checked_add(1) else {
            return Err(found.corrupt(at, "group numbers are exhausted"));
        };
        let start = at;
        at += GROUP_HEADER_BYTES + header.body_bytes as usize;
        found.next_group = next_group;
        match header.kind {
            GroupKind::Seal => found.sealed = true,
            GroupKind::Opening => (found.opened, found.end) = (true, at),
            GroupKind::Changes => {
                found.change_groups += 1;
                (found.last_group_start, found.end) = (start, at);
            }
        }
    }
    if let Some(segment) = rebuilt.index.segments.back_mut() {
        segment.run.shrink();
    }
    Ok(found)
}

/// Checks the group at `at` as a whole and collects its records with their offsets in the file.
fn read_group<'a>(
    bytes: &'a [u8],
    at: usize,
    found: &Scanned,
    frames: &mut Vec<(usize, Frame<'a>)>,
) -> Result<GroupHeader, &'static str> {
    let rest = bytes.get(at..).unwrap_or(&[]);
    let header =
        GroupHeader::decode(rest, found.head.nonce).ok_or("no valid group header stands here")?;
    let expected = GroupHeader { offset: at as u64, ..found.expected() };
    if !is_expected(&header, &expected) {
        return Err("a group of another place stands here");
    }
    if (header.kind == GroupKind::Opening) == found.opened {
        return Err("a segment has one opening group, and that comes first");
    }
    let end = usize::try_from(header.total_bytes()).map_err(|_| "a group is too long")?;
    let group = rest.get(..end).ok_or("a group is cut short")?;
    let mut inside = GROUP_HEADER_BYTES;
    while let Some(body) = group.get(inside..).filter(|body| !body.is_empty()) {
        let frame = record::decode(body)?;
        let length = frame.bytes();
        frames.push((at + inside, frame));
        inside += length;
    }
    if frames.len() as u64 != u64::from(header.records) {
        return Err("a group has another number of records than it says");
    }
    Ok(header)
}

/// Applies one record; in words, why that is impossible.
fn apply(rebuilt: &mut Rebuilt, offset: usize, frame: &Frame<'_>) -> Result<(), String> {
    let Rebuilt { index, carried } = rebuilt;
    match frame.kind {
        Kind::Entry => append(index, offset, frame)?,
        Kind::Vote => carried.vote = Some(Bytes::copy_from_slice(frame.payload)),
        Kind::Committed => carried.committed = Some(Bytes::copy_from_slice(frame.payload)),
        Kind::Truncate => index.truncate_from(frame.index),
        Kind::Purge => {
            let purge = Purge::decode(frame).ok_or("a purge names no segment")?;
            if purge.upto.index == u64::MAX {
                return Err("a purge point is out of range".into());
            }
            if index.purged.is_some_and(|purged| purged.index > purge.upto.index) {
                return Err(format!("the purge point goes back to {}", purge.upto.index));
            }
            index.purge_to(purge.upto);
            carried.purge = Some(purge);
        }
    }
    Ok(())
}

fn append(index: &mut LogIndex, offset: usize, frame: &Frame<'_>) -> Result<(), String> {
    let entry = LogPosition { index: frame.index, term: frame.term };
    let follows = match (index.last_index(), index.purged) {
        (Some(last), _) => last.checked_add(1) == Some(entry.index),
        (None, Some(purged)) => entry.index > purged.index,
        (None, None) => true,
    };
    if !follows || entry.index == u64::MAX {
        return Err(format!("entry {} does not follow {:?}", entry.index, index.last()));
    }
    let offset = u32::try_from(offset).map_err(|_| "a segment is longer than 4 GiB")?;
    index.append(entry);
    if let Some(segment) = index.segments.back_mut() {
        segment.run.push(entry.index, offset);
    }
    Ok(())
}
