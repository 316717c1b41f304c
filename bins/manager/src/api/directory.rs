//! Looking people up: from this manager's own state, which may be a moment old.

use super::Api;
use super::caller::Caller;
use super::error::ApiError;
use identity_store::Account;
use telegraph_proto::account::{AccountId, Username};

/// Most people on a page, and most that one heartbeat waits for.
pub(crate) const MAX_PEOPLE: usize = 100;

impl Api {
    /// Who has a name.
    pub(crate) fn look_up(&self, username: &Username) -> Result<Account, ApiError> {
        self.reader.account_by_name(username)?.ok_or(ApiError::UnknownUser)
    }

    /// Who has an account id.
    pub(crate) fn look_up_id(&self, account_id: &AccountId) -> Result<Account, ApiError> {
        self.reader.account(account_id)?.ok_or(ApiError::UnknownUser)
    }

    /// A page of who is online, by name, and whether there are more.
    pub(crate) fn online(
        &self,
        after: Option<&Username>,
        limit: usize,
    ) -> Result<(Vec<Account>, bool), ApiError> {
        assert!((1..=MAX_PEOPLE).contains(&limit), "the edge bounds the page");
        let mut page = self.reader.online(after, limit + 1)?;
        let more = page.len() > limit;
        page.truncate(limit);
        Ok((page, more))
    }

    /// Renews the caller's lease; returns those of `watch` that exist.
    pub(crate) fn heartbeat(
        &self,
        caller: &Caller,
        username: &Username,
        watch: &[Username],
    ) -> Result<Vec<Account>, ApiError> {
        if caller.account.username != *username {
            return Err(ApiError::Forbidden("a lease is renewed by its owner alone"));
        }
        self.presence.renew(caller.account.account_id);
        let found = watch.iter().filter_map(|name| self.reader.account_by_name(name).transpose());
        Ok(found.collect::<Result<_, _>>()?)
    }
}
