//! Logs that need no disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::StartError;
use crate::log_opener::{LogOpener, OpenedLog};
use crate::memory_log::MemoryLog;

/// Logs in memory, by path: they outlive the nodes that open them, as files would, and not the
/// process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryLogs {
    logs: Arc<Mutex<BTreeMap<PathBuf, MemoryLog>>>,
}

impl MemoryLogs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, MemoryLog>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogOpener for MemoryLogs {
    fn exists(&self, path: &Path) -> bool {
        self.lock().contains_key(path)
    }

    fn open(&self, path: &Path, _segment_bytes: u64) -> Result<OpenedLog, StartError> {
        let mut logs = self.lock();
        let created = !logs.contains_key(path);
        let log = logs.entry(path.to_owned()).or_default().reopen();
        Ok(OpenedLog { log: Arc::new(log), created, cut_bytes: 0 })
    }
}
