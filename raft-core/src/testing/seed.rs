//! The one number from which a run follows.

use crate::random::{RandomSource as _, SystemRandom};

/// The variable that holds the seed of a run to be repeated.
const SEED_VARIABLE: &str = "RAFT_TEST_SEED";

/// The seed of this run: the one in `RAFT_TEST_SEED`, or a random one.
pub(crate) fn chosen_seed() -> u64 {
    let given = std::env::var(SEED_VARIABLE).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        let mut bytes = [0; 8];
        // Without randomness any number serves.
        let _ = SystemRandom.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    })
}

/// A test's output is shown when it fails: then the seed is wanted.
#[allow(clippy::print_stderr, reason = "the test harness keeps it until the test fails")]
pub(crate) fn print_seed(seed: u64) {
    eprintln!("to repeat this run: {SEED_VARIABLE}={seed}");
}
