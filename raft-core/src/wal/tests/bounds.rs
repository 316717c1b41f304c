//! What the log costs: syncs, memory, reads, room. Counted, not timed.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::*;
use crate::disk::sim::state::DiskOp;
use crate::disk::{DiskEntry, DiskFile, DiskLock, RealDisk};

/// Counts what is read.
#[derive(Clone, Debug)]
struct Counting {
    disk: Arc<dyn Disk>,
    read_bytes: Arc<AtomicU64>,
    longest_read: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn DiskFile>,
    counts: Counting,
}

impl Counting {
    fn new(disk: &SimDisk) -> Counting {
        let disk = Arc::new(disk.clone());
        Counting { disk, read_bytes: Arc::default(), longest_read: Arc::default() }
    }
}

impl Disk for Counting {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn is_dir(&self, dir: &Path) -> bool {
        self.disk.is_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        self.disk.list(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.create(path)?;
        Ok(Arc::new(CountingFile { file, counts: self.clone() }))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path)?;
        Ok(Arc::new(CountingFile { file, counts: self.clone() }))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        self.disk.lock(path)
    }
    fn nonce(&self) -> u64 {
        self.disk.nonce()
    }
}

impl DiskFile for CountingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.counts.longest_read.fetch_max(buffer.len(), Ordering::Relaxed);
        let read = self.file.read_at(buffer, offset)?;
        self.counts.read_bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.cut(bytes)
    }
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

/// A log of `count` entries of 256 bytes in segments of 1 MiB.
fn long_log(count: u64) -> (SimDisk, WalConfig) {
    let disk = SimDisk::new(1);
    let config = WalConfig { segment_bytes: 1 << 20, cache_bytes: 0, ..WalConfig::default() };
    let (wal, _) = Wal::open_stepped(dir(), Arc::new(disk.clone()), config.clone()).unwrap();
    for first in (1..=count).step_by(1000) {
        let payload = Bytes::from(vec![7; 256]);
        let last = count.min(first + 999);
        let records =
            (first..=last).map(|index| Record { index, term: 1, payload: payload.clone() });
        append(&wal, records.collect());
    }
    wal.close().unwrap();
    (disk, config)
}

#[test]
fn sixty_four_writers_in_flight_cost_as_many_syncs_as_one() {
    let rounds = 20;
    let syncs_of = |writers: u64| {
        let disk = SimDisk::new(1);
        let config = WalConfig::default();
        let (wal, _) = Wal::open_stepped(dir(), Arc::new(disk.clone()), config).unwrap();
        disk.take_ops();
        let mut waiting = Vec::new();
        for round in 0..rounds {
            for writer in 0..writers {
                let index = round * writers + writer + 1;
                let (done, result) = ticket();
                wal.append(entries(index..=index, 1), done);
                waiting.push(result);
            }
            assert!(wal.step());
            assert!(waiting.drain(..).all(|result| matches!(result.try_recv(), Ok(Ok(())))));
        }
        disk.take_ops().iter().filter(|op| matches!(op, DiskOp::Sync(_))).count()
    };
    assert_eq!(syncs_of(1), rounds as usize);
    assert_eq!(syncs_of(64), rounds as usize);
}

/// diom#271: each entry waited for a sync of its own.
#[test]
fn on_a_real_disk_sixty_four_writers_share_their_syncs() {
    let keep = tempfile::tempdir().unwrap();
    let (wal, _) = Wal::open(keep.path(), Arc::new(RealDisk), WalConfig::default()).unwrap();
    let rounds = 20;
    thread::scope(|scope| {
        for writer in 0..64 {
            let wal = &wal;
            scope.spawn(move || {
                for round in 0..rounds {
                    let (done, result) = ticket();
                    wal.save_vote(Bytes::from(format!("{writer} {round}")), done);
                    result.recv().unwrap().unwrap();
                }
            });
        }
    });
    // Each writer waits for each of its votes, so 20 groups are the least. Threads that run late
    // make it more; without sharing it would be 1,280.
    let groups = wal.stats().groups;
    assert!((rounds..=64 * rounds / 4).contains(&groups), "{groups} syncs for 1,280 votes");
}

#[test]
fn nothing_in_the_log_waits_for_a_time() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wal");
    let mut seen = 0;
    for entry in std::fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = std::fs::read_to_string(&path).unwrap();
            for word in ["sleep(", "wait_timeout", "recv_timeout", "park_timeout", "interval("] {
                assert!(!text.contains(word), "{} has `{word}`", path.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 10);
}

#[test]
fn opening_reads_every_byte_once_and_holds_one_segment_and_four_bytes_an_entry() {
    let (disk, config) = long_log(30_000);
    let counting = Counting::new(&disk);
    let (wal, recovery) = Wal::open_stepped(dir(), Arc::new(counting.clone()), config).unwrap();
    assert_eq!(recovery.entries, 30_000);
    assert!(recovery.segments > 8);
    let read = counting.read_bytes.load(Ordering::Relaxed);
    assert_eq!(read, disk.used_bytes(), "each byte is read once");
    // One read is one segment: a group is never divided, so it may be a group longer.
    let longest = counting.longest_read.load(Ordering::Relaxed);
    assert!(longest < (1 << 20) + 1000 * 300, "{longest} bytes at once");
    let front = wal.shared.lock();
    let index: usize = front.index.segments.iter().map(|segment| segment.run.held_bytes()).sum();
    assert_eq!(index, 4 * 30_000);
    assert_eq!(front.cache.bytes(), 0);
}

#[test]
fn reading_a_little_of_a_long_log_reads_a_little_of_the_disk() {
    let (disk, config) = long_log(10_000);
    let counting = Counting::new(&disk);
    let (wal, _) = Wal::open_stepped(dir(), Arc::new(counting.clone()), config).unwrap();
    let before = counting.read_bytes.load(Ordering::Relaxed);
    assert_eq!(wal.read(5_000, u64::MAX, 10 * 256).unwrap().len(), 10);
    let read = counting.read_bytes.load(Ordering::Relaxed) - before;
    assert!(read < 16 << 10, "{read} bytes for ten entries of 256");
    assert_eq!(wal.read(1, u64::MAX, 100 * 256).unwrap().len(), 100);
    assert!(counting.longest_read.load(Ordering::Relaxed) < (1 << 20) + 1000 * 300);
}

#[test]
fn a_purge_of_nine_tenths_leaves_at_most_a_fifth_of_the_disk() {
    let (disk, config) = long_log(30_000);
    let before = disk.used_bytes();
    let (wal, _) = Wal::open_stepped(dir(), Arc::new(disk.clone()), config).unwrap();
    disk.take_ops();
    commit(&wal, |wal, done| wal.purge(at(27_000, 1), done));
    assert!(disk.used_bytes() * 5 <= before, "{} of {before}", disk.used_bytes());
    assert_eq!(wal.read(0, u64::MAX, usize::MAX).unwrap().len(), 3_000);
    // The purge is durable first; then each removal is, one by one.
    let ops = disk.take_ops();
    assert!(matches!(&ops[..2], [DiskOp::Write { .. }, DiskOp::Sync(_)]));
    assert!(ops.len() > 10);
    for pair in ops[2..].chunks(2) {
        assert!(matches!(pair, [DiskOp::Remove(_), DiskOp::SyncDir]), "{pair:?}");
    }
}
