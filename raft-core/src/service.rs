//! What other members ask of this node over gRPC.
//!
//! Every call is checked for who makes it (`roster.rs`), then handed to consensus (`engine.rs`) or
//! to the proposer (`proposer.rs`). A caller that is refused learns why.
//!
//! - `assembly.rs`, `joining.rs`: greetings, and how nodes come together.
//! - `membership.rs`: what members say of themselves.
//! - `proposals.rs`, `reads.rs`: what only a leader can do.

mod assembly;
mod joining;
mod membership;
mod proposals;
mod reads;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use telegraph_proto::raft::raft_service_server::RaftService;
use telegraph_proto::raft::{
    AppendReply, AppendRequest, Caller, HelloReply, HelloRequest, JoinReply, JoinRequest,
    PromiseReply, PromiseRequest, ProposeReply, ProposeRequest, ProposeStreamReply,
    ProposeStreamRequest, ReadIndexReply, ReadIndexRequest, SnapshotChunk, SnapshotOffsetReply,
    SnapshotOffsetRequest, SnapshotReply, TransferLeaderReply, TransferLeaderRequest, VoteReply,
    VoteRequest,
};
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use crate::assembly::gathering::Gathering;
use crate::assembly::steward::Steward;
use crate::engine::Engine;
use crate::error::Stranger;
use crate::event::Event;
use crate::member::NodeId;
use crate::metrics::Counters;
use crate::proposer::Proposer;
use crate::reads::Reads;
use crate::roster::Roster;
use crate::throttle::Throttle;

/// Time a member's command or read waits when it names no deadline of its own.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// The longest time it waits whatever it names.
const DEADLINE_MAX: Duration = Duration::from_secs(300);

/// Time for the first message of a stream, which tells who is there.
const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Replies to a stream of proposals.
type ProposeReplies = Pin<Box<dyn Stream<Item = Result<ProposeStreamReply, Status>> + Send>>;

/// The service between members.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// Consensus.
    pub(crate) engine: Engine,
    /// Who may call.
    pub(crate) roster: Arc<Roster>,
    /// Where commands are proposed.
    pub(crate) proposer: Arc<Proposer>,
    /// Where read indexes are confirmed.
    pub(crate) reads: Reads,
    /// What is counted.
    pub(crate) counters: Arc<Counters>,
    /// Spares the log.
    pub(crate) throttle: Arc<Throttle>,
    /// How nodes come together, when this one finds its cluster itself.
    pub(crate) assembly: Option<Assembling>,
}

/// What the service needs to let nodes come together.
#[derive(Clone, Debug)]
pub(crate) struct Assembling {
    /// What this node knows and has promised.
    pub(crate) gathering: Arc<Gathering>,
    /// What it does for the members while it leads.
    pub(crate) steward: Steward,
}

impl Service {
    async fn admit(&self, caller: Option<&Caller>) -> Result<NodeId, Status> {
        self.admit_known(caller, false).await
    }

    /// Admits a member, and also who `introduces` itself as one that we do not know of yet.
    async fn admit_known(
        &self,
        caller: Option<&Caller>,
        introduces: bool,
    ) -> Result<NodeId, Status> {
        let admitted = self.try_admit(caller, introduces).await;
        if let Ok(member) = &admitted {
            tracing::Span::current().record("member", *member);
        }
        admitted.map_err(|stranger| self.refuse(&stranger))
    }

    async fn try_admit(
        &self,
        caller: Option<&Caller>,
        introduces: bool,
    ) -> Result<NodeId, Stranger> {
        let known = caller.is_some_and(|caller| self.roster.remembers(caller));
        if known {
            return self.roster.admit_known(caller, introduces);
        }
        // The first contact is remembered on disk.
        let (roster, caller) = (Arc::clone(&self.roster), caller.cloned());
        tokio::task::spawn_blocking(move || roster.admit_known(caller.as_ref(), introduces))
            .await
            .unwrap_or(Err(Stranger::Unremembered))
    }

    /// Admits members, and callers that are none (number 0): to be greeted, to propose, to read.
    async fn admit_any(&self, caller: Option<&Caller>, greets: bool) -> Result<NodeId, Status> {
        self.admit_greeting(caller, greets, false).await
    }

    async fn admit_greeting(
        &self,
        caller: Option<&Caller>,
        greets: bool,
        introduces: bool,
    ) -> Result<NodeId, Status> {
        match caller.filter(|caller| caller.from_node_id == 0) {
            Some(guest) => {
                let admitted = self.roster.admit_guest(guest, greets);
                admitted.map(|()| 0).map_err(|stranger| self.refuse(&stranger))
            }
            None => self.admit_known(caller, introduces).await,
        }
    }

    fn refuse(&self, stranger: &Stranger) -> Status {
        self.counters.stranger();
        if self.throttle.passes() {
            let why = stranger.to_string();
            self.engine.observer().events.tell(Event::CallerRefused { why });
        }
        Status::failed_precondition(stranger.to_string())
    }
}

#[tonic::async_trait]
impl RaftService for Service {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        self.answer_hello(request.into_inner()).await.map(Response::new)
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
        self.answer_propose(request.into_inner()).await.map(Response::new)
    }

    type ProposeStreamStream = ProposeReplies;

    async fn propose_stream(
        &self,
        request: Request<Streaming<ProposeStreamRequest>>,
    ) -> Result<Response<Self::ProposeStreamStream>, Status> {
        self.answer_propose_stream(request.into_inner()).await.map(Response::new)
    }

    async fn promise(
        &self,
        request: Request<PromiseRequest>,
    ) -> Result<Response<PromiseReply>, Status> {
        self.answer_promise(request.into_inner()).await.map(Response::new)
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        self.answer_join(request.into_inner()).await.map(Response::new)
    }

    async fn read_index(
        &self,
        request: Request<ReadIndexRequest>,
    ) -> Result<Response<ReadIndexReply>, Status> {
        self.answer_read_index(request.into_inner()).await.map(Response::new)
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
