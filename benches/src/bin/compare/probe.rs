//! The first answer of a cluster that was just torn.

use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// A new attempt is made so often, beside those under way: a lone attempt that waits for a dead
/// member would measure its own timeout.
const EVERY: Duration = Duration::from_millis(20);
/// An attempt is given up after this.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);
/// No answer in this time is an error of the run.
const LIMIT: Duration = Duration::from_secs(60);

/// Makes attempts until the first one succeeds, and tells how long after `since` that was. Each
/// attempt is told its number.
///
/// # Errors
///
/// If none does in a minute.
pub(crate) async fn first<A>(
    since: Instant,
    attempt: impl Fn(usize) -> A,
) -> anyhow::Result<Duration>
where
    A: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut attempts = JoinSet::new();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut last = None;
    let mut number = 0;
    while since.elapsed() < LIMIT {
        tokio::select! {
            _ = ticks.tick() => {
                attempts.spawn(timeout(ATTEMPT_LIMIT, attempt(number)));
                number += 1;
            }
            Some(ended) = attempts.join_next() => match ended? {
                Ok(Ok(())) => return Ok(since.elapsed()),
                Ok(Err(error)) => last = Some(error),
                Err(_) => {}
            }
        }
    }
    let last = last.map(|error| format!("{error:#}")).unwrap_or_default();
    Err(anyhow::anyhow!(last)).context("no answer in a minute")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_attempt_that_hangs_does_not_hold_up_the_next() {
        let started = Instant::now();
        let taken = first(started, |number| async move {
            match number {
                0 => std::future::pending().await,
                1 => anyhow::bail!("not yet"),
                _ => Ok(()),
            }
        });
        assert!(taken.await.unwrap() >= EVERY);
    }
}
