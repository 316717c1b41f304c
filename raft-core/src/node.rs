//! A running member of a cluster.

mod announcing;
mod assembling;
pub(crate) mod backup;
mod bootstrap;
mod disk_start;
mod disk_watch;
mod ending;
mod following;
mod ground;
mod membership;
mod operations;
mod promises;
mod proposals;
mod reads;
mod running;
mod serving;
pub(crate) mod session;
mod start;
mod tasks;
mod upkeep;
mod watching;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tonic::service::Routes;
use tonic::transport::Channel;

use crate::config::Config;
use crate::engine::refusal::Unformed;
use crate::environment::Environment;
use crate::error::{BootstrapError, StartError, StopReason};
use crate::event::Event;
use crate::member::{Member, NodeId};
use crate::metrics::{self, Shown};
use crate::node::ending::Order;
use crate::node::running::Running;
use crate::position::Position;
use crate::state_machine::OnDiskStateMachine;
use crate::status::{Role, Status};

/// A time no deadline reaches.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);

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
    pub async fn start<M: OnDiskStateMachine>(
        config: Config,
        machine: M,
        services: Routes,
    ) -> Result<Node, StartError> {
        Node::start_with(config, machine, services, Environment::default()).await
    }

    /// The same, in surroundings of the caller's choice.
    pub(crate) async fn start_with<M: OnDiskStateMachine>(
        config: Config,
        machine: M,
        services: Routes,
        environment: Environment,
    ) -> Result<Node, StartError> {
        let running = Box::pin(start::start(config, machine, services, environment)).await?;
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
    /// A node that was given the id of a running cluster ([`Config::cluster_id`]) forms none. One
    /// that finds its cluster itself ([`Config::assembly`]) needs no such call; it waits until the
    /// node is a member.
    ///
    /// Fails in a cluster that was formed by others than `config.members` and has not changed
    /// since, when a member refuses this node, and when this node stops.
    pub async fn bootstrap(&self) -> Result<(), BootstrapError> {
        if self.running.gathering.is_some() {
            return self.assembled().await;
        }
        if self.running.config.cluster_id.is_some() {
            return Ok(());
        }
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
        // Members that were changed since, by an entry behind the first one, are no contradiction
        // to the list that formed them. Without voters: another member has formed it, and its entry
        // is under way.
        let changed = self.members().position != Position::default();
        if changed || voters.is_empty() || places(&voters) == places(&self.running.config.members) {
            return Ok(());
        }
        Err(BootstrapError::OtherMembers { members: voters })
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

    /// What happens to this node and its cluster: at the first call since its start, at later ones
    /// from now on. A listener that falls behind by 1,024 events is told how many it missed.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.running.observer.events.listen()
    }

    /// The kept connection for the application's own calls to another member, authenticated both
    /// ways when there is TLS; `None` for a stranger and for this node itself.
    #[must_use]
    pub fn channel(&self, to: NodeId) -> Option<Channel> {
        Some(self.running.forward.channels.get(to)?.application)
    }

    /// The cluster this node belongs to; all zeros while it has not found one yet.
    #[must_use]
    pub fn cluster_id(&self) -> [u8; 16] {
        self.running.forward.roster.identity().cluster_id
    }

    /// The cluster in which this cluster's history began: its own id, unless it was restored from a
    /// backup, when it is that of the first cluster, through any number of restores. All zeros
    /// while the node has found no cluster yet. A member that joins a restored cluster knows it
    /// before it holds any entry.
    ///
    /// What people sign for, and what else must outlive a restore, names this id; what must never
    /// be taken for another cluster's, such as a call, names [`Node::cluster_id`]. Both clusters
    /// may run at once, so that a signature made for one of them is valid in the other.
    #[must_use]
    pub fn lineage_id(&self) -> [u8; 16] {
        self.running.forward.roster.identity().lineage_id()
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.running.address
    }

    /// Counters, gauges and latencies in Prometheus' text format; names begin with `raft_`.
    #[must_use]
    pub fn metrics(&self) -> String {
        let running = &self.running;
        let (proposals, machine) =
            (running.forward.proposer.under_way(), running.machine.waiting());
        metrics::expose(&Shown {
            status: &self.status(),
            counters: &running.counters,
            meters: &running.observer.meters,
            low_disk: &running.observer.low_disk,
            log: running.log.stats(),
            purged_index: running.log.state().purged.map_or(0, |purged| purged.index),
            replicated: running.engine.replicated(),
            queues: vec![
                ("proposals", proposals.0, proposals.1),
                ("state_machine", machine.0, machine.1),
            ],
        })
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
