//! What a leader answers to a proposal, on the wire and off it.

use bytes::Bytes;
use telegraph_proto::raft as proto;
use telegraph_proto::raft::proposal_refused::Reason;
use telegraph_proto::raft::propose_reply::Result as Reply;

use crate::applied::Applied;
use crate::error::ProposeError;
use crate::position::Position;

/// What came of passing a command on.
#[derive(Debug)]
pub(crate) enum Answer {
    /// This is its outcome.
    Settled(Result<Applied, ProposeError>),
    /// It did not get there, or not to the leader: nothing happened, and it can be sent again.
    NotProposed,
}

/// Reads an answer to this command. One that says nothing tells nothing of the command either.
pub(crate) fn read_reply(reply: Option<Reply>, command: &proto::Command) -> Answer {
    Answer::Settled(match reply {
        Some(Reply::Applied(proto::Applied { position: Some(at), reply, replayed })) => {
            Ok(Applied { position: Position { term: at.term, index: at.index }, reply, replayed })
        }
        Some(Reply::NotLeader(_)) => return Answer::NotProposed,
        Some(Reply::Refused(refused)) => match refused.reason() {
            Reason::Stopped => return Answer::NotProposed,
            Reason::Overloaded => Err(ProposeError::Overloaded),
            Reason::LowDisk => Err(ProposeError::LowDisk),
            Reason::TooLarge => {
                let bytes = command.payload.len();
                let limit = usize::try_from(refused.limit_bytes).unwrap_or(usize::MAX);
                Err(ProposeError::TooLarge { bytes, limit })
            }
            Reason::VersionNotReadable => {
                let (version, by) = (command.version, refused.node_ids);
                Err(ProposeError::HeldBack { version, by })
            }
            Reason::SessionExpired => Err(ProposeError::SessionExpired { proposed: false }),
            Reason::ReplyForgotten => Err(ProposeError::ReplyForgotten),
            Reason::Unspecified | Reason::OutcomeUnknown => Err(ProposeError::Timeout),
        },
        Some(Reply::Applied(_)) | None => Err(ProposeError::Timeout),
    })
}

/// Writes an answer; `not_leader` says who leads, where that is the answer.
pub(crate) fn write_reply(
    outcome: Result<Applied, ProposeError>,
    not_leader: impl FnOnce(Option<u64>) -> proto::NotLeader,
) -> proto::ProposeReply {
    let result = match outcome {
        Ok(Applied { position: Position { term, index }, reply, replayed }) => {
            let position = Some(proto::Position { term, index });
            Reply::Applied(proto::Applied { position, reply, replayed })
        }
        Err(ProposeError::NotLeader { leader }) => {
            Reply::NotLeader(not_leader(leader.map(|member| member.id)))
        }
        Err(ProposeError::NoLeader) => Reply::NotLeader(not_leader(None)),
        Err(error) => Reply::Refused(refused(&error)),
    };
    proto::ProposeReply { result: Some(result) }
}

fn refused(error: &ProposeError) -> proto::ProposalRefused {
    let mut refused = proto::ProposalRefused { detail: error.to_string(), ..Default::default() };
    let reason = match error {
        ProposeError::TooLarge { limit, .. } => {
            refused.limit_bytes = *limit as u64;
            Reason::TooLarge
        }
        ProposeError::HeldBack { by, .. } => {
            refused.node_ids.clone_from(by);
            Reason::VersionNotReadable
        }
        ProposeError::Overloaded => Reason::Overloaded,
        ProposeError::LowDisk => Reason::LowDisk,
        ProposeError::SessionExpired { .. } => Reason::SessionExpired,
        ProposeError::ReplyForgotten => Reason::ReplyForgotten,
        ProposeError::Stopped { proposed: false, .. } => Reason::Stopped,
        ProposeError::Stopped { proposed: true, .. }
        | ProposeError::Timeout
        | ProposeError::NoLeader
        | ProposeError::NotLeader { .. } => Reason::OutcomeUnknown,
    };
    refused.set_reason(reason);
    refused
}

/// A command as it is proposed first: without time, which the leader stamps.
pub(crate) fn wire_command(
    version: u32,
    payload: Bytes,
    session: Option<proto::Session>,
) -> proto::Command {
    // Whoever says no version means the first one.
    proto::Command { version: version.max(1), time_unix_ms: 0, session, payload }
}
