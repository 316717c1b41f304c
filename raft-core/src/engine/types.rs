//! openraft's types as this crate chooses them.
//!
//! Standard Raft: one leader per term, so that an entry is named by term and index alone. Entries
//! keep the bytes they were encoded to, by the leader once: the same bytes lie in every log and
//! travel in every append.

use std::fmt;

use bytes::Bytes;
use openraft::entry::{RaftEntry, RaftPayload};
use openraft::impls::leader_id_std;
use openraft::type_config::alias::{
    CommittedLeaderIdOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf,
};
use openraft::{OptionalSend, RaftTypeConfig};

use crate::engine::outcome::Outcome;
use crate::engine::responder::Timed;
use crate::engine::runtime::Runtime;
use crate::member::{Member, NodeId};
use crate::members::MemberRecord;
use crate::position::Position;
use crate::snapshot::file::SnapshotFile;

/// The one configuration of openraft in this crate. Written out, because its macro cannot name
/// another responder than its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeConfig;

impl RaftTypeConfig for TypeConfig {
    type D = Proposal;
    type R = Outcome;
    type NodeId = u64;
    type Node = Place;
    type Term = u64;
    type LeaderId = leader_id_std::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = Payload;
    type Entry = LogEntry;
    type AsyncRuntime = Runtime;
    type Responder<T>
        = Timed<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// Term of the leader that made an entry.
pub(crate) type CommittedLeader = CommittedLeaderIdOf<TypeConfig>;
/// Place of an entry.
pub(crate) type LogId = LogIdOf<TypeConfig>;
/// A node's vote.
pub(crate) type Vote = VoteOf<TypeConfig>;
/// Who votes.
pub(crate) type Membership = openraft::Membership<NodeId, Place>;
/// A membership and the entry that set it.
pub(crate) type StoredMembership = StoredMembershipOf<TypeConfig>;
/// What a snapshot contains.
pub(crate) type SnapshotMeta = SnapshotMetaOf<TypeConfig>;
/// A snapshot as openraft passes it around: its meaning and its file.
pub(crate) type Snapshot = SnapshotOf<TypeConfig, SnapshotFile>;
/// What an entry carries.
pub(crate) type Payload = openraft::EntryPayload<Proposal, NodeId, Place>;

/// What the membership says of a member; its number is openraft's to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// `host:port` for the other members.
    pub(crate) address: String,
    /// What the application's clients use.
    pub(crate) service_address: String,
    /// Its label; empty if none.
    pub(crate) name: String,
    /// Its data directory's; empty or 16 bytes, empty until it was seen.
    pub(crate) incarnation: Bytes,
    /// The Ed25519 key it signs with; empty until registered.
    pub(crate) signing_key: Bytes,
    /// Highest command version it reads; 0 until it has said so.
    pub(crate) readable_version: u32,
}

impl Place {
    /// Where this member is found; nothing else is known of it.
    pub(crate) fn of(member: &Member) -> Place {
        Place {
            address: member.address.clone(),
            service_address: member.service_address.clone(),
            name: member.name.clone(),
            ..Place::default()
        }
    }

    /// The member of that number that is found here.
    pub(crate) fn member(&self, id: NodeId) -> Member {
        Member {
            id,
            address: self.address.clone(),
            service_address: self.service_address.clone(),
            name: self.name.clone(),
        }
    }

    /// The same as the rest of this crate says it.
    pub(crate) fn record(&self, id: NodeId) -> MemberRecord {
        MemberRecord {
            member: self.member(id),
            // An empty one is none: it was checked when it was decoded.
            incarnation: self.incarnation.as_ref().try_into().ok(),
            signing_key: self.signing_key.as_ref().try_into().ok(),
            readable_version: self.readable_version,
        }
    }
}

impl From<&MemberRecord> for Place {
    fn from(record: &MemberRecord) -> Place {
        let bytes = |of: Option<&[u8]>| of.map(Bytes::copy_from_slice).unwrap_or_default();
        Place {
            incarnation: bytes(record.incarnation.as_ref().map(|id| id.as_slice())),
            signing_key: bytes(record.signing_key.as_ref().map(|key| key.as_slice())),
            readable_version: record.readable_version,
            ..Place::of(&record.member)
        }
    }
}

/// A command with its envelope, encoded: it is made once, by who proposes it, and read once on each
/// member, by who applies it. On its way through the log nobody looks at it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Proposal(pub(crate) Bytes);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.0.len())
    }
}

/// An entry, and the bytes it was decoded from.
///
/// Invariant: `encoded` is empty or decodes to the other two; whoever changes them clears it.
#[derive(Clone, Debug)]
pub(crate) struct LogEntry {
    /// Where it stands.
    pub(crate) id: LogId,
    /// What it carries.
    pub(crate) payload: Payload,
    /// Its encoding; empty while nobody has encoded it.
    pub(crate) encoded: Bytes,
}

impl PartialEq for LogEntry {
    fn eq(&self, other: &LogEntry) -> bool {
        self.id == other.id && self.payload == other.payload
    }
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.payload)
    }
}

impl RaftEntry for LogEntry {
    type CommittedLeaderId = CommittedLeader;
    type Payload = Payload;

    fn new(id: LogId, payload: Payload) -> LogEntry {
        LogEntry { id, payload, encoded: Bytes::new() }
    }

    fn log_id_parts(&self) -> (&CommittedLeader, u64) {
        (&self.id.leader_id, self.id.index)
    }

    fn set_log_id(&mut self, new: LogId) {
        self.id = new;
        self.encoded = Bytes::new();
    }

    fn get_membership(&self) -> Option<Membership> {
        self.payload.get_membership()
    }
}

/// The public name of a place in the log.
pub(crate) fn position(id: LogId) -> Position {
    Position { term: id.leader_id.term, index: id.index }
}

/// openraft's name of a place in the log.
pub(crate) fn log_id(position: Position) -> LogId {
    LogId::new(CommittedLeader::from(position.term), position.index)
}
