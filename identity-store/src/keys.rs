//! Leaf: where everything is kept. The layout is a disk format: prefixes are never reused.
//!
//! | prefix | key | value |
//! |---|---|---|
//! | 00 | an engine record's key | its value; in no image and no digest |
//! | 01 | | term, index and log time of the last command, 8 bytes each, big-endian |
//! | 02 | account id | `AccountRecord` |
//! | 03 | token hash | `SessionRecord` |
//! | 10 | username | account id; deleted accounts included |
//! | 11 | username | account id, of who is online |
//! | 12 | account id, session id | token hash |
//! | 13 | expiry (8, big-endian), token hash | nothing |
//! | 14 | | number of accounts, of those online, of sessions, 8 bytes each, big-endian |
//! | 20 | | checksum over all the others, 16 bytes, big-endian |
//!
//! 01 to 03 are the state; 10 to 14 follow from it.

use telegraph_proto::account::{AccountId, Username};

pub(crate) const RECORD: u8 = 0x00;
pub(crate) const CLOCK: u8 = 0x01;
pub(crate) const ACCOUNT: u8 = 0x02;
pub(crate) const SESSION: u8 = 0x03;
pub(crate) const NAME: u8 = 0x10;
pub(crate) const ONLINE: u8 = 0x11;
pub(crate) const OWNED: u8 = 0x12;
pub(crate) const EXPIRY: u8 = 0x13;
pub(crate) const COUNTS: u8 = 0x14;
pub(crate) const CHECKSUM: u8 = 0x20;

/// Keys from one, up to and without another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
}

impl Range {
    /// All keys of a prefix.
    pub(crate) fn of(prefix: u8) -> Range {
        Range { from: vec![prefix], to: vec![prefix.saturating_add(1)] }
    }

    /// The state: what an image and a digest cover.
    pub(crate) fn state() -> Range {
        Range { from: vec![CLOCK], to: vec![NAME] }
    }

    /// Every key there can be, whatever its prefix.
    pub(crate) fn everything() -> Range {
        Range { from: Vec::new(), to: vec![0xff; 64] }
    }

    /// The sessions of an account, by their names.
    pub(crate) fn owned_by(account: &AccountId) -> Range {
        let from = join(OWNED, &[account.as_bytes()]);
        // Longer than any session's name, and not below it.
        let to = join(OWNED, &[account.as_bytes(), &[0xff; 17]]);
        Range { from, to }
    }

    /// Names of who is online, after one of them.
    pub(crate) fn online_after(username: Option<&Username>) -> Range {
        match username {
            Some(username) => Range::of(ONLINE).after(&online(username)),
            None => Range::of(ONLINE),
        }
    }

    /// Whether a key is one of them.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.from.as_slice() <= key && key < self.to.as_slice()
    }

    /// What is left of it after `key`.
    pub(crate) fn after(&self, key: &[u8]) -> Range {
        let mut from = key.to_vec();
        from.push(0);
        Range { from, to: self.to.clone() }
    }
}

pub(crate) fn record(key: &[u8]) -> Vec<u8> {
    join(RECORD, &[key])
}

pub(crate) fn clock() -> Vec<u8> {
    vec![CLOCK]
}

pub(crate) fn account(id: &AccountId) -> Vec<u8> {
    join(ACCOUNT, &[id.as_bytes()])
}

pub(crate) fn session(token_hash: &[u8; 32]) -> Vec<u8> {
    join(SESSION, &[token_hash])
}

pub(crate) fn name(username: &Username) -> Vec<u8> {
    join(NAME, &[username.as_str().as_bytes()])
}

pub(crate) fn online(username: &Username) -> Vec<u8> {
    join(ONLINE, &[username.as_str().as_bytes()])
}

pub(crate) fn owned(account: &AccountId, session_id: &[u8; 16]) -> Vec<u8> {
    join(OWNED, &[account.as_bytes(), session_id])
}

pub(crate) fn expiry(expires_unix_ms: u64, token_hash: &[u8; 32]) -> Vec<u8> {
    join(EXPIRY, &[&expires_unix_ms.to_be_bytes(), token_hash])
}

/// Expiry and token hash of a key made by [`expiry`]; `None` when it was not.
pub(crate) fn read_expiry(key: &[u8]) -> Option<(u64, [u8; 32])> {
    let (&EXPIRY, rest) = key.split_first()? else { return None };
    let (at, token_hash) = rest.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*at), token_hash.try_into().ok()?))
}

pub(crate) fn counts() -> Vec<u8> {
    vec![COUNTS]
}

pub(crate) fn checksum() -> Vec<u8> {
    vec![CHECKSUM]
}

fn join(prefix: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![prefix];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}
