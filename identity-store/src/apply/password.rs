//! A new password.

use crate::apply::context::Context;
use crate::apply::outcome::{
    Refusal, advance, live_session, named_by, password_hash, refused, signed_for,
};
use crate::directory::Directory;
use crate::reply::{Reason, Reply};
use crate::session::SessionEnd;
use telegraph_proto::identity::{PasswordBody, SealedKeys, SignedStatement, StatementKind};
use telegraph_proto::statement;

/// Replaces the password and the keys sealed under it. Every session but the one that asks ends.
pub(super) fn change(
    context: Context<'_>,
    directory: &mut Directory<'_>,
    statement: &SignedStatement,
    hash: &str,
    token_hash: &[u8; 32],
    sealed_keys: SealedKeys,
) -> Result<Reply, Refusal> {
    let now_unix_ms = context.now_unix_ms;
    let password_hash = password_hash(hash)?;
    let mut account = named_by(directory, statement)?;
    let account_id = account.account_id;
    let mut asking = live_session(directory, &account_id, token_hash, now_unix_ms)?;
    let kind = StatementKind::Password;
    let body: PasswordBody =
        statement::verify(statement, context.cluster_id, kind, &account.public_key)?;
    signed_for(&body.sealed_keys_hash, &sealed_keys)?;
    advance(&mut account, statement)?;
    if body.credential_version != account.credential_version {
        return Err(refused(Reason::StaleCredential, "the password was changed meanwhile"));
    }
    account.password_hash = password_hash;
    account.sealed_keys = sealed_keys;
    account.credential_version = account.credential_version.saturating_add(1);
    directory.put_account(&account)?;
    for mut session in directory.look().sessions_of(&account_id)? {
        if session.session_id != asking.session_id && session.live(now_unix_ms) {
            session.end(SessionEnd::PasswordChanged);
            directory.put_session(&session)?;
        }
    }
    asking.credential_version = account.credential_version;
    directory.put_session(&asking)?;
    Ok(Reply::Done)
}
