use std::fs;
use std::path::PathBuf;

use raft_core::{Config, NodeId, OperatorError};

use super::harness::{Cluster, wait};
use super::journal::Held;

pub(super) fn eager(config: &mut Config) {
    config.snapshot_after_entries = 50;
    config.keep_entries = 10;
    config.segment_bytes = 16 << 10;
}

pub(super) fn snapshot_files(cluster: &Cluster, id: NodeId, extension: &str) -> Vec<PathBuf> {
    fs::read_dir(cluster.data_dir(id).join("snapshots"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

/// The last entry a node's log has let go of.
pub(super) fn purged(cluster: &Cluster, id: NodeId) -> u64 {
    let metrics = cluster.node(id).metrics();
    let line = metrics.lines().find(|line| line.starts_with("raft_purged_index ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_behind_the_log_catches_up_through_a_snapshot() {
    let mut cluster = Cluster::formed(eager).await;
    let away = cluster.follower().await;
    cluster.halt(away).await;
    let leader = cluster.leader().await;
    let mut commands = Vec::new();
    for round in 0..6 {
        commands.extend(cluster.propose_many(leader, &format!("round-{round}"), 50).await);
    }
    wait("the leader to let go of what the node lacks", || purged(&cluster, leader) > 50).await;
    cluster.start(away).await;
    commands.extend(cluster.propose_many(away, "after", 5).await);
    cluster.agree_on(&commands).await;
    assert!(cluster.kept(away).with(|held| held.restores) >= 1);
    assert!(cluster.node(away).status().snapshot.is_some());
    // It may just be writing one of its own.
    let files = || snapshot_files(&cluster, away, "snap").len();
    wait("older snapshots to go", || files() == 1).await;

    // What came by snapshot is there after a restart, too.
    cluster.halt(away).await;
    cluster.start(away).await;
    assert_eq!(cluster.node(away).status().rebuilds, 0);
    cluster.agree_on(&commands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_are_due_after_bytes_as_well_as_after_entries() {
    let cluster = Cluster::formed(|config| config.snapshot_after_bytes = 100_000).await;
    assert_eq!(cluster.node(1).status().snapshot, None);
    for _ in 0..12 {
        cluster.node(1).propose(vec![1; 10_000], super::harness::PATIENCE).await.unwrap();
    }
    wait("a snapshot everywhere", || {
        (1..=3).all(|id| cluster.node(id).status().snapshot.is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_written_on_request() {
    let mut cluster = Cluster::prepare(3, |_| {}).await;
    cluster.start(1).await;
    let nothing = cluster.node(1).take_snapshot().await;
    assert!(matches!(nothing, Err(OperatorError::Impossible(_))));
    cluster.start(2).await;
    cluster.start(3).await;
    cluster.node(1).bootstrap().await.unwrap();
    for id in 1..=3 {
        let applied = cluster.propose(id, "one more").await;
        cluster.node(id).read_barrier(super::harness::PATIENCE).await.unwrap();
        let contained = cluster.node(id).take_snapshot().await.unwrap();
        assert!(contained >= applied.position);
        assert_eq!(cluster.node(id).status().snapshot, Some(contained));
        assert_eq!(snapshot_files(&cluster, id, "snap").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_state_machine_is_rebuilt_from_snapshot_and_log() {
    let mut cluster = Cluster::formed(eager).await;
    let mut commands = Vec::new();
    for round in 0..4 {
        commands.extend(cluster.propose_many(1, &format!("round-{round}"), 50).await);
    }
    cluster.agree_on(&commands).await;
    let victim = cluster.follower().await;
    wait("a snapshot", || cluster.node(victim).status().snapshot.is_some()).await;
    cluster.halt(victim).await;
    cluster.kept(victim).with(|held| *held = Held::default());
    cluster.start(victim).await;
    assert_eq!(cluster.node(victim).status().rebuilds, 1);
    commands.extend(cluster.propose_many(victim, "after", 5).await);
    cluster.agree_on(&commands).await;
    assert!(cluster.kept(victim).with(|held| held.restores) >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_is_set_aside_and_replaced() {
    let mut cluster = Cluster::formed(eager).await;
    let mut commands = Vec::new();
    for round in 0..4 {
        commands.extend(cluster.propose_many(1, &format!("round-{round}"), 50).await);
    }
    cluster.agree_on(&commands).await;
    let victim = cluster.follower().await;
    wait("a snapshot", || cluster.node(victim).status().snapshot.is_some()).await;
    cluster.halt(victim).await;
    for path in snapshot_files(&cluster, victim, "snap") {
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    cluster.start(victim).await;
    assert!(!snapshot_files(&cluster, victim, "damaged").is_empty());
    commands.extend(cluster.propose_many(victim, "after", 5).await);
    cluster.agree_on(&commands).await;
    wait("a new snapshot", || !snapshot_files(&cluster, victim, "snap").is_empty()).await;
}
