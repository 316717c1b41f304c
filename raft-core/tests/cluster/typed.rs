//! Nodes whose state is a value in memory, as the crate's front page shows them.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::http;
use bytes::Bytes;
use raft_core::tonic::body::Body;
use raft_core::{
    CommandError, Config, Context, Member, Node, NodeBuilder, ProposeError, ReadLevel, Replicated,
    StartError, StateMachine,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tower::{Service as _, ServiceExt as _};

use super::harness::{PATIENCE, wait};

/// Words, with the position and time of the command that set each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Words {
    held: BTreeMap<String, (String, u64, u64)>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Change {
    Set { key: String, value: String },
    Remove { key: String },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Outcome {
    Done { before: Option<String> },
    NoSuchKey,
}

impl StateMachine for Words {
    type Command = Change;
    type Reply = Outcome;

    fn apply(&mut self, command: Change, context: &Context) -> Outcome {
        match command {
            Change::Set { key, value } => {
                let new = (value, context.position.index, context.time_unix_ms);
                let before = self.held.insert(key, new).map(|(value, ..)| value);
                Outcome::Done { before }
            }
            Change::Remove { key } => match self.held.remove(&key) {
                Some((value, ..)) => Outcome::Done { before: Some(value) },
                None => Outcome::NoSuchKey,
            },
        }
    }
}

fn set(key: &str, value: &str) -> Change {
    Change::Set { key: key.into(), value: value.into() }
}

fn done(before: Option<&str>) -> Outcome {
    Outcome::Done { before: before.map(str::to_owned) }
}

struct Three {
    directory: TempDir,
    members: Vec<Member>,
    nodes: Vec<Option<Replicated<Words>>>,
}

impl Three {
    async fn formed() -> Three {
        let sockets: Vec<TcpListener> =
            (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let address = |socket: &TcpListener| socket.local_addr().unwrap().to_string();
        let members = (1..).zip(&sockets).map(|(id, s)| Member::new(id, address(s))).collect();
        let directory = tempfile::tempdir().unwrap();
        let mut three = Three { directory, members, nodes: vec![None, None, None] };
        for (place, socket) in sockets.into_iter().enumerate() {
            let builder = three.builder(place).listener(socket);
            three.nodes[place] = Some(builder.start().await.unwrap());
        }
        three.node(0).bootstrap().await.unwrap();
        three
    }

    fn data_dir(&self, place: usize) -> PathBuf {
        self.directory.path().join(format!("node-{place}"))
    }

    fn builder(&self, place: usize) -> NodeBuilder {
        Node::builder(self.members[place].id)
            .data_dir(self.data_dir(place))
            .members(self.members.clone())
            .allow_plaintext()
            .configure(|config| {
                config.heartbeat_interval = Duration::from_millis(100);
                config.election_timeout_min = Duration::from_millis(500);
                config.election_timeout_max = Duration::from_millis(900);
                config.quorum_loss_probe_interval = Duration::from_millis(1800);
                config.keep_entries = 1;
            })
    }

    /// Starts a halted node where it was.
    async fn restart(&mut self, place: usize) {
        let address: SocketAddr = self.members[place].address.parse().unwrap();
        let mut builder = self.builder(place).listen(address);
        if let Some(other) = self.nodes.iter().flatten().next().filter(|_| place > 2) {
            builder = builder.cluster_id(other.node().cluster_id());
        }
        self.nodes[place] = Some(builder.start().await.unwrap());
    }

    async fn halt(&mut self, place: usize) {
        self.nodes[place].take().unwrap().node().halt().await;
    }

    fn node(&self, place: usize) -> &Replicated<Words> {
        self.nodes[place].as_ref().unwrap()
    }

    async fn propose(&self, place: usize, change: &Change) -> Outcome {
        self.node(place).propose(change, PATIENCE).await.unwrap().value
    }

    async fn all_read_the_same(&self) -> Words {
        let mut seen = Vec::new();
        for node in self.nodes.iter().flatten() {
            seen.push(node.read(PATIENCE, Words::clone).await.unwrap().value);
        }
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
        seen.remove(0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typed_commands_are_applied_everywhere_and_read_anywhere() {
    let three = Three::formed().await;
    let first = three.node(0).propose(&set("a", "1"), PATIENCE).await.unwrap();
    assert_eq!(first.value, done(None));
    let second = three.node(1).propose(&set("a", "2"), PATIENCE).await.unwrap();
    assert_eq!(second.value, done(Some("1")));
    assert!(second.position > first.position);
    let gone = Change::Remove { key: "b".into() };
    assert_eq!(three.propose(2, &gone).await, Outcome::NoSuchKey);
    for place in 0..3 {
        let look = |words: &Words| words.held["a"].clone();
        let read = three.node(place).read(PATIENCE, look).await.unwrap();
        assert_eq!((read.value.0.as_str(), read.value.1), ("2", second.position.index));
        assert!(read.value.2 > 1_600_000_000_000);
        assert!(read.position >= second.position);
        // It has waited for that much, so that what is here cannot be older.
        let local = three.node(place).read_local(look).await.unwrap();
        assert_eq!(local.value, read.value);
        let seen = ReadLevel::AtLeast(second.position);
        assert_eq!(
            three.node(place).read_at(seen, PATIENCE, look).await.unwrap().value,
            read.value
        );
    }
    for node in three.nodes.iter().flatten() {
        node.shutdown().await.unwrap();
        assert!(node.propose(&gone, PATIENCE).await.is_err());
        assert!(node.read(PATIENCE, |_| ()).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_in_memory_comes_back_from_log_and_snapshot() {
    let mut three = Three::formed().await;
    for number in 0..20 {
        three.propose(number % 3, &set(&format!("key-{number}"), "before")).await;
    }
    // From the log alone.
    let before = three.all_read_the_same().await;
    for place in 0..3 {
        three.halt(place).await;
    }
    for place in 0..3 {
        three.restart(place).await;
    }
    assert_eq!(three.all_read_the_same().await, before);
    // From a snapshot, behind which the log was let go, and the log after it.
    let contained = three.node(0).node().take_snapshot().await.unwrap();
    three.propose(0, &set("key-3", "after")).await;
    let position = three.node(0).propose(&set("new", "after"), PATIENCE).await.unwrap().position;
    assert!(position > contained);
    let before = three.all_read_the_same().await;
    three.halt(0).await;
    three.restart(0).await;
    assert_eq!(three.all_read_the_same().await, before);
    // A state that is meant to be filled at start is no accident that is to be counted.
    assert_eq!(three.node(0).status().rebuilds, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_command_are_refused_on_every_member_alike() {
    let three = Three::formed().await;
    three.propose(0, &set("a", "1")).await;
    // As a build with another command type would, or a client that is confused.
    let garbage = Bytes::from_static(&[0xff, 0xff]);
    let refused = three.node(1).node().propose(garbage, PATIENCE).await.unwrap();
    assert_eq!(refused.reply.as_ref(), [1]);
    assert_eq!(three.propose(1, &set("a", "2")).await, done(Some("1")));
    assert_eq!(three.all_read_the_same().await.held.len(), 1);
    for node in three.nodes.iter().flatten() {
        wait("all to be applied", || node.node().applied() > refused.position).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_answered_in_its_order_and_a_session_once() {
    let three = Three::formed().await;
    let keys = ["a", "b", "a", "c"];
    let batch: Vec<Change> = keys.iter().map(|key| set(key, "batch")).collect();
    let outcomes = three.node(1).propose_batch(&batch, PATIENCE).await;
    let positions: Vec<u64> =
        outcomes.iter().map(|outcome| outcome.as_ref().unwrap().position.index).collect();
    assert_eq!(positions.len(), 4);
    let words = three.node(1).read(PATIENCE, Words::clone).await.unwrap().value;
    assert_eq!(words.held["b"].1, positions[1]);
    assert_eq!(words.held["a"].1, positions[0].max(positions[2]));

    // By two members, as a client that lost the first reply would: the first reply again.
    let key = [7; 16];
    let remove = Change::Remove { key: "c".into() };
    let first = three.node(0).propose_once(key, &remove, PATIENCE).await.unwrap();
    assert_eq!(first.value, done(Some("batch")));
    assert_eq!(three.node(2).propose_once(key, &remove, PATIENCE).await.unwrap(), first);

    let session = three.node(0).open_session(PATIENCE).await.unwrap();
    assert_eq!(session.propose(&remove, PATIENCE).await.unwrap().value, Outcome::NoSuchKey);
    let said = session.propose(&set("c", "1"), PATIENCE).await.unwrap();
    // Restarted at another member, it has not kept the reply to its second command.
    let resumed = three.node(2).resume_session(session.session().id(), 2);
    assert_eq!(resumed.propose(&set("c", "1"), PATIENCE).await.unwrap(), said);
    assert_eq!(resumed.propose(&set("c", "2"), PATIENCE).await.unwrap().value, done(Some("1")));
}

/// The next build of `Words`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct MoreWords(Words);

#[derive(Debug, Serialize, Deserialize)]
enum MoreChange {
    Set { key: String, value: String },
    Remove { key: String },
    Clear,
}

impl StateMachine for MoreWords {
    type Command = MoreChange;
    type Reply = Outcome;

    const VERSION: u32 = 2;

    fn apply(&mut self, command: MoreChange, context: &Context) -> Outcome {
        match command {
            MoreChange::Set { key, value } => self.0.apply(Change::Set { key, value }, context),
            MoreChange::Remove { key } => self.0.apply(Change::Remove { key }, context),
            MoreChange::Clear => {
                self.0.held.clear();
                done(None)
            }
        }
    }

    fn version_of(command: &MoreChange) -> u32 {
        match command {
            MoreChange::Set { .. } | MoreChange::Remove { .. } => 1,
            MoreChange::Clear => 2,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_older_build_does_not_know_is_held_back_until_none_is_left() {
    let mut three = Three::formed().await;
    three.propose(0, &set("a", "1")).await;
    let mut newer: Vec<Replicated<MoreWords>> = Vec::new();
    for place in 0..3 {
        if let Some(node) = newer.last() {
            let refused = node.propose(&MoreChange::Clear, PATIENCE).await.unwrap_err();
            let held_back = matches!(
                &refused,
                CommandError::Propose(ProposeError::HeldBack { version: 2, .. })
            );
            assert!(held_back && !refused.may_have_happened(), "{refused:?}");
            // What has always been there goes on, from the new build and from the old one.
            let old = MoreChange::Set { key: "b".into(), value: place.to_string() };
            node.propose(&old, PATIENCE).await.unwrap();
            three.propose(2, &set("c", &place.to_string())).await;
        }
        three.halt(place).await;
        let address: SocketAddr = three.members[place].address.parse().unwrap();
        let builder = three.builder(place).listen(address);
        newer.push(builder.start::<MoreWords>().await.unwrap());
    }
    let held = |words: &MoreWords| words.0.held.len();
    assert_eq!(newer[0].read(PATIENCE, held).await.unwrap().value, 3);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match newer[0].propose(&MoreChange::Clear, PATIENCE).await {
            Ok(_) => break,
            // The last member is back, but the leader has not heard what it reads now.
            Err(CommandError::Propose(ProposeError::HeldBack { .. })) => {
                assert!(Instant::now() < deadline, "it is held back for ever");
            }
            Err(error) => panic!("{error}"),
        }
    }
    for node in &newer {
        assert_eq!(node.read(PATIENCE, held).await.unwrap().value, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_has_grown_is_found_formed_by_old_members_and_new() {
    let mut three = Three::formed().await;
    three.propose(0, &set("a", "1")).await;
    let cluster_id = three.node(0).node().cluster_id();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let newcomer = Member::new(4, socket.local_addr().unwrap().to_string());
    three.members.push(newcomer.clone());
    let builder = three.builder(3).cluster_id(cluster_id).listener(socket);
    three.nodes.push(Some(builder.start().await.unwrap()));
    three.node(3).bootstrap().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let leader = three.node(0).status().leader;
        let leader = leader.and_then(|id| three.nodes.get(usize::try_from(id).unwrap() - 1));
        if let Some(Some(leader)) = leader
            && leader.node().add_learner(newcomer.clone(), PATIENCE).await.is_ok()
        {
            break;
        }
        assert!(Instant::now() < deadline, "it is not taken in");
    }
    assert_eq!(three.all_read_the_same().await.held["a"].0, "1");
    // Both were started with another list than the members that are.
    for place in [3, 1] {
        three.halt(place).await;
        three.restart(place).await;
        three.node(place).bootstrap().await.unwrap();
    }
    three.all_read_the_same().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_of_the_application_are_called_over_the_same_connection() {
    let mut three = Three::formed().await;
    three.halt(2).await;
    let greeting = axum::Router::new().route("/greeting", axum::routing::get(|| async { "hello" }));
    let address: SocketAddr = three.members[2].address.parse().unwrap();
    let builder = three.builder(2).listen(address).services(greeting.into());
    three.nodes[2] = Some(builder.start().await.unwrap());
    let mut channel = three.node(0).node().channel(3).unwrap();
    let request = || http::Request::get("/greeting").body(Body::empty()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        channel.ready().await.unwrap();
        match channel.call(request()).await {
            Ok(answer) => break answer,
            // The connection of before is still being given up.
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let text = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 100).await;
    assert_eq!(text.unwrap().as_ref(), b"hello");
    assert!(three.node(0).node().channel(1).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_builder_was_not_told_is_named_at_start() {
    let keep = tempfile::tempdir().unwrap();
    let without = |builder: NodeBuilder| async move {
        match builder.start::<Words>().await.unwrap_err() {
            StartError::Config(error) => error.field,
            other => panic!("{other}"),
        }
    };
    let member = || Node::builder(1).member(1, "alone:1");
    assert_eq!(without(member()).await, "data_dir");
    assert_eq!(without(member().data_dir(keep.path())).await, "tls");
    let other = Node::builder(2).member(1, "alone:1").data_dir(keep.path()).allow_plaintext();
    assert_eq!(without(other).await, "members");
    // The plain configuration is what a builder makes, and may begin with.
    let config = Config {
        node_id: 1,
        data_dir: keep.path().join("data"),
        members: vec![Member::new(1, "alone:1")],
        allow_plaintext: true,
        ..Config::default()
    };
    let alone = NodeBuilder::from(config).start::<Words>().await.unwrap();
    alone.bootstrap().await.unwrap();
    let answer = alone.propose(&set("a", "1"), PATIENCE).await.unwrap();
    assert_eq!(answer.value, done(None));
    alone.shutdown().await.unwrap();
}
