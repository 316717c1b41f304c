//! The log of a node that does not run: dumped and verified.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use telegraph_proto::raft as proto;
use telegraph_proto::raft::entry::Payload;

use crate::disk::read_only::ReadOnlyDisk;
use crate::log_store::{LogPosition, Record};
use crate::member::{Member, NodeId};
use crate::offline::error::OfflineError;
use crate::offline::place::Place;
use crate::offline::snapshot::{member_of, position_of, voters_of};
use crate::position::Position;
use crate::wal::stored::{Sight, StoredLog, walk};

/// Bytes of entries read at a time.
pub(super) const READ_BYTES: usize = 4 << 20;

/// What a sound log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogSummary {
    /// Segment files.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// The first of them.
    pub first: Option<Position>,
    /// The last of them, or the purge point.
    pub last: Option<Position>,
    /// The last entry that was let go of.
    pub purged: Option<Position>,
    /// The last vote.
    pub vote: Option<Vote>,
    /// Up to here entries are known to be committed; it may lag.
    pub committed: Option<Position>,
    /// What an interrupted write left at the end; nothing in it was acknowledged, and the next
    /// start cuts it off.
    pub torn: Option<Torn>,
    /// A segment whose creation was interrupted; the next start removes it.
    pub unfinished: Option<PathBuf>,
}

/// The remains of an interrupted write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub file: PathBuf,
    /// Where they begin.
    pub offset: u64,
    /// How many bytes they are.
    pub bytes: u64,
}

/// A node's vote (Raft paper §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// In this term.
    pub term: u64,
    /// For this node; 0 for none.
    pub node_id: NodeId,
    /// True if that node leads the term.
    pub committed: bool,
}

/// Something that lies in a log, in the order in which it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogItem {
    /// A segment begins, of so many bytes.
    Segment {
        /// Its number.
        number: u64,
        /// Its length.
        bytes: u64,
    },
    /// What one write made durable.
    Group {
        /// Its number.
        number: u64,
        /// `opening`, `changes` or `seal`.
        kind: &'static str,
        /// Its length.
        bytes: u64,
        /// Records in it.
        records: u32,
    },
    /// An entry.
    Entry {
        /// Its place in the log.
        position: Position,
        /// Its encoded length.
        bytes: u64,
        /// What it carries.
        carries: Carries,
    },
    /// A vote.
    Vote(Vote),
    /// The committed pointer.
    Committed(Position),
    /// All entries from this index on are dropped.
    Truncated(u64),
    /// All entries up to here are dropped, and the segments before that number.
    Purged {
        /// The last entry dropped.
        upto: Position,
        /// The oldest segment still needed.
        oldest_segment: u64,
    },
    /// What follows here in this segment cannot be read, in words why.
    Unreadable(String),
}

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Carries {
    /// Nothing: a new leader's first entry.
    Blank,
    /// A command of the application.
    Command {
        /// Its version.
        version: u32,
        /// When it was proposed, in milliseconds since 1970.
        time_unix_ms: u64,
        /// Its length in bytes.
        bytes: u64,
        /// Whether it belongs to a session.
        session: bool,
    },
    /// Who belongs to the cluster from here on.
    Membership {
        /// The voters; two sets while they are being changed.
        voters: Vec<Vec<NodeId>>,
        /// All members.
        members: Vec<Member>,
    },
}

/// Checks the whole log in `dir`, which is a data directory or the log in one: every byte that
/// counts, every entry decoded.
///
/// # Errors
/// [`OfflineError::Damaged`] names file and offset; [`OfflineError::InUse`] while a node runs.
pub fn verify_log(dir: &Path) -> Result<LogSummary, OfflineError> {
    let place = Place::log(dir)?;
    summarise(&open(&place)?, place.path())
}

/// Shows everything in the log, file by file, also behind damage, and then checks it as
/// [`verify_log`] does. `show` is given the file, the offset in it, and what is there.
///
/// # Errors
/// Those of [`verify_log`]; what is readable was shown then all the same.
pub fn dump_log(
    dir: &Path,
    show: &mut dyn FnMut(&Path, u64, LogItem),
) -> Result<LogSummary, OfflineError> {
    let place = Place::log(dir)?;
    walk(&ReadOnlyDisk, place.path(), &mut |file, sight| {
        let (offset, item) = item_of(sight);
        show(file, offset, item);
    })?;
    summarise(&open(&place)?, place.path())
}

pub(super) fn open(place: &Place) -> Result<StoredLog, OfflineError> {
    let log = StoredLog::open(Arc::new(ReadOnlyDisk), place.path())?;
    log.ok_or_else(|| OfflineError::refused(place.path(), "holds no log"))
}

/// The position of a committed pointer as it lies in the log.
pub(super) fn committed_of(log: &StoredLog, path: &Path) -> Result<Option<Position>, OfflineError> {
    let pointer = log.state().committed.map(proto::Position::decode).transpose();
    let pointer = pointer.map_err(|_| garbled(path, "the committed pointer"))?;
    Ok(pointer.map(position_of))
}

/// The vote as it lies in the log.
pub(super) fn vote_of(log: &StoredLog, path: &Path) -> Result<Option<Vote>, OfflineError> {
    let found = log.state().vote.map(proto::Vote::decode).transpose();
    Ok(found.map_err(|_| garbled(path, "the vote"))?.map(vote))
}

/// Decodes an entry and compares it with its place.
pub(super) fn entry_of(record: &Record, path: &Path) -> Result<proto::Entry, OfflineError> {
    let at = proto::Position { term: record.term, index: record.index };
    let entry = proto::Entry::decode(record.payload.clone());
    let sound = entry.ok().filter(|entry| entry.position == Some(at) && entry.payload.is_some());
    sound.ok_or_else(|| garbled(path, &format!("entry {}", record.index)))
}

fn summarise(log: &StoredLog, path: &Path) -> Result<LogSummary, OfflineError> {
    let mut next = log.first().map_or(0, |first| first.index);
    loop {
        let records = log.read(next, u64::MAX, READ_BYTES);
        let records = records.map_err(|source| OfflineError::of_read(path, 0, source))?;
        let Some(last) = records.last() else { break };
        next = last.index.saturating_add(1);
        for record in &records {
            entry_of(record, path)?;
        }
    }
    let state = log.state();
    let (segments, bytes) = log.segments();
    Ok(LogSummary {
        segments,
        bytes,
        entries: log.entries(),
        first: log.first().map(place),
        last: state.last.map(place),
        purged: state.purged.map(place),
        vote: vote_of(log, path)?,
        committed: committed_of(log, path)?,
        torn: log.torn_tail.clone().map(|torn| Torn {
            file: torn.file,
            offset: torn.offset,
            bytes: torn.bytes,
        }),
        unfinished: log.unfinished.clone(),
    })
}

fn item_of(sight: Sight<'_>) -> (u64, LogItem) {
    let unreadable = |what: &str| LogItem::Unreadable(format!("{what} is garbled"));
    match sight {
        Sight::Segment { number, bytes } => (0, LogItem::Segment { number, bytes }),
        Sight::Group { offset, number, kind, bytes, records } => {
            (offset, LogItem::Group { number, kind, bytes, records })
        }
        Sight::Entry { offset, position, payload } => {
            let item = match carries(payload) {
                Some(carries) => LogItem::Entry {
                    position: place(position),
                    bytes: payload.len() as u64,
                    carries,
                },
                None => unreadable("an entry"),
            };
            (offset, item)
        }
        Sight::Vote { offset, payload } => {
            let decoded = proto::Vote::decode(payload);
            (offset, decoded.map_or_else(|_| unreadable("a vote"), |v| LogItem::Vote(vote(v))))
        }
        Sight::Committed { offset, payload } => {
            let decoded = proto::Position::decode(payload).map(position_of);
            (offset, decoded.map_or_else(|_| unreadable("a pointer"), LogItem::Committed))
        }
        Sight::Truncated { offset, from } => (offset, LogItem::Truncated(from)),
        Sight::Purged { offset, upto, oldest_segment } => {
            (offset, LogItem::Purged { upto: place(upto), oldest_segment })
        }
        Sight::Unreadable { offset, why } => (offset, LogItem::Unreadable(why)),
    }
}

fn carries(encoded: &[u8]) -> Option<Carries> {
    let entry = proto::Entry::decode(Bytes::copy_from_slice(encoded)).ok()?;
    Some(match entry.payload? {
        Payload::Blank(_) => Carries::Blank,
        Payload::Command(command) => Carries::Command {
            version: command.version,
            time_unix_ms: command.time_unix_ms,
            bytes: command.payload.len() as u64,
            session: command.session.is_some(),
        },
        Payload::Membership(membership) => Carries::Membership {
            voters: voters_of(&membership),
            members: membership.members.into_iter().map(member_of).collect(),
        },
    })
}

fn vote(vote: proto::Vote) -> Vote {
    Vote { term: vote.term, node_id: vote.node_id, committed: vote.committed }
}

fn place(at: LogPosition) -> Position {
    Position { term: at.term, index: at.index }
}

fn garbled(path: &Path, what: &str) -> OfflineError {
    OfflineError::damaged(path, 0, format!("{what} passes its checksum, and is garbled"))
}
