//! Registration, the owner's view, password change, deletion.

use super::caller::Caller;
use super::error::ApiError;
use super::{Api, unexpected};
use crate::metrics::Count;
use crate::passwords::Password;
use identity_store::{Account, Command, Reply};
use std::net::IpAddr;
use telegraph_proto::account::{AccountId, DeviceId, PublicKey, Username};
use telegraph_proto::identity::{
    DeleteBody, PasswordBody, RegisterBody, SealedKeys, SignedStatement, StatementKind,
};
use telegraph_proto::statement;

/// What somebody registers with.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) username: Username,
    pub(crate) password: Password,
    pub(crate) public_key: PublicKey,
    pub(crate) sealed_keys: SealedKeys,
    pub(crate) statement: SignedStatement,
    pub(crate) device_id: DeviceId,
}

/// What somebody changes the password with.
#[derive(Debug)]
pub(crate) struct PasswordChange {
    pub(crate) old: Password,
    pub(crate) new: Password,
    pub(crate) sealed_keys: SealedKeys,
    pub(crate) statement: SignedStatement,
}

impl Api {
    /// Registers an account. Doing it again with the same name and key is no error.
    pub(crate) async fn register(&self, asked: Registration) -> Result<AccountId, ApiError> {
        let account_id = asked.public_key.account_id();
        self.believe_registration(&asked)?;
        if self.is_registered(&asked.username, account_id)? {
            return Ok(account_id);
        }
        let password_hash = self.passwords.hash(asked.password).await?;
        let command = Command::Register {
            statement: asked.statement,
            password_hash,
            device_id: asked.device_id,
            sealed_keys: asked.sealed_keys,
        };
        match self.run(&command).await? {
            Reply::Registered { account_id, repeated } => {
                self.metrics.count(Count::Registered);
                tracing::info!(account = account_id.short(), repeated, "registered");
                Ok(account_id)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// True when this very registration was applied; fails when it cannot be any more. What is
    /// taken here is taken everywhere and for ever: neither a hash nor an entry is spent on it.
    fn is_registered(&self, username: &Username, id: AccountId) -> Result<bool, ApiError> {
        match self.reader.account_by_name(username)? {
            Some(known) if known.account_id == id => return Ok(true),
            Some(_) => return Err(ApiError::UsernameTaken),
            None => {}
        }
        if self.reader.is_retired(username)? {
            return Err(ApiError::UsernameRetired);
        }
        match self.reader.account(&id)? {
            Some(_) => Err(ApiError::KeyInUse),
            None => Ok(false),
        }
    }

    /// The statement must say what the request says.
    fn believe_registration(&self, asked: &Registration) -> Result<(), ApiError> {
        let body: RegisterBody = statement::verify(
            &asked.statement,
            &self.node.lineage_id(),
            StatementKind::Register,
            &asked.public_key,
        )?;
        let same = body.username == asked.username.as_str()
            && body.public_key == asked.public_key.as_bytes()
            && body.sealed_keys_hash == statement::sealed_keys_hash(&asked.sealed_keys);
        same.then_some(()).ok_or_else(otherwise)
    }

    /// The caller's own account, as of now.
    pub(crate) async fn own_account(&self, caller: &Caller) -> Result<Account, ApiError> {
        self.barrier().await?;
        let caller = self.recheck(caller)?;
        Ok(caller.account)
    }

    /// Changes the password; every other session of the account ends.
    pub(crate) async fn change_password(
        &self,
        caller: &Caller,
        asked: PasswordChange,
        from: IpAddr,
    ) -> Result<(), ApiError> {
        self.barrier().await?;
        let caller = self.recheck(caller)?;
        let account = &caller.account;
        let body: PasswordBody = statement::verify(
            &asked.statement,
            &self.node.lineage_id(),
            StatementKind::Password,
            &account.public_key,
        )?;
        if body.sealed_keys_hash != statement::sealed_keys_hash(&asked.sealed_keys) {
            return Err(otherwise());
        }
        if asked.statement.sequence <= account.sequence {
            return Err(ApiError::StaleSequence);
        }
        if body.credential_version != account.credential_version {
            return Err(ApiError::StaleCredential);
        }
        self.check_password(&account.username, asked.old, Some(account), from).await?;
        let password_hash = self.passwords.hash(asked.new).await?;
        let PasswordChange { statement, sealed_keys, .. } = asked;
        let token_hash = caller.token_hash;
        let command = Command::ChangePassword { statement, password_hash, token_hash, sealed_keys };
        self.run_quietly(&command).await?;
        tracing::info!(account = account.account_id.short(), "password changed");
        Ok(())
    }

    /// Deletes the caller's account.
    pub(crate) async fn delete_account(
        &self,
        caller: &Caller,
        password: Password,
        statement: SignedStatement,
        from: IpAddr,
    ) -> Result<(), ApiError> {
        self.barrier().await?;
        let caller = self.recheck(caller)?;
        let account = &caller.account;
        let body: DeleteBody = statement::verify(
            &statement,
            &self.node.lineage_id(),
            StatementKind::Delete,
            &account.public_key,
        )?;
        if body.username != account.username.as_str() {
            return Err(ApiError::BadStatement("the statement names another user".into()));
        }
        if statement.sequence <= account.sequence {
            return Err(ApiError::StaleSequence);
        }
        self.check_password(&account.username, password, Some(account), from).await?;
        self.run_quietly(&Command::DeleteAccount { statement }).await?;
        tracing::info!(account = account.account_id.short(), "account deleted");
        Ok(())
    }
}

fn otherwise() -> ApiError {
    ApiError::BadStatement("the statement says otherwise than the request".into())
}
