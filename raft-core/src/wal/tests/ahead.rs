//! Zeros written ahead of the groups to come: what they change, and what they must not.

use super::*;

/// A log that was killed: its only file with zeros behind the groups, where they begin, where the
/// last group begins, and what the log held.
fn killed() -> (SimDisk, PathBuf, usize, usize, Content) {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    append(&wal, entries(1..=3, 1));
    let start = wal.stats().disk_bytes as usize;
    append(&wal, entries(4..=4, 1));
    let end = wal.stats().disk_bytes as usize;
    let before = content(&wal);
    wal.abandon();
    let path = segments(&disk)[0].clone();
    (disk, path, end, start, before)
}

#[test]
fn groups_take_the_place_of_zeros_and_a_kill_leaves_the_rest_of_them() {
    let (disk, path, end, _, before) = killed();
    let bytes = disk.bytes(&path).unwrap();
    assert!(bytes.len() > end && bytes[end..].iter().all(|byte| *byte == 0));
    let (wal, recovery) = open(&disk).unwrap();
    assert_eq!(recovery.torn_tail, None, "nothing was torn");
    assert_eq!(recovery.zeros, (bytes.len() - end) as u64);
    assert_eq!((content(&wal), recovery.disk_bytes), (before, end as u64));
    assert_eq!(disk.bytes(&path).unwrap(), bytes[..end]);
    append(&wal, entries(5..=5, 1));
    let longer = disk.bytes(&path).unwrap().len();
    append(&wal, entries(6..=6, 1));
    assert_eq!(disk.bytes(&path).unwrap().len(), longer, "the file did not grow");
    let all = wal.stats().disk_bytes;
    wal.close().unwrap();
    assert_eq!(disk.bytes(&path).unwrap().len() as u64, all, "closed, it has no zeros");
}

#[test]
fn a_flipped_bit_before_zeros_is_refused_and_one_among_them_harms_nothing() {
    let (disk, path, end, start, before) = killed();
    let whole = disk.bytes(&path).unwrap();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let copy = disk.fork(7);
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            copy.put(&path, bytes);
            match open(&copy) {
                Err(WalError::Corrupt { file, offset, .. }) => {
                    // A last byte of a group header may also be what is left of a damaged one.
                    assert!(at < end || at == end + 47, "bit {bit} of byte {at}");
                    assert_eq!(file, path);
                    assert!(offset <= at as u64, "named {offset}, damaged {at}");
                }
                Ok((wal, recovery)) => {
                    assert!(at >= end, "bit {bit} of byte {at}");
                    assert_eq!(recovery.torn_tail.unwrap().offset, end as u64);
                    assert_eq!(content(&wal), before);
                }
                Err(other) => panic!("bit {bit} of byte {at}: {other:?}"),
            }
        }
    }
    assert!(start < end);
}

#[test]
fn a_group_torn_before_zeros_is_cut_and_told() {
    let (disk, path, end, start, _) = killed();
    let whole = disk.bytes(&path).unwrap();
    for from in start + 1..end {
        let copy = disk.fork(7);
        let mut bytes = whole.clone();
        bytes[from..].fill(0);
        copy.put(&path, bytes);
        let (wal, recovery) = open(&copy).unwrap();
        assert_eq!(recovery.torn_tail.unwrap().offset, start as u64, "zeroed from {from}");
        assert_eq!(content(&wal).records, entries(1..=3, 1), "zeroed from {from}");
    }
}

#[test]
fn zeros_in_any_segment_but_the_newest_are_refused() {
    let (disk, _) = varied_log(1);
    let files = segments(&disk);
    for path in &files[..files.len() - 1] {
        let copy = disk.fork(7);
        copy.put(path, [disk.bytes(path).unwrap().as_slice(), &[0; 10]].concat());
        let result = open(&copy);
        assert!(matches!(&result, Err(WalError::Corrupt { file, .. }) if file == path));
    }
}

#[test]
fn no_zeros_are_written_while_groups_are_usually_large() {
    let disk = SimDisk::new(1);
    let settings = WalConfig { ahead_group_max_bytes: 400, segment_bytes: 1 << 20, ..small() };
    let (wal, _) = Wal::open_stepped(dir(), Arc::new(disk.clone()), settings).unwrap();
    let path = segments(&disk)[0].clone();
    let ahead = |wal: &Wal| disk.bytes(&path).unwrap().len() as u64 - wal.stats().disk_bytes;
    append(&wal, entries(1..=50, 1));
    assert_eq!(ahead(&wal), 0, "a large group");
    append(&wal, entries(51..=51, 1));
    assert_eq!(ahead(&wal), 0, "a small one after it");
    let mut next = 52;
    while ahead(&wal) == 0 {
        assert!(next < 80, "small ones become usual");
        append(&wal, entries(next..=next, 1));
        next += 1;
    }
    assert_eq!(ahead(&wal), 700);
}
