//! What each command does and prints.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;

use raft_core::offline::backup::{BackupSummary, Tail, backup, verify_backup};
use raft_core::offline::error::OfflineError;
use raft_core::offline::identity::identity;
use raft_core::offline::log::{Carries, LogItem, LogSummary, dump_log, verify_log};
use raft_core::offline::restore::{Restore, restore};
use raft_core::offline::snapshot::{SnapshotSummary, snapshot, snapshot_files, verify_snapshot};
use raft_core::{Member, NodeId};
use thiserror::Error;

use crate::arguments::{Arguments, Command, Log, RestoreArguments, Snapshot};
use crate::line::Line;

/// Why a command did not end well.
#[derive(Debug, Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Offline(#[from] OfflineError),
    #[error("{0} of the files are damaged")]
    Damaged(u64),
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl CommandError {
    /// What the program ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            CommandError::Offline(OfflineError::Damaged { .. }) | CommandError::Damaged(_) => 3,
            CommandError::Offline(_) | CommandError::Output(_) => 1,
        }
    }
}

/// Does what was asked for.
pub(crate) fn run(arguments: Arguments, to: &mut dyn Write) -> Result<(), CommandError> {
    let mut out = Out { json: arguments.json, to };
    match arguments.command {
        Command::Log(Log::Dump { dir }) => out.dump_log(&dir),
        Command::Log(Log::Verify { dir }) => {
            let summary = verify_log(&dir)?;
            out.log_summary(&summary)
        }
        Command::Snapshot(Snapshot::Dump { path }) => out.snapshots(&path, snapshot),
        Command::Snapshot(Snapshot::Verify { path }) => out.snapshots(&path, verify_snapshot),
        Command::Identity { dir } => out.identity(&dir),
        Command::Backup { dir, file, whole_log } => {
            let tail = if whole_log { Tail::Whole } else { Tail::Committed };
            let summary = backup(&dir, &file, tail)?;
            out.backup(&file, &summary)
        }
        Command::Restore(wanted) => out.restore(wanted),
    }
}

struct Out<'a> {
    json: bool,
    to: &'a mut dyn Write,
}

impl Out<'_> {
    fn line(&mut self, line: Line) -> io::Result<()> {
        line.write(self.json, self.to)
    }

    fn dump_log(&mut self, dir: &Path) -> Result<(), CommandError> {
        let mut written = Ok(());
        let summary = dump_log(dir, &mut |file, offset, item| {
            if written.is_ok() {
                written = self.line(item_line(file, offset, item));
            }
        });
        written?;
        self.log_summary(&summary?)
    }

    fn log_summary(&mut self, log: &LogSummary) -> Result<(), CommandError> {
        if let Some(torn) = &log.torn {
            let line = Line::new("torn").text("file", torn.file.display());
            self.line(line.plain("offset", torn.offset).plain("bytes", torn.bytes))?;
        }
        if let Some(file) = &log.unfinished {
            self.line(Line::new("unfinished").text("file", file.display()))?;
        }
        let vote = log.vote.map(|vote| format!("T{}-N{}", vote.term, vote.node_id));
        let line = Line::new("log")
            .plain("segments", log.segments)
            .plain("bytes", log.bytes)
            .plain("entries", log.entries)
            .maybe("first", log.first)
            .maybe("last", log.last)
            .maybe("purged", log.purged)
            .maybe("committed", log.committed)
            .maybe("vote", vote);
        Ok(self.line(line)?)
    }

    fn snapshots(
        &mut self,
        path: &Path,
        look: fn(&Path) -> Result<SnapshotSummary, OfflineError>,
    ) -> Result<(), CommandError> {
        if is_backup(path) {
            let summary = verify_backup(path)?;
            return self.backup(path, &summary);
        }
        let files = snapshot_files(path)?;
        let (mut damaged, count) = (0, files.len());
        for file in files {
            match look(&file) {
                Ok(found) => self.line(snapshot_line(&file, &found))?,
                Err(OfflineError::Damaged { file, offset, why }) if count > 1 => {
                    damaged += 1;
                    let line = Line::new("damaged").text("file", file.display());
                    self.line(line.plain("offset", offset).text("why", why))?;
                }
                Err(other) => return Err(other.into()),
            }
        }
        if damaged > 0 { Err(CommandError::Damaged(damaged)) } else { Ok(()) }
    }

    fn identity(&mut self, dir: &Path) -> Result<(), CommandError> {
        let found = identity(dir)?;
        let line = Line::new("identity")
            .text("cluster", hex::encode(found.cluster_id))
            .text("lineage", hex::encode(found.lineage_id))
            .plain("node", found.node_id)
            .text("incarnation", hex::encode(found.incarnation))
            .plain("log_begun", found.log_begun)
            .plain("in_use", found.in_use);
        self.line(line)?;
        for (id, incarnation) in found.met {
            let line = Line::new("met").plain("node", id);
            self.line(line.text("incarnation", hex::encode(incarnation)))?;
        }
        Ok(())
    }

    fn backup(&mut self, file: &Path, backup: &BackupSummary) -> Result<(), CommandError> {
        for passed_over in &backup.passed_over {
            self.line(Line::new("passed_over").text("file", passed_over.display()))?;
        }
        if let Some(snapshot) = &backup.snapshot {
            self.line(snapshot_line(file, snapshot))?;
        }
        let line = Line::new("backup")
            .text("file", file.display())
            .text("id", hex::encode(backup.backup_id))
            .text("cluster", hex::encode(backup.cluster_id))
            .text("lineage", hex::encode(backup.lineage_id))
            .plain("node", backup.node_id)
            .plain("time_unix_ms", backup.time_unix_ms)
            .plain("entries", backup.entries)
            .text("last", backup.last);
        Ok(self.line(line.plain("term", backup.term))?)
    }

    fn restore(&mut self, wanted: RestoreArguments) -> Result<(), CommandError> {
        let RestoreArguments { file, data_dir, node_id, members, attempt } = wanted;
        let restored = restore(&file, &Restore { data_dir, node_id, members, attempt })?;
        let line = Line::new("restored")
            .text("cluster", hex::encode(restored.cluster_id))
            .text("lineage", hex::encode(restored.lineage_id))
            .plain("node", node_id)
            .text("last", restored.backup.last);
        Ok(self.line(line)?)
    }
}

/// Whether the file begins as a backup does. What cannot be read is left to be found out.
fn is_backup(path: &Path) -> bool {
    let mut magic = [0; 8];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && &magic == b"RAFTBKUP"
}

fn item_line(file: &Path, offset: u64, item: LogItem) -> Line {
    let at = |kind: &str| Line::new(kind).plain("offset", offset);
    match item {
        LogItem::Segment { number, bytes } => Line::new("segment")
            .text("file", file.display())
            .plain("number", number)
            .plain("bytes", bytes),
        LogItem::Group { number, kind, bytes, records } => at("group")
            .plain("number", number)
            .text("of", kind)
            .plain("bytes", bytes)
            .plain("records", records),
        LogItem::Entry { position, bytes, carries } => {
            let line = at("entry").text("position", position).plain("bytes", bytes);
            match carries {
                Carries::Blank => line.text("carries", "blank"),
                Carries::Command { version, time_unix_ms, bytes, session } => line
                    .text("carries", "command")
                    .plain("version", version)
                    .plain("time_unix_ms", time_unix_ms)
                    .plain("payload_bytes", bytes)
                    .plain("session", session),
                Carries::Membership { voters, members } => line
                    .text("carries", "membership")
                    .text("voters", shown_voters(&voters))
                    .text("members", shown_members(&members)),
                _ => line.text("carries", "unknown"),
            }
        }
        LogItem::Vote(vote) => at("vote")
            .plain("term", vote.term)
            .plain("node", vote.node_id)
            .plain("committed", vote.committed),
        LogItem::Committed(position) => at("committed").text("position", position),
        LogItem::Truncated(from) => at("truncated").plain("from", from),
        LogItem::Purged { upto, oldest_segment } => {
            at("purged").text("upto", upto).plain("oldest_segment", oldest_segment)
        }
        LogItem::Unreadable(why) => at("unreadable").text("file", file.display()).text("why", why),
        _ => at("unknown"),
    }
}

fn snapshot_line(file: &Path, snapshot: &SnapshotSummary) -> Line {
    Line::new("snapshot")
        .text("file", file.display())
        .text("id", &snapshot.id)
        .text("last", snapshot.last)
        .plain("time_unix_ms", snapshot.time_unix_ms)
        .text("voters", shown_voters(&snapshot.voters))
        .text("members", shown_members(&snapshot.members))
        .plain("version", snapshot.version)
        .plain("bytes", snapshot.bytes)
        .text("crc32c", format!("{:08x}", snapshot.checksum))
}

/// `1,2,3`, or `1,2,3+2,3,4` during a change.
fn shown_voters(sets: &[Vec<NodeId>]) -> String {
    let sets = sets.iter().map(|set| {
        let ids: Vec<String> = set.iter().map(ToString::to_string).collect();
        ids.join(",")
    });
    sets.collect::<Vec<_>>().join("+")
}

/// `1=a:1,2=b:1`.
fn shown_members(members: &[Member]) -> String {
    let members = members.iter().map(|member| format!("{}={}", member.id, member.address));
    members.collect::<Vec<_>>().join(",")
}
