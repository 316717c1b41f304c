//! Telling a torn tail from damage.
//!
//! A group is begun only after the one before it is durable. So only the last group written can
//! be torn, and whatever lies behind a bad group proves that it was durable and has been damaged
//! since. A torn write leaves a file that is too short, or sectors that were never written and
//! read as zeros, or an end that reads as zeros; it cannot change a byte into anything else.
//!
//! Zeros at the end of the file say nothing: they are what was written ahead of the groups to
//! come, or never written. So the end is where the last byte stands that is not zero.
//!
//! What is left undecided is treated as a crash before the acknowledgement, because it looks the
//! same: damage in the last group when that group has zeros of its own where a sector (or the
//! group's part of one) or its end could be missing; everything from a group's header to the end
//! of the file turned to zeros; a file cut short inside its last group or behind an earlier one.

use crate::wal::group::{GROUP_HEADER_BYTES, GroupHeader};

/// What a disk writes or leaves as a whole, in bytes. Larger units are multiples of it.
const SECTOR_BYTES: usize = 512;

/// What a bad group at the end of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The last write did not finish; nothing in it was acknowledged.
    Torn,
    /// Durable bytes have changed.
    Damaged(&'static str),
}

/// Judges the bytes from `offset` on, where the group `expected` should start but no valid group
/// does. `bytes` is the whole segment.
pub(super) fn judge(bytes: &[u8], offset: usize, expected: &GroupHeader, nonce: u64) -> Verdict {
    let header = bytes.get(offset..).and_then(|rest| GroupHeader::decode(rest, nonce));
    if let Some(header) = header.filter(|header| is_expected(header, expected)) {
        return judge_body(bytes, offset, header.total_bytes());
    }
    if written_bytes(bytes) < offset + GROUP_HEADER_BYTES {
        return Verdict::Torn;
    }
    if has_later_group(bytes, offset, expected, nonce) {
        return Verdict::Damaged("a group header is unreadable, and a later group exists");
    }
    if has_unwritten_part(bytes, offset, offset + GROUP_HEADER_BYTES) {
        return Verdict::Torn;
    }
    Verdict::Damaged("a group header is unreadable, and not as a torn write leaves it")
}

/// Judges a group with a good header and bad records.
fn judge_body(bytes: &[u8], offset: usize, total_bytes: u64) -> Verdict {
    let end = (offset as u64).saturating_add(total_bytes);
    let written = written_bytes(bytes);
    match (written as u64).cmp(&end) {
        std::cmp::Ordering::Less => Verdict::Torn,
        std::cmp::Ordering::Greater => {
            Verdict::Damaged("a group's records are unreadable, and a later write exists")
        }
        std::cmp::Ordering::Equal if has_unwritten_part(bytes, offset, written) => Verdict::Torn,
        std::cmp::Ordering::Equal => {
            Verdict::Damaged("a group's records are unreadable, and not as a torn write leaves it")
        }
    }
}

/// Whether a header of a later group of this segment stands anywhere behind `offset`. A header
/// carries its own position and depends on the nonce, so a payload cannot pass for one.
fn has_later_group(bytes: &[u8], offset: usize, expected: &GroupHeader, nonce: u64) -> bool {
    let starts = offset.saturating_add(1)..bytes.len().saturating_sub(GROUP_HEADER_BYTES - 1);
    starts.into_iter().any(|at| {
        bytes.get(at..).and_then(|rest| GroupHeader::decode(rest, nonce)).is_some_and(|header| {
            header.segment == expected.segment
                && header.offset == at as u64
                && header.number > expected.number
        })
    })
}

/// The length of `bytes` without the zeros at the end.
pub(super) fn written_bytes(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Whether some sector's part of `from..to` is all zeros.
pub(super) fn has_unwritten_part(bytes: &[u8], from: usize, to: usize) -> bool {
    let to = to.min(bytes.len());
    let mut at = from;
    while at < to {
        let next = to.min((at / SECTOR_BYTES + 1) * SECTOR_BYTES);
        if bytes.get(at..next).is_some_and(|part| part.iter().all(|byte| *byte == 0)) {
            return true;
        }
        at = next;
    }
    false
}

/// Whether `header` is the one that belongs at this place.
pub(super) fn is_expected(header: &GroupHeader, expected: &GroupHeader) -> bool {
    header.number == expected.number
        && header.segment == expected.segment
        && header.offset == expected.offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::group::GroupKind;

    const NONCE: u64 = 9;

    fn header(number: u64, offset: usize, body: usize) -> GroupHeader {
        GroupHeader {
            kind: GroupKind::Changes,
            number,
            segment: 1,
            offset: offset as u64,
            body_bytes: body as u32,
            records: 1,
        }
    }

    /// 600 bytes of earlier groups, then group 5 with a body of 1,000 bytes that is no record.
    fn bad_group() -> Vec<u8> {
        let mut bytes = vec![0xee; 600];
        bytes.extend(header(5, 600, 1000).encode(NONCE));
        bytes.resize(1648, 0xdd);
        bytes
    }

    fn verdict(bytes: &[u8]) -> Verdict {
        judge(bytes, 600, &header(5, 600, 0), NONCE)
    }

    fn is_damage(bytes: &[u8]) -> bool {
        matches!(verdict(bytes), Verdict::Damaged(_))
    }

    #[test]
    fn a_short_group_is_torn_at_any_length() {
        let bytes = bad_group();
        for length in 600..bytes.len() {
            assert_eq!(verdict(&bytes[..length]), Verdict::Torn, "cut to {length}");
        }
    }

    #[test]
    fn a_full_group_without_a_missing_sector_is_damaged() {
        assert!(is_damage(&bad_group()));
        let mut holed = bad_group();
        holed[1024..1536].fill(0);
        assert_eq!(verdict(&holed), Verdict::Torn);
        holed[1100] = 1;
        assert!(is_damage(&holed), "a sector that was written in part is no torn sector");
    }

    #[test]
    fn a_group_zeroed_from_any_byte_to_the_end_is_torn() {
        for from in 600..bad_group().len() {
            let mut bytes = bad_group();
            bytes[from..].fill(0);
            assert_eq!(verdict(&bytes), Verdict::Torn, "zeroed from {from}");
        }
    }

    #[test]
    fn anything_behind_a_bad_group_proves_damage() {
        let mut bytes = bad_group();
        bytes[1024..1536].fill(0);
        bytes.push(0);
        assert_eq!(verdict(&bytes), Verdict::Torn, "zeros may be written ahead");
        bytes.push(1);
        assert!(is_damage(&bytes));
    }

    #[test]
    fn zeros_written_ahead_change_no_verdict() {
        let ahead = |bytes: &[u8]| [bytes, &[0; 3000]].concat();
        let good = bad_group();
        assert!(is_damage(&ahead(&good)));
        for at in 600..648 {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            assert!(is_damage(&ahead(&bytes)), "a header damaged at {at}");
        }
        let mut holed = good.clone();
        holed[1024..1536].fill(0);
        assert_eq!(verdict(&ahead(&holed)), Verdict::Torn);
        for length in 600..good.len() {
            assert_eq!(verdict(&ahead(&good[..length])), Verdict::Torn, "zeroed from {length}");
        }
    }

    #[test]
    fn a_later_header_proves_damage_of_an_unreadable_one() {
        let mut bytes = bad_group();
        bytes[600..648].fill(0);
        assert_eq!(verdict(&bytes), Verdict::Torn);
        let at = bytes.len();
        bytes.extend(header(6, at, 10).encode(NONCE));
        assert!(is_damage(&bytes));
        let mut copied = bad_group();
        copied[600..648].fill(0);
        copied.extend(header(6, 3, 10).encode(NONCE));
        assert_eq!(verdict(&copied), Verdict::Torn, "a header out of place proves nothing");
    }
}
