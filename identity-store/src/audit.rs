//! Whether a view can be believed: every record read, every index compared.

use crate::account::Holder;
use crate::error::StoreError;
use crate::key_values::{KeyValues, for_each};
use crate::keys::{self, Range};
use crate::lookup::{Counts, Lookup, decode_clock};
use crate::record::{decode_holder, decode_session};

/// What was found of each kind.
#[derive(Default)]
struct Found {
    counts: Counts,
    holders: u64,
    names: u64,
    online: u64,
    owned: u64,
    expiries: u64,
}

/// Reads a whole state, which takes a second for some hundred thousand records. Fails with
/// [`StoreError::View`] when it cannot be read, with [`StoreError::Damaged`] when a record is not
/// one or an invariant of `Directory` does not hold.
///
/// Nobody notices damage in records that are seldom read until it has spread: a view is therefore
/// read once before it is used.
pub(crate) fn audit(state: &dyn KeyValues) -> Result<(), StoreError> {
    let mut found = Found::default();
    for_each(state, &Range::everything(), |key, value| {
        match key.first() {
            Some(&keys::CLOCK) => decode_clock(value).map(drop)?,
            Some(&keys::ACCOUNT) => found.holder(state, key, value)?,
            Some(&keys::SESSION) => found.session(state, key, value)?,
            Some(&keys::NAME) => found.names += 1,
            Some(&keys::ONLINE) => found.online += 1,
            Some(&keys::OWNED) => found.owned += 1,
            Some(&keys::EXPIRY) => found.expiries += 1,
            Some(&(keys::RECORD | keys::COUNTS | keys::CHECKSUM)) => {}
            _ => return Err(StoreError::Damaged("a key of no known kind")),
        }
        Ok(())
    })?;
    let counts = found.counts;
    let indexes = [
        (found.names, found.holders, "names without accounts"),
        (found.online, counts.online, "somebody is online by the index alone"),
        (found.owned, counts.sessions, "an account's index of sessions"),
        (found.expiries, counts.sessions, "the index of expiries"),
    ];
    if let Some((_, _, what)) = indexes.iter().find(|(entries, records, _)| entries != records) {
        return Err(StoreError::Damaged(what));
    }
    hold(Lookup(state).counts()? == counts, "the counts")
}

impl Found {
    fn holder(
        &mut self,
        state: &dyn KeyValues,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StoreError> {
        let holder = decode_holder(value)?;
        let (id, username) = match &holder {
            Holder::Living(account) => (account.account_id, &account.username),
            Holder::Retired(tombstone) => (tombstone.account_id, &tombstone.username),
        };
        hold(key == keys::account(&id), "an account is not where it belongs")?;
        let indexed = Lookup(state).id_of(username)?;
        hold(indexed == Some(id), "a name does not lead to its account")?;
        self.holders += 1;
        if let Holder::Living(account) = &holder {
            self.counts.accounts += 1;
            if account.is_online() {
                self.counts.online += 1;
                let indexed = state.get(&keys::online(username))?;
                let indexed = indexed.is_some_and(|value| value == id.as_bytes());
                hold(indexed, "somebody online is not in the index")?;
            }
        }
        Ok(())
    }

    fn session(
        &mut self,
        state: &dyn KeyValues,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StoreError> {
        let session = decode_session(value)?;
        let (id, token_hash) = (&session.account_id, &session.token_hash);
        hold(key == keys::session(token_hash), "a session is not where it belongs")?;
        let account = Lookup(state).living(id)?;
        let account = account.ok_or(StoreError::Damaged("a session is of no account"))?;
        let named = Lookup(state).session_named(id, &session.session_id)?;
        hold(named.as_ref() == Some(&session), "a session is not its account's")?;
        let expiry = keys::expiry(session.expires_unix_ms, token_hash);
        hold(state.get(&expiry)?.is_some(), "a session without its expiry")?;
        let now_unix_ms = Lookup(state).clock()?.time_unix_ms;
        let active = account.active_device_id == Some(session.device_id);
        hold(active || !session.live(now_unix_ms), "a live session of an inactive device")?;
        self.counts.sessions += 1;
        Ok(())
    }
}

fn hold(holds: bool, what: &'static str) -> Result<(), StoreError> {
    if holds { Ok(()) } else { Err(StoreError::Damaged(what)) }
}
