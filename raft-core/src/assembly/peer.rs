//! A node as it wants to be listed.

use std::fmt;

use bytes::Bytes;
use telegraph_proto::raft as proto;

use crate::assembly::naming::{Unsound, check_address, check_name};
use crate::member::{Member, NodeId};
use crate::members::MemberRecord;

/// A node as it wants to be listed; ordered by name.
///
/// - `id` is not 0; `name` is 1 to 64 letters, digits, dots, dashes and underscores.
/// - The addresses are at most 280 visible ASCII characters; only the second may be empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Peer {
    /// Its label, which survives the loss of its data.
    pub(crate) name: String,
    /// Its number, which does not.
    pub(crate) id: NodeId,
    /// That of its data directory.
    pub(crate) incarnation: [u8; 16],
    /// Where the other members reach it.
    pub(crate) address: String,
    /// Where clients of the application reach it; empty if nowhere.
    pub(crate) service_address: String,
    /// Highest command version it reads.
    pub(crate) readable_version: u32,
}

impl Peer {
    /// Reads what a node says of itself. Fails when something is missing or out of bounds.
    pub(crate) fn read(wire: &proto::Member) -> Result<Peer, Unsound> {
        let incarnation = wire.incarnation.as_ref().try_into();
        let peer = Peer {
            name: wire.name.clone(),
            id: wire.node_id,
            incarnation: incarnation.map_err(|_| Unsound("an incarnation has 16 bytes"))?,
            address: wire.address.clone(),
            service_address: wire.service_address.clone(),
            readable_version: wire.readable_version,
        };
        peer.check().map(|()| peer)
    }

    /// The same as it travels.
    pub(crate) fn wire(&self) -> proto::Member {
        proto::Member {
            node_id: self.id,
            address: self.address.clone(),
            name: self.name.clone(),
            incarnation: Bytes::copy_from_slice(&self.incarnation),
            service_address: self.service_address.clone(),
            readable_version: self.readable_version,
            ..proto::Member::default()
        }
    }

    /// The same as applications know it.
    pub(crate) fn member(&self) -> Member {
        Member {
            id: self.id,
            address: self.address.clone(),
            service_address: self.service_address.clone(),
            name: self.name.clone(),
        }
    }

    /// The same as the membership says it.
    pub(crate) fn record(&self) -> MemberRecord {
        MemberRecord {
            member: self.member(),
            incarnation: Some(self.incarnation),
            signing_key: None,
            readable_version: self.readable_version,
        }
    }

    /// True when both are the same data directory, wherever it is found now.
    pub(crate) fn is(&self, other: &Peer) -> bool {
        self.id == other.id && self.incarnation == other.incarnation
    }

    /// Refuses what is out of bounds.
    pub(crate) fn check(&self) -> Result<(), Unsound> {
        if self.id == 0 {
            return Err(Unsound("no node has the number 0"));
        }
        check_name(&self.name)?;
        if self.address.is_empty() {
            return Err(Unsound("an address is missing"));
        }
        check_address(&self.address)?;
        check_address(&self.service_address)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (node {} at {})", self.name, self.id, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Peer {
        Peer {
            name: "m-1.a_b".into(),
            id: 7,
            incarnation: [7; 16],
            address: "host:1".into(),
            service_address: String::new(),
            readable_version: 1,
        }
    }

    #[test]
    fn what_travels_is_what_arrives() {
        assert_eq!(Peer::read(&peer().wire()), Ok(peer()));
    }

    #[test]
    fn nodes_out_of_bounds_are_refused() {
        let spoils: [fn(&mut proto::Member); 9] = [
            |m| m.node_id = 0,
            |m| m.incarnation = vec![1; 15].into(),
            |m| m.name = String::new(),
            |m| m.name = "n".repeat(65),
            |m| m.name = "a b".into(),
            |m| m.address = String::new(),
            |m| m.address = "a\n:1".into(),
            |m| m.address = "a".repeat(281),
            |m| m.service_address = "ä:1".into(),
        ];
        for (number, spoil) in spoils.into_iter().enumerate() {
            let mut wire = peer().wire();
            spoil(&mut wire);
            assert!(Peer::read(&wire).is_err(), "{number}");
        }
    }
}
