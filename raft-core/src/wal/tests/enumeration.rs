//! Every crash state of every short piece of work: not a sample, all of them.
//!
//! For each sequence of changes, for each way to gather them into groups, for each operation on
//! the disk, the machine goes down during it; of what was not synced every subset of sectors and
//! names survives under every length that makes a difference; and each of these disks is opened.

use super::history::{Change, History};
use super::*;
use crate::disk::sim::Crash;
use crate::disk::sim::state::Fault;

/// Disks tried after one power loss; there are fewer nearly always.
const STATES_MAX: usize = 600;

/// What the changes of a sequence are made of; each depends on what the log holds by then.
const KINDS: [fn(&LogState) -> Change; 7] = [
    |log| append(log, &[40], 0),
    // Several sectors, and a new term.
    |log| append(log, &[300, 700, 20], 1),
    |log| Change::Vote(Bytes::from(format!("vote after {:?}", log.last))),
    |log| Change::Committed(Bytes::from(format!("committed {:?}", log.last))),
    |log| {
        let purged = log.purged.map_or(0, |purged| purged.index);
        let last = log.last.map_or(0, |last| last.index);
        Change::Truncate(Some(purged.max(last.saturating_sub(2))))
    },
    |log| Change::Purge(log.last.unwrap_or(at(3, 1))),
    // As after a snapshot of the leader.
    |log| {
        let last = log.last.unwrap_or(at(1, 1));
        Change::Purge(at(last.index + 4, last.term))
    },
];

fn append(log: &LogState, lengths: &[usize], later: u64) -> Change {
    let (next, term) = log.last.map_or((1, 1), |last| (last.index + 1, last.term + later));
    let records = (next..).zip(lengths).map(|(index, length)| {
        // No byte is zero, so that a missing sector shows.
        let payload = Bytes::from(vec![1 + (index * 7 + term) as u8 % 250; *length]);
        Record { index, term, payload }
    });
    Change::Append(records.collect())
}

/// A disk with a log on it, and what that holds.
struct Start {
    disk: SimDisk,
    content: Content,
}

/// No log at all.
fn nothing() -> Start {
    Start { disk: SimDisk::new(1), content: Content::default() }
}

/// A log whose next group but one opens another segment, after one that a purge can remove.
fn nearly_full() -> Start {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    commit(&wal, |wal, done| wal.save_vote(Bytes::from_static(b"a vote"), done));
    super::append(&wal, entries(1..=20, 1));
    super::append(&wal, entries(21..=30, 1));
    super::append(&wal, entries(31..=40, 1));
    assert_eq!(segments(&disk).len(), 2);
    // Room for one small group is left, and for the seal.
    let all = wal.stats().disk_bytes as usize;
    let length = all - disk.bytes(&segments(&disk)[0]).unwrap().len();
    let payload = Bytes::from(vec![1; 3900 - length - 80]);
    super::append(&wal, vec![Record { index: 41, term: 1, payload }]);
    let content = content(&wal);
    wal.close().unwrap();
    Start { disk, content }
}

/// Does the work; bit `n` of `together` says that change `n` waits for the next one.
fn work(disk: &SimDisk, history: &mut History, kinds: &[usize], together: usize) {
    let Ok((wal, _)) = open(disk) else { return };
    for (number, kind) in kinds.iter().enumerate() {
        let change = KINDS[*kind](&history.twin.state());
        history.make(&wal, change);
        if together >> number & 1 == 0 || number + 1 == kinds.len() {
            // One step is one group, or one removal of a segment.
            while wal.step() {}
        }
        if wal.failed().is_some() {
            break;
        }
        history.note_acknowledged();
    }
    history.note_acknowledged();
    // A pointer that waits is written when the log is closed.
    let _ = wal.close();
}

/// Tries one sequence; returns how many disks were opened.
fn try_all(start: &Start, kinds: &[usize], together: usize) -> usize {
    let healthy = start.disk.fork(1);
    work(&healthy, &mut History::new(start.content.clone()), kinds, together);
    let mut tried = 0;
    for stop in 0..healthy.op_count() {
        let disk = start.disk.fork(1);
        disk.fail_after(stop, Fault::PowerOff);
        let mut history = History::new(start.content.clone());
        work(&disk, &mut history, kinds, together);
        for (number, left) in disk.survivors(STATES_MAX, stop).into_iter().enumerate() {
            let what = || format!("{kinds:?} {together:b}, operation {stop}, state {number}");
            let (wal, _) = open(&left).unwrap_or_else(|error| panic!("{}: {error}", what()));
            let found = content(&wal);
            history.check(&found, &what());
            assert_eq!(wal.durable_last(), found.last, "{}", what());
            drop(wal);
            // What was served after the restart is there after the next power loss.
            left.crash(Crash::PowerNothing);
            assert_eq!(content(&open(&left).unwrap().0), found, "{}", what());
            tried += 1;
        }
    }
    tried
}

fn sequences(length: usize) -> impl Iterator<Item = Vec<usize>> {
    let count = KINDS.len().pow(length as u32);
    (0..count).map(move |number| {
        (0..length).map(|place| number / KINDS.len().pow(place as u32) % KINDS.len()).collect()
    })
}

#[test]
fn every_crash_state_of_every_two_changes_of_a_new_log_is_recovered() {
    let tried: usize = sequences(2)
        .flat_map(|kinds| [0, 1].map(|together| try_all(&nothing(), &kinds, together)))
        .sum();
    assert!(tried > 4_000, "{tried} states");
}

#[test]
fn every_crash_state_of_every_two_changes_at_the_end_of_a_segment_is_recovered() {
    let start = nearly_full();
    let tried: usize = sequences(2)
        .flat_map(|kinds| [0, 1].map(|together| try_all(&start, &kinds, together)))
        .sum();
    assert!(tried > 5_000, "{tried} states");
}

#[test]
fn every_crash_state_of_every_three_changes_is_recovered() {
    let start = nearly_full();
    // All ways to gather them are tried, though not with every sequence.
    let tried: usize =
        sequences(3).enumerate().map(|(n, kinds)| try_all(&start, &kinds, n % 4)).sum();
    assert!(tried > 20_000, "{tried} states");
}
