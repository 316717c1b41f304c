//! The cluster that certain nodes may form, and no others.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::assembly::naming::Unsound;
use crate::assembly::peer::Peer;
use crate::config::MEMBERS_MAX;
use crate::member::{Member, NodeId};

/// The members of a cluster that is to be formed.
///
/// - 1 to 31 of them, sorted by id; no number, incarnation or name twice.
/// - Two formations with the same id are the same, to the last character of an address: all who
///   promise it write the same first entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Formation {
    members: Vec<Peer>,
}

impl Formation {
    /// A formation of these nodes. Fails when they are none, too many, or two of them the same.
    pub(crate) fn new(mut members: Vec<Peer>) -> Result<Formation, Unsound> {
        members.sort_by_key(|member| member.id);
        if members.is_empty() || members.len() > MEMBERS_MAX {
            return Err(Unsound("a cluster is formed of 1 to 31 nodes"));
        }
        members.iter().try_for_each(Peer::check)?;
        let ids: BTreeSet<_> = members.iter().map(|member| member.id).collect();
        let names: BTreeSet<_> = members.iter().map(|member| &member.name).collect();
        let incarnations: BTreeSet<_> = members.iter().map(|member| member.incarnation).collect();
        if [ids.len(), names.len(), incarnations.len()] != [members.len(); 3] {
            return Err(Unsound("two nodes have one number, one name or one incarnation"));
        }
        Ok(Formation { members })
    }

    /// The id of the cluster: the first 16 bytes of a SHA-256 over the whole list.
    pub(crate) fn cluster_id(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        hash.update(b"telegraph raft assembly 1\0");
        for member in &self.members {
            hash.update(member.id.to_be_bytes());
            hash.update(member.incarnation);
            hash.update(member.readable_version.to_be_bytes());
            for text in [&member.name, &member.address, &member.service_address] {
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text.as_bytes());
            }
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        id
    }

    /// Everybody, sorted by id.
    pub(crate) fn members(&self) -> &[Peer] {
        &self.members
    }

    /// The same as applications know them.
    pub(crate) fn public(&self) -> Vec<Member> {
        self.members.iter().map(Peer::member).collect()
    }

    /// Their numbers.
    pub(crate) fn ids(&self) -> BTreeSet<NodeId> {
        self.members.iter().map(|member| member.id).collect()
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    /// Who proposes it: the first by name. Nobody else promises it without being asked, so that
    /// whoever has promised it knows that this one had promised before.
    pub(crate) fn initiator(&self) -> &Peer {
        self.members.iter().min().expect("a formation is never empty")
    }

    /// True if this node is one of them, wherever it is found now.
    pub(crate) fn has(&self, peer: &Peer) -> bool {
        self.members.iter().any(|member| member.is(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: NodeId, name: &str) -> Peer {
        Peer {
            name: name.into(),
            id,
            incarnation: [id as u8; 16],
            address: format!("{name}:1"),
            service_address: String::new(),
            readable_version: 1,
        }
    }

    #[test]
    fn the_order_given_does_not_matter_and_everything_else_does() {
        let members = vec![peer(1, "c"), peer(2, "b"), peer(3, "a")];
        let formation = Formation::new(members.clone()).unwrap();
        let reversed = Formation::new(members.iter().rev().cloned().collect()).unwrap();
        assert_eq!(formation, reversed);
        assert_eq!(formation.cluster_id(), reversed.cluster_id());
        assert_eq!(formation.initiator().name, "a");
        let spoils: [fn(&mut Peer); 6] = [
            |p| p.id = 9,
            |p| p.name = "d".into(),
            |p| p.incarnation = [9; 16],
            |p| p.address = "d:1".into(),
            |p| p.service_address = "d:1".into(),
            |p| p.readable_version = 2,
        ];
        for spoil in spoils {
            let mut other = members.clone();
            spoil(&mut other[0]);
            assert_ne!(Formation::new(other).unwrap().cluster_id(), formation.cluster_id());
        }
    }

    #[test]
    fn nobody_appears_twice() {
        assert!(Formation::new(Vec::new()).is_err());
        assert!(Formation::new(vec![peer(1, "a"), peer(1, "b")]).is_err());
        assert!(Formation::new(vec![peer(1, "a"), peer(2, "a")]).is_err());
        let clone = Peer { incarnation: [1; 16], ..peer(2, "b") };
        assert!(Formation::new(vec![peer(1, "a"), clone]).is_err());
        assert!(Formation::new((1..=32).map(|id| peer(id, &format!("n{id}"))).collect()).is_err());
    }

    #[test]
    fn a_change_of_the_hash_makes_promises_given_so_far_worthless() {
        let formation = Formation::new(vec![peer(1, "a"), peer(2, "b")]).unwrap();
        assert_eq!(hex::encode(formation.cluster_id()), "f6ffb016b3d103ae26c8742e4253145e");
    }
}
