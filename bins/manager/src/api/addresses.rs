//! Where somebody is reached: signed by its owner, announced through any manager.

use super::Api;
use super::caller::Caller;
use super::error::ApiError;
use identity_store::{Account, Command};
use std::net::SocketAddr;
use telegraph_proto::account::{DeviceId, Username};
use telegraph_proto::identity::{AddressBody, SignedStatement, StatementKind};
use telegraph_proto::statement;

/// An address, and the statement that must name it.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) address: SocketAddr,
    pub(crate) statement: SignedStatement,
}

impl Api {
    /// Announces where the caller is reached from now on.
    pub(crate) async fn reconnect(
        &self,
        caller: &Caller,
        username: &Username,
        asked: Address,
    ) -> Result<(), ApiError> {
        if caller.account.username != *username {
            return Err(ApiError::Forbidden("an address is announced by its owner alone"));
        }
        self.barrier().await?;
        let caller = self.recheck(caller)?;
        self.believe_address(&caller.account, caller.device_id, &asked)?;
        let statement = asked.statement;
        let token_hash = caller.token_hash;
        self.run_quietly(&Command::ChangeAddress { statement, token_hash }).await?;
        self.presence.renew(caller.account.account_id);
        Ok(())
    }

    /// The statement must be the account's, newer than any, and name the address and the device.
    pub(super) fn believe_address(
        &self,
        account: &Account,
        device_id: DeviceId,
        asked: &Address,
    ) -> Result<(), ApiError> {
        let body: AddressBody = statement::verify(
            &asked.statement,
            &self.node.lineage_id(),
            StatementKind::Address,
            &account.public_key,
        )?;
        let named = |address: &String| address.parse() == Ok(asked.address);
        if !body.addresses.iter().any(named) {
            let said = "the statement does not name the address of the request";
            return Err(ApiError::BadStatement(said.into()));
        }
        if body.device_id != device_id.as_bytes() {
            let said = "the statement names another device than the session's";
            return Err(ApiError::BadStatement(said.into()));
        }
        if asked.statement.sequence <= account.sequence {
            return Err(ApiError::StaleSequence);
        }
        Ok(())
    }
}
