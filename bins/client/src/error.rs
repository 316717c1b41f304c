//! Why a client could not do what it was asked, and what that is as an exit code.

use crate::{
    account::KeepError,
    managers::error::ManagerError,
    options::OptionsError,
    password::PasswordError,
    person::Distrust,
    profile::{ProfileError, vault::VaultError},
};
use peer_messaging::{ComposeError, KeyError, MessengerError, StoreError};
use std::error::Error;
use telegraph_proto::account::AccountError;

/// Why a client could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The settings do not suffice, or contradict themselves.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The profile cannot be used, or is in use.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// There is no password to go by.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A name or id that is none.
    #[error(transparent)]
    Name(#[from] AccountError),
    /// The profile has no account yet.
    #[error("this profile has no account: `telegraph register NAME` or `telegraph login NAME`")]
    NoAccount,
    /// The profile belongs to somebody already.
    #[error("this profile is {0}'s: use another with --profile DIR")]
    ProfileTaken(String),
    /// A registration was begun and its answer was lost.
    #[error("the registration of {0} is not finished: run `telegraph register {0}` again")]
    Unconfirmed(String),
    /// The password was not given yet.
    #[error("the profile is locked: its password is needed first")]
    Locked,
    /// The profile does not open under this password.
    #[error("wrong password")]
    WrongPassword,
    /// There is no session.
    #[error("not logged in: `telegraph login`")]
    NotLoggedIn,
    /// The managers did not do it.
    #[error(transparent)]
    Managers(#[from] ManagerError),
    /// An answer that is not believed.
    #[error(transparent)]
    Distrust(#[from] Distrust),
    /// A message could not be taken.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The messenger did not start or has stopped.
    #[error(transparent)]
    Messenger(#[from] MessengerError),
    /// The message store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The account's key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The profile's sealed secrets do not open, though the password does.
    #[error("vault.json")]
    Vault(#[from] VaultError),
    /// Nothing can be printed or listened to.
    #[error("the terminal")]
    Output(#[source] std::io::Error),
    /// The process is ending.
    #[error("stopped")]
    Stopped,
}

impl From<KeepError> for ClientError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Profile(error) => Self::Profile(error),
            KeepError::Vault(error) => Self::Vault(error),
        }
    }
}

/// Exit codes, as `telegraph --help` documents them. 0 and 2 are the command line's own.
pub(crate) const ERROR: u8 = 1;
/// Wrong usage.
pub(crate) const USAGE: u8 = 2;
/// Nobody and nothing of that name.
pub(crate) const NOT_FOUND: u8 = 4;
const CONFLICT: u8 = 5;
const AUTHENTICATION: u8 = 6;
const UNAVAILABLE: u8 = 69;
/// Accepted, and not finished yet.
pub(crate) const TEMPORARY: u8 = 75;

impl ClientError {
    /// What a process that failed so exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Options(_) | Self::Name(_) | Self::NoAccount => USAGE,
            Self::Password(PasswordError::File(_)) => ERROR,
            Self::Password(_) => USAGE,
            Self::Profile(ProfileError::InUse(_))
            | Self::ProfileTaken(_)
            | Self::Unconfirmed(_) => CONFLICT,
            Self::Locked | Self::WrongPassword | Self::NotLoggedIn | Self::Distrust(_) => {
                AUTHENTICATION
            }
            Self::Managers(error) => of_managers(error),
            Self::Compose(ComposeError::UnknownUser(_)) => NOT_FOUND,
            Self::Compose(ComposeError::DirectoryUnavailable(_)) => UNAVAILABLE,
            Self::Profile(_)
            | Self::Compose(_)
            | Self::Messenger(_)
            | Self::Store(_)
            | Self::Key(_)
            | Self::Vault(_)
            | Self::Output(_)
            | Self::Stopped => ERROR,
        }
    }
}

fn of_managers(error: &ManagerError) -> u8 {
    match error {
        ManagerError::Unavailable(_) | ManagerError::TooMany { .. } => UNAVAILABLE,
        ManagerError::OutcomeUnknown => TEMPORARY,
        ManagerError::NotFound(_) => NOT_FOUND,
        ManagerError::NameTaken(_)
        | ManagerError::StaleSequence(_)
        | ManagerError::StaleCredential(_) => CONFLICT,
        ManagerError::Untrusted { .. }
        | ManagerError::WrongCluster { .. }
        | ManagerError::WrongCredentials(_)
        | ManagerError::SessionEnded(_)
        | ManagerError::Forbidden(_) => AUTHENTICATION,
        ManagerError::Refused { .. } | ManagerError::Malformed(_) => ERROR,
    }
}

/// An error with its sources, on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        // A transparent wrapper says the same twice.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes_and_none_twice() {
        let source = std::io::Error::other("disk on fire");
        let path = "x".into();
        let error = ClientError::from(ProfileError::Io { doing: "read", path, source });
        assert_eq!(chain(&error), "cannot read x: disk on fire");
    }

    #[test]
    fn what_a_script_has_to_tell_apart_has_its_own_code() {
        let managers = |error| ClientError::Managers(error).exit_code();
        assert_eq!(managers(ManagerError::Unavailable(String::new())), 69);
        assert_eq!(managers(ManagerError::NotFound(String::new())), 4);
        assert_eq!(managers(ManagerError::NameTaken(String::new())), 5);
        assert_eq!(managers(ManagerError::WrongCredentials(String::new())), 6);
        assert_eq!(managers(ManagerError::OutcomeUnknown), 75);
        assert_eq!(ClientError::from(ProfileError::InUse("x".into())).exit_code(), 5);
        assert_eq!(ClientError::NotLoggedIn.exit_code(), 6);
    }
}
