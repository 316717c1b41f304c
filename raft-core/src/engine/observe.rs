//! What openraft tells of itself, in our words.
//!
//! openraft's watch holds a lock that its core needs (openraft#1238): it is only ever cloned out
//! of, at once.
//!
//! openraft takes for the leader whoever was last elected, though it may be long gone: with
//! pre-votes a follower that hears nothing starts no new term. We know a leader only while we hear
//! of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::Fatal;
use openraft::metrics::{RaftDataMetrics, RaftMetrics};
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{Instant as _, ServerState};
use tokio::time::Instant;

use crate::config::Config;
use crate::engine::applier::{Progress, Raft};
use crate::engine::types::{LogId, StoredMembership, TypeConfig, Vote, position};
use crate::error::StopReason;
use crate::member::{Member, NodeId};
use crate::position::Position;
use crate::status::{Role, Status};

/// When a leader was last heard of.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Option<(NodeId, Instant)>>);

impl Heard {
    /// Notes that a leader has spoken.
    pub(crate) fn note(&self, leader: NodeId) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((leader, Instant::now()));
    }

    fn since(&self, leader: NodeId) -> Option<Duration> {
        let heard = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.filter(|(id, _)| *id == leader).map(|(_, at)| at.elapsed())
    }
}

/// Since when this node leads its term.
#[derive(Debug, Default)]
struct Elected(Mutex<Option<(u64, Instant)>>);

impl Elected {
    /// Time since this was first asked for this term.
    fn since(&self, term: u64) -> Duration {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *first {
            Some((of, at)) if of == term => at.elapsed(),
            _ => {
                *first = Some((term, Instant::now()));
                Duration::ZERO
            }
        }
    }
}

/// A view of one openraft node.
#[derive(Clone)]
pub(crate) struct Watched {
    us: NodeId,
    /// The highest version of a command that our own program reads.
    readable: u32,
    progress: Arc<Progress>,
    heard: Arc<Heard>,
    elected: Arc<Elected>,
    /// Silence after which a leader is taken for gone.
    silence: Duration,
    /// Time without a quorum's answer after which we do not call ourselves leader.
    quorum_silence: Duration,
    all: WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>,
    data: WatchReceiverOf<TypeConfig, RaftDataMetrics<TypeConfig>>,
}

/// The part that decides about calls.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// This node's vote.
    pub(crate) vote: Vote,
    /// The last entry it knows to be committed.
    pub(crate) committed: Option<LogId>,
    /// Who leads, as far as known.
    pub(crate) leader: Option<NodeId>,
    /// True while this node leads.
    pub(crate) leads: bool,
    /// True before the first entry.
    pub(crate) is_fresh: bool,
    /// The newest membership here, committed or not: it counts from when it is in the log.
    pub(crate) membership: Arc<StoredMembership>,
    /// The newest one that is committed.
    pub(crate) committed_membership: Arc<StoredMembership>,
    /// The ids that were removed.
    pub(crate) removed: Arc<BTreeSet<NodeId>>,
    /// The last membership entry applied, of which `removed` tells.
    pub(crate) removed_as_of: Option<LogId>,
}

impl Seen {
    /// Who votes; empty before bootstrap.
    pub(crate) fn voters(&self) -> Vec<Member> {
        voters(&self.membership)
    }
}

impl Watched {
    /// Watches a node as configured.
    pub(crate) fn new(
        raft: &Raft,
        config: &Config,
        heard: Arc<Heard>,
        progress: Arc<Progress>,
    ) -> Watched {
        Watched {
            us: config.node_id,
            readable: config.readable_version,
            progress,
            heard,
            elected: Arc::default(),
            // As long as a leader's lease, after which the others may elect another one.
            silence: config.election_timeout_max,
            quorum_silence: config.quorum_loss_probe_interval,
            all: raft.metrics(),
            data: raft.data_metrics(),
        }
    }

    /// The node that is watched.
    pub(crate) fn us(&self) -> NodeId {
        self.us
    }

    /// True while consensus takes this node for the leader of `term`, whoever answers it.
    pub(crate) fn is_leader_of(&self, term: u64) -> bool {
        let metrics = self.all.borrow_watched();
        metrics.state == ServerState::Leader && metrics.current_term == term
    }

    fn leads(&self, metrics: &RaftMetrics<TypeConfig>) -> bool {
        if metrics.state != ServerState::Leader {
            return false;
        }
        let mut voters = metrics.membership_config.voter_ids();
        let alone = voters.next() == Some(self.us) && voters.next().is_none();
        // A quorum has elected us, which is its last word until it answers the first append.
        let silent = match metrics.last_quorum_acked {
            Some(at) => at.elapsed(),
            None => self.elected.since(metrics.current_term),
        };
        alone || silent < self.quorum_silence
    }

    fn leader(&self, metrics: &RaftMetrics<TypeConfig>) -> Option<NodeId> {
        metrics.current_leader.filter(|leader| match *leader == self.us {
            true => self.leads(metrics),
            false => self.heard.since(*leader).is_some_and(|since| since < self.silence),
        })
    }

    /// Who leads now, as far as known.
    pub(crate) fn known_leader(&self) -> Option<NodeId> {
        self.leader(&self.all.borrow_watched())
    }

    /// What decides about calls, now.
    pub(crate) fn seen(&self) -> Seen {
        let (removed_as_of, removed) = self.progress.removed.borrow().clone();
        let metrics = self.all.borrow_watched();
        Seen {
            vote: metrics.vote,
            committed: metrics.local_committed,
            leader: self.leader(&metrics),
            leads: metrics.state == ServerState::Leader,
            is_fresh: metrics.last_log_index.is_none() && metrics.snapshot.is_none(),
            membership: Arc::clone(&metrics.membership_config),
            committed_membership: Arc::clone(&metrics.committed_membership_config),
            removed,
            removed_as_of,
        }
    }

    /// Everything that is public, now; `applied`, `rebuilds` and the names are the caller's.
    pub(crate) fn status(&self, base: &Status) -> Status {
        let last_log = self.data.borrow_watched().last_log;
        let metrics = self.all.borrow_watched();
        let role = match metrics.state {
            _ if metrics.running_state.is_err() => Role::Stopped,
            ServerState::Leader if self.leads(&metrics) => Role::Leader,
            ServerState::Leader | ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Learner => Role::Learner,
            ServerState::Shutdown => Role::Stopped,
        };
        Status {
            role,
            term: metrics.current_term,
            leader: self.leader(&metrics),
            committed: place(metrics.local_committed),
            last_log: place(last_log),
            snapshot: metrics.snapshot.map(position),
            voters: voters(&metrics.membership_config),
            ..base.clone()
        }
    }

    /// Index of the last entry that the newest snapshot contains.
    pub(crate) fn snapshot(&self) -> Option<u64> {
        self.data.borrow_watched().snapshot.map(|id| id.index)
    }

    /// Waits for the next change, or until it is time to look for silence. Fails with the reason
    /// when openraft has stopped.
    pub(crate) async fn changed(&mut self) -> Result<(), Fatal<TypeConfig>> {
        let running = self.all.borrow_watched().running_state.clone();
        running?;
        let lost = tokio::select! {
            changed = self.all.changed() => changed.is_err(),
            changed = self.data.changed() => changed.is_err(),
            () = tokio::time::sleep(self.silence / 4) => false,
        };
        let running = self.all.borrow_watched().running_state.clone();
        // The core is gone without a word: it panicked.
        if lost { running.and(Err(Fatal::Panicked)) } else { running }
    }

    /// The highest version of a command that was applied here.
    pub(crate) fn version_applied(&self) -> u32 {
        self.progress.version()
    }

    /// The term of the last entry applied here.
    pub(crate) fn term_applied(&self) -> Option<u64> {
        self.progress.applied.borrow().map(|at| at.term)
    }

    /// The voters that have not said that they read commands of this version.
    pub(crate) fn not_reading(&self, version: u32) -> Vec<NodeId> {
        let metrics = self.all.borrow_watched();
        let membership = metrics.membership_config.membership();
        let reads = |id: NodeId| {
            let said = membership.get_node(&id).map_or(0, |place| place.readable_version);
            // Ours may have grown since it was said.
            said.max(1) >= version && (id != self.us || self.readable >= version)
        };
        membership.voter_ids().filter(|id| !reads(*id)).collect()
    }

    /// Which entries set the membership: the newest here, the newest committed, and the last one
    /// applied.
    pub(crate) fn membership_ids(&self) -> [Option<LogId>; 3] {
        let applied = self.progress.removed.borrow().0;
        let metrics = self.all.borrow_watched();
        let newest = *metrics.membership_config.log_id();
        [newest, *metrics.committed_membership_config.log_id(), applied]
    }

    /// Waits until one of these is another entry. Fails when openraft has stopped.
    pub(crate) async fn membership_changed(
        &mut self,
        last: [Option<LogId>; 3],
    ) -> Result<(), StopReason> {
        let mut applied = self.progress.removed.subscribe();
        while self.membership_ids() == last {
            let lost = tokio::select! {
                changed = self.all.changed() => changed.is_err(),
                changed = applied.changed() => changed.is_err(),
            };
            if lost || self.all.borrow_watched().running_state.is_err() {
                return Err(StopReason::Halted);
            }
        }
        Ok(())
    }

    /// How far each other member is known to have the log; for a leader.
    pub(crate) fn replicated(&self) -> Vec<(NodeId, Option<Position>)> {
        let metrics = self.all.borrow_watched();
        let replication = metrics.replication.iter().flatten();
        replication.map(|(id, last)| (*id, last.map(position))).collect()
    }

    /// For how long a member has not answered, as the leader knows; `None` when it never has in
    /// this term, or this node does not lead.
    pub(crate) fn silence(&self, id: NodeId) -> Option<Duration> {
        let metrics = self.all.borrow_watched();
        (*metrics.heartbeat.as_ref()?.get(&id)?).map(|at| at.elapsed())
    }

    /// Entries of our log that a member is not known to have; `None` when it has not answered
    /// lately, or this node does not lead.
    pub(crate) fn lag(&self, id: NodeId) -> Option<u64> {
        let metrics = self.all.borrow_watched();
        let answered = (*metrics.heartbeat.as_ref()?.get(&id)?)?;
        if answered.elapsed() >= self.quorum_silence {
            return None;
        }
        let matched = (*metrics.replication.as_ref()?.get(&id)?)?;
        Some(metrics.last_log_index?.saturating_sub(matched.index))
    }
}

fn place(id: Option<LogId>) -> Position {
    id.map(position).unwrap_or_default()
}

fn voters(stored: &StoredMembership) -> Vec<Member> {
    let membership = stored.membership();
    let member = |id| Some(membership.get_node(&id)?.member(id));
    membership.voter_ids().filter_map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_time_since_an_election_is_that_of_its_term() {
        let elected = Elected::default();
        assert_eq!(elected.since(3), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(elected.since(3), Duration::from_secs(2));
        assert_eq!(elected.since(5), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(elected.since(5), Duration::from_secs(1));
    }
}
