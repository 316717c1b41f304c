//! The seam to the disk: the few operations the write-ahead log needs, each of which can fail.
//!
//! [`RealDisk`] is std's files. `disk/sim.rs` is a disk in memory that loses what was not synced,
//! tears writes, runs full, fails on demand and flips bits; with it the log's crash behaviour is
//! tested and whole clusters can be simulated. The contract is that of POSIX as ext4 and XFS keep
//! it, not one bit better:
//!
//! - a write is durable only after [`DiskFile::sync_data`] returned, and until then any subset of
//!   its sectors, in any order, may survive a power loss;
//! - a created or removed name is durable only after [`Disk::sync_dir`];
//! - after a failed sync the data may be gone although a later sync succeeds, so a caller never
//!   retries one (ATC'20, "Can Applications Recover from fsync Failures?").

#![cfg_attr(
    not(feature = "testing"),
    allow(unreachable_pub, reason = "public with the feature `testing`")
)]

use std::any::Any;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

pub(crate) mod read_only;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod sim;

/// Keeps a lock for as long as it lives.
pub type DiskLock = Box<dyn Any + Send>;

/// A file found in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskEntry {
    /// Name without the directory.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// Room of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes this process may still use.
    pub free_bytes: u64,
    /// Bytes there are in all.
    pub total_bytes: u64,
}

/// A disk with directories and files. Methods block.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Makes `dir` and its missing parents, durably.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// True when there is a directory `dir`.
    fn is_dir(&self, dir: &Path) -> bool;
    /// The files in `dir` whose names are valid UTF-8, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>>;
    /// Makes a new empty file; fails when it exists.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Removes a file; handles to it stay readable.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes created and removed names of `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes an exclusive lock on `path`, made if missing. `None` when another owner holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>>;
    /// The room of the file system that holds `dir`. Fails where that cannot be known.
    fn space(&self, _dir: &Path) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// A number nobody can guess, for telling this file's bytes from another file's.
    fn nonce(&self) -> u64;
}

/// An open file. All positions are explicit: there is no cursor to share.
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// Reads up to `buffer.len()` bytes at `offset`; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`, growing the file if needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes all written bytes, and the length, durable (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;
    /// Shortens the file to `bytes`; durable at return.
    fn cut(&self, bytes: u64) -> io::Result<()>;
    /// Length in bytes.
    fn length(&self) -> io::Result<u64>;
}

/// Reads at `offset` until `buffer` is full or the file ends; returns the bytes read.
pub(crate) fn read_full(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The machine's disk, through std.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_dir(parent)?;
        }
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    fn is_dir(&self, dir: &Path) -> bool {
        dir.is_dir()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                found.push(DiskEntry { name, bytes: metadata.len() });
            }
        }
        Ok(found)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(dir)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space { free_bytes: bytes(found.f_bavail), total_bytes: bytes(found.f_blocks) })
    }

    fn nonce(&self) -> u64 {
        // Keyed by the system's randomness; enough, because it guards against accidents and
        // against payloads made to look like headers, and is no secret.
        RandomState::new().hash_one(std::process::id())
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)?;
        self.0.sync_all()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_directory_is_made_with_its_parents_and_lists_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        RealDisk.create_dir(&deep).unwrap();
        RealDisk.create_dir(&deep).unwrap();
        let file = RealDisk.create(&deep.join("x")).unwrap();
        assert!(RealDisk.create(&deep.join("x")).is_err());
        file.write_at(b"abcdef", 2).unwrap();
        file.cut(5).unwrap();
        let mut buffer = [1; 9];
        assert_eq!(read_full(&*file, &mut buffer, 1).unwrap(), 4);
        assert_eq!(&buffer[..4], b"\0abc");
        let listed = RealDisk.list(&deep).unwrap();
        assert_eq!(listed, [DiskEntry { name: "x".into(), bytes: 5 }]);
    }

    #[test]
    fn a_real_lock_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = RealDisk.lock(&path).unwrap();
        assert!(held.is_some());
        assert!(RealDisk.lock(&path).unwrap().is_none());
        drop(held);
        assert!(RealDisk.lock(&path).unwrap().is_some());
    }

    #[test]
    fn the_room_of_a_real_disk_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let space = RealDisk.space(dir.path()).unwrap();
        assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0, "{space:?}");
        assert!(RealDisk.space(&dir.path().join("nothing")).is_err());
    }

    #[test]
    fn nonces_differ() {
        assert_ne!(RealDisk.nonce(), RealDisk.nonce());
    }
}
