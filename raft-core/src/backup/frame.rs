//! The pieces of which a backup file consists.

use crate::log_store::PAYLOAD_MAX_BYTES;

/// Version of the file format.
pub(crate) const BACKUP_VERSION: u32 = 1;

/// What every backup begins with.
pub(crate) const MAGIC: &[u8; 8] = b"RAFTBKUP";

/// Bytes before the head.
pub(super) const FRONT_BYTES: usize = 20;

/// Room for a head: the members of a snapshot take a fraction of it.
pub(super) const HEAD_MAX_BYTES: usize = 1 << 20;

/// Bytes before a frame's payload.
pub(super) const FRAME_HEADER_BYTES: usize = 12;

/// Bytes of the body in one frame: long enough to be cheap, short enough to name the place of
/// damage.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// No frame is longer: an entry is at most this long.
pub(super) const FRAME_MAX_BYTES: usize = PAYLOAD_MAX_BYTES;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// A piece of the snapshot's body.
    Body,
    /// An entry.
    Entry,
    /// The end of the file.
    End,
}

impl FrameKind {
    fn code(self) -> u32 {
        match self {
            FrameKind::Body => 1,
            FrameKind::Entry => 2,
            FrameKind::End => 3,
        }
    }

    pub(super) fn from_code(code: u32) -> Option<FrameKind> {
        [FrameKind::Body, FrameKind::Entry, FrameKind::End]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// The header of a frame that stands at `offset` in its file.
pub(super) fn encode_header(
    kind: FrameKind,
    offset: u64,
    payload: &[u8],
) -> [u8; FRAME_HEADER_BYTES] {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut header = [0; FRAME_HEADER_BYTES];
    header[4..8].copy_from_slice(&kind.code().to_le_bytes());
    header[8..12].copy_from_slice(&length.to_le_bytes());
    let check = checksum(&header, offset, payload);
    header[0..4].copy_from_slice(&check.to_le_bytes());
    header
}

/// The checksum that belongs into a frame's header.
pub(super) fn checksum(header: &[u8; FRAME_HEADER_BYTES], offset: u64, payload: &[u8]) -> u32 {
    let check = crc32c::crc32c(&header[4..]);
    crc32c::crc32c_append(crc32c::crc32c_append(check, &offset.to_le_bytes()), payload)
}
