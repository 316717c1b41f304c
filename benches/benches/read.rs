//! How long a read waits until what it sees is as new as it asks for, on a member that does not
//! lead, while nobody writes.
//!
//! What no linearizable read on such a member can avoid is measured in turn: one call of the
//! leader, answered at once.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, SamplingMode, Throughput};
use raft_core::{Node, ReadLevel};
use telegraph_benches::{Cluster, Plan, SAMPLES, Samples, Summary, Taken, at_once, round_trips};
use tokio::runtime::Runtime;

/// Far beyond what any read takes; one that takes longer is a failure, not a figure.
const DEADLINE: Duration = Duration::from_secs(30);
/// The build's own folder, on a real disk.
const DIRECTORY: &str = env!("CARGO_TARGET_TMPDIR");
/// As old as the answer to "where is this person?" may be.
const MAX_AGE: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut summary = Summary::new("read", Path::new(DIRECTORY));
    let runtime = Runtime::new()?;
    let starting = Cluster::start(Path::new(DIRECTORY), Plan::default());
    let cluster = runtime.block_on(Box::pin(starting))?;
    let writing = cluster.leader().propose(Bytes::from_static(b"seen"), DEADLINE);
    let seen = runtime.block_on(writing)?.position;
    let levels = [
        ("all that was acknowledged before", ReadLevel::Linearizable),
        ("what this reader saw before", ReadLevel::AtLeast(seen)),
        ("at most a second old", ReadLevel::Stale { max_age: MAX_AGE }),
    ];
    for (name, level) in levels {
        for readers in [1, 64] {
            let case = Case { name, level, readers };
            case.measure(&mut criterion, &mut summary, &runtime, &cluster)?;
        }
    }
    runtime.block_on(cluster.shutdown());
    criterion.final_summary();
    Ok(summary.finish()?)
}

struct Case {
    name: &'static str,
    level: ReadLevel,
    readers: u64,
}

impl Case {
    fn measure(
        &self,
        criterion: &mut Criterion,
        summary: &mut Summary,
        runtime: &Runtime,
        cluster: &Cluster,
    ) -> Result<(), Box<dyn Error>> {
        let channel = cluster.channel().ok_or("three members have followers")?;
        // Only a reader who waits alone has to wait for a call of its own.
        let alone = self.readers == 1 && self.level == ReadLevel::Linearizable;
        let mut group = criterion.benchmark_group("a read on a follower");
        group.sampling_mode(SamplingMode::Flat).sample_size(SAMPLES);
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        group.throughput(Throughput::Elements(self.readers));
        let (mut all, mut calls) = (Samples::default(), Samples::default());
        let name = format!("{}, by {} at once", self.name, self.readers);
        group.bench_function(name.as_str(), |bencher| {
            bencher.iter_custom(|rounds| {
                let reading = read(cluster.follower(), self.readers, rounds, self.level);
                let taken = runtime.block_on(reading);
                if alone {
                    let calling = runtime.block_on(round_trips(channel.clone(), 0, rounds));
                    calls.add(calling.expect("members answer each other"));
                }
                let elapsed = taken.elapsed();
                all.add(taken);
                elapsed
            });
        });
        group.finish();
        summary.figure(&name, &all.all(), alone.then(|| calls.all().per_second()));
        Ok(())
    }
}

async fn read(node: &Node, readers: u64, rounds: u64, level: ReadLevel) -> Taken {
    let node = node.clone();
    let act = move |_| {
        let node = node.clone();
        async move {
            node.read(level, DEADLINE).await.expect("a healthy cluster answers every read");
        }
    };
    at_once(readers, rounds, act).await
}
