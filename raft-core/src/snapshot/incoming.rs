//! A snapshot on its way in: written to disk as it comes, resumed where it broke off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use prost::Message as _;
use telegraph_proto::raft::SnapshotMeta;

use super::directory::{SnapshotDir, sync_dir};
use super::file::{SnapshotFile, checksum_of, damaged, encode_head, read_head};

/// A snapshot of which a part is here.
///
/// Invariant: the file holds the head and then `received` bytes, whose CRC32C is `checksum`.
#[derive(Debug)]
pub(crate) struct Incoming {
    path: PathBuf,
    file: File,
    meta: SnapshotMeta,
    body: u64,
    received: u64,
    checksum: u32,
}

impl Incoming {
    /// Opens what is here of a snapshot, or begins anew; parts of other snapshots are removed.
    /// The snapshot's id comes from a peer, hence only a checksum of it is in the file's name.
    pub(crate) fn resume(directory: &SnapshotDir, meta: &SnapshotMeta) -> io::Result<Incoming> {
        let id = crc32c::crc32c(&meta.encode_to_vec());
        let path = directory.path().join(format!("incoming-{id:08x}.part"));
        for other in directory.files("part")? {
            if other != path {
                fs::remove_file(other)?;
            }
        }
        match Incoming::reopen(&path, meta) {
            Ok(Some(incoming)) => Ok(incoming),
            Ok(None) | Err(_) => Incoming::begin(path, meta),
        }
    }

    fn reopen(path: &Path, meta: &SnapshotMeta) -> io::Result<Option<Incoming>> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let (found, body) = read_head(&mut file)?;
        if &found != meta {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(body))?;
        let (received, checksum) = checksum_of(&mut Read::by_ref(&mut file).take(meta.length))?;
        let (path, meta) = (path.to_owned(), found);
        Ok(Some(Incoming { path, file, meta, body, received, checksum }))
    }

    fn begin(path: PathBuf, meta: &SnapshotMeta) -> io::Result<Incoming> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
        let room = u32::try_from(meta.encoded_len()).unwrap_or(u32::MAX);
        file.write_all(&encode_head(meta, room)?)?;
        let body = file.stream_position()?;
        Ok(Incoming { path, file, meta: meta.clone(), body, received: 0, checksum: 0 })
    }

    /// Bytes that are here.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Appends a piece. Fails when it does not continue what is here, is not what its checksum
    /// says, or goes beyond the promised length.
    pub(crate) fn append(&mut self, offset: u64, data: &[u8], checksum: u32) -> io::Result<()> {
        if offset != self.received {
            return Err(damaged("a piece of the snapshot does not continue the last one"));
        }
        if crc32c::crc32c(data) != checksum {
            return Err(damaged("a piece of the snapshot was damaged on its way"));
        }
        let after = self.received.checked_add(data.len() as u64);
        let Some(after) = after.filter(|after| *after <= self.meta.length) else {
            return Err(damaged("more of the snapshot came than was announced"));
        };
        self.file.seek(SeekFrom::Start(self.body.saturating_add(self.received)))?;
        self.file.write_all(data)?;
        self.checksum = crc32c::crc32c_append(self.checksum, data);
        self.received = after;
        Ok(())
    }

    /// Makes the whole durable. One that is not what was announced is removed, so that the next
    /// transfer begins anew.
    pub(crate) fn finish(self) -> io::Result<SnapshotFile> {
        if self.received < self.meta.length {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the snapshot broke off"));
        }
        if self.checksum != self.meta.checksum {
            fs::remove_file(&self.path)?;
            return Err(damaged("the snapshot is not what was announced"));
        }
        // Nothing of an earlier, longer attempt may follow the body.
        self.file.set_len(self.body.saturating_add(self.received))?;
        self.file.sync_all()?;
        if let Some(parent) = self.path.parent() {
            sync_dir(parent)?;
        }
        assert_eq!(self.received, self.meta.length, "a finished snapshot is complete");
        Ok(SnapshotFile { path: self.path, meta: self.meta, body: self.body })
    }
}
