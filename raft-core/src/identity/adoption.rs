//! How a node that belonged to no cluster comes to belong to one, for ever.

use std::io;
use std::path::Path;

use crate::identity::cluster_line::{NO_CLUSTER, cluster_line};
use crate::identity::lines::{read_lines, write_lines};

/// Makes the node of this directory belong to a cluster, durably. Fails when it belongs to another
/// one already, and when the disk does. Blocks.
pub(crate) fn adopt_cluster(data_dir: &Path, cluster_id: [u8; 16]) -> io::Result<()> {
    let path = data_dir.join("identity");
    let mut lines = read_lines(&path)
        .map_err(io::Error::other)?
        .ok_or_else(|| io::Error::other(format!("{} is gone", path.display())))?;
    let (none, ours) = (cluster_line(NO_CLUSTER), cluster_line(cluster_id));
    if lines.contains(&ours) {
        return Ok(());
    }
    match lines.iter_mut().find(|line| **line == none) {
        Some(line) => *line = ours,
        None => return Err(io::Error::other("the node belongs to another cluster already")),
    }
    write_lines(&path, &lines)
}
