//! Room kept for a start on a full disk.
//!
//! What a node writes when it starts is little, but on a full disk it is too much, and a node that
//! does not start cannot be helped (databend#18988, tikv/raft-engine#344). So a file of noise,
//! which no file system compresses or leaves out, holds the place.

use std::io;
use std::path::Path;

use crate::disk::Disk;

/// The file's name in the data directory.
const NAME: &str = "reserve";

/// Bytes written at a time.
const BLOCK_BYTES: u64 = 64 << 10;

/// Makes the reserve, unless it is there. Blocks. What is left of a failed attempt is removed.
pub(crate) fn keep(disk: &dyn Disk, dir: &Path, bytes: u64) -> io::Result<()> {
    let path = dir.join(NAME);
    let length = disk.open(&path).and_then(|file| file.length());
    if bytes == 0 || length.is_ok_and(|length| length >= bytes) {
        return Ok(());
    }
    release(disk, dir)?;
    let file = disk.create(&path)?;
    let filled = fill(disk, bytes, |block, at| file.write_at(block, at));
    let kept = filled.and_then(|()| file.sync_data()).and_then(|()| disk.sync_dir(dir));
    if kept.is_err() {
        release(disk, dir)?;
    }
    kept
}

/// Gives the reserve up, if it is there. Blocks; needs no room.
pub(crate) fn release(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    match disk.remove(&dir.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => disk.sync_dir(dir),
    }
}

/// Gives it up when less than `bytes` are free: before anything else is written at a start.
pub(crate) fn release_if_full(disk: &dyn Disk, dir: &Path, bytes: u64) -> io::Result<bool> {
    let full = disk.space(dir)?.free_bytes < bytes;
    if full {
        release(disk, dir)?;
    }
    Ok(full)
}

fn fill(
    disk: &dyn Disk,
    bytes: u64,
    write: impl Fn(&[u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    // Xorshift: noise enough for a compressor.
    let mut state = disk.nonce() | 1;
    let mut block = Vec::new();
    let mut at = 0;
    while at < bytes {
        let next = BLOCK_BYTES.min(bytes - at);
        block.clear();
        while (block.len() as u64) < next {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        block.truncate(usize::try_from(next).map_err(io::Error::other)?);
        write(&block, at)?;
        at += next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    #[test]
    fn a_reserve_takes_room_until_it_is_given_up() {
        let (disk, dir) = (SimDisk::new(1), Path::new("data"));
        disk.set_capacity(1 << 20);
        keep(&disk, dir, 300_000).unwrap();
        keep(&disk, dir, 300_000).unwrap();
        assert_eq!(disk.space(dir).unwrap().free_bytes, (1 << 20) - 300_000);
        assert!(!release_if_full(&disk, dir, 300_000).unwrap());
        disk.set_capacity(300_000);
        assert!(release_if_full(&disk, dir, 300_000).unwrap());
        release(&disk, dir).unwrap();
        assert_eq!(disk.used_bytes(), 0);
    }

    #[test]
    fn a_reserve_for_which_there_is_no_room_leaves_nothing_behind() {
        let (disk, dir) = (SimDisk::new(1), Path::new("data"));
        disk.set_capacity(100_000);
        let error = keep(&disk, dir, 300_000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.used_bytes(), 0);
        keep(&disk, dir, 0).unwrap();
        assert_eq!(disk.used_bytes(), 0);
    }

    #[test]
    fn noise_cannot_be_compressed_to_nothing() {
        let dir = tempfile::tempdir().unwrap();
        keep(&crate::disk::RealDisk, dir.path(), 100_000).unwrap();
        let bytes = std::fs::read(dir.path().join(NAME)).unwrap();
        assert_eq!(bytes.len(), 100_000);
        let words: std::collections::BTreeSet<&[u8]> = bytes.chunks_exact(8).collect();
        assert_eq!(words.len(), bytes.len() / 8, "no word comes twice");
    }
}
