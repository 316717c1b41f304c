//! Who asks: the owner of a session that is still live.

use super::Api;
use super::error::{ApiError, told};
use crate::token::TokenHash;
use identity_store::{Account, Session};
use telegraph_proto::account::DeviceId;

/// Who shows the token of a live session.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) token_hash: TokenHash,
    pub(crate) session_id: [u8; 16],
    pub(crate) device_id: DeviceId,
    pub(crate) account: Account,
}

impl Api {
    /// Who shows this token, as far as this manager knows. A token it does not know may be newer
    /// than its state: it catches up once before it refuses.
    pub(crate) async fn authenticate(&self, shown: Option<TokenHash>) -> Result<Caller, ApiError> {
        let token_hash = shown.ok_or(ApiError::Unauthenticated)?;
        if let Some(session) = self.reader.session(&token_hash)? {
            return self.caller(token_hash, &session);
        }
        self.barrier().await?;
        match self.reader.session(&token_hash)? {
            Some(session) => self.caller(token_hash, &session),
            None => Err(ApiError::Unauthenticated),
        }
    }

    /// The same caller by the state of now, which may have ended the session; behind a barrier.
    pub(super) fn recheck(&self, caller: &Caller) -> Result<Caller, ApiError> {
        let session = self.reader.session(&caller.token_hash)?;
        self.caller(caller.token_hash, &session.ok_or(ApiError::Unauthenticated)?)
    }

    fn caller(&self, token_hash: TokenHash, session: &Session) -> Result<Caller, ApiError> {
        if let Some(end) = session.ended {
            return Err(ApiError::SessionEnded(told(end)));
        }
        if !session.live(self.reader.log_time_unix_ms()) {
            return Err(ApiError::SessionEnded("it was too old"));
        }
        let account = self.reader.account(&session.account_id)?;
        let account = account.ok_or(ApiError::SessionEnded("the account was deleted"))?;
        let Session { session_id, device_id, .. } = *session;
        Ok(Caller { token_hash, session_id, device_id, account })
    }
}
