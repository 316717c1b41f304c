//! What an application implements to be replicated.

use std::error::Error;
use std::fmt;
use std::io::{Read, Write};

use bytes::Bytes;

use crate::position::Position;

/// A key and its value.
type KeyValue = (Vec<u8>, Vec<u8>);

/// The engine's own facts, as opaque key-values to be stored beside the application's state.
pub type Records = [KeyValue];

/// A deterministic state machine (Raft paper §2): the same entries in the same order leave the same
/// state and give the same replies on every node, whatever its clock, locale or hash seed.
///
/// All methods may block: they run on a thread of their own, never two at a time. An error from
/// any of them stops the node for good, because a replica that failed to apply an entry must not
/// go on to the next one; what the application merely refuses is a reply, not an error.
///
/// What an implementor guarantees:
/// - after a crash at any moment, [`records`](StateMachine::records) tells exactly which entries
///   the state contains: both change in one atomic transaction, or the state does not survive a
///   restart at all (then `records` is empty at start);
/// - the state need not survive power loss: the engine compares `records` with its log at start
///   and rebuilds the state from the last snapshot when it does not fit.
pub trait StateMachine: Send + 'static {
    /// The records stored with the state by the last `apply` or `restore`; empty when fresh.
    fn records(&self) -> Result<Vec<KeyValue>, MachineError>;

    /// Applies entries in order, and stores `records` (each replacing the value of its key) in the
    /// same atomic transaction. Returns one reply per entry, in order; `entries` may be empty.
    fn apply(&mut self, entries: &[Entry], records: &Records) -> Result<Vec<Bytes>, MachineError>;

    /// Writes a consistent image of the whole state, without the records. The image of equal
    /// states should be equal, whichever node writes it.
    fn snapshot(&mut self, to: &mut dyn Write) -> Result<(), MachineError>;

    /// Replaces the state by an image and the records by these. A crash meanwhile leaves the old
    /// state with the old records, or a state whose `records` are empty.
    fn restore(&mut self, from: &mut dyn Read, records: &Records) -> Result<(), MachineError>;

    /// Empties the state and the records.
    fn reset(&mut self) -> Result<(), MachineError>;
}

/// One committed command, as every replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands in the log.
    pub position: Position,
    /// Log time in milliseconds since 1970: stamped by the leader, never running backwards, and
    /// never leaping more than an hour from one command to the next.
    pub time_unix_ms: u64,
    /// Version of the payload's format, as the proposer declared it.
    pub version: u32,
    /// What was proposed.
    pub payload: Bytes,
}

/// Why a state machine cannot go on.
pub struct MachineError(Box<dyn Error + Send + Sync>);

impl MachineError {
    /// Wraps whatever made it impossible to go on.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> MachineError {
        MachineError(source.into())
    }
}

impl fmt::Debug for MachineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MachineError").field(&self.0).finish()
    }
}

impl fmt::Display for MachineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the state machine failed: {}", self.0)
    }
}

impl Error for MachineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.0.as_ref())
    }
}

impl From<std::io::Error> for MachineError {
    fn from(source: std::io::Error) -> MachineError {
        MachineError::new(source)
    }
}
