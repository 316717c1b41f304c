//! Machines that lose power, and with it what their disks had not made durable.

use raft_core::testing::{Cluster, Crash, LogKind};

use super::ledger::Ledgers;
use super::load::Load;

async fn simulated(ledgers: &Ledgers, size: u64) -> Cluster {
    let open = ledgers.clone();
    Cluster::of(size).log(LogKind::Simulated).start(move |id, _| open.open(id)).await
}

/// d-engine#446: a commit counted entries that were not on disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_power_everywhere_at_once_keeps_what_it_acknowledged() {
    let ledgers = Ledgers::default();
    let cluster = simulated(&ledgers, 3).await;
    let load = Load::start(&cluster, &ledgers, 4);
    for crash in [Crash::PowerNothing, Crash::PowerTorn, Crash::PowerTorn] {
        load.acknowledged(&cluster, 30).await;
        for id in cluster.up() {
            cluster.power_off(id, crash).await;
        }
        cluster.start_all().await;
    }
    load.acknowledged(&cluster, 10).await;
    let summary = load.check(&cluster).await;
    assert!(summary.acknowledged >= 100, "{summary:?}");
}

/// Nobody is told that the leader is gone: its connections are silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_loses_power_is_replaced_and_comes_back() {
    let ledgers = Ledgers::default();
    let cluster = simulated(&ledgers, 3).await;
    let load = Load::start(&cluster, &ledgers, 4);
    load.acknowledged(&cluster, 20).await;
    let leader = cluster.leader().await;
    cluster.power_off(leader, Crash::PowerTorn).await;
    load.acknowledged(&cluster, 20).await;
    cluster.start(leader).await;
    load.check(&cluster).await;
}
