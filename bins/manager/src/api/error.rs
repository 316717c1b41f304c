//! Why an action was refused, by what the caller can do about it. Nothing here knows HTTP.

use crate::passwords::{HashError, PasswordError};
use crate::token::NoRandomness;
use identity_store::{Reason, Rejection, SessionEnd, StoreError};
use raft_core::{ProposeError, ReadError};
use std::time::Duration;
use telegraph_proto::account::AccountError;
use telegraph_proto::statement::StatementError;

/// Why an action was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// Something in the request is not of its form.
    #[error("{0}")]
    Malformed(String),
    /// A signed statement that is not believed.
    #[error("{0}")]
    BadStatement(String),
    /// The password is wrong, or there is nobody it could belong to: which is not told.
    #[error("the username or the password is wrong")]
    WrongCredentials,
    /// No session was shown, or none of ours.
    #[error("this needs the token of a session: log in first")]
    Unauthenticated,
    /// The session is over.
    #[error("the session has ended: {0}")]
    SessionEnded(&'static str),
    /// Somebody else's.
    #[error("{0}")]
    Forbidden(&'static str),
    /// Nobody has that name.
    #[error("nobody has that name here")]
    UnknownUser,
    /// Somebody has that name.
    #[error("the username is taken")]
    UsernameTaken,
    /// Somebody had it, and deleted the account: nobody will have it again.
    #[error("the username belonged to an account that was deleted; it is not given out again")]
    UsernameRetired,
    /// The key is the key of another name.
    #[error("this key belongs to another account already")]
    KeyInUse,
    /// The statement's number was used before.
    #[error("the statement's sequence number is not above the last one")]
    StaleSequence,
    /// The password was changed meanwhile.
    #[error("the password was changed meanwhile; log in with the new one")]
    StaleCredential,
    /// The account has as many sessions as it may.
    #[error("too many sessions: end one first")]
    TooManySessions,
    /// Wrong too often.
    #[error("too many attempts; the next one is free in {} s", wait.as_secs().max(1))]
    TooManyAttempts {
        /// Until the next attempt.
        wait: Duration,
    },
    /// No such thing of the caller's.
    #[error("{0}")]
    NotFound(&'static str),
    /// No leader in time; nothing was done.
    #[error("the managers have no leader just now; nothing was done, try again")]
    NoLeader,
    /// It may have been done.
    #[error("no answer in time: it may have been done, or may yet be; ask before trying again")]
    OutcomeUnknown,
    /// Too much at once; nothing was done.
    #[error("too much to do just now; nothing was done, try again")]
    Overloaded,
    /// The managers' disks are nearly full; nothing was done.
    #[error("the managers have too little room on their disks; nothing was done, try again later")]
    LowDisk,
    /// Not all managers can do that yet; nothing was done.
    #[error("the managers are being updated to a version that can do this; nothing was done")]
    Updating,
    /// A fault of ours, told in the log and not to the caller.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ApiError {
    /// Wraps a fault of ours.
    pub(crate) fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }
}

impl From<ProposeError> for ApiError {
    fn from(error: ProposeError) -> Self {
        match error {
            error if error.may_have_happened() => Self::OutcomeUnknown,
            ProposeError::Overloaded => Self::Overloaded,
            ProposeError::LowDisk => Self::LowDisk,
            ProposeError::HeldBack { .. } => Self::Updating,
            ProposeError::TooLarge { .. } => Self::Malformed(error.to_string()),
            // Not proposed: whoever leads next, or another manager, will take it.
            ProposeError::NotLeader { .. }
            | ProposeError::NoLeader
            | ProposeError::Stopped { proposed: false, .. } => Self::NoLeader,
            // Managers propose in no session, and what may have happened was said above.
            ProposeError::SessionExpired { .. }
            | ProposeError::ReplyForgotten
            | ProposeError::Timeout
            | ProposeError::Stopped { proposed: true, .. } => Self::internal(error),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(_: ReadError) -> Self {
        // A read that was not confirmed has no outcome to be unknown.
        Self::NoLeader
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::internal(error)
    }
}

impl From<StatementError> for ApiError {
    fn from(error: StatementError) -> Self {
        Self::BadStatement(error.to_string())
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<HashError> for ApiError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Overloaded => Self::Overloaded,
            HashError::Bcrypt(_) | HashError::Thread => Self::internal(error),
        }
    }
}

impl From<NoRandomness> for ApiError {
    fn from(error: NoRandomness) -> Self {
        Self::internal(error)
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        match rejection.reason {
            Reason::UsernameTaken => Self::UsernameTaken,
            Reason::UsernameRetired => Self::UsernameRetired,
            Reason::KeyInUse => Self::KeyInUse,
            Reason::UnknownAccount => Self::UnknownUser,
            Reason::StaleCredential => Self::StaleCredential,
            Reason::UnknownSession => Self::Unauthenticated,
            Reason::StaleSequence => Self::StaleSequence,
            Reason::BadStatement => Self::BadStatement(rejection.detail),
            Reason::TooManySessions => Self::TooManySessions,
            Reason::Malformed => Self::Malformed(rejection.detail),
            Reason::StaleTerm => Self::NoLeader,
        }
    }
}

/// What the person is told about a session that is over.
pub(crate) fn told(end: SessionEnd) -> &'static str {
    match end {
        SessionEnd::LoggedOut => "you logged out",
        SessionEnd::Revoked => "it was revoked from another session",
        SessionEnd::ReplacedByNewerLogin => "it was replaced by a newer login on another device",
        SessionEnd::PasswordChanged => "the password was changed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::StopReason;

    fn kind(error: ProposeError) -> String {
        format!("{:?}", ApiError::from(error))
    }

    #[test]
    fn what_was_not_proposed_says_so_and_why_and_what_may_have_been_does_not() {
        assert_eq!(kind(ProposeError::LowDisk), "LowDisk");
        assert_eq!(kind(ProposeError::Overloaded), "Overloaded");
        assert_eq!(kind(ProposeError::HeldBack { version: 2, by: vec![3] }), "Updating");
        assert_eq!(kind(ProposeError::NoLeader), "NoLeader");
        assert_eq!(kind(ProposeError::NotLeader { leader: None }), "NoLeader");
        let stopped = |proposed| ProposeError::Stopped { reason: StopReason::Shutdown, proposed };
        assert_eq!(kind(stopped(false)), "NoLeader");
        assert_eq!(kind(stopped(true)), "OutcomeUnknown");
        assert_eq!(kind(ProposeError::Timeout), "OutcomeUnknown");
        assert_eq!(kind(ProposeError::ReplyForgotten), "OutcomeUnknown");
    }
}
