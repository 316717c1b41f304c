//! What became of a call that did not succeed.

use std::error::Error;

use thiserror::Error;

/// Why a call did not succeed, by what its caller can do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The configuration cannot work; correct it.
    #[error("configuration: {0}")]
    Config(String),
    /// The credentials cannot be used; correct them.
    #[error("TLS credentials: {0}")]
    Tls(#[source] Box<dyn Error + Send + Sync>),
    /// No member was reached before the deadline. Nothing was proposed.
    #[error("no member could be reached; the last attempt: {last}")]
    Unreachable {
        /// What the last address that was tried answered, for a human.
        last: String,
    },
    /// Members were reached, but none led before the deadline. Nothing was proposed.
    #[error("no member leads the cluster")]
    NoLeader,
    /// The command is longer than an entry may be. Nothing was proposed.
    #[error("the command is too large: {detail}")]
    TooLarge {
        /// What the leader said, or what our own limit is.
        detail: String,
    },
    /// The leader is overloaded. Nothing was proposed; try again later.
    #[error("the cluster is overloaded: {detail}")]
    Overloaded {
        /// What the leader said.
        detail: String,
    },
    /// The leader refuses the command as it is. Nothing was proposed.
    #[error("the command was refused: {detail}")]
    Refused {
        /// What the leader said.
        detail: String,
    },
    /// The cluster does not know the session, or not any more; or keeps no reply of this number.
    /// Open a new one. Whether the command was applied is unknown.
    #[error("the session has expired: {detail}")]
    SessionExpired {
        /// What the leader said.
        detail: String,
    },
    /// The command left, and its reply did not come: it may be applied, or may yet be.
    #[error("the outcome is unknown: {detail}")]
    OutcomeUnknown {
        /// What was seen of it.
        detail: String,
    },
}

impl ClientError {
    /// Whether the command may have been applied, or may still be: then proposing it again may
    /// apply it twice.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        matches!(self, ClientError::OutcomeUnknown { .. } | ClientError::SessionExpired { .. })
    }
}
