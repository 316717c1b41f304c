//! How a command ends early, and the checks that several of them share.

use crate::account::Account;
use crate::command::MalformedCommand;
use crate::directory::Directory;
use crate::error::StoreError;
use crate::password_hash::PasswordHash;
use crate::record::are_sealed_keys;
use crate::reply::{Reason, Rejection};
use crate::session::Session;
use telegraph_proto::account::AccountId;
use telegraph_proto::identity::{SealedKeys, SignedStatement};
use telegraph_proto::statement::{StatementError, sealed_keys_hash};

/// A command that was not done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// By the rules: a reply.
    Rejected(Rejection),
    /// Because the state cannot be read: the end of this replica.
    Store(StoreError),
}

/// Refused for this reason.
pub(super) fn refused(reason: Reason, detail: &str) -> Refusal {
    Refusal::Rejected(Rejection::new(reason, detail))
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::Store(error)
    }
}

impl From<MalformedCommand> for Refusal {
    fn from(error: MalformedCommand) -> Refusal {
        Refusal::Rejected(error.into())
    }
}

impl From<StatementError> for Refusal {
    fn from(error: StatementError) -> Refusal {
        Refusal::Rejected(Rejection::new(Reason::BadStatement, error.to_string()))
    }
}

/// The living account of an id.
pub(super) fn living(directory: &Directory<'_>, id: &AccountId) -> Result<Account, Refusal> {
    let account = directory.look().living(id)?;
    account.ok_or_else(|| refused(Reason::UnknownAccount, "there is no such account"))
}

/// The living account that a statement says it is of; whether it is, its signature tells.
pub(super) fn named_by(
    directory: &Directory<'_>,
    statement: &SignedStatement,
) -> Result<Account, Refusal> {
    let id = AccountId::from_slice(&statement.account_id)
        .map_err(|_| refused(Reason::BadStatement, "an account id has 32 bytes"))?;
    living(directory, &id)
}

/// The live session of a token, if it is of that account.
pub(super) fn live_session(
    directory: &Directory<'_>,
    account: &AccountId,
    token_hash: &[u8; 32],
    now_unix_ms: u64,
) -> Result<Session, Refusal> {
    let session = directory.look().session(token_hash)?;
    let session = session.filter(|session| session.account_id == *account);
    let session = session.filter(|session| session.live(now_unix_ms));
    session.ok_or_else(|| refused(Reason::UnknownSession, "there is no such live session"))
}

/// Takes a believed statement's sequence into the account, if it is above the last.
pub(super) fn advance(account: &mut Account, statement: &SignedStatement) -> Result<(), Refusal> {
    if statement.sequence <= account.sequence {
        return Err(stale_sequence());
    }
    account.sequence = statement.sequence;
    Ok(())
}

pub(super) fn stale_sequence() -> Refusal {
    refused(Reason::StaleSequence, "the statement's sequence is not above the last one")
}

/// Takes sealed keys that came beside a believed statement, which names them by `signed_hash`.
pub(super) fn signed_for(signed_hash: &[u8], keys: &SealedKeys) -> Result<(), Refusal> {
    if !are_sealed_keys(keys) {
        return Err(refused(Reason::BadStatement, "a sealed key has at most 1,024 bytes"));
    }
    if signed_hash != sealed_keys_hash(keys) {
        return Err(refused(
            Reason::BadStatement,
            "the sealed keys are not those that were signed",
        ));
    }
    Ok(())
}

/// A hash of the one kind that is kept.
pub(super) fn password_hash(text: &str) -> Result<PasswordHash, Refusal> {
    PasswordHash::parse(text)
        .ok_or_else(|| refused(Reason::Malformed, "the password's hash is not bcrypt's"))
}
