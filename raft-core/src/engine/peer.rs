//! One other member, as whom it is called and how.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::RPCTypes;
use openraft::errors::{NetworkError, RPCError, Timeout, Unreachable};
use telegraph_proto::raft as proto;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::channels::{Channels, MESSAGE_MAX_BYTES};
use crate::config::Config;
use crate::contact::Contact;
use crate::engine::clocks::Clocks;
use crate::engine::types::TypeConfig;
use crate::engine::wire::Misshapen;
use crate::error::Stranger;
use crate::event::Event;
use crate::formats::{FORMAT, check_reader};
use crate::member::NodeId;
use crate::meters::{PeerMeters, Rpc};
use crate::observer::Observer;
use crate::refusals::Refusals;
use crate::roster::Roster;
use crate::snapshot::served::Served;

/// What calling members takes.
#[derive(Debug)]
pub(crate) struct Outbound {
    /// Who is called, and who we are.
    pub(crate) roster: Arc<Roster>,
    /// The connections.
    pub(crate) channels: Channels,
    /// Where it is told that a member refuses us.
    pub(crate) refusals: Arc<Refusals>,
    /// Appends under way to one member.
    pub(crate) append_window: usize,
    /// Time in which the next answer to an append must come: a member whose disk takes longer to
    /// sync is as good as gone, one that takes less is only slow.
    pub(crate) append_stall: Duration,
    /// Time for a connection to come about.
    pub(crate) connect_timeout: Duration,
    /// Time without progress after which a snapshot transfer is broken off.
    pub(crate) snapshot_stall: Duration,
    /// The snapshots they are sent.
    pub(crate) served: Served,
    /// What their clocks say.
    pub(crate) clocks: Arc<Clocks>,
    /// Where it leaves what it sees.
    pub(crate) observer: Observer,
}

impl Outbound {
    /// Calls as configured.
    pub(crate) fn new(
        roster: Arc<Roster>,
        channels: Channels,
        refusals: Arc<Refusals>,
        served: Served,
        config: &Config,
        observer: Observer,
    ) -> Outbound {
        Outbound {
            roster,
            channels,
            refusals,
            append_window: config.append_window,
            append_stall: (config.election_timeout_max * 2).max(Duration::from_secs(1)),
            connect_timeout: config.connect_timeout,
            snapshot_stall: config.snapshot_stall_timeout,
            served,
            clocks: Arc::default(),
            observer,
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
    /// What is measured on the way to it.
    pub(crate) meters: Arc<PeerMeters>,
}

/// What openraft wants to know of a failed call.
pub(crate) type CallError = RPCError<TypeConfig>;

impl Peer {
    /// A client of the member, which has been recognised as the one first met under its number, and
    /// has heard from us who we are.
    pub(crate) async fn client(&self) -> Result<RaftServiceClient<Channel>, CallError> {
        let channels = self.outbound.channels.get(self.id);
        let Some(channels) = channels else {
            return Err(Unreachable::from_string(format!("node {} is no member", self.id)).into());
        };
        let greeted = Arc::clone(&channels.greeted);
        let mut client = RaftServiceClient::new(channels.consensus)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES);
        if !greeted.load(Ordering::Acquire) {
            self.greet(&mut client).await?;
            self.outbound.refusals.clear(self.id);
            greeted.store(true, Ordering::Release);
        }
        Ok(client)
    }

    /// What we say of ourselves to this member.
    pub(crate) fn caller(&self) -> Option<proto::Caller> {
        Some(self.outbound.roster.caller_to(self.id))
    }

    async fn greet(&self, client: &mut RaftServiceClient<Channel>) -> Result<(), CallError> {
        let roster = Arc::clone(&self.outbound.roster);
        let request = proto::HelloRequest {
            caller: self.caller(),
            member: Some(roster.own().into()),
            oldest_readable_version: FORMAT,
            newest_readable_version: FORMAT,
        };
        let id = self.id;
        let reply = client.hello(request).await.map_err(|status| {
            if status.code() == Code::FailedPrecondition {
                self.outbound.refusals.note(id, status.message());
                self.outbound.channels.distrust(id);
            }
            self.failed(status)
        })?;
        let reply = reply.into_inner();
        // Remembering a member syncs a file.
        tokio::task::spawn_blocking(move || {
            roster.recognise(id, reply.caller.as_ref())?;
            check_reader(reply.oldest_readable_version, reply.newest_readable_version)?;
            if let (Some(caller), Some(said)) = (&reply.caller, reply.member) {
                roster.note(caller, said.into());
            }
            Ok(())
        })
        .await
        .map_err(|error| CallError::Network(NetworkError::new(&error)))?
        .map_err(|error: Stranger| {
            self.outbound.refusals.note(id, &error.to_string());
            self.outbound.channels.distrust(id);
            Unreachable::new(&error).into()
        })
    }

    /// Notes that it has answered.
    pub(crate) fn answered(&self) {
        if self.meters.contacts.note(Contact::Connected) {
            self.outbound.refusals.clear(self.id);
            self.tell(Event::MemberConnected { member: self.id });
        }
    }

    /// A failed call in openraft's words: whether to try again at once or after a pause.
    pub(crate) fn failed(&self, status: Status) -> CallError {
        let why = status.message();
        match status.code() {
            Code::FailedPrecondition => {
                self.meters.contacts.note(Contact::Refused);
                self.outbound.refusals.note(self.id, why);
            }
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal => self.missed(why),
            // It has answered, though not as we wished.
            _ => self.answered(),
        }
        match status.code() {
            Code::Unavailable | Code::FailedPrecondition | Code::Unimplemented => {
                Unreachable::new(&status).into()
            }
            _ => NetworkError::new(&status).into(),
        }
    }

    /// A call that was given up after `limit`.
    pub(crate) fn late(&self, action: RPCTypes, limit: Duration) -> CallError {
        self.outbound.observer.meters.deadline(rpc_of(action));
        self.missed("no answer in time");
        let id = self.outbound.roster.identity().node_id;
        CallError::Timeout(Timeout { action, id, target: self.id, timeout: limit })
    }

    fn missed(&self, why: &str) {
        if self.meters.contacts.note(Contact::Unreachable) {
            self.tell(Event::MemberUnreachable { member: self.id, why: why.into() });
        }
    }

    fn tell(&self, event: Event) {
        self.outbound.observer.events.tell(event);
    }

    /// Gives up on a call after `limit`.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        action: RPCTypes,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let done = tokio::time::timeout(limit, call).await;
        let done = done.map_err(|_| self.late(action, limit))?;
        match &done {
            Ok(_) => self.answered(),
            Err(CallError::Unreachable(_)) => {
                // It may be elsewhere, or another process by now, or has forgotten us.
                self.outbound.channels.distrust(self.id);
                let channels = self.outbound.channels.get(self.id);
                let greeted = channels.iter().map(|channels| &channels.greeted);
                greeted.for_each(|greeted| greeted.store(false, Ordering::Release));
            }
            Err(_) => {}
        }
        done
    }
}

fn rpc_of(action: RPCTypes) -> Rpc {
    match action {
        RPCTypes::Vote => Rpc::Vote,
        RPCTypes::AppendEntries => Rpc::Append,
        RPCTypes::InstallSnapshot => Rpc::Snapshot,
        RPCTypes::TransferLeader => Rpc::Transfer,
    }
}

/// An answer that makes no sense.
pub(crate) fn misshapen(error: Misshapen) -> CallError {
    NetworkError::new(&error).into()
}
