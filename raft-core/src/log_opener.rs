//! How a node comes by its log: the write-ahead log on a disk, unless a test has its own.

#![cfg_attr(
    not(feature = "testing"),
    allow(unreachable_pub, reason = "public with the feature `testing`")
)]

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::config::ConfigError;
use crate::disk::Disk;
use crate::error::StartError;
use crate::log_store::LogStore;
use crate::wal::Wal;
use crate::wal::config::WalConfig;
use crate::wal::error::WalError;

/// Opens the log of a node.
pub trait LogOpener: fmt::Debug + Send + Sync + 'static {
    /// True when there is a log at `path`, though perhaps an empty or damaged one. Blocks.
    fn exists(&self, path: &Path) -> bool;

    /// Opens the log at `path`, or makes one, in files of `segment_bytes`. Blocks. Fails when
    /// somebody else has it open, when it is damaged, and when the disk refuses.
    fn open(&self, path: &Path, segment_bytes: u64) -> Result<OpenedLog, StartError>;
}

/// A log, open.
pub struct OpenedLog {
    /// The log.
    pub log: Arc<dyn LogStore>,
    /// True when nothing was there before.
    pub created: bool,
    /// Bytes of a torn write that were cut off its end; nothing in them was acknowledged.
    pub cut_bytes: u64,
}

impl fmt::Debug for OpenedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedLog").field("created", &self.created).finish_non_exhaustive()
    }
}

/// Opens the write-ahead log.
#[derive(Clone, Debug)]
pub struct WalOpener {
    disk: Arc<dyn Disk>,
}

impl WalOpener {
    /// Opens logs on `disk`.
    pub fn new(disk: Arc<dyn Disk>) -> WalOpener {
        WalOpener { disk }
    }
}

impl LogOpener for WalOpener {
    fn exists(&self, path: &Path) -> bool {
        self.disk.is_dir(path)
    }

    fn open(&self, path: &Path, segment_bytes: u64) -> Result<OpenedLog, StartError> {
        let settings = WalConfig { segment_bytes, ..WalConfig::default() };
        let (wal, recovery) = Wal::open(path, Arc::clone(&self.disk), settings)
            .map_err(|error| of_log(path, error))?;
        let cut_bytes = recovery.torn_tail.map_or(0, |torn| torn.bytes);
        Ok(OpenedLog { log: Arc::new(wal), created: recovery.created, cut_bytes })
    }
}

fn of_log(path: &Path, error: WalError) -> StartError {
    match error {
        WalError::Locked { path } => StartError::Locked { path },
        WalError::Io { path, source, .. } => StartError::Io { path, source },
        WalError::Config(why) => ConfigError { field: "segment_bytes", why }.into(),
        damage => StartError::Damaged(format!("{}: {damage}", path.display()).into()),
    }
}
