//! One other member, as whom it is called and how.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use openraft::RPCTypes;
use openraft::errors::{NetworkError, RPCError, Timeout, Unreachable};
use telegraph_proto::raft as proto;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::channels::{Channels, MESSAGE_MAX_BYTES};
use crate::config::Config;
use crate::engine::types::TypeConfig;
use crate::engine::wire::{Misshapen, wire_member};
use crate::member::NodeId;
use crate::roster::Roster;

/// What calling members takes.
#[derive(Debug)]
pub(crate) struct Outbound {
    /// Who is called, and who we are.
    pub(crate) roster: Arc<Roster>,
    /// The connections.
    pub(crate) channels: Channels,
    /// Appends under way to one member.
    pub(crate) append_window: usize,
    /// Time in which the next answer to an append must come: a member whose disk takes longer to
    /// sync is as good as gone, one that takes less is only slow.
    pub(crate) append_stall: Duration,
    /// Time for a connection to come about.
    pub(crate) connect_timeout: Duration,
    /// Time without progress after which a snapshot transfer is broken off.
    pub(crate) snapshot_stall: Duration,
}

impl Outbound {
    /// Calls as configured.
    pub(crate) fn new(roster: Arc<Roster>, channels: Channels, config: &Config) -> Outbound {
        Outbound {
            roster,
            channels,
            append_window: config.append_window,
            append_stall: (config.election_timeout_max * 2).max(Duration::from_secs(1)),
            connect_timeout: config.connect_timeout,
            snapshot_stall: config.snapshot_stall_timeout,
        }
    }
}

/// The caller of one member.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Whom it calls.
    pub(crate) id: NodeId,
    /// How.
    pub(crate) outbound: Arc<Outbound>,
}

/// What openraft wants to know of a failed call.
pub(crate) type CallError = RPCError<TypeConfig>;

impl Peer {
    /// A client of the member, which has been recognised as the one first met under its number.
    pub(crate) async fn client(&self) -> Result<RaftServiceClient<Channel>, CallError> {
        let channels = self.outbound.channels.get(self.id);
        let Some(channels) = channels else {
            return Err(Unreachable::from_string(format!("node {} is no member", self.id)).into());
        };
        let mut client = RaftServiceClient::new(channels.consensus.clone())
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES);
        if !self.outbound.roster.has_met(self.id) {
            self.greet(&mut client).await?;
        }
        Ok(client)
    }

    /// What we say of ourselves to this member.
    pub(crate) fn caller(&self) -> Option<proto::Caller> {
        Some(self.outbound.roster.caller_to(self.id))
    }

    async fn greet(&self, client: &mut RaftServiceClient<Channel>) -> Result<(), CallError> {
        let roster = Arc::clone(&self.outbound.roster);
        let us = roster.identity().node_id;
        let request = proto::HelloRequest {
            caller: self.caller(),
            member: roster.members().get(&us).map(wire_member),
            oldest_readable_version: 1,
            newest_readable_version: 1,
        };
        let reply = client.hello(request).await.map_err(call_error)?.into_inner();
        let id = self.id;
        // Remembering a member syncs a file.
        tokio::task::spawn_blocking(move || roster.recognise(id, reply.caller.as_ref()))
            .await
            .map_err(|error| CallError::Network(NetworkError::new(&error)))?
            .map_err(|error| {
                tracing::error!(member = id, %error, "whoever answers there is not the member");
                Unreachable::new(&error).into()
            })
    }

    /// Gives up on a call after `limit`.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        action: RPCTypes,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let late = |_| {
            let id = self.outbound.roster.identity().node_id;
            CallError::Timeout(Timeout { action, id, target: self.id, timeout: limit })
        };
        tokio::time::timeout(limit, call).await.map_err(late)?
    }
}

/// A failed call in openraft's words: whether to try again at once or after a pause.
pub(crate) fn call_error(status: Status) -> CallError {
    match status.code() {
        Code::Unavailable | Code::FailedPrecondition | Code::Unimplemented => {
            Unreachable::new(&status).into()
        }
        _ => NetworkError::new(&status).into(),
    }
}

/// An answer that makes no sense.
pub(crate) fn misshapen(error: Misshapen) -> CallError {
    NetworkError::new(&error).into()
}
