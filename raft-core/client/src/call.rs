//! One call to one member, and what its answer means.

use bytes::Bytes;
use telegraph_proto::raft;
use tokio::time::{Instant, timeout_at};
use tonic::Code;

use crate::applied::{Applied, Position};
use crate::connection::{self, Connection};
use crate::error::ClientError;

/// Version of the commands' envelope that every member reads.
const COMMAND_VERSION: u32 = 1;

/// What is asked of the leader.
pub(crate) enum Call {
    Propose(Bytes),
    ReadIndex,
}

/// What one member made of it.
pub(crate) enum Answer {
    Done(Applied),
    /// It does not lead; perhaps it knows who does.
    NotLeader(Option<String>),
    /// It did nothing with the call, or the call can be repeated.
    Elsewhere {
        /// Whether the connection is of no more use.
        lost: bool,
        why: String,
    },
    Final(ClientError),
}

impl Call {
    /// Asks `member` once, and no longer than `deadline`.
    pub(crate) async fn ask(&self, member: &Connection, deadline: Instant) -> Answer {
        let mut service = member.service.clone();
        let caller = Some(member.caller());
        let left = deadline.saturating_duration_since(Instant::now());
        // 0 would ask for the member's own default.
        let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        let outcome = match self {
            Call::Propose(payload) => {
                // The leader stamps the time.
                let (version, payload) = (COMMAND_VERSION, payload.clone());
                let command = Some(raft::Command { version, payload, ..Default::default() });
                let request = raft::ProposeRequest { caller, command, deadline_ms };
                let reply = timeout_at(deadline, service.propose(request)).await;
                reply.map(|reply| reply.map(|reply| self.proposed(reply.into_inner())))
            }
            Call::ReadIndex => {
                let request = raft::ReadIndexRequest { caller, deadline_ms };
                let reply = timeout_at(deadline, service.read_index(request)).await;
                reply.map(|reply| reply.map(|reply| self.read(reply.into_inner())))
            }
        };
        match outcome {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) => self.failed(&status),
            Err(_) => self.lost("no reply before the deadline".to_owned()),
        }
    }

    fn proposed(&self, reply: raft::ProposeReply) -> Answer {
        use raft::propose_reply::Result::{Applied as Done, NotLeader, Refused};
        match reply.result {
            Some(Done(raft::Applied { position: Some(position), reply, .. })) => {
                Answer::Done(Applied { position: received(&position), reply })
            }
            Some(NotLeader(who)) => Answer::NotLeader(hint(who)),
            Some(Refused(refusal)) => self.refused(refusal),
            Some(Done(_)) | None => self.lost("the reply says nothing".to_owned()),
        }
    }

    fn read(&self, reply: raft::ReadIndexReply) -> Answer {
        use raft::read_index_reply::Result::{NotLeader, Position as Done, Refused};
        match reply.result {
            Some(Done(position)) => {
                let position = received(&position);
                Answer::Done(Applied { position, reply: Bytes::new() })
            }
            Some(NotLeader(who)) => Answer::NotLeader(hint(who)),
            Some(Refused(refusal)) => self.refused(refusal),
            None => self.lost("the reply says nothing".to_owned()),
        }
    }

    fn refused(&self, refusal: raft::ProposalRefused) -> Answer {
        use raft::proposal_refused::Reason;
        let (reason, detail) = (refusal.reason(), refusal.detail);
        match reason {
            Reason::TooLarge => Answer::Final(ClientError::TooLarge { detail }),
            Reason::Overloaded => Answer::Final(ClientError::Overloaded { detail }),
            Reason::VersionNotReadable => Answer::Final(ClientError::Refused { detail }),
            // Said only of what was not proposed before the member stopped.
            Reason::Stopped => Answer::Elsewhere { lost: true, why: detail },
            // We open no sessions: that one of them expired is no answer to us.
            Reason::Unspecified | Reason::SessionExpired | Reason::OutcomeUnknown => {
                self.lost(format!("{}: {detail}", reason.as_str_name()))
            }
        }
    }

    /// A call that ended in a status. A member checks its caller before anything else, and these
    /// codes are what that yields; every other code may come after the command was taken.
    fn failed(&self, status: &tonic::Status) -> Answer {
        let why = connection::explain(status);
        let refused_at_the_door = matches!(
            status.code(),
            Code::Unauthenticated
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::InvalidArgument
                | Code::Unimplemented
        );
        if connection::never_sent(status) || refused_at_the_door {
            return Answer::Elsewhere { lost: true, why };
        }
        self.lost(why)
    }

    /// A call whose reply is missing or means nothing.
    fn lost(&self, detail: String) -> Answer {
        match self {
            Call::Propose(_) => Answer::Final(ClientError::OutcomeUnknown { detail }),
            Call::ReadIndex => Answer::Elsewhere { lost: true, why: detail },
        }
    }
}

fn received(position: &raft::Position) -> Position {
    Position { term: position.term, index: position.index }
}

fn hint(who: raft::NotLeader) -> Option<String> {
    Some(who.leader_address).filter(|address| !address.is_empty())
}
