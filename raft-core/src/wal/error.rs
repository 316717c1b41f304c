//! Why a write-ahead log does not open.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Opening failed. Every variant names the file, and nothing was changed on the disk that would
/// hide the reason.
#[derive(Debug, Error)]
pub(crate) enum WalError {
    /// Bytes that were durable have changed. The node must be replaced, or its data directory
    /// restored: it may no longer vote, since it may have forgotten what it promised.
    #[error("{}: damaged at byte {offset}: {why}", file.display())]
    Corrupt {
        /// The damaged segment.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// A segment that must exist does not. To be treated like [`WalError::Corrupt`].
    #[error("{}: missing: {why}", file.display())]
    MissingSegment {
        /// The file that should be there.
        file: PathBuf,
        /// How its absence is known.
        why: String,
    },
    /// The segment was written by a program of another format version.
    #[error("{}: format version {found} is not supported", file.display())]
    UnsupportedVersion {
        /// The segment.
        file: PathBuf,
        /// Version found in its head.
        found: u32,
    },
    /// Another process, or another part of this one, has the log open.
    #[error("{}: the log is in use by another owner", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The disk refused an operation.
    #[error("{}: cannot {operation}", path.display())]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A setting is out of its bounds.
    #[error("log configuration: {0}")]
    Config(String),
}
