//! What an application implements to be replicated.

use std::error::Error;
use std::fmt;
use std::io::{Read, Write};

use bytes::Bytes;

use crate::position::Position;

/// A key and its value.
type KeyValue = (Vec<u8>, Vec<u8>);

/// Changes of the engine's own facts, opaque key-values that are stored beside the application's
/// state: a key and its new value, or `None` where the key is to be removed.
pub type Records = [(Vec<u8>, Option<Vec<u8>>)];

/// Gives the changes of the engine's facts that belong to a batch of entries, once it is told what
/// each entry is replied. May be called again, with the same replies.
pub type RecordsFor<'a> = &'a dyn Fn(&[Bytes]) -> Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Writes out one moment of a state, on another thread and while the state moves on. A write may
/// pause, to leave the machine to commands: it must hold nothing meanwhile that `apply` waits for.
/// Dropped unwritten when the snapshot is given up.
pub type Image = Box<dyn FnOnce(&mut dyn Write) -> Result<(), MachineError> + Send>;

/// A deterministic state machine (Raft paper §2): the same entries in the same order leave the same
/// state and give the same replies on every node, whatever its clock, locale or hash seed.
///
/// All methods may block: they run on a thread of their own, never two at a time. An error from
/// any of them stops the node for good, because a replica that failed to apply an entry must not
/// go on to the next one; what the application merely refuses is a reply, not an error.
///
/// What an implementor guarantees:
/// - after a crash at any moment, [`records`](OnDiskStateMachine::records) tells exactly which
///   entries the state contains: both change in one atomic transaction, or the state does not
///   survive a restart at all (then `records` is empty at start);
/// - the state need not survive power loss: the engine compares `records` with its log at start
///   and rebuilds the state from the last snapshot when it does not fit.
pub trait OnDiskStateMachine: Send + 'static {
    /// Learns whose history it holds: the lineage id
    /// ([`Node::lineage_id`](crate::Node::lineage_id)) that all replicas have in common. Told at
    /// each start before the first call of `apply`, `snapshot` or `restore`, and always the same;
    /// not before `records` and `reset`.
    ///
    /// For what is signed for, or written under, one cluster's name. An implementor that needs no
    /// such name leaves it as it is.
    fn belongs_to(&mut self, _lineage: [u8; 16]) -> Result<(), MachineError> {
        Ok(())
    }

    /// All records that are stored with the state; empty when fresh.
    fn records(&self) -> Result<Vec<KeyValue>, MachineError>;

    /// Applies entries in order, asks `records` what to record beside them, given their replies,
    /// and makes all of these changes in one atomic transaction; records that are not named stay.
    /// Returns one reply per entry, in order. `entries` may be empty.
    ///
    /// The replies come first because some are recorded themselves: a proposal that is retried in
    /// a session gets the reply of the first time, whichever member it reaches then.
    fn apply(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, MachineError>;

    /// Captures the whole state as it is now, without the records, to be written out while further
    /// entries are applied. Nothing is applied before this returns, so that it should be quick:
    /// copy what is small, share what is not, keep the pre-images of what changes. At most one
    /// image exists at a time. Equal states should give equal bytes, whichever node writes them.
    ///
    /// The log may be purged up to here once the image is written: from then on the state must not
    /// fall behind this moment when the process is killed.
    fn snapshot(&mut self) -> Result<Image, MachineError>;

    /// Replaces the state by an image, and all records by those that `records` sets. A crash
    /// meanwhile leaves the old state with the old records, or a state whose `records` are empty.
    /// What this build cannot read, such as an image of a newer one, is an error: image formats
    /// are the implementor's.
    fn restore(&mut self, from: &mut dyn Read, records: &Records) -> Result<(), MachineError>;

    /// Empties the state and the records.
    fn reset(&mut self) -> Result<(), MachineError>;

    /// True if nothing survives the process: then being rebuilt at every start is how it works,
    /// and neither warned of nor counted. False unless an implementor says otherwise.
    fn is_volatile(&self) -> bool {
        false
    }
}

/// One committed command, as every replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands in the log.
    pub position: Position,
    /// Log time in milliseconds since 1970: stamped by the leader with a time that a majority of
    /// the voters' clocks have reached, never running backwards, and never leaping more than an
    /// hour from one command to the next.
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
