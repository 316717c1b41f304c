//! Between openraft's types and the messages of `raft.proto`, which lie in the log, in snapshot
//! heads and in the engine's records, and travel between members.
//!
//! Decoding trusts nothing: what is missing or impossible is a [`Misshapen`], never a panic, also
//! where openraft would panic later (an empty voter set, a voter that is no member).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::impls::leader_id_std;
use prost::Message as _;
use telegraph_proto::raft as proto;
use thiserror::Error;

use crate::engine::types::{
    LogEntry, LogId, Membership, Payload, Place, Proposal, StoredMembership, Vote, log_id, position,
};
use crate::member::NodeId;
use crate::position::Position;

/// Bytes that are no message of ours, or a message that lacks something.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct Misshapen(pub(crate) String);

fn missing<T>(what: &str) -> Result<T, Misshapen> {
    Err(Misshapen(format!("{what} is missing")))
}

impl From<prost::DecodeError> for Misshapen {
    fn from(error: prost::DecodeError) -> Misshapen {
        Misshapen(format!("undecodable: {error}"))
    }
}

/// A position as it travels.
pub(crate) fn wire_position(at: Position) -> proto::Position {
    proto::Position { term: at.term, index: at.index }
}

/// A position as it came.
pub(crate) fn read_position(at: proto::Position) -> Position {
    Position { term: at.term, index: at.index }
}

/// A log id as it travels.
pub(crate) fn wire_log_id(id: LogId) -> proto::Position {
    wire_position(position(id))
}

/// A log id as it came. The last index is out of bounds, so that the next one can be named.
pub(crate) fn read_log_id(at: proto::Position) -> Result<LogId, Misshapen> {
    if at.index >= u64::MAX - 1 {
        return Err(Misshapen("index out of bounds".into()));
    }
    Ok(log_id(read_position(at)))
}

/// The same for a place that may be none.
pub(crate) fn read_log_id_option(at: Option<proto::Position>) -> Result<Option<LogId>, Misshapen> {
    at.map(read_log_id).transpose()
}

/// A vote as it travels and lies in the log.
pub(crate) fn wire_vote(vote: &Vote) -> proto::Vote {
    proto::Vote {
        term: vote.leader_id.term,
        node_id: vote.leader_id.voted_for,
        committed: vote.committed,
    }
}

/// A vote as it came.
pub(crate) fn read_vote(vote: Option<proto::Vote>) -> Result<Vote, Misshapen> {
    let Some(vote) = vote else { return missing("the vote") };
    if vote.term == u64::MAX {
        return Err(Misshapen("term out of bounds".into()));
    }
    let leader_id = leader_id_std::LeaderId { term: vote.term, voted_for: vote.node_id };
    Ok(Vote { leader_id, committed: vote.committed })
}

/// A membership as it travels.
pub(crate) fn wire_membership(membership: &Membership) -> proto::Membership {
    let sets = membership.get_joint_config().iter();
    proto::Membership {
        voter_sets: sets
            .map(|set| proto::VoterSet { node_ids: set.iter().copied().collect() })
            .collect(),
        members: membership.nodes().map(|(id, place)| wire_place(*id, place)).collect(),
        tombstones: Vec::new(),
    }
}

/// A member as it travels.
pub(crate) fn wire_place(id: NodeId, place: &Place) -> proto::Member {
    proto::Member {
        node_id: id,
        address: place.address.clone(),
        name: place.name.clone(),
        incarnation: place.incarnation.clone(),
        signing_key: place.signing_key.clone(),
        service_address: place.service_address.clone(),
        readable_version: place.readable_version,
    }
}

/// A member as it came. An incarnation has 16 bytes and a key 32, or there is none.
pub(crate) fn read_place(wire: proto::Member) -> Result<(NodeId, Place), Misshapen> {
    let (id, incarnation, key) = (wire.node_id, wire.incarnation, wire.signing_key);
    if !matches!((incarnation.len(), key.len()), (0 | 16, 0 | 32)) {
        return Err(Misshapen(format!("member {id}: an incarnation or key has the wrong length")));
    }
    let place = Place {
        address: wire.address,
        service_address: wire.service_address,
        name: wire.name,
        incarnation,
        signing_key: key,
        readable_version: wire.readable_version,
    };
    Ok((id, place))
}

/// A membership as it came; none at all before a cluster is formed.
pub(crate) fn read_membership(wire: proto::Membership) -> Result<Membership, Misshapen> {
    let mut members = BTreeMap::new();
    for member in wire.members {
        let (id, place) = read_place(member)?;
        if members.insert(id, place).is_some() {
            return Err(Misshapen(format!("member {id} appears twice")));
        }
    }
    let sets: Vec<BTreeSet<u64>> =
        wire.voter_sets.into_iter().map(|set| set.node_ids.into_iter().collect()).collect();
    if sets.is_empty() && members.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(sets, members).map_err(|error| Misshapen(format!("membership: {error}")))
}

/// The ids that were removed, as they came with a membership.
pub(crate) fn read_tombstones(wire: &proto::StoredMembership) -> BTreeSet<NodeId> {
    wire.membership.iter().flat_map(|membership| &membership.tombstones).copied().collect()
}

/// A membership, where it was set, and who was removed before, as it travels.
pub(crate) fn wire_stored(
    stored: &StoredMembership,
    removed: &BTreeSet<NodeId>,
) -> proto::StoredMembership {
    let tombstones = removed.iter().copied().collect();
    let membership = wire_membership(stored.membership());
    proto::StoredMembership {
        position: stored.log_id().map(wire_log_id),
        membership: Some(proto::Membership { tombstones, ..membership }),
    }
}

/// A membership and where it was set, as it came.
pub(crate) fn read_stored(
    wire: Option<proto::StoredMembership>,
) -> Result<StoredMembership, Misshapen> {
    let Some(wire) = wire else { return Ok(StoredMembership::default()) };
    let membership = read_membership(wire.membership.unwrap_or_default())?;
    Ok(StoredMembership::new(read_log_id_option(wire.position)?, membership))
}

impl Proposal {
    /// Encodes a command.
    pub(crate) fn new(command: &proto::Command) -> Proposal {
        Proposal(command.encode_to_vec().into())
    }

    /// The command, whose payload shares these bytes. Fails when they are nobody's.
    pub(crate) fn command(&self) -> Result<proto::Command, Misshapen> {
        Ok(proto::Command::decode(self.0.clone())?)
    }
}

/// `raft.proto`'s `Entry` with its command unread: to protobuf a message within another is bytes.
#[derive(Clone, PartialEq, prost::Message)]
struct WireEntry {
    #[prost(message, optional, tag = "1")]
    position: Option<proto::Position>,
    #[prost(oneof = "WirePayload", tags = "2, 3, 4")]
    payload: Option<WirePayload>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum WirePayload {
    #[prost(message, tag = "2")]
    Blank(proto::Blank),
    #[prost(bytes = "bytes", tag = "3")]
    Command(Bytes),
    #[prost(message, tag = "4")]
    Membership(proto::Membership),
}

/// Encodes an entry, unless somebody did.
pub(crate) fn encode_entry(entry: &LogEntry) -> Bytes {
    if !entry.encoded.is_empty() {
        return entry.encoded.clone();
    }
    let payload = match &entry.payload {
        Payload::Blank => WirePayload::Blank(proto::Blank {}),
        Payload::Normal(proposal) => WirePayload::Command(proposal.0.clone()),
        Payload::Membership(membership) => WirePayload::Membership(wire_membership(membership)),
    };
    let wire = WireEntry { position: Some(wire_log_id(entry.id)), payload: Some(payload) };
    wire.encode_to_vec().into()
}

/// Decodes an entry, but for its command, and keeps its bytes.
pub(crate) fn decode_entry(encoded: Bytes) -> Result<LogEntry, Misshapen> {
    let wire = WireEntry::decode(encoded.clone())?;
    let Some(at) = wire.position else { return missing("the entry's position") };
    let payload = match wire.payload {
        Some(WirePayload::Blank(_)) => Payload::Blank,
        Some(WirePayload::Command(bytes)) => Payload::Normal(Proposal(bytes)),
        Some(WirePayload::Membership(wire)) => {
            let membership = read_membership(wire)?;
            if membership.voter_ids().next().is_none() {
                return Err(Misshapen("a membership without voters".into()));
            }
            Payload::Membership(membership)
        }
        None => return missing("the entry's payload"),
    };
    Ok(LogEntry { id: read_log_id(at)?, payload, encoded })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Member;
    use openraft::entry::RaftEntry as _;

    fn member(id: u64) -> Member {
        let (address, service_address) = (format!("host{id}:1"), "s".into());
        Member { id, address, service_address, name: format!("m-{id}") }
    }

    fn entries() -> Vec<LogEntry> {
        let at = |index| log_id(Position { term: 7, index });
        let voters = vec![BTreeSet::from([1, 2]), BTreeSet::from([2, 3])];
        let members = BTreeMap::from([1, 2, 3, 4].map(|id| (id, Place::of(&member(id)))));
        let command = proto::Command {
            version: 3,
            time_unix_ms: 5,
            session: Some(proto::Session { client_id: vec![1; 16].into(), ..Default::default() }),
            payload: Bytes::from_static(b"command"),
        };
        vec![
            LogEntry::new(at(1), Payload::Blank),
            LogEntry::new(at(2), Payload::Normal(Proposal::new(&command))),
            LogEntry::new(at(3), Payload::Membership(Membership::new(voters, members).unwrap())),
        ]
    }

    #[test]
    fn entries_survive_encoding() {
        for entry in entries() {
            let decoded = decode_entry(encode_entry(&entry)).unwrap();
            assert_eq!(decoded, entry);
            assert_eq!(encode_entry(&decoded), decoded.encoded);
        }
    }

    #[test]
    fn every_truncation_and_bit_flip_is_an_entry_or_an_error_but_no_panic() {
        for entry in entries() {
            let whole = encode_entry(&entry);
            for cut in 0..whole.len() {
                let _ = decode_entry(whole.slice(..cut));
                for bit in 0..8 {
                    let mut flipped = whole.to_vec();
                    flipped[cut] ^= 1 << bit;
                    let decoded = decode_entry(flipped.into());
                    if let Ok(Payload::Normal(proposal)) = decoded.map(|entry| entry.payload) {
                        let _ = proposal.command();
                    }
                }
            }
        }
        assert!(decode_entry(Bytes::new()).is_err());
    }

    #[test]
    fn impossible_memberships_are_refused() {
        let wire = |sets: &[&[u64]], ids: &[u64]| proto::Membership {
            voter_sets: sets.iter().map(|ids| proto::VoterSet { node_ids: ids.to_vec() }).collect(),
            members: ids.iter().map(|id| wire_place(*id, &Place::of(&member(*id)))).collect(),
            tombstones: Vec::new(),
        };
        assert!(read_membership(wire(&[&[1]], &[1])).is_ok());
        assert!(read_membership(wire(&[&[1, 2]], &[1])).is_err());
        assert!(read_membership(wire(&[&[]], &[1])).is_err());
        assert!(read_membership(wire(&[&[1]], &[1, 1])).is_err());
    }
}
