//! The seam to the wall clock.
//!
//! Monotonic time is no part of it: timeouts, pauses and ages are tokio's throughout the crate, so
//! that they follow a runtime whose time is paused or simulated.

#![cfg_attr(
    not(feature = "testing"),
    allow(unreachable_pub, reason = "public with the feature `testing`")
)]

use std::fmt;
use std::time::SystemTime;

/// Tells the time of day. It may run backwards and leap: only commands are stamped with it, and
/// log time takes the maximum.
pub trait WallClock: fmt::Debug + Send + Sync + 'static {
    /// Milliseconds since 1970; 0 before.
    fn now_unix_ms(&self) -> u64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn now_unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
