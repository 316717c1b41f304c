//! What a call yields.

use bytes::Bytes;

/// A place in the replicated log (Raft paper, section 5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Term of the leader that made the entry.
    pub term: u64,
    /// Index of the entry, from 0, without gaps.
    pub index: u64,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Where it stands in the log.
    pub position: Position,
    /// What the state machine replied.
    pub reply: Bytes,
    /// True when the session had applied this command before: this is its first reply.
    pub replayed: bool,
}
