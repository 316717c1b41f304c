//! Reading a backup, every byte checked before it is believed.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use telegraph_proto::raft::{BackupHead, Entry, Position, SnapshotMeta};

use crate::backup::frame::{
    BACKUP_VERSION, FRAME_HEADER_BYTES, FRAME_MAX_BYTES, FRONT_BYTES, FrameKind, HEAD_MAX_BYTES,
    MAGIC, checksum,
};
use crate::offline::error::OfflineError;

/// Bytes read from the file at a time.
const BLOCK_BYTES: usize = 256 << 10;

/// A backup that is being read.
///
/// Invariant: what was returned so far is what the writer wrote up to here, in that order.
pub(crate) struct BackupReader {
    path: PathBuf,
    from: BufReader<File>,
    offset: u64,
    hash: Sha256,
    /// What the backup says of itself.
    pub(crate) head: BackupHead,
    body_bytes: u64,
    body_checksum: u32,
    entries: u64,
    last: Option<Position>,
    ended: bool,
}

/// A part of a backup.
#[derive(Debug, PartialEq)]
pub(crate) enum Part {
    /// The next piece of the snapshot's body.
    Body(Bytes),
    /// The next entry, and its bytes.
    Entry(Entry, Bytes),
}

impl BackupReader {
    /// Opens a backup and reads its head.
    pub(crate) fn open(path: &Path) -> Result<BackupReader, OfflineError> {
        let file = File::open(path).map_err(|source| OfflineError::io(path, source))?;
        let mut reader = BackupReader {
            path: path.to_owned(),
            from: BufReader::with_capacity(BLOCK_BYTES, file),
            offset: 0,
            hash: Sha256::new(),
            head: BackupHead::default(),
            body_bytes: 0,
            body_checksum: 0,
            entries: 0,
            last: None,
            ended: false,
        };
        let front = reader.take(FRONT_BYTES)?;
        let [magic, version, length, check] = split(&front);
        if magic != MAGIC {
            return Err(reader.damaged(0, "it is no backup"));
        }
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
        let length = number(length) as usize;
        if length > HEAD_MAX_BYTES {
            return Err(reader.damaged(12, "its head is impossible"));
        }
        let version = number(version);
        let head = reader.take(length)?;
        let covered = front.get(8..16).unwrap_or_default();
        if crc32c::crc32c_append(crc32c::crc32c(covered), &head) != number(check) {
            return Err(reader.damaged(8, "its head's checksum differs"));
        }
        if version != BACKUP_VERSION {
            let why = format!("backup format version {version} is not supported");
            return Err(OfflineError::Refused { path: path.to_owned(), why });
        }
        let head = BackupHead::decode(head.as_slice());
        reader.head = head.map_err(|_| reader.damaged(FRONT_BYTES as u64, "garbled head"))?;
        let BackupHead { backup_id, cluster_id, lineage_id, .. } = &reader.head;
        let known = lineage_id.is_empty() || lineage_id.len() == 16;
        if backup_id.len() != 16 || cluster_id.len() != 16 || !known {
            return Err(reader.damaged(FRONT_BYTES as u64, "an id has not 16 bytes"));
        }
        reader.last = reader.snapshot().and_then(|snapshot| snapshot.last_applied);
        Ok(reader)
    }

    /// The next part; `None` after the end, which is checked, too.
    pub(crate) fn next(&mut self) -> Result<Option<Part>, OfflineError> {
        if self.ended {
            return Ok(None);
        }
        let (start, sum) = (self.offset, self.hash.clone());
        let header = self.take(FRAME_HEADER_BYTES)?;
        let Some(header) = header.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Err(self.damaged(start, "the file is cut short"));
        };
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *header;
        let (check, kind) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let length = u32::from_le_bytes([i, j, k, l]) as usize;
        if length > FRAME_MAX_BYTES {
            return Err(self.damaged(start, "a part is impossibly long"));
        }
        let payload = self.take(length)?;
        if checksum(header, start, &payload) != check {
            return Err(self.damaged(start, "a part fails its checksum"));
        }
        match FrameKind::from_code(kind) {
            Some(FrameKind::Body) => self.body(start, payload.into()).map(Some),
            Some(FrameKind::Entry) => self.entry(start, payload.into()).map(Some),
            Some(FrameKind::End) => self.end(start, sum, &payload).map(|()| None),
            None => Err(self.damaged(start, "a part is of an unknown kind")),
        }
    }

    fn body(&mut self, start: u64, piece: Bytes) -> Result<Part, OfflineError> {
        let promised = self.snapshot().map_or(0, |snapshot| snapshot.length);
        self.body_bytes = self.body_bytes.saturating_add(piece.len() as u64);
        self.body_checksum = crc32c::crc32c_append(self.body_checksum, &piece);
        if self.entries > 0 || self.body_bytes > promised || piece.is_empty() {
            return Err(self.damaged(start, "a piece of the snapshot too many"));
        }
        Ok(Part::Body(piece))
    }

    fn entry(&mut self, start: u64, encoded: Bytes) -> Result<Part, OfflineError> {
        self.check_body(start)?;
        let Ok(entry) = Entry::decode(encoded.clone()) else {
            return Err(self.damaged(start, "an entry is garbled"));
        };
        let (Some(at), true) = (entry.position, entry.payload.is_some()) else {
            return Err(self.damaged(start, "an entry lacks its position or payload"));
        };
        let follows = self
            .last
            .is_none_or(|last| last.index.checked_add(1) == Some(at.index) && last.term <= at.term);
        if !follows || at.index >= u64::MAX - 1 {
            return Err(self.damaged(start, "an entry does not follow the one before"));
        }
        self.last = Some(at);
        self.entries = self.entries.saturating_add(1);
        Ok(Part::Entry(entry, encoded))
    }

    fn end(&mut self, start: u64, before: Sha256, sum: &[u8]) -> Result<(), OfflineError> {
        self.check_body(start)?;
        if self.entries != self.head.entries || self.last != self.head.last {
            return Err(self.damaged(start, "entries are missing"));
        }
        if before.finalize().as_slice() != sum {
            return Err(self.damaged(start, "the checksum of the whole differs"));
        }
        let mut more = [0];
        let read = self.from.read(&mut more);
        if read.map_err(|source| OfflineError::io(&self.path, source))? > 0 {
            return Err(self.damaged(self.offset, "something stands behind the end"));
        }
        self.ended = true;
        Ok(())
    }

    fn check_body(&self, start: u64) -> Result<(), OfflineError> {
        let (length, checksum) =
            self.snapshot().map_or((0, 0), |snapshot| (snapshot.length, snapshot.checksum));
        if (self.body_bytes, self.body_checksum) != (length, checksum) {
            return Err(self.damaged(start, "the snapshot is not what the head says"));
        }
        Ok(())
    }

    fn snapshot(&self) -> Option<&SnapshotMeta> {
        self.head.snapshot.as_ref()
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, OfflineError> {
        // Grows with what is there, not with what is promised.
        let mut bytes = Vec::new();
        let read = Read::by_ref(&mut self.from).take(length as u64).read_to_end(&mut bytes);
        read.map_err(|source| OfflineError::io(&self.path, source))?;
        if bytes.len() < length {
            let end = self.offset.saturating_add(bytes.len() as u64);
            return Err(self.damaged(end, "the file is cut short"));
        }
        self.hash.update(&bytes);
        self.offset = self.offset.saturating_add(length as u64);
        Ok(bytes)
    }

    fn damaged(&self, offset: u64, why: &str) -> OfflineError {
        OfflineError::Damaged { file: self.path.clone(), offset, why: why.into() }
    }
}

fn split(front: &[u8]) -> [&[u8]; 4] {
    let part = |from: usize, to: usize| front.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20)]
}
