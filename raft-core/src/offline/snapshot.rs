//! The snapshots of a node: shown, verified, and the newest sound one found.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use telegraph_proto::raft as proto;

use crate::member::{Member, NodeId};
use crate::offline::error::OfflineError;
use crate::offline::place::is_data_dir;
use crate::position::Position;
use crate::snapshot::file::SnapshotFile;

/// What a snapshot says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotSummary {
    /// Its name among all snapshots of the cluster.
    pub id: String,
    /// The last entry it contains.
    pub last: Position,
    /// Log time of that entry, in milliseconds since 1970.
    pub time_unix_ms: u64,
    /// The voters; two sets while they were being changed.
    pub voters: Vec<Vec<NodeId>>,
    /// All members.
    pub members: Vec<Member>,
    /// Version of its format.
    pub version: u32,
    /// Bytes of its body.
    pub bytes: u64,
    /// CRC32C of its body.
    pub checksum: u32,
}

/// The snapshots that `path` names: itself, if it is a file; those of a data directory; those in a
/// directory. Oldest first.
///
/// # Errors
/// When it cannot be read.
pub fn snapshot_files(path: &Path) -> Result<Vec<PathBuf>, OfflineError> {
    let found = fs::metadata(path).map_err(|source| OfflineError::io(path, source))?;
    if !found.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let directory = if is_data_dir(path) { path.join("snapshots") } else { path.to_owned() };
    list(&directory).map_err(|source| OfflineError::io(&directory, source))
}

/// Reads the head of a snapshot, and that its length fits.
///
/// # Errors
/// [`OfflineError::Damaged`] when it is none, or not whole.
pub fn snapshot(file: &Path) -> Result<SnapshotSummary, OfflineError> {
    Ok(summary(&open(file)?.meta))
}

/// Reads all of a snapshot, and compares its checksums.
///
/// # Errors
/// [`OfflineError::Damaged`] when a byte differs.
pub fn verify_snapshot(file: &Path) -> Result<SnapshotSummary, OfflineError> {
    let found = open(file)?;
    found.verify().map_err(|source| OfflineError::of_read(file, found.body_offset(), source))?;
    Ok(summary(&found.meta))
}

/// The sound snapshot in `directory` that contains most, and the damaged ones that were passed
/// over. Changes nothing.
pub(crate) fn newest_sound(
    directory: &Path,
) -> Result<(Option<SnapshotFile>, Vec<PathBuf>), OfflineError> {
    let mut damaged = Vec::new();
    let files = match list(directory) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(OfflineError::io(directory, source)),
    };
    for path in files.into_iter().rev() {
        match verify_snapshot(&path).and_then(|_| open(&path)) {
            Ok(file) => return Ok((Some(file), damaged)),
            Err(OfflineError::Damaged { file, .. }) => damaged.push(file),
            Err(other) => return Err(other),
        }
    }
    Ok((None, damaged))
}

/// What a head says, in the terms of this crate's users.
pub(super) fn summary(meta: &proto::SnapshotMeta) -> SnapshotSummary {
    let membership = meta.membership.clone().and_then(|stored| stored.membership);
    let membership = membership.unwrap_or_default();
    SnapshotSummary {
        id: meta.id.clone(),
        last: meta.last_applied.map(position_of).unwrap_or_default(),
        time_unix_ms: meta.time_unix_ms,
        voters: voters_of(&membership),
        members: membership.members.into_iter().map(member_of).collect(),
        version: meta.version,
        bytes: meta.length,
        checksum: meta.checksum,
    }
}

/// The voters of a membership.
pub(super) fn voters_of(membership: &proto::Membership) -> Vec<Vec<NodeId>> {
    membership.voter_sets.iter().map(|set| set.node_ids.clone()).collect()
}

/// A member as users know it.
pub(super) fn member_of(wire: proto::Member) -> Member {
    Member {
        id: wire.node_id,
        address: wire.address,
        service_address: wire.service_address,
        name: wire.name,
    }
}

/// A position as users know it.
pub(super) fn position_of(at: proto::Position) -> Position {
    Position { term: at.term, index: at.index }
}

fn open(file: &Path) -> Result<SnapshotFile, OfflineError> {
    SnapshotFile::open(file).map_err(|source| OfflineError::of_read(file, 0, source))
}

/// All snapshots of a directory. Their names order as the positions in them do.
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("snap")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
