use std::time::Duration;

use bytes::Bytes;
use raft_core::NodeId;

use super::harness::{Cluster, PATIENCE, wait};
use super::proxy::Mode;

/// A sample of a node's page; 0 when it is not there.
pub(crate) fn sample(cluster: &Cluster, id: NodeId, name: &str) -> f64 {
    let page = cluster.node(id).metrics();
    let found = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_a_command_and_a_read_is_measured_where_it_is_made() {
    let cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    let before = sample(&cluster, leader, "raft_commit_seconds_count");
    let mut commands = cluster.propose_many(leader, "here", 20).await;
    commands.extend(cluster.propose_many(follower, "passed-on", 20).await);
    cluster.node(follower).read_barrier(PATIENCE).await.unwrap();
    cluster.agree_on(&commands).await;

    for id in 1..=3 {
        for family in ["append", "append_durable", "apply", "election", "wal_sync"] {
            let name = format!("raft_{family}_seconds_count");
            assert!(sample(&cluster, id, &name) >= 1.0, "{family} on node {id}");
        }
        assert!(sample(&cluster, id, "raft_apply_batch_entries_sum") >= 40.0);
        assert_eq!(sample(&cluster, id, "raft_low_disk"), 0.0);
        for other in (1..=3).filter(|other| *other != id) {
            let name = format!("raft_replicate_seconds_count{{peer=\"{other}\"}}");
            assert_eq!(sample(&cluster, id, &name) >= 1.0, id == leader, "{id} to {other}");
        }
    }
    // Every command is committed through the leader, whoever proposed it.
    assert_eq!(sample(&cluster, leader, "raft_commit_seconds_count") - before, 40.0);
    assert_eq!(sample(&cluster, follower, "raft_commit_seconds_count"), 0.0);
    let applied = "raft_propose_seconds_count{outcome=\"applied\"}";
    assert_eq!(sample(&cluster, leader, applied), 20.0);
    assert_eq!(sample(&cluster, follower, applied), 20.0);
    assert_eq!(sample(&cluster, follower, "raft_forwarded_proposals_total"), 20.0);
    let confirmed = "raft_read_barrier_seconds_count{outcome=\"confirmed\"}";
    assert_eq!(sample(&cluster, follower, confirmed), 1.0);
    assert!(sample(&cluster, leader, "raft_commit_seconds_sum") > 0.0);
    let stood = (1..=3).map(|id| sample(&cluster, id, "raft_candidacies_total"));
    assert!(stood.sum::<f64>() >= 1.0, "somebody stood for election");
    assert!(sample(&cluster, follower, "raft_terms_total") >= 1.0);
    wait("both to have everything", || {
        let lag = |id| sample(&cluster, leader, &format!("raft_peer_lag_entries{{peer=\"{id}\"}}"));
        (1..=3).filter(|id| *id != leader).all(|id| lag(id) == 0.0)
    })
    .await;
    assert_eq!(sample(&cluster, leader, "raft_queue_depth{queue=\"proposals\"}"), 0.0);
    assert_eq!(sample(&cluster, leader, "raft_queue_capacity{queue=\"proposals\"}"), 16_384.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_and_what_takes_too_long_is_counted_apart() {
    let cluster = Cluster::formed(|config| config.max_entry_bytes = 100).await;
    let leader = cluster.leader().await;
    cluster.node(leader).propose(vec![0; 101], PATIENCE).await.unwrap_err();
    let refused = "raft_propose_seconds_count{outcome=\"refused\"}";
    assert_eq!(sample(&cluster, leader, refused), 1.0);
    // The first command of all waits for the others' clocks, and is not in the log until then.
    cluster.propose_many(leader, "first", 1).await;
    for id in (1..=3).filter(|id| *id != leader) {
        cluster.proxy(id).set(Mode::Hole);
    }
    let limit = Duration::from_millis(100);
    cluster.node(leader).propose(Bytes::from_static(b"lost"), limit).await.unwrap_err();
    cluster.node(leader).read_barrier(limit).await.unwrap_err();
    let unknown = "raft_propose_seconds_count{outcome=\"unknown\"}";
    assert_eq!(sample(&cluster, leader, unknown), 1.0);
    let failed = "raft_read_barrier_seconds_count{outcome=\"failed\"}";
    assert_eq!(sample(&cluster, leader, failed), 1.0);
    let late = "raft_rpc_deadlines_total{rpc=\"append\"}";
    wait("an append to be given up", || sample(&cluster, leader, late) >= 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_measured_on_both_sides_of_its_way() {
    let mut cluster = Cluster::formed(|config| {
        config.keep_entries = 1;
        config.segment_bytes = 4096;
    })
    .await;
    let away = cluster.follower().await;
    cluster.halt(away).await;
    let leader = cluster.leader().await;
    cluster.propose_many(leader, "unseen", 100).await;
    cluster.node(leader).take_snapshot().await.unwrap();
    assert!(sample(&cluster, leader, "raft_snapshot_build_seconds_count") >= 1.0);
    let built = sample(&cluster, leader, "raft_snapshot_built_bytes_total");
    assert!(built >= 100.0, "{built}");
    wait("the log to be let go of", || sample(&cluster, leader, "raft_purged_index") > 50.0).await;
    cluster.start(away).await;
    let installs = "raft_snapshot_install_seconds_count";
    wait("the snapshot", || sample(&cluster, away, installs) >= 1.0).await;
    let sends = "raft_snapshot_send_seconds_count";
    wait("its acknowledgement", || sample(&cluster, leader, sends) >= 1.0).await;
    assert!(sample(&cluster, leader, "raft_snapshot_sent_bytes_total") >= built);
    assert!(sample(&cluster, away, "raft_snapshot_received_bytes_total") >= built);
}
