//! Where an account is reached.

use crate::account::{Account, MAX_ADDRESSES};
use crate::apply::context::Context;
use crate::apply::outcome::{Refusal, advance, live_session, named_by, refused};
use crate::directory::Directory;
use crate::reply::{Reason, Reply};
use std::net::SocketAddr;
use telegraph_proto::account::DeviceId;
use telegraph_proto::identity::{AddressBody, SignedStatement, StatementKind};
use telegraph_proto::statement;

/// Announces an address. Who announces one is there: the account comes online.
pub(super) fn change(
    context: Context<'_>,
    directory: &mut Directory<'_>,
    statement: SignedStatement,
    token_hash: &[u8; 32],
) -> Result<Reply, Refusal> {
    let now_unix_ms = context.now_unix_ms;
    let mut account = named_by(directory, &statement)?;
    let session = live_session(directory, &account.account_id, token_hash, now_unix_ms)?;
    accept(context, &mut account, statement, session.device_id)?;
    account.come_online(now_unix_ms);
    directory.put_account(&account)?;
    Ok(Reply::Done)
}

/// Believes an address statement of that device, and takes it into the account.
pub(super) fn accept(
    context: Context<'_>,
    account: &mut Account,
    statement: SignedStatement,
    device_id: DeviceId,
) -> Result<(), Refusal> {
    let kind = StatementKind::Address;
    let body: AddressBody =
        statement::verify(&statement, context.cluster_id, kind, &account.public_key)?;
    let bad = |detail| refused(Reason::BadStatement, detail);
    if body.device_id != device_id.as_bytes() {
        return Err(bad("the address is of another device than the session's"));
    }
    if body.addresses.len() > MAX_ADDRESSES {
        return Err(bad("an account has at most 8 addresses"));
    }
    let is_address = |text: &String| text.parse::<SocketAddr>().is_ok();
    if !body.addresses.iter().all(is_address) {
        return Err(bad("an address is ip:port"));
    }
    advance(account, &statement)?;
    account.address = Some(statement);
    Ok(())
}
