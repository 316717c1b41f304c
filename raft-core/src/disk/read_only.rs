//! The machine's disk for somebody who only looks: no operation changes a byte.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, DiskEntry, DiskFile, DiskLock, RealDisk};

/// Reads like [`RealDisk`] and refuses everything else with
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied). Works on a disk mounted read-only.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadOnlyDisk;

impl Disk for ReadOnlyDisk {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        refuse()
    }

    fn is_dir(&self, dir: &Path) -> bool {
        RealDisk.is_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        RealDisk.list(dir)
    }

    fn create(&self, _path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        refuse()
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(ReadOnlyFile(File::open(path)?)))
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        refuse()
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        refuse()
    }

    /// Shares the lock with others who only look; a lock file that is not there is nobody's.
    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Box::new(()))),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn nonce(&self) -> u64 {
        RealDisk.nonce()
    }
}

#[derive(Debug)]
struct ReadOnlyFile(File);

impl DiskFile for ReadOnlyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        refuse()
    }

    fn sync_data(&self) -> io::Result<()> {
        refuse()
    }

    fn cut(&self, _bytes: u64) -> io::Result<()> {
        refuse()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

fn refuse<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "this disk is only looked at"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_is_there_and_refuses_every_change() {
        let keep = tempfile::tempdir().unwrap();
        let path = keep.path().join("file");
        std::fs::write(&path, b"bytes").unwrap();
        let file = ReadOnlyDisk.open(&path).unwrap();
        let mut buffer = [0; 9];
        assert_eq!(file.read_at(&mut buffer, 1).unwrap(), 4);
        assert_eq!(file.length().unwrap(), 5);
        assert_eq!(ReadOnlyDisk.list(keep.path()).unwrap().len(), 1);
        let refused = [
            file.write_at(b"x", 0),
            file.sync_data(),
            file.cut(0),
            ReadOnlyDisk.create_dir(&keep.path().join("dir")),
            ReadOnlyDisk.remove(&path),
            ReadOnlyDisk.sync_dir(keep.path()),
            ReadOnlyDisk.create(&keep.path().join("other")).map(|_| ()),
        ];
        for result in refused {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"bytes");
    }

    #[test]
    fn those_who_look_share_a_lock_that_keeps_owners_out_and_makes_no_file() {
        let keep = tempfile::tempdir().unwrap();
        let path = keep.path().join("lock");
        assert!(ReadOnlyDisk.lock(&path).unwrap().is_some());
        assert!(!path.exists());
        let owner = RealDisk.lock(&path).unwrap();
        assert!(ReadOnlyDisk.lock(&path).unwrap().is_none());
        drop(owner);
        let looking = [ReadOnlyDisk.lock(&path).unwrap(), ReadOnlyDisk.lock(&path).unwrap()];
        assert!(looking.iter().all(Option::is_some));
        assert!(RealDisk.lock(&path).unwrap().is_none());
    }
}
