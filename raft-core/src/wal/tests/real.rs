//! On the machine's own disk, with the writer on its own thread.

use std::time::{Duration, Instant};

use super::*;
use crate::disk::RealDisk;

const PATIENCE: Duration = Duration::from_secs(30);

fn open_real(dir: &Path, config: WalConfig) -> (Wal, Recovery) {
    Wal::open(dir, Arc::new(RealDisk), config).unwrap()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        thread::yield_now();
    }
}

#[test]
fn callers_on_many_threads_share_syncs_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("raft/log");
    let (wal, recovery) = open_real(&path, small());
    assert!(recovery.created);
    let wal = Arc::new(wal);
    thread::scope(|scope| {
        // One appends, as Raft does; others save votes and read meanwhile.
        scope.spawn(|| {
            let mut last = None;
            for index in 1..=500 {
                let (done, result) = ticket();
                wal.append(entries(index..=index, 1), done);
                last = Some(result);
            }
            last.unwrap().recv_timeout(PATIENCE).unwrap().unwrap();
        });
        scope.spawn(|| {
            for number in 0..50 {
                let (done, result) = ticket();
                wal.save_vote(Bytes::from(format!("vote {number}")), done);
                result.recv_timeout(PATIENCE).unwrap().unwrap();
            }
        });
        scope.spawn(|| {
            until("the last entry", || {
                let read = wal.read(1, 501, usize::MAX).unwrap();
                assert!(entries(1..=500, 1).starts_with(&read));
                read.len() == 500
            });
        });
    });
    let stats = wal.stats();
    assert!(stats.groups < 550, "{} groups for 550 changes", stats.groups);
    assert_eq!(stats.sync_buckets.iter().sum::<u64>(), stats.groups);
    assert_eq!(stats.backlog_bytes, 0);
    wal.close().unwrap();
    let (wal, recovery) = open_real(&path, small());
    assert_eq!((recovery.entries, recovery.torn_tail), (500, None));
    assert_eq!(content(&wal).records, entries(1..=500, 1));
    assert_eq!(wal.state().vote.unwrap(), "vote 49");
}

#[test]
fn disk_space_comes_back_after_a_purge_while_entries_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_real(dir.path(), small());
    for first in (1..2000).step_by(20) {
        let (done, result) = ticket();
        wal.append(entries(first..=first + 19, 1), done);
        result.recv_timeout(PATIENCE).unwrap().unwrap();
    }
    let before = wal.stats();
    thread::scope(|scope| {
        scope.spawn(|| {
            for from in 1..=2000 {
                let read = wal.read(from, from + 5, 10_000).unwrap();
                assert!(
                    read.iter().all(|record| entries(record.index..=record.index, 1)[0] == *record)
                );
            }
        });
        for index in (100..=1800).step_by(100) {
            let (done, result) = ticket();
            wal.purge(at(index, 1), done);
            result.recv_timeout(PATIENCE).unwrap().unwrap();
        }
    });
    until("the removal", || wal.stats().disk_bytes * 5 <= before.disk_bytes);
    wal.close().unwrap();
    let on_disk: u64 = RealDisk.list(dir.path()).unwrap().iter().map(|entry| entry.bytes).sum();
    assert!(on_disk * 5 <= before.disk_bytes, "{on_disk} of {}", before.disk_bytes);
    let (wal, _) = open_real(dir.path(), small());
    assert_eq!(content(&wal).records, entries(1801..=2000, 1));
}

#[test]
fn a_second_owner_is_kept_out_of_a_real_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_real(dir.path(), small());
    let second = Wal::open(dir.path(), Arc::new(RealDisk), small());
    assert!(matches!(second, Err(WalError::Locked { .. })));
    drop(wal);
    open_real(dir.path(), small());
}

#[test]
fn a_caller_that_outruns_the_disk_is_held_back_not_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = WalConfig { room_bytes: 1000, backlog_max_bytes: 2000, cache_bytes: 0, ..small() };
    let (wal, _) = open_real(dir.path(), config);
    let (sender, results) = mpsc::channel();
    for index in 1..=300 {
        let sender = sender.clone();
        wal.append(entries(index..=index, 1), Box::new(move |result| sender.send(result).unwrap()));
        assert!(wal.stats().backlog_bytes <= 2000 + 500, "one append beyond the bound at most");
    }
    drop(sender);
    wal.close().unwrap();
    assert_eq!(results.iter().filter(Result::is_ok).count(), 300);
}

#[test]
fn the_last_handle_may_be_dropped_by_a_callback() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Arc::new(open_real(dir.path(), small()).0);
    let (done, result) = ticket();
    let handle = Arc::clone(&wal);
    wal.append(
        entries(1..=1, 1),
        Box::new(move |outcome| {
            drop(handle);
            done(outcome);
        }),
    );
    drop(wal);
    result.recv_timeout(PATIENCE).unwrap().unwrap();
    until("the lock to be free", || Wal::open(dir.path(), Arc::new(RealDisk), small()).is_ok());
}
