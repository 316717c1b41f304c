//! What openraft tells of itself, in our words.
//!
//! openraft's watch holds a lock that its core needs (openraft#1238): it is only ever cloned out
//! of, at once.
//!
//! openraft takes for the leader whoever was last elected, though it may be long gone: with
//! pre-votes a follower that hears nothing starts no new term. We know a leader only while we hear
//! of it.

use openraft::{Instant as _, ServerState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::Fatal;
use openraft::metrics::{RaftDataMetrics, RaftMetrics};
use openraft::type_config::alias::WatchReceiverOf;

use crate::config::Config;
use crate::engine::applier::Raft;
use crate::engine::types::{LogId, TypeConfig, Vote, position};
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

/// A view of one openraft node.
#[derive(Clone)]
pub(crate) struct Watched {
    us: NodeId,
    heard: Arc<Heard>,
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
    /// Who votes; empty before bootstrap.
    pub(crate) voters: Vec<Member>,
}

impl Watched {
    /// Watches a node as configured.
    pub(crate) fn new(raft: &Raft, config: &Config, heard: Arc<Heard>) -> Watched {
        Watched {
            us: config.node_id,
            heard,
            // As long as a leader's lease, after which the others may elect another one.
            silence: config.election_timeout_max,
            quorum_silence: config.quorum_loss_probe_interval,
            all: raft.metrics(),
            data: raft.data_metrics(),
        }
    }

    fn leads(&self, metrics: &RaftMetrics<TypeConfig>) -> bool {
        let mut voters = metrics.membership_config.voter_ids();
        let alone = voters.next() == Some(self.us) && voters.next().is_none();
        let heard = metrics.last_quorum_acked.is_none_or(|at| at.elapsed() < self.quorum_silence);
        metrics.state == ServerState::Leader && (alone || heard)
    }

    fn leader(&self, metrics: &RaftMetrics<TypeConfig>) -> Option<NodeId> {
        metrics.current_leader.filter(|leader| match *leader == self.us {
            true => self.leads(metrics),
            false => self.heard.since(*leader).is_some_and(|since| since < self.silence),
        })
    }

    /// What decides about calls, now.
    pub(crate) fn seen(&self) -> Seen {
        let metrics = self.all.borrow_watched();
        Seen {
            vote: metrics.vote,
            committed: metrics.local_committed,
            leader: self.leader(&metrics),
            leads: metrics.state == ServerState::Leader,
            is_fresh: metrics.last_log_index.is_none() && metrics.snapshot.is_none(),
            voters: voters(&metrics),
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
            voters: voters(&metrics),
            ..base.clone()
        }
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

    /// How far each other member is known to have the log; for a leader.
    pub(crate) fn replicated(&self) -> Vec<(NodeId, Option<Position>)> {
        let metrics = self.all.borrow_watched();
        let replication = metrics.replication.iter().flatten();
        replication.map(|(id, last)| (*id, last.map(position))).collect()
    }
}

fn place(id: Option<LogId>) -> Position {
    id.map(position).unwrap_or_default()
}

fn voters(metrics: &RaftMetrics<TypeConfig>) -> Vec<Member> {
    let membership = metrics.membership_config.membership();
    let member = |id| Some(membership.get_node(&id)?.member(id));
    membership.voter_ids().filter_map(member).collect()
}
