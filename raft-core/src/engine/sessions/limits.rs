//! What bounds the table of sessions: constants of the format, because replicas that had other
//! limits would decide otherwise about the same entries.

/// What the table may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Sessions open at a time.
    pub(crate) sessions: usize,
    /// Sequences of one session from its lowest unacknowledged one on: commands it may have under
    /// way, and replies kept for it.
    pub(crate) window: u64,
    /// Replies kept in all sessions together.
    pub(crate) replies: usize,
    /// Bytes of a kept reply; of a longer one only that it was given is kept.
    pub(crate) reply_bytes: usize,
    /// Log time in milliseconds after its last command at which a session expires.
    pub(crate) lifetime_ms: u64,
    /// Log time in milliseconds after its last command at which a session gives way to a new one
    /// when there is no room.
    pub(crate) idle_ms: u64,
}

/// The limits of every table. A day, so that clocks set right by hours or a night without traffic
/// end no session in use (one wrong clock does not move log time: `engine/clocks.rs`); five
/// minutes, so that a flood of new sessions never takes those from under their clients' retries.
/// Together they bound the table to about half a gigabyte in theory, and to a few dozen megabytes
/// with replies as they usually are.
pub(crate) const LIMITS: Limits = Limits {
    sessions: 131_072,
    window: 1024,
    replies: 262_144,
    reply_bytes: 2048,
    lifetime_ms: 24 * 60 * 60 * 1000,
    idle_ms: 5 * 60 * 1000,
};
