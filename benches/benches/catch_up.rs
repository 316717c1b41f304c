//! How fast an empty node catches up with a million entries of 256 bytes, beside how fast the
//! cluster had taken them in.
//!
//! It happens once and takes a minute, so that there are no samples: it has a `main` of its own,
//! and no plot. Without cargo's `--bench`, as when it is merely tried out, it is a thousand
//! entries.

#![allow(clippy::print_stdout, reason = "its figures are what it is for")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use telegraph_benches::{Bound, Cluster, Disk, Plan, Summary, propose, start_counter};

const COMMAND_BYTES: usize = 256;
const USERS: u64 = 1000;
/// Commands of each user.
const ROUNDS: u64 = 1000;
/// Far beyond what the whole log takes.
const DEADLINE: Duration = Duration::from_secs(300);
/// The build's own folder: on a real disk, where the system's temporary folder may be memory.
const DIRECTORY: &str = env!("CARGO_TARGET_TMPDIR");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut summary = Summary::new("catch_up", Path::new(DIRECTORY));
    let measured = std::env::args().any(|argument| argument == "--bench");
    let rounds = if measured { ROUNDS } else { 1 };
    let entries = USERS * rounds;
    // With snapshots it would be sent one, and not the log.
    let plan = Plan { snapshots: false, ..Plan::default() };
    let cluster = Box::pin(Cluster::start(Path::new(DIRECTORY), plan)).await?;
    let mut disk = Disk::new(Path::new(DIRECTORY))?;
    let at_once_bytes = vec![7; COMMAND_BYTES * USERS as usize];
    let alone = disk.append_each(&at_once_bytes, 2 * rounds.min(100))?;
    let limit = alone.per_second() * USERS as f64;
    println!("{entries} entries are written");
    let command = Bytes::from(vec![7; COMMAND_BYTES]);
    let written = propose(cluster.leader(), USERS, rounds, move || command.clone()).await;
    summary.figure("taken in by three members, from 1,000 users", &written, Some(limit));

    let start = async |config, services| start_counter(config, services).await;
    let (newcomer, member) = Box::pin(cluster.newcomer(4, start)).await?;
    println!("an empty node joins");
    let last = cluster.leader().applied();
    assert!(last.index >= entries, "what was answered was applied: {last:?}");
    let began = Instant::now();
    cluster.leader().add_learner(member, DEADLINE).await?;
    let mut status = newcomer.watch_status();
    let reached = status.wait_for(|status| status.applied >= last);
    tokio::time::timeout(DEADLINE, reached).await??;
    let took = began.elapsed();
    let pace = disk.bytes_per_second(entries * COMMAND_BYTES as u64)?;
    let limit = Some(pace / COMMAND_BYTES as f64);
    summary.event("sent to an empty node, and applied there", entries, took, limit);
    let rate = entries as f64 / took.as_secs_f64();
    let against = rate / written.per_second();
    summary.target("catching up against taking in", against, Bound::AtLeast(0.5));
    newcomer.halt().await;
    cluster.shutdown().await;
    Ok(summary.finish()?)
}
