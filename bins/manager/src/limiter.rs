//! Slows down who guesses passwords: a token bucket per name and network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Buckets of one generation; two are kept, some 10 MB at most. Whoever has a million addresses
/// can make us forget a bucket early: the cost of a hash then still limits him.
const GENERATION: usize = 32_768;

/// How fast somebody may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginLimit {
    /// Attempts in a row before waiting begins; at least 1.
    pub burst: u32,
    /// Time in which one attempt comes back; not zero.
    pub refill: Duration,
}

impl Default for LoginLimit {
    /// Ten in a row, then one every six seconds: a person who mistypes never notices.
    fn default() -> Self {
        Self { burst: 10, refill: Duration::from_secs(6) }
    }
}

/// Who tries what: the name as it was asked for, known or not, and the network it came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    username: String,
    network: [u8; 8],
}

impl Attempt {
    /// IPv6 addresses count by their /64: a person owns all of it.
    pub(crate) fn new(username: &str, from: IpAddr) -> Self {
        let mut network = [0; 8];
        match from.to_canonical() {
            IpAddr::V4(v4) => network[..4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => network.copy_from_slice(&v6.octets()[..8]),
        }
        Self { username: username.to_owned(), network }
    }
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Attempts left, in fractions.
    left: f64,
    at: Instant,
}

/// The buckets, in memory of one manager: k managers allow k times as much.
///
/// - Neither generation holds more than `GENERATION` buckets.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: LoginLimit,
    generations: Mutex<[HashMap<Attempt, Bucket>; 2]>,
}

impl Limiter {
    pub(crate) fn new(limit: LoginLimit) -> Self {
        Self { limit, generations: Mutex::new([HashMap::new(), HashMap::new()]) }
    }

    /// Takes one attempt, or tells how long to wait for the next.
    pub(crate) fn take(&self, attempt: &Attempt, now: Instant) -> Result<(), Duration> {
        self.change(attempt, now, |bucket| {
            if bucket.left >= 1.0 {
                bucket.left -= 1.0;
                return Ok(());
            }
            Err(self.limit.refill.mul_f64((1.0 - bucket.left).clamp(0.0, 1.0)))
        })
    }

    /// Gives an attempt back: the password was right.
    pub(crate) fn give_back(&self, attempt: &Attempt, now: Instant) {
        let full = f64::from(self.limit.burst);
        self.change(attempt, now, |bucket| bucket.left = (bucket.left + 1.0).min(full));
    }

    fn change<T>(&self, attempt: &Attempt, now: Instant, with: impl FnOnce(&mut Bucket) -> T) -> T {
        let full = f64::from(self.limit.burst);
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *generations;
        let known = young.get(attempt).or_else(|| old.get(attempt)).copied();
        let mut bucket = known.unwrap_or(Bucket { left: full, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        let refill = self.limit.refill.as_secs_f64().max(f64::EPSILON);
        bucket.left = (bucket.left + passed / refill).min(full);
        bucket.at = bucket.at.max(now);
        let answer = with(&mut bucket);
        if young.len() >= GENERATION && !young.contains_key(attempt) {
            *old = std::mem::take(young);
        }
        young.insert(attempt.clone(), bucket);
        assert!(young.len() <= GENERATION, "a generation of buckets is bounded");
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: LoginLimit = LoginLimit { burst: 2, refill: Duration::from_secs(10) };

    fn attempt(name: &str, ip: &str) -> Attempt {
        Attempt::new(name, ip.parse().unwrap())
    }

    #[test]
    fn after_the_burst_one_attempt_comes_back_in_each_period() {
        let (limiter, begun) = (Limiter::new(LIMIT), Instant::now());
        let alice = attempt("alice", "192.0.2.1");
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(limiter.take(&alice, at(0)), Ok(()));
        assert_eq!(limiter.take(&alice, at(0)), Ok(()));
        assert_eq!(limiter.take(&alice, at(0)), Err(Duration::from_secs(10)));
        let wait = limiter.take(&alice, at(4)).unwrap_err();
        assert!((5.9..6.1).contains(&wait.as_secs_f64()), "{wait:?}");
        assert_eq!(limiter.take(&alice, at(11)), Ok(()));
        assert!(limiter.take(&alice, at(11)).is_err());
    }

    #[test]
    fn others_names_and_networks_are_not_slowed_down() {
        let (limiter, now) = (Limiter::new(LIMIT), Instant::now());
        for _ in 0..2 {
            limiter.take(&attempt("alice", "192.0.2.1"), now).unwrap();
        }
        assert!(limiter.take(&attempt("alice", "192.0.2.1"), now).is_err());
        assert!(limiter.take(&attempt("alice", "::ffff:192.0.2.1"), now).is_err());
        assert!(limiter.take(&attempt("alice", "192.0.2.2"), now).is_ok());
        assert!(limiter.take(&attempt("bob", "192.0.2.1"), now).is_ok());
    }

    #[test]
    fn a_right_password_costs_nothing() {
        let (limiter, now) = (Limiter::new(LIMIT), Instant::now());
        let alice = attempt("alice", "2001:db8::1");
        for _ in 0..50 {
            assert_eq!(limiter.take(&alice, now), Ok(()));
            limiter.give_back(&alice, now);
        }
        for _ in 0..2 {
            assert_eq!(limiter.take(&attempt("alice", "2001:db8::2"), now), Ok(()));
        }
        assert!(limiter.take(&alice, now).is_err(), "one /64, one bucket");
    }

    #[test]
    fn memory_is_bounded_and_the_recent_are_remembered() {
        let (limiter, now) = (Limiter::new(LIMIT), Instant::now());
        for number in 0..3 * GENERATION as u32 {
            let ip = IpAddr::from(number.to_be_bytes());
            limiter.take(&Attempt::new("alice", ip), now).unwrap();
        }
        let [young, old] = &*limiter.generations.lock().unwrap();
        assert!(young.len() <= GENERATION && old.len() <= GENERATION);
    }
}
