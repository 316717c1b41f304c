//! Commands that members and guests propose here.

use futures_util::stream::{self, Stream, StreamExt as _};
use telegraph_proto::raft::{
    NotLeader, ProposeReply, ProposeRequest, ProposeStreamReply, ProposeStreamRequest, TaggedReply,
};
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::{ProposeReplies, Service, first_message, limit};
use crate::answer::write_reply;
use crate::member::NodeId;

/// Messages of one stream that are worked on at a time; the next ones wait in the connection. What
/// they may hold together, `Config::max_pending_proposals` limits.
const MESSAGES_UNDER_WAY: usize = 1024;

/// Commands in one message of a stream; more are a mistake.
const MESSAGE_COMMANDS_MAX: usize = 4096;

impl Service {
    /// Answers a proposal.
    pub(super) async fn answer_propose(
        &self,
        request: ProposeRequest,
    ) -> Result<ProposeReply, Status> {
        self.admit_any(request.caller.as_ref(), false).await?;
        let Some(command) = request.command else {
            return Err(Status::invalid_argument("the command is missing"));
        };
        let deadline = Instant::now() + limit(request.deadline_ms);
        let outcome = self.proposer.propose(&command, None, deadline).await;
        Ok(write_reply(outcome, |leader| self.not_leader(leader)))
    }

    /// Answers a stream of proposals: each message by one, when the last of its commands is
    /// settled. Ends with the first message that makes no sense.
    pub(super) async fn answer_propose_stream(
        &self,
        mut requests: Streaming<ProposeStreamRequest>,
    ) -> Result<ProposeReplies, Status> {
        let first = first_message(&mut requests).await?;
        self.admit_any(first.caller.as_ref(), false).await?;
        let requests = stream::once(async { Ok(first) }).chain(requests);
        Ok(Box::pin(answers(self.clone(), requests)))
    }

    async fn answer_message(
        &self,
        request: ProposeStreamRequest,
    ) -> Result<ProposeStreamReply, Status> {
        if request.commands.len() > MESSAGE_COMMANDS_MAX {
            return Err(Status::invalid_argument("too many commands in one message"));
        }
        let now = Instant::now();
        let mut tags = Vec::with_capacity(request.commands.len());
        let mut commands = Vec::with_capacity(request.commands.len());
        for tagged in request.commands {
            let Some(command) = tagged.command else {
                return Err(Status::invalid_argument("a command is missing"));
            };
            tags.push(tagged.tag);
            commands.push((command, now + limit(tagged.deadline_ms)));
        }
        let outcomes = self.proposer.propose_all(&commands).await;
        let replies = tags.into_iter().zip(outcomes).map(|(tag, outcome)| {
            let reply = Some(write_reply(outcome, |leader| self.not_leader(leader)));
            TaggedReply { tag, reply }
        });
        Ok(ProposeStreamReply { replies: replies.collect() })
    }

    pub(super) fn not_leader(&self, leader: Option<NodeId>) -> NotLeader {
        let address = self.proposer.member(leader).map(|member| member.address);
        NotLeader {
            leader_node_id: leader.unwrap_or_default(),
            leader_address: address.unwrap_or_default(),
        }
    }
}

fn answers(
    service: Service,
    requests: impl Stream<Item = Result<ProposeStreamRequest, Status>> + Send,
) -> impl Stream<Item = Result<ProposeStreamReply, Status>> + Send {
    requests
        .map(move |request| {
            let service = service.clone();
            async move { service.answer_message(request?).await }
        })
        .buffer_unordered(MESSAGES_UNDER_WAY)
}
