//! Every call that a node answers, made wrongly in every way that depends on no call in particular.
//!
//! The calls are made with bytes, not with messages, so that what no client would send can be sent.
//! A call that is added to the contract fails these tests until there is a row for it.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use futures_util::stream;
use prost::Message as _;
use raft_core::{MemberRecord, NodeId, Status as NodeStatus, StopReason, cluster_id};
use telegraph_proto::raft as proto;
use telegraph_proto::raft::join_reply::Result as Joining;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{Service as _, http};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::harness::{Cluster, PATIENCE, wait};

/// The contract itself.
const CONTRACT: &str = include_str!("../../../proto/proto/telegraph/raft.proto");

/// A message longer than any that is taken.
const HUGE_BYTES: usize = 11 << 20;

/// A call, and a message for it that a member may send, and that changes nothing: it belongs to a
/// term that is long over, or to a version that nobody reads.
struct Row {
    rpc: &'static str,
    /// Whether callers that are no members may make it.
    for_guests: bool,
    message: fn(&World) -> Vec<u8>,
}

const ROWS: [Row; 12] = [
    Row { rpc: "Hello", for_guests: true, message: |world| world.hello().encode_to_vec() },
    Row { rpc: "Vote", for_guests: false, message: |world| world.vote().encode_to_vec() },
    Row { rpc: "PreVote", for_guests: false, message: |world| world.vote().encode_to_vec() },
    Row { rpc: "Append", for_guests: false, message: |world| world.append().encode_to_vec() },
    Row {
        rpc: "SnapshotOffset",
        for_guests: false,
        message: |world| world.snapshot_offset().encode_to_vec(),
    },
    Row {
        rpc: "InstallSnapshot",
        for_guests: false,
        message: |world| world.snapshot_chunk().encode_to_vec(),
    },
    Row {
        rpc: "TransferLeader",
        for_guests: false,
        message: |world| world.transfer().encode_to_vec(),
    },
    Row { rpc: "Propose", for_guests: true, message: |world| world.propose().encode_to_vec() },
    Row {
        rpc: "ProposeStream",
        for_guests: true,
        message: |world| world.propose_stream().encode_to_vec(),
    },
    Row { rpc: "ReadIndex", for_guests: true, message: |world| world.read_index().encode_to_vec() },
    Row { rpc: "Promise", for_guests: false, message: |world| world.promise().encode_to_vec() },
    Row { rpc: "Join", for_guests: false, message: |world| world.join().encode_to_vec() },
];

/// What a caller says, and the rest of its message follows from.
#[derive(Clone)]
struct World {
    caller: Option<proto::Caller>,
    record: MemberRecord,
    target: NodeId,
}

impl World {
    /// A leader's vote of a term before all others.
    fn stale(&self) -> Option<proto::Vote> {
        Some(proto::Vote { term: 0, node_id: self.record.member.id, committed: true })
    }

    fn meta(&self) -> Option<proto::SnapshotMeta> {
        let last_applied = Some(proto::Position { term: 0, index: 1 });
        let id = "bad-input".into();
        Some(proto::SnapshotMeta { id, last_applied, version: 1, length: 3, ..Default::default() })
    }

    /// Of a version that nobody reads.
    fn command(&self) -> Option<proto::Command> {
        Some(proto::Command { version: 99, payload: "x".into(), ..Default::default() })
    }

    fn member(&self) -> Option<proto::Member> {
        let MemberRecord { member, incarnation, signing_key, readable_version, .. } = &self.record;
        Some(proto::Member {
            node_id: member.id,
            address: member.address.clone(),
            name: member.name.clone(),
            incarnation: incarnation.unwrap().to_vec().into(),
            signing_key: signing_key.unwrap().to_vec().into(),
            service_address: member.service_address.clone(),
            readable_version: *readable_version,
        })
    }

    fn hello(&self) -> proto::HelloRequest {
        proto::HelloRequest {
            caller: self.caller.clone(),
            member: self.member(),
            oldest_readable_version: 1,
            newest_readable_version: 1,
        }
    }

    fn vote(&self) -> proto::VoteRequest {
        let vote = Some(proto::Vote { term: 0, node_id: self.record.member.id, committed: false });
        proto::VoteRequest { caller: self.caller.clone(), vote, ..Default::default() }
    }

    fn append(&self) -> proto::AppendRequest {
        let caller = self.caller.clone();
        proto::AppendRequest { caller, vote: self.stale(), ..Default::default() }
    }

    fn snapshot_offset(&self) -> proto::SnapshotOffsetRequest {
        let (caller, vote) = (self.caller.clone(), self.stale());
        proto::SnapshotOffsetRequest { caller, vote, meta: self.meta() }
    }

    fn snapshot_chunk(&self) -> proto::SnapshotChunk {
        let data = Bytes::from_static(b"abc");
        let checksum = crc32c::crc32c(&data);
        let (caller, vote, meta) = (self.caller.clone(), self.stale(), self.meta());
        proto::SnapshotChunk { caller, vote, meta, offset: 0, data, checksum }
    }

    fn transfer(&self) -> proto::TransferLeaderRequest {
        proto::TransferLeaderRequest {
            caller: self.caller.clone(),
            from: self.stale(),
            to_node_id: self.target,
            ..Default::default()
        }
    }

    fn propose(&self) -> proto::ProposeRequest {
        let (caller, command) = (self.caller.clone(), self.command());
        proto::ProposeRequest { caller, command, deadline_ms: 1000 }
    }

    fn propose_stream(&self) -> proto::ProposeStreamRequest {
        let tagged = proto::TaggedCommand { tag: 1, command: self.command(), ..Default::default() };
        proto::ProposeStreamRequest { caller: self.caller.clone(), commands: vec![tagged] }
    }

    fn read_index(&self) -> proto::ReadIndexRequest {
        proto::ReadIndexRequest { caller: self.caller.clone(), deadline_ms: 1000 }
    }

    fn promise(&self) -> proto::PromiseRequest {
        let cluster_id = Bytes::from_static(&[5; 16]);
        let (caller, members) = (self.caller.clone(), self.member().into_iter().collect());
        proto::PromiseRequest { caller, cluster_id, members }
    }

    fn join(&self) -> proto::JoinRequest {
        proto::JoinRequest { caller: self.caller.clone(), member: self.member() }
    }
}

/// Passes bytes on as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

type Replies = Result<Vec<Bytes>, Status>;

/// Three members of which one was removed; the others are called in each other's name.
struct Field {
    cluster: Cluster,
    removed: (NodeId, [u8; 16]),
}

impl Field {
    async fn prepare() -> Field {
        let mut cluster = Cluster::formed(|config| {
            // Nobody is to be elected meanwhile, however busy the machine is.
            config.heartbeat_interval = Duration::from_millis(200);
            config.election_timeout_min = Duration::from_secs(4);
            config.election_timeout_max = Duration::from_secs(6);
            config.quorum_loss_probe_interval = Duration::from_secs(12);
        })
        .await;
        wait("everybody's record", || {
            let known = |record: &MemberRecord| {
                record.incarnation.is_some() && record.signing_key.is_some()
            };
            (1..=3).all(|id| cluster.node(id).members().voters.iter().all(known))
        })
        .await;
        let leader = cluster.leader().await;
        let removed = cluster.follower().await;
        let record = cluster.node(removed).members().get(removed).unwrap().clone();
        cluster.node(leader).remove(removed, PATIENCE).await.unwrap();
        let reason = timeout(PATIENCE, cluster.node(removed).stopped()).await.unwrap();
        assert!(matches!(reason, StopReason::Removed), "{reason}");
        cluster.nodes[removed as usize - 1] = None;
        let commands = vec![cluster.insist(leader, "before").await];
        cluster.agree_on(&commands).await;
        let gone = || {
            let ids = cluster.running();
            ids.into_iter().all(|id| cluster.node(id).members().removed == [removed])
        };
        wait("the removal", gone).await;
        let quiet = || {
            let status = |id| cluster.node(id).status();
            let last = status(leader).last_log;
            let at = |id| (status(id).applied, status(id).committed, status(id).last_log);
            cluster.running().into_iter().all(|id| at(id) == (last, last, last))
        };
        wait("all of it to be applied", quiet).await;
        Field { removed: (removed, record.incarnation.unwrap()), cluster }
    }

    fn world(&self, target: NodeId) -> World {
        let from = self.cluster.running().into_iter().find(|id| *id != target).unwrap();
        let record = self.cluster.node(target).members().get(from).unwrap().clone();
        let caller = proto::Caller {
            cluster_id: cluster_id(&self.cluster.members).to_vec().into(),
            from_node_id: from,
            to_node_id: target,
            from_incarnation: record.incarnation.unwrap().to_vec().into(),
            protocol_version: 1,
            ..Default::default()
        };
        World { caller: Some(caller), record, target }
    }

    async fn channel(&self, target: NodeId) -> Channel {
        let uri = format!("http://{}", self.cluster.node(target).local_addr());
        Endpoint::from_shared(uri).unwrap().connect().await.unwrap()
    }

    /// What must not change: what the nodes say of themselves, and what they hold.
    fn digest(&self) -> Vec<(NodeStatus, Vec<Bytes>)> {
        let ids = self.cluster.running();
        let of = |id| (self.cluster.node(id).status(), self.cluster.kept(id).commands());
        ids.into_iter().map(of).collect()
    }

    /// Checks that nothing has changed, and that the nodes serve.
    async fn is_unharmed(&self, before: &[(NodeStatus, Vec<Bytes>)]) {
        assert_eq!(self.digest(), before);
        let mut commands = Vec::new();
        for id in self.cluster.running() {
            commands.push(self.cluster.insist(id, &format!("after-{id}")).await);
        }
        self.cluster.agree_on(&commands).await;
    }
}

/// Makes a call with these messages; what comes back until it ends.
async fn call(channel: &Channel, rpc: &str, messages: Vec<Vec<u8>>) -> Replies {
    let call = async {
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = format!("/telegraph.raft.v1.RaftService/{rpc}").parse().unwrap();
        let messages = stream::iter(messages.into_iter().map(Bytes::from));
        let mut replies = grpc.streaming(Request::new(messages), path, Raw).await?.into_inner();
        let mut all = Vec::new();
        while let Some(reply) = replies.message().await? {
            all.push(reply);
        }
        Ok(all)
    };
    timeout(PATIENCE, call).await.unwrap_or_else(|_| panic!("{rpc} never ends"))
}

/// Why a stranger was refused: with a code of its own, or with a reason in the reply.
fn refused(rpc: &str, outcome: &Replies) -> bool {
    match outcome {
        Err(status) => status.code() == Code::FailedPrecondition && !status.message().is_empty(),
        Ok(replies) if rpc == "Join" => {
            let reply = proto::JoinReply::decode(replies[0].clone()).unwrap();
            matches!(reply.result, Some(Joining::Refused(refused)) if !refused.detail.is_empty())
        }
        Ok(_) => false,
    }
}

/// Whether a call was answered, or refused with a code that says what is wrong with it.
fn settled(outcome: &Replies) -> bool {
    let Err(status) = outcome else { return true };
    matches!(
        status.code(),
        Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::DataLoss
            | Code::OutOfRange
            // What tonic says of bytes that are no message.
            | Code::Internal
    )
}

/// The top-level fields of an encoded message: each whole, with its kind.
fn fields(message: &[u8]) -> Vec<(&[u8], u8)> {
    let mut rest = message;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let start = rest;
        let kind = (varint(&mut rest) & 7) as u8;
        let skipped = match kind {
            0 => {
                varint(&mut rest);
                0
            }
            1 => 8,
            2 => varint(&mut rest) as usize,
            5 => 4,
            other => panic!("a field of kind {other}"),
        };
        rest = &rest[skipped..];
        fields.push((&start[..start.len() - rest.len()], kind));
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    prost::encoding::decode_varint(bytes).unwrap()
}

/// The message with one of its fields changed, or without it.
fn spoilt(message: &[u8], spoil: impl Fn(&[u8], u8) -> Option<Vec<u8>>) -> Vec<Vec<u8>> {
    let all = fields(message);
    let spoil_at = |place: usize| {
        let spoilt = spoil(all[place].0, all[place].1)?;
        let kept = |at: usize| if at == place { spoilt.clone() } else { all[at].0.to_vec() };
        Some((0..all.len()).flat_map(kept).collect())
    };
    (0..all.len()).filter_map(spoil_at).collect()
}

#[test]
fn every_call_of_the_contract_has_a_row() {
    let calls = CONTRACT.lines().filter_map(|line| line.trim().strip_prefix("rpc "));
    let named: BTreeSet<&str> = calls.filter_map(|call| call.split('(').next()).collect();
    assert_eq!(named, ROWS.iter().map(|row| row.rpc).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_answered_to_a_stranger() {
    let field = Field::prepare().await;
    let before = field.digest();
    let (gone, its) = field.removed;
    for target in field.cluster.running() {
        let channel = field.channel(target).await;
        let world = field.world(target);
        let caller = world.caller.clone().unwrap();
        let strangers = [
            ("nobody", None),
            ("nothing", Some(proto::Caller::default())),
            ("a cluster", Some(proto::Caller { cluster_id: vec![1; 16].into(), ..caller.clone() })),
            ("a number", Some(proto::Caller { cluster_id: vec![1; 17].into(), ..caller.clone() })),
            ("node 0", Some(proto::Caller { to_node_id: 0, ..caller.clone() })),
            ("the last", Some(proto::Caller { to_node_id: u64::MAX, ..caller.clone() })),
            ("for another", Some(proto::Caller { to_node_id: gone, ..caller.clone() })),
            ("unknown", Some(proto::Caller { from_node_id: 9, ..caller.clone() })),
            ("the end", Some(proto::Caller { from_node_id: u64::MAX, ..caller.clone() })),
            ("myself", Some(proto::Caller { from_node_id: target, ..caller.clone() })),
            (
                "wiped",
                Some(proto::Caller { from_incarnation: vec![3; 16].into(), ..caller.clone() }),
            ),
            (
                "short",
                Some(proto::Caller { from_incarnation: vec![3; 3].into(), ..caller.clone() }),
            ),
            (
                "deluded",
                Some(proto::Caller { to_incarnation: vec![3; 16].into(), ..caller.clone() }),
            ),
            ("speechless", Some(proto::Caller { protocol_version: 0, ..caller.clone() })),
            (
                "removed",
                Some(proto::Caller {
                    from_node_id: gone,
                    from_incarnation: its.to_vec().into(),
                    ..caller.clone()
                }),
            ),
        ];
        for row in &ROWS {
            for (who, stranger) in &strangers {
                let world = World { caller: stranger.clone(), ..world.clone() };
                let outcome = call(&channel, row.rpc, vec![(row.message)(&world)]).await;
                assert!(refused(row.rpc, &outcome), "{} by {who}: {outcome:?}", row.rpc);
            }
            let guest = Some(proto::Caller { from_node_id: 0, ..caller.clone() });
            let world = World { caller: guest, ..world.clone() };
            let outcome = call(&channel, row.rpc, vec![(row.message)(&world)]).await;
            assert_eq!(outcome.is_ok(), row.for_guests, "{} by a guest: {outcome:?}", row.rpc);
        }
    }
    field.is_unharmed(&before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_whatever_it_lacks_or_is_changes_anything_or_stops_a_node() {
    let field = Field::prepare().await;
    let before = field.digest();
    for target in field.cluster.running() {
        let channel = field.channel(target).await;
        let world = field.world(target);
        for row in &ROWS {
            let sound = (row.message)(&world);
            let cut = (0..sound.len()).step_by(5).map(|length| sound[..length].to_vec());
            let garbage = [vec![0xff; 20], vec![0; 7], b"\x0a\xff\xff\xff\xff\x0f".to_vec()];
            let lacking = spoilt(&sound, |_, _| Some(Vec::new()));
            let extreme = spoilt(&sound, |field, kind| {
                let mut tag = field;
                varint(&mut tag);
                let mut changed = field[..field.len() - tag.len()].to_vec();
                prost::encoding::encode_varint(u64::MAX, &mut changed);
                (kind == 0).then_some(changed)
            });
            let emptied = spoilt(&sound, |field, kind| {
                let mut tag = field;
                varint(&mut tag);
                let mut changed = field[..field.len() - tag.len()].to_vec();
                changed.push(0);
                // An empty command is a command.
                let proposes = row.rpc == "Propose" && changed[0] >> 3 == 2;
                (kind == 2 && !proposes).then_some(changed)
            });
            let all = cut.chain(garbage).chain(lacking).chain(extreme).chain(emptied);
            for message in all {
                let outcome = call(&channel, row.rpc, vec![message.clone()]).await;
                assert!(settled(&outcome), "{} of {message:?}: {outcome:?}", row.rpc);
            }
        }
    }
    field.is_unharmed(&before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_too_long_too_short_or_no_calls_are_ended() {
    let field = Field::prepare().await;
    let before = field.digest();
    for target in field.cluster.running() {
        let channel = field.channel(target).await;
        let world = field.world(target);
        for row in &ROWS {
            let sound = (row.message)(&world);
            let nothing = call(&channel, row.rpc, Vec::new()).await;
            assert!(nothing.is_err() && settled(&nothing), "{}: {nothing:?}", row.rpc);
            // All that follow begin as the first one did.
            let again = call(&channel, row.rpc, vec![sound.clone(); 50]).await;
            assert!(settled(&again), "{} fifty times: {again:?}", row.rpc);
            let huge = [sound.clone(), vec![0xfa, 0x7f, 0x80, 0x80, 0xa0, 0x05]].concat();
            let huge = [huge, vec![0; HUGE_BYTES]].concat();
            // Its sender may still write when the connection is taken from it.
            let huge = call(&channel, row.rpc, vec![huge]).await;
            assert!(huge.is_err(), "{}: {huge:?}", row.rpc);
            for body in ["", "\0", "\0\0\0\0\x7fabc", "\x01\0\0\0\x01a", "hello, who is there?"] {
                answers_no_call(&channel, row.rpc, body).await;
            }
        }
        answers_no_call(&channel, "NoSuchCall", "").await;
    }
    field.is_unharmed(&before).await;
}

/// Sends a body that is no gRPC message, or half of one.
async fn answers_no_call(channel: &Channel, rpc: &str, body: &str) {
    let mut channel = channel.clone();
    let request = http::Request::post(format!("/telegraph.raft.v1.RaftService/{rpc}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(body.to_owned()))
        .unwrap();
    std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let response = timeout(PATIENCE, channel.call(request)).await.unwrap().unwrap();
    let code = response.headers().get("grpc-status");
    assert_ne!(code.map(|code| code.as_bytes()), Some(&b"0"[..]), "{rpc} of {body:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_reads_only_later_formats_is_refused_with_the_reason() {
    let field = Field::prepare().await;
    let target = field.cluster.leader().await;
    let channel = field.channel(target).await;
    let later = proto::HelloRequest {
        oldest_readable_version: 2,
        newest_readable_version: 3,
        ..field.world(target).hello()
    };
    let outcome = call(&channel, "Hello", vec![later.encode_to_vec()]).await;
    assert!(refused("Hello", &outcome), "{outcome:?}");
    let why = outcome.unwrap_err();
    assert!(why.message().contains("formats 2 to 3, this one sends format 1"), "{why}");
}
