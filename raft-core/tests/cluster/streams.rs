//! Many commands at a time: batches, streams, and the stream on which they are passed on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use raft_core::{Command, NodeId, ProposeError};
use telegraph_proto::raft as proto;
use telegraph_proto::raft::propose_reply::Result as Reply;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::harness::{Cluster, PATIENCE};
use super::proxy::Mode;

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("command-{number}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_gives_each_command_its_own_outcome_wherever_it_is_proposed() {
    let cluster = Cluster::formed(|config| config.max_entry_bytes = 100).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    let mut expected = Vec::new();
    for id in [leader, follower] {
        let mut batch: Vec<Bytes> =
            numbered(700).into_iter().map(|name| format!("{id}-{name}").into()).collect();
        batch[300] = vec![0; 101].into();
        let outcomes = cluster.node(id).propose_batch(batch.clone(), PATIENCE).await;
        assert_eq!(outcomes.len(), 700);
        for (place, (command, outcome)) in batch.iter().zip(outcomes).enumerate() {
            if place == 300 {
                let error = outcome.unwrap_err();
                assert!(matches!(error, ProposeError::TooLarge { bytes: 101, limit: 100 }));
                continue;
            }
            let number: usize =
                std::str::from_utf8(&outcome.unwrap().reply).unwrap().parse().unwrap();
            assert_eq!(&cluster.kept(leader).commands()[number - 1], command);
            expected.push(String::from_utf8(command.to_vec()).unwrap());
        }
    }
    cluster.agree_on(&expected).await;
    assert!(cluster.node(follower).propose_batch(Vec::<Bytes>::new(), PATIENCE).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_takes_no_more_than_it_may_have_under_way_and_loses_none() {
    const COUNT: usize = 10_000;
    let cluster = Cluster::formed(|config| config.max_pending_proposals = 300).await;
    let leader = cluster.leader().await;
    for id in cluster.running().into_iter().filter(|id| *id != leader) {
        cluster.proxy(id).set(Mode::Hole);
    }
    let taken = Arc::new(AtomicUsize::new(0));
    let commands = stream::iter(numbered(COUNT)).inspect({
        let taken = Arc::clone(&taken);
        move |_| {
            taken.fetch_add(1, Ordering::Relaxed);
        }
    });
    let outcomes = cluster.node(leader).propose_stream(commands, PATIENCE);
    tokio::pin!(outcomes);
    assert!(timeout(Duration::from_millis(500), outcomes.next()).await.is_err());
    let waiting = taken.load(Ordering::Relaxed);
    assert!(waiting <= 4096, "{waiting} are under way");
    for id in cluster.running() {
        cluster.proxy(id).set(Mode::Pass);
    }
    let mut done = 0;
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok(_) => done += 1,
            // A leader that lost its quorum for too long was replaced meanwhile.
            Err(error) => assert!(error.may_have_happened(), "{error:?}"),
        }
    }
    assert!(done > COUNT - waiting, "{done} were applied");
    assert_eq!(taken.load(Ordering::Relaxed), COUNT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_lost_while_a_stream_runs_leaves_only_what_was_on_the_wire_unknown() {
    const COUNT: usize = 3000;
    let mut cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let edge = cluster.follower().await;
    let node = cluster.node(edge).clone();
    let commands = numbered(COUNT);
    let proposing = tokio::spawn({
        let commands = stream::iter(commands.clone());
        async move { node.propose_stream(commands, PATIENCE).collect::<Vec<_>>().await }
    });
    super::harness::wait("some of the commands", || cluster.kept(edge).commands().len() > 50).await;
    cluster.halt(leader).await;
    let outcomes = timeout(PATIENCE * 2, proposing).await.unwrap().unwrap();
    assert_eq!(outcomes.len(), COUNT);
    let (mut applied, mut unknown) = (Vec::new(), 0);
    for (command, outcome) in commands.into_iter().zip(outcomes) {
        match outcome {
            Ok(_) => applied.push(command),
            Err(error) if error.may_have_happened() => unknown += 1,
            Err(error) => panic!("{command}: {error:?}"),
        }
    }
    assert!(unknown <= 4096);
    cluster.agree_on(&applied).await;
    let held = cluster.kept(edge).commands().len();
    assert!((applied.len()..=COUNT).contains(&held), "{held} of {COUNT}, and none twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_too_new_for_a_voter_are_held_back_and_it_is_said_by_whom() {
    let cluster = Cluster::formed(|_| {}).await;
    let newer = || Command::new("newer").with_version(2);
    for id in 1..=3 {
        let error = cluster.node(id).propose(newer(), PATIENCE).await.unwrap_err();
        let ProposeError::HeldBack { version: 2, by } = &error else { panic!("{error:?}") };
        assert_eq!(by, &[1, 2, 3]);
        assert!(!error.may_have_happened());
        let batch = vec![newer(), Command::new(format!("plain-{id}"))];
        let outcomes = cluster.node(id).propose_batch(batch, PATIENCE).await;
        assert!(matches!(outcomes[0], Err(ProposeError::HeldBack { .. })), "{outcomes:?}");
        assert!(outcomes[1].is_ok(), "{outcomes:?}");
    }
    let leader = cluster.leader().await;
    let term = cluster.node(leader).status().term;
    let error = cluster.node(leader).propose_in_term(term, newer(), PATIENCE).await.unwrap_err();
    assert!(matches!(error, ProposeError::HeldBack { .. }), "{error:?}");
    let zero = Command::new("version 0 counts as 1").with_version(0);
    cluster.node(1).propose(zero, PATIENCE).await.unwrap();
}

/// Speaks to a member as a client that is none.
async fn guest(cluster: &Cluster, id: NodeId) -> (RaftServiceClient<Channel>, proto::Caller) {
    let address = format!("http://{}", cluster.node(id).local_addr());
    let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
    let caller = proto::Caller {
        cluster_id: cluster.node(id).cluster_id().to_vec().into(),
        to_node_id: id,
        protocol_version: 1,
        ..Default::default()
    };
    (RaftServiceClient::new(channel), caller)
}

fn tagged(tag: u64, payload: &str) -> proto::TaggedCommand {
    let payload = Bytes::from(payload.to_owned());
    let command = Some(proto::Command { version: 1, payload, ..Default::default() });
    proto::TaggedCommand { tag, command, deadline_ms: 20_000 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_proposes_on_a_stream_and_is_answered_by_tag() {
    let cluster = Cluster::formed(|config| config.max_entry_bytes = 100).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    let (mut client, caller) = guest(&cluster, leader).await;
    let large = "x".repeat(101);
    let messages = [
        proto::ProposeStreamRequest {
            caller: Some(caller),
            commands: vec![tagged(7, "seven"), tagged(8, &large)],
        },
        proto::ProposeStreamRequest { caller: None, commands: vec![tagged(9, "nine")] },
    ];
    let replies = client.propose_stream(stream::iter(messages)).await.unwrap().into_inner();
    let replies: Vec<_> = replies.map(|reply| reply.unwrap().replies).collect().await;
    let mut replies: Vec<_> = replies.into_iter().flatten().collect();
    replies.sort_by_key(|reply| reply.tag);
    let results: Vec<_> =
        replies.into_iter().map(|reply| (reply.tag, reply.reply.unwrap().result)).collect();
    let [(7, Some(Reply::Applied(_))), (8, Some(Reply::Refused(refused))), (9, Some(nine))] =
        results.as_slice()
    else {
        panic!("{results:?}")
    };
    assert_eq!(
        (refused.reason(), refused.limit_bytes),
        (proto::proposal_refused::Reason::TooLarge, 100)
    );
    assert!(matches!(nine, Reply::Applied(_)));

    let (mut client, caller) = guest(&cluster, follower).await;
    let message =
        proto::ProposeStreamRequest { caller: Some(caller), commands: vec![tagged(1, "lost")] };
    let mut replies = client.propose_stream(stream::iter([message])).await.unwrap().into_inner();
    let mut reply = replies.message().await.unwrap().unwrap();
    let Some(Reply::NotLeader(hint)) = reply.replies.remove(0).reply.unwrap().result else {
        panic!("a follower answered otherwise")
    };
    assert_eq!(hint.leader_node_id, leader);
    cluster.agree_on(&["seven".into(), "nine".into()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_proposals_that_makes_no_sense_is_ended() {
    let cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let (mut client, caller) = guest(&cluster, leader).await;
    let send = |caller: Option<proto::Caller>, commands| {
        stream::iter([proto::ProposeStreamRequest { caller, commands }])
    };
    let nothing = client.propose_stream(stream::iter([])).await.unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
    let nobody = client.propose_stream(send(None, vec![tagged(1, "x")])).await.unwrap_err();
    assert_eq!(nobody.code(), Code::FailedPrecondition);
    let foreign = proto::Caller { cluster_id: vec![9; 16].into(), ..caller.clone() };
    let foreign = client.propose_stream(send(Some(foreign), vec![tagged(1, "x")])).await;
    assert_eq!(foreign.unwrap_err().code(), Code::FailedPrecondition);
    let empty = proto::TaggedCommand { tag: 1, ..Default::default() };
    for commands in [vec![empty], vec![tagged(1, "x"); 4097]] {
        let replies = client.propose_stream(send(Some(caller.clone()), commands)).await;
        let refused = replies.unwrap().into_inner().message().await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    let mut odd = tagged(1, "of no session");
    odd.command.as_mut().unwrap().session = Some(proto::Session::default());
    let replies = client.propose_stream(send(Some(caller), vec![odd])).await.unwrap();
    let mut reply = replies.into_inner().message().await.unwrap().unwrap();
    let result = reply.replies.remove(0).reply.unwrap().result;
    assert!(matches!(result, Some(Reply::Refused(_))), "{result:?}");
    assert_eq!(cluster.kept(leader).commands().len(), 0);
}
