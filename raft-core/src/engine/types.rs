//! openraft's types as this crate chooses them.
//!
//! Standard Raft: one leader per term, so that an entry is named by term and index alone. Entries
//! keep the bytes they were encoded to, by the leader once: the same bytes lie in every log and
//! travel in every append.

// openraft names its tokio runtime through an alias it has deprecated in favour of a crate of its
// own; the alias spares another exact pin.
#![allow(deprecated, reason = "see above")]

use std::fmt;

use bytes::Bytes;
use openraft::entry::{RaftEntry, RaftPayload};
use openraft::impls::leader_id_std;
use openraft::type_config::alias::{
    CommittedLeaderIdOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf,
};
use telegraph_proto::raft as proto;

use crate::member::{Member, NodeId};
use crate::position::Position;
use crate::snapshot::file::SnapshotFile;

openraft::declare_raft_types!(
    /// The one configuration of openraft in this crate.
    pub(crate) TypeConfig:
        D = Proposal,
        R = Bytes,
        NodeId = u64,
        Node = Place,
        Term = u64,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
        Entry = LogEntry,
        AsyncRuntime = openraft::impls::TokioRuntime,
);

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

/// Where a member is found; its number is openraft's to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// `host:port` for the other members.
    pub(crate) address: String,
    /// What the application's clients use.
    pub(crate) service_address: String,
}

impl Place {
    /// Where this member is found.
    pub(crate) fn of(member: &Member) -> Place {
        let (address, service_address) = (member.address.clone(), member.service_address.clone());
        Place { address, service_address }
    }

    /// The member of that number that is found here.
    pub(crate) fn member(&self, id: NodeId) -> Member {
        let (address, service_address) = (self.address.clone(), self.service_address.clone());
        Member { id, address, service_address }
    }
}

/// A command with its envelope, on its way into the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Proposal(pub(crate) proto::Command);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.0.payload.len())
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
