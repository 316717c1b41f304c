//! A snapshot on its way in from the leader.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use telegraph_proto::raft as proto;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tonic::Status;

use crate::engine::applier::Raft;
use crate::engine::builder::openraft_snapshot;
use crate::engine::inbound::{leaders_vote, stopped};
use crate::engine::observe::Watched;
use crate::engine::sessions::Sessions;
use crate::engine::sessions::image::TABLE_MAX_BYTES;
use crate::engine::types::{Vote, log_id};
use crate::engine::wire::{Misshapen, read_stored, wire_vote};
use crate::event::Event;
use crate::member::NodeId;
use crate::observer::Observer;
use crate::position::Position;
use crate::snapshot::directory::SnapshotDir;
use crate::snapshot::file::SNAPSHOT_VERSION;
use crate::snapshot::incoming::{Incoming, is_full};

/// Receives snapshots, one at a time.
#[derive(Debug)]
pub(crate) struct Receiver {
    snapshots: SnapshotDir,
    /// Time in which the next piece must come.
    stall: Duration,
    observer: Observer,
    /// True from when there was no room for a snapshot until one is here.
    delayed: AtomicBool,
    /// Held while anybody needs the files, be it the caller or consensus.
    busy: Arc<Mutex<()>>,
}

impl Receiver {
    /// Receives into a directory.
    pub(crate) fn new(snapshots: SnapshotDir, stall: Duration, observer: Observer) -> Receiver {
        let (delayed, busy) = (AtomicBool::default(), Arc::default());
        Receiver { snapshots, stall, observer, delayed, busy }
    }

    /// Gives the directory up to its next owner.
    pub(crate) async fn close(&self) {
        let snapshots = self.snapshots.clone();
        // It cannot panic, and the runtime going down needs no care.
        let _ = tokio::task::spawn_blocking(move || snapshots.close()).await;
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
        let incoming = self.stored(move || Incoming::resume(&snapshots, &meta)).await?;
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
        let busy = Arc::clone(&self.busy).try_lock_owned().map_err(|_| another())?;
        let snapshots = self.snapshots.clone();
        let incoming = self.stored(move || Incoming::resume(&snapshots, &meta)).await?;
        if incoming.received() > 0 {
            self.observer.meters.resumed_in.one();
            let offset_bytes = incoming.received();
            self.observer.events.tell(Event::SnapshotResumed { member: from, offset_bytes });
        }
        let incoming = self.receive(incoming, first, rest).await?;
        let file = self
            .stored(move || {
                let file = incoming.finish()?;
                // Once it is installed, what cannot be read would end this node.
                Sessions::load(&mut file.body_from(0)?, file.meta.session_bytes)?;
                Ok(file)
            })
            .await?;
        self.delayed.store(false, Ordering::Relaxed);
        let snapshot = openraft_snapshot(file)?;
        let raft = raft.clone();
        let install = async move { raft.install_full_snapshot(vote, snapshot).await };
        let installed = to_the_end(busy, install).await?.map_err(stopped)?;
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
            self.observer.meters.snapshot_received_bytes.add(chunk.data.len() as u64);
            let append = move || {
                incoming.append(chunk.offset, &chunk.data, chunk.checksum)?;
                Ok(incoming)
            };
            incoming = self.stored(append).await?;
            let late = |_| Status::deadline_exceeded("the snapshot came to a halt");
            match tokio::time::timeout(self.stall, rest.next()).await.map_err(late)? {
                Some(next) => chunk = next?,
                None => return Ok(incoming),
            }
        }
    }

    /// Works on the files. Where there is no room for them the sender learns it, and tries again.
    async fn stored<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Status> {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(io::Error::other).and_then(|done| done).map_err(|error| {
            tracing::warn!(%error, "a snapshot could not be received");
            match error.kind() {
                _ if is_full(&error) => {
                    self.observer.meters.snapshots_unroomed.one();
                    if !self.delayed.swap(true, Ordering::Relaxed) {
                        self.observer.events.tell(Event::SnapshotDelayed);
                    }
                    Status::resource_exhausted(format!("no room for the snapshot: {error}"))
                }
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                    Status::data_loss(error.to_string())
                }
                _ => Status::internal(error.to_string()),
            }
        })
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
    if meta.session_bytes > meta.length.min(TABLE_MAX_BYTES) {
        return Err(Misshapen("the snapshot's sessions are too long".into()).into());
    }
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

/// Has work done to its end with `busy` held, also when nobody waits for it any more: consensus may
/// come to a file long after its sender has given up, and the next one must not remove it before.
async fn to_the_end<T: Send + 'static>(
    busy: OwnedMutexGuard<()>,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Status> {
    let held = tokio::spawn(async move {
        let done = work.await;
        drop(busy);
        done
    });
    held.await.map_err(|error| Status::internal(error.to_string()))
}

fn another() -> Status {
    Status::aborted("another snapshot is on its way")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_snapshot_that_consensus_has_is_left_alone_when_its_sender_gives_up() {
        let busy = Arc::<Mutex<()>>::default();
        let (done, installed) = tokio::sync::oneshot::channel::<()>();
        let guard = Arc::clone(&busy).try_lock_owned().unwrap();
        let mut call = Box::pin(to_the_end(guard, installed));
        assert!(futures_util::poll!(&mut call).is_pending());
        drop(call);
        for _ in 0..10 {
            tokio::task::yield_now().await;
            assert!(busy.try_lock().is_err(), "the next one would remove the file");
        }
        done.send(()).unwrap();
        let _next = busy.lock().await;
    }
}
