//! Members that accept everything and answer nothing: they slow nobody, and no call to one hangs
//! (openraft#1810, tsoracle#443).

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use raft_core::{NodeId, Role};
use tokio::time::{Instant, timeout};

use super::harness::{Cluster, PATIENCE, stays, wait};
use super::metrics::sample;
use super::proxy::Mode;
use super::unanswered::{swallow_joins, swallow_promises};

/// Far longer than any deadline of these tests; what hangs does so for ever.
const SOON: Duration = Duration::from_secs(45);

async fn time_of_writes(cluster: &Cluster, leader: NodeId, name: &str) -> (Duration, Vec<String>) {
    let began = Instant::now();
    let mut commands = Vec::new();
    for round in 0..40 {
        commands.extend(cluster.propose_many(leader, &format!("{name}-{round}"), 25).await);
    }
    (began.elapsed(), commands)
}

async fn costs_nothing(mode: Mode) {
    let cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let lost = cluster.follower().await;
    let term = cluster.node(leader).status().term;
    let (healthy, mut commands) = time_of_writes(&cluster, leader, "healthy").await;

    cluster.proxy(lost).set(mode);
    let (holed, more) = time_of_writes(&cluster, leader, "holed").await;
    commands.extend(more);
    let limit = healthy * 4 + Duration::from_secs(2);
    assert!(holed < limit, "{holed:?} beside {mode:?}, {healthy:?} without");
    // Megabytes it does not take are kept on disk, not in its queue.
    for number in 0..48_u8 {
        cluster.node(leader).propose(Bytes::from(vec![number; 1 << 20]), PATIENCE).await.unwrap();
        let under_way = format!("raft_appends_under_way{{peer=\"{lost}\"}}");
        assert!(sample(&cluster, leader, &under_way) <= 8.0);
        assert!(sample(&cluster, leader, "raft_wal_cache_bytes") < 40e6);
    }
    let status = cluster.node(leader).status();
    assert_eq!((status.role, status.term), (Role::Leader, term), "{mode:?} unseated nobody");
    cluster.node(leader).read_barrier(PATIENCE).await.unwrap();

    cluster.proxy(lost).set(Mode::Pass);
    cluster.agree_on(&commands).await;
    // Nor does its return.
    assert_eq!(cluster.node(leader).status().term, term);
}

/// openraft#1810, tsoracle#443, tsoracle#613: one call that hung held up everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_never_answers_costs_the_others_nothing() {
    costs_nothing(Mode::Hole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_stops_reading_in_the_middle_costs_the_others_nothing() {
    costs_nothing(Mode::Clog).await;
}

/// What of a descriptor set names the calls.
mod described {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Set {
        #[prost(message, repeated, tag = "1")]
        pub(super) files: Vec<File>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct File {
        #[prost(message, repeated, tag = "6")]
        pub(super) services: Vec<Service>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Service {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(message, repeated, tag = "2")]
        pub(super) calls: Vec<Call>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Call {
        #[prost(string, tag = "1")]
        pub(super) name: String,
    }
}

/// The names of all calls between members.
fn calls() -> Vec<String> {
    let set = described::Set::decode(telegraph_proto::DESCRIPTORS).unwrap();
    let services = set.files.into_iter().flat_map(|file| file.services);
    let raft = services.filter(|service| service.name == "RaftService");
    raft.flat_map(|service| service.calls).map(|call| call.name).collect()
}

async fn given_up(cluster: &Cluster, id: NodeId, rpc: &str, times: f64) {
    let name = format!("raft_rpc_deadlines_total{{rpc=\"{rpc}\"}}");
    let waited = timeout(SOON, wait(&name, || sample(cluster, id, &name) >= times)).await;
    waited.unwrap_or_else(|_| panic!("{rpc} was not given up"));
}

/// Makes a member call another one that never answers, and sees it give up.
async fn give_up(call: &str) {
    match call {
        "Hello" => {
            let mut cluster = Cluster::prepare(3, |_| {}).await;
            cluster.start_all().await;
            cluster.proxy(3).set(Mode::Hole);
            let forming = cluster.bootstrapping(1);
            timeout(SOON, cluster.asked(1, 3)).await.unwrap();
            cluster.proxy(3).set(Mode::Pass);
            timeout(SOON, forming).await.unwrap().unwrap().unwrap();
        }
        "Vote" | "PreVote" => elect_beside_a_hole().await,
        "Append" => {
            let cluster = Cluster::formed(|_| {}).await;
            let leader = cluster.leader().await;
            cluster.proxy(cluster.follower().await).set(Mode::Hole);
            given_up(&cluster, leader, "append", 2.0).await;
        }
        "SnapshotOffset" | "InstallSnapshot" => swallow_a_snapshot().await,
        "TransferLeader" => {
            let lost = 3;
            let cluster = formed_with_one_that_never_leads(lost).await;
            let leader = cluster.leader().await;
            let commands = cluster.propose_many(leader, "before", 5).await;
            cluster.agree_on(&commands).await;
            cluster.proxy(lost).set(Mode::Hole);
            // It goes to somebody else, once the lost one has not taken it.
            let handed = timeout(SOON, cluster.node(leader).transfer_leadership(Some(lost))).await;
            let next = handed.unwrap().unwrap();
            assert!(next != lost && next != leader, "{next} leads after {leader}");
            let went_on = cluster.node(leader).propose(Bytes::from_static(b"on"), PATIENCE);
            timeout(SOON, went_on).await.unwrap().unwrap();
        }
        "Propose" | "ProposeStream" | "ReadIndex" => {
            let cluster = Cluster::formed(|_| {}).await;
            let leader = cluster.leader().await;
            let asker = cluster.node(cluster.follower().await);
            cluster.propose(asker.status().node_id, "connected").await;
            cluster.proxy(leader).set(Mode::Hole);
            let limit = Duration::from_millis(300);
            let (began, late) = (Instant::now(), Duration::from_secs(3));
            if call == "ReadIndex" {
                asker.read_barrier(limit).await.unwrap_err();
            } else {
                asker.propose(Bytes::from_static(b"lost"), limit).await.unwrap_err();
            }
            assert!(began.elapsed() < limit + late, "{call} took {:?}", began.elapsed());
        }
        "Promise" => swallow_promises().await,
        "Join" => swallow_joins().await,
        other => panic!("nobody knows what {other} does when it is not answered"),
    }
}

/// A cluster whose last member, `lost`, will not be reached: it could still call, and lead.
async fn formed_with_one_that_never_leads(lost: NodeId) -> Cluster {
    let mut cluster = Cluster::prepare(lost, move |config| {
        if config.node_id == lost {
            config.election_timeout_min = Duration::from_secs(30);
            config.election_timeout_max = Duration::from_secs(60);
            config.quorum_loss_probe_interval = Duration::from_secs(120);
        }
    })
    .await;
    cluster.start_all().await;
    cluster.node(1).bootstrap().await.unwrap();
    assert_ne!(cluster.leader().await, lost);
    cluster
}

async fn elect_beside_a_hole() {
    // A majority is left, so that both rounds are gone through beside the hole.
    let lost = 5;
    let mut cluster = formed_with_one_that_never_leads(lost).await;
    let leader = cluster.leader().await;
    cluster.proxy(lost).set(Mode::Hole);
    cluster.halt(leader).await;
    let others: Vec<NodeId> = cluster.running().into_iter().filter(|id| *id != lost).collect();
    let elected = wait("another leader", || {
        others.iter().any(|id| cluster.node(*id).status().role == Role::Leader)
    });
    timeout(SOON, elected).await.unwrap();
}

async fn swallow_a_snapshot() {
    let mut cluster = Cluster::formed(|config| {
        config.keep_entries = 1;
        config.segment_bytes = 64 << 10;
        config.snapshot_stall_timeout = Duration::from_secs(1);
    })
    .await;
    let away = cluster.follower().await;
    cluster.halt(away).await;
    let leader = cluster.leader().await;
    for number in 0..60_u8 {
        let large = Bytes::from(vec![number; 1 << 20]);
        cluster.node(leader).propose(large, PATIENCE).await.unwrap();
    }
    cluster.node(leader).take_snapshot().await.unwrap();
    let purged = || sample(&cluster, leader, "raft_purged_index") > 50.0;
    wait("the log to be let go of", purged).await;
    cluster.start(away).await;
    let received = || sample(&cluster, away, "raft_snapshot_received_bytes_total");
    wait("a part of the snapshot", || received() > 1e6).await;
    cluster.proxy(away).set(Mode::Hole);
    // Whether the transfer, or the question how much of it is there.
    given_up(&cluster, leader, "snapshot", 1.0).await;
    cluster.proxy(away).set(Mode::Pass);
    wait("the whole", || sample(&cluster, away, "raft_snapshot_install_seconds_count") >= 1.0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_between_members_is_given_up_when_it_is_not_answered() {
    let calls = calls();
    assert!(calls.len() >= 12, "{calls:?}");
    let mut swallowed = false;
    for call in &calls {
        // Both calls of a transfer are one drill.
        let snapshot = call.ends_with("Snapshot") || call.starts_with("Snapshot");
        if !snapshot || !std::mem::replace(&mut swallowed, true) {
            give_up(call).await;
        }
    }
}

/// d-engine#423, etcd#9241, etcd#9333: an isolated member unseated the leader when it was back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_cut_off_rejoins_without_unseating_the_leader() {
    // etcd#9333, d-engine#423: it would come back with a term inflated by lonely elections.
    let cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let cut_off = cluster.follower().await;
    let term = cluster.node(leader).status().term;
    let stood = sample(&cluster, cut_off, "raft_candidacies_total");
    for mode in [Mode::Cut, Mode::Hole] {
        cluster.proxy(cut_off).set(mode);
        wait("the loss of the leader", || cluster.node(cut_off).status().leader.is_none()).await;
        // Many election timeouts.
        stays("without a leader in its old term", Duration::from_secs(4), || {
            let status = cluster.node(cut_off).status();
            (status.leader, status.term) == (None, term)
        })
        .await;
        cluster.proxy(cut_off).set(Mode::Pass);
        wait("its return", || cluster.node(cut_off).status().leader == Some(leader)).await;
    }
    for id in 1..=3 {
        assert_eq!(cluster.node(id).status().term, term, "node {id}");
    }
    assert_eq!(cluster.node(leader).status().role, Role::Leader);
    assert_eq!(sample(&cluster, cut_off, "raft_candidacies_total"), stood);
}
