//! The write-ahead log against a bare loop of write and `fdatasync` of the same bytes, and against
//! raft-log 0.4.6, which others run below the same engine: by entries in a batch, each batch waited
//! for, and by batches under way.
//!
//! All write in turn, in slices of a few milliseconds, so that whatever else the machine does meets
//! all of them; that is why it has a `main` of its own, and no plot. The figures are medians of the
//! slices, with their quartiles.

#![allow(clippy::print_stdout, reason = "its figures are what it is for")]

use std::collections::VecDeque;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use raft_core::testing::{Environment, LogStore, Record};
use raft_log::api::raft_log_writer::RaftLogWriter as _;
use raft_log::{RaftLog, Types, chunked_wal};
use telegraph_benches::{Bound, Summary};

/// Bytes of an entry's payload.
const PAYLOAD_BYTES: usize = 256;
/// Bytes a segment of the log may have.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Slices of each kind; a single one without cargo's `--bench`, when it is merely tried out.
const SLICES: usize = 40;
/// The build's own folder: on a real disk, where the system's temporary folder may be memory.
const DIRECTORY: &str = env!("CARGO_TARGET_TMPDIR");
/// Entries in a batch, batches under way, and batches in a slice.
const CASES: [(usize, usize, usize); 8] = [
    (1, 1, 24),
    (16, 1, 24),
    (64, 1, 16),
    (256, 1, 12),
    (1024, 1, 6),
    (1, 16, 256),
    (1, 64, 1024),
    (16, 64, 512),
];
/// The ways, in the order in which they take turns.
const NAMES: [&str; 5] =
    ["bare, growing", "bare, zeroed", "log", "raft-log, no wait", "raft-log, 20 us"];

/// One way to make batches durable.
trait Way {
    fn write(&mut self, batches: usize) -> io::Result<()>;
}

/// A file that grows, or one that is full of zeros already. All batches under way are one write.
struct Bare {
    file: File,
    bytes: Vec<u8>,
    depth: usize,
    at: u64,
}

impl Bare {
    /// A file with room for so many writes of so many bytes, each of them of `depth` batches.
    fn new(path: &Path, bytes: usize, depth: usize, writes: usize) -> io::Result<Bare> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        let bytes = vec![0x5a; bytes];
        file.write_all_at(&vec![0; bytes.len() * writes], 0)?;
        file.sync_all()?;
        Ok(Bare { file, bytes, depth, at: 0 })
    }
}

impl Way for Bare {
    fn write(&mut self, batches: usize) -> io::Result<()> {
        for _ in 0..batches / self.depth {
            self.file.write_all_at(&self.bytes, self.at)?;
            self.file.sync_data()?;
            self.at += self.bytes.len() as u64;
        }
        Ok(())
    }
}

/// A log, on its own thread.
trait Queue {
    /// Submits a batch of entries from index `first`; `done` is told when it is durable.
    fn submit(
        &mut self,
        first: u64,
        batch: u64,
        done: SyncSender<io::Result<()>>,
    ) -> io::Result<()>;
}

/// Keeps so many batches of a log under way.
struct Kept<Q> {
    queue: Q,
    batch: usize,
    depth: usize,
    next: u64,
}

impl<Q: Queue> Way for Kept<Q> {
    fn write(&mut self, batches: usize) -> io::Result<()> {
        let mut under_way: VecDeque<Receiver<io::Result<()>>> = VecDeque::new();
        for _ in 0..batches {
            if under_way.len() == self.depth {
                wait(under_way.pop_front())?;
            }
            let (sender, done) = sync_channel(1);
            self.queue.submit(self.next, self.batch as u64, sender)?;
            self.next += self.batch as u64;
            under_way.push_back(done);
        }
        under_way.into_iter().try_for_each(|done| wait(Some(done)))
    }
}

fn wait(done: Option<Receiver<io::Result<()>>>) -> io::Result<()> {
    done.map_or(Ok(()), |done| done.recv().map_err(io::Error::other)?)
}

/// Ours.
struct Ours {
    log: Arc<dyn LogStore>,
    payload: Bytes,
}

impl Ours {
    fn open(path: &Path) -> io::Result<Ours> {
        let logs = Environment::default().logs;
        let log = logs.open(path, SEGMENT_BYTES).map_err(io::Error::other)?.log;
        Ok(Ours { log, payload: Bytes::from(vec![0x5a; PAYLOAD_BYTES]) })
    }

    /// How many bytes it writes for so many entries at once, with what its format adds.
    fn bytes_of(path: &Path, entries: usize) -> io::Result<usize> {
        let mut log = Kept { queue: Ours::open(path)?, batch: entries, depth: 1, next: 1 };
        // The first write is behind what a new log begins with.
        log.write(1)?;
        let before = log.queue.log.stats().bytes_written;
        log.write(1)?;
        let bytes = log.queue.log.stats().bytes_written - before;
        log.queue.log.close()?;
        Ok(bytes as usize)
    }
}

impl Queue for Ours {
    fn submit(
        &mut self,
        first: u64,
        batch: u64,
        done: SyncSender<io::Result<()>>,
    ) -> io::Result<()> {
        let record = |index| Record { index, term: 1, payload: self.payload.clone() };
        let records = (first..first + batch).map(record).collect();
        self.log.append(records, Box::new(move |result| drop(done.send(result))));
        Ok(())
    }
}

/// The other one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Theirs;

impl Types for Theirs {
    /// Term and index.
    type LogId = (u64, u64);
    type LogPayload = Vec<u8>;
    type Vote = (u64, u64);
    type Callback = SyncSender<io::Result<()>>;
    type UserData = String;

    fn log_index(log_id: &Self::LogId) -> u64 {
        log_id.1
    }

    fn payload_size(payload: &Self::LogPayload) -> u64 {
        payload.len() as u64
    }
}

/// Opens it, to wait so long for what else may come before it syncs.
fn theirs(path: &Path, pause: Duration) -> io::Result<RaftLog<Theirs>> {
    std::fs::create_dir(path)?;
    let wal = chunked_wal::Config {
        chunk_max_size: Some(SEGMENT_BYTES as usize),
        chunk_max_records: Some(usize::MAX),
        flush_batch_wait: Some(pause),
        ..chunked_wal::Config::new(path.display())
    };
    RaftLog::open(Arc::new(raft_log::Config { wal, ..raft_log::Config::default() }))
}

impl Queue for RaftLog<Theirs> {
    fn submit(
        &mut self,
        first: u64,
        batch: u64,
        done: SyncSender<io::Result<()>>,
    ) -> io::Result<()> {
        let entry = |index| ((1, index), vec![0x5a; PAYLOAD_BYTES]);
        self.append((first..first + batch).map(entry))?;
        self.flush(true, Some(done))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut summary = Summary::new("wal", Path::new(DIRECTORY));
    let measured = std::env::args().any(|argument| argument == "--bench");
    let slices = if measured { SLICES } else { 1 };
    println!("microseconds a batch: lower quartile, median, upper quartile");
    for (batch, depth, batches) in CASES {
        let dir = tempfile::tempdir_in(DIRECTORY)?;
        let path = |name: &str| dir.path().join(name);
        let bytes = Ours::bytes_of(&path("measured"), batch * depth)?;
        let mut growing = Bare::new(&path("growing"), bytes, depth, 0)?;
        let writes = batches / depth * (slices + 1);
        let mut zeroed = Bare::new(&path("zeroed"), bytes, depth, writes)?;
        let mut log = Kept { queue: Ours::open(&path("log"))?, batch, depth, next: 1 };
        let queue = theirs(&path("no-wait"), Duration::ZERO)?;
        let mut at_once = Kept { queue, batch, depth, next: 1 };
        let queue = theirs(&path("wait"), Duration::from_micros(20))?;
        let mut waiting = Kept { queue, batch, depth, next: 1 };
        let ways: [&mut dyn Way; 5] =
            [&mut growing, &mut zeroed, &mut log, &mut at_once, &mut waiting];
        let taken = measure(ways, batches, slices)?;
        report(&mut summary, (batch, depth), &taken);
        log.queue.log.close()?;
    }
    Ok(summary.finish()?)
}

/// Microseconds a batch takes, of each slice of each way, ascending.
fn measure(
    mut ways: [&mut dyn Way; 5],
    batches: usize,
    slices: usize,
) -> io::Result<[Vec<f64>; 5]> {
    let mut taken = [const { Vec::new() }; 5];
    for slice in 0..=slices {
        for (way, taken) in ways.iter_mut().zip(&mut taken) {
            let started = Instant::now();
            way.write(batches)?;
            // The first slice warms up.
            if slice > 0 {
                taken.push(started.elapsed().as_secs_f64() * 1e6 / batches as f64);
            }
        }
    }
    for taken in &mut taken {
        taken.sort_by(f64::total_cmp);
    }
    Ok(taken)
}

fn report(summary: &mut Summary, (batch, depth): (usize, usize), taken: &[Vec<f64>; 5]) {
    let at = |taken: &[f64], part: usize| taken.get(taken.len() * part / 4).copied().unwrap_or(0.0);
    println!("{batch} entries, {depth} batches under way");
    for (name, taken) in NAMES.iter().zip(taken) {
        let [low, median, high] = [1, 2, 3].map(|part| at(taken, part));
        println!("  {name:18} {low:8.1} {median:8.1} {high:8.1}");
    }
    let [growing, zeroed, ours, at_once, waiting] = [0, 1, 2, 3, 4].map(|way| at(&taken[way], 2));
    println!("  log / bare {:.2}, / zeroed {:.2}", growing / ours, zeroed / ours);
    let rate = |micros: f64| batch as f64 * 1e6 / micros;
    let case = format!("{batch} entries a batch, {depth} under way");
    let raft_log = ("raft-log, the better wait", at_once.min(waiting));
    for (name, micros) in [("log", ours), raft_log, ("bare loop, file grows", growing)] {
        let a_batch = Duration::from_secs_f64(micros / 1e6);
        summary.rate(&format!("{name}: {case}"), rate(micros), a_batch, Some(rate(zeroed)));
    }
    let bound = Bound::AtLeast(if batch * depth == 1 { 0.9 } else { 0.8 });
    summary.target(&format!("{case}, against a bare loop"), growing / ours, bound);
}
