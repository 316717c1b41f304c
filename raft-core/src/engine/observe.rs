//! What openraft tells of itself, in our words.
//!
//! openraft's watch holds a lock that its core needs (openraft#1238): it is only ever cloned out
//! of, at once.

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::Fatal;
use openraft::metrics::{RaftDataMetrics, RaftMetrics};
use openraft::type_config::alias::WatchReceiverOf;

use crate::engine::applier::Raft;
use crate::engine::types::{LogId, TypeConfig, Vote, position};
use crate::member::{Member, NodeId};
use crate::position::Position;
use crate::status::{Role, Status};

/// A view of one openraft node.
#[derive(Clone)]
pub(crate) struct Watched {
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
    /// Watches a node.
    pub(crate) fn new(raft: &Raft) -> Watched {
        Watched { all: raft.metrics(), data: raft.data_metrics() }
    }

    /// What decides about calls, now.
    pub(crate) fn seen(&self) -> Seen {
        let metrics = self.all.borrow_watched();
        Seen {
            vote: metrics.vote,
            committed: metrics.local_committed,
            leader: metrics.current_leader,
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
            ServerState::Leader => Role::Leader,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Learner => Role::Learner,
            ServerState::Shutdown => Role::Stopped,
        };
        Status {
            role,
            term: metrics.current_term,
            leader: metrics.current_leader,
            committed: place(metrics.local_committed),
            last_log: place(last_log),
            snapshot: metrics.snapshot.map(position),
            voters: voters(&metrics),
            ..base.clone()
        }
    }

    /// Waits for the next change. Fails with the reason when openraft has stopped.
    pub(crate) async fn changed(&mut self) -> Result<(), Fatal<TypeConfig>> {
        let running = self.all.borrow_watched().running_state.clone();
        running?;
        let lost = tokio::select! {
            changed = self.all.changed() => changed.is_err(),
            changed = self.data.changed() => changed.is_err(),
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
    membership.voter_ids().filter_map(|id| membership.get_node(&id).cloned()).collect()
}
