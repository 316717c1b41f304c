//! openraft's calls to other members, made over the kept channels.
//!
//! openraft enforces deadlines on none of them, and a call that hangs would hold up replication to
//! that member for ever (openraft#1810): each has one here.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{ReplicationClosed, StreamingError};
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RPCTypes, RaftNetworkFactory};
use telegraph_proto::raft as proto;

use crate::engine::append_out;
use crate::engine::peer::{CallError, Outbound, Peer, misshapen};
use crate::engine::snapshot_out;
use crate::engine::types::{Place, Snapshot, TypeConfig, Vote};
use crate::engine::wire::{read_log_id_option, read_vote, wire_log_id, wire_vote};
use crate::member::NodeId;
use crate::snapshot::file::SnapshotFile;

/// Pause before a member that cannot be reached is tried again: it may be back any moment, and an
/// attempt costs one refused connection.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(100);

/// Makes the callers of single members.
#[derive(Clone, Debug)]
pub(crate) struct Network(pub(crate) Arc<Outbound>);

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, id: NodeId, place: &Place) -> Peer {
        self.0.roster.list(place.record(id));
        Peer { id, outbound: Arc::clone(&self.0), meters: self.0.observer.meters.peer(id) }
    }
}

impl NetBackoff<TypeConfig> for Peer {
    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(UNREACHABLE_PAUSE)))
    }
}

impl NetVote<TypeConfig> for Peer {
    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, CallError> {
        self.within(option.soft_ttl(), RPCTypes::Vote, ask_vote(self, request, false)).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, CallError> {
        self.within(option.soft_ttl(), RPCTypes::Vote, ask_vote(self, request, true)).await
    }
}

impl NetTransferLeader<TypeConfig> for Peer {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, CallError> {
        let (last_log, from) = (request.last_log_id().copied(), *request.from_leader());
        let call = async {
            let mut client = self.client().await?;
            let wire = proto::TransferLeaderRequest {
                caller: self.caller(),
                from: Some(wire_vote(&from)),
                to_node_id: *request.to_node_id(),
                last_log: last_log.map(wire_log_id),
            };
            client.transfer_leader(wire).await.map_err(|status| self.failed(status))
        };
        let reply = self.within(option.hard_ttl(), RPCTypes::TransferLeader, call).await?;
        Ok(match reply.into_inner().accepted {
            true => Ok(()),
            false => Err(TransferLeaderError::LogNotFlushed { expected: last_log, actual: None }),
        })
    }
}

impl NetStreamAppend<TypeConfig> for Peer {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, CallError>>, CallError>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(append_out::stream(self, input))
    }
}

impl NetSnapshot<TypeConfig> for Peer {
    type SnapshotData = SnapshotFile;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            closed = cancel => Err(closed.into()),
            sent = snapshot_out::send(self, vote, snapshot.snapshot) => sent,
        }
    }
}

async fn ask_vote(
    peer: &Peer,
    request: VoteRequest<TypeConfig>,
    pre: bool,
) -> Result<VoteResponse<TypeConfig>, CallError> {
    let mut client = peer.client().await?;
    let request = proto::VoteRequest {
        caller: peer.caller(),
        vote: Some(wire_vote(&request.vote)),
        last_log: request.last_log_id.map(wire_log_id),
        leader_transfer: request.leadership_transfer,
    };
    let reply = match pre {
        true => client.pre_vote(request).await,
        false => client.vote(request).await,
    };
    let reply = reply.map_err(|status| peer.failed(status))?.into_inner();
    let vote = read_vote(reply.vote).map_err(misshapen)?;
    let last_log = read_log_id_option(reply.last_log).map_err(misshapen)?;
    Ok(VoteResponse::new(vote, last_log, reply.granted))
}
