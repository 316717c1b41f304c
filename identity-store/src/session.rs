//! Leaf: sessions.

use telegraph_proto::account::{AccountId, DeviceId};

/// Most sessions of an account that are live at a time.
pub(crate) const MAX_LIVE: usize = 32;
/// Most sessions kept of an account, ended ones included; the oldest ended one makes room.
pub(crate) const MAX_KEPT: usize = 64;

/// A login, known by the hash of its token.
///
/// - The token itself is nowhere; nor can it be found from the hash.
/// - It lives from `created_unix_ms` until it is ended or `expires_unix_ms` of log time is reached.
/// - Once ended it stays ended, for the reason it ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Names it without opening it.
    pub session_id: [u8; 16],
    /// SHA-256 of the token.
    pub token_hash: [u8; 32],
    /// Whose it is.
    pub account_id: AccountId,
    /// Where it was begun.
    pub device_id: DeviceId,
    /// What the owner calls that device; at most 64 bytes without control characters.
    pub device_name: String,
    /// The version of the password it stands for.
    pub credential_version: u64,
    /// In log time, milliseconds since 1970.
    pub created_unix_ms: u64,
    /// In log time, milliseconds since 1970; it opens nothing from then on.
    pub expires_unix_ms: u64,
    /// Why it ended before its time; kept until it expires, so that the reason can be told.
    pub ended: Option<SessionEnd>,
}

impl Session {
    /// True when it opens something at that log time, milliseconds since 1970.
    pub fn live(&self, now_unix_ms: u64) -> bool {
        self.ended.is_none() && now_unix_ms < self.expires_unix_ms
    }

    /// Ends it; the first reason stays.
    pub(crate) fn end(&mut self, why: SessionEnd) {
        self.ended.get_or_insert(why);
    }
}

/// Why a session ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// By its own logout.
    LoggedOut,
    /// From another session.
    Revoked,
    /// By a login on another device.
    ReplacedByNewerLogin,
    /// By a new password.
    PasswordChanged,
}
