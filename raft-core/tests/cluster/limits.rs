use std::time::Duration;

use bytes::Bytes;
use raft_core::{ProposeError, ReadError, Role, StopReason};
use tokio::time::timeout;

use super::harness::{Cluster, PATIENCE, wait};
use super::proxy::Mode;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_too_large_is_refused_at_once_wherever_it_is_proposed() {
    let cluster = Cluster::formed(|config| config.max_entry_bytes = 1000).await;
    for id in 1..=3 {
        let refused = cluster.node(id).propose(vec![0; 1001], PATIENCE).await.unwrap_err();
        assert!(matches!(refused, ProposeError::TooLarge { bytes: 1001, limit: 1000 }));
        cluster.node(id).propose(vec![0; 1000], PATIENCE).await.unwrap();
    }
}

/// openraft#1496, openraft#1815, openraft#173: appends beyond what the transport takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_larger_than_an_append_travel_one_by_one() {
    let cluster = Cluster::formed(|config| {
        config.max_entry_bytes = 8 << 20;
        config.max_append_bytes = 1000;
    })
    .await;
    let large = Bytes::from(vec![7; 8 << 20]);
    cluster.node(1).propose(large.clone(), PATIENCE).await.unwrap();
    cluster.node(2).propose(large.clone(), PATIENCE).await.unwrap();
    let commands = cluster.propose_many(3, "small", 100).await;
    cluster.agree_on(&commands).await;
    assert!((1..=3).all(|id| cluster.kept(id).commands()[..2] == [large.clone(), large.clone()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_proposals_than_allowed_are_refused_and_were_not_made() {
    let cluster = Cluster::formed(|config| config.max_pending_proposals = 2).await;
    let leader = cluster.leader().await;
    let proposals = (0..200).map(|number| {
        let command = Bytes::from(format!("{number}"));
        cluster.node(leader).propose(command, PATIENCE)
    });
    let outcomes = futures_util::future::join_all(proposals).await;
    let applied = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!((2..200).contains(&applied), "{applied} applied");
    for refused in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(refused, ProposeError::Overloaded), "{refused:?}");
        assert!(!refused.may_have_happened());
    }
    assert_eq!(cluster.kept(leader).commands().len(), applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_swallows_everything_does_not_hold_up_the_others() {
    let cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let term = cluster.node(leader).status().term;
    let lost = cluster.follower().await;
    cluster.proxy(lost).set(Mode::Hole);
    let began = tokio::time::Instant::now();
    let mut commands = Vec::new();
    for round in 0..100 {
        let command = format!("round-{round}");
        let one = cluster.propose(leader, &command);
        timeout(Duration::from_secs(2), one).await.expect("a write was held up");
        commands.push(command);
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "100 writes took {took:?}");
    assert_eq!(cluster.node(leader).status().term, term);
    assert_eq!(cluster.node(leader).status().role, Role::Leader);
    cluster.proxy(lost).set(Mode::Pass);
    cluster.agree_on(&commands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_nothing_is_acknowledged_and_the_leader_steps_down() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    for id in cluster.running().into_iter().filter(|id| *id != leader) {
        cluster.halt(id).await;
    }
    let node = cluster.node(leader);
    let unsure = node.propose(Bytes::from_static(b"unsure"), Duration::from_secs(3)).await;
    assert!(matches!(unsure, Err(ProposeError::Timeout | ProposeError::NoLeader)), "{unsure:?}");
    let read = node.read_barrier(Duration::from_secs(1)).await;
    assert!(matches!(read, Err(ReadError::Timeout | ReadError::NoLeader)), "{read:?}");
    wait("stepping down", || node.status().role != Role::Leader).await;
    assert_eq!(cluster.kept(leader).count("unsure"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_machine_that_fails_stops_its_node_and_only_that() {
    let cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let broken = cluster.follower().await;
    cluster.kept(broken).with(|held| held.broken = true);
    cluster.propose(leader, "poison").await;
    let reason = timeout(PATIENCE, cluster.node(broken).stopped()).await.unwrap();
    let StopReason::Failed(cause) = reason else { panic!("{reason:?}") };
    assert!(cause.to_string().contains("it was told to fail"), "{cause}");
    assert_eq!(cluster.node(broken).status().role, Role::Stopped);
    let refused = cluster.node(broken).propose(Bytes::new(), PATIENCE).await.unwrap_err();
    assert!(matches!(refused, ProposeError::Stopped { .. }), "{refused:?}");
    cluster.propose(leader, "onwards").await;
}
