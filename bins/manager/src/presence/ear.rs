//! Where a manager hears that somebody is there.

use super::inbox::Inbox;
use crate::metrics::{Count, Metrics};
use raft_core::{Node, Role};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use telegraph_proto::account::AccountId;
use tokio::time::Instant;

/// Most renewals in one call between managers.
pub(crate) const MAX_RENEWALS: usize = 4096;

/// A manager's ear: a handle that is cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Presence {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) inbox: Inbox,
    pub(super) lease: Duration,
    pub(super) metrics: Arc<Metrics>,
    /// Set once the node runs: the service that hears other managers is registered before.
    node: OnceLock<Node>,
    /// Leases held by this manager as leader, as the worker last said; 0 elsewhere.
    pub(super) leases: AtomicUsize,
}

/// What a batch of another manager's renewals met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// This node leads, and has them.
    Accepted,
    /// It does not; here is who it believes leads.
    NotLeader(Option<u64>),
    /// It is starting or stopping.
    NotRunning,
}

impl Presence {
    pub(crate) fn new(lease: Duration, metrics: Arc<Metrics>) -> Self {
        let (inbox, node, leases) = (Inbox::default(), OnceLock::new(), AtomicUsize::new(0));
        Self { shared: Arc::new(Shared { inbox, lease, metrics, node, leases }) }
    }

    /// The node this manager is; given once, when it runs.
    pub(crate) fn attach(&self, node: Node) {
        let first = self.shared.node.set(node).is_ok();
        assert!(first, "a manager has one node");
    }

    /// The cluster of that node; `None` before it runs.
    pub(crate) fn cluster_id(&self) -> Option<[u8; 16]> {
        Some(self.shared.node.get()?.cluster_id())
    }

    /// How long somebody may be silent.
    pub(crate) fn lease(&self) -> Duration {
        self.shared.lease
    }

    /// Leases this manager holds as leader; 0 when it does not lead.
    pub(crate) fn leases(&self) -> usize {
        self.shared.leases.load(Ordering::Relaxed)
    }

    /// A client was heard just now.
    pub(crate) fn renew(&self, account: AccountId) {
        self.put(std::iter::once((account, Instant::now())));
    }

    /// Another manager heard clients, each so long ago.
    pub(crate) fn receive(&self, renewals: Vec<(AccountId, Duration)>) -> Heard {
        let Some(node) = self.shared.node.get() else { return Heard::NotRunning };
        let status = node.status();
        match status.role {
            Role::Leader => {}
            Role::Stopped => return Heard::NotRunning,
            _ => return Heard::NotLeader(status.leader),
        }
        let now = Instant::now();
        self.put(renewals.into_iter().filter_map(|(account, age)| {
            // What is older than a lease renews nothing.
            let at = now.checked_sub(age)?;
            (age < self.shared.lease).then_some((account, at))
        }));
        Heard::Accepted
    }

    /// Whether a node id is a manager's of this cluster.
    pub(crate) fn is_member(&self, node_id: u64) -> bool {
        let node = self.shared.node.get();
        node.is_some_and(|node| node.status().voters.iter().any(|member| member.id == node_id))
    }

    fn put(&self, renewals: impl IntoIterator<Item = (AccountId, Instant)>) {
        let mut received = 0;
        let dropped = self.shared.inbox.put(renewals.into_iter().inspect(|_| received += 1));
        self.shared.metrics.add(Count::Renewed, received);
        self.shared.metrics.add(Count::Dropped, dropped);
    }
}
