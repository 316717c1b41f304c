//! The rules: what a command does, and when it is refused.
//!
//! Pure: the outcome depends on the state and the entry, and on nothing else. No clock but the
//! entry's, no randomness, no hash map's order. How entries were grouped makes no difference.

mod address;
mod context;
mod delete;
mod outcome;
mod password;
mod presence;
mod register;
mod session;

use crate::apply::context::Context;
use crate::apply::outcome::Refusal;
use crate::apply::session::Login;
use crate::command::{COMMAND_VERSION, Command};
use crate::directory::Directory;
use crate::error::StoreError;
use crate::lookup::Clock;
use crate::reply::Reply;
use raft_core::Entry;

/// Expired sessions forgotten with each command: more than one command can make, so that they do
/// not pile up, and few enough to take no time.
const SWEPT_PER_COMMAND: usize = 16;

/// Applies one entry to `directory`, and accepts its changes there.
///
/// What the rules refuse changes nothing but the clock. Fails when the state cannot be read, and
/// when the entry is of a later version of this program.
pub(crate) fn apply(
    entry: &Entry,
    cluster_id: &[u8; 16],
    directory: &mut Directory<'_>,
) -> Result<Reply, StoreError> {
    if entry.version > COMMAND_VERSION {
        return Err(StoreError::NewerCommand { found: entry.version, known: COMMAND_VERSION });
    }
    directory.set_clock(Clock { position: entry.position, time_unix_ms: entry.time_unix_ms });
    directory.sweep(entry.time_unix_ms, SWEPT_PER_COMMAND)?;
    directory.accept();
    let context =
        Context { term: entry.position.term, now_unix_ms: entry.time_unix_ms, cluster_id };
    let outcome = Command::decode(&entry.payload)
        .map_err(Refusal::from)
        .and_then(|command| execute(command, context, directory));
    match outcome {
        Ok(reply) => {
            directory.accept();
            Ok(reply)
        }
        Err(Refusal::Rejected(rejection)) => {
            directory.discard();
            Ok(Reply::Rejected(rejection))
        }
        Err(Refusal::Store(error)) => Err(error),
    }
}

fn execute(
    command: Command,
    context: Context<'_>,
    directory: &mut Directory<'_>,
) -> Result<Reply, Refusal> {
    match command {
        Command::Register { statement, password_hash, device_id, sealed_keys } => {
            let hash = &password_hash;
            register::register(context, directory, statement, hash, device_id, sealed_keys)
        }
        Command::CreateSession {
            account_id,
            credential_version,
            token_hash,
            session_id,
            device_id,
            device_name,
            lifetime_ms,
            address,
            password_hash,
        } => {
            let login = Login {
                account_id,
                credential_version,
                token_hash,
                session_id,
                device_id,
                device_name,
                lifetime_ms,
                address,
                password_hash,
            };
            session::create(context, directory, login)
        }
        Command::EndSession { account_id, which } => {
            session::end(context, directory, &account_id, which)
        }
        Command::ChangeAddress { statement, token_hash } => {
            address::change(context, directory, statement, &token_hash)
        }
        Command::ChangePresence { term, transitions } => {
            presence::change(context, directory, term, &transitions)
        }
        Command::ChangePassword { statement, password_hash, token_hash, sealed_keys } => {
            let (hash, token) = (&password_hash, &token_hash);
            password::change(context, directory, &statement, hash, token, sealed_keys)
        }
        Command::DeleteAccount { statement } => delete::delete(context, directory, &statement),
    }
}

#[cfg(test)]
mod tests;
