//! Other members' calls, checked and handed to openraft.
//!
//! A member that follows the protocol never sends what is refused here. Checked is each message by
//! itself: that it has the right shape, speaks in its caller's own name, and that terms and indexes
//! within it fit each other. Not checked is whether it fits what was said before: openraft takes
//! for granted that a leader does not contradict what is committed, and may stop or panic when one
//! does. Members trust each other that far; TLS decides who is one.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use openraft::errors::{Fatal, RaftError};
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest, VoteRequest,
};
use telegraph_proto::raft as proto;
use telegraph_proto::raft::append_reply::Result as Reply;
use tonic::Status;

use crate::clock::WallClock;
use crate::engine::applier::Raft;
use crate::engine::observe::Heard;
use crate::engine::types::{LogEntry, LogId, Payload, TypeConfig, Vote};
use crate::engine::wire::{
    Misshapen, decode_entry, read_log_id_option, read_vote, wire_log_id, wire_vote,
};
use crate::low_disk::LowDisk;
use crate::member::NodeId;

impl From<Misshapen> for Status {
    fn from(error: Misshapen) -> Status {
        Status::invalid_argument(error.0)
    }
}

/// Answers a request for a vote.
pub(crate) async fn vote(
    raft: &Raft,
    from: NodeId,
    request: proto::VoteRequest,
    pre: bool,
) -> Result<proto::VoteReply, Status> {
    let vote = read_vote(request.vote)?;
    if vote.committed || vote.leader_id.voted_for != from {
        return Err(Status::invalid_argument("a candidate asks for votes for itself"));
    }
    let mut asked = VoteRequest::new(vote, read_log_id_option(request.last_log)?);
    asked.leadership_transfer = request.leader_transfer && !pre;
    let reply = match pre {
        true => raft.pre_vote(asked).await,
        false => raft.vote(asked).await,
    };
    let reply = reply.map_err(raft_stopped)?;
    Ok(proto::VoteReply {
        vote: Some(wire_vote(&reply.vote)),
        granted: reply.vote_granted,
        last_log: reply.last_log_id.map(wire_log_id),
    })
}

/// Answers a request to take over.
pub(crate) async fn transfer_leader(
    raft: &Raft,
    from: NodeId,
    request: proto::TransferLeaderRequest,
) -> Result<proto::TransferLeaderReply, Status> {
    let vote = leaders_vote(from, request.from)?;
    let last_log = read_log_id_option(request.last_log)?;
    let asked = TransferLeaderRequest::new(vote, request.to_node_id, last_log);
    let reply = raft.handle_transfer_leader(asked).await.map_err(stopped)?;
    Ok(proto::TransferLeaderReply { accepted: reply.is_ok() })
}

/// Answers appends, each in its turn, until they end or one is refused or makes no sense.
pub(crate) fn append(
    raft: &Raft,
    from: NodeId,
    heard: Arc<Heard>,
    low_disk: Arc<LowDisk>,
    clock: Arc<dyn WallClock>,
    requests: impl Stream<Item = Result<proto::AppendRequest, Status>> + Send + 'static,
) -> impl Stream<Item = Result<proto::AppendReply, Status>> + Send + 'static {
    // openraft wants requests and nothing else: what ends them otherwise is told at the end.
    let broken: Arc<Mutex<Option<Status>>> = Arc::default();
    let slot = Arc::clone(&broken);
    let sound = requests
        .map(move |request| {
            let request = read_append(from, request?)?;
            heard.note(from);
            Ok(request)
        })
        .scan((), move |(), request| {
            let request = request.map_err(|status| {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
            });
            std::future::ready(request.ok())
        });
    let end =
        stream::once(async move { broken.lock().unwrap_or_else(PoisonError::into_inner).take() });
    raft.stream_append(sound)
        .map(move |answer| {
            let result = Some(wire_answer(answer.map_err(stopped)?));
            let (low_disk, time_unix_ms) = (low_disk.is_low(), clock.now_unix_ms());
            Ok(proto::AppendReply { result, low_disk, time_unix_ms })
        })
        .chain(end.filter_map(|status| std::future::ready(status.map(Err))))
}

/// The vote of a leader, which must be the caller's own and granted by a quorum.
pub(crate) fn leaders_vote(from: NodeId, vote: Option<proto::Vote>) -> Result<Vote, Misshapen> {
    let vote = read_vote(vote)?;
    if !vote.committed || vote.leader_id.voted_for != from {
        return Err(Misshapen("only a leader may do this, and only in its own name".into()));
    }
    Ok(vote)
}

fn read_append(
    from: NodeId,
    request: proto::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, Misshapen> {
    let vote = leaders_vote(from, request.vote)?;
    let prev_log_id = read_log_id_option(request.previous)?;
    let leader_commit = read_log_id_option(request.leader_commit)?;
    let term = vote.leader_id.term;
    for known in [prev_log_id, leader_commit].into_iter().flatten() {
        if known.leader_id.term > term {
            return Err(Misshapen("an entry is of a later term than its leader".into()));
        }
    }
    let entries = read_entries(prev_log_id, term, request.entries)?;
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

/// Entries must follow each other without gap, in terms that never go back nor beyond `term`.
fn read_entries(
    mut previous: Option<LogId>,
    term: u64,
    encoded: Vec<Bytes>,
) -> Result<Vec<LogEntry>, Misshapen> {
    let mut entries = Vec::with_capacity(encoded.len());
    for bytes in encoded {
        let entry = decode_entry(bytes)?;
        if let Payload::Normal(proposal) = &entry.payload {
            // Whoever applies it takes for granted that it can be read.
            proposal.command()?;
        }
        let (index, of_term) = (entry.id.index, entry.id.leader_id.term);
        let expected = previous.map_or(0, |previous| previous.index.saturating_add(1));
        let terms = previous.map_or(0, |previous| previous.leader_id.term)..=term;
        if index != expected || !terms.contains(&of_term) {
            return Err(Misshapen(format!("entry {} does not continue the log", entry.id)));
        }
        previous = Some(entry.id);
        entries.push(entry);
    }
    Ok(entries)
}

fn wire_answer(answer: StreamAppendResult<TypeConfig>) -> Reply {
    match answer {
        Ok(matched) => Reply::Matched(proto::Matched { position: matched.map(wire_log_id) }),
        Err(StreamAppendError::Conflict(expected)) => {
            Reply::Conflict(proto::Conflict { expected: Some(wire_log_id(expected)) })
        }
        Err(StreamAppendError::HigherVote(vote)) => Reply::HigherVote(wire_vote(&vote)),
    }
}

/// What a caller is told when this node has stopped.
pub(crate) fn stopped(_: Fatal<TypeConfig>) -> Status {
    Status::unavailable("the node has stopped")
}

fn raft_stopped(_: RaftError<TypeConfig>) -> Status {
    Status::unavailable("the node has stopped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::types::{Proposal, log_id};
    use crate::engine::wire::encode_entry;
    use crate::position::Position;
    use openraft::entry::RaftEntry as _;

    fn encoded(term: u64, index: u64) -> Bytes {
        encode_entry(&LogEntry::new(log_id(Position { term, index }), Payload::Blank))
    }

    fn unreadable(term: u64, index: u64) -> Bytes {
        let command = Payload::Normal(Proposal(Bytes::from_static(b"garbage")));
        encode_entry(&LogEntry::new(log_id(Position { term, index }), command))
    }

    fn sound() -> proto::AppendRequest {
        proto::AppendRequest {
            vote: Some(proto::Vote { term: 5, node_id: 2, committed: true }),
            previous: Some(proto::Position { term: 3, index: 7 }),
            leader_commit: Some(proto::Position { term: 3, index: 6 }),
            entries: vec![encoded(3, 8), encoded(5, 9)],
            ..proto::AppendRequest::default()
        }
    }

    #[test]
    fn a_sound_append_is_read_with_its_bytes_kept() {
        let request = read_append(2, sound()).unwrap();
        assert_eq!(request.entries.len(), 2);
        assert_eq!(request.entries[0].encoded, encoded(3, 8));
    }

    #[test]
    fn what_no_leader_sends_is_refused() {
        let faults: [fn(&mut proto::AppendRequest); 12] = [
            |r| r.vote = None,
            |r| r.vote = Some(proto::Vote { term: 5, node_id: 3, committed: true }),
            |r| r.vote = Some(proto::Vote { term: 5, node_id: 2, committed: false }),
            |r| r.vote = Some(proto::Vote { term: u64::MAX, node_id: 2, committed: true }),
            |r| r.previous = Some(proto::Position { term: 6, index: 7 }),
            |r| r.previous = Some(proto::Position { term: 3, index: u64::MAX }),
            |r| r.leader_commit = Some(proto::Position { term: 6, index: 1 }),
            |r| r.entries.remove(0).clear(),
            |r| r.entries.swap(0, 1),
            |r| r.entries[1] = encoded(6, 9),
            |r| r.entries[1] = Bytes::from_static(b"garbage"),
            |r| r.entries[1] = unreadable(5, 9),
        ];
        for (number, spoil) in faults.iter().enumerate() {
            let mut request = sound();
            spoil(&mut request);
            assert!(read_append(2, request).is_err(), "fault {number}");
        }
    }
}
