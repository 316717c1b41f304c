//! Settings of the write-ahead log.

use crate::wal::error::WalError;

/// Sizes, all in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WalConfig {
    /// A segment is closed before the group that would make it longer (16 MiB; 4 KiB to 1 GiB).
    /// A smaller one gives room back sooner after a purge, a larger one makes fewer files. One
    /// group is never divided, so a segment can be longer by up to one group.
    pub(crate) segment_bytes: u64,
    /// Payloads of the log's tail kept in memory (16 MiB). Followers that keep up, and the state
    /// machine, read from here. Entries not yet durable are kept beyond the bound.
    pub(crate) cache_bytes: usize,
    /// Below this backlog of undurable bytes, `when_room` lets appenders go on (8 MiB: about the
    /// half of a segment, several times what one `fdatasync` should carry).
    pub(crate) room_bytes: usize,
    /// Above this backlog `append` blocks its caller (64 MiB): the memory bound for callers that
    /// do not await `when_room`.
    pub(crate) backlog_max_bytes: usize,
    /// Zeros written behind a group that makes its segment longer (256 KiB; 0 for none), so that
    /// the groups after it change no metadata when they are synced. So much less room on the disk
    /// fails the log earlier, and so much more is read after a crash.
    pub(crate) ahead_bytes: u64,
    /// No zeros are written ahead while groups are usually longer (6 KiB): they would serve a few
    /// groups only, and cost the disk more than they spare it.
    pub(crate) ahead_group_max_bytes: usize,
}

impl Default for WalConfig {
    fn default() -> WalConfig {
        WalConfig {
            segment_bytes: 16 << 20,
            cache_bytes: 16 << 20,
            room_bytes: 8 << 20,
            backlog_max_bytes: 64 << 20,
            ahead_bytes: 256 << 10,
            ahead_group_max_bytes: 6 << 10,
        }
    }
}

impl WalConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`WalError::Config`] names the setting that is out of them.
    pub(crate) fn validate(&self) -> Result<(), WalError> {
        let refuse = |why: &str| Err(WalError::Config(why.into()));
        if !(4 << 10..=1 << 30).contains(&self.segment_bytes) {
            return refuse("segment_bytes must be between 4 KiB and 1 GiB");
        }
        if self.room_bytes == 0 {
            return refuse("room_bytes must not be 0: no append would ever have room");
        }
        if !(self.room_bytes..=1 << 30).contains(&self.backlog_max_bytes) {
            return refuse("backlog_max_bytes must be between room_bytes and 1 GiB");
        }
        if self.ahead_bytes > 16 << 20 {
            return refuse("ahead_bytes must be at most 16 MiB");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_nonsense_is_refused() {
        WalConfig::default().validate().unwrap();
        for bad in [
            WalConfig { segment_bytes: 100, ..WalConfig::default() },
            WalConfig { segment_bytes: u64::MAX, ..WalConfig::default() },
            WalConfig { room_bytes: 0, ..WalConfig::default() },
            WalConfig { backlog_max_bytes: 1, ..WalConfig::default() },
            WalConfig { backlog_max_bytes: usize::MAX, ..WalConfig::default() },
            WalConfig { ahead_bytes: 1 << 30, ..WalConfig::default() },
        ] {
            assert!(matches!(bad.validate(), Err(WalError::Config(_))), "{bad:?}");
        }
    }
}
