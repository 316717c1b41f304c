//! The header of a write group: all that one `write` and one `fdatasync` made durable together.
//!
//! ```text
//!  0  u32  CRC32C of bytes 4 to 48 and the segment's nonce
//!  4  u32  magic "TGRP"
//!  8  u32  length of the body
//! 12  u32  number of records in the body
//! 16  u64  number of the group, counted through all segments
//! 24  u64  number of the segment
//! 32  u64  offset of this header in the segment
//! 40  u32  kind: 1 opening, 2 changes, 3 seal
//! 44  u32  bitwise complement of the body length
//! 48       body: records, one behind the other
//! ```
//!
//! A group is written only when the one before it is durable. So its header states a fact: all
//! bytes before (segment, offset) are durable. That is what tells damage from a torn tail.

use crate::wal::little_endian::{u32_at, u64_at};

/// Bytes before the body.
pub(super) const GROUP_HEADER_BYTES: usize = 48;

/// "TGRP" read as a little-endian number.
const MAGIC: u32 = u32::from_le_bytes(*b"TGRP");

/// What a group is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupKind {
    /// The first group of a segment: vote, committed pointer and purge point as they were.
    Opening,
    /// Changes of the log.
    Changes,
    /// The last group of a segment, without records: the next segment exists and is durable.
    Seal,
}

impl GroupKind {
    fn code(self) -> u32 {
        match self {
            GroupKind::Opening => 1,
            GroupKind::Changes => 2,
            GroupKind::Seal => 3,
        }
    }

    fn from_code(code: u32) -> Option<GroupKind> {
        [GroupKind::Opening, GroupKind::Changes, GroupKind::Seal]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// The decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupHeader {
    pub(super) kind: GroupKind,
    pub(super) number: u64,
    pub(super) segment: u64,
    /// Where the header stands in its file; everything before it is durable.
    pub(super) offset: u64,
    pub(super) body_bytes: u32,
    pub(super) records: u32,
}

impl GroupHeader {
    /// The bytes of the header, bound to the segment's nonce.
    pub(super) fn encode(&self, nonce: u64) -> [u8; GROUP_HEADER_BYTES] {
        let mut bytes = [0_u8; GROUP_HEADER_BYTES];
        bytes[4..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.records.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.segment.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.offset.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.kind.code().to_le_bytes());
        bytes[44..48].copy_from_slice(&(!self.body_bytes).to_le_bytes());
        let check = checksum(&bytes, nonce);
        bytes[0..4].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Decodes the header that starts `bytes`; `None` when there is none, whatever the reason.
    pub(super) fn decode(bytes: &[u8], nonce: u64) -> Option<GroupHeader> {
        let bytes = bytes.first_chunk::<GROUP_HEADER_BYTES>()?;
        if u32_at(bytes, 4)? != MAGIC || u32_at(bytes, 0)? != checksum(bytes, nonce) {
            return None;
        }
        let body_bytes = u32_at(bytes, 8)?;
        if u32_at(bytes, 44)? != !body_bytes {
            return None;
        }
        Some(GroupHeader {
            kind: GroupKind::from_code(u32_at(bytes, 40)?)?,
            number: u64_at(bytes, 16)?,
            segment: u64_at(bytes, 24)?,
            offset: u64_at(bytes, 32)?,
            body_bytes,
            records: u32_at(bytes, 12)?,
        })
    }

    /// Bytes of header and body.
    pub(super) fn total_bytes(&self) -> u64 {
        GROUP_HEADER_BYTES as u64 + u64::from(self.body_bytes)
    }
}

fn checksum(bytes: &[u8; GROUP_HEADER_BYTES], nonce: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[4..]), &nonce.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: GroupHeader = GroupHeader {
        kind: GroupKind::Changes,
        number: 5,
        segment: 3,
        offset: 1000,
        body_bytes: 77,
        records: 2,
    };

    #[test]
    fn a_header_comes_back_and_belongs_to_one_segment() {
        let bytes = HEADER.encode(42);
        assert_eq!(GroupHeader::decode(&bytes, 42), Some(HEADER));
        assert_eq!(GroupHeader::decode(&bytes, 43), None);
        assert_eq!(HEADER.total_bytes(), 125);
    }

    #[test]
    fn the_bytes_of_the_format_are_fixed() {
        assert_eq!(
            hex::encode(HEADER.encode(42)),
            "840ad4ea544752504d0000000200000005000000000000000300000000000000e803000000000000\
             02000000b2ffffff"
        );
    }

    #[test]
    fn any_flipped_bit_and_any_missing_byte_is_noticed() {
        let good = HEADER.encode(42);
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good;
                bad[at] ^= 1 << bit;
                assert_eq!(GroupHeader::decode(&bad, 42), None, "bit {bit} of byte {at}");
            }
            assert_eq!(GroupHeader::decode(&good[..at], 42), None, "cut to {at}");
        }
    }
}
