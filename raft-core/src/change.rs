//! What a subscriber is told of a command.

use bytes::Bytes;

use crate::position::Position;

/// A command that was applied: whoever follows the changes without a gap is told each such command
/// once, and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where it stands in the log.
    pub position: Position,
    /// When its leader proposed it, by what a majority of the voters' clocks had reached, in
    /// milliseconds since 1970. The state machine was given this as log time, except that log time
    /// stands still where this is behind, and follows within an hour per command where it is far
    /// ahead.
    pub time_unix_ms: u64,
    /// Version of the payload's format, as the proposer declared it.
    pub version: u32,
    /// The client that proposed it within a session, and its number there. Repetitions of it, and
    /// commands that were refused, stand in the log too, but are not told. A number comes again
    /// only if its session was forgotten and opened anew meanwhile: then it is another command,
    /// which was applied.
    pub session: Option<([u8; 16], u64)>,
    /// What was proposed.
    pub payload: Bytes,
}
