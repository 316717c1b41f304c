//! What other members ask of this node over gRPC.
//!
//! Every call is checked for who makes it (`roster.rs`), then handed to consensus (`engine.rs`) or
//! to the proposer (`proposer.rs`). A caller that is refused learns why.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use telegraph_proto::raft::proposal_refused::Reason;
use telegraph_proto::raft::propose_reply::Result as ProposeResult;
use telegraph_proto::raft::raft_service_server::RaftService;
use telegraph_proto::raft::read_index_reply::Result as ReadResult;
use telegraph_proto::raft::{
    AppendReply, AppendRequest, Applied as WireApplied, Caller, HelloReply, HelloRequest, Member,
    NotLeader, Position, ProposalRefused, ProposeReply, ProposeRequest, ReadIndexReply,
    ReadIndexRequest, SnapshotChunk, SnapshotOffsetReply, SnapshotOffsetRequest, SnapshotReply,
    TransferLeaderReply, TransferLeaderRequest, VoteReply, VoteRequest,
};
use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status, Streaming};

use crate::engine::{Engine, Unled, Unproposed, now_unix_ms};
use crate::error::{ProposeError, Stranger};
use crate::member::NodeId;
use crate::metrics::Counters;
use crate::proposer::Proposer;
use crate::roster::Roster;
use crate::throttle::Throttle;

/// Time a member's command or read waits when it names no deadline of its own.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// The longest time it waits whatever it names.
const DEADLINE_MAX: Duration = Duration::from_secs(300);

/// Time for the first message of a stream, which tells who is there.
const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Entry and snapshot formats this version reads.
const READABLE_VERSION: u32 = 1;

/// The service between members.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// Consensus.
    pub(crate) engine: Engine,
    /// Who may call.
    pub(crate) roster: Arc<Roster>,
    /// Where commands are proposed.
    pub(crate) proposer: Arc<Proposer>,
    /// What is counted.
    pub(crate) counters: Arc<Counters>,
    /// Spares the log.
    pub(crate) throttle: Arc<Throttle>,
}

impl Service {
    async fn admit(&self, caller: Option<&Caller>) -> Result<NodeId, Status> {
        let known = caller.is_some_and(|caller| self.roster.has_met(caller.from_node_id));
        let admitted = if known {
            self.roster.admit(caller)
        } else {
            // The first contact is remembered on disk.
            let (roster, caller) = (Arc::clone(&self.roster), caller.cloned());
            tokio::task::spawn_blocking(move || roster.admit(caller.as_ref()))
                .await
                .unwrap_or(Err(Stranger::Unremembered))
        };
        admitted.map_err(|stranger| self.refuse(&stranger))
    }

    /// Admits members, and callers that are none (number 0): to be greeted, to propose, to read.
    async fn admit_any(&self, caller: Option<&Caller>, greets: bool) -> Result<NodeId, Status> {
        match caller.filter(|caller| caller.from_node_id == 0) {
            Some(guest) => {
                let admitted = self.roster.admit_guest(guest, greets);
                admitted.map(|()| 0).map_err(|stranger| self.refuse(&stranger))
            }
            None => self.admit(caller).await,
        }
    }

    fn refuse(&self, stranger: &Stranger) -> Status {
        self.counters.stranger();
        if self.throttle.passes() {
            tracing::warn!(%stranger, "calls are refused");
        }
        Status::failed_precondition(stranger.to_string())
    }

    fn not_leader(&self, leader: Option<NodeId>) -> NotLeader {
        let address = self.proposer.member(leader).map(|member| member.address);
        NotLeader {
            leader_node_id: leader.unwrap_or_default(),
            leader_address: address.unwrap_or_default(),
        }
    }
}

#[tonic::async_trait]
impl RaftService for Service {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let from = self.admit_any(request.get_ref().caller.as_ref(), true).await?;
        let us = self.roster.identity().node_id;
        let member = self.roster.members().get(&us).map(|member| Member {
            node_id: us,
            address: member.address.clone(),
            service_address: member.service_address.clone(),
            readable_version: READABLE_VERSION,
            ..Member::default()
        });
        Ok(Response::new(HelloReply {
            caller: Some(self.roster.caller_to(from)),
            member,
            oldest_readable_version: READABLE_VERSION,
            newest_readable_version: READABLE_VERSION,
            fresh: self.engine.is_fresh(),
            leader_node_id: self.engine.leader().unwrap_or_default(),
            time_unix_ms: now_unix_ms(),
            bootstrap_expect: u32::try_from(self.roster.members().len()).unwrap_or(u32::MAX),
        }))
    }

    async fn vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteReply>, Status> {
        let request = request.into_inner();
        let from = self.admit(request.caller.as_ref()).await?;
        self.engine.vote(from, request, false).await.map(Response::new)
    }

    async fn pre_vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteReply>, Status> {
        let request = request.into_inner();
        let from = self.admit(request.caller.as_ref()).await?;
        self.engine.vote(from, request, true).await.map(Response::new)
    }

    type AppendStream = Pin<Box<dyn Stream<Item = Result<AppendReply, Status>> + Send>>;

    async fn append(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let mut requests = request.into_inner();
        let first = first_message(&mut requests).await?;
        let from = self.admit(first.caller.as_ref()).await?;
        let requests = stream::once(async { Ok(first) }).chain(requests);
        Ok(Response::new(Box::pin(self.engine.append(from, requests))))
    }

    async fn snapshot_offset(
        &self,
        request: Request<SnapshotOffsetRequest>,
    ) -> Result<Response<SnapshotOffsetReply>, Status> {
        let request = request.into_inner();
        let from = self.admit(request.caller.as_ref()).await?;
        self.engine.snapshot_offset(from, request).await.map(Response::new)
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<SnapshotReply>, Status> {
        let mut chunks = request.into_inner();
        let first = first_message(&mut chunks).await?;
        let from = self.admit(first.caller.as_ref()).await?;
        self.engine.install_snapshot(from, first, chunks).await.map(Response::new)
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderReply>, Status> {
        let request = request.into_inner();
        let from = self.admit(request.caller.as_ref()).await?;
        self.engine.transfer_leader(from, request).await.map(Response::new)
    }

    async fn propose(
        &self,
        request: Request<ProposeRequest>,
    ) -> Result<Response<ProposeReply>, Status> {
        let request = request.into_inner();
        self.admit_any(request.caller.as_ref(), false).await?;
        let Some(command) = request.command else {
            return Err(Status::invalid_argument("the command is missing"));
        };
        let deadline = Instant::now() + limit(request.deadline_ms);
        let result = match self.proposer.propose(&command, None, deadline).await {
            Ok(applied) => ProposeResult::Applied(WireApplied {
                position: Some(Position {
                    term: applied.position.term,
                    index: applied.position.index,
                }),
                reply: applied.reply,
                replayed: false,
            }),
            Err(ProposeError::NotLeader { leader }) => {
                ProposeResult::NotLeader(self.not_leader(leader.map(|member| member.id)))
            }
            Err(ProposeError::NoLeader) => ProposeResult::NotLeader(self.not_leader(None)),
            Err(error) => ProposeResult::Refused(refused(&error)),
        };
        Ok(Response::new(ProposeReply { result: Some(result) }))
    }

    async fn read_index(
        &self,
        request: Request<ReadIndexRequest>,
    ) -> Result<Response<ReadIndexReply>, Status> {
        let request = request.into_inner();
        self.admit_any(request.caller.as_ref(), false).await?;
        let result = match self.engine.read_index(limit(request.deadline_ms)).await {
            Ok(at) => ReadResult::Position(Position { term: at.term, index: at.index }),
            Err(Unproposed::Unled(Unled::NotLeader(leader))) => {
                ReadResult::NotLeader(self.not_leader(leader))
            }
            Err(Unproposed::Stopped(_)) => ReadResult::Refused(ProposalRefused {
                reason: Reason::Stopped.into(),
                detail: String::new(),
            }),
            Err(_) => ReadResult::NotLeader(self.not_leader(None)),
        };
        Ok(Response::new(ReadIndexReply { result: Some(result) }))
    }
}

async fn first_message<T>(messages: &mut Streaming<T>) -> Result<T, Status> {
    let late = |_| Status::deadline_exceeded("nothing came");
    let first = timeout(FIRST_MESSAGE_TIMEOUT, messages.message()).await.map_err(late)??;
    first.ok_or_else(|| Status::invalid_argument("the stream is empty"))
}

fn limit(deadline_ms: u64) -> Duration {
    match deadline_ms {
        0 => DEFAULT_DEADLINE,
        millis => Duration::from_millis(millis).min(DEADLINE_MAX),
    }
}

fn refused(error: &ProposeError) -> ProposalRefused {
    let reason = match error {
        ProposeError::TooLarge { .. } => Reason::TooLarge,
        ProposeError::Overloaded => Reason::Overloaded,
        ProposeError::Stopped { proposed: false, .. } => Reason::Stopped,
        _ => Reason::OutcomeUnknown,
    };
    ProposalRefused { reason: reason.into(), detail: error.to_string() }
}
