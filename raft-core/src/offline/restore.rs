//! A data directory made from a backup: a member of a new cluster with the old one's state.
//!
//! The order of the steps is such that no node starts from a directory that is not complete: the
//! identity, written first, says that there is a log; the log gets its name last. A directory in
//! which a restore was interrupted is to be emptied.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use telegraph_proto::raft as proto;
use telegraph_proto::raft::BackupHead;
use telegraph_proto::raft::entry::Payload;

use crate::backup::reader::{BackupReader, Part};
use crate::config::Config;
use crate::disk::RealDisk;
use crate::identity::{DataDir, Identity};
use crate::log_store::{Durable, LogPosition, LogStore as _, Record};
use crate::member::{Member, NodeId};
use crate::offline::backup::{BackupSummary, lineage_of, verify_backup};
use crate::offline::error::{OfflineError, of_start};
use crate::snapshot::directory::{SnapshotDir, sync_dir};
use crate::wal::Wal;
use crate::wal::config::WalConfig;

/// The log's name while it is being made.
const STAGED_LOG: &str = "log.restoring";

/// What an empty disk may hold all the same.
const LOST_AND_FOUND: &str = "lost+found";

/// Bytes of entries appended at a time.
const BATCH_BYTES: usize = 4 << 20;

/// The node to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restore {
    /// Its directory, which must be empty or not exist.
    pub data_dir: PathBuf,
    /// Its number, one of `members`.
    pub node_id: NodeId,
    /// All members of the new cluster, the same for every node that is restored: all of them vote.
    pub members: Vec<Member>,
    /// To be counted up when a backup is restored again after a cluster made from it has run, so
    /// that the clusters have different ids; 0 at first.
    pub attempt: u64,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The new cluster: the same for every node restored from the same backup with the same
    /// members and attempt, and no other.
    pub cluster_id: [u8; 16],
    /// The cluster whose history it continues: the first one
    /// ([`Node::lineage_id`](crate::Node::lineage_id)).
    pub lineage_id: [u8; 16],
    /// What the backup held.
    pub backup: BackupSummary,
}

/// Makes the data directory of a node of a **new** cluster, whose members are those given and
/// whose state is that of the backup. All is durable when this returns. The new cluster keeps the
/// lineage id of the old one, and with it what was signed for it.
///
/// To be called once for each member, with the same backup and the same members. The nodes are
/// started as usual, with that list of members; the cluster is formed already.
///
/// # Errors
/// [`OfflineError::Damaged`] when the backup is, before anything is written;
/// [`OfflineError::Refused`] when the directory is not empty, or the members cannot be.
pub fn restore(from: &Path, restore: &Restore) -> Result<Restored, OfflineError> {
    check(restore)?;
    let backup = verify_backup(from)?;
    let mut reader = BackupReader::open(from)?;
    let head = reader.head.clone();
    let (data_dir, identity) = (&restore.data_dir, new_identity(&head, restore)?);
    let directory =
        DataDir::create(data_dir, identity).map_err(|error| of_start(data_dir, error))?;
    let leftover = restore_snapshot(&mut reader, &directory.snapshots_path(), restore)?;
    let staged = data_dir.join(STAGED_LOG);
    restore_log(reader, leftover, &staged, restore)?;
    let named = fs::rename(&staged, data_dir.join("log")).and_then(|()| sync_dir(data_dir));
    named.map_err(|source| OfflineError::io(data_dir, source))?;
    let (cluster_id, lineage_id) = (identity.cluster_id, identity.lineage_id());
    Ok(Restored { cluster_id, lineage_id, backup })
}

fn check(restore: &Restore) -> Result<(), OfflineError> {
    let data_dir = &restore.data_dir;
    let config = Config {
        node_id: restore.node_id,
        data_dir: data_dir.clone(),
        members: restore.members.clone(),
        allow_plaintext: true,
        ..Config::default()
    };
    config.validate().map_err(|error| OfflineError::refused(data_dir, error.to_string()))?;
    let entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(OfflineError::io(data_dir, source)),
    };
    for entry in entries {
        let entry = entry.map_err(|source| OfflineError::io(data_dir, source))?;
        if entry.file_name() != LOST_AND_FOUND {
            let why = "is not empty; a node is restored into a directory of its own";
            return Err(OfflineError::refused(data_dir, why));
        }
    }
    Ok(())
}

/// Names the new cluster: no list of members alone leads to this id, so that no node of the old
/// cluster, and none that is started afresh, is taken for one of its own.
fn cluster_id(head: &BackupHead, restore: &Restore) -> [u8; 16] {
    let mut sorted: Vec<&Member> = restore.members.iter().collect();
    sorted.sort_by_key(|member| member.id);
    let mut hash = Sha256::new();
    hash.update(b"telegraph raft restored cluster 1\0");
    hash.update(&head.backup_id);
    hash.update(&head.cluster_id);
    hash.update(restore.attempt.to_be_bytes());
    for member in sorted {
        hash.update(member.id.to_be_bytes());
        hash.update((member.address.len() as u64).to_be_bytes());
        hash.update(member.address.as_bytes());
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finalize()[..16]);
    id
}

fn new_identity(head: &BackupHead, restore: &Restore) -> Result<Identity, OfflineError> {
    let mut incarnation = [0; 16];
    getrandom::fill(&mut incarnation)
        .map_err(|error| OfflineError::io(&restore.data_dir, io::Error::other(error)))?;
    Ok(Identity {
        cluster_id: cluster_id(head, restore),
        node_id: restore.node_id,
        incarnation,
        restored: lineage_of(head).try_into().ok(),
    })
}

/// The membership of the new cluster.
fn membership(members: &[Member]) -> proto::Membership {
    let mut sorted: Vec<&Member> = members.iter().collect();
    sorted.sort_by_key(|member| member.id);
    proto::Membership {
        voter_sets: vec![proto::VoterSet { node_ids: sorted.iter().map(|m| m.id).collect() }],
        members: sorted
            .into_iter()
            .map(|member| proto::Member {
                node_id: member.id,
                address: member.address.clone(),
                name: member.name.clone(),
                service_address: member.service_address.clone(),
                ..proto::Member::default()
            })
            .collect(),
        tombstones: Vec::new(),
    }
}

/// Writes the snapshot with the new membership, if there is one. Returns the part of the backup
/// that was read beyond it.
fn restore_snapshot(
    reader: &mut BackupReader,
    directory: &Path,
    restore: &Restore,
) -> Result<Option<Part>, OfflineError> {
    let wrong = |source| OfflineError::io(directory, source);
    let snapshots = SnapshotDir::open(directory).map_err(wrong)?;
    let Some(meta) = reader.head.snapshot.clone() else { return reader.next() };
    let meta = proto::SnapshotMeta {
        id: format!("restored-{}", meta.id),
        membership: Some(proto::StoredMembership {
            position: meta.last_applied,
            membership: Some(membership(&restore.members)),
        }),
        ..meta
    };
    let mut leftover = None;
    let built = snapshots.build::<io::Error>(meta, |to| {
        loop {
            match reader.next().map_err(io::Error::other)? {
                Some(Part::Body(piece)) => to.write_all(&piece)?,
                other => {
                    leftover = other;
                    return Ok(());
                }
            }
        }
    });
    built.map_err(wrong)?;
    Ok(leftover)
}

/// Makes the log: purged up to the snapshot, then the entries behind it.
fn restore_log(
    mut reader: BackupReader,
    leftover: Option<Part>,
    path: &Path,
    restore: &Restore,
) -> Result<(), OfflineError> {
    let wrong = |source| OfflineError::io(path, source);
    let (log, _) = Wal::open(path, Arc::new(RealDisk), WalConfig::default())?;
    let head = reader.head.clone();
    if let Some(at) = head.snapshot.as_ref().and_then(|snapshot| snapshot.last_applied) {
        let upto = LogPosition { index: at.index, term: at.term };
        durably(|done| log.purge(upto, done)).map_err(wrong)?;
    }
    let mut rewriter = Rewriter { formed: head.snapshot.is_some(), restore };
    let (mut part, mut batch, mut bytes) = (leftover, Vec::new(), 0);
    while let Some(Part::Entry(entry, encoded)) = part {
        let record = rewriter.record(entry, encoded);
        bytes += record.payload.len();
        batch.push(record);
        if bytes >= BATCH_BYTES {
            let full = std::mem::take(&mut batch);
            durably(|done| log.append(full, done)).map_err(wrong)?;
            bytes = 0;
        }
        part = reader.next()?;
    }
    durably(|done| log.append(batch, done)).map_err(wrong)?;
    if !rewriter.formed {
        return Err(OfflineError::refused(path, "the backup names no members to be replaced"));
    }
    // All that a backup contains counts as committed; nobody was voted for in the new cluster.
    log.save_committed(head.last.unwrap_or_default().encode_to_vec().into());
    let vote = proto::Vote { term: head.term, node_id: 0, committed: false };
    durably(|done| log.save_vote(vote.encode_to_vec().into(), done)).map_err(wrong)?;
    log.close().map_err(wrong)
}

/// Replaces the members of the old cluster, wherever entries name them.
struct Rewriter<'a> {
    /// Whether the new membership is in the snapshot, or was in an entry.
    formed: bool,
    restore: &'a Restore,
}

impl Rewriter<'_> {
    /// The entry as it goes into the log. Later changes of the old membership become blank entries:
    /// every place in the log stays what it was.
    fn record(&mut self, mut entry: proto::Entry, mut encoded: Bytes) -> Record {
        if let Some(Payload::Membership(_)) = entry.payload {
            entry.payload = Some(if self.formed {
                Payload::Blank(proto::Blank {})
            } else {
                Payload::Membership(membership(&self.restore.members))
            });
            self.formed = true;
            encoded = entry.encode_to_vec().into();
        }
        let at = entry.position.unwrap_or_default();
        Record { index: at.index, term: at.term, payload: encoded }
    }
}

/// Makes one change of the log and waits until it is durable.
fn durably(change: impl FnOnce(Durable)) -> io::Result<()> {
    let (sender, receiver) = mpsc::sync_channel(1);
    change(Box::new(move |result| {
        let _ = sender.send(result);
    }));
    receiver.recv().map_err(io::Error::other)?
}
