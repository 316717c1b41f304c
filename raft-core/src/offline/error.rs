//! What can go wrong with a directory or file that no node has open.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::error::StartError;
use crate::wal::error::WalError;

/// Why a log, snapshot, backup or data directory could not be dealt with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OfflineError {
    /// Bytes are not what was written: the file is to be replaced by a good copy, or the node by a
    /// new one.
    #[error("{}: damaged at byte {offset}: {why}", file.display())]
    Damaged {
        /// The damaged, or missing, file.
        file: PathBuf,
        /// Where in the file; 0 when all of it is meant.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// A node runs on it.
    #[error("{} is in use by a running node", path.display())]
    InUse {
        /// The directory or its lock.
        path: PathBuf,
    },
    /// It is not what was asked for, or what was asked for cannot be.
    #[error("{}: {why}", path.display())]
    Refused {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The system refused to read or write.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl OfflineError {
    /// The system refused.
    pub(crate) fn io(path: &Path, source: io::Error) -> OfflineError {
        OfflineError::Io { path: path.to_owned(), source }
    }

    /// Somebody asked for what cannot be.
    pub(crate) fn refused(path: &Path, why: impl Into<String>) -> OfflineError {
        OfflineError::Refused { path: path.to_owned(), why: why.into() }
    }

    /// A file is damaged.
    pub(crate) fn damaged(file: &Path, offset: u64, why: impl Into<String>) -> OfflineError {
        OfflineError::Damaged { file: file.to_owned(), offset, why: why.into() }
    }

    /// What a read of `file` came to: damage from `offset` on, or a refusal of the system.
    pub(crate) fn of_read(file: &Path, offset: u64, source: io::Error) -> OfflineError {
        match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                OfflineError::damaged(file, offset, source.to_string())
            }
            _ => OfflineError::io(file, source),
        }
    }
}

impl From<WalError> for OfflineError {
    fn from(error: WalError) -> OfflineError {
        match error {
            WalError::Corrupt { file, offset, why } => OfflineError::Damaged { file, offset, why },
            WalError::MissingSegment { file, why } => {
                OfflineError::Damaged { file, offset: 0, why: format!("missing: {why}") }
            }
            WalError::UnsupportedVersion { file, found } => OfflineError::Refused {
                path: file,
                why: format!("log format version {found} is not supported"),
            },
            WalError::Locked { path } => OfflineError::InUse { path },
            WalError::Io { path, source, .. } => OfflineError::Io { path, source },
            WalError::Config(why) => OfflineError::Refused { path: PathBuf::new(), why },
        }
    }
}

/// What the part of a node's start that is used here says.
pub(crate) fn of_start(path: &Path, error: StartError) -> OfflineError {
    match error {
        StartError::Locked { path } => OfflineError::InUse { path },
        StartError::Io { path, source } => OfflineError::Io { path, source },
        StartError::Damaged(why) => OfflineError::damaged(path, 0, why.to_string()),
        other => OfflineError::refused(path, other.to_string()),
    }
}
