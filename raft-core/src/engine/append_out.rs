//! Appends on their way to one member: one stream, a few requests under way on it.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::{self, StreamExt as _};
use openraft::RPCTypes;
use openraft::base::BoxStream;
use openraft::errors::NetworkError;
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};
use telegraph_proto::raft as proto;
use telegraph_proto::raft::append_reply::Result as Reply;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::engine::patient::Patient;
use crate::engine::peer::{CallError, Peer, misshapen};
use crate::engine::types::TypeConfig;
use crate::engine::wire::{
    Misshapen, encode_entry, read_log_id, read_log_id_option, read_vote, wire_log_id, wire_vote,
};

type Request = AppendEntriesRequest<TypeConfig>;
type Answer = Result<StreamAppendResult<TypeConfig>, CallError>;

/// Sends the requests of `input`, and gives their answers in order. Ends when `input` has ended
/// and everything was answered, or with the first error.
pub(crate) async fn stream<'s, S>(
    peer: &'s Peer,
    mut input: S,
) -> Result<BoxStream<'s, Answer>, CallError>
where
    S: Stream<Item = Request> + Send + Unpin + 'static,
{
    let Some(first) = input.next().await else { return Ok(Box::pin(stream::empty())) };
    let window = peer.outbound.append_window;
    let (requests, outbox) = mpsc::channel(window);
    let opened = async {
        let mut client = peer.client().await?;
        let first = proto::AppendRequest { caller: peer.caller(), ..wire_request(&first) };
        push(&requests, first)?;
        client.append(ReceiverStream::new(outbox)).await.map_err(|status| peer.failed(status))
    };
    let limit = peer.outbound.connect_timeout.max(peer.outbound.append_stall);
    let replies = peer.within(limit, RPCTypes::AppendEntries, opened).await?.into_inner();
    let mut pipe = Pipe {
        input: Some(Patient::new(input)),
        requests: Some(requests),
        replies,
        under_way: VecDeque::with_capacity(window),
        window,
        stall: peer.outbound.append_stall,
        peer,
    };
    pipe.sent();
    Ok(Box::pin(stream::unfold(Some(pipe), |pipe: Option<Pipe<'_, S>>| async move {
        let mut pipe = pipe?;
        match pipe.next_answer().await {
            Ok(Some(Ok(matched))) => Some((Ok(Ok(matched)), Some(pipe))),
            Ok(Some(refused)) => Some((Ok(refused), None)),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })))
}

/// Invariants:
/// - at most `window` requests are under way, so that the outbox always has room;
/// - `requests` is gone once `input` has ended, which tells the member that this was all.
struct Pipe<'p, S> {
    input: Option<Patient<S>>,
    requests: Option<mpsc::Sender<proto::AppendRequest>>,
    replies: Streaming<proto::AppendReply>,
    /// When each request was given to the connection, oldest first.
    under_way: VecDeque<Instant>,
    window: usize,
    stall: Duration,
    peer: &'p Peer,
}

impl<S> Pipe<'_, S> {
    fn sent(&mut self) {
        self.under_way.push_back(Instant::now());
        self.peer.meters.under_way.set(self.under_way.len() as u64);
    }

    fn answered(&mut self, reply: &proto::AppendReply) {
        let sent = self.under_way.pop_front();
        self.peer.meters.under_way.set(self.under_way.len() as u64);
        self.peer.answered();
        self.peer.outbound.clocks.note(self.peer.id, reply.time_unix_ms);
        self.peer.meters.low_disk.store(reply.low_disk, Ordering::Relaxed);
        if let (Some(sent), Some(Reply::Matched(_))) = (sent, &reply.result) {
            self.peer.meters.replicate.time(sent.elapsed());
        }
    }
}

impl<S> Drop for Pipe<'_, S> {
    fn drop(&mut self) {
        self.peer.meters.under_way.set(0);
    }
}

impl<S: Stream<Item = Request> + Send + Unpin> Pipe<'_, S> {
    async fn next_answer(&mut self) -> Result<Option<StreamAppendResult<TypeConfig>>, CallError> {
        loop {
            if self.under_way.is_empty() && self.input.is_none() {
                return Ok(None);
            }
            assert!(self.under_way.len() <= self.window, "the window is kept");
            let has_room = self.under_way.len() < self.window;
            let next_input = async {
                match &mut self.input {
                    Some(input) if has_room => input.next().await,
                    _ => std::future::pending().await,
                }
            };
            let stalled = async {
                match self.under_way.len() {
                    0 => std::future::pending().await,
                    _ => tokio::time::sleep(self.stall).await,
                }
            };
            tokio::select! {
                reply = self.replies.message() => {
                    let Some(reply) = reply.map_err(|status| self.peer.failed(status))? else {
                        return Err(network_error("the member closed the stream"));
                    };
                    if self.under_way.is_empty() {
                        return Err(network_error("the member answered without being asked"));
                    }
                    self.answered(&reply);
                    return read_reply(reply).map(Some).map_err(misshapen);
                }
                request = next_input => match (request, &self.requests) {
                    (Some(request), Some(requests)) => {
                        push(requests, wire_request(&request))?;
                        self.sent();
                    }
                    _ => (self.input, self.requests) = (None, None),
                },
                () = stalled => return Err(self.peer.late(RPCTypes::AppendEntries, self.stall)),
            }
        }
    }
}

fn push(
    requests: &mpsc::Sender<proto::AppendRequest>,
    request: proto::AppendRequest,
) -> Result<(), NetworkError<TypeConfig>> {
    requests.try_send(request).map_err(|_| NetworkError::from_string("the stream has ended"))
}

fn network_error(what: &str) -> CallError {
    NetworkError::from_string(what).into()
}

fn wire_request(request: &Request) -> proto::AppendRequest {
    proto::AppendRequest {
        caller: None,
        vote: Some(wire_vote(&request.vote)),
        previous: request.prev_log_id.map(wire_log_id),
        leader_commit: request.leader_commit.map(wire_log_id),
        entries: request.entries.iter().map(encode_entry).collect(),
    }
}

fn read_reply(reply: proto::AppendReply) -> Result<StreamAppendResult<TypeConfig>, Misshapen> {
    Ok(match reply.result {
        Some(Reply::Matched(matched)) => Ok(read_log_id_option(matched.position)?),
        Some(Reply::Conflict(conflict)) => {
            let expected = conflict.expected.ok_or_else(|| missing("the conflict's place"))?;
            Err(StreamAppendError::Conflict(read_log_id(expected)?))
        }
        Some(Reply::HigherVote(vote)) => Err(StreamAppendError::HigherVote(read_vote(Some(vote))?)),
        None => return Err(missing("the result")),
    })
}

fn missing(what: &str) -> Misshapen {
    Misshapen(format!("{what} is missing"))
}
