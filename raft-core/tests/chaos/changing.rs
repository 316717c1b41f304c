//! Members that are added, promoted, replaced and removed while everything else goes wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use raft_core::testing::{Cluster, LogKind};
use raft_core::{ChangeError, Members, Node, NodeId, Position, Role, StopReason};
use tokio::time::{sleep, timeout};

use super::ledger::Ledgers;
use super::load::{Load, Manner};
use super::storm::{Roll, Storm};

/// Time for one attempt at a change: some elections.
const LIMIT: Duration = Duration::from_secs(3);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// A change of the members.
enum Step {
    Add(NodeId),
    Promote(NodeId),
    Replace(NodeId, NodeId),
    Remove(NodeId),
}

impl Step {
    fn is_done(&self, members: &Members) -> bool {
        match self {
            Step::Add(id) => members.get(*id).is_some(),
            Step::Promote(id) => members.is_voter(*id),
            Step::Replace(old, new) => members.is_voter(*new) && members.removed.contains(old),
            Step::Remove(id) => members.removed.contains(id),
        }
    }

    async fn attempt(&self, cluster: &Cluster, leader: &Node) -> Result<Position, ChangeError> {
        match self {
            Step::Add(id) => {
                let member = cluster.reserves().iter().find(|reserve| reserve.id == *id).unwrap();
                leader.add_learner(member.clone(), LIMIT).await
            }
            Step::Promote(id) => leader.promote(*id, LIMIT).await,
            Step::Replace(old, new) => leader.replace(*old, *new, LIMIT).await,
            Step::Remove(id) => leader.remove(*id, LIMIT).await,
        }
    }
}

/// Changes the members, however often it has to try.
struct Operator {
    cluster: Cluster,
    roll: Roll,
}

impl Operator {
    /// Leaves of the three members the last one, and both reserves.
    async fn run(self) {
        self.take_in(4).await;
        self.insist(Step::Promote(4)).await;
        self.take_in(5).await;
        self.insist(Step::Replace(1, 5)).await;
        self.roll.strike_off(1);
        self.insist(Step::Remove(2)).await;
        self.roll.strike_off(2);
    }

    async fn take_in(&self, id: NodeId) {
        self.cluster.start(id).await;
        self.roll.enter(id);
        self.insist(Step::Add(id)).await;
    }

    /// Tries until a leader that a majority confirms says that it is done.
    async fn insist(&self, step: Step) {
        loop {
            let up = self.cluster.up().into_iter().filter_map(|id| self.cluster.find(id));
            let leader = up.into_iter().find(|node| node.status().role == Role::Leader);
            if let Some(leader) = leader {
                if leader.read_barrier(LIMIT).await.is_ok() {
                    let members = leader.members();
                    if !members.changing && step.is_done(&members) {
                        return;
                    }
                }
                // What became of it is seen above.
                let _ = step.attempt(&self.cluster, &leader).await;
            }
            sleep(PAUSE).await;
        }
    }
}

/// One that was removed is told so, stays out and harms nobody; its number is never used again.
async fn stays_out(cluster: &Cluster, id: NodeId) {
    cluster.start(id).await;
    let reason = timeout(cluster.patience(), cluster.node(id).stopped()).await.unwrap();
    assert!(matches!(reason, StopReason::Removed), "{reason}");
    let _ = cluster.shutdown(id).await;
    let leader = cluster.leader().await;
    let again = cluster.members().iter().find(|member| member.id == id).unwrap().clone();
    let refused = cluster.node(leader).add_learner(again, cluster.patience()).await;
    assert!(matches!(refused, Err(ChangeError::Removed(_))), "{refused:?}");
}

async fn changed_in_a_storm(log: LogKind, manner: Manner) {
    let ledgers = Ledgers::default();
    let open = ledgers.clone();
    let plan = Cluster::of(3).reserves(2).log(log).configure(|_, config| {
        config.promote_after = Duration::from_millis(300);
        config.snapshot_after_entries = 100;
        config.keep_entries = 10;
    });
    let cluster = plan.start(move |id, _| open.open(id)).await;
    let load = Load::start_as(manner, &cluster, &ledgers, 4);
    let mut storm = Storm::new(&cluster);
    let roll = storm.roll();
    let operator = Operator { cluster: cluster.clone(), roll: roll.clone() };
    let mut changes = tokio::spawn(operator.run());
    storm.rage(&load).await;
    storm.end().await;
    timeout(cluster.patience(), &mut changes).await.expect("the changes end").unwrap();
    storm.end().await;
    assert_eq!(roll.present(), [3, 4, 5]);
    let leader = cluster.leader().await;
    load.acknowledged(&cluster, 20).await;
    let members = cluster.node(leader).members();
    let voters: BTreeSet<NodeId> = members.voters.iter().map(|one| one.member.id).collect();
    assert_eq!(voters, BTreeSet::from([3, 4, 5]));
    assert_eq!(members.removed, [1, 2]);
    let summary = load.check(&cluster).await;
    assert!(summary.acknowledged >= 20, "{summary:?}");
    for id in [1, 2] {
        stays_out(&cluster, id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_change_in_a_storm_lose_and_double_nothing() {
    changed_in_a_storm(LogKind::Real, Manner::Plain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_outlive_members_that_change_in_a_storm_with_power_losses() {
    changed_in_a_storm(LogKind::Simulated, Manner::Once).await;
}
