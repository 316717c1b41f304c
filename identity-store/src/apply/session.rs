//! Sessions: login, logout, revocation.

use crate::account::Account;
use crate::apply::address;
use crate::apply::context::Context;
use crate::apply::outcome::{Refusal, living, password_hash, refused};
use crate::command::EndWhich;
use crate::directory::Directory;
use crate::reply::{Reason, Reply};
use crate::session::{MAX_KEPT, MAX_LIVE, Session, SessionEnd};
use std::ops::RangeInclusive;
use telegraph_proto::account::{AccountId, DeviceId};
use telegraph_proto::identity::SignedStatement;

/// How long a session may live, in milliseconds: long enough to be used, and not for ever.
const LIFETIME_MS: RangeInclusive<u64> = 1_000..=400 * 24 * 60 * 60 * 1_000;

/// The parts of `Command::CreateSession`.
pub(super) struct Login {
    pub(super) account_id: AccountId,
    pub(super) credential_version: u64,
    pub(super) token_hash: [u8; 32],
    pub(super) session_id: [u8; 16],
    pub(super) device_id: DeviceId,
    pub(super) device_name: String,
    pub(super) lifetime_ms: u64,
    pub(super) address: Option<SignedStatement>,
    pub(super) password_hash: Option<String>,
}

/// Begins a session. The newest login wins: live sessions of other devices end, and are told why.
pub(super) fn create(
    context: Context<'_>,
    directory: &mut Directory<'_>,
    login: Login,
) -> Result<Reply, Refusal> {
    let now_unix_ms = context.now_unix_ms;
    if !LIFETIME_MS.contains(&login.lifetime_ms) {
        return Err(refused(Reason::Malformed, "a session lives from 1 second to 400 days"));
    }
    let mut account = living(directory, &login.account_id)?;
    if let Some(reply) = repeated(directory, &login, now_unix_ms)? {
        return Ok(reply);
    }
    if login.credential_version != account.credential_version {
        return Err(refused(Reason::StaleCredential, "the password was changed meanwhile"));
    }
    if let Some(better) = &login.password_hash {
        account.password_hash = password_hash(better)?;
    }
    match login.address {
        Some(statement) => address::accept(context, &mut account, statement, login.device_id)?,
        None => account.forget_address_of_others(login.device_id),
    }
    let ended_sessions = end_other_devices(directory, &account, login.device_id, now_unix_ms)?;
    make_room(directory, &account.account_id, now_unix_ms)?;
    let expires_unix_ms = now_unix_ms.saturating_add(login.lifetime_ms);
    account.active_device_id = Some(login.device_id);
    account.see_device(login.device_id, &login.device_name, now_unix_ms);
    account.come_online(now_unix_ms);
    directory.put_account(&account)?;
    directory.put_session(&Session {
        session_id: login.session_id,
        token_hash: login.token_hash,
        account_id: login.account_id,
        device_id: login.device_id,
        device_name: login.device_name,
        credential_version: login.credential_version,
        created_unix_ms: now_unix_ms,
        expires_unix_ms,
        ended: None,
    })?;
    Ok(Reply::SessionCreated { expires_unix_ms, ended_sessions })
}

/// The reply to a login that was applied before, as long as its session lives. Token and name are
/// random: anything else that has them is a mistake of the proposer's.
fn repeated(
    directory: &Directory<'_>,
    login: &Login,
    now_unix_ms: u64,
) -> Result<Option<Reply>, Refusal> {
    let look = directory.look();
    let by_token = look.session(&login.token_hash)?;
    let by_name = look.session_named(&login.account_id, &login.session_id)?;
    match (by_token, by_name) {
        (None, None) => Ok(None),
        (Some(known), Some(named)) if known == named && known.live(now_unix_ms) => {
            let expires_unix_ms = known.expires_unix_ms;
            Ok(Some(Reply::SessionCreated { expires_unix_ms, ended_sessions: 0 }))
        }
        _ => Err(refused(Reason::Malformed, "the session's token or name was used before")),
    }
}

fn end_other_devices(
    directory: &mut Directory<'_>,
    account: &Account,
    device_id: DeviceId,
    now_unix_ms: u64,
) -> Result<u32, Refusal> {
    let mut ended: u32 = 0;
    for mut session in directory.look().sessions_of(&account.account_id)? {
        if session.device_id != device_id && session.live(now_unix_ms) {
            session.end(SessionEnd::ReplacedByNewerLogin);
            directory.put_session(&session)?;
            ended = ended.saturating_add(1);
        }
    }
    Ok(ended)
}

/// Forgets the oldest sessions that are over until one more may be kept.
fn make_room(
    directory: &mut Directory<'_>,
    account: &AccountId,
    now_unix_ms: u64,
) -> Result<(), Refusal> {
    let sessions = directory.look().sessions_of(account)?;
    let surplus = (sessions.len() + 1).saturating_sub(MAX_KEPT);
    let (live, mut over): (Vec<_>, Vec<_>) =
        sessions.into_iter().partition(|session| session.live(now_unix_ms));
    if live.len() >= MAX_LIVE {
        return Err(refused(Reason::TooManySessions, "the account has 32 live sessions"));
    }
    over.sort_by_key(|session| (session.created_unix_ms, session.session_id));
    for session in over.iter().take(surplus) {
        directory.remove_session(session)?;
    }
    Ok(())
}

/// Ends sessions. Ending one that is over already is no error: a logout may be repeated.
pub(super) fn end(
    context: Context<'_>,
    directory: &mut Directory<'_>,
    account_id: &AccountId,
    which: EndWhich,
) -> Result<Reply, Refusal> {
    let account = living(directory, account_id)?;
    let look = directory.look();
    let unknown = || refused(Reason::UnknownSession, "the account has no such session");
    let (ending, why) = match which {
        EndWhich::Token(token_hash) => {
            let session = look.session(&token_hash)?;
            let session = session.filter(|session| session.account_id == *account_id);
            (vec![session.ok_or_else(unknown)?], SessionEnd::LoggedOut)
        }
        EndWhich::Session(session_id) => {
            let session = look.session_named(account_id, &session_id)?;
            (vec![session.ok_or_else(unknown)?], SessionEnd::Revoked)
        }
        EndWhich::AllBut(session_id) => {
            // Who is over may not end the others.
            let kept = look.session_named(account_id, &session_id)?.ok_or_else(unknown)?;
            if !kept.live(context.now_unix_ms) {
                return Err(unknown());
            }
            let mut others = look.sessions_of(account_id)?;
            others.retain(|session| session.session_id != session_id);
            (others, SessionEnd::Revoked)
        }
    };
    for mut session in ending {
        if session.live(context.now_unix_ms) {
            session.end(why);
            directory.put_session(&session)?;
        }
    }
    leave_if_last(context, directory, account)?;
    Ok(Reply::Done)
}

/// Whoever has no live session left is not there.
fn leave_if_last(
    context: Context<'_>,
    directory: &mut Directory<'_>,
    mut account: Account,
) -> Result<(), Refusal> {
    let sessions = directory.look().sessions_of(&account.account_id)?;
    let gone = !sessions.iter().any(|session| session.live(context.now_unix_ms));
    if gone && account.active_device_id.is_some() {
        account.active_device_id = None;
        account.go_offline();
        directory.put_account(&account)?;
    }
    Ok(())
}
