//! The promise to form a cluster, over the wire and over restarts.

use bytes::Bytes;
use raft_core::Event;
use telegraph_proto::raft as proto;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::fleet::Fleet;
use super::harness::wait;

async fn client(fleet: &Fleet, place: usize) -> RaftServiceClient<Channel> {
    let uri = format!("http://{}", fleet.node(place).local_addr());
    RaftServiceClient::new(Endpoint::from_shared(uri).unwrap().connect().await.unwrap())
}

/// A node that exists only here.
fn stranger(id: u64, name: &str) -> proto::Member {
    proto::Member {
        node_id: id,
        name: name.into(),
        address: format!("127.0.0.1:{}", 1 + id),
        incarnation: vec![id as u8; 16].into(),
        readable_version: 1,
        ..proto::Member::default()
    }
}

fn caller(from: &proto::Member, to: u64) -> Option<proto::Caller> {
    Some(proto::Caller {
        from_node_id: from.node_id,
        to_node_id: to,
        from_incarnation: from.incarnation.clone(),
        protocol_version: 1,
        ..proto::Caller::default()
    })
}

/// What a node says of itself to a fresh one.
async fn greet(fleet: &Fleet, place: usize) -> proto::HelloReply {
    let us = stranger(77, "greeter");
    let request = proto::HelloRequest {
        caller: caller(&us, 0),
        member: None,
        ..proto::HelloRequest::default()
    };
    client(fleet, place).await.hello(request).await.unwrap().into_inner()
}

/// The id of a cluster of these, as every node computes it.
fn cluster_id(members: &[proto::Member]) -> Bytes {
    use sha2::{Digest as _, Sha256};
    let mut sorted = members.to_vec();
    sorted.sort_by_key(|member| member.node_id);
    let mut hash = Sha256::new();
    hash.update(b"telegraph raft assembly 1\0");
    for member in sorted {
        hash.update(member.node_id.to_be_bytes());
        hash.update(&member.incarnation);
        hash.update(member.readable_version.to_be_bytes());
        for text in [&member.name, &member.address, &member.service_address] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
    }
    hash.finalize()[..16].to_vec().into()
}

async fn ask(
    fleet: &Fleet,
    place: usize,
    from: &proto::Member,
    members: &[proto::Member],
) -> proto::PromiseReply {
    let request = proto::PromiseRequest {
        caller: caller(from, fleet.status(place).node_id),
        cluster_id: cluster_id(members),
        members: members.to_vec(),
    };
    client(fleet, place).await.promise(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promise_outlives_a_restart_and_excludes_every_other_until_it_is_released() {
    let mut fleet = Fleet::prepare(1, 3).await;
    fleet.start(0).await;
    let us = greet(&fleet, 0).await.member.unwrap();
    assert_eq!((us.name.as_str(), us.incarnation.len()), ("node-0", 16));
    let [first, second, third] = [(1, "a"), (2, "b"), (3, "c")].map(|(id, n)| stranger(id, n));
    let list = [first.clone(), second.clone(), us.clone()];
    let other = [first.clone(), third, us.clone()];
    assert!(ask(&fleet, 0, &first, &list).await.promised);
    for _ in 0..2 {
        assert!(ask(&fleet, 0, &second, &list).await.promised);
        let refused = ask(&fleet, 0, &first, &other).await;
        assert!(!refused.promised && refused.detail.contains("has promised"), "{refused:?}");
        assert_eq!(greet(&fleet, 0).await.promised_cluster_id, cluster_id(&list));
        fleet.halt(0).await;
        fleet.start(0).await;
    }
    fleet.tells(0, "for whom it waits", |event| {
        matches!(event, Event::Waiting { why } if why.contains("promises are missing, of: b"))
    })
    .await;
    assert!(fleet.node(0).release_promise().await.unwrap());
    assert!(!fleet.node(0).release_promise().await.unwrap());
    assert!(ask(&fleet, 0, &first, &other).await.promised);
    assert_eq!(greet(&fleet, 0).await.promised_cluster_id, cluster_id(&other));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_initiator_dies_after_the_promises_the_others_form_its_cluster_without_it() {
    let mut fleet = Fleet::prepare(3, 3).await;
    fleet.start(1).await;
    fleet.start(2).await;
    let initiator = stranger(1, "node-0");
    let mut members = vec![initiator.clone()];
    for place in 1..3 {
        members.push(greet(&fleet, place).await.member.unwrap());
    }
    for place in 1..3 {
        assert!(ask(&fleet, place, &initiator, &members).await.promised);
    }
    fleet.leader().await;
    let cluster = fleet.node(1).cluster_id();
    assert_eq!(cluster_id(&members), cluster.to_vec());
    assert_eq!(fleet.node(2).cluster_id(), cluster);
    // It comes back without its data, and takes its place.
    fleet.start(0).await;
    wait("the return of the initiator", || {
        let (voters, new) = (fleet.voters(0), fleet.status(0).node_id);
        voters.contains(&new) && !voters.contains(&1) && voters.len() == 3
    })
    .await;
    let command = fleet.insist(0, "all three").await;
    fleet.hold(&[&command]).await;
    assert!(!fleet.node(1).release_promise().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_belongs_to_the_cluster_and_is_listed_nowhere_is_taken_in_again() {
    let mut fleet = Fleet::prepare(1, 1).await;
    fleet.start(0).await;
    fleet.leader().await;
    // The leader that took it in lost its place before the entry was committed.
    let (us, stranded) = (fleet.status(0).node_id, stranger(5, "stranded"));
    let ours = fleet.node(0).cluster_id().to_vec();
    let caller = caller(&stranded, us);
    let caller = caller.map(|caller| proto::Caller { cluster_id: ours.into(), ..caller });
    let request = proto::JoinRequest { caller, member: Some(stranded) };
    let reply = client(&fleet, 0).await.join(request).await.unwrap().into_inner();
    let joined = matches!(reply.result, Some(proto::join_reply::Result::Joined(_)));
    assert!(joined, "{reply:?}");
    assert!(fleet.node(0).members().get(5).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_fresh_nodes_that_make_no_sense_are_refused_and_change_nothing() {
    let mut fleet = Fleet::prepare(1, 1).await;
    fleet.start(0).await;
    fleet.leader().await;
    let (us, them) = (fleet.status(0).node_id, stranger(5, "newcomer"));
    let mut client = client(&fleet, 0).await;
    let spoils: [fn(&mut proto::Caller); 6] = [
        |c| c.protocol_version = 0,
        |c| c.from_incarnation = vec![1; 17].into(),
        |c| c.from_node_id = 0,
        |c| c.to_node_id += 1,
        |c| c.to_node_id = 0,
        |c| c.cluster_id = vec![3; 16].into(),
    ];
    for (number, spoil) in spoils.into_iter().enumerate() {
        let mut spoilt = caller(&them, us);
        spoil(spoilt.as_mut().unwrap());
        let join = proto::JoinRequest { caller: spoilt.clone(), member: Some(them.clone()) };
        let code = client.join(join).await.unwrap_err().code();
        assert_eq!(code, Code::FailedPrecondition, "join {number}");
        let promise = proto::PromiseRequest { caller: spoilt, ..Default::default() };
        let code = client.promise(promise).await.unwrap_err().code();
        assert_eq!(code, Code::FailedPrecondition, "promise {number}");
    }
    let members: [fn(&mut proto::Member); 4] = [
        |m| m.node_id = 6,
        |m| m.name = String::new(),
        |m| m.address = "n".repeat(100_000),
        |m| m.incarnation = vec![6; 16].into(),
    ];
    for (number, spoil) in members.into_iter().enumerate() {
        let mut spoilt = them.clone();
        spoil(&mut spoilt);
        let join = proto::JoinRequest { caller: caller(&them, us), member: Some(spoilt) };
        let code = client.join(join).await.unwrap_err().code();
        assert_eq!(code, Code::InvalidArgument, "member {number}");
    }
    let nobody = proto::JoinRequest { caller: None, member: None };
    assert_eq!(client.join(nobody).await.unwrap_err().code(), Code::FailedPrecondition);
    let list = [them.clone(), greet(&fleet, 0).await.member.unwrap()];
    let refused = ask(&fleet, 0, &them, &list).await;
    assert!(!refused.promised);
    assert_eq!(fleet.node(0).members().iter().count(), 1);
}
