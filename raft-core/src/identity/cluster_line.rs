//! How a data directory says to which cluster its node belongs.

use crate::identity::lines::read_id;

/// The id of no cluster: what a node has that found none yet.
pub(crate) const NO_CLUSTER: [u8; 16] = [0; 16];

/// What stands for no cluster.
const NONE: &str = "none";

/// The line of a cluster; of none when all bytes are 0.
pub(crate) fn cluster_line(cluster_id: [u8; 16]) -> String {
    match cluster_id {
        NO_CLUSTER => format!("cluster {NONE}"),
        cluster_id => format!("cluster {}", hex::encode(cluster_id)),
    }
}

/// What stands in it.
pub(crate) fn read_cluster(text: &str) -> Option<[u8; 16]> {
    if text == NONE { Some(NO_CLUSTER) } else { read_id(text) }
}
