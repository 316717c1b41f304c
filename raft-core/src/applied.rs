//! What became of a command.

use bytes::Bytes;

use crate::position::Position;

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Where it stands in the log.
    pub position: Position,
    /// What the state machine replied.
    pub reply: Bytes,
}
