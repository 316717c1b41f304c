//! What a snapshot of a million accounts costs: writing it, what commands notice of that, sending
//! it to an empty node, and installing it there.
//!
//! Each of these happens once in minutes, so that there are no samples: it has a `main` of its own,
//! and no plot. Without cargo's `--bench`, as when it is merely tried out, it is a thousand
//! accounts.

#![allow(clippy::print_stdout, reason = "its figures are what it is for")]

use std::cell::RefCell;
use std::error::Error;
use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use identity_store::IdentityStore;
use raft_core::{Config, Event, MachineError, Node, cluster_id};
use telegraph_benches::{Bound, Cluster, Disk, Plan, Population, Summary, Taken, median, propose};
use tokio::time::{sleep, timeout};

const PEOPLE: u64 = 1_000_000;
/// People who log in at the same time.
const USERS: u64 = 64;
/// Logins of each between two looks whether it is enough.
const ROUNDS: u64 = 4;
/// Snapshots that are written, each after as much time without one.
const TURNS: usize = 2;
/// Far beyond what anything here takes.
const DEADLINE: Duration = Duration::from_secs(300);
/// The build's own folder: on a real disk, where the system's temporary folder may be memory.
const DIRECTORY: &str = env!("CARGO_TARGET_TMPDIR");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut summary = Summary::new("snapshot", Path::new(DIRECTORY));
    let measured = std::env::args().any(|argument| argument == "--bench");
    let people = if measured { PEOPLE } else { PEOPLE / 1000 };
    let views = tempfile::tempdir_in(DIRECTORY)?;
    println!("{people} accounts are made");
    let began = Instant::now();
    // One member is enough, for each writes its own snapshots. None is written unasked.
    let plan = Plan { members: 1, snapshots: false, ..Plan::default() };
    let start = async |mut config: Config, services| {
        config.keep_entries = 0;
        let id = cluster_id(&config.members);
        let (mut store, _) =
            IdentityStore::open(&views.path().join("1"), id).map_err(MachineError::new)?;
        let settled = Population::of(id).settle(&mut store, people);
        settled.map_err(|error| MachineError::new(error.to_string()))?;
        Node::start(config, store, services).await
    };
    let cluster = Box::pin(Cluster::start_with(Path::new(DIRECTORY), plan, start)).await?;
    summary.event("accounts registered, signatures verified", people, began.elapsed(), None);

    let logins = Logins::of(cluster.leader(), people);
    writing(&mut summary, &logins, people).await?;
    sending(&mut summary, &cluster, &views.path().join("2"), people).await?;
    cluster.shutdown().await;
    Ok(summary.finish()?)
}

/// Writes snapshots while people log in, and compares with people logging in alone.
async fn writing(
    summary: &mut Summary,
    logins: &Logins,
    people: u64,
) -> Result<(), Box<dyn Error>> {
    let mut disk = Disk::new(Path::new(DIRECTORY))?;
    let bytes = logins.population.log_in(0, 0).repeat(USERS as usize);
    let (mut alone, mut beside, mut bare) = (Taken::default(), Taken::default(), Taken::default());
    let (mut built, mut pace) = (Duration::ZERO, Vec::new());
    // The first logins find nothing cached, and are followed by a first entry to be contained.
    logins.log_in_until(sleep(Duration::from_secs(2))).await;
    for _ in 0..TURNS {
        let began = Instant::now();
        let node = logins.node.clone();
        let mut events = node.events();
        let writing = tokio::spawn(async move { node.take_snapshot().await });
        let (taken, written) = logins.log_in_until(writing).await;
        written??;
        let took = began.elapsed();
        built += took;
        beside.add(taken);
        bare.add(disk.append_each(&bytes, 200)?);
        let image = loop {
            if let Event::SnapshotBuilt { bytes, .. } = events.recv().await? {
                break bytes;
            }
        };
        pace.push(people as f64 * disk.bytes_per_second(image)? / image as f64);
        alone.add(logins.log_in_until(sleep(took)).await.0);
    }
    let limit = bare.per_second() * USERS as f64;
    let what = "accounts written to a snapshot, meanwhile";
    summary.event(what, people, built / TURNS as u32, median(&pace));
    summary.figure("logins of 64 at once while no snapshot is written", &alone, Some(limit));
    summary.figure("logins of 64 at once while a snapshot is written", &beside, Some(limit));
    let slower = 1.0 - beside.per_second() / alone.per_second();
    summary.target("share of writes lost to a snapshot", slower, Bound::AtMost(0.2));
    Ok(())
}

/// Sends the snapshot to an empty node, which installs it.
async fn sending(
    summary: &mut Summary,
    cluster: &Cluster,
    view: &Path,
    people: u64,
) -> Result<(), Box<dyn Error>> {
    let (store, reader) = IdentityStore::open(view, [0; 16])?;
    let store = RefCell::new(Some(store));
    let start = async |config, services| {
        let store = store.take().ok_or_else(|| MachineError::new("one node"))?;
        Node::start(config, store, services).await
    };
    let leader = cluster.leader();
    let (newcomer, member) = Box::pin(cluster.newcomer(2, start)).await?;
    let (mut there, mut here) = (newcomer.events(), leader.events());
    println!("an empty node joins");
    leader.add_learner(member, DEADLINE).await?;
    let installing = async {
        loop {
            if let Event::SnapshotInstalled { bytes, took, .. } = there.recv().await? {
                return Ok::<_, Box<dyn Error>>((bytes, took));
            }
        }
    };
    let (bytes, installed) = timeout(DEADLINE, installing).await??;
    let sending = async {
        loop {
            if let Event::SnapshotSent { took, .. } = here.recv().await? {
                return Ok::<_, Box<dyn Error>>(took);
            }
        }
    };
    let sent = timeout(DEADLINE, sending).await??;
    assert_eq!(reader.counts()?.accounts, people, "the snapshot holds everybody");
    println!("the snapshot has {bytes} bytes");
    let pace = Disk::new(Path::new(DIRECTORY))?.bytes_per_second(bytes)?;
    let limit = Some(people as f64 * pace / bytes as f64);
    let sent = sent.saturating_sub(installed);
    summary.event("accounts sent to an empty node", people, sent, limit);
    summary.event("accounts installed there", people, installed, limit);
    newcomer.halt().await;
    Ok(())
}

/// People who log in, over and over, evenly over all of them.
struct Logins {
    node: Node,
    people: u64,
    population: Population,
    next: Arc<AtomicU64>,
}

impl Logins {
    fn of(node: &Node, people: u64) -> Logins {
        let population = Population::of(node.lineage_id());
        Logins { node: node.clone(), people, population, next: Arc::default() }
    }

    /// Has them log in until `end` does.
    async fn log_in_until<T>(&self, end: impl Future<Output = T>) -> (Taken, T) {
        let mut end = pin!(end);
        let mut all = Taken::default();
        loop {
            let (population, people) = (self.population, self.people);
            let next = Arc::clone(&self.next);
            let command = move || {
                let login = next.fetch_add(1, Ordering::Relaxed);
                population.log_in(login.wrapping_mul(7919) % people, login)
            };
            let logging_in = propose(&self.node, USERS, ROUNDS, command);
            all.add(logging_in.await);
            let now = poll_fn(|context| match end.as_mut().poll(context) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending => Poll::Ready(None),
            });
            if let Some(ended) = now.await {
                return (all, ended);
            }
        }
    }
}
