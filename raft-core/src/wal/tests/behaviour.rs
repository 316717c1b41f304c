//! Without faults: order, visibility, groups, segments, memory.

use super::*;
use crate::disk::sim::state::DiskOp;

#[test]
fn an_entry_is_readable_before_it_is_durable_and_acknowledged_after() {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    let (done, result) = ticket();
    wal.append(entries(1..=3, 1), done);
    assert_eq!(content(&wal).records, entries(1..=3, 1));
    assert_eq!(wal.durable_last(), None);
    assert!(result.try_recv().is_err(), "not called yet");
    assert!(wal.step());
    result.try_recv().unwrap().unwrap();
    assert_eq!(wal.durable_last(), Some(at(3, 1)));
    assert!(!wal.step());
}

#[test]
fn every_acknowledgement_follows_a_sync_of_what_it_acknowledges() {
    let disk = SimDisk::new(1);
    let (wal, _) = Wal::open_stepped(dir(), Arc::new(disk.clone()), WalConfig::default()).unwrap();
    let file = segments(&disk)[0].clone();
    for round in 0..20_u64 {
        disk.take_ops();
        let (sender, receiver) = mpsc::channel();
        let seen = disk.clone();
        let done = Box::new(move |_| sender.send(seen.take_ops()).unwrap());
        match round % 4 {
            0 => wal.append(entries(round + 1..=round + 4, 1), done),
            1 => wal.save_vote(Bytes::from(vec![b'v'; 9]), done),
            2 => wal.truncate_after(Some(round), done),
            _ => wal.append(entries(round..=round + 1, 1), done),
        }
        assert_eq!(disk.take_ops(), [], "nothing is written by the caller");
        wal.step();
        match receiver.recv().unwrap().as_slice() {
            [DiskOp::Write { path, .. }, DiskOp::Sync(synced)] => {
                assert_eq!((path, synced), (&file, &file));
            }
            other => panic!("round {round}: {other:?}"),
        }
    }
}

#[test]
fn a_segment_is_durable_before_its_predecessor_is_sealed_and_both_before_use() {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    append(&wal, entries(1..=20, 1));
    disk.take_ops();
    append(&wal, entries(21..=50, 1));
    let (old, new) = (segments(&disk)[0].clone(), segments(&disk)[1].clone());
    let ops = disk.take_ops();
    let kinds: Vec<(&str, &Path)> = ops
        .iter()
        .map(|op| match op {
            DiskOp::Create(path) => ("create", path.as_path()),
            DiskOp::Write { path, .. } => ("write", path.as_path()),
            DiskOp::Sync(path) => ("sync", path.as_path()),
            DiskOp::SyncDir => ("sync", dir()),
            DiskOp::Cut(path) => ("cut", path.as_path()),
            other => panic!("{other:?}"),
        })
        .collect();
    let (old, new) = (old.as_path(), new.as_path());
    assert_eq!(
        kinds,
        [
            // The zeros written ahead.
            ("cut", old),
            ("create", new),
            ("write", new),
            ("sync", new),
            ("sync", dir()),
            ("write", old),
            ("sync", old),
            ("write", new),
            ("sync", new),
        ]
    );
}

/// d-engine#422, d-engine#424: one sync after the other, in the way of everything else.
#[test]
fn all_that_queues_behind_a_sync_rides_on_the_next() {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    let mut results = Vec::new();
    for index in 1..=64 {
        let (done, result) = ticket();
        wal.append(entries(index..=index, 1), done);
        results.push(result);
    }
    assert!(wal.step());
    assert!(results.iter().all(|result| matches!(result.try_recv(), Ok(Ok(())))));
    assert_eq!((wal.stats().groups, wal.stats().syncs), (1, 1));
    assert!(!wal.step());
}

#[test]
fn a_committed_pointer_rides_on_the_next_group_or_on_the_close() {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    wal.save_committed(Bytes::from_static(b"one"));
    assert_eq!(wal.state().committed.unwrap(), "one");
    assert!(!wal.step(), "it needs no sync of its own");
    wal.save_committed(Bytes::from_static(b"two"));
    append(&wal, entries(1..=1, 1));
    assert_eq!(wal.stats().groups, 1);
    wal.save_committed(Bytes::from_static(b"three"));
    wal.close().unwrap();
    let (wal, _) = open(&disk).unwrap();
    assert_eq!(wal.state().committed.unwrap(), "three");
}

#[test]
fn a_log_opens_as_it_was_closed_and_twice_the_same() {
    let (disk, before) = varied_log(1);
    let bytes: Vec<_> = segments(&disk).iter().map(|path| disk.bytes(path)).collect();
    for _ in 0..2 {
        let (wal, recovery) = open(&disk).unwrap();
        assert_eq!(content(&wal), before);
        assert_eq!(wal.durable_last(), before.last);
        assert_eq!(wal.state().committed.unwrap(), "committed 50");
        assert_eq!((recovery.created, recovery.torn_tail), (false, None));
        assert_eq!(recovery.entries, 80);
        wal.close().unwrap();
    }
    let after: Vec<_> = segments(&disk).iter().map(|path| disk.bytes(path)).collect();
    assert_eq!(bytes, after);
}

#[test]
fn old_entries_come_from_the_disk_and_within_the_limit_of_bytes() {
    let (disk, before) = varied_log(1);
    let (wal, _) = open(&disk).unwrap();
    assert_eq!(wal.read_cached(1, 5, 1000).unwrap(), None);
    for from in 1..=80_u64 {
        for max_bytes in [0, 1, 300, 1000, 5000] {
            let read = wal.read(from, 81, max_bytes).unwrap();
            let expected = &before.records[from as usize - 1..];
            assert_eq!(read, expected[..read.len()]);
            let bytes: usize = read.iter().map(|record| record.payload.len()).sum();
            assert!(bytes <= max_bytes || read.len() == 1);
            let next = expected.get(read.len()).map_or(usize::MAX, |next| next.payload.len());
            assert!(bytes.saturating_add(next) > max_bytes, "{from} {max_bytes} stops too early");
        }
    }
    assert_eq!(wal.stats().cache_bytes, 0);
    assert_eq!(wal.read(7, 7, 100).unwrap(), []);
    assert_eq!(wal.read(81, 99, 100).unwrap(), []);
    assert_eq!(wal.read(9, 3, 100).unwrap(), []);
}

#[test]
fn the_cache_serves_the_tail_and_stays_within_its_bound() {
    let disk = SimDisk::new(1);
    let config = WalConfig { cache_bytes: 4000, ..small() };
    let (wal, _) = Wal::open_stepped(dir(), Arc::new(disk), config).unwrap();
    for first in (1..=400).step_by(4) {
        append(&wal, entries(first..=first + 3, 1));
        assert!(wal.stats().cache_bytes <= 4000);
    }
    assert_eq!(wal.read_cached(398, 401, usize::MAX).unwrap().unwrap(), entries(398..=400, 1));
    assert_eq!(wal.read_cached(398, 999, 0).unwrap().unwrap(), entries(398..=398, 1));
    assert_eq!(wal.stats().disk_reads, 0);
    assert_eq!(wal.read_cached(1, 401, usize::MAX).unwrap(), None);
    assert_eq!(wal.read(1, 999, usize::MAX).unwrap(), entries(1..=400, 1));
    assert!(wal.stats().disk_reads > 300);
}

#[test]
fn the_same_indexes_can_be_truncated_and_appended_again_with_a_full_cache() {
    for cache_bytes in [0, 2000, 16 << 20] {
        let disk = SimDisk::new(1);
        let config = WalConfig { cache_bytes, ..small() };
        let (wal, _) = Wal::open_stepped(dir(), Arc::new(disk.clone()), config).unwrap();
        append(&wal, entries(1..=100, 1));
        let (done, results) = ticket();
        wal.truncate_after(Some(40), done);
        assert_eq!(wal.durable_last(), Some(at(40, 1)), "at once");
        wal.append(entries(41..=90, 2), ticket().0);
        assert_eq!(wal.durable_last(), Some(at(40, 1)));
        let mut expected = entries(1..=40, 1);
        expected.extend(entries(41..=90, 2));
        assert_eq!(wal.read(1, 999, usize::MAX).unwrap(), expected);
        while wal.step() {}
        results.try_recv().unwrap().unwrap();
        assert_eq!(wal.read(1, 999, usize::MAX).unwrap(), expected);
        assert_eq!(wal.durable_last(), Some(at(90, 2)));
        wal.close().unwrap();
        let (wal, _) = open(&disk).unwrap();
        assert_eq!(wal.read(1, 999, usize::MAX).unwrap(), expected);
    }
}

#[test]
fn a_truncation_overtakes_entries_on_their_way_to_the_disk() {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    append(&wal, entries(1..=5, 1));
    wal.append(entries(6..=10, 1), ticket().0);
    let mut spare = Vec::new();
    // The group with 6 to 10 is taken, as by a writer that is about to write it.
    let taken = wal.shared.lock().take(&mut spare);
    assert!(taken.is_some());
    wal.truncate_after(Some(7), ticket().0);
    wal.append(entries(8..=9, 2), ticket().0);
    wal.shared.lock().publish(1000, 2000);
    assert_eq!(wal.durable_last(), Some(at(7, 1)), "8 of term 1 was never part of this log");
}

#[test]
fn a_purge_frees_whole_segments() {
    let (disk, before) = varied_log(1);
    let (wal, _) = open(&disk).unwrap();
    let all = disk.used_bytes();
    commit(&wal, |wal, done| wal.purge(at(76, 2), done));
    let left = wal.stats().disk_bytes;
    assert!(left <= all / 4, "{left} of {all}");
    let ahead = disk.used_bytes() - left;
    assert!(ahead <= small().ahead_bytes, "{ahead} bytes written ahead");
    assert_eq!(wal.stats().segments, segments(&disk).len() as u64);
    assert_eq!(wal.read(0, 99, usize::MAX).unwrap(), before.records[76..]);
    commit(&wal, |wal, done| wal.purge(at(70, 2), done));
    assert_eq!(wal.state().purged, Some(at(76, 2)), "a purge never goes back");
    wal.close().unwrap();
    assert_eq!(wal.stats().disk_bytes, disk.used_bytes());
    wal.close().unwrap();
    let (wal, recovery) = open(&disk).unwrap();
    assert_eq!(recovery.entries, 4);
    assert_eq!(wal.state().vote.as_deref(), Some(&b"vote 2"[..]));
    assert_eq!(content(&wal).records, before.records[76..]);
}

#[test]
fn a_purge_beyond_the_end_empties_the_log_which_goes_on_behind_it() {
    let (disk, _) = varied_log(1);
    let (wal, _) = open(&disk).unwrap();
    commit(&wal, |wal, done| wal.purge(at(500, 9), done));
    assert_eq!(wal.state().last, Some(at(500, 9)));
    assert_eq!(wal.durable_last(), Some(at(500, 9)));
    assert_eq!(segments(&disk).len(), 1);
    append(&wal, entries(501..=510, 9));
    commit(&wal, |wal, done| wal.truncate_after(None, done));
    assert_eq!(wal.state().last, Some(at(500, 9)));
    append(&wal, entries(501..=502, 10));
    let before = content(&wal);
    wal.close().unwrap();
    let (wal, _) = open(&disk).unwrap();
    assert_eq!(content(&wal), before);
}

#[test]
fn what_breaks_the_rules_is_refused_and_changes_nothing() {
    let (disk, before) = varied_log(1);
    let (wal, _) = open(&disk).unwrap();
    commit(&wal, |wal, done| wal.purge(at(10, 1), done));
    let refused = |change: &dyn Fn(Durable)| {
        let (done, result) = ticket();
        change(done);
        let error = result.try_recv().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    };
    refused(&|done| wal.append(entries(82..=82, 1), done));
    refused(&|done| wal.append(entries(80..=80, 1), done));
    refused(&|done| wal.truncate_after(Some(9), done));
    refused(&|done| wal.purge(at(u64::MAX, 1), done));
    refused(&|done| wal.save_vote(Bytes::from(vec![0; 5000]), done));
    assert!(!wal.step());
    assert_eq!(content(&wal).records, before.records[10..]);
    assert!(wal.failed().is_none());
    append(&wal, entries(81..=81, 3));
}

#[test]
fn a_group_longer_than_a_segment_is_kept_whole() {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    append(&wal, entries(1..=200, 1));
    append(&wal, entries(201..=400, 1));
    append(&wal, entries(401..=401, 1));
    assert_eq!(segments(&disk).len(), 3);
    let before = content(&wal);
    wal.close().unwrap();
    assert_eq!(content(&open(&disk).unwrap().0), before);
}

#[test]
fn a_closed_log_refuses_changes_and_can_be_read() {
    let (disk, before) = varied_log(1);
    let (wal, _) = open(&disk).unwrap();
    wal.close().unwrap();
    let (done, result) = ticket();
    wal.append(entries(81..=81, 2), done);
    assert_eq!(result.try_recv().unwrap().unwrap_err().kind(), io::ErrorKind::NotConnected);
    assert_eq!(content(&wal), before);
    wal.close().unwrap();
}

#[test]
fn a_second_owner_is_kept_out() {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(WalError::Locked { .. })));
    wal.close().unwrap();
    assert!(open(&disk).is_ok());
}

#[test]
fn there_is_room_again_when_the_backlog_is_durable() {
    let disk = SimDisk::new(1);
    let config = WalConfig { room_bytes: 500, ..small() };
    let (wal, _) = Wal::open_stepped(dir(), Arc::new(disk), config).unwrap();
    let roomy = |wal: &Wal| {
        let (sender, receiver) = mpsc::channel();
        wal.when_room(Box::new(move || sender.send(()).unwrap()));
        receiver
    };
    roomy(&wal).try_recv().unwrap();
    wal.append(entries(1..=10, 1), ticket().0);
    let waits = roomy(&wal);
    assert!(waits.try_recv().is_err());
    wal.step();
    waits.try_recv().unwrap();
}

#[test]
fn an_emptied_log_may_go_on_at_any_later_index() {
    for steps in 0..16 {
        let disk = SimDisk::new(1);
        let (wal, _) = open(&disk).unwrap();
        let step = |number: u32| {
            if steps & 1 << number != 0 {
                wal.step();
            }
        };
        wal.append(entries(1..=10, 1), ticket().0);
        step(0);
        wal.purge(at(5, 1), ticket().0);
        step(1);
        wal.truncate_after(Some(5), ticket().0);
        step(2);
        wal.append(entries(9..=12, 2), ticket().0);
        step(3);
        while wal.step() {}
        let before = content(&wal);
        assert_eq!(before.records, entries(9..=12, 2));
        wal.close().unwrap();
        assert_eq!(content(&open(&disk).unwrap().0), before);
    }
}

#[test]
fn a_purge_overtakes_entries_on_their_way_to_the_disk() {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    wal.append(entries(1..=5, 1), ticket().0);
    let taken = wal.shared.lock().take(&mut Vec::new());
    assert!(taken.is_some());
    wal.purge(at(5, 1), ticket().0);
    wal.append(entries(9..=9, 1), ticket().0);
    wal.shared.lock().publish(120, 1000);
    assert_eq!(wal.durable_last(), Some(at(5, 1)));
    let taken = wal.shared.lock().take(&mut Vec::new());
    assert!(taken.is_some());
    wal.shared.lock().publish(1000, 1500);
    assert_eq!(wal.durable_last(), Some(at(9, 1)));
    let extent = wal.shared.lock().index.extent(9, 10, 9).unwrap();
    assert_eq!(extent.offsets.len(), 1);
}

#[test]
fn removals_and_groups_take_turns() {
    let (disk, _) = varied_log(1);
    let (wal, _) = open(&disk).unwrap();
    wal.purge(at(80, 2), ticket().0);
    wal.step();
    let (mut files, mut rounds) = (segments(&disk).len(), 0);
    assert!(files >= 3);
    for index in 81.. {
        if segments(&disk).len() == 1 {
            break;
        }
        let (done, result) = ticket();
        wal.append(entries(index..=index, 2), done);
        wal.step();
        wal.step();
        assert!(result.try_recv().unwrap().is_ok(), "a group waits for one removal at most");
        assert!(segments(&disk).len() < files, "a removal waits for one group at most");
        (files, rounds) = (segments(&disk).len(), rounds + 1);
    }
    assert!(rounds >= 2);
}
