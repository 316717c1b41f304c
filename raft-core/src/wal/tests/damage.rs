//! Bytes that changed, files that vanished: what is cut, what is refused.

use super::*;

/// Opens a copy of `disk` in which `path` has the bytes `bytes`.
fn open_with(disk: &SimDisk, path: &Path, bytes: Vec<u8>) -> Result<(Wal, Recovery), WalError> {
    let copy = disk.fork(7);
    copy.put(path, bytes);
    open(&copy)
}

/// A log in one segment, and its length and content after each group.
fn groups() -> (SimDisk, PathBuf, Vec<(usize, Content)>) {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    let path = segments(&disk)[0].clone();
    let mut after = Vec::new();
    let mut note = |wal: &Wal| after.push((wal.stats().disk_bytes as usize, content(wal)));
    note(&wal);
    append(&wal, entries(1..=3, 1));
    note(&wal);
    commit(&wal, |wal, done| wal.save_vote(Bytes::from_static(b"v"), done));
    note(&wal);
    append(&wal, entries(4..=9, 2));
    note(&wal);
    commit(&wal, |wal, done| wal.truncate_after(Some(6), done));
    note(&wal);
    append(&wal, entries(7..=15, 3));
    note(&wal);
    wal.close().unwrap();
    assert_eq!(segments(&disk).len(), 1);
    (disk, path, after)
}

/// databend#19315: a torn tail was taken for another error.
#[test]
fn a_tail_cut_at_any_byte_opens_with_the_last_whole_group_and_says_so() {
    let (disk, path, after) = groups();
    let whole = disk.bytes(&path).unwrap();
    for length in after[0].0..=whole.len() {
        let (end, expected) = after.iter().rfind(|(end, _)| *end <= length).unwrap();
        let (wal, recovery) = open_with(&disk, &path, whole[..length].to_vec()).unwrap();
        assert_eq!(content(&wal), *expected, "cut to {length}");
        let cut = recovery.torn_tail.map(|torn| (torn.file, torn.offset, torn.bytes));
        let expected_cut =
            (length > *end).then(|| (path.clone(), *end as u64, (length - *end) as u64));
        assert_eq!(cut, expected_cut, "cut to {length}");
        assert!(!recovery.created);
    }
}

/// databend#17042: a tail of zeros after a loss of power.
#[test]
fn a_tail_zeroed_from_any_byte_of_the_last_group_opens_and_says_so() {
    let (disk, path, after) = groups();
    let whole = disk.bytes(&path).unwrap();
    let [.., (start, expected), (end, _)] = after.as_slice() else { panic!() };
    for from in *start..*end {
        let mut bytes = whole.clone();
        bytes[from..].fill(0);
        let (wal, recovery) = open_with(&disk, &path, bytes).unwrap();
        assert_eq!(content(&wal), *expected, "zeroed from {from}");
        // Where nothing is left but zeros, they may as well have been written ahead.
        let told = recovery.torn_tail.map(|torn| torn.offset);
        assert_eq!(told, (from > *start).then_some(*start as u64), "zeroed from {from}");
        let zeros = if from > *start { 0 } else { end - start };
        assert_eq!(recovery.zeros, zeros as u64, "zeroed from {from}");
    }
    for extra in [1, 47, 48, 600, 5000] {
        let mut bytes = whole.clone();
        bytes.resize(whole.len() + extra, 0);
        let (wal, recovery) = open_with(&disk, &path, bytes).unwrap();
        assert_eq!(content(&wal), after.last().unwrap().1);
        let told = (recovery.torn_tail, recovery.zeros);
        assert_eq!(told, (None, extra as u64), "they may have been written ahead");
        assert_eq!(recovery.disk_bytes, whole.len() as u64);
    }
}

#[test]
fn after_a_cut_the_log_goes_on_and_opens_again() {
    let (disk, path, after) = groups();
    let whole = disk.bytes(&path).unwrap();
    disk.put(&path, whole[..whole.len() - 5].to_vec());
    let (wal, _) = open(&disk).unwrap();
    append(&wal, entries(7..=8, 5));
    let before = content(&wal);
    wal.close().unwrap();
    let (wal, recovery) = open(&disk).unwrap();
    assert_eq!((content(&wal), recovery.torn_tail), (before, None));
    assert_eq!(after.len(), 6);
}

#[test]
fn a_flipped_bit_anywhere_is_refused_naming_file_and_offset() {
    let (disk, before) = varied_log(1);
    let files = segments(&disk);
    for path in &files {
        let whole = disk.bytes(path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            match open_with(&disk, path, bytes) {
                Err(WalError::Corrupt { file, offset, .. }) => {
                    assert_eq!(&file, path);
                    assert!(offset <= at as u64, "named {offset}, damaged {at}");
                }
                other => panic!("{}: byte {at}: {other:?}", path.display()),
            }
        }
    }
    assert_eq!(content(&open(&disk).unwrap().0), before);
}

#[test]
fn every_bit_of_a_small_log_matters() {
    let (disk, path, _) = groups();
    let whole = disk.bytes(&path).unwrap();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            match open_with(&disk, &path, bytes) {
                Err(WalError::Corrupt { file, offset, .. }) => {
                    assert_eq!(file, path);
                    assert!(offset <= at as u64, "named {offset}, damaged {at}");
                }
                other => panic!("bit {bit} of byte {at}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_bit_of_the_last_group_is_refused_or_only_that_group_is_lost() {
    // A group that ends in zeros could be one whose end was never written.
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    let zeros = |index| Record { index, term: 1, payload: Bytes::from(vec![0; 700]) };
    append(&wal, vec![zeros(1)]);
    let path = segments(&disk)[0].clone();
    let (start, before) = (wal.stats().disk_bytes as usize, content(&wal));
    append(&wal, vec![zeros(2)]);
    wal.close().unwrap();
    let whole = disk.bytes(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        match open_with(&disk, &path, bytes) {
            Err(WalError::Corrupt { .. }) => {}
            Ok((wal, recovery)) => {
                assert!(at >= start, "byte {at} was durable before the last group");
                assert_eq!(content(&wal), before);
                assert_eq!(recovery.torn_tail.unwrap().offset, start as u64);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn zeroed_sectors_before_the_last_group_are_refused() {
    let (disk, _) = varied_log(1);
    let files = segments(&disk);
    for path in &files {
        let whole = disk.bytes(path).unwrap();
        let newest = Some(path) == files.last();
        // The last sectors of the newest file may belong to its last group.
        let end = if newest { whole.len().saturating_sub(1300) } else { whole.len() };
        for from in (0..end).step_by(512) {
            let mut bytes = whole.clone();
            let to = whole.len().min(from + 512);
            bytes[from..to].fill(0);
            let result = open_with(&disk, path, bytes);
            assert!(
                matches!(result, Err(WalError::Corrupt { .. })),
                "{} from {from}: {result:?}",
                path.display()
            );
        }
    }
}

#[test]
fn a_missing_segment_is_refused_whichever_it_is() {
    let (disk, _) = varied_log(1);
    for path in segments(&disk) {
        let copy = disk.fork(7);
        copy.lose(&path);
        match open(&copy) {
            Err(WalError::MissingSegment { file, .. }) => assert_eq!(file, path),
            other => panic!("{}: {other:?}", path.display()),
        }
    }
}

#[test]
fn a_segment_missing_after_a_purge_is_refused() {
    let (disk, _) = varied_log(1);
    let (wal, _) = open(&disk).unwrap();
    commit(&wal, |wal, done| wal.purge(at(30, 1), done));
    wal.close().unwrap();
    let files = segments(&disk);
    assert!(
        files.len() >= 2
            && segment::number_of(files[0].file_name().unwrap().to_str().unwrap()) != Some(1)
    );
    disk.lose(&files[0]);
    assert!(matches!(
        open(&disk),
        Err(WalError::MissingSegment { file, .. }) if file == files[0]
    ));
}

#[test]
fn a_shortened_segment_is_refused_at_every_length() {
    let (disk, _) = varied_log(1);
    let files = segments(&disk);
    for path in &files[..files.len() - 1] {
        let whole = disk.bytes(path).unwrap();
        for length in 0..whole.len() {
            match open_with(&disk, path, whole[..length].to_vec()) {
                Err(WalError::Corrupt { file, .. }) => assert_eq!(&file, path),
                other => panic!("{} cut to {length}: {other:?}", path.display()),
            }
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert!(open_with(&disk, path, longer).is_err());
    }
}

#[test]
fn a_stale_or_foreign_segment_is_refused() {
    let (disk, _) = varied_log(1);
    let (foreign, _) = varied_log(2);
    let files = segments(&disk);
    for path in &files {
        let bytes = foreign.bytes(path).unwrap();
        assert_ne!(bytes, disk.bytes(path).unwrap());
        let result = open_with(&disk, path, bytes);
        assert!(matches!(result, Err(WalError::Corrupt { .. })), "{result:?}");
    }
    // An older copy of the same segment, from before it was full.
    let disk = SimDisk::new(3);
    let (wal, _) = open(&disk).unwrap();
    let path = segments(&disk)[0].clone();
    let mut stale = Vec::new();
    while segments(&disk).len() < 3 {
        let next = wal.state().last.map_or(1, |last| last.index + 1);
        append(&wal, entries(next..=next, 1));
        stale.push(disk.bytes(&path).unwrap());
    }
    wal.close().unwrap();
    let now = disk.bytes(&path).unwrap();
    for bytes in stale.into_iter().filter(|bytes| *bytes != now) {
        let result = open_with(&disk, &path, bytes);
        assert!(matches!(result, Err(WalError::Corrupt { .. })), "{result:?}");
    }
    // One segment under the name of another.
    let files = segments(&disk);
    let result = open_with(&disk, &files[1], disk.bytes(&files[0]).unwrap());
    assert!(matches!(result, Err(WalError::Corrupt { .. })), "{result:?}");
}

#[test]
fn a_purged_segment_put_back_is_refused_or_removed_again() {
    let (disk, _) = varied_log(1);
    let old = disk.fork(1);
    let (wal, _) = open(&disk).unwrap();
    commit(&wal, |wal, done| wal.purge(at(60, 2), done));
    let before = content(&wal);
    wal.close().unwrap();
    let removed: Vec<PathBuf> =
        segments(&old).into_iter().filter(|path| disk.bytes(path).is_none()).collect();
    assert!(removed.len() >= 2);
    for path in &removed {
        let copy = disk.fork(1);
        copy.put(path, old.bytes(path).unwrap());
        if Some(path) == removed.last() {
            // Right before the oldest one it looks like a removal that power loss undid.
            let (wal, _) = open(&copy).unwrap();
            assert_eq!(content(&wal), before);
            wal.step();
            assert_eq!(copy.bytes(path), None);
        } else {
            assert!(matches!(open(&copy), Err(WalError::MissingSegment { .. })));
        }
    }
}

#[test]
fn a_first_segment_torn_before_any_acknowledgement_opens_as_new() {
    let disk = SimDisk::new(1);
    drop(open(&disk).unwrap());
    let path = segments(&disk)[0].clone();
    let whole = disk.bytes(&path).unwrap();
    for length in 0..whole.len() {
        for torn in [whole[..length].to_vec(), vec![0; length]] {
            let copy = disk.fork(1);
            copy.put(&path, torn);
            let (wal, recovery) = open(&copy).unwrap();
            assert!(recovery.created, "cut to {length}");
            append(&wal, entries(1..=2, 1));
            wal.close().unwrap();
            assert_eq!(content(&open(&copy).unwrap().0).records, entries(1..=2, 1));
        }
    }
    assert!(open_with(&disk, &path, vec![0; whole.len()]).unwrap().1.created);
    assert!(!open_with(&disk, &path, whole).unwrap().1.created);
}

#[test]
fn a_later_format_is_refused_as_such() {
    let (disk, _) = varied_log(1);
    let path = segments(&disk)[0].clone();
    let mut bytes = disk.bytes(&path).unwrap();
    bytes[8] = 9;
    let check = crc32c::crc32c(&bytes[..72]);
    bytes[72..76].copy_from_slice(&check.to_le_bytes());
    let result = open_with(&disk, &path, bytes);
    assert!(matches!(result, Err(WalError::UnsupportedVersion { found: 9, .. })), "{result:?}");
}

#[test]
fn damage_that_happens_while_the_log_is_open_fails_the_read_and_never_lies() {
    let (disk, before) = varied_log(1);
    let path = segments(&disk)[1].clone();
    let whole = disk.bytes(&path).unwrap();
    for at in 0..whole.len() {
        let copy = disk.fork(1);
        let (wal, _) = open(&copy).unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        copy.put(&path, bytes);
        match wal.read(1, 99, usize::MAX) {
            Ok(records) => assert_eq!(records, before.records, "byte {at} is in no live entry"),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            }
        }
    }
}

#[test]
fn a_record_in_the_place_of_another_is_not_served() {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    let same_length =
        |index| Record { index, term: 1, payload: Bytes::from(vec![index as u8; 68]) };
    append(&wal, (1..=4).map(same_length).collect());
    wal.close().unwrap();
    let (wal, _) = open(&disk).unwrap();
    let path = segments(&disk)[0].clone();
    let mut bytes = disk.bytes(&path).unwrap();
    let place = |number: usize| bytes.len() - 100 * (5 - number)..bytes.len() - 100 * (4 - number);
    let (second, third) = (place(2), place(3));
    bytes.copy_within(third, second.start);
    disk.put(&path, bytes);
    assert_eq!(wal.read(1, 2, 0).unwrap(), [same_length(1)]);
    let error = wal.read(2, 3, 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_group_that_lies_about_its_records_is_refused() {
    let (disk, path, after) = groups();
    let mut bytes = disk.bytes(&path).unwrap();
    let nonce = segment::Head::decode(&bytes).unwrap().nonce;
    let start = after[4].0;
    let mut header = group::GroupHeader::decode(&bytes[start..], nonce).unwrap();
    header.records += 1;
    bytes[start..start + 48].copy_from_slice(&header.encode(nonce));
    let result = open_with(&disk, &path, bytes);
    assert!(matches!(result, Err(WalError::Corrupt { .. })), "{result:?}");
}

#[test]
fn the_only_segment_left_after_a_purge_never_opens_as_new() {
    let (disk, _) = varied_log(1);
    let (wal, _) = open(&disk).unwrap();
    commit(&wal, |wal, done| wal.purge(at(80, 2), done));
    wal.close().unwrap();
    let path = segments(&disk)[0].clone();
    assert_eq!(segments(&disk).len(), 1);
    let whole = disk.bytes(&path).unwrap();
    for length in 0..segment::HEAD_BYTES + group::GROUP_HEADER_BYTES {
        for torn in [whole[..length].to_vec(), vec![0; length]] {
            let result = open_with(&disk, &path, torn);
            assert!(matches!(result, Err(WalError::Corrupt { .. })), "{length}: {result:?}");
        }
    }
}
