//! Before consensus starts: the state machine is a view of the log, so make it fit.
//!
//! The log and the snapshot files are synced before anything depends on them; the state machine
//! need not be. It is rebuilt, from the newest snapshot or from nothing, when its records
//! - are missing or garbled although entries were committed here,
//! - name an entry behind what the log still holds (the entries between are gone),
//! - name an entry the log does not have, or has with another term: power was lost after it was
//!   applied and before it was written, and it may never have been committed elsewhere.
//!
//! openraft then applies the rest of the log up to what it knows to be committed.

use std::io;

use crate::engine::applier::{facts_of, restore};
use crate::engine::batch::Unreadable;
use crate::engine::facts::{Facts, Held};
use crate::engine::types::{LogId, log_id};
use crate::error::StartError;
use crate::fault::Cause;
use crate::log_store::{LogPosition, LogStore};
use crate::machine::Machine;
use crate::position::Position;
use crate::snapshot::file::SnapshotFile;
use crate::state_machine::MachineError;

/// What the machine contains now, and whether it had to be rebuilt.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Its records.
    pub(crate) held: Held,
    /// True when it did not fit the log although it should have.
    pub(crate) rebuilt: bool,
}

/// Makes the machine fit the log. Fails when neither it nor a snapshot reaches up to the entries
/// that the log still holds: then only another member can help.
pub(crate) async fn recover(
    machine: &Machine,
    log: &dyn LogStore,
    newest: Option<&SnapshotFile>,
) -> Result<Recovered, StartError> {
    let records = machine.run(|machine| machine.records()).await.map_err(stopped)??;
    let snapshot = newest.map(facts_of).transpose().map_err(damaged)?.unwrap_or_default();
    let misfit = match Held::read(&records) {
        Ok(held) => match misfit(log, &held.facts, &snapshot).map_err(damaged)? {
            None => return Ok(Recovered { held, rebuilt: false }),
            Some(why) => why,
        },
        Err(_) => "its records are garbled",
    };
    let volatile = machine.run(|machine| machine.is_volatile()).await.map_err(stopped)?;
    if volatile {
        tracing::info!("the state machine is filled from snapshot and log");
    } else {
        tracing::warn!(why = misfit, "the state machine is rebuilt from snapshot and log");
    }
    let purged = log.state().purged.map(id_of);
    if purged.is_some_and(|purged| snapshot.applied < Some(purged)) {
        let why = format!("{misfit}; and no sound snapshot reaches up to the log");
        return Err(StartError::Damaged(why.into()));
    }
    machine.run(|machine| machine.reset()).await.map_err(stopped)??;
    let Some(file) = newest else {
        return Ok(Recovered { held: Held::default(), rebuilt: !volatile });
    };
    let held = restore(machine, file, snapshot).await.map_err(stopped)??;
    Ok(Recovered { held, rebuilt: !volatile })
}

/// Why consensus did not start, given what its parts have left as the reason.
pub(crate) fn not_started(error: &dyn std::error::Error, cause: Option<Cause>) -> StartError {
    match cause {
        Some(cause) if cause.is::<Unreadable>() => StartError::TooNew(cause),
        _ => damaged(error.to_string()),
    }
}

/// Why a machine with these records does not fit, if it does not.
fn misfit(
    log: &dyn LogStore,
    machine: &Facts,
    snapshot: &Facts,
) -> io::Result<Option<&'static str>> {
    let state = log.state();
    let Some(applied) = machine.applied else {
        let used = state.purged.is_some() || state.committed.is_some();
        return Ok(used.then_some("it is empty, and the log is not"));
    };
    if snapshot.applied == Some(applied) {
        // Also when the log ends before: it is purged up to here once openraft starts.
        return Ok(None);
    }
    if let Some(purged) = state.purged.map(id_of) {
        if applied.index < purged.index {
            return Ok(Some("it is behind what the log still holds"));
        }
        if applied.index == purged.index {
            return Ok((applied != purged).then_some("it contains an entry that is not the log's"));
        }
    }
    let here = log.read(applied.index, applied.index.saturating_add(1), 0)?;
    Ok(match here.first() {
        None => Some("it is ahead of the log"),
        Some(record) if record.term == applied.leader_id.term => None,
        Some(_) => Some("it contains an entry that is not the log's"),
    })
}

fn id_of(at: LogPosition) -> LogId {
    log_id(Position { term: at.term, index: at.index })
}

fn stopped(error: io::Error) -> StartError {
    StartError::Machine(MachineError::new(error))
}

fn damaged(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StartError {
    StartError::Damaged(error.into())
}
