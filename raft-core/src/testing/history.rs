//! What callers saw of a cluster, and whether one that keeps its promises can have shown it.
//!
//! Every reply of this crate bears the position in the log at which it holds. That makes
//! linearizability (Herlihy and Wing 1990) cheap to check: instead of searching for an order that
//! explains all replies, take the one the log claims, and check that it does:
//!
//! - an operation that began after another had ended does not stand before it;
//! - a write that was acknowledged stands in the log once, where it was said to; one that was
//!   refused does not; one whose outcome is unknown may, once; and nothing else does;
//! - each reply is that of a model which was fed the log up to there.
//!
//! The check takes time linear in the history, save for sorting.

pub(crate) mod anomaly;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::position::Position;
use crate::testing::history::anomaly::{Anomaly, Shown};

/// The state machine as the specification has it: simple, and without a fault.
pub trait Model {
    /// Applies a command and replies.
    fn apply(&mut self, command: &[u8]) -> Bytes;

    /// Answers a question about the state.
    fn answer(&self, question: &[u8]) -> Bytes;
}

/// Operations as their callers saw them; clones share it, so that many tasks may write into it.
#[derive(Clone, Debug, Default)]
pub struct History {
    calls: Arc<Mutex<Calls>>,
}

#[derive(Debug, Default)]
struct Calls {
    now: u64,
    all: Vec<Operation>,
    commands: BTreeSet<Bytes>,
}

#[derive(Clone, Debug)]
struct Operation {
    is_write: bool,
    content: Bytes,
    began: u64,
    end: End,
}

#[derive(Clone, Debug)]
enum End {
    /// Not yet, or nobody knows.
    Unknown,
    /// It certainly did nothing.
    Refused,
    /// It took effect.
    Done { ended: u64, done: Done },
}

/// What the caller of an operation was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Where in the log it took effect: a write its own place, a read the last entry that the
    /// state it has seen contains.
    pub at: Position,
    /// The reply.
    pub reply: Bytes,
}

/// An operation under way. Dropped without a word, its outcome is unknown.
#[derive(Debug)]
#[must_use = "an operation ends"]
pub struct Call {
    history: History,
    index: usize,
}

/// What a history that was found in order consists of; a test that was to try something looks
/// whether it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Writes of unknown outcome that had taken effect.
    pub unknown_applied: u64,
    /// Writes of unknown outcome that had not.
    pub unknown_lost: u64,
    /// Writes refused.
    pub refused: u64,
    /// Reads answered.
    pub reads: u64,
}

impl History {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new() -> History {
        History::default()
    }

    /// Begins a write. Its command must be unlike any other: how else could it be counted? Panics
    /// when it is not.
    pub fn write(&self, command: Bytes) -> Call {
        let mut calls = self.lock();
        assert!(calls.commands.insert(command.clone()), "{} is written twice", Shown(command));
        drop(calls);
        self.begin(true, command)
    }

    /// Begins a read.
    pub fn read(&self, question: Bytes) -> Call {
        self.begin(false, question)
    }

    /// Checks the history against the commands that were applied, in their order, and against a
    /// fresh model. Fails with the first promise found broken. Operations still under way count as
    /// of unknown outcome.
    pub fn check(
        &self,
        log: &[(Position, Bytes)],
        model: &mut impl Model,
    ) -> Result<Summary, Anomaly> {
        let calls = self.lock();
        let places = places(log)?;
        let summary = check_writes(&calls, &places)?;
        check_order(&calls)?;
        check_replies(&calls, log, model)?;
        Ok(summary)
    }

    fn begin(&self, is_write: bool, content: Bytes) -> Call {
        let mut calls = self.lock();
        let began = calls.tick();
        calls.all.push(Operation { is_write, content, began, end: End::Unknown });
        Call { history: self.clone(), index: calls.all.len() - 1 }
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    /// It has taken effect.
    pub fn done(self, at: Position, reply: Bytes) {
        let mut calls = self.history.lock();
        let ended = calls.tick();
        calls.all[self.index].end = End::Done { ended, done: Done { at, reply } };
    }

    /// It has certainly done nothing.
    pub fn refused(self) {
        self.history.lock().all[self.index].end = End::Refused;
    }

    /// Nobody knows whether it has taken effect, or will.
    pub fn unknown(self) {}
}

impl Calls {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn done(&self) -> impl Iterator<Item = (&Operation, u64, &Done)> {
        self.all.iter().filter_map(|operation| match &operation.end {
            End::Done { ended, done } => Some((operation, *ended, done)),
            End::Unknown | End::Refused => None,
        })
    }
}

/// Where each command of the log stands.
fn places(log: &[(Position, Bytes)]) -> Result<BTreeMap<&Bytes, Position>, Anomaly> {
    let mut places = BTreeMap::new();
    let mut last: Option<Position> = None;
    for (position, command) in log {
        if let Some(before) = last.filter(|last| last.index >= position.index) {
            return Err(Anomaly::Disorder { before, after: *position });
        }
        last = Some(*position);
        if let Some(first) = places.insert(command, *position) {
            let write = Shown(command.clone());
            return Err(Anomaly::Doubled { write, first, second: *position });
        }
    }
    Ok(places)
}

/// Each write has the fate its caller was told.
fn check_writes(calls: &Calls, log: &BTreeMap<&Bytes, Position>) -> Result<Summary, Anomaly> {
    let mut summary = Summary::default();
    for operation in calls.all.iter().filter(|operation| operation.is_write) {
        let write = Shown(operation.content.clone());
        match (&operation.end, log.get(&operation.content)) {
            (End::Done { .. }, None) => return Err(Anomaly::Lost { write }),
            (End::Done { done, .. }, Some(found)) if done.at != *found => {
                return Err(Anomaly::Misplaced { write, said: done.at, found: *found });
            }
            (End::Done { .. }, Some(_)) => summary.acknowledged += 1,
            (End::Refused, Some(found)) => {
                return Err(Anomaly::RefusedAndApplied { write, found: *found });
            }
            (End::Refused, None) => summary.refused += 1,
            (End::Unknown, Some(_)) => summary.unknown_applied += 1,
            (End::Unknown, None) => summary.unknown_lost += 1,
        }
    }
    for (command, found) in log {
        if !calls.commands.contains(*command) {
            let write = Shown(Bytes::clone(command));
            return Err(Anomaly::OutOfNowhere { write, found: *found });
        }
    }
    summary.reads = calls.done().filter(|(operation, ..)| !operation.is_write).count() as u64;
    Ok(summary)
}

/// The order of the log is one in which things may have happened.
fn check_order(calls: &Calls) -> Result<(), Anomaly> {
    let mut ends: Vec<(u64, Position)> =
        calls.done().map(|(_, ended, done)| (ended, done.at)).collect();
    ends.sort_unstable_by_key(|(ended, _)| *ended);
    let mut ends = ends.into_iter().peekable();
    let mut floor = Position::default();
    let mut by_begin: Vec<_> = calls.done().collect();
    by_begin.sort_unstable_by_key(|(operation, ..)| operation.began);
    for (operation, _, done) in by_begin {
        while let Some((_, at)) = ends.next_if(|(ended, _)| *ended < operation.began) {
            if at.index > floor.index {
                floor = at;
            }
        }
        let content = Shown(operation.content.clone());
        let at = done.at;
        if operation.is_write && at.index <= floor.index {
            return Err(Anomaly::WriteBeforeItsTime { write: content, at, floor });
        }
        if !operation.is_write && at.index < floor.index {
            return Err(Anomaly::StaleRead { read: content, at, floor });
        }
    }
    Ok(())
}

/// Each reply is the model's.
fn check_replies(
    calls: &Calls,
    log: &[(Position, Bytes)],
    model: &mut impl Model,
) -> Result<(), Anomaly> {
    // A write comes before the reads that contain it.
    let mut done: Vec<_> = calls.done().collect();
    done.sort_by_key(|(operation, _, done)| (done.at.index, !operation.is_write));
    let mut rest = log.iter().peekable();
    for (operation, _, done) in done {
        let mut expected = None;
        while let Some((_, command)) = rest.next_if(|(at, _)| at.index <= done.at.index) {
            expected = Some(model.apply(command));
        }
        // The last command applied is this write: the log has it there, and nothing behind it.
        let expected = match operation.is_write {
            true => expected.unwrap_or_default(),
            false => model.answer(&operation.content),
        };
        if expected != done.reply {
            return Err(Anomaly::WrongReply {
                operation: Shown(operation.content.clone()),
                at: done.at,
                expected: Shown(expected),
                found: Shown(done.reply.clone()),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
