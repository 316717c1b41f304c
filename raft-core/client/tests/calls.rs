//! The client against members that speak the real protocol over real sockets and answer to a
//! script.

#![allow(clippy::unwrap_used)] // In tests, and in what they share.

#[path = "calls/member.rs"]
mod member;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use raft_core_client::{Applied, Client, ClientConfig, ClientError, Position};
use raft_core_discovery::Discovery;
use telegraph_proto::raft::proposal_refused::Reason;
use tokio::net::TcpListener;
use tonic::Code;

use member::{CLUSTER, Member, Reply};

const PATIENCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(500);
const COMMAND: Bytes = Bytes::from_static(b"command");

fn config(addresses: &[&str]) -> ClientConfig {
    ClientConfig {
        discovery: Discovery::fixed(addresses.iter().copied()),
        allow_plaintext: true,
        ..ClientConfig::default()
    }
}

async fn client(members: &[&Member]) -> Client {
    let addresses: Vec<&str> = members.iter().map(|member| member.address.as_str()).collect();
    Client::connect(config(&addresses), PATIENCE).await.unwrap()
}

fn applied(index: u64) -> Applied {
    Applied { position: Position { term: 3, index }, reply: COMMAND, replayed: false }
}

/// An address at which nobody listens.
async fn dead_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_command_follows_the_hint_to_the_leader_and_the_next_goes_there_at_once() {
    let leader = Member::start(2, Reply::Applied).await;
    let follower = Member::start(1, Reply::NotLeader(leader.address.clone())).await;
    let client = client(&[&follower]).await;
    assert_eq!(client.cluster_id(), Some(CLUSTER));
    assert_eq!(client.propose(COMMAND, PATIENCE).await.unwrap(), applied(1));
    assert_eq!(client.propose(COMMAND, PATIENCE).await.unwrap(), applied(2));
    assert_eq!((follower.proposals(), leader.proposals()), (1, 2));
    assert_eq!(leader.commands(), [COMMAND, COMMAND]);
    assert_eq!(client.read_index(PATIENCE).await.unwrap().term, 3);
}

#[tokio::test]
async fn the_first_member_that_answers_is_enough_and_dead_addresses_are_passed_over() {
    let leader = Member::start(1, Reply::Applied).await;
    let (dead, also_dead) = (dead_address().await, dead_address().await);
    let config = config(&[&dead, &leader.address, &also_dead]);
    let client = Client::connect(config, PATIENCE).await.unwrap();
    client.propose(COMMAND, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_stale_hint_to_a_dead_leader_is_survived_once_another_one_leads() {
    let gone = dead_address().await;
    let next = Member::start(2, Reply::NotLeader(gone.clone())).await;
    let follower = Member::start(1, Reply::NotLeader(gone)).await;
    let client = client(&[&follower, &next]).await;
    let proposing = tokio::spawn({
        let client = client.clone();
        async move { client.propose(COMMAND, PATIENCE).await }
    });
    next.proposed(2).await;
    next.now(Reply::Applied);
    assert_eq!(proposing.await.unwrap().unwrap().reply, COMMAND);
    assert_eq!(next.commands(), [COMMAND]);
}

#[tokio::test]
async fn followers_that_point_at_each_other_cost_the_deadline_and_a_bounded_number_of_calls() {
    let first = Member::start(1, Reply::NotLeader(String::new())).await;
    let second = Member::start(2, Reply::NotLeader(first.address.clone())).await;
    first.now(Reply::NotLeader(second.address.clone()));
    let client = client(&[&first, &second]).await;
    let mut attempts = 0;
    let error = loop {
        let start = Instant::now();
        let error = client.propose(COMMAND, SOON).await.unwrap_err();
        assert!(start.elapsed() < PATIENCE);
        attempts += 1;
        // On a busy machine the deadline may come in the middle of a call.
        if !error.may_have_happened() || attempts == 20 {
            break error;
        }
    };
    assert!(matches!(error, ClientError::NoLeader), "{error}");
    // One call each, every 100 ms.
    assert!(first.proposals() + second.proposals() <= 14 * attempts, "{}", first.proposals());
}

#[tokio::test]
async fn a_command_whose_reply_is_lost_is_not_sent_again() {
    let refusals = [
        Reply::Status(Code::Unavailable),
        Reply::Status(Code::Internal),
        Reply::Status(Code::Unknown),
        Reply::Status(Code::Cancelled),
        Reply::Status(Code::DeadlineExceeded),
        Reply::Status(Code::ResourceExhausted),
        Reply::Refused(Reason::OutcomeUnknown),
        Reply::Refused(Reason::SessionExpired),
        Reply::Refused(Reason::Unspecified),
        Reply::Nothing,
        Reply::AppliedNowhere,
    ];
    let first = Member::start(1, Reply::Applied).await;
    let second = Member::start(2, Reply::Applied).await;
    let client = client(&[&first, &second]).await;
    client.propose(COMMAND, PATIENCE).await.unwrap();
    let sent_before = first.proposals();
    let mut sent = 0;
    for refusal in refusals {
        first.now(refusal.clone());
        second.now(refusal.clone());
        let error = client.propose(COMMAND, PATIENCE).await.unwrap_err();
        assert!(error.may_have_happened(), "{refusal:?}: {error}");
        sent += 1;
        assert_eq!(first.proposals() + second.proposals(), sent_before + sent, "{refusal:?}");
    }
}

#[tokio::test]
async fn a_read_whose_reply_is_lost_is_asked_elsewhere() {
    let broken = Member::start(1, Reply::Status(Code::Internal)).await;
    let leader = Member::start(2, Reply::Applied).await;
    let client = client(&[&broken, &leader]).await;
    assert_eq!(client.read_index(PATIENCE).await.unwrap().term, 3);
    assert_eq!(broken.reads(), 1);
}

#[tokio::test]
async fn a_member_that_refuses_the_caller_at_the_door_is_left_for_the_next_one() {
    let doors = [Code::FailedPrecondition, Code::PermissionDenied, Code::Unauthenticated];
    for door in doors.into_iter().chain([Code::Unimplemented, Code::InvalidArgument]) {
        let strict = Member::start(1, Reply::Status(door)).await;
        let leader = Member::start(2, Reply::Applied).await;
        let client = client(&[&strict, &leader]).await;
        assert_eq!(client.propose(COMMAND, PATIENCE).await.unwrap(), applied(1), "{door:?}");
        assert_eq!(strict.proposals(), 1);
    }
}

#[tokio::test]
async fn a_member_that_has_stopped_is_left_for_the_next_one() {
    let stopped = Member::start(1, Reply::Refused(Reason::Stopped)).await;
    let leader = Member::start(2, Reply::Applied).await;
    let client = client(&[&stopped, &leader]).await;
    assert_eq!(client.propose(COMMAND, PATIENCE).await.unwrap(), applied(1));
    assert_eq!(stopped.proposals(), 1);
}

#[tokio::test]
async fn what_the_leader_refuses_is_told_with_its_reason_and_did_not_happen() {
    let leader = Member::start(1, Reply::Refused(Reason::TooLarge)).await;
    let client = client(&[&leader]).await;
    let error = client.propose(COMMAND, PATIENCE).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { .. }) && !error.may_have_happened());
    leader.now(Reply::Refused(Reason::Overloaded));
    let error = client.propose(COMMAND, PATIENCE).await.unwrap_err();
    assert!(matches!(error, ClientError::Overloaded { .. }) && !error.may_have_happened());
    leader.now(Reply::Refused(Reason::VersionNotReadable));
    let error = client.propose(COMMAND, PATIENCE).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }) && !error.may_have_happened());
    let huge = Bytes::from(vec![0; (1 << 20) + 1]);
    let error = client.propose(huge, PATIENCE).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { .. }));
    assert_eq!(leader.proposals(), 3, "a command over our own limit was sent");
}

#[tokio::test]
async fn a_leader_that_never_answers_costs_the_deadline_and_the_outcome_is_unknown() {
    let silent = Member::start(1, Reply::Never).await;
    let client = client(&[&silent]).await;
    let error = client.propose(COMMAND, SOON).await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    let error = client.read_index(SOON).await.unwrap_err();
    assert!(!error.may_have_happened(), "{error}");
}

#[tokio::test]
async fn a_killed_leader_is_left_for_the_next_one_and_no_command_is_sent_twice() {
    let old = Member::start(1, Reply::Applied).await;
    let new = Member::start(2, Reply::Applied).await;
    let client = client(&[&old, &new]).await;
    client.propose(COMMAND, PATIENCE).await.unwrap();
    old.kill().await;
    // Whether the loss of the connection is noticed before or after the command is handed to it is
    // a race; the answer must be honest either way.
    match client.propose(COMMAND, PATIENCE).await {
        Ok(outcome) => assert_eq!(outcome, applied(1)),
        Err(error) => {
            assert!(error.may_have_happened(), "{error}");
            assert_eq!(new.proposals(), 0, "sent again although it may have happened");
            assert_eq!(client.propose(COMMAND, PATIENCE).await.unwrap(), applied(1));
        }
    }
    assert_eq!(new.proposals(), 1);
}

#[tokio::test]
async fn strangers_are_not_talked_to() {
    let other = Member::start_in([9; 16], 1, Reply::Applied).await;
    let wanting = ClientConfig { cluster_id: Some(CLUSTER), ..config(&[&other.address]) };
    let error = Client::connect(wanting, SOON).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");

    let ours = Member::start(2, Reply::NotLeader(other.address.clone())).await;
    let client = client(&[&ours]).await;
    let error = client.propose(COMMAND, SOON).await.unwrap_err();
    assert!(matches!(error, ClientError::NoLeader), "{error}");
    let nameless = Member::start(0, Reply::Applied).await;
    let error = Client::connect(config(&[&nameless.address]), SOON).await.unwrap_err();
    assert!(error.to_string().contains("which node"), "{error}");
    assert_eq!(other.proposals() + nameless.proposals(), 0);
}

#[tokio::test]
async fn nobody_there_is_said_before_the_deadline_is_long_over() {
    let dead = dead_address().await;
    let start = Instant::now();
    let error = Client::connect(config(&[&dead]), SOON).await.unwrap_err();
    assert!(matches!(&error, ClientError::Unreachable { last } if last.contains(&dead)), "{error}");
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test]
async fn the_addresses_that_worked_are_kept_for_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let leader = Member::start(2, Reply::Applied).await;
    let follower = Member::start(1, Reply::NotLeader(leader.address.clone())).await;
    let mut first = config(&[&follower.address]);
    first.discovery.cache_file = Some(directory.path().join("addresses.json"));
    let mut second = first.clone();
    second.discovery.static_list.clear();
    let client = Client::connect(first, PATIENCE).await.unwrap();
    client.propose(COMMAND, PATIENCE).await.unwrap();
    follower.kill().await;
    let client = Client::connect(second, PATIENCE).await.unwrap();
    client.propose(COMMAND, PATIENCE).await.unwrap();
    assert_eq!(leader.proposals(), 2);
}

#[tokio::test]
async fn a_hundred_calls_at_once_share_one_connection() {
    let leader = Member::start(1, Reply::Applied).await;
    let client = client(&[&leader]).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let client = client.clone();
        calls.spawn(async move { client.propose(COMMAND, PATIENCE).await });
    }
    let outcomes = calls.join_all().await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!((leader.proposals(), leader.hellos()), (100, 1));
}

#[tokio::test]
async fn replies_find_their_commands_whatever_their_order() {
    let leader = Member::start(1, Reply::Applied).await;
    let client = client(&[&leader]).await;
    let commands: Vec<Bytes> = (0..1000).map(|n| Bytes::from(format!("command {n}"))).collect();
    let outcomes = client.propose_batch(commands.clone(), PATIENCE).await;
    let replies: Vec<Bytes> = outcomes.into_iter().map(|outcome| outcome.unwrap().reply).collect();
    assert!(replies == commands, "a reply is another command's");
    assert!(leader.commands() == commands, "they were not sent in their order");
}

#[tokio::test]
async fn a_stream_of_commands_is_taken_no_faster_than_it_is_answered() {
    let silent = Member::start(1, Reply::Never).await;
    let client = client(&[&silent]).await;
    let taken = AtomicUsize::new(0);
    let commands = stream::repeat_with(|| {
        taken.fetch_add(1, Ordering::SeqCst);
        COMMAND
    });
    let mut outcomes = std::pin::pin!(client.propose_stream(commands, 10, SOON));
    let first = outcomes.next().await.unwrap();
    assert!(first.unwrap_err().may_have_happened());
    assert!(taken.load(Ordering::SeqCst) <= 11, "{taken:?}");
}

#[tokio::test]
async fn a_command_of_a_session_is_sent_again_under_its_number_until_it_is_answered() {
    let lossy = Member::start(1, Reply::Applied).await;
    let client = client(&[&lossy]).await;
    let session = client.open_session(PATIENCE).await.unwrap();
    lossy.now(Reply::Status(Code::Unavailable));
    let proposing = tokio::spawn({
        let session = session.clone();
        async move { session.propose(COMMAND, PATIENCE).await }
    });
    lossy.proposed(3).await;
    lossy.now(Reply::Applied);
    assert_eq!(proposing.await.unwrap().unwrap().reply, COMMAND);
    session.propose(COMMAND, PATIENCE).await.unwrap();
    let stamps = lossy.stamps();
    assert!(stamps.iter().all(|stamp| *stamp.client_id == session.client_id()));
    let numbers: Vec<u64> = stamps.iter().map(|stamp| stamp.sequence).collect();
    assert_eq!((numbers.first(), numbers.last()), (Some(&0), Some(&2)));
    let between = &numbers[1..numbers.len() - 1];
    // The third that came may have been answered already: it is counted before its reply is chosen.
    assert!(between.len() >= 2 && between.iter().all(|number| *number == 1), "{numbers:?}");
    assert_eq!(stamps.last().unwrap().lowest_unacknowledged, 2);
    assert_eq!(session.next_sequence(), 3);
    assert_eq!(lossy.commands(), [Bytes::new(), COMMAND, COMMAND]);
}

#[tokio::test]
async fn a_session_goes_on_where_its_owner_ended() {
    let leader = Member::start(1, Reply::Applied).await;
    let client = client(&[&leader]).await;
    let session = client.open_session_as([5; 16], PATIENCE).await.unwrap();
    session.propose(COMMAND, PATIENCE).await.unwrap();
    let next = session.next_sequence();
    drop(session);
    client.resume_session([5; 16], next).propose(COMMAND, PATIENCE).await.unwrap();
    let numbers: Vec<u64> = leader.stamps().iter().map(|stamp| stamp.sequence).collect();
    assert_eq!(numbers, [0, 1, 2]);
}

#[tokio::test]
async fn a_session_that_expired_is_told_at_once_and_its_outcome_is_unknown() {
    let leader = Member::start(1, Reply::Applied).await;
    let client = client(&[&leader]).await;
    let session = client.open_session(PATIENCE).await.unwrap();
    leader.now(Reply::Refused(Reason::SessionExpired));
    let error = session.propose(COMMAND, PATIENCE).await.unwrap_err();
    assert!(matches!(error, ClientError::SessionExpired { .. }), "{error}");
    assert!(error.may_have_happened());
}

#[tokio::test]
async fn a_refusal_does_not_deny_that_an_earlier_attempt_may_have_succeeded() {
    for refusal in [Reason::VersionNotReadable, Reason::TooLarge] {
        let leader = Member::start(1, Reply::Applied).await;
        let client = client(&[&leader]).await;
        let session = client.open_session(PATIENCE).await.unwrap();
        leader.now(Reply::Status(Code::Unavailable));
        let proposing = tokio::spawn({
            let session = session.clone();
            async move { session.propose(COMMAND, PATIENCE).await }
        });
        leader.proposed(3).await;
        leader.now(Reply::Refused(refusal));
        let error = proposing.await.unwrap().unwrap_err();
        assert!(error.may_have_happened(), "{error}");
        // Without such an attempt it is certain.
        let error = session.propose(COMMAND, PATIENCE).await.unwrap_err();
        assert!(!error.may_have_happened(), "{error}");
    }
}

#[tokio::test]
async fn a_session_whose_leader_never_answers_costs_the_deadline() {
    let silent = Member::start(1, Reply::Never).await;
    let client = client(&[&silent]).await;
    let session = client.resume_session([5; 16], 1);
    let error = session.propose(COMMAND, SOON).await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
}
