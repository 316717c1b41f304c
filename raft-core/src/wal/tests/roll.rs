//! The moment between two segments: the new one is durable, the old one not yet sealed.

use super::*;
use crate::disk::sim::Crash;
use crate::disk::sim::state::{DiskOp, Fault};

/// A log whose machine went down right before the first seal was written: the disk, both files,
/// and what the log held.
fn unsealed() -> (SimDisk, PathBuf, PathBuf, Content) {
    let work = |disk: &SimDisk| {
        let (wal, _) = open(disk).unwrap();
        let mut before = Content::default();
        let mut next = 1;
        while wal.failed().is_none() && segments(disk).len() < 2 {
            before = content(&wal);
            wal.append(entries(next..=next + 2, 1), ticket().0);
            while wal.step() {}
            next += 3;
        }
        before
    };
    let healthy = SimDisk::new(1);
    work(&healthy);
    let ops = healthy.take_ops();
    let created = ops.iter().rposition(|op| matches!(op, DiskOp::Create(_))).unwrap();
    let disk = SimDisk::new(1);
    // Behind create, write, sync and directory sync comes the write of the seal.
    disk.fail_after(created as u64 + 4, Fault::PowerOff);
    let before = work(&disk);
    disk.crash(Crash::PowerNothing);
    let files = segments(&disk);
    assert_eq!(files.len(), 2);
    (disk, files[0].clone(), files[1].clone(), before)
}

fn is_corrupt(disk: &SimDisk, expected: &Path) -> bool {
    matches!(open(disk), Err(WalError::Corrupt { file, .. }) if file == expected)
}

#[test]
fn a_successor_that_was_never_used_is_removed_and_made_again() {
    let (disk, _, new, before) = unsealed();
    let (wal, recovery) = open(&disk).unwrap();
    assert_eq!(recovery.unfinished_segment.as_deref(), Some(new.as_path()));
    assert_eq!(recovery.torn_tail, None);
    assert_eq!(content(&wal), before);
    let next = before.last.unwrap().index + 1;
    append(&wal, entries(next..=next + 30, 2));
    let after = content(&wal);
    wal.close().unwrap();
    assert_eq!(segments(&disk).len(), 2);
    assert_eq!(content(&open(&disk).unwrap().0), after);
}

#[test]
fn a_successor_torn_at_any_byte_is_removed() {
    let (disk, _, new, before) = unsealed();
    let whole = disk.bytes(&new).unwrap();
    for length in 0..whole.len() {
        for torn in [whole[..length].to_vec(), vec![0; length]] {
            let copy = disk.fork(1);
            copy.put(&new, torn);
            let (wal, recovery) = open(&copy).unwrap();
            assert!(recovery.unfinished_segment.is_some());
            assert_eq!(content(&wal), before);
        }
    }
}

#[test]
fn a_predecessor_that_changed_is_refused_whatever_the_successor_is() {
    let (disk, old, new, _) = unsealed();
    let (whole, start) = (disk.bytes(&old).unwrap(), disk.bytes(&new).unwrap());
    for successor in [start.clone(), start[..start.len() / 2].to_vec(), Vec::new()] {
        let copy = disk.fork(1);
        copy.put(&new, successor.clone());
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            copy.put(&old, bytes);
            assert!(is_corrupt(&copy, &old), "byte {at}, successor of {}", successor.len());
        }
        for length in 0..whole.len() {
            copy.put(&old, whole[..length].to_vec());
            let at_the_end_of_a_group = successor.len() < start.len()
                && open(&copy).is_ok_and(|(_, recovery)| recovery.torn_tail.is_none());
            if !at_the_end_of_a_group {
                copy.put(&new, successor.clone());
                copy.put(&old, whole[..length].to_vec());
                assert!(is_corrupt(&copy, &old), "cut to {length} of {}", whole.len());
            }
            copy.put(&new, successor.clone());
        }
    }
}

#[test]
fn a_seal_torn_at_any_byte_is_cut_and_one_that_was_durable_is_not() {
    let (disk, old, _, before) = unsealed();
    let whole = disk.bytes(&old).unwrap();
    let found = scan::scan(
        &old,
        &whole,
        segment::Head::decode(&whole).unwrap(),
        &mut scan::Rebuilt::default(),
    )
    .unwrap();
    let seal = group::GroupHeader { kind: group::GroupKind::Seal, ..found.expected() };
    let seal = seal.encode(found.head.nonce);
    for length in 0..seal.len() {
        let mut bytes = whole.clone();
        bytes.extend_from_slice(&seal[..length]);
        for fill in [length, seal.len()] {
            let copy = disk.fork(1);
            bytes.resize(whole.len() + fill, 0);
            copy.put(&old, bytes.clone());
            let (wal, recovery) = open(&copy).unwrap();
            assert_eq!(content(&wal), before);
            // Nothing but zeros is not told: they may have been written ahead.
            let told = if length == 0 { 0 } else { fill };
            assert_eq!(recovery.torn_tail.map_or(0, |torn| torn.bytes), told as u64);
        }
    }
    let copy = disk.fork(1);
    copy.put(&old, [whole.as_slice(), &[0; 49]].concat());
    assert!(is_corrupt(&copy, &old), "nothing longer than a seal was ever written there");
    let mut bytes = whole.clone();
    bytes.extend_from_slice(&seal);
    disk.put(&old, bytes.clone());
    let (wal, recovery) = open(&disk).unwrap();
    assert_eq!((recovery.unfinished_segment, recovery.torn_tail), (None, None));
    assert_eq!(content(&wal), before);
    wal.close().unwrap();
    bytes.push(1);
    disk.put(&old, bytes);
    assert!(is_corrupt(&disk, &old), "bytes behind the seal");
}
