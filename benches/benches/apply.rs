//! How fast committed commands are applied: by a map in memory, and by the account directory,
//! which verifies signatures and keeps its state on disk.
//!
//! Neither is meant to be durable: that is the log's part.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, SamplingMode, Throughput};
use identity_store::IdentityStore;
use raft_core::{Entry, Image, MachineError, OnDiskStateMachine, Records, RecordsFor};
use telegraph_benches::{Population, SAMPLES, Samples, Summary, Taken, entries};

/// The build's own folder: on a real disk, where the system's temporary folder may be memory.
const DIRECTORY: &str = env!("CARGO_TARGET_TMPDIR");
const CLUSTER: [u8; 16] = [7; 16];
/// Accounts that are there before anybody logs in.
const PEOPLE: u64 = 20_000;
/// Commands are applied in batches of what was committed meanwhile.
const BATCHES: [u64; 3] = [1, 64, 256];

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut summary = Summary::new("apply", Path::new(DIRECTORY));
    let mut bench = |name: &str, machine: &mut dyn OnDiskStateMachine, command: Command<'_>| {
        measure(&mut criterion, &mut summary, name, machine, command)
    };
    bench("256 B to a map in memory", &mut Map::default(), &|number| {
        let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        [&key[..], &[7; 248]].concat().into()
    });
    let directory = tempfile::tempdir_in(DIRECTORY)?;
    let (mut store, reader) = IdentityStore::open(directory.path(), CLUSTER)?;
    let population = Population::of(CLUSTER);
    population.settle(&mut store, PEOPLE)?;
    let registered = bench("registrations to accounts on disk", &mut store, &|number| {
        population.register(PEOPLE + number)
    });
    bench("logins to accounts on disk", &mut store, &|number| {
        population.log_in(number.wrapping_mul(7919) % PEOPLE, number)
    });
    let counts = reader.counts()?;
    assert_eq!(counts.accounts, PEOPLE + registered, "nobody was refused");
    assert!(counts.sessions > 0, "people were let in");
    criterion.final_summary();
    Ok(summary.finish()?)
}

/// Makes the command of that number; no number comes twice.
type Command<'a> = &'a dyn Fn(u64) -> Bytes;

/// Returns how many commands were applied.
fn measure(
    criterion: &mut Criterion,
    summary: &mut Summary,
    name: &str,
    machine: &mut dyn OnDiskStateMachine,
    command: Command<'_>,
) -> u64 {
    let mut group = criterion.benchmark_group(format!("applying {name}"));
    group.sampling_mode(SamplingMode::Flat).sample_size(SAMPLES);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    let mut next = 0;
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch));
        let mut all = Samples::default();
        group.bench_function(format!("{batch} at a time"), |bencher| {
            bencher.iter_custom(|rounds| {
                let taken = apply(machine, command, &mut next, batch, rounds);
                let elapsed = taken.elapsed();
                all.add(taken);
                elapsed
            });
        });
        summary.figure(&format!("{name}, batches of {batch}"), &all.all(), None);
    }
    group.finish();
    next
}

/// Applies `rounds` batches; making their commands is not measured.
fn apply(
    machine: &mut dyn OnDiskStateMachine,
    command: Command<'_>,
    next: &mut u64,
    batch: u64,
    rounds: u64,
) -> Taken {
    let (mut elapsed, mut each) = (Duration::ZERO, Vec::new());
    for _ in 0..rounds {
        let first = *next;
        *next += batch;
        let batch = entries(first + 1, (first..*next).map(command));
        let began = Instant::now();
        let replies = machine.apply(&batch, &|_| Vec::new()).expect("nothing is refused or fails");
        let took = began.elapsed();
        assert_eq!(replies.len(), batch.len());
        elapsed += took;
        // What one command took, of those that were applied together.
        each.extend(batch.iter().map(|_| took));
    }
    Taken::new(elapsed, each)
}

/// The first eight bytes of a command are a key, the rest its value.
#[derive(Default)]
struct Map {
    values: BTreeMap<[u8; 8], Bytes>,
}

impl OnDiskStateMachine for Map {
    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        Ok(Vec::new())
    }

    fn apply(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, MachineError> {
        for entry in entries {
            let (key, _) = entry.payload.split_first_chunk().ok_or_else(too_short)?;
            self.values.insert(*key, entry.payload.slice(key.len()..));
        }
        let replies = vec![Bytes::new(); entries.len()];
        records(&replies);
        Ok(replies)
    }

    fn snapshot(&mut self) -> Result<Image, MachineError> {
        Err(MachineError::new("none is taken here"))
    }

    fn restore(&mut self, _: &mut dyn Read, _: &Records) -> Result<(), MachineError> {
        Err(MachineError::new("none is taken here"))
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        self.values.clear();
        Ok(())
    }
}

fn too_short() -> MachineError {
    MachineError::new("a command has a key")
}
