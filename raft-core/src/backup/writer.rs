//! Writing a backup, front to back.

use std::io::{self, Read, Write};

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use telegraph_proto::raft::BackupHead;

use crate::backup::frame::{
    BACKUP_VERSION, FRAME_MAX_BYTES, FrameKind, HEAD_MAX_BYTES, MAGIC, PIECE_BYTES, encode_header,
};

/// A backup that is being written: first the body, then the entries.
pub(crate) struct BackupWriter<W> {
    to: W,
    offset: u64,
    hash: Sha256,
}

impl<W: Write> BackupWriter<W> {
    /// Writes the head.
    pub(crate) fn begin(to: W, head: &BackupHead) -> io::Result<BackupWriter<W>> {
        let head = head.encode_to_vec();
        if head.len() > HEAD_MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the head is too long"));
        }
        let mut numbers = BACKUP_VERSION.to_le_bytes().to_vec();
        numbers.extend_from_slice(&(head.len() as u32).to_le_bytes());
        let check = crc32c::crc32c_append(crc32c::crc32c(&numbers), &head);
        let mut writer = BackupWriter { to, offset: 0, hash: Sha256::new() };
        writer.put(MAGIC)?;
        writer.put(&numbers)?;
        writer.put(&check.to_le_bytes())?;
        writer.put(&head)?;
        Ok(writer)
    }

    /// Writes the whole body of the snapshot.
    pub(crate) fn body(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        loop {
            piece.clear();
            from.take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                return Ok(());
            }
            self.frame(FrameKind::Body, &piece)?;
        }
    }

    /// Writes an encoded entry.
    pub(crate) fn entry(&mut self, encoded: &[u8]) -> io::Result<()> {
        self.frame(FrameKind::Entry, encoded)
    }

    /// Writes the end and gives back where it wrote to, which is not synced.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let sum = self.hash.clone().finalize();
        self.frame(FrameKind::End, &sum)?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn frame(&mut self, kind: FrameKind, payload: &[u8]) -> io::Result<()> {
        if payload.len() > FRAME_MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an entry is too long"));
        }
        let header = encode_header(kind, self.offset, payload);
        self.put(&header)?;
        self.put(payload)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.hash.update(bytes);
        self.offset = self.offset.saturating_add(bytes.len() as u64);
        Ok(())
    }
}
