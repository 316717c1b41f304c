use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use raft_core::{Config, NodeId};

use super::harness::{Cluster, PATIENCE, wait};
use super::proxy::Mode;
use super::snapshots::{eager, purged, snapshot_files};

fn metric(cluster: &Cluster, id: NodeId, name: &str) -> u64 {
    let metrics = cluster.node(id).metrics();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no metric {name}")).parse().unwrap()
}

async fn write_large(cluster: &Cluster, leader: NodeId, megabytes: u8) {
    for number in 0..megabytes {
        let large = bytes::Bytes::from(vec![number; 1 << 20]);
        cluster.node(leader).propose(large, PATIENCE).await.unwrap();
    }
}

/// A cluster with a member that is away, and needs a snapshot of 80 MB when it comes back.
async fn one_behind() -> (Cluster, NodeId, NodeId) {
    one_so_far_behind(80, eager).await
}

async fn one_so_far_behind(
    megabytes: u8,
    adjust: impl Fn(&mut Config) + Send + Sync + 'static,
) -> (Cluster, NodeId, NodeId) {
    let mut cluster = Cluster::formed(adjust).await;
    let away = cluster.follower().await;
    cluster.halt(away).await;
    let leader = cluster.leader().await;
    write_large(&cluster, leader, megabytes).await;
    cluster.node(leader).take_snapshot().await.unwrap();
    wait("a purge", || purged(&cluster, leader) > 20).await;
    (cluster, leader, away)
}

fn part_of(cluster: &Cluster, id: NodeId) -> Option<(PathBuf, u64)> {
    let path = snapshot_files(cluster, id, "part").pop()?;
    let length = fs::metadata(&path).ok()?.len();
    Some((path, length))
}

fn received(cluster: &Cluster, id: NodeId) -> u64 {
    part_of(cluster, id).map_or(0, |(_, length)| length)
}

/// Has the one that is away come back, and cuts it off when it has a part of the snapshot. Gives
/// the part, and how long it is.
async fn break_off(cluster: &mut Cluster, away: NodeId) -> (PathBuf, u64) {
    // So that a part of it is seen, and cut off, before all of it is there.
    cluster.proxy(away).set(Mode::Slow);
    cluster.start(away).await;
    wait("a part of the snapshot", || received(cluster, away) > 8 << 20).await;
    cluster.proxy(away).set(Mode::Cut);
    let (path, length) = part_of(cluster, away).unwrap();
    assert!(length < 80 << 20, "the whole snapshot was there before it could be cut off");
    (path, length)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_whose_transfer_breaks_off_is_resumed() {
    let (mut cluster, leader, away) = one_behind().await;
    let (_, broken_off) = break_off(&mut cluster, away).await;
    cluster.proxy(away).set(Mode::Pass);
    let mut seen = Vec::new();
    wait("the whole snapshot", || {
        seen.extend(part_of(&cluster, away));
        cluster.kept(away).with(|held| held.restores) == 1
    })
    .await;
    // Never begun anew: what was there stayed, and grew.
    assert!(seen.iter().all(|(_, length)| *length >= broken_off), "{seen:?} after {broken_off}");
    let commands = cluster.propose_many(leader, "after", 5).await;
    cluster.agree_on(&commands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_broke_off_goes_on_although_newer_snapshots_were_written() {
    let (mut cluster, leader, away) = one_behind().await;
    let offered = cluster.node(leader).status().snapshot.unwrap();
    let (path, broken_off) = break_off(&mut cluster, away).await;

    // Two newer ones, and enough entries for the log to be purged beyond the one being sent.
    let mut newer = offered;
    for round in 0..2 {
        cluster.propose_many(leader, &format!("newer-{round}"), 100).await;
        newer = cluster.node(leader).take_snapshot().await.unwrap();
    }
    assert!(newer.index > offered.index + 150);
    let sent_before = metric(&cluster, leader, "raft_snapshot_sent_bytes_total");
    assert_eq!(cluster.kept(away).with(|held| held.restores), 0);

    cluster.proxy(away).set(Mode::Pass);
    let mut seen = Vec::new();
    wait("the whole snapshot", || {
        seen.extend(part_of(&cluster, away));
        cluster.kept(away).with(|held| held.restores) == 1
    })
    .await;
    // The same one, never begun anew.
    assert!(seen.iter().all(|(found, length)| *found == path && *length >= broken_off));
    let commands = cluster.propose_many(leader, "after", 5).await;
    cluster.agree_on(&commands).await;
    assert_eq!(cluster.kept(away).with(|held| held.restores), 1, "the log went on behind it");
    let sent = metric(&cluster, leader, "raft_snapshot_sent_bytes_total") - sent_before;
    let whole = 81 << 20;
    assert!(sent <= whole - broken_off + (4 << 20), "{sent} more after {broken_off}");
    // Then nothing is kept for it any more.
    wait("the log to be purged", || purged(&cluster, leader) > offered.index).await;
    wait("one snapshot", || snapshot_files(&cluster, leader, "snap").len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_rotted_on_disk_is_written_anew_and_not_sent_for_ever() {
    let (mut cluster, leader, away) = one_behind().await;
    let path = snapshot_files(&cluster, leader, "snap").pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    cluster.start(away).await;
    let commands = cluster.propose_many(leader, "after", 5).await;
    cluster.agree_on(&commands).await;
    assert_eq!(cluster.kept(away).with(|held| held.restores), 1);
    assert!(snapshot_files(&cluster, away, "part").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_sent_received_and_another_one_built_at_the_same_time() {
    let (mut cluster, leader, away) = one_behind().await;
    cluster.start(away).await;
    wait("a part of the snapshot", || received(&cluster, away) > 1 << 20).await;
    let mut commands = Vec::new();
    for round in 0..3 {
        commands.extend(cluster.propose_many(leader, &format!("round-{round}"), 60).await);
        cluster.node(leader).take_snapshot().await.unwrap();
    }
    cluster.agree_on(&commands).await;
    assert!(cluster.kept(away).with(|held| held.restores) >= 1);
    wait("one snapshot", || snapshot_files(&cluster, leader, "snap").len() == 1).await;
}

/// renegade#634: pieces that took longer than expected were sent again, from the same place, for
/// ever. Here the whole takes several times the time in which there must be progress.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_travels_slowly_arrives_by_one_transfer() {
    const MEGABYTES: u8 = 40;
    let stall = Duration::from_secs(2);
    let (mut cluster, leader, away) = one_so_far_behind(MEGABYTES, move |config| {
        eager(config);
        config.snapshot_stall_timeout = stall;
    })
    .await;
    cluster.proxy(away).set(Mode::Slow);
    let began = tokio::time::Instant::now();
    cluster.start(away).await;
    wait("the whole snapshot", || cluster.kept(away).with(|held| held.restores) == 1).await;
    assert!(began.elapsed() > stall * 2, "it was not slow");
    let sent = metric(&cluster, leader, "raft_snapshot_sent_bytes_total");
    assert!(sent < (u64::from(MEGABYTES) + 4) << 20, "{sent} bytes");
    let commands = cluster.propose_many(leader, "after", 5).await;
    cluster.agree_on(&commands).await;
}
