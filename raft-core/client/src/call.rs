//! One call to one member, and what its answer means.

use bytes::Bytes;
use telegraph_proto::raft;
use tokio::time::{Instant, timeout_at};
use tonic::Code;

use crate::applied::{Applied, Position};
use crate::connection::{self, Connection};
use crate::error::ClientError;
use crate::explain::explain;
use crate::pipe::Passage;

/// What is asked of the leader.
pub(crate) enum Call {
    /// A command, which the leader stamps with the time.
    Propose(raft::Command),
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
        let answered = timeout_at(deadline, async {
            match self {
                Call::Propose(command) => {
                    self.passed(member.pipe.pass(command.clone(), deadline).await)
                }
                Call::ReadIndex => self.ask_read_index(member, deadline).await,
            }
        });
        let late = |_| self.lost("no reply before the deadline".to_owned());
        answered.await.unwrap_or_else(late)
    }

    fn passed(&self, passage: Passage) -> Answer {
        match passage {
            Passage::Replied(reply) => self.proposed(reply),
            Passage::Refused(status) => self.failed(&status),
            Passage::Lost(why) => self.lost(why),
            Passage::Unsent => {
                Answer::Elsewhere { lost: true, why: "the connection was given up".to_owned() }
            }
        }
    }

    async fn ask_read_index(&self, member: &Connection, deadline: Instant) -> Answer {
        let left = deadline.saturating_duration_since(Instant::now());
        // 0 would ask for the member's own default.
        let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        let request = raft::ReadIndexRequest { caller: Some(member.caller()), deadline_ms };
        match member.service.clone().read_index(request).await {
            Ok(reply) => self.read(reply.into_inner()),
            Err(status) => self.failed(&status),
        }
    }

    fn proposed(&self, reply: raft::ProposeReply) -> Answer {
        use raft::propose_reply::Result::{Applied as Done, NotLeader, Refused};
        match reply.result {
            Some(Done(raft::Applied { position: Some(position), reply, replayed })) => {
                Answer::Done(Applied { position: received(&position), reply, replayed })
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
                Answer::Done(Applied { position, reply: Bytes::new(), replayed: false })
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
            Reason::Overloaded | Reason::LowDisk => {
                Answer::Final(ClientError::Overloaded { detail })
            }
            Reason::VersionNotReadable => Answer::Final(ClientError::Refused { detail }),
            // Said only of what was not proposed before the member stopped.
            Reason::Stopped => Answer::Elsewhere { lost: true, why: detail },
            Reason::SessionExpired | Reason::ReplyForgotten => {
                Answer::Final(ClientError::SessionExpired { detail })
            }
            Reason::Unspecified | Reason::OutcomeUnknown => {
                self.lost(format!("{}: {detail}", reason.as_str_name()))
            }
        }
    }

    /// A call that ended in a status. A member checks its caller before anything else, and these
    /// codes are what that yields; every other code may come after the command was taken.
    fn failed(&self, status: &tonic::Status) -> Answer {
        let why = explain(status);
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
