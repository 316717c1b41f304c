//! A snapshot on its way to one member: from file to file, going on where the last try broke off.

use std::time::Duration;

use openraft::RPCTypes;
use openraft::errors::{NetworkError, StreamingError};
use openraft::raft::SnapshotResponse;
use telegraph_proto::raft as proto;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::engine::peer::{CallError, Peer, call_error, misshapen};
use crate::engine::types::{TypeConfig, Vote};
use crate::engine::wire::{read_vote, wire_vote};
use crate::snapshot::file::SnapshotFile;
use crate::snapshot::outgoing::SnapshotBody;

/// Pieces read ahead of the wire.
const READ_AHEAD: usize = 2;

/// How much longer than a piece the end may take: the member syncs the file and restores its
/// state machine before it answers.
const FINISH_FACTOR: u32 = 30;

/// Sends a snapshot. Its deadlines are our own: openraft's option assumes a whole transfer to be
/// as quick as a chunk once was.
pub(crate) async fn send(
    peer: &Peer,
    vote: Vote,
    file: SnapshotFile,
) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
    let stall = peer.outbound.snapshot_stall;
    let asked = ask_offset(peer, vote, &file);
    let reply = peer.within(stall, RPCTypes::InstallSnapshot, asked).await?;
    let their_vote = read_vote(reply.vote).map_err(misshapen)?;
    if their_vote > vote {
        return Ok(SnapshotResponse::new(their_vote));
    }
    let offset = reply.offset.min(file.meta.length);
    tracing::info!(member = peer.id, offset, length = file.meta.length, "sending a snapshot");
    let (pieces, outbox) = mpsc::channel(READ_AHEAD);
    let mut client = peer.client().await?;
    let answered = async {
        let reply = client.install_snapshot(ReceiverStream::new(outbox)).await;
        let vote = reply.map_err(call_error)?.into_inner().vote;
        read_vote(vote).map(SnapshotResponse::new).map_err(misshapen)
    };
    tokio::pin!(answered);
    let feeding = feed(peer, vote, file, offset, pieces, stall);
    tokio::select! {
        // An answer before the end is a refusal.
        early = &mut answered => return Ok(early?),
        fed = feeding => fed?,
    }
    let finish = stall.saturating_mul(FINISH_FACTOR);
    Ok(peer.within(finish, RPCTypes::InstallSnapshot, answered).await?)
}

async fn ask_offset(
    peer: &Peer,
    vote: Vote,
    file: &SnapshotFile,
) -> Result<proto::SnapshotOffsetReply, CallError> {
    let request = proto::SnapshotOffsetRequest {
        caller: peer.caller(),
        vote: Some(wire_vote(&vote)),
        meta: Some(file.meta.clone()),
    };
    let mut client = peer.client().await?;
    Ok(client.snapshot_offset(request).await.map_err(call_error)?.into_inner())
}

async fn feed(
    peer: &Peer,
    vote: Vote,
    file: SnapshotFile,
    offset: u64,
    pieces: mpsc::Sender<proto::SnapshotChunk>,
    stall: Duration,
) -> Result<(), CallError> {
    let mut chunk = proto::SnapshotChunk {
        caller: peer.caller(),
        vote: Some(wire_vote(&vote)),
        meta: Some(file.meta.clone()),
        offset,
        ..proto::SnapshotChunk::default()
    };
    let mut body = read(move || SnapshotBody::open(&file, offset)).await?;
    loop {
        let (piece, rest) = read(move || body.next_piece().map(|piece| (piece, body))).await?;
        body = rest;
        let is_last = piece.data.is_empty();
        if is_last && chunk.caller.is_none() {
            return Ok(());
        }
        chunk.offset = piece.offset;
        (chunk.data, chunk.checksum) = (piece.data, piece.checksum);
        let sent = async {
            let chunk = std::mem::take(&mut chunk);
            let gone = |_| CallError::Network(NetworkError::from_string("the stream has ended"));
            pieces.send(chunk).await.map_err(gone)
        };
        peer.within(stall, RPCTypes::InstallSnapshot, sent).await?;
        if is_last {
            return Ok(());
        }
    }
}

/// Reads the file where blocking is allowed. A snapshot that cannot be read fails the transfer,
/// not the node: the next try uses the newest one.
async fn read<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, CallError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| CallError::Network(NetworkError::new(&error)))?
        .map_err(|error| NetworkError::new(&error).into())
}
