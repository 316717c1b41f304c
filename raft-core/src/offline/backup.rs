//! A backup of a stopped node, and what is in one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use telegraph_proto::raft as proto;
use telegraph_proto::raft::BackupHead;

use crate::backup::reader::BackupReader;
use crate::backup::writer::BackupWriter;
use crate::clock::{SystemClock, WallClock as _};
use crate::identity::{Identity, read_identity};
use crate::member::NodeId;
use crate::offline::error::{OfflineError, of_start};
use crate::offline::log::{READ_BYTES, committed_of, entry_of, open, vote_of};
use crate::offline::place::{Place, check_directory, lock_data_dir};
use crate::offline::snapshot::{SnapshotSummary, newest_sound, position_of, summary};
use crate::position::Position;
use crate::snapshot::directory::sync_dir;
use crate::snapshot::file::SnapshotFile;
use crate::wal::stored::StoredLog;

/// Bytes gathered before they are written.
const BLOCK_BYTES: usize = 256 << 10;

/// What a backup holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupSummary {
    /// Its random name; a cluster made from it is named after it.
    pub backup_id: [u8; 16],
    /// The cluster it was taken of.
    pub cluster_id: [u8; 16],
    /// The cluster whose history it continued; `cluster_id`, unless it was restored itself.
    pub lineage_id: [u8; 16],
    /// The node it was taken from.
    pub node_id: NodeId,
    /// When, in milliseconds since 1970, by that node's clock.
    pub time_unix_ms: u64,
    /// The snapshot in it; `None` when the entries begin with the cluster's first.
    pub snapshot: Option<SnapshotSummary>,
    /// Entries behind the snapshot.
    pub entries: u64,
    /// The last entry contained.
    pub last: Position,
    /// Highest term the node had seen.
    pub term: u64,
    /// Newer snapshots of that node that were damaged, and passed over; known only to whoever makes
    /// the backup.
    pub passed_over: Vec<PathBuf>,
}

/// How much of the log behind the snapshot a backup takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tail {
    /// The entries this node knew to be committed. After a kill, what was acknowledged in the last
    /// moments may be missing from that knowledge.
    #[default]
    Committed,
    /// All entries of its log: also those that were perhaps never committed, and those that were
    /// acknowledged in the last moments. For the node with the longest log, when all are lost.
    Whole,
}

/// Backs up the data directory of a node that does not run: its newest sound snapshot and the
/// entries behind it, into a new file, which is durable when this returns.
///
/// # Errors
/// [`OfflineError::InUse`] while a node runs, [`OfflineError::Damaged`] when the log is damaged or
/// no sound snapshot reaches up to it, [`OfflineError::Refused`] when the file exists or nothing
/// was ever committed here. No file is left then.
pub fn backup(data_dir: &Path, to: &Path, tail: Tail) -> Result<BackupSummary, OfflineError> {
    check_directory(data_dir)?;
    let file = data_dir.join("identity");
    let found = read_identity(data_dir).map_err(|error| of_start(&file, error))?;
    let Some((identity, _)) = found else {
        return Err(OfflineError::refused(data_dir, "holds no identity: no node was started here"));
    };
    let _lock = lock_data_dir(data_dir)?;
    let place = Place::log(&data_dir.join("log"))?;
    let log = open(&place)?;
    let (snapshot, passed_over) = newest_sound(&data_dir.join("snapshots"))?;
    let source = Source::new(&log, place.path(), snapshot, tail)?;
    let head = head_of(identity, &source).map_err(|source| OfflineError::io(to, source))?;
    write_aside(to, |aside| source.write(aside, to, &head))?;
    Ok(BackupSummary { passed_over, ..summary_of(&head) })
}

/// Reads all of a backup, compares every checksum, and tells what is in it.
///
/// # Errors
/// [`OfflineError::Damaged`] names the offset; [`OfflineError::Refused`] when its format is that
/// of a later version.
pub fn verify_backup(file: &Path) -> Result<BackupSummary, OfflineError> {
    let mut reader = BackupReader::open(file)?;
    while reader.next()?.is_some() {}
    Ok(summary_of(&reader.head))
}

/// Writes a snapshot of a running node as a backup.
pub(crate) fn backup_snapshot(
    identity: Identity,
    snapshot: SnapshotFile,
    term: u64,
    to: &Path,
) -> Result<BackupSummary, OfflineError> {
    let Some(last) = snapshot.meta.last_applied else {
        return Err(OfflineError::refused(&snapshot.path, "contains nothing"));
    };
    let source = Source { log: None, snapshot: Some(snapshot), from: 0, to: 0, last, term };
    let head = head_of(identity, &source).map_err(|source| OfflineError::io(to, source))?;
    write_aside(to, |aside| source.write(aside, to, &head))?;
    Ok(summary_of(&head))
}

/// What goes into a backup: the snapshot, and the entries `from..to` of the log.
struct Source<'a> {
    log: Option<(&'a StoredLog, &'a Path)>,
    snapshot: Option<SnapshotFile>,
    from: u64,
    to: u64,
    last: proto::Position,
    term: u64,
}

impl<'a> Source<'a> {
    fn new(
        log: &'a StoredLog,
        path: &'a Path,
        snapshot: Option<SnapshotFile>,
        tail: Tail,
    ) -> Result<Source<'a>, OfflineError> {
        let base = snapshot.as_ref().and_then(|file| file.meta.last_applied);
        let state = log.state();
        if let Some(purged) =
            state.purged.filter(|purged| base.is_none_or(|base| base.index < purged.index))
        {
            let why = format!("no sound snapshot reaches up to entry {}", purged.index);
            return Err(OfflineError::damaged(path, 0, why));
        }
        let end = match tail {
            Tail::Committed => committed_of(log, path)?.map(|at| at.index),
            Tail::Whole => state.last.map(|last| last.index),
        };
        let first = log.first().map_or(0, |first| first.index);
        let from = base.map_or(first, |base| base.index.saturating_add(1));
        let behind = log_position(log, path, end.filter(|end| *end >= from))?;
        let Some(last) = behind.or(base) else {
            return Err(OfflineError::refused(path, "nothing was committed here yet"));
        };
        let to = behind.map_or(from, |last| last.index.saturating_add(1));
        let term = vote_of(log, path)?.map_or(0, |vote| vote.term).max(last.term);
        Ok(Source { log: Some((log, path)), snapshot, from, to, last, term })
    }

    fn write(&self, aside: File, to: &Path, head: &BackupHead) -> Result<File, OfflineError> {
        let wrong = |source| OfflineError::io(to, source);
        let buffered = BufWriter::with_capacity(BLOCK_BYTES, aside);
        let mut writer = BackupWriter::begin(buffered, head).map_err(wrong)?;
        if let Some(snapshot) = &self.snapshot {
            let body = snapshot.body_from(0);
            let mut body = body.map_err(|source| OfflineError::io(&snapshot.path, source))?;
            writer.body(&mut body).map_err(wrong)?;
        }
        if let Some((log, path)) = self.log {
            let mut next = self.from;
            while next < self.to {
                let records = log.read(next, self.to, READ_BYTES);
                let records = records.map_err(|source| OfflineError::of_read(path, 0, source))?;
                let Some(last) = records.last() else { break };
                next = last.index.saturating_add(1);
                for record in &records {
                    entry_of(record, path)?;
                    writer.entry(&record.payload).map_err(wrong)?;
                }
            }
        }
        let buffered = writer.finish().map_err(wrong)?;
        buffered.into_inner().map_err(|error| wrong(error.into_error()))
    }
}

/// The place of the entry at `index`; `None` when there is no such entry in the log.
fn log_position(
    log: &StoredLog,
    path: &Path,
    index: Option<u64>,
) -> Result<Option<proto::Position>, OfflineError> {
    let Some(index) = index else { return Ok(None) };
    let records = log.read(index, index.saturating_add(1), 0);
    let records = records.map_err(|source| OfflineError::of_read(path, 0, source))?;
    let found = records.first().filter(|record| record.index == index);
    Ok(found.map(|record| proto::Position { term: record.term, index }))
}

fn head_of(identity: Identity, source: &Source<'_>) -> io::Result<BackupHead> {
    let mut backup_id = [0; 16];
    getrandom::fill(&mut backup_id).map_err(io::Error::other)?;
    Ok(BackupHead {
        backup_id: backup_id.to_vec().into(),
        cluster_id: identity.cluster_id.to_vec().into(),
        node_id: identity.node_id,
        time_unix_ms: SystemClock.now_unix_ms(),
        snapshot: source.snapshot.as_ref().map(|file| file.meta.clone()),
        entries: source.to.saturating_sub(source.from),
        last: Some(source.last),
        term: source.term,
        lineage_id: identity.restored.map(|id| id.to_vec().into()).unwrap_or_default(),
    })
}

fn summary_of(head: &BackupHead) -> BackupSummary {
    let id = |bytes: &[u8]| bytes.try_into().unwrap_or_default();
    BackupSummary {
        backup_id: id(&head.backup_id),
        cluster_id: id(&head.cluster_id),
        lineage_id: id(lineage_of(head)),
        node_id: head.node_id,
        time_unix_ms: head.time_unix_ms,
        snapshot: head.snapshot.as_ref().map(summary),
        entries: head.entries,
        last: head.last.map(position_of).unwrap_or_default(),
        term: head.term,
        passed_over: Vec::new(),
    }
}

/// The cluster in which the history began that a backup holds.
pub(crate) fn lineage_of(head: &BackupHead) -> &[u8] {
    if head.lineage_id.is_empty() { &head.cluster_id } else { &head.lineage_id }
}

/// Makes a new file, whole and durable, or none.
fn write_aside(
    to: &Path,
    write: impl FnOnce(File) -> Result<File, OfflineError>,
) -> Result<(), OfflineError> {
    if to.exists() {
        return Err(OfflineError::refused(to, "exists already"));
    }
    let wrong = |source| OfflineError::io(to, source);
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    let aside = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // A backup holds whatever the state machine holds.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&aside).map_err(wrong).and_then(write).and_then(|file| {
        file.sync_all().map_err(wrong)?;
        fs::rename(&aside, to).map_err(wrong)
    });
    if let Err(error) = written {
        // What is left of it is of no use; that it cannot be removed is no second error.
        let _ = fs::remove_file(&aside);
        return Err(error);
    }
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_dir(parent.unwrap_or(Path::new("."))).map_err(wrong)
}
