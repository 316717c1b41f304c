use std::fs;

use bytes::Bytes;
use futures_util::StreamExt as _;
use raft_core::{BootstrapError, cluster_id};
use telegraph_proto::raft as proto;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::harness::{Cluster, wait};

async fn client(cluster: &Cluster, id: u64) -> RaftServiceClient<Channel> {
    let uri = format!("http://{}", cluster.node(id).local_addr());
    let channel = Endpoint::from_shared(uri).unwrap().connect().await.unwrap();
    RaftServiceClient::new(channel)
}

fn caller(cluster: &Cluster) -> proto::Caller {
    proto::Caller {
        cluster_id: Bytes::copy_from_slice(&cluster_id(&cluster.members)),
        from_node_id: 2,
        to_node_id: 1,
        from_incarnation: vec![2; 16].into(),
        to_incarnation: Bytes::new(),
        protocol_version: 1,
        ..proto::Caller::default()
    }
}

/// Calls every method with this caller and otherwise sound requests; their status codes.
async fn codes(cluster: &Cluster, caller: Option<proto::Caller>) -> Vec<(&'static str, Code)> {
    let mut client = client(cluster, 1).await;
    let vote = Some(proto::Vote { term: 1, node_id: 2, committed: false });
    let leader = Some(proto::Vote { term: 1, node_id: 2, committed: true });
    let meta = Some(proto::SnapshotMeta::default());
    let ask = proto::VoteRequest { caller: caller.clone(), vote, ..Default::default() };
    let append =
        proto::AppendRequest { caller: caller.clone(), vote: leader, ..Default::default() };
    let offset =
        proto::SnapshotOffsetRequest { caller: caller.clone(), vote: leader, meta: meta.clone() };
    let chunk =
        proto::SnapshotChunk { caller: caller.clone(), vote: leader, meta, ..Default::default() };
    let transfer = proto::TransferLeaderRequest { caller: caller.clone(), ..Default::default() };
    let propose = proto::ProposeRequest { caller: caller.clone(), ..Default::default() };
    let read = proto::ReadIndexRequest { caller: caller.clone(), deadline_ms: 100 };
    let hello = proto::HelloRequest { caller, ..Default::default() };
    let one = |append| futures_util::stream::iter([append]);
    let code = |result: Result<(), tonic::Status>| result.err().map_or(Code::Ok, |s| s.code());
    vec![
        ("hello", code(client.hello(hello).await.map(drop))),
        ("vote", code(client.vote(ask.clone()).await.map(drop))),
        ("pre_vote", code(client.pre_vote(ask).await.map(drop))),
        ("append", code(client.append(one(append)).await.map(drop))),
        ("snapshot_offset", code(client.snapshot_offset(offset).await.map(drop))),
        (
            "install_snapshot",
            code(client.install_snapshot(futures_util::stream::iter([chunk])).await.map(drop)),
        ),
        ("transfer_leader", code(client.transfer_leader(transfer).await.map(drop))),
        ("propose", code(client.propose(propose).await.map(drop))),
        ("read_index", code(client.read_index(read).await.map(drop))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_refuses_strangers_before_anything_else() {
    let mut cluster = Cluster::prepare(3, |_| {}).await;
    cluster.start(1).await;
    // The first contact: from now on this is member 2.
    let mut raw = client(&cluster, 1).await;
    let hello = proto::HelloRequest { caller: Some(caller(&cluster)), ..Default::default() };
    let reply = raw.hello(hello).await.unwrap().into_inner();
    assert!(reply.fresh);
    assert_eq!(reply.bootstrap_expect, 3);
    assert_eq!(reply.member.unwrap().service_address, "service-1:1");
    let spoils: [fn(&mut proto::Caller); 9] = [
        |c| c.cluster_id = vec![1; 16].into(),
        |c| c.cluster_id = Bytes::new(),
        |c| c.to_node_id = 3,
        |c| c.from_node_id = 1,
        |c| c.from_node_id = 9,
        |c| c.from_incarnation = vec![3; 16].into(),
        |c| c.from_incarnation = vec![2; 17].into(),
        |c| c.to_incarnation = vec![9; 16].into(),
        |c| c.protocol_version = 0,
    ];
    for (number, spoil) in spoils.into_iter().enumerate() {
        let mut stranger = caller(&cluster);
        spoil(&mut stranger);
        for (method, code) in codes(&cluster, Some(stranger)).await {
            assert_eq!(code, Code::FailedPrecondition, "stranger {number} calling {method}");
        }
    }
    for (method, code) in codes(&cluster, None).await {
        assert_eq!(code, Code::FailedPrecondition, "nobody calling {method}");
    }
    assert_eq!(cluster.node(1).status().term, 0);
    assert!(cluster.node(1).metrics().contains("raft_refused_callers_total 90"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_make_no_sense_are_refused_and_change_nothing() {
    let mut cluster = Cluster::prepare(3, |_| {}).await;
    cluster.start(1).await;
    let mut client = client(&cluster, 1).await;
    let caller = Some(caller(&cluster));
    let vote = |term, node_id, committed| Some(proto::Vote { term, node_id, committed });
    let invalid = Code::InvalidArgument;

    for wrong in [None, vote(5, 3, false), vote(5, 2, true), vote(u64::MAX, 2, false)] {
        let ask = proto::VoteRequest { caller: caller.clone(), vote: wrong, ..Default::default() };
        assert_eq!(client.vote(ask.clone()).await.unwrap_err().code(), invalid);
        assert_eq!(client.pre_vote(ask).await.unwrap_err().code(), invalid);
    }
    let far = Some(proto::Position { term: 1, index: u64::MAX });
    let ask = proto::VoteRequest {
        caller: caller.clone(),
        vote: vote(5, 2, false),
        last_log: far,
        leader_transfer: true,
    };
    assert_eq!(client.vote(ask).await.unwrap_err().code(), invalid);

    let garbage = proto::AppendRequest {
        caller: caller.clone(),
        vote: vote(1, 2, true),
        entries: vec![Bytes::from_static(b"garbage")],
        ..Default::default()
    };
    let gap = proto::AppendRequest { previous: far, entries: Vec::new(), ..garbage.clone() };
    let no_vote = proto::AppendRequest { vote: None, ..garbage.clone() };
    for append in [garbage, gap, no_vote] {
        let stream = client.append(futures_util::stream::iter([append])).await;
        let mut answers = stream.unwrap().into_inner();
        let refused = answers.next().await.unwrap().unwrap_err();
        assert_eq!(refused.code(), invalid);
        assert!(answers.next().await.is_none());
    }

    refuse_senseless_snapshots(&mut client, &caller).await;

    let propose = proto::ProposeRequest { caller: caller.clone(), ..Default::default() };
    assert_eq!(client.propose(propose).await.unwrap_err().code(), invalid);
    let transfer = proto::TransferLeaderRequest { caller, ..Default::default() };
    assert_eq!(client.transfer_leader(transfer).await.unwrap_err().code(), invalid);

    assert_eq!(cluster.node(1).status().term, 0);
    cluster.start(2).await;
    cluster.start(3).await;
    // Member 2 came under another incarnation above; 1 and 3 form the quorum.
    cluster.node(3).bootstrap().await.unwrap();
    cluster.propose(1, "unharmed").await;
}

async fn refuse_senseless_snapshots(
    client: &mut RaftServiceClient<Channel>,
    caller: &Option<proto::Caller>,
) {
    let vote = Some(proto::Vote { term: 1, node_id: 2, committed: true });
    let invalid = Code::InvalidArgument;
    let meta = proto::SnapshotMeta {
        id: "x".into(),
        last_applied: Some(proto::Position { term: 1, index: 5 }),
        version: 1,
        length: 3,
        ..Default::default()
    };
    let spoils: [fn(&mut proto::SnapshotMeta); 5] = [
        |m| m.last_applied = None,
        |m| m.version = 2,
        |m| m.last_applied = Some(proto::Position { term: 9, index: 5 }),
        |m| m.last_applied = Some(proto::Position { term: 1, index: u64::MAX }),
        |m| m.session_bytes = 4,
    ];
    for spoil in spoils {
        let mut meta = meta.clone();
        spoil(&mut meta);
        let offset =
            proto::SnapshotOffsetRequest { caller: caller.clone(), vote, meta: Some(meta) };
        assert_eq!(client.snapshot_offset(offset).await.unwrap_err().code(), invalid);
    }
    let chunk = proto::SnapshotChunk {
        caller: caller.clone(),
        vote,
        meta: Some(meta),
        offset: 0,
        data: Bytes::from_static(b"abc"),
        checksum: 12345,
    };
    let garbled = chunk.clone();
    let damaged = client.install_snapshot(futures_util::stream::iter([chunk])).await;
    assert_eq!(damaged.unwrap_err().code(), Code::DataLoss);
    // What pretends to be a table of sessions is none.
    let checksum = crc32c::crc32c(&garbled.data);
    let meta = garbled.meta.map(|meta| proto::SnapshotMeta { session_bytes: 3, checksum, ..meta });
    let garbled = proto::SnapshotChunk { meta, checksum, ..garbled };
    let damaged = client.install_snapshot(futures_util::stream::iter([garbled])).await;
    assert_eq!(damaged.unwrap_err().code(), Code::DataLoss);
    let empty = client.install_snapshot(futures_util::stream::iter([])).await;
    assert_eq!(empty.unwrap_err().code(), invalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_data_was_wiped_is_refused_under_its_old_number() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let victim = cluster.follower().await;
    let commands = cluster.propose_many(victim, "before", 5).await;
    cluster.agree_on(&commands).await;
    cluster.halt(victim).await;
    fs::remove_dir_all(cluster.data_dir(victim)).unwrap();
    cluster.kept(victim).with(|held| *held = Default::default());
    cluster.start(victim).await;
    let survivors: Vec<u64> = cluster.running().into_iter().filter(|id| *id != victim).collect();
    wait("the refusal", || {
        survivors.iter().any(|id| {
            let metrics = cluster.node(*id).metrics();
            !metrics.contains("raft_refused_callers_total 0\n")
        }) || !cluster.node(victim).metrics().contains("raft_refused_callers_total 0\n")
    })
    .await;
    cluster.propose(survivors[0], "without it").await;
    assert_eq!(cluster.kept(victim).commands().len(), 0);
    assert_eq!(cluster.node(victim).status().leader, None);
    let refused = cluster.node(victim).bootstrap().await;
    assert!(matches!(refused, Err(BootstrapError::Refused { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_of_wiped_nodes_forms_no_new_cluster_beside_the_one_that_remembers() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let commands = cluster.propose_many(1, "before", 5).await;
    cluster.agree_on(&commands).await;
    for id in [2, 3] {
        cluster.halt(id).await;
        fs::remove_dir_all(cluster.data_dir(id)).unwrap();
        cluster.kept(id).with(|held| *held = Default::default());
    }
    for id in [2, 3] {
        cluster.start(id).await;
        let refused = cluster.node(id).bootstrap().await;
        assert!(matches!(refused, Err(BootstrapError::Refused { by: 1, .. })), "{refused:?}");
        assert!(cluster.node(id).status().voters.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_of_wiped_nodes_forms_no_new_cluster_while_the_one_that_remembers_is_away() {
    // Of rounds 200 ms apart: five of the longest election timeouts, 900 ms.
    const ROUNDS: u64 = 23;
    let mut cluster = Cluster::formed(|_| {}).await;
    let commands = cluster.propose_many(1, "before", 5).await;
    cluster.agree_on(&commands).await;
    cluster.halt(1).await;
    for id in [2, 3] {
        cluster.halt(id).await;
        fs::remove_dir_all(cluster.data_dir(id)).unwrap();
        cluster.kept(id).with(|held| *held = Default::default());
    }
    for id in [2, 3] {
        cluster.start(id).await;
    }
    let forming = [2, 3].map(|id| cluster.bootstrapping(id));
    for id in [2, 3] {
        cluster.asked(id, ROUNDS).await;
    }
    for id in [2, 3] {
        let status = cluster.node(id).status();
        assert!(status.voters.is_empty() && status.leader.is_none(), "{status:?}");
        assert_eq!((status.term, status.last_log), (0, Default::default()));
    }
    assert!(forming.iter().all(|forming| !forming.is_finished()));

    // It comes back, and tells them who they are not.
    cluster.start(1).await;
    for forming in forming {
        let refused = forming.await.unwrap();
        assert!(matches!(refused, Err(BootstrapError::Refused { by: 1, .. })), "{refused:?}");
    }
    assert!(commands.iter().all(|command| cluster.kept(1).contains(command)));
}
