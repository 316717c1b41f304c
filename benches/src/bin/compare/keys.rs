//! The keys and values that both systems are given.

use bytes::Bytes;
use raft_core::testing::Random;

/// Bytes of a value: those of a small record.
pub(crate) const VALUE_BYTES: usize = 256;
/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 16;

/// Bytes that values are cut from: random, for disks and systems that compress.
const POOL_BYTES: usize = 1 << 20;

/// Where keys and values come from: the same for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pool: Bytes,
    count: u64,
    seed: u64,
}

/// One caller's own sequence.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    keys: Keys,
    random: Random,
}

impl Keys {
    /// `count` keys; at least one.
    pub(crate) fn new(count: u64, seed: u64) -> Keys {
        let mut random = Random::new(seed);
        let words = (0..POOL_BYTES / 8).flat_map(|_| random.number().to_le_bytes());
        Keys { pool: words.collect::<Vec<u8>>().into(), count: count.max(1), seed }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The sequence of one caller in one measurement.
    pub(crate) fn draw(&self, measurement: u64, caller: u32) -> Draw {
        let mut random = Random::new(self.seed ^ measurement << 32 ^ u64::from(caller));
        random.number();
        Draw { keys: self.clone(), random }
    }
}

impl Draw {
    /// A number below `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // As even as it has to be: bounds are small beside 2^64.
        self.random.below(bound)
    }

    /// Any of the keys, each as likely.
    pub(crate) fn key(&mut self) -> String {
        let number = self.below(self.keys.count);
        key(number)
    }

    pub(crate) fn value(&mut self) -> Bytes {
        let from = self.below((POOL_BYTES - VALUE_BYTES) as u64) as usize;
        self.keys.pool.slice(from..from + VALUE_BYTES)
    }
}

/// The key with a number.
pub(crate) fn key(number: u64) -> String {
    format!("key-{number:0width$}", width = KEY_BYTES - 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_and_another_caller_something_else() {
        let keys = Keys::new(1000, 7);
        let first = |seed, caller| {
            let mut draw = Keys::new(1000, seed).draw(1, caller);
            (draw.key(), draw.value())
        };
        assert_eq!(first(7, 0), first(7, 0));
        assert_ne!(first(7, 0), first(7, 1));
        assert_ne!(first(7, 0), first(8, 0));
        let mut draw = keys.draw(0, 0);
        for _ in 0..1000 {
            assert!(draw.key() < key(1000) && draw.value().len() == VALUE_BYTES);
        }
        assert_eq!(key(1000).len(), KEY_BYTES);
    }
}
