//! What an application proposes.

use bytes::Bytes;

/// The version of a command that does not say another.
const FIRST_VERSION: u32 = 1;

/// What an application proposes: bytes that its state machines understand, and the version of
/// their format. Made from bytes alone it has version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The bytes, as every state machine will see them; at most `Config::max_entry_bytes`.
    pub payload: Bytes,
    /// The least `Config::readable_version` with which a state machine reads it. The leader holds
    /// it back until every voter does. 0 counts as 1.
    pub version: u32,
}

impl Command {
    /// A command of version 1.
    pub fn new(payload: impl Into<Bytes>) -> Command {
        Command { payload: payload.into(), version: FIRST_VERSION }
    }

    /// The same in the format of another version.
    #[must_use]
    pub fn with_version(self, version: u32) -> Command {
        Command { version, ..self }
    }
}

impl From<Bytes> for Command {
    fn from(payload: Bytes) -> Command {
        Command::new(payload)
    }
}

impl From<Vec<u8>> for Command {
    fn from(payload: Vec<u8>) -> Command {
        Command::new(payload)
    }
}

impl From<&'static [u8]> for Command {
    fn from(payload: &'static [u8]) -> Command {
        Command::new(payload)
    }
}

impl From<String> for Command {
    fn from(payload: String) -> Command {
        Command::new(payload)
    }
}

impl From<&'static str> for Command {
    fn from(payload: &'static str) -> Command {
        Command::new(payload)
    }
}
