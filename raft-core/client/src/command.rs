//! What is proposed.

use bytes::Bytes;

/// A command, and the version of its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The bytes the service's state machine is given.
    pub payload: Bytes,
    /// Version a member must know to apply it; 1 unless said otherwise. One that some voter does
    /// not read yet is refused by the leader.
    pub version: u32,
}

impl<P: Into<Bytes>> From<P> for Command {
    fn from(payload: P) -> Command {
        Command { payload: payload.into(), version: 1 }
    }
}
