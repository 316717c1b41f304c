use std::fs;
use std::time::Duration;

use raft_core::NodeId;
use tokio::time::timeout;

use super::harness::{Cluster, PATIENCE, wait};
use super::snapshots::{eager, purged, snapshot_files};

/// The last entries that the snapshots on a node's disk contain.
fn durable(cluster: &Cluster, id: NodeId) -> Vec<u64> {
    let index = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        name.split_once('-').unwrap().0.parse().unwrap()
    };
    snapshot_files(cluster, id, "snap").into_iter().map(index).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_never_purged_beyond_a_snapshot_that_is_on_disk() {
    let cluster = Cluster::formed(eager).await;
    let leader = cluster.leader().await;
    let look = |id| {
        // In this order: a snapshot may come meanwhile, and none goes before the next is there.
        let purged = purged(&cluster, id);
        let newest = durable(&cluster, id).into_iter().max().unwrap_or_default();
        assert!(purged <= newest, "node {id}: purged up to {purged}, safe up to {newest}");
        purged > 0
    };
    for round in 0..20 {
        cluster.propose_many(leader, &format!("round-{round}"), 30).await;
        for id in 1..=3 {
            look(id);
        }
    }
    wait("a purge", || (1..=3).any(look)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_on_while_a_snapshot_is_written_and_nothing_is_purged_for_it() {
    let mut cluster = Cluster::formed(eager).await;
    let victim = cluster.follower().await;
    cluster.kept(victim).with(|held| held.images_wait = true);
    let mut commands = cluster.propose_many(victim, "before", 60).await;
    wait("a snapshot half written", || !snapshot_files(&cluster, victim, "tmp").is_empty()).await;
    // Applied there, too, although its image is not finished.
    commands.extend(cluster.propose_many(victim, "meanwhile", 200).await);
    cluster.agree_on(&commands).await;
    assert_eq!(purged(&cluster, victim), 0);
    assert_eq!(cluster.node(victim).status().snapshot, None);

    // It dies before its snapshot has a name: nobody misses it. And the thread that still writes
    // leaves alone what is the next node's.
    timeout(Duration::from_secs(20), cluster.halt(victim)).await.unwrap();
    let left = snapshot_files(&cluster, victim, "tmp");
    cluster.start(victim).await;
    assert_eq!(cluster.node(victim).status().rebuilds, 0);
    commands.extend(cluster.propose_many(victim, "after", 5).await);
    wait("a snapshot half written", || !snapshot_files(&cluster, victim, "tmp").is_empty()).await;
    let new = snapshot_files(&cluster, victim, "tmp");
    assert!(left.iter().all(|path| !new.contains(path)), "a name is used once");
    cluster.kept(victim).with(|held| held.images_wait = false);
    wait("a snapshot", || cluster.node(victim).status().snapshot.is_some()).await;
    cluster.agree_on(&commands).await;
    wait("room given back", || snapshot_files(&cluster, victim, "tmp").is_empty()).await;
    for path in snapshot_files(&cluster, victim, "snap") {
        assert!(fs::metadata(path).unwrap().len() > 0);
    }
    cluster.halt(victim).await;
    cluster.start(victim).await;
    assert!(snapshot_files(&cluster, victim, "damaged").is_empty());
    cluster.agree_on(&commands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_are_due_after_entries() {
    let cluster = Cluster::formed(|config| config.snapshot_after_entries = 40).await;
    cluster.propose_many(1, "few", 10).await;
    assert!((1..=3).all(|id| cluster.node(id).status().snapshot.is_none()));
    cluster.propose_many(1, "more", 40).await;
    wait("a snapshot everywhere", || {
        (1..=3).all(|id| cluster.node(id).status().snapshot.is_some())
    })
    .await;
    timeout(PATIENCE, cluster.node(1).take_snapshot()).await.unwrap().unwrap();
}
