//! What applying an entry comes to, for whoever proposed it.

use std::fmt;

use bytes::Bytes;

use crate::position::Position;

/// What applying an entry came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was applied now; nothing is replied to an entry without a command.
    Applied(Bytes),
    /// Its session had applied it before, there, and this is the first reply.
    Replayed(Position, Bytes),
    /// Its session does not allow it: this entry changed nothing.
    Refused(Denial),
}

/// Why a command of a session is not applied at some place of the log. What happened to it before
/// is another matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The session is not open.
    Expired,
    /// The client has said that it needs the reply no more, or the reply was too long to keep.
    Forgotten,
    /// The table of sessions or the session's window is full.
    Crowded,
}

impl Default for Outcome {
    fn default() -> Outcome {
        Outcome::Applied(Bytes::new())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Applied(reply) => write!(f, "applied, reply of {} bytes", reply.len()),
            Outcome::Replayed(position, _) => write!(f, "applied before, at {position}"),
            Outcome::Refused(denial) => write!(f, "refused: {denial:?}"),
        }
    }
}
