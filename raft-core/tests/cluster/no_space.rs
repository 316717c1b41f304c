//! Disks without any room, with the water marks off: what the marks are there to prevent.

use std::time::Duration;

use raft_core::{Config, Event, NodeId, Role};
use tokio::time::timeout;

use super::harness::{Cluster, PATIENCE, wait};
use super::metrics::sample;
use super::proxy::Mode;
use super::room::{MIB, Room, cramped, room};
use super::snapshots::{purged, snapshot_files};

fn unmarked(config: &mut Config) {
    config.low_disk_bytes = 0;
    config.low_disk_percent = 0;
    config.segment_bytes = MIB;
}

async fn propose_large(cluster: &Cluster, id: NodeId, name: &str, count: usize) -> Vec<String> {
    let mut commands = Vec::new();
    for number in 0..count {
        let command = format!("{name}-{number}-{}", "x".repeat(256 << 10));
        cluster.propose(id, &command).await;
        commands.push(command);
    }
    commands
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_for_which_there_is_no_room_waits_and_is_written_when_there_is() {
    let Some((rooms, cluster)) = cramped(unmarked).await else { return };
    let leader = cluster.leader().await;
    let mut commands = propose_large(&cluster, leader, "large", 32).await;
    cluster.agree_on(&commands).await;
    let node = cluster.node(leader).clone();
    let mut events = node.events();
    // Enough for some small entries, and not for the snapshot of eight MiB.
    room(&rooms, leader).fill(3 * MIB);
    let asked = tokio::spawn({
        let node = node.clone();
        async move { node.take_snapshot().await }
    });
    let delayed = async { while events.recv().await.unwrap() != Event::SnapshotDelayed {} };
    timeout(PATIENCE, delayed).await.expect("it is told that the snapshot waits");

    // The node goes on without it.
    commands.extend(cluster.propose_many(leader, "meanwhile", 20).await);
    node.read_barrier(PATIENCE).await.unwrap();
    assert_eq!(node.status().role, Role::Leader);
    assert_eq!(sample(&cluster, leader, "raft_snapshot_build_seconds_count"), 0.0);
    let left = room(&rooms, leader).free_bytes();
    assert!(left > MIB, "what was begun of it is removed, {left} bytes are free");

    room(&rooms, leader).clear();
    timeout(PATIENCE, asked).await.expect("it is written").unwrap().unwrap();
    wait("the snapshot", || cluster.node(leader).status().snapshot.is_some()).await;
    cluster.agree_on(&commands).await;
    let told: Vec<Event> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    assert!(!told.contains(&Event::SnapshotDelayed), "once is enough: {told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_log_finds_no_room_stops_and_another_one_leads() {
    let Some((rooms, mut cluster)) = cramped(unmarked).await else { return };
    let full = cluster.leader().await;
    let edge = cluster.follower().await;
    let mut commands = cluster.propose_many(edge, "before", 20).await;
    let session = cluster.node(edge).open_session(PATIENCE).await.unwrap();
    room(&rooms, full).fill(MIB);
    // Twice what it has room for; whoever proposes in a session does not notice.
    for number in 0..8 {
        let command = format!("{number}-{}", "x".repeat(256 << 10));
        let applied = session.propose(command.clone(), PATIENCE).await.unwrap();
        assert!(!applied.reply.is_empty());
        commands.push(command);
    }
    let node = cluster.node(full).clone();
    let reason = timeout(PATIENCE, node.stopped()).await.unwrap().to_string();
    assert!(reason.contains("No space") || reason.contains("storage full"), "{reason}");
    drop(node);
    cluster.nodes[full as usize - 1] = None;
    assert_ne!(cluster.leader().await, full);
    commands.extend(cluster.propose_many(edge, "without-it", 5).await);

    // It stays away as long as there is no room, and does no harm.
    let began = timeout(PATIENCE, cluster.try_start(full)).await.unwrap();
    if began.is_ok() {
        let node = cluster.node(full).clone();
        let _ = timeout(Duration::from_secs(2), node.stopped()).await;
        cluster.halt(full).await;
    }
    commands.extend(cluster.propose_many(edge, "still", 5).await);
    room(&rooms, full).clear();
    cluster.start(full).await;
    commands.extend(cluster.propose_many(full, "back", 3).await);
    cluster.agree_on(&commands).await;
    let all = cluster.kept(full).commands().len();
    assert_eq!(all, commands.len(), "each once, and nothing else");
}

/// A member that is down and needs a snapshot of eight MiB, whoever of the others leads; and what
/// all others hold.
async fn one_behind() -> Option<(Vec<Room>, Cluster, NodeId, Vec<String>)> {
    let adjust = |config: &mut Config| {
        unmarked(config);
        config.keep_entries = 0;
    };
    let (rooms, mut cluster) = cramped(adjust).await?;
    let away = cluster.follower().await;
    cluster.halt(away).await;
    let leader = cluster.leader().await;
    let commands = propose_large(&cluster, leader, "large", 32).await;
    cluster.agree_on(&commands).await;
    for id in cluster.running() {
        cluster.node(id).take_snapshot().await.unwrap();
        wait("a purge", || purged(&cluster, id) > 32).await;
    }
    Some((rooms, cluster, away, commands))
}

async fn delayed(cluster: &Cluster, id: NodeId) {
    let mut events = cluster.node(id).events();
    let delayed = async { while events.recv().await.unwrap() != Event::SnapshotDelayed {} };
    timeout(PATIENCE, delayed).await.expect("it is told that the snapshot waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_without_room_for_a_snapshot_goes_on_and_takes_it_when_there_is() {
    let Some((rooms, mut cluster, away, mut commands)) = one_behind().await else { return };
    room(&rooms, away).fill(3 * MIB);
    cluster.start(away).await;
    delayed(&cluster, away).await;

    // What a follower must write has room: its vote, in a new term.
    let leader = cluster.leader().await;
    let next = (1..=3).find(|id| *id != leader && *id != away);
    cluster.node(leader).transfer_leadership(next).await.unwrap();
    assert_eq!(Some(cluster.leader().await), next);
    let term = cluster.node(next.unwrap()).status().term;
    wait("the new term", || cluster.node(away).status().term == term).await;
    let refused = || sample(&cluster, away, "raft_snapshots_without_room_total");
    let before = refused();
    wait("the next leader's tries", || refused() > before + 2.0).await;
    assert_eq!(cluster.node(away).status().role, Role::Follower);
    assert!(room(&rooms, away).free_bytes() > 2 * MIB);

    room(&rooms, away).clear();
    commands.extend(cluster.propose_many(away, "after", 5).await);
    cluster.agree_on(&commands).await;
    assert_eq!(cluster.kept(away).with(|held| held.restores), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_comes_when_the_room_is_used_up_gives_back_what_it_took() {
    let Some((rooms, mut cluster, away, mut commands)) = one_behind().await else { return };
    cluster.proxy(away).set(Mode::Slow);
    cluster.start(away).await;
    let part = || snapshot_files(&cluster, away, "part").pop();
    let received = || part().and_then(|part| part.metadata().ok()).map_or(0, |part| part.len());
    wait("a part of the snapshot", || received() > 2 * MIB).await;
    room(&rooms, away).fill(2 * MIB);
    delayed(&cluster, away).await;
    wait("the room to be given back", || room(&rooms, away).free_bytes() > 3 * MIB).await;
    assert!(part().is_none());
    assert_eq!(cluster.node(away).status().role, Role::Follower);

    cluster.proxy(away).set(Mode::Pass);
    room(&rooms, away).clear();
    commands.extend(cluster.propose_many(away, "after", 5).await);
    cluster.agree_on(&commands).await;
    assert_eq!(cluster.kept(away).with(|held| held.restores), 1);
}
