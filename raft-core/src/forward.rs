//! Commands and reads that only the leader can serve, from wherever they arise.
//!
//! A command is passed on at most once unless it certainly was not proposed: a refusal, or a
//! connection that never came about. Whatever else happens on the way leaves its outcome unknown,
//! and the caller is told so.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use telegraph_proto::raft as proto;
use telegraph_proto::raft::proposal_refused::Reason;
use telegraph_proto::raft::propose_reply::Result as Reply;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use telegraph_proto::raft::read_index_reply::Result as ReadReply;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Status as Refusal};

use crate::applied::Applied;
use crate::channels::{Channels, MESSAGE_MAX_BYTES};
use crate::engine::{Engine, Unproposed};
use crate::error::{ProposeError, ReadError, StopReason};
use crate::member::NodeId;
use crate::metrics::Counters;
use crate::position::Position;
use crate::proposer::{Proposer, RETRY_PAUSE};
use crate::roster::Roster;
use crate::status::{Role, Status};

/// Version of the commands' envelope that every member reads.
const COMMAND_VERSION: u32 = 1;

/// Finds the leader and has it do what only it can do.
#[derive(Debug)]
pub(crate) struct Forward {
    /// Who we are.
    pub(crate) roster: Arc<Roster>,
    /// How the others are reached.
    pub(crate) channels: Channels,
    /// What we can do ourselves.
    pub(crate) proposer: Arc<Proposer>,
    /// Consensus here.
    pub(crate) engine: Engine,
    /// Who leads, as it changes.
    pub(crate) status: watch::Receiver<Status>,
    /// What is counted.
    pub(crate) counters: Arc<Counters>,
}

/// What came of passing something on.
enum Passed<T> {
    /// The leader's answer.
    Done(T),
    /// It did not get there, or not to the leader: nothing happened.
    Not,
}

impl Forward {
    /// Proposes a command at the leader, whoever that is, as soon as there is one.
    pub(crate) async fn propose(
        &self,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<Applied, ProposeError> {
        let command =
            proto::Command { version: COMMAND_VERSION, payload, ..proto::Command::default() };
        self.proposer.check(&command)?;
        let mut status = self.status.clone();
        loop {
            if status.borrow_and_update().role == Role::Stopped {
                return Err(ProposeError::Stopped { reason: StopReason::Halted, proposed: false });
            }
            match self.engine.leader() {
                Some(leader) if leader != self.us() => {
                    self.counters.forward();
                    let passed = self.pass_on(leader, &command, deadline).await?;
                    if let Passed::Done(applied) = passed {
                        return Ok(applied);
                    }
                }
                Some(_) => match self.proposer.propose(&command, None, deadline).await {
                    Err(ProposeError::NotLeader { .. }) => {}
                    done => return done,
                },
                None => {}
            }
            if !pause(&mut status, deadline).await {
                return Err(ProposeError::NoLeader);
            }
        }
    }

    /// Proposes a command here and nowhere else, if we lead that term.
    pub(crate) async fn propose_in_term(
        &self,
        term: u64,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<Applied, ProposeError> {
        let command =
            proto::Command { version: COMMAND_VERSION, payload, ..proto::Command::default() };
        self.proposer.propose(&command, Some(term), deadline).await
    }

    /// Waits until this node's state machine contains everything that was acknowledged anywhere
    /// before the call (Raft dissertation §6.4).
    pub(crate) async fn read_barrier(&self, deadline: Instant) -> Result<Position, ReadError> {
        let mut status = self.status.clone();
        let mut had_leader = false;
        loop {
            if status.borrow_and_update().role == Role::Stopped {
                return Err(StopReason::Halted.into());
            }
            let leader = self.engine.leader();
            had_leader |= leader.is_some();
            let asked = match leader {
                Some(leader) if leader != self.us() => self.ask_read_index(leader, deadline).await,
                Some(_) => match self.engine.read_index(left(deadline)).await {
                    Ok(position) => Passed::Done(position),
                    Err(Unproposed::Stopped(_)) => return Err(StopReason::Halted.into()),
                    Err(_) => Passed::Not,
                },
                None => Passed::Not,
            };
            if let Passed::Done(position) = asked {
                return self.wait_applied(position, deadline).await;
            }
            if !pause(&mut status, deadline).await {
                return Err(if had_leader { ReadError::Timeout } else { ReadError::NoLeader });
            }
        }
    }

    async fn wait_applied(&self, upto: Position, deadline: Instant) -> Result<Position, ReadError> {
        let mut applied = self.engine.applied();
        let reached = applied.wait_for(|at| at.is_some_and(|at| at.index >= upto.index));
        match timeout_at(deadline, reached).await {
            Ok(Ok(at)) => Ok(at.unwrap_or(upto)),
            Ok(Err(_)) => Err(StopReason::Halted.into()),
            Err(_) => Err(ReadError::Timeout),
        }
    }

    async fn pass_on(
        &self,
        leader: NodeId,
        command: &proto::Command,
        deadline: Instant,
    ) -> Result<Passed<Applied>, ProposeError> {
        let Some(mut client) = self.client(leader) else { return Ok(Passed::Not) };
        let request = proto::ProposeRequest {
            caller: Some(self.roster.caller_to(leader)),
            command: Some(command.clone()),
            deadline_ms: millis(left(deadline)),
        };
        let reply = match timeout_at(deadline, client.propose(request)).await {
            Ok(Ok(reply)) => reply.into_inner().result,
            Ok(Err(refusal)) if is_unsent(&refusal) => return Ok(Passed::Not),
            Ok(Err(_)) | Err(_) => return Err(ProposeError::Timeout),
        };
        match reply {
            Some(Reply::Applied(proto::Applied { position: Some(at), reply, .. })) => {
                let position = Position { term: at.term, index: at.index };
                Ok(Passed::Done(Applied { position, reply }))
            }
            Some(Reply::NotLeader(_)) => Ok(Passed::Not),
            Some(Reply::Refused(refused)) => match refused.reason() {
                Reason::Overloaded => Err(ProposeError::Overloaded),
                Reason::Stopped => Ok(Passed::Not),
                Reason::TooLarge => {
                    let bytes = command.payload.len();
                    Err(ProposeError::TooLarge { bytes, limit: bytes.saturating_sub(1) })
                }
                _ => Err(ProposeError::Timeout),
            },
            // An answer that says nothing tells nothing of the command either.
            _ => Err(ProposeError::Timeout),
        }
    }

    async fn ask_read_index(&self, leader: NodeId, deadline: Instant) -> Passed<Position> {
        let Some(mut client) = self.client(leader) else { return Passed::Not };
        let request = proto::ReadIndexRequest {
            caller: Some(self.roster.caller_to(leader)),
            deadline_ms: millis(left(deadline)),
        };
        let Ok(Ok(reply)) = timeout_at(deadline, client.read_index(request)).await else {
            return Passed::Not;
        };
        match reply.into_inner().result {
            Some(ReadReply::Position(at)) => {
                Passed::Done(Position { term: at.term, index: at.index })
            }
            _ => Passed::Not,
        }
    }

    fn client(&self, id: NodeId) -> Option<RaftServiceClient<Channel>> {
        let channel = self.channels.get(id)?.application.clone();
        let client = RaftServiceClient::new(channel);
        Some(client.max_decoding_message_size(MESSAGE_MAX_BYTES))
    }

    fn us(&self) -> NodeId {
        self.roster.identity().node_id
    }
}

/// Waits for a change, or a little; false when the deadline has come.
async fn pause(status: &mut watch::Receiver<Status>, deadline: Instant) -> bool {
    let changed = async {
        if status.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = changed => Instant::now() < deadline,
        () = sleep(RETRY_PAUSE) => Instant::now() < deadline,
        () = tokio::time::sleep_until(deadline) => false,
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn millis(time: Duration) -> u64 {
    // 0 would mean: no deadline.
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// True when a request certainly was not acted on: there was no connection to send it over, or the
/// member refused its caller.
fn is_unsent(refusal: &Refusal) -> bool {
    if matches!(refusal.code(), Code::FailedPrecondition | Code::Unimplemented) {
        return true;
    }
    let mut source = refusal.source();
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::Life;
    use crate::member::Member;

    async fn refusal(address: String) -> Refusal {
        let member = Member { id: 2, address, ..Member::default() };
        let limit = Duration::from_secs(10);
        let channels = Channels::new([&member].into_iter(), None, limit, &Life::default());
        let channel = channels.get(2).unwrap().application.clone();
        RaftServiceClient::new(channel).hello(proto::HelloRequest::default()).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_refused_connection_proves_that_nothing_was_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        assert!(is_unsent(&refusal(address).await));
        assert!(is_unsent(&refusal("no such name.invalid:1".into()).await));
        assert!(is_unsent(&Refusal::failed_precondition("a stranger")));
    }

    #[tokio::test]
    async fn a_connection_that_breaks_proves_nothing() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (refusal, ()) = tokio::join!(refusal(address), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The request is on its way when its first bytes are here.
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut [0; 64]).await.unwrap();
        });
        assert!(!is_unsent(&refusal), "{refusal:?}");
        assert!(!is_unsent(&Refusal::unavailable("somewhere on the way")));
    }
}
