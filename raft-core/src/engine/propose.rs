//! Commands on their way to the log of the leader that this node is, and what came of them.

use openraft::errors::{ClientWriteError, ForwardToLeader};
use openraft::raft::ClientWriteResult;
use telegraph_proto::raft as proto;
use tokio::sync::oneshot;

use crate::applied::Applied;
use crate::engine::Engine;
use crate::engine::clocks::Stamped;
use crate::engine::outcome::Outcome;
use crate::engine::refusal::{Unled, Unproposed};
use crate::engine::responder::Timed;
use crate::engine::types::{CommittedLeader, LogId, Proposal, TypeConfig, position};
use crate::member::NodeId;

/// A command that was given to consensus, or why it could not be.
pub(crate) struct Given(Result<oneshot::Receiver<ClientWriteResult<TypeConfig>>, Unproposed>);

impl Engine {
    /// Proposes a command here, stamped with the time; only if we lead `term`, when given.
    pub(crate) async fn propose(
        &self,
        mut command: proto::Command,
        term: Option<u64>,
    ) -> Result<Applied, Unproposed> {
        let stamp = self.stamp().ok_or(Unproposed::Unled(Unled::NotNow))?;
        command.time_unix_ms = stamp;
        let (responder, reply) = Timed::new(&self.observer.meters);
        let mut write = self.raft.write(Proposal::new(&command)).responder(responder);
        if let Some(term) = term {
            write = write.with_leader(CommittedLeader::from(term));
        }
        write.await.map_err(|_| Unproposed::Stopped(false))?;
        self.written(reply, term).await
    }

    /// Gives commands to consensus one right after the other, stamped with the time: whatever has
    /// come while it was busy shares its next append.
    pub(crate) async fn give(&self, commands: Vec<proto::Command>) -> Vec<Given> {
        let mut given = Vec::with_capacity(commands.len());
        let Some(time_unix_ms) = self.stamp() else {
            let not_now = || Given(Err(Unproposed::Unled(Unled::NotNow)));
            given.resize_with(commands.len(), not_now);
            return given;
        };
        for command in commands {
            let (responder, reply) = Timed::new(&self.observer.meters);
            let command = Proposal::new(&proto::Command { time_unix_ms, ..command });
            let taken = self.raft.client_write_ff(command, Some(responder)).await;
            given.push(Given(taken.map(|()| reply).map_err(|_| Unproposed::Stopped(false))));
        }
        given
    }

    /// Waits for what becomes of a command that was given.
    pub(crate) async fn outcome(&self, given: Given) -> Result<Applied, Unproposed> {
        match given.0 {
            Ok(reply) => self.written(reply, None).await,
            Err(why) => Err(why),
        }
    }

    /// Makes sure that every voter, and whoever is becoming one, reads commands of this version, so
    /// that one may be proposed; those who do not otherwise, and this node itself if its program
    /// does not.
    pub(crate) fn claim(&self, version: u32) -> Result<(), Vec<NodeId>> {
        // Whoever has said nothing reads version 1.
        if version <= 1 {
            return Ok(());
        }
        self.turn.versions.claim(version, || self.watched.not_reading(version))
    }

    pub(super) fn unled(&self, to: &ForwardToLeader<TypeConfig>, term: Option<u64>) -> Unled {
        let seen = self.watched.seen();
        if seen.leads && term.is_none_or(|term| term == seen.vote.leader_id.term) {
            return Unled::NotNow;
        }
        Unled::NotLeader(to.leader_id.or(seen.leader))
    }

    /// What a command is stamped with here as leader: the highest time that a majority of the
    /// voters' clocks have reached, and log time, as far as applied here, where that is not known
    /// or is behind. `None` while the first command would be stamped without knowing either: log
    /// time would begin wherever a single clock is.
    fn stamp(&self) -> Option<u64> {
        let seen = self.watched.seen();
        let own = self.now_unix_ms();
        let (us, log_time) = (self.watched.us(), self.progress.log_time());
        let voters = seen.membership.membership().get_joint_config();
        match self.clocks.stamp(us, own, voters) {
            Stamped::Reached(unix_ms) => Some(unix_ms.max(log_time)),
            _ if log_time > 0 => Some(log_time),
            // Older programs take their own clock for log time's beginning. So does whoever seems
            // not to lead: consensus tells it so whatever the stamp, or knows better than what is
            // seen of it a moment late.
            Stamped::Unsaid => Some(own),
            Stamped::Unheard if !seen.leads => Some(own),
            Stamped::Unheard => None,
        }
    }

    async fn written(
        &self,
        reply: oneshot::Receiver<ClientWriteResult<TypeConfig>>,
        term: Option<u64>,
    ) -> Result<Applied, Unproposed> {
        // The engine drops the responder only when it stops.
        match reply.await.map_err(|_| Unproposed::Stopped(true))? {
            Ok(applied) => applied_of(applied.log_id, applied.data),
            Err(ClientWriteError::ForwardToLeader(to)) => {
                Err(Unproposed::Unled(self.unled(&to, term)))
            }
            // It was in our log, and gave way to another leader's: it may be in somebody else's.
            Err(_) => Err(Unproposed::Unknown),
        }
    }
}

fn applied_of(at: LogId, outcome: Outcome) -> Result<Applied, Unproposed> {
    match outcome {
        Outcome::Applied(reply) => Ok(Applied { position: position(at), reply, replayed: false }),
        Outcome::Replayed(first, reply) => Ok(Applied { position: first, reply, replayed: true }),
        Outcome::Refused(denial) => Err(Unproposed::Refused(denial)),
    }
}
