//! A running member of a cluster.

mod bootstrap;
mod ending;
mod start;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::service::Routes;
use tonic::transport::Channel;

use crate::applied::Applied;
use crate::config::Config;
use crate::engine::Unformed;
use crate::error::{
    BootstrapError, OperatorError, ProposeError, ReadError, StartError, StopReason,
};
use crate::member::{Member, NodeId};
use crate::metrics;
use crate::node::ending::Order;
use crate::node::start::Running;
use crate::position::Position;
use crate::state_machine::StateMachine;
use crate::status::{Role, Status};

/// A time no deadline reaches.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// Time for a snapshot to be written on request.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(300);

/// A running member of a cluster; a handle that is cheap to clone. When the last one is dropped
/// the node halts.
#[derive(Clone, Debug)]
pub struct Node {
    running: Arc<Running>,
}

impl Node {
    /// Starts a member: opens its data directory, makes the state machine fit the log, listens and
    /// takes part. `services` are the application's own, served at the same address to the same
    /// callers; `Routes::default()` for none.
    ///
    /// Must be called within a tokio runtime, with time and network enabled. Fails as
    /// [`StartError`] says; nothing of the node is left running then.
    pub async fn start<M: StateMachine>(
        config: Config,
        machine: M,
        services: Routes,
    ) -> Result<Node, StartError> {
        let running = Box::pin(start::start(config, machine, services)).await?;
        Ok(Node { running: Arc::new(running) })
    }

    /// Forms the cluster of `config.members`, once, or finds it formed. Every member may be asked,
    /// at the same time too: all of them write the same first entry.
    ///
    /// A node that has entries already returns at once, and so does the only member of a list. A
    /// fresh one asks the others, and **waits without limit until all of them have answered in the
    /// same round** that they are fresh, too; or until one answers that it belongs to the cluster,
    /// whose leader will then turn to this node. A cluster is thus never formed by some of its
    /// members beside others that are away and may know it. Spawn it where something else is to be
    /// done meanwhile; it may be dropped and called again.
    ///
    /// Fails in a cluster that has other voters, when a member refuses this node, and when this
    /// node stops.
    pub async fn bootstrap(&self) -> Result<(), BootstrapError> {
        let limit = self.running.config.connect_timeout;
        let may_form = tokio::select! {
            biased;
            reason = self.stopped() => return Err(reason.into()),
            may_form = bootstrap::may_form(&self.running.forward, limit) => may_form?,
        };
        if !may_form {
            return self.check_voters();
        }
        match self.running.engine.initialize(&self.running.config.members).await {
            Ok(()) => Ok(()),
            Err(Unformed::Stopped) => Err(self.reason().into()),
            Err(Unformed::Exists) => self.check_voters(),
        }
    }

    fn check_voters(&self) -> Result<(), BootstrapError> {
        let voters = self.running.engine.voters();
        // Without voters: another member has formed it, and its entry is under way.
        if voters.is_empty() || places(&voters) == places(&self.running.config.members) {
            return Ok(());
        }
        Err(BootstrapError::OtherMembers { members: voters })
    }

    /// Proposes a command, here or at the leader, and waits until it is applied there. Waits for
    /// a leader, if there is none, until `limit` has passed.
    ///
    /// The command may have been applied although an error is returned:
    /// [`ProposeError::may_have_happened`] tells.
    pub async fn propose(&self, command: Bytes, limit: Duration) -> Result<Applied, ProposeError> {
        let outcome = self.running.forward.propose(command, deadline(limit)).await;
        self.counted(outcome)
    }

    /// Proposes a command here, only if this node leads `term`: for what only that leader knows.
    /// Never passed on.
    pub async fn propose_in_term(
        &self,
        term: u64,
        command: Bytes,
        limit: Duration,
    ) -> Result<Applied, ProposeError> {
        let outcome = self.running.forward.propose_in_term(term, command, deadline(limit)).await;
        self.counted(outcome)
    }

    fn counted(&self, outcome: Result<Applied, ProposeError>) -> Result<Applied, ProposeError> {
        self.running.counters.proposal(&outcome);
        outcome.map_err(|error| match error {
            ProposeError::Stopped { proposed, .. } => {
                ProposeError::Stopped { reason: self.reason(), proposed }
            }
            other => other,
        })
    }

    /// Waits until this node's state machine contains everything acknowledged anywhere before the
    /// call; a read of it afterwards is linearizable. Works on every member; needs a leader that
    /// a quorum confirms.
    pub async fn read_barrier(&self, limit: Duration) -> Result<Position, ReadError> {
        self.running.counters.read();
        let read = self.running.forward.read_barrier(deadline(limit)).await;
        read.map_err(|error| match error {
            ReadError::Stopped(_) => ReadError::Stopped(self.reason()),
            other => other,
        })
    }

    /// The last entry the state machine contains.
    #[must_use]
    pub fn applied(&self) -> Position {
        self.running.engine.applied().borrow().unwrap_or_default()
    }

    /// What the node says of itself now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.running.status.borrow().clone()
    }

    /// The same, as it changes.
    #[must_use]
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.running.status.clone()
    }

    /// The kept connection for the application's own calls to another member, authenticated both
    /// ways when there is TLS; `None` for a stranger and for this node itself.
    #[must_use]
    pub fn channel(&self, to: NodeId) -> Option<Channel> {
        Some(self.running.forward.channels.get(to)?.application.clone())
    }

    /// The cluster this node belongs to.
    #[must_use]
    pub fn cluster_id(&self) -> [u8; 16] {
        self.running.forward.roster.identity().cluster_id
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.running.address
    }

    /// Counters and gauges in Prometheus' text format; names begin with `raft_`.
    #[must_use]
    pub fn metrics(&self) -> String {
        metrics::expose(&self.status(), &self.running.counters, self.running.wal.as_ref())
    }

    /// Writes a snapshot now and returns the last entry it contains. Fails when nothing was
    /// applied yet, and after five minutes.
    pub async fn take_snapshot(&self) -> Result<Position, OperatorError> {
        let wanted = *self.running.engine.applied().borrow();
        let Some(wanted) = wanted else {
            return Err(OperatorError::Impossible("nothing was applied yet"));
        };
        let deadline = deadline(SNAPSHOT_TIMEOUT);
        let mut status = self.watch_status();
        loop {
            let contained = status.borrow_and_update().snapshot;
            if let Some(contained) = contained.filter(|contained| *contained >= wanted) {
                return Ok(contained);
            }
            if !self.running.engine.want_snapshot().await {
                return Err(self.reason().into());
            }
            self.changed(&mut status, deadline, |status| status.snapshot != contained).await?;
        }
    }

    /// Hands leadership to a member, or to whoever has most of the log, and returns who leads
    /// afterwards. Takes an election timeout or two, in which nothing can be proposed.
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<NodeId, OperatorError> {
        let mut status = self.watch_status();
        let (us, leader, role) = {
            let status = status.borrow_and_update();
            (status.node_id, status.leader, status.role)
        };
        if role != Role::Leader {
            let leader = leader.and_then(|id| self.member(id));
            return Err(OperatorError::NotLeader { leader });
        }
        let successors = self.running.engine.successors();
        let Some(to) = to.or_else(|| successors.into_iter().find(|id| *id != us)) else {
            return Err(OperatorError::Impossible("there is nobody to hand over to"));
        };
        if to == us || self.member(to).is_none() {
            return Err(OperatorError::Impossible("that is no other member"));
        }
        if !self.running.engine.hand_over(to).await {
            return Err(self.reason().into());
        }
        let deadline = deadline(self.running.config.election_timeout_max * 4);
        let other = |status: &Status| status.leader.is_some_and(|leader| leader != us);
        self.changed(&mut status, deadline, other).await?;
        let leader = status.borrow().leader;
        leader.ok_or(OperatorError::Timeout)
    }

    /// Hands leadership over if it leads, flushes, stops everything and gives the data directory
    /// free. Fails with the reason if the node had stopped before.
    pub async fn shutdown(&self) -> Result<(), StopReason> {
        if self.status().role == Role::Leader
            && let Err(error) = self.transfer_leadership(None).await
        {
            tracing::info!(%error, "leadership is left to an election");
        }
        match self.ordered(Order::Shutdown).await {
            StopReason::Shutdown => Ok(()),
            other => Err(other),
        }
    }

    /// Stops at once, as a killed process does: nothing is handed over, nothing flushed. When it
    /// returns the data directory is free.
    pub async fn halt(&self) {
        self.ordered(Order::Halt).await;
    }

    /// Resolves when the node has stopped, by itself or because it was asked to.
    pub async fn stopped(&self) -> StopReason {
        let mut ended = self.running.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(StopReason::Halted),
            // The runtime is going down.
            Err(_) => StopReason::Halted,
        }
    }

    async fn ordered(&self, order: Order) -> StopReason {
        // An order that finds no room comes second, one that finds nobody comes too late.
        let _ = self.running.orders.try_send(order);
        self.stopped().await
    }

    fn reason(&self) -> StopReason {
        self.running.ended.borrow().clone().unwrap_or(StopReason::Halted)
    }

    fn member(&self, id: NodeId) -> Option<Member> {
        self.running.forward.roster.members().get(&id).cloned()
    }

    async fn changed(
        &self,
        status: &mut watch::Receiver<Status>,
        deadline: Instant,
        until: impl Fn(&Status) -> bool,
    ) -> Result<(), OperatorError> {
        let reached = status.wait_for(|status| status.role == Role::Stopped || until(status));
        match timeout_at(deadline, reached).await {
            Ok(Ok(status)) if status.role == Role::Stopped => Err(self.reason().into()),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(self.reason().into()),
            Err(_) => Err(OperatorError::Timeout),
        }
    }
}

fn deadline(limit: Duration) -> Instant {
    Instant::now() + limit.min(FAR)
}

fn places(members: &[Member]) -> Vec<(NodeId, &str)> {
    let mut places: Vec<_> = members.iter().map(|m| (m.id, m.address.as_str())).collect();
    places.sort_unstable();
    places
}

#[cfg(test)]
mod tests;
