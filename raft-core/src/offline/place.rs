//! Where things lie below the directory that an operator names, and whose they are now.

use std::path::{Path, PathBuf};

use crate::disk::read_only::ReadOnlyDisk;
use crate::disk::{Disk as _, DiskLock};
use crate::offline::error::OfflineError;
use crate::wal::stored;

/// A directory no node uses for as long as this lives.
pub(super) struct Place {
    path: PathBuf,
    _locks: Vec<DiskLock>,
}

impl Place {
    /// The log in a data directory, or the directory of a log itself.
    pub(super) fn log(path: &Path) -> Result<Place, OfflineError> {
        check_directory(path)?;
        let mut locks = Vec::new();
        let mut log = path.to_owned();
        if is_data_dir(path) {
            locks.push(lock_data_dir(path)?);
            log.push("log");
            check_directory(&log)?;
        }
        locks.push(stored::lock(&ReadOnlyDisk, &log)?);
        Ok(Place { path: log, _locks: locks })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Keeps nodes away from a data directory.
pub(super) fn lock_data_dir(path: &Path) -> Result<DiskLock, OfflineError> {
    let lock = path.join("lock");
    let taken = ReadOnlyDisk.lock(&lock).map_err(|source| OfflineError::io(&lock, source))?;
    taken.ok_or_else(|| OfflineError::InUse { path: path.to_owned() })
}

/// Whether a node made it.
pub(super) fn is_data_dir(path: &Path) -> bool {
    path.join("identity").exists() || path.join("log").is_dir()
}

/// Refuses what is no directory.
pub(super) fn check_directory(path: &Path) -> Result<(), OfflineError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(OfflineError::refused(path, "is no directory")),
        Err(source) => Err(OfflineError::io(path, source)),
    }
}
