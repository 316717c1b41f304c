//! What the log must show, on a disk that fails on demand and on a real one.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};

use super::*;
use crate::disk::sim::SimDisk;

mod ahead;
mod behaviour;
mod bounds;
mod crash;
mod damage;
mod enumeration;
mod failure;
mod golden;
mod history;
mod race;
mod real;
mod roll;
mod trace;

/// Small segments, so that a short test has several, and a cache that holds nothing durable. What
/// is written ahead is less than two sectors, so that groups end before, in and behind it.
fn small() -> WalConfig {
    WalConfig { segment_bytes: 4096, cache_bytes: 0, ahead_bytes: 700, ..WalConfig::default() }
}

fn dir() -> &'static Path {
    Path::new("log")
}

fn open(disk: &SimDisk) -> Result<(Wal, Recovery), WalError> {
    Wal::open_stepped(dir(), Arc::new(disk.clone()), small())
}

/// Entries of `term` with payloads that hold no zero byte.
fn entries(range: std::ops::RangeInclusive<u64>, term: u64) -> Vec<Record> {
    range
        .map(|index| {
            let length = 20 + (index * 37 + term * 11) % 180;
            let byte = 1 + (index * 7 + term) as u8 % 250;
            Record { index, term, payload: Bytes::from(vec![byte; length as usize]) }
        })
        .collect()
}

/// A callback and where its result arrives.
fn ticket() -> (Durable, Receiver<io::Result<()>>) {
    let (sender, receiver) = mpsc::channel();
    let done = Box::new(move |result| {
        let _ = sender.send(result);
    });
    (done, receiver)
}

/// Submits one change and steps until it is durable.
fn commit(wal: &Wal, change: impl FnOnce(&Wal, Durable)) {
    let (done, result) = ticket();
    change(wal, done);
    while wal.step() {}
    result.try_recv().expect("called").expect("durable");
}

fn append(wal: &Wal, records: Vec<Record>) {
    commit(wal, |wal, done| wal.append(records, done));
}

fn at(index: u64, term: u64) -> LogPosition {
    LogPosition { index, term }
}

/// All a reader can see but the committed pointer, which may lag after a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    purged: Option<LogPosition>,
    last: Option<LogPosition>,
    vote: Option<Bytes>,
    records: Vec<Record>,
}

fn content(store: &dyn LogStore) -> Content {
    let LogState { purged, last, vote, .. } = store.state();
    let records = store.read(0, u64::MAX, usize::MAX).expect("readable");
    assert_eq!(records.last().map(Record::position).or(purged), last);
    Content { purged, last, vote, records }
}

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    disk.paths()
}

/// A log of several segments with a little of everything, closed.
fn varied_log(seed: u64) -> (SimDisk, Content) {
    let disk = SimDisk::new(seed);
    let (wal, recovery) = open(&disk).unwrap();
    assert!(recovery.created);
    commit(&wal, |wal, done| wal.save_vote(Bytes::from_static(b"vote 1"), done));
    for first in (1..=60).step_by(3) {
        append(&wal, entries(first..=first + 2, 1));
    }
    wal.save_committed(Bytes::from_static(b"committed 50"));
    commit(&wal, |wal, done| wal.truncate_after(Some(55), done));
    commit(&wal, |wal, done| wal.save_vote(Bytes::from_static(b"vote 2"), done));
    for first in (56..=80).step_by(5) {
        append(&wal, entries(first..=first + 4, 2));
    }
    let content = content(&wal);
    wal.close().unwrap();
    assert!(segments(&disk).len() >= 3, "several segments");
    (disk, content)
}

#[test]
fn every_test_that_the_documentation_names_exists() {
    let documentation: String = include_str!("../wal.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{line}\n"))
        .collect();
    let (_, promises) = documentation.split_once("# What is promised").unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wal/tests");
    let tests: String = std::fs::read_dir(sources)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let named: Vec<&str> =
        promises.split('`').skip(1).step_by(2).filter(|name| name.contains('_')).collect();
    assert!(named.len() > 20);
    for name in named {
        assert!(tests.contains(&format!("#[test]\nfn {name}() {{")), "there is no test {name}");
    }
}
