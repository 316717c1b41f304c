//! An engine's snapshots: when one is written, what goes behind it, and those that come in.

use futures_util::Stream;
use telegraph_proto::raft as proto;
use tonic::Status as Refusal;

use crate::engine::Engine;
use crate::member::NodeId;

impl Engine {
    /// Asks for a snapshot.
    pub(crate) async fn want_snapshot(&self) -> bool {
        self.raft.trigger().snapshot().await.is_ok()
    }

    /// Waits until enough bytes were applied to be worth a snapshot, or the last one is damaged.
    pub(crate) async fn snapshot_due(&self) {
        tokio::select! {
            () = self.progress.snapshot_due.notified() => {}
            () = self.served.wanted() => {}
        }
    }

    /// Lets go of the log behind snapshots, until the engine stops.
    pub(crate) async fn compact(&self) {
        self.compaction.run(&self.raft, &self.watched).await;
    }

    /// Tells how much of a snapshot is here.
    pub(crate) async fn snapshot_offset(
        &self,
        from: NodeId,
        request: proto::SnapshotOffsetRequest,
    ) -> Result<proto::SnapshotOffsetReply, Refusal> {
        self.receiver.offset(from, request, &self.watched).await
    }

    /// Takes a snapshot.
    pub(crate) async fn install_snapshot(
        &self,
        from: NodeId,
        first: proto::SnapshotChunk,
        rest: impl Stream<Item = Result<proto::SnapshotChunk, Refusal>> + Send + Unpin,
    ) -> Result<proto::SnapshotReply, Refusal> {
        self.receiver.install(from, first, rest, &self.watched, &self.raft).await
    }
}
