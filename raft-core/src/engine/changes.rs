//! The log behind what was applied, for those who follow it.
//!
//! - An entry is shown once the state machine contains it: never one that may still be taken back.
//! - A command that was passed over, because its session had it before or refused it, is not shown.
//! - What a snapshot brought in one leap is not shown, even where the log still holds entries of
//!   that stretch: nobody knows which of them were applied, or has compared them with what the
//!   snapshot contains.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use crate::change::Change;
use crate::engine::applier::Progress;
use crate::engine::log::{damaged, entry_of};
use crate::engine::types::Payload;
use crate::log_store::{LogPosition, LogStore, Record};
use crate::position::Position;

/// Bytes of commands that are held for one subscriber, except that one command always is: enough
/// to read the disk in few steps.
pub(crate) const HELD_BYTES: usize = 256 << 10;

/// What was applied, as the log has it; cheap to clone.
#[derive(Clone)]
pub(crate) struct Changes {
    log: Arc<dyn LogStore>,
    progress: Arc<Progress>,
}

/// A stretch of the log.
#[derive(Debug)]
pub(crate) struct Stretch {
    /// Its commands.
    pub(crate) changes: Vec<Change>,
    /// Its last entry.
    pub(crate) last: Position,
}

/// Why nothing can be read after a place.
#[derive(Debug)]
pub(crate) enum Unread {
    /// Entries after it are gone; those after this one are here.
    Purged(Position),
    /// It is not of this log.
    OtherLog,
    /// The log cannot be read.
    Io(io::Error),
}

impl Changes {
    /// Follows a log of which the state machine contains everything up to `applied`.
    pub(crate) fn new(
        log: Arc<dyn LogStore>,
        progress: Arc<Progress>,
        applied: Option<Position>,
    ) -> io::Result<Changes> {
        let changes = Changes { log, progress };
        if let Some(applied) = applied
            && changes.term_at(applied.index)? != Some(applied.term)
        {
            // A snapshot, and the log was not purged up to it before the process ended.
            changes.progress.skipped().leap(applied);
        }
        Ok(changes)
    }

    fn term_at(&self, index: u64) -> io::Result<Option<u64>> {
        if let Some(purged) = self.log.state().purged.filter(|purged| purged.index == index) {
            return Ok(Some(purged.term));
        }
        let records = self.log.read(index, index.saturating_add(1), 0)?;
        Ok(records.first().map(|record| record.term))
    }

    /// The last entry applied, as it changes.
    pub(crate) fn applied(&self) -> watch::Receiver<Option<Position>> {
        self.progress.applied.subscribe()
    }

    /// True when the log has failed, and the node with it.
    pub(crate) fn has_failed(&self) -> bool {
        self.log.failed().is_some()
    }

    /// Entries after `after`, up to `applied`: some of them, and at least one if any is there.
    /// Unless `is_known`, it is found out first whether `after` is in this log.
    pub(crate) async fn read(
        &self,
        after: Position,
        is_known: bool,
        applied: Position,
    ) -> Result<Stretch, Unread> {
        let is_known = is_known || after == Position::default();
        let from = after.index.saturating_add(u64::from(is_known));
        let to = applied.index.saturating_add(1);
        let mut records = self.records(from, to).await.map_err(Unread::Io)?;
        let last = records.last().map_or(0, |record| record.index);
        let skipped = self.progress.skipped().among(after.index, last);
        // Looked at when the entries are here: what was purged meanwhile may be missing in them,
        // and in the notes, which go after it.
        let oldest = self.oldest();
        if after.index < oldest.index {
            return Err(Unread::Purged(oldest));
        }
        if !is_known {
            let here = records.first().is_some_and(|first| first.index == after.index);
            let here = here.then(|| records.remove(0).term);
            let found = match here {
                // What a snapshot says counts, whatever the log still holds there.
                _ if after.index == oldest.index => oldest.term,
                Some(term) => term,
                None => return Err(Unread::Io(gap(after.index))),
            };
            if found != after.term {
                return Err(Unread::OtherLog);
            }
        }
        let mut stretch = Stretch { changes: Vec::with_capacity(records.len()), last: after };
        for record in records {
            if record.index != stretch.last.index.saturating_add(1) {
                return Err(Unread::Io(gap(record.index)));
            }
            stretch.last = Position { term: record.term, index: record.index };
            if skipped.contains(&record.index) {
                continue;
            }
            stretch.changes.extend(change(record).map_err(Unread::Io)?);
        }
        Ok(stretch)
    }

    async fn records(&self, from: u64, to: u64) -> io::Result<Vec<Record>> {
        if let Some(records) = self.log.read_cached(from, to, HELD_BYTES)? {
            return Ok(records);
        }
        let log = Arc::clone(&self.log);
        tokio::task::spawn_blocking(move || log.read(from, to, HELD_BYTES))
            .await
            .map_err(io::Error::other)?
    }

    /// The entry after which everything is here.
    fn oldest(&self) -> Position {
        let purged =
            self.log.state().purged.map(|LogPosition { index, term }| Position { term, index });
        purged.unwrap_or_default().max(self.progress.skipped().noted_after())
    }
}

/// The command of an entry; `None` for what only the engine understands.
fn change(record: Record) -> io::Result<Option<Change>> {
    let position = Position { term: record.term, index: record.index };
    let Payload::Normal(proposal) = entry_of(record)?.payload else { return Ok(None) };
    let command = proposal.command().map_err(damaged)?;
    let session = match command.session {
        // It opens the session.
        Some(session) if session.sequence == 0 => return Ok(None),
        Some(session) => {
            let client = <[u8; 16]>::try_from(session.client_id.as_ref());
            client.ok().map(|client| (client, session.sequence))
        }
        None => None,
    };
    let (time_unix_ms, version) = (command.time_unix_ms, command.version);
    Ok(Some(Change { position, time_unix_ms, version, session, payload: command.payload }))
}

fn gap(index: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the log has a gap at entry {index}"))
}

#[cfg(test)]
mod tests;
