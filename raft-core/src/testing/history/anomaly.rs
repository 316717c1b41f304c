//! What a history can be found to prove.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use crate::position::Position;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Anomaly {
    /// An acknowledged write is not in the log.
    #[error("lost: {write} was acknowledged and is not in the log")]
    Lost {
        /// The write.
        write: Shown,
    },
    /// A write was applied more than once.
    #[error("doubled: {write} was applied at {first} and again at {second}")]
    Doubled {
        /// The write.
        write: Shown,
        /// Where first.
        first: Position,
        /// Where again.
        second: Position,
    },
    /// A write was acknowledged at another place than the log has it.
    #[error("misplaced: {write} was acknowledged at {said} and stands at {found}")]
    Misplaced {
        /// The write.
        write: Shown,
        /// Where it was said to be.
        said: Position,
        /// Where it is.
        found: Position,
    },
    /// A write that was refused for certain was applied.
    #[error("refused and yet applied: {write}, at {found}")]
    RefusedAndApplied {
        /// The write.
        write: Shown,
        /// Where it is.
        found: Position,
    },
    /// The log has a command that nobody proposed.
    #[error("out of nowhere: {write}, at {found}")]
    OutOfNowhere {
        /// The command.
        write: Shown,
        /// Where it is.
        found: Position,
    },
    /// The log given is not in order.
    #[error("the log goes from {before} to {after}")]
    Disorder {
        /// The position of an entry.
        before: Position,
        /// That of the next one.
        after: Position,
    },
    /// A read began after something had ended, and does not contain it.
    #[error("stale: {read} was answered at {at}, after something at {floor} had ended")]
    StaleRead {
        /// The question.
        read: Shown,
        /// Where it was answered.
        at: Position,
        /// What it should have contained.
        floor: Position,
    },
    /// A write began after something had ended, and stands before it.
    #[error("out of order: {write} stands at {at}, and began after something at {floor} had ended")]
    WriteBeforeItsTime {
        /// The write.
        write: Shown,
        /// Where it is.
        at: Position,
        /// What it should stand behind.
        floor: Position,
    },
    /// A reply is not the one the log leads to.
    #[error("wrong: {operation} at {at} was answered with {found}, the log leads to {expected}")]
    WrongReply {
        /// The command or question.
        operation: Shown,
        /// Where it took effect.
        at: Position,
        /// What the model replies.
        expected: Shown,
        /// What the caller was told.
        found: Shown,
    },
}

/// Bytes, to be read by people: as text where they are text.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown(pub Bytes);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(text) => write!(f, "{text:?}"),
            Err(_) => write!(f, "0x{}", hex::encode(&self.0)),
        }
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
