//! Sessions: begun with a password, shown as a token, over at once when they end.

use super::addresses::Address;
use super::caller::Caller;
use super::error::ApiError;
use super::{Api, unexpected};
use crate::metrics::Count;
use crate::passwords::Password;
use crate::token;
use identity_store::{Account, Command, EndWhich, Reply, Session};
use std::net::IpAddr;
use telegraph_proto::account::{DeviceId, Username};
use telegraph_proto::rest::Secret;

/// What somebody logs in with.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) username: Username,
    pub(crate) password: Password,
    pub(crate) device_id: DeviceId,
    pub(crate) device_name: String,
    pub(crate) address: Option<Address>,
    pub(crate) from: IpAddr,
}

/// A session that began.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) token: Secret,
    pub(crate) session_id: [u8; 16],
    pub(crate) expires_unix_ms: u64,
    pub(crate) account: Account,
}

impl Api {
    /// Begins a session.
    pub(crate) async fn login(&self, asked: Login) -> Result<Begun, ApiError> {
        self.barrier().await?;
        let account = self.reader.account_by_name(&asked.username)?;
        let better = self
            .check_password(&asked.username, asked.password, account.as_ref(), asked.from)
            .await?;
        let account = account.ok_or(ApiError::WrongCredentials)?;
        if let Some(address) = &asked.address {
            self.believe_address(&account, asked.device_id, address)?;
        }
        let (token, token_hash) = token::generate()?;
        let session_id = token::random_id()?;
        let lifetime = self.session_lifetime.as_millis();
        let command = Command::CreateSession {
            account_id: account.account_id,
            credential_version: account.credential_version,
            token_hash,
            session_id,
            device_id: asked.device_id,
            device_name: asked.device_name,
            lifetime_ms: u64::try_from(lifetime).unwrap_or(u64::MAX),
            address: asked.address.map(|address| address.statement),
            password_hash: better,
        };
        let reply = match self.run(&command).await {
            Err(ApiError::TooManySessions) => {
                // Whoever never logs out must not be locked out by it.
                self.end_oldest(&account).await?;
                self.run(&command).await?
            }
            reply => reply?,
        };
        let (expires_unix_ms, ended_sessions) = match reply {
            Reply::SessionCreated { expires_unix_ms, ended_sessions } => {
                (expires_unix_ms, ended_sessions)
            }
            other => return Err(unexpected(&other)),
        };
        self.presence.renew(account.account_id);
        self.metrics.count(Count::LoginRight);
        let id = account.account_id.short();
        tracing::info!(account = id, ended_sessions, "logged in");
        // With the sequence number that the session's own address statement has moved.
        self.barrier().await.map_err(|_| ApiError::OutcomeUnknown)?;
        let account = self.look_up_id(&account.account_id)?;
        Ok(Begun { token, session_id, expires_unix_ms, account })
    }

    /// Ends the caller's session.
    pub(crate) async fn logout(&self, caller: &Caller) -> Result<(), ApiError> {
        let which = EndWhich::Token(caller.token_hash);
        self.end(caller, which).await?;
        tracing::info!(account = caller.account.account_id.short(), "logged out");
        Ok(())
    }

    /// The caller's live sessions, the oldest first.
    pub(crate) async fn sessions(&self, caller: &Caller) -> Result<Vec<Session>, ApiError> {
        self.barrier().await?;
        let caller = self.recheck(caller)?;
        let log_time = self.reader.log_time_unix_ms();
        let mut sessions = self.reader.sessions_of(&caller.account.account_id)?;
        sessions.retain(|session| session.live(log_time));
        sessions.sort_by_key(|session| (session.created_unix_ms, session.session_id));
        Ok(sessions)
    }

    /// Ends one of the caller's sessions.
    pub(crate) async fn revoke(
        &self,
        caller: &Caller,
        session_id: [u8; 16],
    ) -> Result<(), ApiError> {
        let live = self.sessions(caller).await?;
        if !live.iter().any(|session| session.session_id == session_id) {
            return Err(ApiError::NotFound("you have no live session of that name"));
        }
        self.end(caller, EndWhich::Session(session_id)).await
    }

    /// Ends all of the caller's sessions but the one that asks.
    pub(crate) async fn revoke_others(&self, caller: &Caller) -> Result<(), ApiError> {
        self.barrier().await?;
        let caller = self.recheck(caller)?;
        self.end(&caller, EndWhich::AllBut(caller.session_id)).await
    }

    /// Ends the oldest live session of an account, to make room for a newer one.
    async fn end_oldest(&self, account: &Account) -> Result<(), ApiError> {
        self.barrier().await?;
        let (account_id, log_time) = (account.account_id, self.reader.log_time_unix_ms());
        let sessions = self.reader.sessions_of(&account_id)?;
        let live = sessions.iter().filter(|session| session.live(log_time));
        let oldest = live.min_by_key(|session| (session.created_unix_ms, session.session_id));
        // Another login was quicker: there is room.
        let Some(oldest) = oldest else { return Ok(()) };
        let which = EndWhich::Session(oldest.session_id);
        self.run_quietly(&Command::EndSession { account_id, which }).await
    }

    async fn end(&self, caller: &Caller, which: EndWhich) -> Result<(), ApiError> {
        let account_id = caller.account.account_id;
        self.run_quietly(&Command::EndSession { account_id, which }).await
    }
}
