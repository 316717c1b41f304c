//! How long things took.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::histogram::Histogram;

/// Something that was done many times, and the time it took.
#[derive(Debug, Default)]
pub struct Taken {
    elapsed: Duration,
    each: Histogram,
}

impl Taken {
    /// `each` of them took so long, and all together `elapsed`, which is less when some were done
    /// at the same time.
    #[must_use]
    pub fn new(elapsed: Duration, each: impl IntoIterator<Item = Duration>) -> Taken {
        let taken = Taken { elapsed, each: Histogram::default() };
        each.into_iter().for_each(|time| taken.each.record(time));
        taken
    }

    /// The time all of them took.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Adds what was done at another time.
    pub fn add(&mut self, other: Taken) {
        self.elapsed += other.elapsed;
        self.each.add(&other.each);
    }

    /// True when nothing was done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.each.count() == 0
    }

    /// How many a second; 0 when nothing was done.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.each.count() as f64 / seconds } else { 0.0 }
    }

    /// What half of them took at most, to less than one per cent; zero when nothing was done.
    #[must_use]
    pub fn p50(&self) -> Duration {
        self.each.quantile(0.5).unwrap_or_default()
    }
}

/// Has `users` act at once, each `rounds` times, one after the other. `act` is told who acts, from
/// 0.
///
/// # Panics
///
/// When `act` does.
pub async fn at_once<A, F>(users: u64, rounds: u64, act: A) -> Taken
where
    A: Fn(u64) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for user in 0..users {
        let act = act.clone();
        tasks.spawn(async move {
            let mut each = Vec::new();
            for _ in 0..rounds {
                let began = Instant::now();
                act(user).await;
                each.push(began.elapsed());
            }
            each
        });
    }
    let each = tasks.join_all().await;
    Taken::new(began.elapsed(), each.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_all_users_did_is_counted() {
        let taken = at_once(3, 4, async |_| {}).await;
        assert!(taken.per_second() > 0.0);
        assert_eq!(taken.each.count(), 12);
        assert!(taken.p50() <= taken.elapsed());
        assert!(Taken::default().is_empty());
        assert_eq!(Taken::default().p50(), Duration::ZERO);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let mut taken = Taken::new(Duration::from_secs(15), [9, 1, 5].map(Duration::from_secs));
        let p50 = |taken: &Taken| taken.p50().as_secs_f64();
        assert!((p50(&taken) / 5.0 - 1.0).abs() < 0.01, "{}", p50(&taken));
        let more = [Duration::from_secs(6), Duration::from_secs(7)];
        taken.add(Taken::new(Duration::from_secs(10), more));
        assert!((p50(&taken) / 6.0 - 1.0).abs() < 0.01, "{}", p50(&taken));
        assert!((taken.per_second() - 0.2).abs() < 1e-9);
    }
}
