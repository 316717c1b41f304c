use std::fs;

use raft_core::StartError;

use super::harness::{Cluster, wait};
use super::journal::Held;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_cluster_that_was_halted_comes_back_with_everything_acknowledged() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let term = cluster.node(leader).status().term;
    let mut commands = cluster.propose_many(leader, "before", 100).await;
    for id in 1..=3 {
        cluster.halt(id).await;
    }
    cluster.start_all().await;
    let leader = cluster.leader().await;
    assert!(cluster.node(leader).status().term > term);
    commands.extend(cluster.propose_many(leader, "after", 10).await);
    cluster.agree_on(&commands).await;
    assert!((1..=3).all(|id| cluster.node(id).status().rebuilds == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_catches_up_from_the_log() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let away = cluster.follower().await;
    cluster.halt(away).await;
    let leader = cluster.leader().await;
    let commands = cluster.propose_many(leader, "while-away", 500).await;
    cluster.start(away).await;
    cluster.agree_on(&commands).await;
    assert_eq!(cluster.kept(away).with(|held| held.restores), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_restarts_again_and_again() {
    let mut cluster = Cluster::prepare(1, |_| {}).await;
    cluster.start(1).await;
    cluster.node(1).bootstrap().await.unwrap();
    let mut commands = Vec::new();
    for round in 0..4 {
        commands.extend(cluster.propose_many(1, &format!("round-{round}"), 20).await);
        if round % 2 == 0 {
            cluster.halt(1).await;
        } else {
            cluster.nodes[0].take().unwrap().shutdown().await.unwrap();
        }
        cluster.start(1).await;
    }
    cluster.leader().await;
    cluster.agree_on(&commands).await;
}

/// Spoils the state machine of a halted node and starts it again.
async fn rebuilt_after(spoil: impl FnOnce(&mut Held)) {
    let mut cluster = Cluster::formed(|_| {}).await;
    let victim = cluster.follower().await;
    let mut commands = cluster.propose_many(1, "before", 30).await;
    cluster.agree_on(&commands).await;
    // What is known to be committed comes to the disk with the next entry.
    commands.extend(cluster.propose_many(1, "one more", 1).await);
    cluster.agree_on(&commands).await;
    cluster.halt(victim).await;
    cluster.kept(victim).with(spoil);
    cluster.start(victim).await;
    assert_eq!(cluster.node(victim).status().rebuilds, 1);
    assert!(cluster.node(victim).metrics().contains("raft_rebuilds_total 1"));
    commands.extend(cluster.propose_many(victim, "after", 5).await);
    cluster.agree_on(&commands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_machine_that_lost_everything_is_rebuilt() {
    rebuilt_after(|held| *held = Held::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_machine_ahead_of_the_log_is_rebuilt() {
    rebuilt_after(|held| {
        held.commands.push("never committed".into());
        set_position(held, 1, 10_000);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_machine_with_an_entry_of_another_term_is_rebuilt() {
    rebuilt_after(|held| {
        held.commands.push("of another history".into());
        set_position(held, 100, 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_machine_with_garbled_records_is_rebuilt() {
    rebuilt_after(|held| held.records = vec![(b"position".to_vec(), vec![0xff; 3])]).await;
}

fn set_position(held: &mut Held, term: u64, index: u64) {
    use prost::Message as _;
    let position = telegraph_proto::raft::Position { term, index }.encode_to_vec();
    for (key, value) in &mut held.records {
        if key == b"position" {
            value.clone_from(&position);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_serves_one_node_at_a_time() {
    let mut cluster = Cluster::prepare(1, |_| {}).await;
    cluster.start(1).await;
    let first = cluster.nodes[0].take();
    assert!(matches!(cluster.try_start(1).await, Err(StartError::Locked { .. })));
    drop(first);
    // Dropping the last handle halts the node, a little later.
    let path = cluster.data_dir(1).join("lock");
    wait("the end of the first node", || fs::File::open(&path).unwrap().try_lock().is_ok()).await;
    cluster.start(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_log_was_removed_does_not_start() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let victim = cluster.follower().await;
    cluster.halt(victim).await;
    let log = cluster.data_dir(victim).join("log");
    fs::remove_dir_all(&log).unwrap();
    assert!(matches!(cluster.try_start(victim).await, Err(StartError::Damaged(_))));
    fs::create_dir(&log).unwrap();
    assert!(matches!(cluster.try_start(victim).await, Err(StartError::Damaged(_))));
}
