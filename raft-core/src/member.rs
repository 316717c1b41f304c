//! Who belongs to a cluster, and the cluster's name derived from it.

use sha2::{Digest, Sha256};

/// Number of a node, unique in its cluster for ever; never 0.
pub type NodeId = u64;

/// One member of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its number; never 0, never used again for another node.
    pub id: NodeId,
    /// `host:port` at which the other members reach it; a name is resolved at each reconnect.
    pub address: String,
    /// `host:port` (or URL) that clients of the application use; empty if there is none.
    pub service_address: String,
    /// A label that survives the node: one that comes back wiped takes its old self's place under
    /// the same name. Empty where there are none; otherwise unique.
    pub name: String,
}

impl Member {
    /// A member without name and service address.
    #[must_use]
    pub fn new(id: NodeId, address: impl Into<String>) -> Member {
        Member { id, address: address.into(), ..Member::default() }
    }
}

/// Names the cluster that `members` form: the first 16 bytes of a SHA-256 over the list sorted by
/// id, each with its consensus address. The order given and the service addresses do not matter.
#[must_use]
pub fn cluster_id(members: &[Member]) -> [u8; 16] {
    let mut sorted: Vec<&Member> = members.iter().collect();
    sorted.sort_by_key(|member| member.id);
    let mut hash = Sha256::new();
    hash.update(b"telegraph raft cluster 1\0");
    for member in sorted {
        hash.update(member.id.to_be_bytes());
        hash.update((member.address.len() as u64).to_be_bytes());
        hash.update(member.address.as_bytes());
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finalize()[..16]);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: NodeId, address: &str) -> Member {
        Member { id, address: address.into(), ..Member::default() }
    }

    #[test]
    fn the_cluster_id_ignores_order_but_no_id_and_no_address() {
        let list = [member(1, "a:1"), member(2, "b:1")];
        let id = cluster_id(&list);
        assert_eq!(id, cluster_id(&[list[1].clone(), list[0].clone()]));
        assert_ne!(id, cluster_id(&[member(1, "a:1"), member(3, "b:1")]));
        assert_ne!(id, cluster_id(&[member(1, "a:1"), member(2, "b:2")]));
        assert_ne!(cluster_id(&[member(1, "ab")]), cluster_id(&[member(1, "a")]));
    }
}
