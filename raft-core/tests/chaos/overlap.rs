//! A leader's disk and its network work at the same time (Raft dissertation, section 10.2.1).

use std::time::Duration;

use raft_core::testing::Cluster;

use super::ledger::Ledgers;
use super::witness::{Pace, Witness};

/// Also what a leader's slow disk costs: the answer waits for it, and nothing else does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_reaches_the_followers_and_is_committed_while_the_leaders_own_sync_hangs() {
    let (ledgers, witness) = (Ledgers::default(), Witness::new(3, Pace::Late(Duration::ZERO)));
    let (open, watch) = (ledgers.clone(), witness.clone());
    let plan = Cluster::of(3).wrap_logs(move |id, logs| watch.watch(id, logs));
    let cluster = plan.start(move |id, _| open.open(id)).await;
    cluster.agree().await;
    let leader = cluster.leader().await;
    let others: Vec<_> = (1..=3).filter(|id| *id != leader).collect();
    let (node, limit) = (cluster.node(leader), cluster.patience());
    node.propose("before", limit).await.unwrap();
    cluster.agree().await;

    witness.hold_back(leader);
    let proposal = tokio::spawn({
        let node = node.clone();
        async move { node.propose("meanwhile", limit).await }
    });
    let applied = |id: &u64| ledgers.holds(*id, "meanwhile");
    cluster.wait("the followers to apply it", || others.iter().all(applied)).await;
    let (at, _) = ledgers.commands(others[0]).last().cloned().unwrap();
    cluster.wait("its commitment", || node.status().committed >= at).await;
    assert_eq!(witness.holders(at), others, "all that without the leader's own disk");
    assert!(!applied(&leader), "what is not durable here is not applied here");
    assert!(!proposal.is_finished());

    witness.release(leader);
    assert_eq!(proposal.await.unwrap().unwrap().position, at);
    assert_eq!(witness.holders(at), [1, 2, 3]);
    assert_eq!(cluster.leader().await, leader);
}
