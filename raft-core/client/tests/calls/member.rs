//! A member that speaks `RaftService` and answers to a script.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use telegraph_proto::raft::proposal_refused::Reason;
use telegraph_proto::raft::raft_service_server::{RaftService, RaftServiceServer};
use telegraph_proto::raft::{
    AppendReply, AppendRequest, Applied, Caller, Command, HelloReply, HelloRequest, JoinReply,
    JoinRequest, NotLeader, Position, PromiseReply, PromiseRequest, ProposalRefused, ProposeReply,
    ProposeRequest, ProposeStreamReply, ProposeStreamRequest, ReadIndexReply, ReadIndexRequest,
    Session, SnapshotChunk, SnapshotOffsetReply, SnapshotOffsetRequest, SnapshotReply,
    TaggedCommand, TaggedReply, TransferLeaderReply, TransferLeaderRequest, VoteReply, VoteRequest,
    propose_reply, read_index_reply,
};
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;
use tokio_stream::Empty;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, Streaming};

/// The cluster that members belong to unless told otherwise.
pub(crate) const CLUSTER: [u8; 16] = [7; 16];

/// What a member answers to proposals and reads.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// It leads: term 3, indexes from 1.
    Applied,
    /// It does not lead; an empty hint says nothing.
    NotLeader(String),
    Refused(Reason),
    Status(Code),
    /// A reply without a result.
    Nothing,
    /// Applied, but without a position.
    AppliedNowhere,
    /// No reply.
    Never,
}

#[derive(Debug, Default)]
struct Seen {
    hellos: AtomicU64,
    proposals: AtomicU64,
    reads: AtomicU64,
    commands: Mutex<Vec<Bytes>>,
    stamps: Mutex<Vec<Session>>,
}

/// A member on a runtime of its own, so that killing it cuts its connections as a killed process
/// does.
pub(crate) struct Member {
    pub(crate) address: String,
    script: Arc<Script>,
    runtime: Option<Runtime>,
}

struct Script {
    cluster_id: [u8; 16],
    node_id: u64,
    reply: Mutex<Reply>,
    seen: Seen,
}

impl Member {
    pub(crate) async fn start(node_id: u64, reply: Reply) -> Member {
        Member::start_in(CLUSTER, node_id, reply).await
    }

    pub(crate) async fn start_in(cluster_id: [u8; 16], node_id: u64, reply: Reply) -> Member {
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen = Seen::default();
        let script = Arc::new(Script { cluster_id, node_id, reply: Mutex::new(reply), seen });
        let service = RaftServiceServer::new(Spoken(Arc::clone(&script)));
        let bound = runtime.spawn(async move {
            let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = incoming.local_addr().unwrap().to_string();
            tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
            address
        });
        let address = bound.await.unwrap();
        Member { address, script, runtime: Some(runtime) }
    }

    /// What it answers from now on.
    pub(crate) fn now(&self, reply: Reply) {
        *self.script.reply.lock().unwrap() = reply;
    }

    /// Ends it and all its connections.
    pub(crate) async fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
        // The last connection drops the last of the services, which share the script.
        until(|| Arc::strong_count(&self.script) == 1).await;
    }

    pub(crate) async fn proposed(&self, times: u64) {
        until(|| self.proposals() >= times).await;
    }

    pub(crate) fn proposals(&self) -> u64 {
        self.script.seen.proposals.load(Ordering::SeqCst)
    }

    pub(crate) fn reads(&self) -> u64 {
        self.script.seen.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn hellos(&self) -> u64 {
        self.script.seen.hellos.load(Ordering::SeqCst)
    }

    /// The session stamps of all commands that came, in their order.
    pub(crate) fn stamps(&self) -> Vec<Session> {
        self.script.seen.stamps.lock().unwrap().clone()
    }

    pub(crate) fn commands(&self) -> Vec<Bytes> {
        self.script.seen.commands.lock().unwrap().clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "it did not happen");
        tokio::task::yield_now().await;
    }
}

struct Spoken(Arc<Script>);

impl Spoken {
    /// What a real member checks before anything else of a caller that is not a member.
    fn admit(&self, caller: Option<Caller>, greeting: bool) -> Result<(), Status> {
        let caller = caller.ok_or_else(|| Status::invalid_argument("no caller"))?;
        let named = caller.cluster_id == self.0.cluster_id[..];
        let addressed = caller.to_node_id == self.0.node_id;
        let open = greeting && caller.to_node_id == 0;
        let sound = caller.from_node_id == 0 && caller.protocol_version == 1;
        if sound && (named || greeting) && (addressed || open) {
            return Ok(());
        }
        Err(Status::data_loss(format!("a real member would refuse {caller:?}")))
    }
}

impl Script {
    async fn reply(&self) -> Result<Reply, Status> {
        let reply = self.reply.lock().unwrap().clone();
        match reply {
            Reply::Status(code) => Err(Status::new(code, "scripted")),
            Reply::Never => std::future::pending().await,
            reply => Ok(reply),
        }
    }

    /// Answers the commands of one message; one that ends in a status ends the stream.
    async fn answer(&self, request: ProposeStreamRequest) -> Result<ProposeStreamReply, Status> {
        let mut replies = Vec::new();
        for TaggedCommand { tag, command, deadline_ms } in request.commands {
            assert!(deadline_ms > 0, "0 would be the member's own default");
            let reply = Some(self.propose(command.unwrap()).await?);
            replies.push(TaggedReply { tag, reply });
        }
        // In any order.
        replies.reverse();
        Ok(ProposeStreamReply { replies })
    }

    async fn propose(&self, command: Command) -> Result<ProposeReply, Status> {
        assert_eq!((command.version, command.time_unix_ms), (1, 0), "the leader stamps the time");
        let index = self.seen.proposals.fetch_add(1, Ordering::SeqCst) + 1;
        self.seen.stamps.lock().unwrap().extend(command.session.clone());
        let payload = command.payload;
        let position = Some(Position { term: 3, index });
        let result = match self.reply().await? {
            Reply::NotLeader(hint) => Some(propose_reply::Result::NotLeader(not_leader(hint))),
            Reply::Refused(reason) => Some(propose_reply::Result::Refused(refused(reason))),
            Reply::AppliedNowhere => Some(propose_reply::Result::Applied(Applied::default())),
            Reply::Applied => {
                self.seen.commands.lock().unwrap().push(payload.clone());
                let applied = Applied { position, reply: payload, replayed: false };
                Some(propose_reply::Result::Applied(applied))
            }
            _ => None,
        };
        Ok(ProposeReply { result })
    }
}

fn not_leader(leader_address: String) -> NotLeader {
    NotLeader { leader_node_id: 0, leader_address }
}

fn refused(reason: Reason) -> ProposalRefused {
    let detail = "scripted".to_owned();
    ProposalRefused { reason: reason.into(), detail, ..ProposalRefused::default() }
}

#[tonic::async_trait]
impl RaftService for Spoken {
    type AppendStream = Empty<Result<AppendReply, Status>>;

    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        self.0.seen.hellos.fetch_add(1, Ordering::SeqCst);
        self.admit(request.into_inner().caller, true)?;
        let caller = Caller {
            cluster_id: self.0.cluster_id.to_vec().into(),
            from_node_id: self.0.node_id,
            protocol_version: 1,
            ..Caller::default()
        };
        Ok(Response::new(HelloReply { caller: Some(caller), ..HelloReply::default() }))
    }

    async fn propose(&self, _: Request<ProposeRequest>) -> Result<Response<ProposeReply>, Status> {
        Err(Status::data_loss("a client proposes by stream"))
    }

    type ProposeStreamStream = ReceiverStream<Result<ProposeStreamReply, Status>>;

    async fn propose_stream(
        &self,
        request: Request<Streaming<ProposeStreamRequest>>,
    ) -> Result<Response<Self::ProposeStreamStream>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?.ok_or(Status::invalid_argument("empty"))?;
        self.admit(first.caller.clone(), false)?;
        let (replies, outgoing) = mpsc::channel(4);
        // What is refused at the door is refused before the stream is there.
        replies.try_send(Ok(self.0.answer(first).await?)).unwrap();
        let script = Arc::clone(&self.0);
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                assert!(request.caller.is_none(), "the caller is told once");
                let reply = script.answer(request).await;
                let ended = reply.is_err();
                if replies.send(reply).await.is_err() || ended {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn promise(&self, _: Request<PromiseRequest>) -> Result<Response<PromiseReply>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn join(&self, _: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn read_index(
        &self,
        request: Request<ReadIndexRequest>,
    ) -> Result<Response<ReadIndexReply>, Status> {
        self.admit(request.into_inner().caller, false)?;
        let index = self.0.seen.reads.fetch_add(1, Ordering::SeqCst) + 1;
        let result = match self.0.reply().await? {
            Reply::NotLeader(hint) => Some(read_index_reply::Result::NotLeader(not_leader(hint))),
            Reply::Refused(reason) => Some(read_index_reply::Result::Refused(refused(reason))),
            Reply::Applied => Some(read_index_reply::Result::Position(Position { term: 3, index })),
            _ => None,
        };
        Ok(Response::new(ReadIndexReply { result }))
    }

    async fn vote(&self, _: Request<VoteRequest>) -> Result<Response<VoteReply>, Status> {
        Err(Status::unimplemented("members only"))
    }

    async fn pre_vote(&self, _: Request<VoteRequest>) -> Result<Response<VoteReply>, Status> {
        Err(Status::unimplemented("members only"))
    }

    async fn append(
        &self,
        _: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        Err(Status::unimplemented("members only"))
    }

    async fn snapshot_offset(
        &self,
        _: Request<SnapshotOffsetRequest>,
    ) -> Result<Response<SnapshotOffsetReply>, Status> {
        Err(Status::unimplemented("members only"))
    }

    async fn install_snapshot(
        &self,
        _: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<SnapshotReply>, Status> {
        Err(Status::unimplemented("members only"))
    }

    async fn transfer_leader(
        &self,
        _: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderReply>, Status> {
        Err(Status::unimplemented("members only"))
    }
}
