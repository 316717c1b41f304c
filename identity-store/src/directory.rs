//! The accounts as a batch of commands changes them: records, and the indexes that follow.

use crate::account::{Account, Holder, Tombstone};
use crate::error::StoreError;
use crate::key_values::{Changes, KeyValues};
use crate::keys::{self, Range};
use crate::lookup::{Clock, Counts, Lookup, encode_clock, encode_counts};
use crate::overlay::Overlay;
use crate::record::{encode_holder, encode_session};
use crate::session::{MAX_KEPT, Session};

/// All accounts and sessions, with changes that are not yet stored.
///
/// - A name leads to one account, for ever.
/// - Exactly those who are online are in the index of those online.
/// - Every session has a living account, and is found by its token, by its name and by its expiry.
/// - The counts are those of the records.
pub(crate) struct Directory<'a> {
    overlay: Overlay<'a>,
    /// Every expiry up to this key was swept in this batch; later sessions expire later.
    swept: Range,
}

impl<'a> Directory<'a> {
    pub(crate) fn new(base: &'a dyn KeyValues) -> Directory<'a> {
        Directory { overlay: Overlay::new(base), swept: Range::of(keys::EXPIRY) }
    }

    pub(crate) fn look(&self) -> Lookup<'_> {
        Lookup(&self.overlay)
    }

    /// Keeps what changed since the last call.
    pub(crate) fn accept(&mut self) {
        self.overlay.accept();
    }

    /// Forgets what changed since the last call of [`accept`](Directory::accept).
    pub(crate) fn discard(&mut self) {
        self.overlay.discard();
    }

    /// What was accepted.
    pub(crate) fn into_changes(self) -> Changes {
        self.overlay.into_changes()
    }

    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.overlay.put(keys::clock(), encode_clock(clock));
    }

    /// Adds an account, or replaces its record.
    pub(crate) fn put_account(&mut self, account: &Account) -> Result<(), StoreError> {
        let id = account.account_id;
        assert!(id == account.public_key.account_id(), "an account is the hash of its key");
        let mut counts = self.look().counts()?;
        let before = self.look().living(&id)?;
        if let Some(before) = &before {
            assert!(before.username == account.username, "an account keeps its name");
        } else {
            let holder = self.look().id_of(&account.username)?;
            assert!(holder.is_none(), "a name is given out once");
            self.overlay.put(keys::name(&account.username), id.as_bytes().to_vec());
            counts.accounts = counts.accounts.saturating_add(1);
        }
        let was_online = before.is_some_and(|before| before.is_online());
        if was_online != account.is_online() {
            let online = keys::online(&account.username);
            if account.is_online() {
                self.overlay.put(online, id.as_bytes().to_vec());
                counts.online = counts.online.saturating_add(1);
            } else {
                self.overlay.remove(online);
                counts.online = counts.online.saturating_sub(1);
            }
        }
        let record = encode_holder(&Holder::Living(Box::new(account.clone())));
        self.overlay.put(keys::account(&id), record);
        self.set_counts(counts);
        Ok(())
    }

    /// Forgets an account and its sessions; its name and id stay taken.
    pub(crate) fn retire(&mut self, account: &Account, at_unix_ms: u64) -> Result<(), StoreError> {
        for session in self.look().sessions_of(&account.account_id)? {
            self.remove_session(&session)?;
        }
        let mut counts = self.look().counts()?;
        counts.accounts = counts.accounts.saturating_sub(1);
        if self.look().living(&account.account_id)?.is_some_and(|kept| kept.is_online()) {
            self.overlay.remove(keys::online(&account.username));
            counts.online = counts.online.saturating_sub(1);
        }
        self.set_counts(counts);
        let tombstone = Tombstone {
            account_id: account.account_id,
            username: account.username.clone(),
            // 0 would say that it lives.
            deleted_unix_ms: at_unix_ms.max(1),
        };
        self.put_tombstone(tombstone);
        Ok(())
    }

    /// Keeps a name and an id from being taken.
    pub(crate) fn put_tombstone(&mut self, tombstone: Tombstone) {
        let id = tombstone.account_id;
        self.overlay.put(keys::name(&tombstone.username), id.as_bytes().to_vec());
        self.overlay.put(keys::account(&id), encode_holder(&Holder::Retired(tombstone)));
    }

    /// Adds a session, or replaces its record.
    pub(crate) fn put_session(&mut self, session: &Session) -> Result<(), StoreError> {
        let (id, token_hash) = (&session.account_id, &session.token_hash);
        if let Some(before) = self.look().session(token_hash)? {
            let same = (before.account_id, before.session_id, before.expires_unix_ms)
                == (*id, session.session_id, session.expires_unix_ms);
            assert!(same, "a session keeps its account, its name and its expiry");
            assert!(before.ended.is_none_or(|end| session.ended == Some(end)), "it stays ended");
        } else {
            let kept = self.look().sessions_of(id)?.len();
            assert!(kept < MAX_KEPT, "sessions of an account are bounded");
            self.overlay.put(keys::owned(id, &session.session_id), token_hash.to_vec());
            self.overlay.put(keys::expiry(session.expires_unix_ms, token_hash), Vec::new());
            let mut counts = self.look().counts()?;
            counts.sessions = counts.sessions.saturating_add(1);
            self.set_counts(counts);
        }
        self.overlay.put(keys::session(token_hash), encode_session(session));
        Ok(())
    }

    /// Forgets a session that is kept.
    pub(crate) fn remove_session(&mut self, session: &Session) -> Result<(), StoreError> {
        let token_hash = &session.token_hash;
        self.overlay.remove(keys::session(token_hash));
        self.overlay.remove(keys::owned(&session.account_id, &session.session_id));
        self.overlay.remove(keys::expiry(session.expires_unix_ms, token_hash));
        let mut counts = self.look().counts()?;
        counts.sessions = counts.sessions.saturating_sub(1);
        self.set_counts(counts);
        Ok(())
    }

    /// Forgets up to `limit` sessions whose time has come, those that expired first ahead.
    pub(crate) fn sweep(&mut self, now_unix_ms: u64, limit: usize) -> Result<(), StoreError> {
        for (key, _) in self.overlay.range(&self.swept, limit)? {
            let damaged = || StoreError::Damaged("the index of expiries");
            let (expires_unix_ms, token_hash) = keys::read_expiry(&key).ok_or_else(damaged)?;
            if expires_unix_ms > now_unix_ms {
                break;
            }
            let session = self.look().session(&token_hash)?.ok_or_else(damaged)?;
            self.remove_session(&session)?;
            self.swept = self.swept.after(&key);
        }
        Ok(())
    }

    fn set_counts(&mut self, counts: Counts) {
        self.overlay.put(keys::counts(), encode_counts(counts));
    }
}
