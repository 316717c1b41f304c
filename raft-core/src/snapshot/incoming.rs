//! A snapshot on its way in: written to disk as it comes, resumed where it broke off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use prost::Message as _;
use telegraph_proto::raft::SnapshotMeta;

use super::directory::{SnapshotDir, sync_dir};
use super::file::{SnapshotFile, checksum_of, damaged, encode_head, read_head};
use super::ownership::Ownership;
use crate::disk::{Disk as _, RealDisk};

/// Bytes that a snapshot on its way in leaves free: room for the log's votes and pointers, whose
/// failure would end the node.
const LEFT_FREE_BYTES: u64 = 1 << 20;

/// A snapshot of which a part is here.
///
/// - The file holds the head and then `received` bytes, whose CRC32C is `checksum`.
/// - Once the rest finds no room the file is removed: what was here of it is of no use before there
///   is, and is of use to the log.
#[derive(Debug)]
pub(crate) struct Incoming {
    path: PathBuf,
    file: File,
    meta: SnapshotMeta,
    body: u64,
    received: u64,
    checksum: u32,
    ownership: Ownership,
}

impl Incoming {
    /// Opens what is here of a snapshot, or begins anew; parts of other snapshots are removed.
    /// The snapshot's id comes from a peer, hence only a checksum of it is in the file's name.
    /// Fails as full ([`is_full`]) unless there is room for the rest.
    pub(crate) fn resume(directory: &SnapshotDir, meta: &SnapshotMeta) -> io::Result<Incoming> {
        let id = crc32c::crc32c(&meta.encode_to_vec());
        let path = directory.path().join(format!("incoming-{id:08x}.part"));
        let _held = directory.ownership.hold()?;
        for other in directory.files("part")? {
            if other != path {
                fs::remove_file(other)?;
            }
        }
        let ownership = &directory.ownership;
        let incoming = match Incoming::reopen(&path, meta, ownership) {
            Ok(Some(incoming)) => Ok(incoming),
            Ok(None) | Err(_) => Incoming::begin(path.clone(), meta, ownership),
        };
        let roomy = incoming.and_then(|incoming| incoming.check_room().map(|()| incoming));
        give_room_back(&path, roomy)
    }

    fn reopen(
        path: &Path,
        meta: &SnapshotMeta,
        ownership: &Ownership,
    ) -> io::Result<Option<Incoming>> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let (found, body) = read_head(&mut file)?;
        if &found != meta {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(body))?;
        let (received, checksum) = checksum_of(&mut Read::by_ref(&mut file).take(meta.length))?;
        let (path, meta, ownership) = (path.to_owned(), found, ownership.clone());
        Ok(Some(Incoming { path, file, meta, body, received, checksum, ownership }))
    }

    fn begin(path: PathBuf, meta: &SnapshotMeta, ownership: &Ownership) -> io::Result<Incoming> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
        let room = u32::try_from(meta.encoded_len()).unwrap_or(u32::MAX);
        file.write_all(&encode_head(meta, room)?)?;
        let body = file.stream_position()?;
        let (meta, ownership) = (meta.clone(), ownership.clone());
        Ok(Incoming { path, file, meta, body, received: 0, checksum: 0, ownership })
    }

    /// Bytes that are here.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Appends a piece. Fails when it does not continue what is here, is not what its checksum
    /// says, or goes beyond the promised length; and as full ([`is_full`]) unless there is room for
    /// the rest.
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
        let _held = self.ownership.hold()?;
        let written = self.check_room().and_then(|()| self.write(data));
        give_room_back(&self.path, written)?;
        self.checksum = crc32c::crc32c_append(self.checksum, data);
        self.received = after;
        Ok(())
    }

    fn write(&self, data: &[u8]) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.body.saturating_add(self.received)))?;
        file.write_all(data)
    }

    /// Fails as full unless there is room for what is not here yet.
    fn check_room(&self) -> io::Result<()> {
        let rest = self.meta.length.saturating_sub(self.received);
        let parent = self.path.parent().unwrap_or(Path::new("."));
        // Where the room is not known, writing will tell.
        let Ok(space) = RealDisk.space(parent) else { return Ok(()) };
        let free = space.free_bytes;
        if rest > 0 && free < rest.saturating_add(LEFT_FREE_BYTES) {
            let why = format!("{rest} bytes of a snapshot are to come, and {free} are free");
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        Ok(())
    }

    /// Makes the whole durable. One that is not what was announced is removed, so that the next
    /// transfer begins anew.
    pub(crate) fn finish(self) -> io::Result<SnapshotFile> {
        if self.received < self.meta.length {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the snapshot broke off"));
        }
        let _held = self.ownership.hold()?;
        if self.checksum != self.meta.checksum {
            fs::remove_file(&self.path)?;
            return Err(damaged("the snapshot is not what was announced"));
        }
        // Nothing of an earlier, longer attempt may follow the body.
        self.file.set_len(self.body.saturating_add(self.received))?;
        give_room_back(&self.path, self.file.sync_all())?;
        if let Some(parent) = self.path.parent() {
            sync_dir(parent)?;
        }
        assert_eq!(self.received, self.meta.length, "a finished snapshot is complete");
        Ok(SnapshotFile { path: self.path, meta: self.meta, body: self.body })
    }
}

/// True for want of room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn give_room_back<T>(path: &Path, done: io::Result<T>) -> io::Result<T> {
    if done.as_ref().is_err_and(is_full) {
        // What remains is removed by the next transfer, or continued.
        let _ = fs::remove_file(path);
    }
    done
}
