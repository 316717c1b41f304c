//! Reading accounts and sessions, by whatever they are known.

use crate::account::{Account, Holder};
use crate::error::StoreError;
use crate::key_values::{KeyValues, Pair};
use crate::keys::{self, Range};
use crate::record::{decode_holder, decode_session};
use crate::session::{MAX_KEPT, Session};
use raft_core::Position;
use telegraph_proto::account::{AccountId, Username};

/// How far the state is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    /// The last command's.
    pub(crate) position: Position,
    /// Log time of that command, milliseconds since 1970.
    pub(crate) time_unix_ms: u64,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accounts, deleted ones not included.
    pub accounts: u64,
    /// Accounts that are online.
    pub online: u64,
    /// Sessions kept, those that ended and have not yet expired included.
    pub sessions: u64,
}

/// Reads typed records out of keys and values. Everything fails with
/// [`StoreError::View`] or [`StoreError::Damaged`], and with nothing else.
#[derive(Clone, Copy)]
pub(crate) struct Lookup<'a>(pub(crate) &'a dyn KeyValues);

impl Lookup<'_> {
    pub(crate) fn clock(&self) -> Result<Clock, StoreError> {
        let Some(bytes) = self.0.get(&keys::clock())? else { return Ok(Clock::default()) };
        decode_clock(&bytes)
    }

    pub(crate) fn counts(&self) -> Result<Counts, StoreError> {
        let Some(bytes) = self.0.get(&keys::counts())? else { return Ok(Counts::default()) };
        let [accounts, online, sessions] = three(&bytes, "the counts")?;
        Ok(Counts { accounts, online, sessions })
    }

    pub(crate) fn holder(&self, id: &AccountId) -> Result<Option<Holder>, StoreError> {
        self.0.get(&keys::account(id))?.map(|bytes| decode_holder(&bytes)).transpose()
    }

    /// An account that was not deleted.
    pub(crate) fn living(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        Ok(match self.holder(id)? {
            Some(Holder::Living(account)) => Some(*account),
            Some(Holder::Retired(_)) | None => None,
        })
    }

    /// Who has a name, or had it.
    pub(crate) fn id_of(&self, username: &Username) -> Result<Option<AccountId>, StoreError> {
        self.0.get(&keys::name(username))?.map(|bytes| account_id(&bytes)).transpose()
    }

    pub(crate) fn session(&self, token_hash: &[u8; 32]) -> Result<Option<Session>, StoreError> {
        self.0.get(&keys::session(token_hash))?.map(|bytes| decode_session(&bytes)).transpose()
    }

    /// A session of an account, by its name.
    pub(crate) fn session_named(
        &self,
        account: &AccountId,
        session_id: &[u8; 16],
    ) -> Result<Option<Session>, StoreError> {
        match self.0.get(&keys::owned(account, session_id))? {
            Some(token_hash) => self.owned_session(&token_hash).map(Some),
            None => Ok(None),
        }
    }

    /// Every session kept of an account, by name.
    pub(crate) fn sessions_of(&self, account: &AccountId) -> Result<Vec<Session>, StoreError> {
        let owned = self.0.range(&Range::owned_by(account), MAX_KEPT)?;
        owned.iter().map(|(_, token_hash)| self.owned_session(token_hash)).collect()
    }

    /// The accounts that an index of names leads to.
    pub(crate) fn indexed(&self, pairs: Vec<Pair>) -> Result<Vec<Account>, StoreError> {
        let one = |(_, id): Pair| {
            let dangling = StoreError::Damaged("a name leads to no account");
            self.living(&account_id(&id)?)?.ok_or(dangling)
        };
        pairs.into_iter().map(one).collect()
    }

    fn owned_session(&self, token_hash: &[u8]) -> Result<Session, StoreError> {
        let dangling = || StoreError::Damaged("an account's session is missing");
        let token_hash = token_hash.try_into().map_err(|_| dangling())?;
        self.session(token_hash)?.ok_or_else(dangling)
    }
}

pub(crate) fn account_id(bytes: &[u8]) -> Result<AccountId, StoreError> {
    AccountId::from_slice(bytes).map_err(|_| StoreError::Damaged("an index of accounts"))
}

pub(crate) fn encode_clock(clock: Clock) -> Vec<u8> {
    [clock.position.term, clock.position.index, clock.time_unix_ms].map(u64::to_be_bytes).concat()
}

pub(crate) fn decode_clock(bytes: &[u8]) -> Result<Clock, StoreError> {
    let [term, index, time_unix_ms] = three(bytes, "the clock")?;
    Ok(Clock { position: Position { term, index }, time_unix_ms })
}

pub(crate) fn encode_counts(counts: Counts) -> Vec<u8> {
    [counts.accounts, counts.online, counts.sessions].map(u64::to_be_bytes).concat()
}

fn three(bytes: &[u8], what: &'static str) -> Result<[u64; 3], StoreError> {
    let mut numbers = [0; 3];
    let (chunks, rest) = bytes.as_chunks::<8>();
    if chunks.len() != numbers.len() || !rest.is_empty() {
        return Err(StoreError::Damaged(what));
    }
    for (number, chunk) in numbers.iter_mut().zip(chunks) {
        *number = u64::from_be_bytes(*chunk);
    }
    Ok(numbers)
}
