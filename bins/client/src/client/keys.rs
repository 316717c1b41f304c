//! Changing the password, ending the session, deleting the account.

use crate::{
    account::unix_ms,
    client::{Client, enrol::derived},
    error::ClientError,
    managers::error::ManagerError,
    password::Password,
};
use telegraph_proto::{
    identity::{DeleteBody, PasswordBody, SealedKeys, StatementKind},
    rest::{Base64, DeleteRequest, PasswordRequest, Secret},
    statement::sealed_keys_hash,
};

impl Client {
    /// Ends the session and goes offline. Account and messages stay. Fails, and changes nothing,
    /// when no manager can be told.
    pub async fn logout(&self) -> Result<(), ClientError> {
        let account = self.state().await.account()?.clone();
        if account.token()?.is_some() {
            self.managers().logout().await?;
        }
        self.go_offline().await?;
        account.set_token(self.managers(), None)?;
        Ok(())
    }

    /// Changes the password, and re-seals the account's key under the new one; every other session
    /// ends. The recovery code stays.
    ///
    /// Fails with [`ClientError::WrongPassword`] when `old` is not the password. When the answer is
    /// lost, the managers are asked what became of it.
    pub async fn change_password(&self, old: &Password, new: &Password) -> Result<(), ClientError> {
        new.check_new()?;
        let state = self.state().await;
        let account = state.account()?.clone();
        let before = derived(old, &account.username).await?;
        let after = derived(new, &account.username).await?;
        let own = self.managers().account().await?;
        account.raise_sequence(own.sequence);
        let by_password = Base64(account.key.seal_by_password(&after.seal_key)?);
        let sealed_keys = SealedKeys {
            by_password: by_password.0.clone(),
            by_recovery_code: account.sealed_by_recovery_code().0,
        };
        let body = PasswordBody {
            credential_version: own.credential_version,
            sealed_keys_hash: sealed_keys_hash(&sealed_keys).into(),
            issued_unix_ms: unix_ms(),
        };
        let request = PasswordRequest {
            old_password: Secret(before.auth.to_string()),
            new_password: Secret(after.auth.to_string()),
            sealed_by_password: by_password.clone(),
            sealed_by_recovery_code: Base64(sealed_keys.by_recovery_code),
            statement: Base64::statement(&account.sign(StatementKind::Password, &body)?),
        };
        match self.managers().change_password(&request).await {
            Ok(()) => {}
            Err(ManagerError::WrongCredentials(_)) => return Err(ClientError::WrongPassword),
            Err(error @ ManagerError::OutcomeUnknown) => {
                if self.managers().account().await?.sealed_by_password != by_password {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
        account.reseal(&after.store_key, by_password)?;
        Ok(())
    }

    /// Deletes the account for ever, and with it everything of it in this profile. The name stays
    /// taken. Fails with [`ClientError::WrongPassword`], and changes nothing.
    pub async fn delete_account(&self, password: &Password) -> Result<(), ClientError> {
        let account = self.state().await.account()?.clone();
        let derived = derived(password, &account.username).await?;
        let own = self.managers().account().await?;
        account.raise_sequence(own.sequence);
        let body = DeleteBody { username: account.username.to_string(), issued_unix_ms: unix_ms() };
        let request = DeleteRequest {
            password: Secret(derived.auth.to_string()),
            statement: Base64::statement(&account.sign(StatementKind::Delete, &body)?),
        };
        match self.managers().delete_account(&request).await {
            Ok(()) => {}
            Err(ManagerError::WrongCredentials(_)) => return Err(ClientError::WrongPassword),
            Err(error) => return Err(error.into()),
        }
        self.go_offline().await?;
        let mut state = self.state().await;
        state.account = None;
        state.settings.username = None;
        self.managers().set_token(None);
        Ok(self.profile().forget_account()?)
    }
}
