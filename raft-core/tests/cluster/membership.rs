use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raft_core::{
    ChangeError, Command, Config, Event, Member, MemberRecord, NodeId, OperatorError, Role,
    StopReason, cluster_id,
};
use tokio::time::timeout;

use super::harness::{Cluster, PATIENCE, wait};

/// Learners are promoted soon: the machine is slow enough as it is.
fn quick(config: &mut Config) {
    config.promote_after = Duration::from_millis(300);
}

/// Has the leader change the members, whoever that is by then, until it is done or refused.
macro_rules! at_leader {
    ($cluster:expr, $node:ident => $change:expr) => {
        loop {
            let leader = $cluster.leading().await;
            let $node = $cluster.node(leader);
            match $change.await {
                Err(
                    ChangeError::NotLeader { .. }
                    | ChangeError::NotNow
                    | ChangeError::Busy
                    | ChangeError::Unknown,
                ) => tokio::time::sleep(Duration::from_millis(20)).await,
                done => break done,
            }
        }
    };
}

fn ids(members: &[MemberRecord]) -> Vec<NodeId> {
    members.iter().map(|record| record.member.id).collect()
}

/// Waits until these vote and nobody else, by the word of all running members.
async fn voters_are(cluster: &Cluster, voters: &[NodeId]) {
    wait("the voters", || {
        voters.iter().filter(|id| cluster.running().contains(id)).all(|id| {
            let members = cluster.node(*id).members();
            ids(&members.voters) == voters && !members.changing
        })
    })
    .await;
}

/// Waits until the leader has noted who everybody is: no change of its own comes in between then.
async fn settled(cluster: &Cluster) {
    wait("everybody's record", || {
        cluster.running().into_iter().all(|id| {
            let members = cluster.node(id).members();
            !members.changing && members.iter().all(|record| record.signing_key.is_some())
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_is_added_catches_up_and_is_promoted() {
    let mut cluster = Cluster::formed(quick).await;
    let leader = cluster.leader().await;
    let mut events = cluster.node(leader).events();
    let mut commands = cluster.propose_many(leader, "before", 50).await;
    let newcomer = cluster.newcomer(4).await;
    at_leader!(cluster, node => node.add_learner(newcomer.clone(), PATIENCE)).unwrap();
    commands.extend(cluster.propose_many(leader, "learning", 50).await);
    cluster.agree_on(&commands).await;
    let members = cluster.node(4).members();
    assert_eq!((ids(&members.voters), ids(&members.learners)), (vec![1, 2, 3], vec![4]));
    at_leader!(cluster, node => node.promote(4, PATIENCE)).unwrap();
    voters_are(&cluster, &[1, 2, 3, 4]).await;
    commands.extend(cluster.propose_many(4, "after", 5).await);
    cluster.agree_on(&commands).await;
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::MembersChanged { voters, learners } = event {
            told.push((voters.len(), learners.len()));
        }
    }
    assert!(told.contains(&(3, 1)) && told.contains(&(4, 0)), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_that_does_not_keep_up_or_has_gone_is_not_promoted() {
    let mut cluster = Cluster::formed(quick).await;
    let absent = Member { id: 9, address: "127.0.0.1:1".into(), ..Member::default() };
    at_leader!(cluster, node => node.add_learner(absent.clone(), PATIENCE)).unwrap();
    let limit = Duration::from_millis(500);
    let refused = at_leader!(cluster, node => node.promote(9, limit));
    assert!(matches!(refused, Err(ChangeError::Behind { id: 9, lag: None, .. })), "{refused:?}");
    // One that had everything, and is gone since.
    let newcomer = cluster.newcomer(4).await;
    at_leader!(cluster, node => node.add_learner(newcomer.clone(), PATIENCE)).unwrap();
    let commands = cluster.propose_many(1, "before", 5).await;
    cluster.agree_on(&commands).await;
    cluster.halt(4).await;
    // Longer than it counts as alive.
    let limit = Duration::from_secs(3);
    let refused = at_leader!(cluster, node => node.replace(1, 4, limit));
    assert!(matches!(refused, Err(ChangeError::Behind { id: 4, lag: None, .. })), "{refused:?}");
    assert_eq!(ids(&cluster.node(1).members().voters), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_that_cannot_read_what_is_in_the_log_gets_no_vote() {
    let mut cluster = Cluster::formed(|config| {
        quick(config);
        config.readable_version = if config.node_id == 4 { 1 } else { 2 };
    })
    .await;
    wait("everybody to have said what it reads", || {
        let members = cluster.node(1).members();
        members.voters.iter().all(|record| record.readable_version == 2)
    })
    .await;
    let newcomer = cluster.newcomer(4).await;
    at_leader!(cluster, node => node.add_learner(newcomer.clone(), PATIENCE)).unwrap();
    wait("the learner to have said what it reads", || {
        let members = cluster.node(1).members();
        members.get(4).is_some_and(|record| record.readable_version == 1)
    })
    .await;
    let leader = cluster.leader().await;
    let newer = Command::new("newer").with_version(2);
    // A learner holds nothing up.
    cluster.node(leader).propose(newer, PATIENCE).await.unwrap();
    let promoted = at_leader!(cluster, node => node.promote(4, PATIENCE));
    let expected = matches!(promoted, Err(ChangeError::Outdated { id: 4, reads: 1, needed: 2 }));
    assert!(expected, "{promoted:?}");
    let replaced = at_leader!(cluster, node => {
        // A leader that is to leave hands over first.
        let old = node.status().node_id % 3 + 1;
        node.replace(old, 4, PATIENCE)
    });
    assert!(matches!(replaced, Err(ChangeError::Outdated { id: 4, .. })), "{replaced:?}");
    assert_eq!(ids(&cluster.node(1).members().voters), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_is_replaced_without_a_voter_less_or_more() {
    let mut cluster = Cluster::formed(quick).await;
    let dead = cluster.follower().await;
    cluster.halt(dead).await;
    let leader = cluster.leader().await;
    let mut events = cluster.node(leader).events();
    let mut commands = cluster.propose_many(leader, "before", 20).await;
    let newcomer = cluster.newcomer(4).await;
    at_leader!(cluster, node => node.add_learner(newcomer.clone(), PATIENCE)).unwrap();
    at_leader!(cluster, node => node.replace(dead, 4, PATIENCE)).unwrap();
    let voters: Vec<NodeId> = [1, 2, 3, 4].into_iter().filter(|id| *id != dead).collect();
    voters_are(&cluster, &voters).await;
    wait("the tombstone", || cluster.node(4).members().removed == [dead]).await;
    while let Ok(event) = events.try_recv() {
        if let Event::MembersChanged { voters, .. } = event {
            assert_eq!(voters.len(), 3);
        }
    }
    commands.extend(cluster.propose_many(4, "after", 5).await);
    cluster.agree_on(&commands).await;
    let again = Member { id: dead, address: "127.0.0.1:1".into(), ..Member::default() };
    let refused = at_leader!(cluster, node => node.add_learner(again.clone(), PATIENCE));
    assert!(matches!(refused, Err(ChangeError::Removed(id)) if id == dead), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_is_removed_learns_it_and_stops_for_ever() {
    let mut cluster = Cluster::formed(quick).await;
    let removed = cluster.follower().await;
    let mut events = cluster.node(removed).events();
    at_leader!(cluster, node => node.remove(removed, PATIENCE)).unwrap();
    let reason = timeout(PATIENCE, cluster.node(removed).stopped()).await.unwrap();
    assert!(matches!(reason, StopReason::Removed), "{reason}");
    assert_eq!(cluster.node(removed).status().role, Role::Stopped);
    let mut told = false;
    while let Ok(event) = events.try_recv() {
        told |= event == Event::Removed;
    }
    assert!(told);
    cluster.nodes[removed as usize - 1] = None;
    let term = cluster.node(cluster.leading().await).status().term;
    cluster.start(removed).await;
    let reason = timeout(PATIENCE, cluster.node(removed).stopped()).await.unwrap();
    assert!(matches!(reason, StopReason::Removed), "{reason}");
    cluster.nodes[removed as usize - 1] = None;
    let leader = cluster.leading().await;
    assert_eq!(cluster.node(leader).status().term, term, "it unseated nobody");
    cluster.propose(leader, "without it").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_removed_hands_over_first() {
    let mut cluster = Cluster::formed(quick).await;
    let leader = cluster.leader().await;
    let mut commands = cluster.propose_many(leader, "before", 20).await;
    let aside = cluster.node(leader).remove(leader, PATIENCE).await;
    let Err(ChangeError::NotLeader { leader: Some(next) }) = aside else { panic!("{aside:?}") };
    assert_ne!(next.id, leader);
    assert_eq!(cluster.node(leader).members().voters.len(), 3);
    cluster.node(next.id).remove(leader, PATIENCE).await.unwrap();
    let reason = timeout(PATIENCE, cluster.node(leader).stopped()).await.unwrap();
    assert!(matches!(reason, StopReason::Removed), "{reason}");
    cluster.nodes[leader as usize - 1] = None;
    commands.extend(cluster.propose_many(next.id, "after", 5).await);
    cluster.agree_on(&commands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_to_five_and_shrinks_to_three_under_load_and_loses_nothing() {
    let mut cluster = Cluster::formed(quick).await;
    let writer = cluster.node(1).clone();
    let over = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let command = format!("load-{number}");
                match writer.propose(command.clone(), PATIENCE).await {
                    Ok(_) => acknowledged.push(command),
                    Err(error) => assert!(error.may_have_happened(), "{error}"),
                }
            }
            acknowledged
        }
    });
    for id in [4, 5] {
        let newcomer = cluster.newcomer(id).await;
        at_leader!(cluster, node => node.add_learner(newcomer.clone(), PATIENCE)).unwrap();
        at_leader!(cluster, node => node.promote(id, PATIENCE)).unwrap();
    }
    voters_are(&cluster, &[1, 2, 3, 4, 5]).await;
    for id in [2, 3] {
        at_leader!(cluster, node => node.remove(id, PATIENCE)).unwrap();
        let reason = timeout(PATIENCE, cluster.node(id).stopped()).await.unwrap();
        assert!(matches!(reason, StopReason::Removed), "{reason}");
        cluster.nodes[id as usize - 1] = None;
    }
    voters_are(&cluster, &[1, 4, 5]).await;
    over.store(true, Ordering::Relaxed);
    let acknowledged = load.await.unwrap();
    assert!(!acknowledged.is_empty());
    cluster.agree_on(&acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_changes_at_the_same_time_one_wins_and_the_others_are_told() {
    let cluster = Cluster::formed(quick).await;
    settled(&cluster).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    let absent = |id: NodeId| Member { id, address: format!("h:{id}"), ..Member::default() };
    let node = cluster.node(leader);
    let (first, second) =
        tokio::join!(node.add_learner(absent(4), PATIENCE), node.add_learner(absent(5), PATIENCE));
    let outcomes = [first, second];
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    let lost = outcomes.into_iter().find_map(Result::err).unwrap();
    assert!(matches!(lost, ChangeError::Busy) && !lost.may_have_happened(), "{lost}");
    assert_eq!(node.members().learners.len(), 1);
    let elsewhere = cluster.node(follower).add_learner(absent(6), PATIENCE).await;
    let Err(ChangeError::NotLeader { leader: Some(hint) }) = elsewhere else {
        panic!("{elsewhere:?}")
    };
    assert_eq!(hint.id, leader);
    let learner = node.members().learners[0].member.id;
    let refused = node.transfer_leadership(Some(learner)).await;
    assert!(matches!(refused, Err(OperatorError::Impossible(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_the_outcome_of_a_change_is_unknown_and_comes_out_later() {
    let mut cluster = Cluster::formed(quick).await;
    settled(&cluster).await;
    let leader = cluster.leader().await;
    let others: Vec<NodeId> = (1..=3).filter(|id| *id != leader).collect();
    for id in &others {
        cluster.halt(*id).await;
    }
    let absent = Member { id: 4, address: "127.0.0.1:1".into(), ..Member::default() };
    let limit = Duration::from_millis(300);
    let outcome = cluster.node(leader).add_learner(absent.clone(), limit).await;
    assert!(matches!(outcome, Err(ChangeError::Unknown)), "{outcome:?}");
    assert!(outcome.unwrap_err().may_have_happened());
    assert!(cluster.node(leader).members().changing);
    for id in &others {
        cluster.start(*id).await;
    }
    wait("the outcome", || {
        let all = [1, 2, 3].map(|id| cluster.node(id).members());
        all.iter().all(|members| !members.changing && members.position == all[0].position)
    })
    .await;
    // It may have come about by now, or never will.
    match at_leader!(cluster, node => node.add_learner(absent.clone(), PATIENCE)) {
        Ok(_) | Err(ChangeError::Taken { what: "id", by: 4 }) => {}
        other => panic!("{other:?}"),
    }
}

/// Its entry may be with others, who go on without the node that was asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_does_not_deny_a_change_that_is_under_way() {
    let mut cluster = Cluster::formed(quick).await;
    settled(&cluster).await;
    let leader = cluster.leader().await;
    let node = cluster.node(leader).clone();
    for id in (1..=3).filter(|id| *id != leader) {
        cluster.halt(id).await;
    }
    let absent = Member { id: 4, address: "127.0.0.1:1".into(), ..Member::default() };
    let add = || node.add_learner(absent.clone(), PATIENCE);
    let halt = async {
        wait("the change", || node.members().changing).await;
        node.halt().await;
    };
    let (outcome, ()) = tokio::join!(add(), halt);
    assert!(matches!(outcome, Err(ChangeError::Unknown)), "{outcome:?}");
    assert!(outcome.unwrap_err().may_have_happened());
    let refused = add().await.unwrap_err();
    assert!(matches!(refused, ChangeError::Stopped(_)), "{refused:?}");
    assert!(!refused.may_have_happened());
}

/// Also that no entry is committed by a majority of one of the two sets alone (openraft#1802 is
/// about an entry that was).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joint_change_needs_both_majorities_and_is_ended_after_a_restart_in_its_middle() {
    let adjust = |config: &mut Config| {
        config.promote_after = Duration::ZERO;
        // The learner counts as alive for long after it was halted.
        config.quorum_loss_probe_interval = Duration::from_secs(60);
    };
    let mut cluster = Cluster::formed(adjust).await;
    let newcomer = cluster.newcomer(4).await;
    at_leader!(cluster, node => node.add_learner(newcomer.clone(), PATIENCE)).unwrap();
    let commands = cluster.propose_many(1, "before", 5).await;
    cluster.agree_on(&commands).await;
    let leader = cluster.leader().await;
    let followers: Vec<NodeId> = (1..=3).filter(|id| *id != leader).collect();
    let (witness, absent) = (followers[0], followers[1]);
    settled(&cluster).await;
    cluster.halt(4).await;
    cluster.halt(absent).await;
    // Two of {1, 2, 3} have it, and two of {1, 2, 3, 4}.
    let node = cluster.node(leader).clone();
    let outcome = node.promote(4, Duration::from_millis(500)).await;
    assert!(matches!(outcome, Err(ChangeError::Unknown)), "{outcome:?}");
    wait("the first step", || cluster.node(witness).members().changing).await;
    for id in [leader, witness] {
        let (status, members) = (cluster.node(id).status(), cluster.node(id).members());
        assert!(status.committed < members.position, "{status:?}");
        assert_eq!(ids(&members.voters), [1, 2, 3, 4]);
    }
    let refused = node.propose("uncommitted", Duration::from_millis(300)).await;
    assert!(refused.is_err(), "{refused:?}");
    drop(node);
    for id in [leader, witness] {
        cluster.halt(id).await;
    }
    for id in 1..=4 {
        cluster.start(id).await;
    }
    voters_are(&cluster, &[1, 2, 3, 4]).await;
    cluster.propose(4, "after").await;
    cluster.agree_on(&commands).await;
}

/// openraft#1802: five voters, of which two hold the entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_committed_that_fewer_than_a_majority_holds() {
    let mut cluster = Cluster::prepare(5, quick).await;
    cluster.start_all().await;
    cluster.node(1).bootstrap().await.unwrap();
    let leader = cluster.leader().await;
    let commands = cluster.propose_many(leader, "before", 5).await;
    cluster.agree_on(&commands).await;
    let others: Vec<NodeId> = (1..=5).filter(|id| *id != leader).collect();
    for id in &others[1..] {
        cluster.halt(*id).await;
    }
    let held = cluster.node(leader).status().last_log;
    let node = cluster.node(leader).clone();
    let proposal = tokio::spawn(async move { node.propose("held by two", PATIENCE).await });
    wait("the entry at two", || cluster.node(others[0]).status().last_log > held).await;
    // What a status says may be a moment old: the entry is here or before.
    let at = cluster.node(others[0]).status().last_log;
    wait("the end of its leadership", || cluster.node(leader).status().role != Role::Leader).await;
    for id in [leader, others[0]] {
        assert!(cluster.node(id).status().committed < at);
        assert!(!cluster.kept(id).contains("held by two"));
    }
    assert!(!proposal.is_finished());
    for id in &others[1..] {
        cluster.start(*id).await;
    }
    cluster.leader().await;
    let _ = proposal.await.unwrap();
    cluster.agree_on(&commands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_removed_is_known_after_a_snapshot_and_a_restart_too() {
    let mut cluster = Cluster::formed(|config| {
        quick(config);
        config.keep_entries = 0;
    })
    .await;
    let removed = cluster.follower().await;
    at_leader!(cluster, node => node.remove(removed, PATIENCE)).unwrap();
    timeout(PATIENCE, cluster.node(removed).stopped()).await.unwrap();
    cluster.nodes[removed as usize - 1] = None;
    let commands = cluster.propose_many(cluster.leading().await, "after", 20).await;
    for id in cluster.running() {
        wait("everything applied", || commands.iter().all(|c| cluster.kept(id).contains(c))).await;
        cluster.node(id).take_snapshot().await.unwrap();
        let gone = |line: &str| line.starts_with("raft_purged_index ") && !line.ends_with(" 0");
        wait("an end of the log before it", || cluster.node(id).metrics().lines().any(gone)).await;
    }
    // One that gets it with a snapshot, and one that reads it from its disk.
    let newcomer = cluster.newcomer(4).await;
    at_leader!(cluster, node => node.add_learner(newcomer.clone(), PATIENCE)).unwrap();
    wait("the snapshot", || cluster.node(4).members().removed == [removed]).await;
    assert!(cluster.kept(4).with(|held| held.restores) > 0);
    let restarted = cluster.running()[0];
    cluster.halt(restarted).await;
    cluster.start(restarted).await;
    wait("its members", || cluster.node(restarted).members().removed == [removed]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_unknown_taken_or_last_is_refused() {
    let mut cluster = Cluster::prepare(1, quick).await;
    cluster.start(1).await;
    cluster.node(1).bootstrap().await.unwrap();
    cluster.leader().await;
    let member = |id, address: &str| Member { id, address: address.into(), ..Member::default() };
    let ours = cluster.members[0].address.clone();
    let add = async |id, address: &str| {
        cluster.node(1).add_learner(member(id, address), PATIENCE).await.unwrap_err()
    };
    assert!(matches!(add(1, "a:1").await, ChangeError::Taken { what: "id", by: 1 }));
    assert!(matches!(add(2, &ours).await, ChangeError::Taken { what: "address", by: 1 }));
    assert!(matches!(add(0, "a:1").await, ChangeError::Unsuitable { id: 0, .. }));
    assert!(matches!(add(2, "").await, ChangeError::Unsuitable { id: 2, .. }));
    let remove = async |id| cluster.node(1).remove(id, PATIENCE).await.unwrap_err();
    assert!(matches!(remove(1).await, ChangeError::LastVoter));
    assert!(matches!(remove(7).await, ChangeError::Unsuitable { id: 7, .. }));
    let promote = async |id| cluster.node(1).promote(id, PATIENCE).await.unwrap_err();
    assert!(matches!(promote(1).await, ChangeError::Unsuitable { id: 1, .. }));
    assert!(matches!(promote(7).await, ChangeError::Unsuitable { id: 7, .. }));
    assert_eq!(cluster.node(1).members().voters.len(), 1);
    assert_eq!(cluster.node(1).cluster_id(), cluster_id(&cluster.members));
    wait("nothing under way", || !cluster.node(1).members().changing).await;
}
