//! How fast commands become durable on a quorum: one thing varied at a time, around three members,
//! 256 commands under way, 256 bytes each, on disk, over TLS.
//!
//! What the disk alone allows is measured in turn with each of them: as many bytes as are under
//! way, written and synced at once, is the most that group commit can make of it.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, SamplingMode, Throughput};
use raft_core::Node;
use telegraph_benches::{
    Bound, Cluster, Disk, Plan, SAMPLES, Samples, Summary, Taken, median, propose, round_trips,
    start_counter_in_memory,
};
use tokio::runtime::Runtime;

/// A registration is of this size.
const COMMAND_BYTES: usize = 256;
/// Commands under way, unless it is these that vary.
const USERS: u64 = 256;
/// The build's own folder: on a real disk, where the system's temporary folder may be memory.
const DIRECTORY: &str = env!("CARGO_TARGET_TMPDIR");
/// Turns that two ways are measured in, so that whatever else the machine does meets both.
const TURNS: usize = 12;

/// What is varied.
#[derive(Clone, Copy)]
struct Case {
    group: &'static str,
    name: &'static str,
    users: u64,
    bytes: usize,
    durable: bool,
}

const BASE: Case = Case {
    group: "commands on three members",
    name: "from each of 256 users at once",
    users: USERS,
    bytes: COMMAND_BYTES,
    durable: true,
};

struct Bench<'a> {
    criterion: &'a mut Criterion,
    summary: Summary,
    runtime: Runtime,
    disk: Disk,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut bench = Bench {
        criterion: &mut criterion,
        summary: Summary::new("replication", Path::new(DIRECTORY)),
        runtime: Runtime::new()?,
        disk: Disk::new(Path::new(DIRECTORY))?,
    };
    disk_alone(&mut bench);
    let three = bench.runtime.block_on(durable(Plan::default()))?;
    users(&mut bench, &three);
    sizes(&mut bench, &three);
    memory(&mut bench)?;
    one_writer(&mut bench, &three)?;
    bench.runtime.block_on(three.shutdown());
    members(&mut bench)?;
    plaintext(&mut bench)?;
    let summary = bench.summary;
    criterion.final_summary();
    Ok(summary.finish()?)
}

async fn durable(plan: Plan) -> Result<Cluster, Box<dyn Error>> {
    Box::pin(Cluster::start(Path::new(DIRECTORY), plan)).await
}

/// The limit of physics: no durable system that waits for each command is faster than this.
fn disk_alone(bench: &mut Bench<'_>) {
    let mut group = bench.criterion.benchmark_group("one disk");
    group.sampling_mode(SamplingMode::Flat).sample_size(SAMPLES);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(1));
    let (disk, mut all) = (&mut bench.disk, Samples::default());
    group.bench_function("written and synced, without any of this", |bencher| {
        bencher.iter_custom(|rounds| {
            let taken = disk.append_each(&[7; COMMAND_BYTES], rounds);
            let taken = taken.expect("the disk has room");
            let elapsed = taken.elapsed();
            all.add(taken);
            elapsed
        });
    });
    group.finish();
    bench.summary.figure("256 B written and synced to one disk", &all.all(), None);
}

fn users(bench: &mut Bench<'_>, cluster: &Cluster) {
    let cases = [
        (1, "waited for, then the next"),
        (16, "from each of 16 users at once"),
        (64, "from each of 64 users at once"),
        (256, BASE.name),
        (1024, "from each of 1,024 users at once"),
    ];
    for (users, name) in cases {
        measure(bench, cluster.leader(), Case { users, name, ..BASE });
    }
}

fn sizes(bench: &mut Bench<'_>, cluster: &Cluster) {
    let group = "commands of another size, from 256 users";
    for (bytes, name) in [(64, "64 B"), (4 << 10, "4 KiB"), (64 << 10, "64 KiB")] {
        measure(bench, cluster.leader(), Case { group, name, bytes, ..BASE });
    }
}

/// What durability costs: the same on logs that keep nothing.
fn memory(bench: &mut Bench<'_>) -> Result<(), Box<dyn Error>> {
    const MANY: u64 = 1024;
    const ROUNDS: u64 = 8;
    let group = "commands that are nowhere durable";
    let start = async |config, services| start_counter_in_memory(config, services).await;
    // Snapshots would be on disk.
    let plan = Plan { snapshots: false, ..Plan::default() };
    let cluster = Cluster::start_with(Path::new(DIRECTORY), plan, start);
    let cluster = bench.runtime.block_on(Box::pin(cluster))?;
    measure(bench, cluster.leader(), Case { group, durable: false, ..BASE });
    let other = bench.runtime.block_on(durable(plan))?;
    let mut rates = [Vec::new(), Vec::new()];
    let mut all = [Taken::default(), Taken::default()];
    let (at_once, mut alone) = ([7; COMMAND_BYTES].repeat(MANY as usize), Taken::default());
    for _ in 0..TURNS {
        for (place, leader) in [other.leader(), cluster.leader()].into_iter().enumerate() {
            let proposing = propose(leader, MANY, ROUNDS, of(COMMAND_BYTES));
            let taken = bench.runtime.block_on(proposing);
            rates[place].push(taken.per_second());
            all[place].add(taken);
        }
        alone.add(bench.disk.append_each(&at_once, ROUNDS)?);
    }
    let limits = [Some(alone.per_second() * MANY as f64), None];
    for ((what, all), limit) in ["durable", "nowhere durable"].iter().zip(&all).zip(limits) {
        bench.summary.figure(&format!("of 1,024 users, in turns: {what}"), all, limit);
    }
    let [durable, memory] = rates.map(|rates| median(&rates).unwrap_or_default());
    let what = "1,024 users, durable against memory log";
    bench.summary.target(what, durable / memory, Bound::AtLeast(0.8));
    bench.runtime.block_on(other.shutdown());
    bench.runtime.block_on(cluster.shutdown());
    Ok(())
}

/// What consensus costs somebody who waits for each command, beside the one sync and the one round
/// trip that cannot be avoided.
fn one_writer(bench: &mut Bench<'_>, cluster: &Cluster) -> Result<(), Box<dyn Error>> {
    const COMMANDS: u64 = 150;
    let channel = cluster.channel().ok_or("three members have followers")?;
    let (mut written, mut synced, mut called) = Default::default();
    let add = |all: &mut Taken, taken| all.add(taken);
    for _ in 0..TURNS {
        let runtime = &bench.runtime;
        let proposing = propose(cluster.leader(), 1, COMMANDS, of(COMMAND_BYTES));
        add(&mut written, runtime.block_on(proposing));
        add(&mut synced, bench.disk.append_each(&[7; COMMAND_BYTES], COMMANDS)?);
        let calling = round_trips(channel.clone(), COMMAND_BYTES, COMMANDS);
        add(&mut called, runtime.block_on(calling)?);
    }
    let least = synced.p50() + called.p50();
    let summary = &mut bench.summary;
    summary.figure("256 B written and synced, in turns with these", &synced, None);
    summary.figure("256 B called for and answered, between two members", &called, None);
    let limit = Some(least.as_secs_f64().recip());
    summary.figure("256 B proposed and waited for, in turns with these", &written, limit);
    let times = written.p50().as_secs_f64() / least.as_secs_f64();
    bench.summary.target("1 user, p50 against sync + round trip", times, Bound::AtMost(2.0));
    Ok(())
}

fn members(bench: &mut Bench<'_>) -> Result<(), Box<dyn Error>> {
    for (members, group) in [(1, "commands on one member"), (5, "commands on five members")] {
        let plan = Plan { members, ..Plan::default() };
        let cluster = bench.runtime.block_on(durable(plan))?;
        measure(bench, cluster.leader(), Case { group, ..BASE });
        bench.runtime.block_on(cluster.shutdown());
    }
    Ok(())
}

fn plaintext(bench: &mut Bench<'_>) -> Result<(), Box<dyn Error>> {
    let plan = Plan { encrypted: false, ..Plan::default() };
    let cluster = bench.runtime.block_on(durable(plan))?;
    measure(bench, cluster.leader(), Case { group: "commands without TLS", ..BASE });
    bench.runtime.block_on(cluster.shutdown());
    Ok(())
}

/// Measures one case, in turns with its limit.
fn measure(bench: &mut Bench<'_>, leader: &Node, case: Case) {
    let mut group = bench.criterion.benchmark_group(case.group);
    group.sampling_mode(SamplingMode::Flat).sample_size(SAMPLES);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(case.users));
    let at_once = vec![7; case.bytes * case.users as usize];
    let (mut all, mut alone) = (Samples::default(), Samples::default());
    let (runtime, disk) = (&bench.runtime, &mut bench.disk);
    group.bench_function(case.name, |bencher| {
        bencher.iter_custom(|rounds| {
            let taken = runtime.block_on(propose(leader, case.users, rounds, of(case.bytes)));
            if case.durable {
                alone.add(disk.append_each(&at_once, rounds).expect("the disk has room"));
            }
            let elapsed = taken.elapsed();
            all.add(taken);
            elapsed
        });
    });
    group.finish();
    let limit = case.durable.then(|| alone.all().per_second() * case.users as f64);
    bench.summary.figure(&format!("{}: {}", case.group, case.name), &all.all(), limit);
}

/// A command of so many bytes.
fn of(bytes: usize) -> impl Fn() -> Bytes + Clone + Send + 'static {
    let command = Bytes::from(vec![7; bytes]);
    move || command.clone()
}
