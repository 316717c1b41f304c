//! Randomness and clocks that do what a test tells them.

use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::clock::{SystemClock, WallClock};
use crate::disk::sim::random::Random;
use crate::random::RandomSource;

/// Random bytes that follow from a seed. Not for secrets.
#[derive(Debug)]
pub struct SeededRandom(Mutex<Random>);

impl SeededRandom {
    /// The bytes of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> SeededRandom {
        SeededRandom(Mutex::new(Random::new(seed)))
    }
}

impl RandomSource for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&random.number().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

/// The system's clock, set wrong by so many milliseconds.
#[derive(Debug, Default)]
pub struct ShiftedClock(AtomicI64);

impl ShiftedClock {
    /// Sets it wrong: ahead of the system's clock, or behind it when negative.
    pub fn shift_ms(&self, by: i64) {
        self.0.store(by, Ordering::Relaxed);
    }
}

impl WallClock for ShiftedClock {
    fn now_unix_ms(&self) -> u64 {
        SystemClock.now_unix_ms().saturating_add_signed(self.0.load(Ordering::Relaxed))
    }
}
