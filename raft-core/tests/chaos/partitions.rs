//! Members that do not hear each other.

use std::time::Duration;

use bytes::Bytes;
use raft_core::testing::Cluster;
use raft_core::{NodeId, Role};

use super::ledger::Ledgers;
use super::load::Load;

/// Time in which nothing may come about that must not.
const A_WHILE: Duration = Duration::from_secs(3);

async fn cluster_of(size: u64) -> (Cluster, Ledgers) {
    let ledgers = Ledgers::default();
    let open = ledgers.clone();
    (Cluster::of(size).start(move |id, _| open.open(id)).await, ledgers)
}

fn without(cluster: &Cluster, some: &[NodeId]) -> Vec<NodeId> {
    cluster.up().into_iter().filter(|id| !some.contains(id)).collect()
}

async fn propose(cluster: &Cluster, id: NodeId, command: &str) {
    let command = Bytes::copy_from_slice(command.as_bytes());
    cluster.node(id).propose(command, cluster.patience()).await.unwrap();
}

async fn is_stuck(cluster: &Cluster, ids: &[NodeId]) {
    for id in ids {
        let refused = cluster.node(*id).propose(Bytes::from_static(b"in vain"), A_WHILE).await;
        assert!(refused.is_err(), "a minority acknowledged a write");
        let refused = cluster.node(*id).read_barrier(A_WHILE / 10).await;
        assert!(refused.is_err(), "a minority answered a read");
    }
    assert!(ids.iter().all(|id| cluster.node(*id).status().role != Role::Leader));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_goes_on_without_its_leader_and_the_minority_catches_up() {
    let (cluster, ledgers) = cluster_of(5).await;
    let leader = cluster.leader().await;
    let minority = [leader, without(&cluster, &[leader])[0]];
    let majority = without(&cluster, &minority);
    cluster.partition(&[&minority, &majority]);
    let next = cluster.leader_of(&majority).await;
    propose(&cluster, next, "by the majority").await;
    is_stuck(&cluster, &minority).await;
    assert!(!ledgers.holds(leader, "by the majority"));
    cluster.heal();
    cluster.agree_on(|id| ledgers.commands(id)).await;
    assert!(ledgers.holds(leader, "by the majority"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_keeps_its_leader_and_the_minority_does_not_unseat_it() {
    let (cluster, ledgers) = cluster_of(5).await;
    let leader = cluster.leader().await;
    let term = cluster.node(leader).status().term;
    let minority = &without(&cluster, &[leader])[..2];
    let majority = without(&cluster, minority);
    cluster.partition(&[minority, &majority]);
    propose(&cluster, leader, "by the majority").await;
    is_stuck(&cluster, minority).await;
    cluster.heal();
    cluster.agree_on(|id| ledgers.commands(id)).await;
    let status = cluster.node(leader).status();
    assert_eq!((status.role, status.term), (Role::Leader, term), "no election was needed");
}

/// With check-quorum and pre-vote a member that only speaks, or only hears, does no harm
/// (Raft dissertation §9.6; the six hours of Cloudflare's etcd on 2 November 2020).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_hears_nobody_does_not_unseat_the_leader() {
    let (cluster, ledgers) = cluster_of(3).await;
    let leader = cluster.leader().await;
    let term = cluster.node(leader).status().term;
    let deaf = without(&cluster, &[leader])[0];
    for from in without(&cluster, &[deaf]) {
        cluster.cut_one_way(from, deaf);
    }
    cluster
        .wait("the deaf to miss its leader", || cluster.node(deaf).status().leader.is_none())
        .await;
    for number in 0..20 {
        propose(&cluster, leader, &format!("command {number}")).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster.heal();
    cluster.agree_on(|id| ledgers.commands(id)).await;
    assert_eq!(cluster.node(leader).status().term, term);
}

/// A leader that is heard and does not hear would keep the others from an election for ever; it
/// must notice that no quorum answers (openraft#2080).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hears_nobody_makes_way() {
    let (cluster, ledgers) = cluster_of(3).await;
    let leader = cluster.leader().await;
    let others = without(&cluster, &[leader]);
    for from in &others {
        cluster.cut_one_way(*from, leader);
    }
    let next = cluster.leader_of(&others).await;
    propose(&cluster, next, "by its successor").await;
    cluster.heal();
    cluster.agree_on(|id| ledgers.commands(id)).await;
    assert!(ledgers.holds(leader, "by its successor"));
}

/// Two majorities with one member in common, who alone hears all (openraft#2080).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_majorities_that_share_one_member_have_a_leader() {
    let (cluster, ledgers) = cluster_of(5).await;
    cluster.partition(&[&[1, 2, 3], &[3, 4, 5]]);
    propose(&cluster, 3, "over the bridge").await;
    propose(&cluster, 3, "and again").await;
    cluster.heal();
    let log = cluster.agree_on(|id| ledgers.commands(id)).await;
    assert_eq!(log.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_and_lossy_network_loses_nothing() {
    let (cluster, ledgers) = cluster_of(3).await;
    cluster.delay(Duration::from_millis(5)..=Duration::from_millis(30));
    cluster.lose(20);
    let load = Load::start(&cluster, &ledgers, 4);
    load.acknowledged(&cluster, 40).await;
    let summary = load.check(&cluster).await;
    assert!(summary.acknowledged >= 40, "{summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_at_its_election_does_not_call_itself_one_for_long() {
    let (cluster, ledgers) = cluster_of(3).await;
    // So that it is cut off before the first answer to what it sends as leader.
    let late = Duration::from_millis(100);
    cluster.delay(late..=late);
    cluster.crash(cluster.leader().await).await;
    let mut elected = None;
    let leads = |id: &NodeId| cluster.node(*id).status().role == Role::Leader;
    while elected.is_none() {
        elected = cluster.up().into_iter().find(leads);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let lonely = elected.unwrap();
    cluster.isolate(lonely);
    let limit = cluster.config(lonely).quorum_loss_probe_interval + Duration::from_secs(5);
    let given_up = cluster.wait("it to notice that nobody follows", || !leads(&lonely));
    tokio::time::timeout(limit, given_up).await.expect("in the time after which it must know");
    assert_ne!(cluster.node(lonely).status().leader, Some(lonely));
    cluster.heal();
    cluster.start_all().await;
    let leader = cluster.leader().await;
    let command = Bytes::from_static(b"after");
    cluster.node(leader).propose(command, cluster.patience()).await.unwrap();
    cluster.agree_on(|id| ledgers.commands(id)).await;
}
