//! A record: one change of the log, framed and checked by itself.
//!
//! ```text
//!  0  u32  CRC32C of everything behind it, payload included
//!  4  u32  length of the payload
//!  8  u32  bitwise complement of that length
//! 12  u8   kind: 1 entry, 2 vote, 3 committed, 4 truncate, 5 purge
//! 13  3 B  zero
//! 16  u64  term
//! 24  u64  index
//! 32       payload
//! ```
//!
//! Numbers are little-endian. The length has its complement because a length is trusted before
//! the checksum that covers it can be computed.

use crate::wal::little_endian::{u32_at, u64_at};

/// Bytes before the payload.
pub(super) const RECORD_HEADER_BYTES: usize = 32;

/// What a record changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An entry: its index and term; the payload is the entry.
    Entry,
    /// The vote; index and term are 0.
    Vote,
    /// The committed pointer; index and term are 0.
    Committed,
    /// All entries from `index` on are dropped; term and payload are empty.
    Truncate,
    /// All entries up to `index` (of `term`) are dropped; the payload is the number (u64) of the
    /// oldest segment still needed.
    Purge,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Kind::Entry => 1,
            Kind::Vote => 2,
            Kind::Committed => 3,
            Kind::Truncate => 4,
            Kind::Purge => 5,
        }
    }

    fn from_code(code: u8) -> Option<Kind> {
        [Kind::Entry, Kind::Vote, Kind::Committed, Kind::Truncate, Kind::Purge]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// A record as it lies in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) term: u64,
    pub(super) index: u64,
    pub(super) payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes it takes, header included.
    pub(super) fn bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.payload.len()
    }

    /// Appends it to `buffer`. The payload must be shorter than 4 GiB; the store's limits are far
    /// below.
    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        let length = u32::try_from(self.payload.len()).expect("payloads are limited to 32 MiB");
        let start = buffer.len();
        let mut header = [0_u8; RECORD_HEADER_BYTES];
        header[4..8].copy_from_slice(&length.to_le_bytes());
        header[8..12].copy_from_slice(&(!length).to_le_bytes());
        header[12] = self.kind.code();
        header[16..24].copy_from_slice(&self.term.to_le_bytes());
        header[24..32].copy_from_slice(&self.index.to_le_bytes());
        buffer.extend_from_slice(&header);
        buffer.extend_from_slice(self.payload);
        let check = crc32c::crc32c(&buffer[start + 4..]);
        buffer[start..start + 4].copy_from_slice(&check.to_le_bytes());
    }
}

/// Bytes of the record that starts `bytes`, header included, as its header claims.
///
/// # Errors
/// What is wrong, in words: too few bytes, or a length that contradicts its complement.
pub(super) fn claimed_bytes(bytes: &[u8]) -> Result<usize, &'static str> {
    let (Some(length), Some(complement)) = (u32_at(bytes, 4), u32_at(bytes, 8)) else {
        return Err("a record header is cut short");
    };
    if length != !complement {
        return Err("a record's length contradicts its complement");
    }
    usize::try_from(length)
        .ok()
        .and_then(|length| length.checked_add(RECORD_HEADER_BYTES))
        .ok_or("a record is longer than this machine can address")
}

/// Decodes the record that starts `bytes`.
///
/// # Errors
/// What is wrong, in words: too few bytes, a wrong checksum, an unknown kind.
pub(super) fn decode(bytes: &[u8]) -> Result<Frame<'_>, &'static str> {
    let total = claimed_bytes(bytes)?;
    let record = bytes.get(..total).ok_or("a record is cut short")?;
    let (Some(check), Some(checked)) = (u32_at(record, 0), record.get(4..)) else {
        return Err("a record header is cut short");
    };
    if crc32c::crc32c(checked) != check {
        return Err("a record fails its checksum");
    }
    let fields = (
        record.get(12).copied().and_then(Kind::from_code),
        u64_at(record, 16),
        u64_at(record, 24),
        record.get(RECORD_HEADER_BYTES..),
    );
    match fields {
        (Some(kind), Some(term), Some(index), Some(payload)) => {
            Ok(Frame { kind, term, index, payload })
        }
        _ => Err("a record has an unknown kind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame<'_> = Frame { kind: Kind::Entry, term: 7, index: 9, payload: b"hello" };

    fn encoded() -> Vec<u8> {
        let mut buffer = Vec::new();
        FRAME.encode(&mut buffer);
        buffer
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let mut buffer = encoded();
        buffer.extend_from_slice(b"what follows");
        let frame = decode(&buffer).unwrap();
        assert_eq!(frame, FRAME);
        assert_eq!(frame.bytes(), encoded().len());
    }

    #[test]
    fn the_bytes_of_the_format_are_fixed() {
        assert_eq!(
            hex::encode(encoded()),
            "2505415f05000000faffffff010000000700000000000000090000000000000068656c6c6f"
        );
    }

    #[test]
    fn any_flipped_bit_and_any_missing_byte_is_noticed() {
        let good = encoded();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(decode(&bad).is_err(), "bit {bit} of byte {at}");
            }
            assert!(decode(&good[..at]).is_err(), "cut to {at}");
        }
    }

    #[test]
    fn every_kind_has_its_own_code() {
        for kind in [Kind::Entry, Kind::Vote, Kind::Committed, Kind::Truncate, Kind::Purge] {
            assert_eq!(Kind::from_code(kind.code()), Some(kind));
        }
        assert_eq!(Kind::from_code(0), None);
        assert_eq!(Kind::from_code(6), None);
    }
}
