//! A snapshot on its way to one member: from file to file, going on where the last try broke off.

use std::time::Duration;

use openraft::RPCTypes;
use openraft::errors::{NetworkError, StreamingError, Unreachable};
use openraft::raft::SnapshotResponse;
use telegraph_proto::raft as proto;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::engine::peer::{CallError, Peer, misshapen};
use crate::engine::types::{TypeConfig, Vote};
use crate::engine::wire::{read_vote, wire_vote};
use crate::event::Event;
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
    let Some(sending) = peer.outbound.served.begin(peer.id, &file) else {
        let why = "the snapshot is damaged, and another one is on its way";
        return Err(CallError::from(Unreachable::from_string(why)).into());
    };
    let sent = transfer(peer, vote, file).await.inspect_err(|error| {
        tracing::warn!(member = peer.id, %error, "a snapshot did not get through");
    })?;
    if sent.vote <= vote {
        sending.finish();
    }
    Ok(sent)
}

async fn transfer(
    peer: &Peer,
    vote: Vote,
    file: SnapshotFile,
) -> Result<SnapshotResponse<TypeConfig>, CallError> {
    let stall = peer.outbound.snapshot_stall;
    let asked = ask_offset(peer, vote, &file);
    let reply = peer.within(stall, RPCTypes::InstallSnapshot, asked).await?;
    let their_vote = read_vote(reply.vote).map_err(misshapen)?;
    if their_vote > vote {
        return Ok(SnapshotResponse::new(their_vote));
    }
    let offset = reply.offset.min(file.meta.length);
    tracing::info!(member = peer.id, offset, length = file.meta.length, "sending a snapshot");
    if offset > 0 {
        peer.outbound.observer.meters.resumed_out.one();
        let resumed = Event::SnapshotResumed { member: peer.id, offset_bytes: offset };
        peer.outbound.observer.events.tell(resumed);
    }
    let began = Instant::now();
    let (upto, bytes) = (file.upto(), file.meta.length.saturating_sub(offset));
    let (pieces, outbox) = mpsc::channel(READ_AHEAD);
    let mut client = peer.client().await?;
    let sent = file.clone();
    let answered = async {
        let reply = client.install_snapshot(ReceiverStream::new(outbox)).await;
        if reply.as_ref().is_err_and(|refusal| refusal.code() == Code::DataLoss) {
            suspect(peer, sent).await?;
        }
        let vote = reply.map_err(|status| peer.failed(status))?.into_inner().vote;
        read_vote(vote).map(SnapshotResponse::new).map_err(misshapen)
    };
    tokio::pin!(answered);
    let feeding = feed(peer, vote, file, offset, pieces, stall);
    tokio::select! {
        // An answer before the end is a refusal.
        early = &mut answered => return early,
        fed = feeding => fed?,
    }
    let finish = stall.saturating_mul(FINISH_FACTOR);
    let answer = peer.within(finish, RPCTypes::InstallSnapshot, answered).await?;
    peer.outbound.observer.meters.snapshot_send.time(began.elapsed());
    peer.outbound.observer.events.tell(Event::SnapshotSent {
        to: peer.id,
        upto,
        bytes,
        took: began.elapsed(),
    });
    Ok(answer)
}

/// Looks whether what arrived damaged was damaged here. If so it is not sent any more.
async fn suspect(peer: &Peer, file: SnapshotFile) -> Result<(), CallError> {
    let found = file.clone();
    let verified = tokio::task::spawn_blocking(move || found.verify()).await;
    if let Ok(Err(error)) = verified {
        tracing::error!(path = %file.path.display(), %error, "a snapshot is damaged");
        peer.outbound.served.condemn(&file);
        return Err(NetworkError::new(&error).into());
    }
    Ok(())
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
    Ok(client.snapshot_offset(request).await.map_err(|status| peer.failed(status))?.into_inner())
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
        let piece_bytes = piece.data.len() as u64;
        chunk.offset = piece.offset;
        (chunk.data, chunk.checksum) = (piece.data, piece.checksum);
        peer.outbound.observer.meters.snapshot_sent_bytes.add(piece_bytes);
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
/// not the node.
async fn read<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, CallError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| CallError::Network(NetworkError::new(&error)))?
        .map_err(|error| NetworkError::new(&error).into())
}
