//! Who belongs to a cluster, as its log says, and the ways in which that changes.

use std::time::Duration;

use bytes::Bytes;
use telegraph_proto::raft as proto;
use thiserror::Error;

use crate::error::StopReason;
use crate::member::{Member, NodeId};
use crate::position::Position;

/// What the membership says of one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberRecord {
    /// Its number, addresses and name.
    pub member: Member,
    /// The incarnation of its data directory; `None` until it was met.
    pub incarnation: Option<[u8; 16]>,
    /// The Ed25519 key it signs with; `None` until it has registered one.
    pub signing_key: Option<[u8; 32]>,
    /// The newest command version it reads; 0 until it has said so.
    pub readable_version: u32,
}

impl From<&MemberRecord> for proto::Member {
    fn from(record: &MemberRecord) -> proto::Member {
        let bytes = |of: Option<&[u8]>| of.map(Bytes::copy_from_slice).unwrap_or_default();
        proto::Member {
            node_id: record.member.id,
            address: record.member.address.clone(),
            name: record.member.name.clone(),
            incarnation: bytes(record.incarnation.as_ref().map(|id| id.as_slice())),
            signing_key: bytes(record.signing_key.as_ref().map(|key| key.as_slice())),
            service_address: record.member.service_address.clone(),
            readable_version: record.readable_version,
        }
    }
}

/// A member as it came. An incarnation or key of another length than it must have is none.
impl From<proto::Member> for MemberRecord {
    fn from(wire: proto::Member) -> MemberRecord {
        MemberRecord {
            member: Member {
                id: wire.node_id,
                address: wire.address,
                service_address: wire.service_address,
                name: wire.name,
            },
            incarnation: wire.incarnation.as_ref().try_into().ok(),
            signing_key: wire.signing_key.as_ref().try_into().ok(),
            readable_version: wire.readable_version,
        }
    }
}

/// Everybody who belongs to a cluster, as one node knows it; the view of others may be newer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Everybody with a vote, sorted by id; during a joint change the voters of both sets.
    pub voters: Vec<MemberRecord>,
    /// Everybody without one, sorted by id.
    pub learners: Vec<MemberRecord>,
    /// The ids of those that were removed, sorted; they are refused for ever.
    pub removed: Vec<NodeId>,
    /// True while a change is under way: not committed yet, or between its two steps (Raft paper
    /// §6).
    pub changing: bool,
    /// The entry that set this membership; T0-I0 before the first.
    pub position: Position,
}

impl Members {
    /// Voters and learners.
    pub fn iter(&self) -> impl Iterator<Item = &MemberRecord> {
        self.voters.iter().chain(&self.learners)
    }

    /// What the membership says of `id`; `None` for a stranger.
    #[must_use]
    pub fn get(&self, id: NodeId) -> Option<&MemberRecord> {
        self.iter().find(|record| record.member.id == id)
    }

    /// True for a member with a vote.
    #[must_use]
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.voters.iter().any(|record| record.member.id == id)
    }
}

/// One change of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Takes a node in without a vote.
    AddLearner(MemberRecord),
    /// The same for a node that bears the name, or has the address, of a member whose place it is
    /// to take, which is given.
    AddSuccessor(MemberRecord, NodeId),
    /// Gives a learner a vote, in a joint change.
    Promote(NodeId),
    /// Gives `new`, a learner, the place of `old`, which leaves, in one joint change.
    Replace {
        /// Leaves.
        old: NodeId,
        /// Takes its place.
        new: NodeId,
    },
    /// Takes a member's vote, if it has one, in a joint change, and removes it.
    Remove(NodeId),
    /// Says something else of members that stay what they are.
    Update(Vec<MemberRecord>),
}

/// Why the members of a cluster did not, or perhaps not, change.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// This node does not lead: nothing has changed. Ask the leader.
    #[error("not the leader; the leader is {}", leader.as_ref().map_or("unknown".into(), name))]
    NotLeader {
        /// The leader, as far as known.
        leader: Option<Member>,
    },
    /// This node leads, but until the deadline it had not heard of a majority, or was handing
    /// leadership over: nothing has changed. Try again later.
    #[error("the leader cannot change anything now")]
    NotNow,
    /// Another change is under way: this one was not begun. Look at the members again, then
    /// decide again.
    #[error("another change of the members is under way")]
    Busy,
    /// The id was removed from the cluster, and is never used again: nothing has changed.
    #[error("node {0} was removed from the cluster; its id is never used again")]
    Removed(NodeId),
    /// No member, or not one of the kind that is wanted: nothing has changed.
    #[error("node {id} {why}")]
    Unsuitable {
        /// Who.
        id: NodeId,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Another member has that id, name or address already: nothing has changed.
    #[error("node {by} has that {what} already")]
    Taken {
        /// `id`, `name` or `address`.
        what: &'static str,
        /// Who has it.
        by: NodeId,
    },
    /// The cluster has as many members, with and without a vote, as it can have: nothing has
    /// changed. Remove one first; a node that replaces another may be one more for a while.
    #[error("the cluster has {most} members, the most there can be")]
    Full {
        /// How many.
        most: usize,
    },
    /// The cluster would be left without a voter: nothing has changed.
    #[error("the last voter cannot leave")]
    LastVoter,
    /// The learner did not keep up with the leader's log for long enough: nothing has changed.
    #[error("node {id} lacks {} entries; it must lack at most {limit} for {stable:?}",
        lag.map_or("unknown many".into(), |lag| lag.to_string()))]
    Behind {
        /// The learner.
        id: NodeId,
        /// Entries of the leader's log it lacked in the end; `None` if it has not answered.
        lag: Option<u64>,
        /// Entries it may lack.
        limit: u64,
        /// For how long without a break.
        stable: Duration,
    },
    /// The node does not read commands of a version that is in use: nothing has changed. Start it
    /// with a newer program; what it reads then is known as soon as it has said so.
    #[error("node {id} reads commands up to version {}, and {needed} is in use", (*reads).max(1))]
    Outdated {
        /// Who.
        id: NodeId,
        /// The highest version it has said it reads; 0 if it has said nothing.
        reads: u32,
        /// The highest version in use.
        needed: u32,
    },
    /// The deadline passed, leadership was lost or the node stopped while the change was under
    /// way: it may still come about, or never. Look at the members.
    #[error("the outcome of the change is unknown")]
    Unknown,
    /// The node has stopped before the change was begun.
    #[error(transparent)]
    Stopped(#[from] StopReason),
}

impl ChangeError {
    /// True when the change may have come about, or may yet; false when it certainly was not
    /// begun.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        matches!(self, ChangeError::Unknown)
    }
}

fn name(member: &Member) -> String {
    format!("node {}", member.id)
}
