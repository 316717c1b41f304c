//! A snapshot on its way out, piece by piece.

use std::io::{self, Read};

use bytes::Bytes;

use super::file::SnapshotFile;

/// Bytes of one piece: long enough to make a stream of them cheap, short enough that a slow link
/// shows progress, and far below the limit of a message.
const PIECE_BYTES: usize = 512 << 10;

/// The body of a snapshot from some offset on, one piece at a time.
pub(crate) struct SnapshotBody {
    reader: Box<dyn Read + Send>,
    offset: u64,
}

/// A piece of a snapshot's body.
pub(crate) struct Piece {
    /// Where it belongs.
    pub(crate) offset: u64,
    /// Its bytes; empty at the end.
    pub(crate) data: Bytes,
    /// Their CRC32C.
    pub(crate) checksum: u32,
}

impl SnapshotBody {
    /// Opens a snapshot. It may be removed meanwhile: what is open stays readable.
    pub(crate) fn open(file: &SnapshotFile, offset: u64) -> io::Result<SnapshotBody> {
        Ok(SnapshotBody { reader: Box::new(file.body_from(offset)?), offset })
    }

    /// Reads the next piece; an empty one says that this was all. Blocks.
    pub(crate) fn next_piece(&mut self) -> io::Result<Piece> {
        let mut data = Vec::with_capacity(PIECE_BYTES);
        Read::by_ref(&mut self.reader).take(PIECE_BYTES as u64).read_to_end(&mut data)?;
        let offset = self.offset;
        self.offset = offset.saturating_add(data.len() as u64);
        Ok(Piece { offset, checksum: crc32c::crc32c(&data), data: data.into() })
    }
}
