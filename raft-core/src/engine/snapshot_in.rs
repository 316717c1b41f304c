//! A snapshot on its way in from the leader.

use std::io;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use telegraph_proto::raft as proto;
use tonic::Status;

use crate::engine::applier::{Raft, openraft_snapshot};
use crate::engine::inbound::{leaders_vote, stopped};
use crate::engine::observe::Watched;
use crate::engine::types::{Vote, log_id};
use crate::engine::wire::{Misshapen, read_stored, wire_vote};
use crate::member::NodeId;
use crate::position::Position;
use crate::snapshot::directory::SnapshotDir;
use crate::snapshot::file::SNAPSHOT_VERSION;
use crate::snapshot::incoming::Incoming;

/// Receives snapshots, one at a time.
#[derive(Debug)]
pub(crate) struct Receiver {
    snapshots: SnapshotDir,
    /// Time in which the next piece must come.
    stall: Duration,
    busy: tokio::sync::Mutex<()>,
}

impl Receiver {
    /// Receives into a directory.
    pub(crate) fn new(snapshots: SnapshotDir, stall: Duration) -> Receiver {
        Receiver { snapshots, stall, busy: tokio::sync::Mutex::new(()) }
    }

    /// Tells how much of a snapshot is here.
    pub(crate) async fn offset(
        &self,
        from: NodeId,
        request: proto::SnapshotOffsetRequest,
        here: &Watched,
    ) -> Result<proto::SnapshotOffsetReply, Status> {
        let vote = leaders_vote(from, request.vote)?;
        let meta = request.meta.unwrap_or_default();
        if let Some(higher) = refuses(here, vote, &meta)? {
            return Ok(proto::SnapshotOffsetReply { vote: Some(higher), offset: 0 });
        }
        let _busy = self.busy.try_lock().map_err(|_| another())?;
        let snapshots = self.snapshots.clone();
        let incoming = blocking(move || Incoming::resume(&snapshots, &meta)).await?;
        let offset = incoming.received();
        Ok(proto::SnapshotOffsetReply { vote: Some(wire_vote(&vote)), offset })
    }

    /// Takes a snapshot, or the rest of one, and installs it.
    pub(crate) async fn install(
        &self,
        from: NodeId,
        first: proto::SnapshotChunk,
        rest: impl Stream<Item = Result<proto::SnapshotChunk, Status>> + Send + Unpin,
        here: &Watched,
        raft: &Raft,
    ) -> Result<proto::SnapshotReply, Status> {
        let vote = leaders_vote(from, first.vote)?;
        let meta = first.meta.clone().unwrap_or_default();
        if let Some(higher) = refuses(here, vote, &meta)? {
            return Ok(proto::SnapshotReply { vote: Some(higher) });
        }
        let _busy = self.busy.try_lock().map_err(|_| another())?;
        let snapshots = self.snapshots.clone();
        let incoming = blocking(move || Incoming::resume(&snapshots, &meta)).await?;
        let incoming = self.receive(incoming, first, rest).await?;
        let file = blocking(move || incoming.finish()).await?;
        let snapshot = openraft_snapshot(file)?;
        let installed = raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        Ok(proto::SnapshotReply { vote: Some(wire_vote(&installed.vote)) })
    }

    async fn receive(
        &self,
        mut incoming: Incoming,
        first: proto::SnapshotChunk,
        mut rest: impl Stream<Item = Result<proto::SnapshotChunk, Status>> + Send + Unpin,
    ) -> Result<Incoming, Status> {
        let mut chunk = first;
        loop {
            incoming = blocking(move || {
                incoming.append(chunk.offset, &chunk.data, chunk.checksum)?;
                Ok(incoming)
            })
            .await?;
            let late = |_| Status::deadline_exceeded("the snapshot came to a halt");
            match tokio::time::timeout(self.stall, rest.next()).await.map_err(late)? {
                Some(next) => chunk = next?,
                None => return Ok(incoming),
            }
        }
    }
}

/// Refuses what no leader sends; and gives our vote when it is higher than the sender's.
fn refuses(
    here: &Watched,
    vote: Vote,
    meta: &proto::SnapshotMeta,
) -> Result<Option<proto::Vote>, Status> {
    let Some(proto::Position { term, index }) = meta.last_applied else {
        return Err(Misshapen("the snapshot contains nothing".into()).into());
    };
    if meta.version == 0 || meta.version > SNAPSHOT_VERSION {
        return Err(Misshapen(format!("snapshot version {} is unknown", meta.version)).into());
    }
    let last = log_id(Position { term, index });
    let membership = read_stored(meta.membership.clone())?;
    if term > vote.leader_id.term || index >= u64::MAX - 1 || *membership.log_id() > Some(last) {
        return Err(Misshapen("the snapshot contradicts itself".into()).into());
    }
    let seen = here.seen();
    if let Some(committed) = seen.committed
        && last > committed
        && last.index <= committed.index
    {
        return Err(Misshapen("the snapshot contradicts what is committed here".into()).into());
    }
    Ok((seen.vote > vote).then(|| wire_vote(&seen.vote)))
}

fn another() -> Status {
    Status::aborted("another snapshot is on its way")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other).and_then(|done| done).map_err(|error| {
        tracing::warn!(%error, "a snapshot could not be received");
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Status::data_loss(error.to_string())
            }
            _ => Status::internal(error.to_string()),
        }
    })
}
