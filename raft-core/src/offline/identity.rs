//! Whose directory is this?

use std::path::Path;

use crate::identity::pins::Pins;
use crate::identity::{Identity, read_identity};
use crate::member::NodeId;
use crate::offline::error::{OfflineError, of_start};
use crate::offline::place::{check_directory, lock_data_dir};

/// Whose a data directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectoryIdentity {
    /// The cluster.
    pub cluster_id: [u8; 16],
    /// The cluster whose history it continues; `cluster_id`, unless it was restored.
    pub lineage_id: [u8; 16],
    /// The node.
    pub node_id: NodeId,
    /// Made with the directory: a wiped node has another one.
    pub incarnation: [u8; 16],
    /// Whether the node ever opened its log. Where it did and none is left, the node must come
    /// back under a new id.
    pub log_begun: bool,
    /// Members it has met, by number, and the incarnation of each at that time.
    pub met: Vec<(NodeId, [u8; 16])>,
    /// Whether a node has the directory open now.
    pub in_use: bool,
}

/// Tells whose a data directory is; also while a node runs on it.
///
/// # Errors
/// [`OfflineError::Refused`] when no node was ever started there, [`OfflineError::Damaged`] when
/// what it says of itself is garbled.
pub fn identity(data_dir: &Path) -> Result<DirectoryIdentity, OfflineError> {
    check_directory(data_dir)?;
    let file = data_dir.join("identity");
    let found = read_identity(data_dir).map_err(|error| of_start(&file, error))?;
    let Some((identity, log_begun)) = found else {
        return Err(OfflineError::refused(data_dir, "holds no identity: no node was started here"));
    };
    let peers = data_dir.join("peers");
    let met = Pins::open(peers.clone()).map_err(|error| of_start(&peers, error))?.all();
    let in_use = match lock_data_dir(data_dir) {
        Ok(_) => false,
        Err(OfflineError::InUse { .. }) => true,
        Err(other) => return Err(other),
    };
    let lineage_id = identity.lineage_id();
    let Identity { cluster_id, node_id, incarnation, .. } = identity;
    let met = met.into_iter().map(|(id, met)| (id, met.incarnation)).collect();
    Ok(DirectoryIdentity { cluster_id, lineage_id, node_id, incarnation, log_begun, met, in_use })
}
