//! A segment file: its name, its head, and how a new one comes to be.
//!
//! The head is the fixed part below and, right behind it, the opening group (`group.rs`), whose
//! records repeat vote, committed pointer and purge point. Both are one write.
//!
//! ```text
//!  0  8 B  magic "TGWALSEG"
//!  8  u32  format version, 1
//! 12  u32  length of this fixed part, 76
//! 16  u64  number of the segment, from 1
//! 24  u64  nonce of the segment
//! 32  u64  nonce of the segment before, 0 for the first
//! 40  u64  length of the segment before, without its seal, 0 for the first
//! 48  u64  number of the opening group
//! 56  u64  index of the last entry before this segment, all bits set when there is none
//! 64  8 B  zero
//! 72  u32  CRC32C of bytes 0 to 72
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{Disk, DiskFile};
use crate::log_store::{LogPosition, POINTER_MAX_BYTES};
use crate::wal::group::{GROUP_HEADER_BYTES, GroupHeader, GroupKind};
use crate::wal::little_endian::{u32_at, u64_at};
use crate::wal::record::{Frame, Kind, RECORD_HEADER_BYTES};

/// Bytes of the fixed part.
pub(super) const HEAD_BYTES: usize = 76;

/// No head and opening group together are longer: two pointers of 4 KiB, a purge point, headers.
pub(super) const START_MAX_BYTES: usize = HEAD_BYTES
    + GROUP_HEADER_BYTES
    + 3 * RECORD_HEADER_BYTES
    + 2 * POINTER_MAX_BYTES
    + size_of::<u64>();

/// The version this program writes and reads.
const FORMAT_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"TGWALSEG";
const SUFFIX: &str = ".wal";

/// The file of segment `number` in `dir`.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}{SUFFIX}"))
}

/// The segment number a file name stands for, if it is a segment's.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (format!("{number:016x}") == digits).then_some(number)
}

/// The fixed part of a segment's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: u64,
    pub(super) nonce: u64,
    pub(super) previous_nonce: u64,
    pub(super) previous_bytes: u64,
    pub(super) first_group: u64,
    /// Last entry before this segment; for people and tools that look at one file.
    pub(super) last_index: Option<u64>,
}

/// Why the bytes are no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHead {
    /// Torn or damaged.
    Unreadable,
    /// Whole, but of another format version.
    Version(u32),
}

impl Head {
    /// The bytes of the head.
    pub(super) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0_u8; HEAD_BYTES];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(HEAD_BYTES as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.previous_nonce.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.previous_bytes.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.first_group.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.last_index.unwrap_or(u64::MAX).to_le_bytes());
        let check = crc32c::crc32c(&bytes[..72]);
        bytes[72..76].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Decodes the head that starts `bytes`.
    pub(super) fn decode(bytes: &[u8]) -> Result<Head, BadHead> {
        let number_at = |at| u64_at(bytes, at).ok_or(BadHead::Unreadable);
        let covered = bytes.get(..72).ok_or(BadHead::Unreadable)?;
        if !covered.starts_with(MAGIC) || u32_at(bytes, 72) != Some(crc32c::crc32c(covered)) {
            return Err(BadHead::Unreadable);
        }
        match u32_at(bytes, 8) {
            Some(FORMAT_VERSION) => {}
            Some(version) => return Err(BadHead::Version(version)),
            None => return Err(BadHead::Unreadable),
        }
        Ok(Head {
            number: number_at(16)?,
            nonce: number_at(24)?,
            previous_nonce: number_at(32)?,
            previous_bytes: number_at(40)?,
            first_group: number_at(48)?,
            last_index: Some(number_at(56)?).filter(|index| *index != u64::MAX),
        })
    }
}

/// A purge point and the oldest segment needed after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Purge {
    pub(super) upto: LogPosition,
    pub(super) oldest_segment: u64,
}

impl Purge {
    /// Appends it to `buffer` as a record.
    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        let LogPosition { index, term } = self.upto;
        let payload = &self.oldest_segment.to_le_bytes();
        Frame { kind: Kind::Purge, term, index, payload }.encode(buffer);
    }

    /// Reads it from a record; `None` when the payload is no segment number.
    pub(super) fn decode(frame: &Frame<'_>) -> Option<Purge> {
        let oldest_segment = u64::from_le_bytes(frame.payload.try_into().ok()?);
        let upto = LogPosition { index: frame.index, term: frame.term };
        Some(Purge { upto, oldest_segment })
    }
}

/// What every segment repeats from the ones before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<Bytes>,
    pub(super) purge: Option<Purge>,
}

/// A segment that is being appended to.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) nonce: u64,
    pub(super) file: Arc<dyn DiskFile>,
    /// Bytes of what is in it; the next group starts here.
    pub(super) bytes: u64,
    /// Length of the file: behind `bytes` stand zeros, written ahead.
    pub(super) file_bytes: u64,
}

impl Segment {
    /// Cuts off the zeros written ahead, durably; `false` when there were none.
    pub(super) fn cut_ahead(&mut self) -> io::Result<bool> {
        if self.file_bytes == self.bytes {
            return Ok(false);
        }
        self.file.cut(self.bytes)?;
        self.file_bytes = self.bytes;
        Ok(true)
    }
}

/// The bytes a segment starts with: head and opening group.
pub(super) fn encode_start(head: &Head, carried: &Carried) -> Vec<u8> {
    let mut bytes = head.encode().to_vec();
    bytes.resize(HEAD_BYTES + GROUP_HEADER_BYTES, 0);
    let mut records = 0;
    let pointers = [(Kind::Vote, &carried.vote), (Kind::Committed, &carried.committed)];
    for (kind, pointer) in pointers {
        if let Some(payload) = pointer {
            Frame { kind, term: 0, index: 0, payload }.encode(&mut bytes);
            records += 1;
        }
    }
    if let Some(purge) = &carried.purge {
        purge.encode(&mut bytes);
        records += 1;
    }
    let body = bytes.len() - HEAD_BYTES - GROUP_HEADER_BYTES;
    let opening = GroupHeader {
        kind: GroupKind::Opening,
        number: head.first_group,
        segment: head.number,
        offset: HEAD_BYTES as u64,
        body_bytes: u32::try_from(body).expect("two pointers of at most 4 KiB and a purge point"),
        records,
    };
    bytes[HEAD_BYTES..HEAD_BYTES + GROUP_HEADER_BYTES].copy_from_slice(&opening.encode(head.nonce));
    bytes
}

/// Makes a segment, durably: its start is synced, then its name.
pub(super) fn create(
    disk: &dyn Disk,
    dir: &Path,
    head: &Head,
    carried: &Carried,
) -> io::Result<Segment> {
    let start = encode_start(head, carried);
    let file = disk.create(&path(dir, head.number))?;
    file.write_at(&start, 0)?;
    file.sync_data()?;
    disk.sync_dir(dir)?;
    let Head { number, nonce, .. } = *head;
    let bytes = start.len() as u64;
    Ok(Segment { number, nonce, file, bytes, file_bytes: bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head {
        number: 3,
        nonce: 11,
        previous_nonce: 12,
        previous_bytes: 13,
        first_group: 14,
        last_index: Some(15),
    };

    #[test]
    fn a_head_comes_back_and_any_flipped_bit_is_noticed() {
        let good = HEAD.encode();
        assert_eq!(Head::decode(&good), Ok(HEAD));
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good;
                bad[at] ^= 1 << bit;
                assert_eq!(Head::decode(&bad), Err(BadHead::Unreadable), "bit {bit} of {at}");
            }
            assert_eq!(Head::decode(&good[..at]), Err(BadHead::Unreadable), "cut to {at}");
        }
    }

    #[test]
    fn the_bytes_of_the_format_are_fixed() {
        assert_eq!(
            hex::encode(HEAD.encode()),
            "544757414c534547010000004c00000003000000000000000b000000000000000c00000000000000\
             0d000000000000000e000000000000000f000000000000000000000000000000078cf091"
        );
    }

    #[test]
    fn a_later_format_is_told_from_damage() {
        let mut bytes = HEAD.encode();
        bytes[8] = 2;
        let check = crc32c::crc32c(&bytes[..72]);
        bytes[72..].copy_from_slice(&check.to_le_bytes());
        assert_eq!(Head::decode(&bytes), Err(BadHead::Version(2)));
    }

    #[test]
    fn only_canonical_names_are_segments() {
        assert_eq!(number_of("000000000000001f.wal"), Some(31));
        assert_eq!(path(Path::new("d"), 31), Path::new("d/000000000000001f.wal"));
        for other in ["1f.wal", "000000000000001F.wal", "wal.lock", "+00000000000001f.wal", ""] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
