//! Letting go of what nobody needs: the log behind a snapshot, and snapshots behind newer ones.
//!
//! openraft would purge as soon as a snapshot is written. It is told not to, because a member that
//! is being sent an older snapshot goes on from the log behind that one: we purge, and openraft
//! sees to it that this is neither beyond what a snapshot on disk contains nor beyond what is just
//! being read for another member.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::applier::Raft;
use crate::engine::observe::Watched;
use crate::snapshot::directory::SnapshotDir;
use crate::snapshot::served::Served;

/// Pause between two looks whether something can go: there is no hurry.
const PAUSE: Duration = Duration::from_millis(200);

/// Lets go on one node.
#[derive(Clone, Debug)]
pub(crate) struct Compaction {
    served: Served,
    snapshots: SnapshotDir,
    /// Entries kept behind a snapshot.
    keep_entries: u64,
}

impl Compaction {
    /// Keeps what is served, and so many entries behind a snapshot.
    pub(crate) fn new(served: Served, snapshots: SnapshotDir, keep_entries: u64) -> Compaction {
        Compaction { served, snapshots, keep_entries }
    }

    /// Lets go, until consensus has stopped.
    pub(crate) async fn run(&self, raft: &Raft, watched: &Watched) {
        let (mut purged, mut was_sending) = (0, false);
        loop {
            tokio::time::sleep(PAUSE).await;
            let sent = self.served.sent(Instant::now());
            if sent.is_none() && was_sending {
                self.remove_old().await;
            }
            was_sending = sent.is_some();
            let held = sent.and_then(|file| file.meta.last_applied);
            let upto = self.purge_upto(watched.snapshot(), held.map(|at| at.index));
            if let Some(upto) = upto.filter(|upto| *upto > purged) {
                if raft.trigger().purge_log(upto).await.is_err() {
                    return;
                }
                purged = upto;
            }
        }
    }

    /// The last entry that may go, behind the newest snapshot and the one being sent.
    fn purge_upto(&self, newest: Option<u64>, sent: Option<u64>) -> Option<u64> {
        let upto = newest?.checked_sub(self.keep_entries)?;
        Some(upto.min(sent.unwrap_or(u64::MAX)))
    }

    async fn remove_old(&self) {
        let (served, snapshots) = (self.served.clone(), self.snapshots.clone());
        let removed = tokio::task::spawn_blocking(move || snapshots.retain_served(&served)).await;
        if let Ok(Err(error)) = removed {
            // The next one that is built tries again.
            tracing::warn!(%error, "an old snapshot could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_goes_behind_the_newest_snapshot_but_not_beyond_the_one_being_sent() {
        let keep = tempfile::tempdir().unwrap();
        let snapshots = SnapshotDir::open(&keep.path().join("snapshots")).unwrap();
        let compaction = Compaction::new(Served::default(), snapshots, 10);
        assert_eq!(compaction.purge_upto(None, None), None);
        assert_eq!(compaction.purge_upto(Some(9), None), None);
        assert_eq!(compaction.purge_upto(Some(100), None), Some(90));
        assert_eq!(compaction.purge_upto(Some(100), Some(70)), Some(70));
        assert_eq!(compaction.purge_upto(Some(100), Some(95)), Some(90));
    }
}
