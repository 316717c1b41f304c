//! Disks that run full, one after the other and all at once.

use std::time::Duration;

use bytes::Bytes;
use raft_core::{Config, Event, NodeId, ProposeError, Role};
use tokio::time::timeout;

use super::harness::{Cluster, PATIENCE, stays, wait};
use super::metrics::sample;
use super::room::{MIB, Room, cramped, room};

/// Free bytes below which a disk is low in these tests.
const MARK: u64 = 8 * MIB;

fn marked(config: &mut Config) {
    config.low_disk_bytes = MARK;
    config.low_disk_percent = 50;
    config.segment_bytes = MIB;
}

async fn low(cluster: &Cluster, ids: &[NodeId], value: f64) {
    wait("the disks to be looked at", || {
        ids.iter().all(|id| sample(cluster, *id, "raft_low_disk") == value)
    })
    .await;
}

/// Proposes until it is refused for want of room; returns what was acknowledged before.
async fn until_refused(cluster: &Cluster, id: NodeId, name: &str) -> Vec<String> {
    let mut acknowledged = Vec::new();
    loop {
        let command = format!("{name}-{}", acknowledged.len());
        match cluster.node(id).propose(Bytes::from(command.clone()), PATIENCE).await {
            Ok(_) => acknowledged.push(command),
            Err(error @ ProposeError::LowDisk) => {
                assert!(!error.may_have_happened());
                return acknowledged;
            }
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Proposes until it is accepted again.
async fn until_accepted(cluster: &Cluster, id: NodeId, command: &str) {
    let accepted = async {
        loop {
            match cluster.node(id).propose(Bytes::from(command.to_owned()), PATIENCE).await {
                Ok(_) => return,
                Err(ProposeError::LowDisk) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(PATIENCE, accepted).await.expect("commands are accepted when there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disks_refuse_commands_and_nothing_else_until_there_is_room_again() {
    let Some((rooms, cluster)) = cramped(marked).await else { return };
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    let term = cluster.node(leader).status().term;
    let mut events = cluster.node(leader).events();
    let mut commands = cluster.propose_many(leader, "before", 20).await;
    rooms.iter().for_each(|room| room.fill(MARK - MIB));
    commands.extend(until_refused(&cluster, leader, "meanwhile").await);
    // Passed on, it is refused for the same reason.
    let passed_on = cluster.node(follower).propose(Bytes::from_static(b"no"), PATIENCE).await;
    assert!(matches!(passed_on, Err(ProposeError::LowDisk)), "{passed_on:?}");
    assert_eq!(cluster.kept(leader).count("no"), 0);

    // Reads go on, and so does the leader, for longer than any election takes.
    for id in 1..=3 {
        cluster.node(id).read_barrier(PATIENCE).await.unwrap();
    }
    stays("it leads in its term", Duration::from_secs(2), || {
        let status = cluster.node(leader).status();
        (status.role, status.term) == (Role::Leader, term)
    })
    .await;
    assert_eq!(sample(&cluster, leader, "raft_refuses_proposals"), 1.0);
    assert!(sample(&cluster, leader, "raft_disk_free_bytes") < MARK as f64);

    rooms.iter().for_each(Room::clear);
    until_accepted(&cluster, follower, "after").await;
    commands.push("after".to_owned());
    cluster.agree_on(&commands).await;
    low(&cluster, &[1, 2, 3], 0.0).await;
    let told: Vec<Event> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    let entered = told.iter().position(|event| {
        matches!(event, Event::LowDiskEntered { free_bytes, mark_bytes: MARK }
            if *free_bytes < MARK)
    });
    let left = told.iter().position(|event| matches!(event, Event::LowDiskLeft { .. }));
    assert!(entered.is_some() && entered < left, "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_alone_is_low_hands_over_to_a_member_with_room() {
    let Some((rooms, cluster)) = cramped(marked).await else { return };
    let first = cluster.leader().await;
    let mut commands = cluster.propose_many(first, "before", 5).await;
    room(&rooms, first).fill(MARK - MIB);
    wait("another leader", || {
        (1..=3).any(|id| id != first && cluster.node(id).status().role == Role::Leader)
    })
    .await;
    let second = cluster.leader().await;
    until_accepted(&cluster, first, "through-the-new-one").await;
    commands.push("through-the-new-one".to_owned());

    // With a second one low those with room are no majority: it may not fill the others up.
    let third = (1..=3).find(|id| *id != first && *id != second).unwrap();
    room(&rooms, third).fill(MARK - MIB);
    commands.extend(until_refused(&cluster, second, "meanwhile").await);
    let flag = format!("raft_peer_low_disk{{peer=\"{third}\"}}");
    assert_eq!(sample(&cluster, second, &flag), 1.0);
    assert_eq!(sample(&cluster, second, "raft_low_disk"), 0.0);
    room(&rooms, third).clear();
    until_accepted(&cluster, second, "after").await;
    commands.push("after".to_owned());
    cluster.agree_on(&commands).await;
}

/// databend#18988, raft-engine#344: no start after the disk had been full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_disk_is_full_to_the_last_byte_starts_and_takes_part() {
    let Some((rooms, mut cluster)) = cramped(marked).await else { return };
    let mut commands = cluster.propose_many(1, "before", 20).await;
    cluster.agree_on(&commands).await;
    let reserve = |cluster: &Cluster, id| cluster.data_dir(id).join("reserve").exists();
    wait("the reserves", || (1..=3).all(|id| reserve(&cluster, id))).await;
    // All of them at once: there is nobody to catch up from.
    for id in 1..=3 {
        cluster.halt(id).await;
        room(&rooms, id).fill(0);
        assert_eq!(room(&rooms, id).free_bytes(), 0);
    }
    cluster.start_all().await;
    assert!((1..=3).all(|id| !reserve(&cluster, id)), "the reserve is given up");
    let leader = cluster.leader().await;
    cluster.node(leader).read_barrier(PATIENCE).await.unwrap();
    let refused = cluster.node(leader).propose(Bytes::from_static(b"no"), PATIENCE).await;
    assert!(matches!(refused, Err(ProposeError::LowDisk)), "{refused:?}");
    rooms.iter().for_each(Room::clear);
    until_accepted(&cluster, leader, "after").await;
    commands.push("after".to_owned());
    cluster.agree_on(&commands).await;
    wait("the reserves again", || (1..=3).all(|id| reserve(&cluster, id))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_runs_full_stops_and_comes_back_when_there_is_room() {
    let Some((rooms, mut cluster)) = cramped(marked).await else { return };
    let leader = cluster.leader().await;
    let full = cluster.follower().await;
    room(&rooms, full).fill(MIB);
    let mut commands = Vec::new();
    for number in 0..64 {
        // It must take them, so it fills up; the others go on.
        let command = format!("{number}-{}", "x".repeat(64 << 10));
        cluster.propose(leader, &command).await;
        commands.push(command);
    }
    let node = cluster.node(full).clone();
    let reason = timeout(PATIENCE, node.stopped()).await.unwrap();
    let text = reason.to_string();
    assert!(text.contains("No space") || text.contains("storage full"), "{text}");
    drop(node);
    cluster.nodes[full as usize - 1] = None;
    room(&rooms, full).clear();
    cluster.start(full).await;
    commands.extend(cluster.propose_many(full, "back", 3).await);
    cluster.agree_on(&commands).await;
}
