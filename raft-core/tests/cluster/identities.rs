//! Who a node is, and what becomes of those who are somebody else.

use std::fs;
use std::path::Path;
use std::time::Duration;

use raft_core::{BootstrapError, Event, Member, Node, NodeId, Role, StopReason, cluster_id};
use telegraph_proto::raft as proto;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::harness::{Cluster, PATIENCE, wait};
use super::journal::{Journal, Kept};

/// Waits until a node tells that it is refused for a reason with these words in it.
async fn refused(events: &mut broadcast::Receiver<Event>, words: &str) -> NodeId {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let event = timeout_at(deadline, events.recv()).await.expect(words);
        if let Ok(Event::Refused { by, why }) = event
            && why.contains(words)
        {
            return by;
        }
    }
}

/// Asks a member for a vote in the name of another node.
async fn ask_vote(cluster: &Cluster, to: NodeId, caller: proto::Caller) -> Result<(), Status> {
    let uri = format!("http://{}", cluster.node(to).local_addr());
    let channel = Endpoint::from_shared(uri).unwrap().connect().await.unwrap();
    let vote = Some(proto::Vote { term: 99, node_id: caller.from_node_id, committed: false });
    let request = proto::VoteRequest { caller: Some(caller), vote, ..Default::default() };
    RaftServiceClient::new(channel).vote(request).await.map(drop)
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn address(cluster: &Cluster, of: NodeId, by: NodeId) -> String {
    cluster.node(by).members().get(of).unwrap().member.address.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_membership_says_of_each_member_who_it_is() {
    let cluster = Cluster::formed(|config| config.readable_version = 7).await;
    wait("everybody's record", || {
        (1..=3).all(|id| {
            cluster.node(id).members().voters.iter().all(|record| {
                record.incarnation.is_some()
                    && record.signing_key.is_some()
                    && record.readable_version == 7
            })
        })
    })
    .await;
    let members = cluster.node(1).members();
    let mut keys: Vec<_> = members.voters.iter().map(|record| record.signing_key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3);
}

/// moby#33952, consul#2374, rqlite#818: a container comes back at another address, and the others
/// go on to dial the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_back_elsewhere_is_found_by_leader_and_followers() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let moved = cluster.follower().await;
    let before = cluster.members[moved as usize - 1].address.clone();
    cluster.halt(moved).await;
    cluster.start_elsewhere(moved).await;
    let now = cluster.members[moved as usize - 1].address.clone();
    assert_ne!(now, before);
    wait("the new address", || (1..=3).all(|id| address(&cluster, moved, id) == now)).await;
    let leader = cluster.leader().await;
    let mut commands = cluster.propose_many(leader, "after", 5).await;
    cluster.agree_on(&commands).await;
    // Another leader reaches it, too, and it can lead.
    for next in [6 - leader - moved, moved] {
        let leader = cluster.leader().await;
        if leader != next {
            cluster.node(leader).transfer_leadership(Some(next)).await.unwrap();
        }
        assert_eq!(cluster.leader().await, next);
        commands.push(cluster.insist(next, &format!("led-by-{next}")).await);
        cluster.agree_on(&commands).await;
    }
}

/// The same when the leader itself moves, and when there is no leader before they find each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_which_a_majority_moved_at_once_comes_together_again() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let commands = cluster.propose_many(1, "before", 5).await;
    cluster.agree_on(&commands).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    for id in [leader, follower] {
        cluster.halt(id).await;
    }
    for id in [leader, follower] {
        cluster.start_elsewhere(id).await;
    }
    cluster.leader().await;
    let wanted: Vec<String> = cluster.members.iter().map(|m| m.address.clone()).collect();
    wait("everybody's address", || {
        (1..=3).all(|by| (1..=3).all(|of| address(&cluster, of, by) == wanted[of as usize - 1]))
    })
    .await;
    cluster.agree_on(&commands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_data_directory_is_refused_while_the_original_works_on() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let original = cluster.follower().await;
    cluster.halt(original).await;
    let copy = cluster.directory.path().join("copy");
    copy_dir(&cluster.data_dir(original), &copy);
    cluster.start(original).await;
    cluster.leader().await;
    let kept = Kept::default();
    let config = raft_core::Config { data_dir: copy, ..cluster.config(original) };
    let clone = Node::start(config, Journal(kept), Routes::default()).await.unwrap();
    let mut events = clone.events();
    refused(&mut events, "runs twice").await;
    assert_ne!(clone.status().role, Role::Leader);
    let commands = cluster.propose_many(original, "with the original", 5).await;
    cluster.agree_on(&commands).await;
    clone.halt().await;
}

/// openraft#898, qdrant#1235, dragonboat#256, nexus#3939: a wiped node that returns under its old
/// id has forgotten what it voted and acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_node_is_refused_and_replaced_by_a_new_one_in_one_change() {
    let mut cluster = Cluster::formed(|config| {
        config.promote_after = Duration::from_millis(300);
    })
    .await;
    let wiped = cluster.follower().await;
    let mut commands = cluster.propose_many(wiped, "before", 5).await;
    cluster.agree_on(&commands).await;
    cluster.halt(wiped).await;
    fs::remove_dir_all(cluster.data_dir(wiped)).unwrap();
    cluster.kept(wiped).with(|held| *held = Default::default());
    let leader = cluster.leader().await;
    let mut events = cluster.node(leader).events();
    cluster.start(wiped).await;
    let why = "knows this node under another incarnation";
    assert_eq!(refused(&mut events, why).await, wiped);
    let outcome = cluster.node(wiped).bootstrap().await;
    let Err(BootstrapError::Refused { why, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("wiped or cloned"), "{why}");
    assert_eq!(cluster.node(wiped).status().last_log, Default::default());
    cluster.halt(wiped).await;

    let newcomer = cluster.newcomer(4).await;
    let leader = cluster.leading().await;
    cluster.node(leader).add_learner(newcomer, PATIENCE).await.unwrap();
    cluster.node(leader).replace(wiped, 4, PATIENCE).await.unwrap();
    commands.extend(cluster.propose_many(4, "after", 5).await);
    cluster.agree_on(&commands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_cluster_is_told_so() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let foreign = cluster.follower().await;
    cluster.halt(foreign).await;
    fs::remove_dir_all(cluster.data_dir(foreign)).unwrap();
    cluster.kept(foreign).with(|held| *held = Default::default());
    // Its list would form another cluster.
    let one_more = Member { id: 9, address: "127.0.0.1:1".into(), ..Member::default() };
    cluster.members.push(one_more);
    cluster.start(foreign).await;
    cluster.members.pop();
    let outcome = cluster.node(foreign).bootstrap().await;
    let Err(BootstrapError::Refused { why, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("another cluster"), "{why}");
    let leader = cluster.leading().await;
    cluster.propose(leader, "without it").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_nodes_messages_are_refused_with_the_reason() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let removed = cluster.follower().await;
    let incarnation = || {
        let members = cluster.node(removed).members();
        members.get(removed).and_then(|record| record.incarnation)
    };
    wait("its incarnation", || incarnation().is_some()).await;
    let incarnation = incarnation().unwrap();
    let leader = cluster.leading().await;
    cluster.node(leader).remove(removed, PATIENCE).await.unwrap();
    let reason = timeout(PATIENCE, cluster.node(removed).stopped()).await.unwrap();
    assert!(matches!(reason, StopReason::Removed), "{reason}");
    cluster.nodes[removed as usize - 1] = None;
    for to in cluster.running() {
        wait("the removal", || cluster.node(to).members().removed == [removed]).await;
        let caller = proto::Caller {
            cluster_id: cluster_id(&cluster.members).to_vec().into(),
            from_node_id: removed,
            to_node_id: to,
            from_incarnation: incarnation.to_vec().into(),
            protocol_version: 1,
            ..Default::default()
        };
        let refusal = ask_vote(&cluster, to, caller).await.unwrap_err();
        assert_eq!(refusal.code(), Code::FailedPrecondition);
        assert!(refusal.message().contains("was removed"), "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_another_members_by_now_is_noticed_and_does_no_harm() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let mut events = cluster.node(leader).events();
    let others: Vec<NodeId> = (1..=3).filter(|id| *id != leader).collect();
    cluster.halt(others[0]).await;
    cluster.proxy(others[0]).lead_to(cluster.node(others[1]).local_addr());
    let why = format!("the call is for node {}, this is node {}", others[0], others[1]);
    assert_eq!(refused(&mut events, &why).await, others[0]);
    let commands = cluster.propose_many(leader, "meanwhile", 5).await;
    cluster.start(others[0]).await;
    cluster.agree_on(&commands).await;
}

/// A node that calls itself would follow itself: openraft's questions and answers name a panic that
/// comes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_leads_back_to_the_caller_is_noticed_and_does_no_harm() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let mut events = cluster.node(leader).events();
    let lost = cluster.follower().await;
    cluster.halt(lost).await;
    cluster.proxy(lost).lead_to(cluster.node(leader).local_addr());
    assert_eq!(refused(&mut events, "has called itself").await, lost);
    let commands = cluster.propose_many(leader, "meanwhile", 5).await;
    assert_eq!(cluster.leader().await, leader);
    cluster.start(lost).await;
    cluster.agree_on(&commands).await;
}

/// openraft#970, openraft#1031, openraft#1535: everybody forms the cluster, at every start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_formed_again_at_every_start_stays_one() {
    let mut cluster = Cluster::prepare(3, |_| {}).await;
    let mut commands = Vec::new();
    for round in 0..3 {
        cluster.start_all().await;
        let formed = [1, 2, 3].map(|id| cluster.bootstrapping(id));
        for formed in formed {
            formed.await.unwrap().unwrap();
        }
        let leader = cluster.leader().await;
        commands.extend(cluster.propose_many(leader, &format!("round-{round}"), 3).await);
        cluster.agree_on(&commands).await;
        for id in 1..=3 {
            cluster.halt(id).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_takes_its_number_from_nobody() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let newcomer = cluster.newcomer(4).await;
    let leader = cluster.leading().await;
    let taken = Member { name: "a name".into(), ..newcomer.clone() };
    cluster.node(leader).add_learner(taken.clone(), PATIENCE).await.unwrap();
    let twin = Member { id: 5, address: "127.0.0.1:1".into(), ..taken };
    let refused = cluster.node(leader).add_learner(twin, PATIENCE).await.unwrap_err();
    assert!(refused.to_string().contains("name"), "{refused}");
}
