use std::time::Duration;

use bytes::Bytes;
use raft_core::{BootstrapError, NodeId, OperatorError, ProposeError, Role, StopReason};

use super::harness::{Cluster, PATIENCE, wait};
use super::proxy::Mode;

/// openraft#1716, hashicorp/raft#128: whoever reached a follower was left to find the leader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_elect_a_leader_and_serve_writes_and_reads_everywhere() {
    let cluster = Cluster::formed(|_| {}).await;
    let mut last = None;
    for id in 1..=3 {
        let applied = cluster.propose(id, &format!("from {id}")).await;
        assert_eq!(applied.reply, Bytes::from(id.to_string()));
        assert!(last < Some(applied.position));
        last = Some(applied.position);
        for reader in 1..=3 {
            let at = cluster.node(reader).read_barrier(PATIENCE).await.unwrap();
            assert!(at.index >= applied.position.index);
            assert!(cluster.kept(reader).contains(&format!("from {id}")));
            assert!(cluster.node(reader).applied().index >= applied.position.index);
        }
    }
    let status = cluster.node(1).status();
    assert_eq!(status.voters, cluster.members);
    assert_eq!(status.cluster_id, raft_core::cluster_id(&cluster.members));
    assert_eq!(status.rebuilds, 0);
    assert!(cluster.node(1).metrics().contains("raft_proposals_total{outcome=\"applied\"} 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_is_a_cluster() {
    let mut cluster = Cluster::prepare(1, |_| {}).await;
    cluster.start(1).await;
    assert_eq!(cluster.node(1).status().role, Role::Learner);
    cluster.node(1).bootstrap().await.unwrap();
    assert_eq!(cluster.leader().await, 1);
    cluster.propose(1, "alone").await;
    cluster.node(1).read_barrier(PATIENCE).await.unwrap();
    assert_eq!(cluster.kept(1).commands(), ["alone"]);
    let impossible = cluster.node(1).transfer_leadership(None).await;
    assert!(matches!(impossible, Err(OperatorError::Impossible(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bootstrap_by_all_at_once_and_again_forms_one_cluster() {
    let mut cluster = Cluster::prepare(3, |_| {}).await;
    cluster.start_all().await;
    let (one, two, three) = tokio::join!(
        cluster.node(1).bootstrap(),
        cluster.node(2).bootstrap(),
        cluster.node(3).bootstrap()
    );
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    let leader = cluster.leader().await;
    let commands = cluster.propose_many(leader, "after", 10).await;
    for id in 1..=3 {
        cluster.node(id).bootstrap().await.unwrap();
    }
    cluster.agree_on(&commands).await;
    assert!((1..=3).all(|id| cluster.node(id).status().voters == cluster.members));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_formed_when_the_last_member_has_come_in_whatever_order() {
    for order in [[1, 2, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] {
        let mut cluster = Cluster::prepare(3, |_| {}).await;
        let mut forming = Vec::new();
        for id in order {
            let here: Vec<u64> = cluster.running();
            for early in here {
                cluster.asked(early, 2).await;
                assert!(cluster.node(early).status().voters.is_empty());
            }
            cluster.start(id).await;
            forming.push(cluster.bootstrapping(id));
        }
        for formed in forming {
            formed.await.unwrap().unwrap();
        }
        let leader = cluster.leader().await;
        let commands = cluster.propose_many(leader, "after", 3).await;
        cluster.agree_on(&commands).await;
        assert!((1..=3).all(|id| cluster.node(id).status().voters == cluster.members));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_waits_for_others_to_form_a_cluster_can_be_stopped() {
    let mut cluster = Cluster::prepare(3, |_| {}).await;
    cluster.start(1).await;
    let forming = cluster.bootstrapping(1);
    cluster.asked(1, 1).await;
    cluster.nodes[0].take().unwrap().shutdown().await.unwrap();
    let stopped = tokio::time::timeout(PATIENCE, forming).await.unwrap().unwrap();
    assert!(matches!(stopped, Err(BootstrapError::Stopped(StopReason::Shutdown))), "{stopped:?}");
    cluster.start(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bootstrap_with_other_members_is_refused() {
    let mut cluster = Cluster::prepare(1, |_| {}).await;
    cluster.start(1).await;
    cluster.node(1).bootstrap().await.unwrap();
    cluster.leader().await;
    cluster.halt(1).await;
    let formed = cluster.members.clone();
    let mut other = cluster.members[0].clone();
    (other.id, other.address) = (2, "elsewhere:1".into());
    cluster.members.push(other);
    cluster.start(1).await;
    wait("the old members", || !cluster.node(1).status().voters.is_empty()).await;
    match cluster.node(1).bootstrap().await {
        Err(BootstrapError::OtherMembers { members }) => assert_eq!(members, formed),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_a_halted_leader() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let mut commands = cluster.propose_many(leader, "before", 50).await;
    cluster.halt(leader).await;
    let survivor = cluster.running()[0];
    // What is sent to the dead leader may be lost without a trace, and its caller is told so.
    commands.push(cluster.insist(survivor, "meanwhile").await);
    commands.extend(cluster.propose_many(survivor, "after", 50).await);
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    cluster.agree_on(&commands).await;
    cluster.start(leader).await;
    commands.extend(cluster.propose_many(leader, "back", 5).await);
    cluster.agree_on(&commands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over_on_request_and_at_shutdown() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    let refused = cluster.node(follower).transfer_leadership(None).await;
    assert!(matches!(refused, Err(OperatorError::NotLeader { leader: Some(known) })
        if known.id == leader));
    let next = cluster.node(leader).transfer_leadership(Some(follower)).await.unwrap();
    assert_eq!(next, follower);
    assert_eq!(cluster.leader().await, follower);
    let commands = cluster.propose_many(leader, "moved", 5).await;

    let place = follower as usize - 1;
    let node = cluster.nodes[place].take().unwrap();
    let term = node.status().term;
    node.shutdown().await.unwrap();
    assert_eq!(node.status().role, Role::Stopped);
    // At once: no lease had to pass, and nobody had to notice.
    let leads = |id: &NodeId| cluster.node(*id).status().role == Role::Leader;
    let next = cluster.running().into_iter().find(leads).expect("it was handed over");
    assert_eq!(cluster.node(next).status().term, term + 1);
    let refused = node.propose(Bytes::new(), PATIENCE).await.unwrap_err();
    assert!(matches!(refused, ProposeError::Stopped { proposed: false, .. }), "{refused:?}");
    cluster.leader().await;
    cluster.agree_on(&commands).await;
}

/// openraft's leader proposes nothing more once it was asked to hand over, come who may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hands_over_to_a_member_that_is_down_does_not_leave_a_cluster_without_one() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let mut commands = cluster.propose_many(leader, "before", 5).await;
    cluster.agree_on(&commands).await;
    let down = cluster.follower().await;
    cluster.halt(down).await;
    let other = cluster.running().into_iter().find(|id| *id != leader).unwrap();
    match cluster.node(leader).transfer_leadership(Some(down)).await {
        // It was not yet known that it is down.
        Ok(next) => assert_eq!(next, other),
        Err(error) => assert!(matches!(error, OperatorError::Impossible(_)), "{error:?}"),
    }
    commands.extend(cluster.propose_many(other, "after", 5).await);
    let refused = cluster.node(cluster.leader().await).transfer_leadership(Some(down)).await;
    assert!(matches!(refused, Err(OperatorError::Impossible(_))), "{refused:?}");
    commands.extend(cluster.propose_many(other, "still", 5).await);
    cluster.start(down).await;
    cluster.agree_on(&commands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_for_a_term_is_proposed_by_its_leader_or_by_nobody() {
    let cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    let term = cluster.node(leader).status().term;
    let command = Bytes::from_static(b"fenced");
    let propose = |id, term| cluster.node(id).propose_in_term(term, command.clone(), PATIENCE);
    let refused = propose(follower, term).await.unwrap_err();
    assert!(matches!(&refused, ProposeError::NotLeader { leader: Some(l) } if l.id == leader));
    assert!(!refused.may_have_happened());
    for wrong in [term - 1, term + 1] {
        let refused = propose(leader, wrong).await.unwrap_err();
        assert!(matches!(refused, ProposeError::NotLeader { .. }), "{refused:?}");
    }
    propose(leader, term).await.unwrap();
    assert_eq!(cluster.kept(leader).count("fenced"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hears_of_no_leader_does_not_raise_the_term() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let deaf = cluster.follower().await;
    let term = cluster.node(leader).status().term;
    cluster.proxy(deaf).set(Mode::Cut);
    // It asks the others for votes all the while, and writes go on without it.
    let mut commands = Vec::new();
    let until = tokio::time::Instant::now() + Duration::from_secs(4);
    while tokio::time::Instant::now() < until {
        commands.extend(cluster.propose_many(leader, &commands.len().to_string(), 5).await);
    }
    assert_eq!(cluster.node(deaf).status().term, term);
    assert_eq!(cluster.node(leader).status().term, term);
    assert_eq!(cluster.node(leader).status().role, Role::Leader);
    cluster.proxy(deaf).set(Mode::Pass);
    cluster.agree_on(&commands).await;

    // Alone, too, it stays where it is.
    for id in cluster.running().into_iter().filter(|id| *id != deaf) {
        cluster.halt(id).await;
    }
    wait("the loss of the leader", || cluster.node(deaf).status().leader.is_none()).await;
    let lonely = cluster.node(deaf).propose(Bytes::new(), Duration::from_secs(2)).await;
    assert!(matches!(lonely, Err(ProposeError::NoLeader)), "{lonely:?}");
    assert_eq!(cluster.node(deaf).status().term, term);
}
