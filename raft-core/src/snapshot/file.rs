//! The file format of a snapshot, written and read.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use prost::Message as _;
use telegraph_proto::raft::SnapshotMeta;

use crate::position::Position;

/// Version of the file format, and of `SnapshotMeta` as we write it.
pub(crate) const SNAPSHOT_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"RAFTSNAP";
const FRONT_BYTES: usize = 24;

/// Room for a head: 31 members with long names take a fraction of it.
const HEAD_MAX_BYTES: u32 = 1 << 20;

/// Bytes read or checked at a time.
pub(super) const BLOCK_BYTES: usize = 256 << 10;

/// A complete snapshot file; the handle does not keep the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SnapshotFile {
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// Its head.
    pub(crate) meta: SnapshotMeta,
    /// Where its body begins.
    pub(super) body: u64,
}

impl SnapshotFile {
    /// One of which only the head is known.
    #[cfg(test)]
    pub(super) fn unread(path: PathBuf, meta: SnapshotMeta) -> SnapshotFile {
        SnapshotFile { path, meta, body: 0 }
    }

    /// The last entry it contains.
    pub(crate) fn upto(&self) -> Position {
        let at = self.meta.last_applied.unwrap_or_default();
        Position { term: at.term, index: at.index }
    }

    /// Reads the head of a file and checks that the body has the length it promises.
    pub(crate) fn open(path: &Path) -> io::Result<SnapshotFile> {
        let mut file = File::open(path)?;
        let (meta, body) = read_head(&mut file)?;
        let expected = body.checked_add(meta.length);
        if expected != Some(file.metadata()?.len()) {
            return Err(damaged("its length is not what its head says"));
        }
        Ok(SnapshotFile { path: path.to_owned(), meta, body })
    }

    /// Reads the body once and compares its checksum.
    pub(crate) fn verify(&self) -> io::Result<()> {
        let mut body = self.body_from(0)?;
        if checksum_of(&mut body)? != (self.meta.length, self.meta.checksum) {
            return Err(damaged("its checksum is not what its head says"));
        }
        Ok(())
    }

    /// Where the body begins in the file.
    pub(crate) fn body_offset(&self) -> u64 {
        self.body
    }

    /// The body from an offset on.
    pub(crate) fn body_from(&self, offset: u64) -> io::Result<impl Read + Send + use<>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.body.saturating_add(offset)))?;
        let rest = self.meta.length.saturating_sub(offset);
        Ok(BufReader::with_capacity(BLOCK_BYTES, file.take(rest)))
    }
}

/// Length and CRC32C of everything a reader gives.
pub(super) fn checksum_of(from: &mut dyn Read) -> io::Result<(u64, u32)> {
    let mut block = vec![0; BLOCK_BYTES];
    let (mut length, mut checksum) = (0_u64, 0_u32);
    loop {
        let read = match from.read(&mut block) {
            Ok(0) => return Ok((length, checksum)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        checksum = crc32c::crc32c_append(checksum, block.get(..read).unwrap_or_default());
        length = length.saturating_add(read as u64);
    }
}

/// The front and head of a file, with `room` bytes for the head.
pub(super) fn encode_head(meta: &SnapshotMeta, room: u32) -> io::Result<Vec<u8>> {
    let mut head = meta.encode_to_vec();
    let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
    if length > room || room > HEAD_MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the snapshot's head is too long"));
    }
    let mut numbers = Vec::with_capacity(12);
    for number in [SNAPSHOT_VERSION, room, length] {
        numbers.extend_from_slice(&number.to_le_bytes());
    }
    head.resize(room as usize, 0);
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&numbers), &head);
    let mut bytes = Vec::with_capacity(FRONT_BYTES + head.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&numbers);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(&head);
    Ok(bytes)
}

/// The head and the place of the body. Fails with `InvalidData` on anything we did not write.
pub(super) fn read_head(file: &mut File) -> io::Result<(SnapshotMeta, u64)> {
    let mut magic = [0; 8];
    let mut numbers = [0; 12];
    let mut checksum = [0; 4];
    file.read_exact(&mut magic)?;
    file.read_exact(&mut numbers)?;
    file.read_exact(&mut checksum)?;
    let [version, room, length] = split(&numbers);
    if &magic != MAGIC {
        return Err(damaged("it is no snapshot"));
    }
    if version != SNAPSHOT_VERSION {
        return Err(damaged("its version is unknown"));
    }
    if length > room || room > HEAD_MAX_BYTES {
        return Err(damaged("its head is impossible"));
    }
    let mut head = vec![0; room as usize];
    file.read_exact(&mut head)?;
    let expected = crc32c::crc32c_append(crc32c::crc32c(&numbers), &head);
    if u32::from_le_bytes(checksum) != expected {
        return Err(damaged("its head's checksum differs"));
    }
    head.truncate(length as usize);
    let meta = SnapshotMeta::decode(head.as_slice()).map_err(|_| damaged("its head is garbled"))?;
    Ok((meta, FRONT_BYTES as u64 + u64::from(room)))
}

fn split(numbers: &[u8; 12]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *numbers;
    [
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
        u32::from_le_bytes([i, j, k, l]),
    ]
}

pub(super) fn damaged(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
