//! What may be done to accounts. A command is data: whoever proposes it has already made every
//! hash, name and random number in it.

mod wire;

use std::fmt;
use telegraph_proto::account::{AccountId, DeviceId};
use telegraph_proto::identity::{SealedKeys, SignedStatement};

/// The format of commands, as an entry declares it. A command with another meaning, or with a
/// field that older programs would have to heed, is of a later one.
pub(crate) const COMMAND_VERSION: u32 = 1;

/// Most transitions in one [`Command::ChangePresence`]; some 300 KiB.
pub const MAX_TRANSITIONS: usize = 4096;

/// Something to be done to the accounts, on every replica alike.
#[derive(Clone, PartialEq)]
pub enum Command {
    /// Makes an account; making the same one again is no error.
    Register {
        /// A `RegisterBody`, signed by the new account's key.
        statement: SignedStatement,
        /// bcrypt of the password, in modular crypt form.
        password_hash: String,
        /// The account's first device.
        device_id: DeviceId,
        /// Those whose hash the statement carries; at most 1,024 bytes each.
        sealed_keys: SealedKeys,
    },
    /// Logs in; sessions of other devices end.
    CreateSession {
        /// Whose session.
        account_id: AccountId,
        /// The version the password was checked against.
        credential_version: u64,
        /// SHA-256 of the token.
        token_hash: [u8; 32],
        /// Names the session without opening it.
        session_id: [u8; 16],
        /// Where it is begun.
        device_id: DeviceId,
        /// What the owner calls that device; at most 64 bytes without control characters.
        device_name: String,
        /// How long it lives at most, in milliseconds of log time; 1 s to 400 days.
        lifetime_ms: u64,
        /// An `AddressBody` of that device; `None`: the last one stands.
        address: Option<SignedStatement>,
        /// A hash of the same password at a higher cost; `None`: the hash stays.
        password_hash: Option<String>,
    },
    /// Ends sessions.
    EndSession {
        /// Whose.
        account_id: AccountId,
        /// Which of them.
        which: EndWhich,
    },
    /// Announces where an account is reached.
    ChangeAddress {
        /// An `AddressBody` of the session's device.
        statement: SignedStatement,
        /// The session that carries it.
        token_hash: [u8; 32],
    },
    /// Says who came and who went, as the leader of one term saw it.
    ChangePresence {
        /// That term.
        term: u64,
        /// At most [`MAX_TRANSITIONS`].
        transitions: Vec<Transition>,
    },
    /// Changes the password; all sessions but one end.
    ChangePassword {
        /// A `PasswordBody`.
        statement: SignedStatement,
        /// bcrypt of the new password, in modular crypt form.
        password_hash: String,
        /// The session that asks, and goes on.
        token_hash: [u8; 32],
        /// Those whose hash the statement carries; at most 1,024 bytes each.
        sealed_keys: SealedKeys,
    },
    /// Deletes an account; its name stays taken.
    DeleteAccount {
        /// A `DeleteBody`.
        statement: SignedStatement,
    },
}

/// Which sessions of an account end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndWhich {
    /// The one of this token hash logs out.
    Token([u8; 32]),
    /// The one of this name is revoked.
    Session([u8; 16]),
    /// All are revoked but the one of this name.
    AllBut([u8; 16]),
}

/// One account that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Whose.
    pub account_id: AccountId,
    /// True: came; false: went.
    pub online: bool,
    /// The presence version this was decided on.
    pub presence_version: u64,
    /// When it was last heard, milliseconds since 1970; 0: not known.
    pub last_seen_unix_ms: u64,
}

/// Bytes that are no command, or one with a part out of its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a command: {0}")]
pub struct MalformedCommand(pub(crate) &'static str);

impl Command {
    /// Its name, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Register { .. } => "register",
            Command::CreateSession { .. } => "create-session",
            Command::EndSession { .. } => "end-session",
            Command::ChangeAddress { .. } => "change-address",
            Command::ChangePresence { .. } => "change-presence",
            Command::ChangePassword { .. } => "change-password",
            Command::DeleteAccount { .. } => "delete-account",
        }
    }
}

/// Only the name: what is in a command is nobody's business in a log.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({})", self.name())
    }
}
