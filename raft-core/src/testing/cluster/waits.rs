//! Waiting for a cluster to be as it should, and no longer than patience lasts.

use std::fmt::Debug;

use tokio::time::{Duration, Instant, sleep, timeout};

use crate::member::NodeId;
use crate::position::Position;
use crate::status::{Role, Status};
use crate::testing::cluster::Cluster;

/// Between two looks: short against an election, long against a look.
const PAUSE: Duration = Duration::from_millis(5);

impl Cluster {
    /// Waits until a condition holds. Panics when it does not within the cluster's patience.
    pub async fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + self.patience();
        while !holds() {
            if Instant::now() >= deadline {
                self.give_up(what);
            }
            sleep(PAUSE).await;
        }
    }

    /// Forms the cluster, with all members up.
    pub async fn form(&self) {
        let Some(first) = self.up().first().copied() else { panic!("no member is up") };
        match timeout(self.patience(), self.node(first).bootstrap()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("no cluster is formed: {error} (seed {})", self.seed()),
            Err(_) => self.give_up("the cluster to be formed"),
        }
    }

    /// Waits until one member leads and all that are up follow it.
    pub async fn leader(&self) -> NodeId {
        self.leader_of(&self.up()).await
    }

    /// Waits until one of these members leads and the others of them follow it.
    pub async fn leader_of(&self, ids: &[NodeId]) -> NodeId {
        let mut leader = None;
        self.wait(&format!("a leader among {ids:?}"), || {
            let views: Vec<Status> =
                ids.iter().filter_map(|id| Some(self.find(*id)?.status())).collect();
            let mut leads = views.iter().filter(|view| view.role == Role::Leader);
            leader = leads.next().map(|view| view.node_id);
            leader.is_some()
                && leads.next().is_none()
                && views.len() == ids.len()
                && views.iter().all(|view| view.leader == leader)
        })
        .await;
        leader.unwrap_or_else(|| self.give_up("a leader"))
    }

    /// Waits until a member has applied the entry at `position`.
    pub async fn applied(&self, id: NodeId, position: Position) {
        self.wait(&format!("member {id} to apply {position}"), || {
            self.find(id).is_some_and(|node| node.applied().index >= position.index)
        })
        .await;
    }

    /// Waits until one member leads, all that are up follow it, and all have applied everything it
    /// has; returns how far that is. Proposals under way make it wait longer.
    pub async fn agree(&self) -> Position {
        let mut agreed = None;
        self.wait("agreement", || {
            let views: Vec<Status> =
                self.up().into_iter().filter_map(|id| Some(self.find(id)?.status())).collect();
            let leader = views.iter().find(|view| view.role == Role::Leader);
            agreed = leader.map(|leader| leader.last_log);
            leader.is_some_and(|leader| {
                let follows = |view: &Status| view.leader == Some(leader.node_id);
                let through = |view: &Status| view.applied == leader.last_log;
                views.iter().all(|view| follows(view) && through(view))
            })
        })
        .await;
        agreed.unwrap_or_else(|| self.give_up("agreement"))
    }

    /// Waits for agreement, and asserts that all members that are up show the same state. Panics
    /// with the first two that differ.
    pub async fn agree_on<T: PartialEq + Debug>(&self, state: impl Fn(NodeId) -> T) -> T {
        self.agree().await;
        let mut states = self.up().into_iter().map(|id| (id, state(id)));
        let Some((first, expected)) = states.next() else { panic!("no member is up") };
        for (id, found) in states {
            assert!(
                found == expected,
                "members {first} and {id} have applied the same entries and differ (seed {}):\n\
                 {expected:?}\n{found:?}",
                self.seed()
            );
        }
        expected
    }

    fn give_up(&self, what: &str) -> ! {
        let views: Vec<String> = self
            .up()
            .into_iter()
            .filter_map(|id| self.find(id))
            .map(|node| {
                let Status { node_id, role, term, leader, committed, applied, last_log, .. } =
                    node.status();
                format!(
                    "  member {node_id}: {role:?} in term {term}, leader {leader:?}, log up to \
                     {last_log}, committed {committed}, applied {applied}"
                )
            })
            .collect();
        let seed = self.seed();
        panic!("waited in vain for {what} (seed {seed}); up are:\n{}", views.join("\n"))
    }
}
