//! What became of a command.

use bytes::Bytes;

use crate::position::Position;

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Where it stands in the log: where it was applied, also when that was before this call.
    pub position: Position,
    /// What the state machine replied.
    pub reply: Bytes,
    /// True when its session had applied the command before, at `position`, and `reply` is the
    /// reply of that time.
    pub replayed: bool,
}
