//! The seam to randomness: what makes incarnations and the names of snapshots unlike any other.
//!
//! Not behind it: TLS, whose keys must never come from a test, openraft's election timeouts
//! (`engine/runtime.rs`), and the write-ahead log's nonces, which are the disk's (`disk.rs`).

#![cfg_attr(
    not(feature = "testing"),
    allow(unreachable_pub, reason = "public with the feature `testing`")
)]

use std::fmt;
use std::io;

/// A source of bytes nobody can guess.
pub trait RandomSource: fmt::Debug + Send + Sync + 'static {
    /// Fills `bytes`. Fails when the source is not to be had; nothing made of it is used then.
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// The system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl RandomSource for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(io::Error::other)
    }
}
