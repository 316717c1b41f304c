//! A backup of a running node.

use std::path::PathBuf;

use thiserror::Error;

use crate::error::OperatorError;
use crate::node::Node;
use crate::offline::backup::{BackupSummary, backup_snapshot};
use crate::offline::error::OfflineError;
use crate::offline::snapshot::newest_sound;

/// How often a snapshot is looked for again that a newer one replaced while it was opened.
const ATTEMPTS: u32 = 3;

/// Why a running node was not backed up. No file is left.
#[derive(Debug, Error)]
pub enum BackupError {
    /// No snapshot could be written.
    #[error(transparent)]
    Snapshot(#[from] OperatorError),
    /// The snapshot could not be read, or the backup not written.
    #[error(transparent)]
    File(#[from] OfflineError),
}

impl Node {
    /// Writes a fresh snapshot and copies it, with its checksums, into a new file from which
    /// [`restore`](crate::offline::restore::restore) makes a new cluster. The file holds everything
    /// this node had applied when it was asked, and is durable when this returns; pass a
    /// [`read_barrier`](Node::read_barrier) first to have all that was acknowledged anywhere.
    ///
    /// Fails when the file exists, when nothing was applied yet, when disk or state machine refuse.
    pub async fn backup(&self, to: impl Into<PathBuf>) -> Result<BackupSummary, BackupError> {
        self.take_snapshot().await?;
        let snapshots = self.running.config.data_dir.join("snapshots");
        let identity = self.running.forward.roster.identity();
        let (term, to) = (self.status().term, to.into());
        let copied = tokio::task::spawn_blocking(move || {
            let mut attempts = ATTEMPTS;
            loop {
                attempts -= 1;
                let copied = newest_sound(&snapshots).and_then(|(newest, _)| {
                    let gone = || OfflineError::refused(&snapshots, "the snapshot is gone");
                    let newest = newest.ok_or_else(gone)?;
                    let term = term.max(newest.meta.last_applied.map_or(0, |at| at.term));
                    backup_snapshot(identity, newest, term, &to)
                });
                match copied {
                    // A newer snapshot has replaced it meanwhile.
                    Err(OfflineError::Io { source, path })
                        if attempts > 0
                            && path != to
                            && source.kind() == std::io::ErrorKind::NotFound => {}
                    other => return other,
                }
            }
        });
        let copied = copied.await.map_err(|_| OperatorError::Stopped(self.reason()))?;
        Ok(copied?)
    }
}
