//! How fast commands become durable on a quorum, and what the disk alone allows.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use criterion::{SamplingMode, measurement::WallTime};
use raft_core::Node;
use telegraph_benches::{Cluster, Disk};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// A registration is of this size.
const COMMAND_BYTES: usize = 256;
/// Far beyond what any command takes; one that takes longer is a failure, not a figure.
const DEADLINE: Duration = Duration::from_secs(30);
/// The build's own folder: on a real disk, where the system's temporary folder may be memory.
const DIRECTORY: &str = env!("CARGO_TARGET_TMPDIR");

fn replication(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a bench machine has threads");
    let mut group = criterion.benchmark_group("a command of 256 B");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    disk_alone(&mut group);
    let started = runtime.block_on(Cluster::start(Path::new(DIRECTORY)));
    let cluster = started.expect("without three members there is nothing to measure");
    let names = [
        (1, "waited for, then the next"),
        (64, "from each of 64 users at once"),
        (256, "from each of 256 users at once"),
    ];
    for (users, name) in names {
        group.throughput(Throughput::Elements(users));
        group.bench_function(name, |bencher| {
            let leader = cluster.leader();
            bencher.to_async(&runtime).iter_custom(|rounds| propose(leader, users, rounds));
        });
    }
    group.finish();
    runtime.block_on(cluster.shutdown());
}

/// The limit of physics: no durable system that waits for each command is faster than this.
fn disk_alone(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mut disk = Disk::new(Path::new(DIRECTORY)).expect("the build's folder is writable");
    group.throughput(Throughput::Elements(1));
    group.bench_function("written and synced to one disk, without any of this", |bencher| {
        bencher.iter(|| disk.append(&[7; COMMAND_BYTES]).expect("the disk has room"));
    });
}

/// Each of `users` proposes `rounds` commands, one after the other.
async fn propose(leader: &Node, users: u64, rounds: u64) -> Duration {
    let command = Bytes::from(vec![7; COMMAND_BYTES]);
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..users {
        let (leader, command) = (leader.clone(), command.clone());
        tasks.spawn(async move {
            for _ in 0..rounds {
                let outcome = leader.propose(command.clone(), DEADLINE).await;
                outcome.expect("a healthy cluster takes every command");
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a failed command ends the bench");
    }
    start.elapsed()
}

criterion_group!(benches, replication);
criterion_main!(benches);
