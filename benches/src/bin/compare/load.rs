//! The load generator: callers that each wait for a reply before they ask again.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use telegraph_benches::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::client::Client;
use crate::disk;
use crate::keys::{Draw, Keys, key};
use crate::usage::{Usage, forget_peak};

/// Callers that fill a cluster: as many as make either system fast.
const FILLERS: u64 = 512;

/// What the callers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    Writes,
    Reads,
    /// Nine reads to a write.
    Mixed,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) mix: Mix,
    pub(crate) clients: u32,
    /// Load before what is measured.
    pub(crate) warming: Duration,
    pub(crate) window: Duration,
    /// Gives its callers other keys than those of another measurement.
    pub(crate) number: u64,
}

/// What came out of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Measured {
    pub(crate) operations: u64,
    pub(crate) writes: u64,
    /// Writes of the warming and of the end too.
    pub(crate) all_writes: u64,
    /// Of those that ended in the window too.
    pub(crate) failures: u64,
    pub(crate) first_failure: Option<String>,
    pub(crate) ops_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
    /// Processor seconds of the members.
    pub(crate) cpu_s: f64,
    /// Processor seconds of this process.
    pub(crate) generator_cpu_s: f64,
    /// The most memory of each member, together.
    pub(crate) peak_bytes: u64,
    /// What the disks were given for each byte of key and value, warming included; none without
    /// writes.
    pub(crate) disk_bytes_per_user_byte: Option<f64>,
}

/// What the callers of one measurement share.
#[derive(Debug)]
struct Tally {
    histogram: Histogram,
    writes: AtomicU64,
    /// In the window or not.
    all_writes: AtomicU64,
    failures: AtomicU64,
    first_failure: OnceLock<String>,
    from: Instant,
    until: Instant,
}

/// Puts a cluster under load, and measures it.
///
/// # Errors
///
/// If nothing succeeded, or the members cannot be looked at.
pub(crate) async fn run(
    client: &Client,
    keys: &Keys,
    load: &Load,
    processes: &[u32],
) -> anyhow::Result<Measured> {
    let disk_before = disk::written_bytes()?;
    let from = Instant::now() + load.warming;
    let until = from + load.window;
    let tally = Arc::new(Tally::new(from, until));
    let mut callers = JoinSet::new();
    for caller in 0..load.clients {
        let draw = keys.draw(load.number, caller);
        let (client, tally) = (client.clone(), Arc::clone(&tally));
        callers.spawn(call(client, draw, load.mix, caller as usize, tally));
    }
    sleep_until(from).await;
    forget_peak(processes)?;
    let this = [std::process::id()];
    let (before, own_before) = (Usage::of(processes)?, Usage::of(&this)?);
    sleep_until(until).await;
    let (after, own_after) = (Usage::of(processes)?, Usage::of(&this)?);
    while let Some(ended) = callers.join_next().await {
        ended?;
    }
    let mut measured = tally.measured()?;
    measured.cpu_s = after.cpu_s - before.cpu_s;
    measured.generator_cpu_s = own_after.cpu_s - own_before.cpu_s;
    measured.peak_bytes = after.peak_bytes;
    measured.all_writes = tally.all_writes.load(Relaxed);
    let user_bytes = measured.all_writes as f64 * client.bytes_a_write() as f64;
    measured.disk_bytes_per_user_byte = disk_before
        .zip(disk::written_bytes()?)
        .filter(|_| user_bytes > 0.0)
        .map(|(before, after)| after.saturating_sub(before) as f64 / user_bytes);
    Ok(measured)
}

async fn call(client: Client, mut draw: Draw, mix: Mix, turn: usize, tally: Arc<Tally>) {
    loop {
        let writes = match mix {
            Mix::Writes => true,
            Mix::Reads => false,
            Mix::Mixed => draw.below(10) == 0,
        };
        let (key, value) = (draw.key(), draw.value());
        let started = Instant::now();
        if started >= tally.until {
            return;
        }
        let outcome = match writes {
            true => client.put(turn, key, value).await,
            false => client.get(turn, key).await,
        };
        tally.note(started, writes, outcome);
    }
}

impl Tally {
    fn new(from: Instant, until: Instant) -> Tally {
        Tally {
            histogram: Histogram::default(),
            writes: AtomicU64::new(0),
            all_writes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            first_failure: OnceLock::new(),
            from,
            until,
        }
    }

    /// Counts what ended in the window; what was under way when it began counts with its full
    /// time.
    fn note(&self, started: Instant, writes: bool, outcome: anyhow::Result<()>) {
        let now = Instant::now();
        if writes && outcome.is_ok() {
            self.all_writes.fetch_add(1, Relaxed);
        }
        if now < self.from || now > self.until {
            return;
        }
        match outcome {
            Ok(()) => {
                self.histogram.record(now - started);
                self.writes.fetch_add(u64::from(writes), Relaxed);
            }
            Err(error) => {
                self.failures.fetch_add(1, Relaxed);
                self.first_failure.get_or_init(|| format!("{error:#}"));
            }
        }
    }

    fn measured(&self) -> anyhow::Result<Measured> {
        let operations = self.histogram.count();
        let us = |part| {
            let why = || self.first_failure.get().cloned().unwrap_or_default();
            let found = self.histogram.quantile(part);
            let found = found.with_context(|| format!("no reply came: {}", why()))?;
            anyhow::Ok(found.as_secs_f64() * 1e6)
        };
        Ok(Measured {
            operations,
            writes: self.writes.load(Relaxed),
            failures: self.failures.load(Relaxed),
            first_failure: self.first_failure.get().cloned(),
            ops_per_s: operations as f64 / (self.until - self.from).as_secs_f64(),
            p50_us: us(0.5)?,
            p99_us: us(0.99)?,
            p999_us: us(0.999)?,
            max_us: us(1.0)?,
            ..Measured::default()
        })
    }
}

/// Writes the first `count` keys, each once.
///
/// # Errors
///
/// If one of them is not acknowledged.
pub(crate) async fn fill(client: &Client, keys: &Keys, count: u64) -> anyhow::Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for caller in 0..FILLERS.min(count) {
        let (client, next) = (client.clone(), Arc::clone(&next));
        let mut draw = keys.draw(u64::MAX, caller as u32);
        callers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                client.put(caller as usize, key(number), draw.value()).await?;
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended?.context("while the cluster was filled")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_ends_outside_the_window_is_not_counted() {
        let from = Instant::now();
        let over = Tally::new(from, from);
        over.note(from, true, Ok(()));
        let error = over.measured().unwrap_err().to_string();
        assert!(error.contains("no reply"), "{error}");
        assert_eq!(over.all_writes.load(Relaxed), 1);

        let open = Tally::new(from, from + Duration::from_secs(3600));
        open.note(from, true, Ok(()));
        open.note(from, false, Ok(()));
        open.note(from, true, Err(anyhow::anyhow!("refused")));
        open.note(from, true, Err(anyhow::anyhow!("refused again")));
        let measured = open.measured().unwrap();
        assert_eq!((measured.operations, measured.writes, measured.failures), (2, 1, 2));
        assert_eq!(measured.first_failure.as_deref(), Some("refused"));
        assert!(measured.p50_us <= measured.max_us);
    }
}
