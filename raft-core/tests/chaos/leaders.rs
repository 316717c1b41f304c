//! Leaders that end.

use raft_core::testing::{Cluster, LogKind};

use super::ledger::Ledgers;
use super::load::Load;

async fn leaders_end_under_load(log: LogKind, rounds: u64) {
    let ledgers = Ledgers::default();
    let open = ledgers.clone();
    let cluster = Cluster::of(3).log(log).start(move |id, _| open.open(id)).await;
    let load = Load::start(&cluster, &ledgers, 4);
    for _ in 0..rounds {
        load.acknowledged(&cluster, 20).await;
        let leader = cluster.leader().await;
        cluster.crash(leader).await;
        load.acknowledged(&cluster, 20).await;
        cluster.start(leader).await;
    }
    let summary = load.check(&cluster).await;
    assert!(summary.acknowledged >= rounds * 40 && summary.reads > 0, "{summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_that_are_killed_under_load_lose_nothing_acknowledged() {
    leaders_end_under_load(LogKind::Real, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_logs_in_memory_keeps_the_same_promises() {
    leaders_end_under_load(LogKind::Memory, 2).await;
}

/// diom#1336, restate#4031, dragonboat#270: planned stops cost an election.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_that_are_shut_down_under_load_hand_over() {
    let ledgers = Ledgers::default();
    let open = ledgers.clone();
    let cluster = Cluster::of(3).start(move |id, _| open.open(id)).await;
    let load = Load::start(&cluster, &ledgers, 4);
    for _ in 0..2 {
        let leader = cluster.leader().await;
        load.acknowledged(&cluster, 20).await;
        cluster.shutdown(leader).await.unwrap();
        load.acknowledged(&cluster, 20).await;
        cluster.start(leader).await;
    }
    load.check(&cluster).await;
}
