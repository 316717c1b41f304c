//! Is the disk quick enough for the timeouts? Measured at start, on the data directory itself.
//!
//! Raft works while its broadcast time is an order of magnitude below the election timeout (paper
//! §5.6), and a member answers an append only when it is on disk. A disk that takes longer makes
//! elections without any other cause; nobody but the one who chose disk and timeouts can help, so
//! that is told, and nothing is refused.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::disk::Disk;

/// The file's name in the data directory.
const NAME: &str = "disk-check.tmp";

/// Writes to measure.
const WRITES: usize = 32;

/// Bytes of each: a small append.
const WRITE_BYTES: usize = 4096;

/// Time after which no further write is made.
const BUDGET: Duration = Duration::from_millis(250);

/// How many times a slow append must fit into the shortest election timeout.
const FACTOR: u32 = 10;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiskCheck {
    /// How many writes.
    pub(crate) writes: usize,
    /// Half of them took no longer.
    pub(crate) median: Duration,
    /// Nine of ten took no longer.
    pub(crate) slow: Duration,
}

impl DiskCheck {
    /// Writes and syncs a small file in `dir` for at most a quarter of a second (and the time of
    /// one write), and removes it. Blocks. A file that a crash left there is removed, too.
    pub(crate) fn run(disk: &dyn Disk, dir: &Path) -> io::Result<DiskCheck> {
        let path = dir.join(NAME);
        match disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(&path)?;
        let began = Instant::now();
        let mut times = Vec::with_capacity(WRITES);
        let mut write = |number: usize| {
            let start = Instant::now();
            file.write_at(&[0x5a; WRITE_BYTES], (number * WRITE_BYTES) as u64)?;
            file.sync_data()?;
            times.push(start.elapsed());
            Ok(())
        };
        let mut written = Ok(());
        for number in 0..WRITES {
            if written.is_ok() && began.elapsed() < BUDGET {
                written = write(number);
            }
        }
        disk.remove(&path)?;
        written.map(|()| DiskCheck::of(times))
    }

    fn of(mut times: Vec<Duration>) -> DiskCheck {
        times.sort_unstable();
        let at = |share: usize| times.get((times.len() * share / 100).min(times.len().max(1) - 1));
        DiskCheck {
            writes: times.len(),
            median: at(50).copied().unwrap_or_default(),
            slow: at(90).copied().unwrap_or_default(),
        }
    }

    /// What is too short for this disk, if anything is.
    pub(crate) fn advice(&self, heartbeat: Duration, election_min: Duration) -> Option<Advice> {
        let advice = Advice { heartbeat: self.slow, election_min: self.slow * FACTOR };
        let fits = heartbeat >= advice.heartbeat && election_min >= advice.election_min;
        (!fits).then_some(advice)
    }
}

/// The least timeouts a disk allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    /// `heartbeat_interval`.
    pub(crate) heartbeat: Duration,
    /// `election_timeout_min`.
    pub(crate) election_min: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::disk::sim::SimDisk;
    use crate::disk::sim::state::Fault;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_real_disk_is_measured_in_time_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), "left by a crash").unwrap();
        let check = DiskCheck::run(&RealDisk, dir.path()).unwrap();
        assert!((1..=WRITES).contains(&check.writes), "{check:?}");
        assert!(check.median <= check.slow && check.slow > Duration::ZERO, "{check:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_disk_that_fails_the_check_says_so_and_keeps_nothing() {
        let disk = SimDisk::new(1);
        disk.fail_after(9, Fault::Io);
        DiskCheck::run(&disk, Path::new("data")).unwrap_err();
        assert_eq!(disk.used_bytes(), 0);
        disk.set_capacity(10_000);
        let full = DiskCheck::run(&disk, Path::new("data")).unwrap_err();
        assert_eq!((full.kind(), disk.used_bytes()), (io::ErrorKind::StorageFull, 0));
    }

    #[test]
    fn a_slow_append_must_fit_ten_times_into_the_election_timeout() {
        let times = (1..=20).map(|number| MS * number).collect();
        let check = DiskCheck::of(times);
        assert_eq!((check.writes, check.median, check.slow), (20, MS * 11, MS * 19));
        assert_eq!(check.advice(MS * 60, MS * 190), None);
        let advice = Advice { heartbeat: MS * 19, election_min: MS * 190 };
        assert_eq!(check.advice(MS * 60, MS * 189), Some(advice));
        assert_eq!(check.advice(MS * 18, MS * 500), Some(advice));
        assert_eq!(DiskCheck::of(Vec::new()).slow, Duration::ZERO);
    }
}
