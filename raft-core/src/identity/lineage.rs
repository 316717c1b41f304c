//! Whose history a cluster's continues: its own, or, after a restore, that of the cluster which the
//! backup was taken of, for ever.
//!
//! A restored node knows it from its backup. A member that joins a restored cluster learns it from
//! the first member that calls, before it holds any entry; a node that says nothing of it says
//! nothing against it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Stranger;
use crate::identity::cluster_line::NO_CLUSTER;
use crate::identity::lines::{read_id, read_lines, write_lines};

const LINE: &str = "lineage ";

/// The line of a history that began in another cluster.
pub(crate) fn lineage_line(lineage: [u8; 16]) -> String {
    format!("{LINE}{}", hex::encode(lineage))
}

/// What stands in it; `None` for any other line.
pub(crate) fn read_lineage(line: &str) -> Option<[u8; 16]> {
    read_id(line.strip_prefix(LINE)?)
}

/// What this node knows of its history, and where it keeps that.
#[derive(Debug)]
pub(crate) struct Lineage {
    data_dir: PathBuf,
    restored: Mutex<Option<[u8; 16]>>,
}

impl Lineage {
    /// As the node's identity says.
    pub(crate) fn new(data_dir: &Path, restored: Option<[u8; 16]>) -> Lineage {
        Lineage { data_dir: data_dir.to_owned(), restored: Mutex::new(restored) }
    }

    /// The cluster that was restored; `None` if none was, as far as is known.
    pub(crate) fn restored(&self) -> Option<[u8; 16]> {
        *self.known()
    }

    /// True if what a member says is known, so that [`Lineage::learn`] does not block.
    pub(crate) fn knows(&self, said: &[u8]) -> bool {
        said.is_empty() || self.known().is_some_and(|known| known == said)
    }

    /// Takes over what a member of our cluster says. It is made durable before it is believed, so
    /// this blocks, once.
    pub(crate) fn learn(&self, said: &[u8]) -> Result<(), Stranger> {
        if said.is_empty() {
            return Ok(());
        }
        let said: [u8; 16] = said.try_into().map_err(|_| Stranger::Anonymous("no lineage id"))?;
        if said == NO_CLUSTER {
            return Err(Stranger::Anonymous("no lineage id"));
        }
        let mut known = self.known();
        match *known {
            Some(known) if known == said => return Ok(()),
            Some(_) => return Err(Stranger::Cluster),
            None => {}
        }
        self.keep(said).map_err(|error| {
            tracing::error!(%error, "cannot remember whose history this is");
            Stranger::Unremembered
        })?;
        *known = Some(said);
        Ok(())
    }

    fn keep(&self, said: [u8; 16]) -> io::Result<()> {
        let path = self.data_dir.join("identity");
        let lines = read_lines(&path).map_err(io::Error::other)?;
        let mut lines = lines.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        lines.push(lineage_line(said));
        write_lines(&path, &lines)
    }

    fn known(&self) -> MutexGuard<'_, Option<[u8; 16]>> {
        self.restored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
