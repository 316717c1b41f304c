use std::time::Duration;

use futures_util::StreamExt as _;
use raft_core::{
    Change, Config, Node, NodeId, Position, ProposeError, Subscription, SubscriptionError,
};
use tokio::time::timeout;

use super::harness::{Cluster, PATIENCE, wait};
use super::proxy::Mode;

async fn next(subscription: &mut Subscription) -> Change {
    timeout(PATIENCE, subscription.next()).await.unwrap().unwrap().unwrap()
}

/// The next so many commands, which must come in order and each once.
async fn following(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..count {
        let before = subscription.position();
        let change = next(subscription).await;
        assert!(change.position > before);
        assert_eq!(subscription.position(), change.position);
        found.push(String::from_utf8(change.payload.to_vec()).unwrap());
    }
    found
}

fn applied(cluster: &Cluster, id: NodeId) -> Vec<String> {
    let commands = cluster.kept(id).commands();
    commands.iter().map(|command| String::from_utf8(command.to_vec()).unwrap()).collect()
}

fn metric(node: &Node, name: &str) -> u64 {
    let metrics = node.metrics();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_tells_the_same_commands_in_the_same_order_across_a_change_of_leaders() {
    let cluster = Cluster::formed(|_| {}).await;
    let mut all: Vec<Subscription> =
        (1..=3).map(|id| cluster.node(id).subscribe(Some(Position::default()))).collect();
    let first = cluster.leader().await;
    let mut commands = cluster.propose_many(cluster.follower().await, "before", 50).await;
    cluster.node(first).transfer_leadership(None).await.unwrap();
    assert_ne!(cluster.leader().await, first);
    commands.extend(cluster.propose_many(first, "after", 50).await);
    cluster.agree_on(&commands).await;
    let expected = applied(&cluster, 1);
    for subscription in &mut all {
        assert_eq!(following(subscription, expected.len()).await, expected);
    }
    // Nothing twice: the next one is new.
    cluster.propose(first, "last").await;
    for subscription in &mut all {
        assert_eq!(following(subscription, 1).await, ["last"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_subscriber_is_served_from_disk_while_writes_go_on() {
    let cluster = Cluster::formed(|config| config.segment_bytes = 1 << 20).await;
    let leader = cluster.leader().await;
    let node = cluster.node(leader).clone();
    let mut slow = node.subscribe(None);
    // Twice what the log keeps in memory, and more while it reads.
    let large = |number: u32| {
        let mut command = vec![0; 256 << 10];
        command[..4].copy_from_slice(&number.to_be_bytes());
        bytes::Bytes::from(command)
    };
    for number in 0..128 {
        node.propose(large(number), PATIENCE).await.unwrap();
    }
    assert!(metric(&node, "raft_wal_cache_bytes") < 24 << 20);
    let writer = {
        let node = node.clone();
        tokio::spawn(async move {
            for number in 128..192 {
                node.propose(large(number), PATIENCE).await.unwrap();
            }
        })
    };
    let before = metric(&node, "raft_wal_disk_reads_total");
    for number in 0..192_u32 {
        assert_eq!(next(&mut slow).await.payload[..4], number.to_be_bytes());
    }
    writer.await.unwrap();
    assert!(metric(&node, "raft_wal_disk_reads_total") > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_resumed_on_another_member_and_after_a_restart() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let reader = cluster.follower().await;
    let mut subscription = cluster.node(reader).subscribe(Some(Position::default()));
    let commands = cluster.propose_many(reader, "first", 40).await;
    cluster.agree_on(&commands).await;
    let expected = applied(&cluster, reader);
    let half = expected.len() / 2;
    assert_eq!(following(&mut subscription, half).await, expected[..half]);
    let seen = subscription.position();

    let other = (1..=3).find(|id| *id != reader).unwrap();
    let mut elsewhere = cluster.node(other).subscribe(Some(seen));
    assert_eq!(following(&mut elsewhere, expected.len() - half).await, expected[half..]);

    cluster.halt(reader).await;
    let rest = timeout(PATIENCE, subscription.into_stream().collect::<Vec<_>>()).await.unwrap();
    assert!(rest.iter().all(Result::is_ok), "it ends with its node");
    cluster.start(reader).await;
    let mut resumed = cluster.node(reader).subscribe(Some(seen));
    assert_eq!(following(&mut resumed, expected.len() - half).await, expected[half..]);
    cluster.propose(reader, "later").await;
    assert_eq!(following(&mut resumed, 1).await, ["later"]);
}

/// Over a restart too, after which the log alone does not say it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_a_session_repeats_or_refuses_is_not_told() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let node = cluster.node(leader).clone();
    let session = node.open_session_as([7; 16], PATIENCE).await.unwrap();
    session.propose("applied", PATIENCE).await.unwrap();
    let again = node.resume_session([7; 16], 1).propose("again", PATIENCE).await.unwrap();
    assert!(again.replayed);
    let stranger = node.resume_session([9; 16], 1);
    let refused = stranger.propose("refused", PATIENCE).await.unwrap_err();
    assert!(matches!(refused, ProposeError::SessionExpired { .. }), "{refused}");
    session.propose("last", PATIENCE).await.unwrap();
    let log = cluster.node(leader).status().last_log;
    wait("all members", || (1..=3).all(|id| cluster.node(id).applied().index >= log.index)).await;
    for id in 1..=3 {
        let mut all = cluster.node(id).subscribe(Some(Position::default()));
        assert_eq!(following(&mut all, 2).await, ["applied", "last"]);
    }
    drop(node);
    for id in 1..=3 {
        cluster.halt(id).await;
    }
    cluster.start_all().await;
    cluster.propose(cluster.leader().await, "later").await;
    for id in 1..=3 {
        let mut all = cluster.node(id).subscribe(Some(Position::default()));
        assert_eq!(following(&mut all, 3).await, ["applied", "last", "later"]);
    }
}

fn eager(config: &mut Config) {
    config.snapshot_after_entries = 50;
    config.keep_entries = 10;
    config.segment_bytes = 16 << 10;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_learns_what_the_log_has_let_go_of() {
    let cluster = Cluster::formed(eager).await;
    let leader = cluster.leader().await;
    let mut behind = cluster.node(leader).subscribe(Some(Position::default()));
    for round in 0..6 {
        cluster.propose_many(leader, &format!("round-{round}"), 50).await;
    }
    wait("a purge", || metric(cluster.node(leader), "raft_purged_index") > 50).await;
    let oldest = |refused: SubscriptionError| match refused {
        SubscriptionError::Purged { resume_from } => resume_from,
        other => panic!("{other}"),
    };
    let mut from = oldest(behind.next().await.unwrap_err());
    assert!(from.index > 50 && from <= cluster.node(leader).applied());
    cluster.propose(leader, "after the purge").await;
    let (mut resumed, first) = loop {
        let mut resumed = cluster.node(leader).subscribe(Some(from));
        match resumed.next().await {
            Ok(first) => break (resumed, first.unwrap()),
            // It has let go of more meanwhile.
            Err(refused) => from = oldest(refused),
        }
    };
    assert_eq!(first.position.index, from.index + 1);
    let mut last = first;
    while last.payload != "after the purge" {
        last = next(&mut resumed).await;
    }
}

/// The log still has it; which commands of it were applied went with the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_machine_was_filled_from_a_snapshot_does_not_tell_what_was_before() {
    let mut cluster = Cluster::formed(|config| config.snapshot_after_entries = 50).await;
    let follower = cluster.follower().await;
    let commands = cluster.propose_many(follower, "before", 60).await;
    cluster.agree_on(&commands).await;
    let node = cluster.node(follower);
    wait("a snapshot", || metric(node, "raft_snapshot_index") > 0).await;
    assert_eq!(metric(node, "raft_purged_index"), 0);
    cluster.halt(follower).await;
    cluster.kept(follower).with(|held| *held = <_>::default());
    cluster.start(follower).await;
    let mut all = cluster.node(follower).subscribe(Some(Position::default()));
    let refused = all.next().await.unwrap_err();
    let SubscriptionError::Purged { resume_from } = refused else { panic!("{refused}") };
    assert!(resume_from.index > 0);
    cluster.propose(follower, "after").await;
    let mut resumed = cluster.node(follower).subscribe(Some(resume_from));
    while next(&mut resumed).await.payload != "after" {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_of_a_member_that_gets_a_snapshot_does_not_leap_silently() {
    let cluster = Cluster::formed(eager).await;
    let behind = cluster.follower().await;
    let mut subscription = cluster.node(behind).subscribe(None);
    let start = subscription.position();
    cluster.proxy(behind).set(Mode::Cut);
    let leader = loop {
        let leader = (1..=3).find(|id| cluster.node(*id).status().leader == Some(*id));
        match leader.filter(|id| *id != behind) {
            Some(leader) => break leader,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    for round in 0..6 {
        cluster.propose_many(leader, &format!("round-{round}"), 50).await;
    }
    wait("a purge", || metric(cluster.node(leader), "raft_purged_index") > start.index + 20).await;
    cluster.proxy(behind).set(Mode::Pass);
    wait("a snapshot", || cluster.kept(behind).with(|held| held.restores) > 0).await;
    let outcome = loop {
        match timeout(PATIENCE, subscription.next()).await.unwrap() {
            Ok(change) => assert!(change.unwrap().position.index < start.index + 20),
            Err(error) => break error,
        }
    };
    assert!(matches!(outcome, SubscriptionError::Purged { .. }), "{outcome}");
}
