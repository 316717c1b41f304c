//! The bytes of a log, pinned: what was written once must be read for ever.
//!
//! The constants follow from the layouts drawn in `segment.rs`, `group.rs` and `record.rs` alone. A
//! new form gets new constants and a new format version; none of these is ever changed.

use super::*;

/// What the simulated disk of seed 1 draws for the two segments, as it lies in the files below.
const NONCES: [u64; 2] = [0x910a_2dec_8902_5cc1, 0xbeeb_8da1_658e_ec67];

const PATHS: [&str; 2] = ["log/0000000000000001.wal", "log/0000000000000002.wal"];

/// Segment 1, part by part: what it is, and its bytes in hexadecimal.
const FIRST: [(&str, &str); 8] = [
    (
        "head",
        "544757414c534547010000004c0000000100000000000000c15c0289ec2d0a910000000000000000\
         00000000000000000100000000000000ffffffffffffffff0000000000000000b2b9b6f8",
    ),
    (
        "opening group without records",
        "b64e1997544752500000000000000000010000000000000001000000000000004c00000000000000\
         01000000ffffffff",
    ),
    (
        "vote",
        "87049b5a544752502600000001000000020000000000000001000000000000007c00000000000000\
         02000000d9ffffff19426ce006000000f9ffffff0200000000000000000000000000000000000000\
         766f74652037",
    ),
    (
        "two entries",
        "1f6e7c79544752504b0000000200000003000000000000000100000000000000d200000000000000\
         02000000b4ffffff8ea64ee205000000faffffff0100000001000000000000000100000000000000\
         6669727374011ae74406000000f9ffffff0100000001000000000000000200000000000000736563\
         6f6e64",
    ),
    (
        "truncation and committed pointer",
        "8f8b8d40544752504b00000002000000040000000000000001000000000000004d01000000000000\
         02000000b4ffffffc2f0bac300000000ffffffff0400000000000000000000000200000000000000\
         828a8bb10b000000f4ffffff0300000000000000000000000000000000000000636f6d6d69747465\
         642031",
    ),
    (
        "entry of the next term",
        "0fba5453544752502c0000000100000005000000000000000100000000000000c801000000000000\
         02000000d3ffffff8fa6490b0c000000f3ffffff0100000002000000000000000200000000000000\
         7365636f6e6420616761696e",
    ),
    (
        "purge",
        "91e30c10544752502800000001000000060000000000000001000000000000002402000000000000\
         02000000d7ffffff6e4cffdc08000000f7ffffff0500000001000000000000000100000000000000\
         0100000000000000",
    ),
    (
        "seal",
        "af2a03d1544752500000000000000000070000000000000001000000000000007c02000000000000\
         03000000ffffffff",
    ),
];

/// Segment 2, part by part; the payload of [`long_entry`] follows.
const SECOND: [(&str, &str); 3] = [
    (
        "head",
        "544757414c534547010000004c000000020000000000000067ec8e65a18debbec15c0289ec2d0a91\
         7c0200000000000008000000000000000200000000000000000000000000000090ac2a44",
    ),
    (
        "opening group with vote, committed pointer and purge point",
        "72be92fc544752507900000003000000080000000000000002000000000000004c00000000000000\
         0100000086ffffff19426ce006000000f9ffffff0200000000000000000000000000000000000000\
         766f74652037828a8bb10b000000f4ffffff0300000000000000000000000000000000000000636f\
         6d6d697474656420316e4cffdc08000000f7ffffff05000000010000000000000001000000000000\
         000100000000000000",
    ),
    (
        "headers of a long entry and its group",
        "c436272f54475250c00f00000100000009000000000000000200000000000000f500000000000000\
         020000003ff0ffffc098ba36a00f00005ff0ffff0100000002000000000000000300000000000000",
    ),
];

fn record(index: u64, term: u64, payload: &'static [u8]) -> Record {
    Record { index, term, payload: Bytes::from_static(payload) }
}

/// An entry that does not fit into the first segment of 4 KiB any more.
fn long_entry() -> Record {
    record(3, 2, &[b'x'; 4000])
}

fn whole(parts: &[(&str, &str)]) -> Vec<u8> {
    parts.iter().flat_map(|(_, part)| hex::decode(part).unwrap()).collect()
}

/// Segment 1 as it is before it is sealed.
fn unsealed() -> Vec<u8> {
    whole(FIRST.split_last().unwrap().1)
}

fn second() -> Vec<u8> {
    [whole(&SECOND).as_slice(), &long_entry().payload].concat()
}

/// Compares part by part, so that a difference is named.
fn assert_parts(written: &[u8], parts: &[(&str, &str)]) {
    let mut rest = written;
    for (name, expected) in parts {
        let (part, behind) = rest.split_at((expected.len() / 2).min(rest.len()));
        assert_eq!(hex::encode(part), *expected, "{name}");
        rest = behind;
    }
}

/// A disk with the files of a log written by an earlier version.
fn old_disk(files: &[Vec<u8>]) -> SimDisk {
    let disk = SimDisk::new(2);
    for (path, bytes) in PATHS.iter().zip(files) {
        disk.put(Path::new(path), bytes.clone());
    }
    disk
}

fn expect_state(wal: &Wal, records: &[Record]) {
    let last = records.last().map(Record::position);
    assert_eq!(
        wal.state(),
        LogState {
            purged: Some(at(1, 1)),
            last,
            vote: Some(Bytes::from_static(b"vote 7")),
            committed: Some(Bytes::from_static(b"committed 1")),
        }
    );
    assert_eq!(wal.durable_last(), last);
    assert_eq!(wal.read(0, u64::MAX, usize::MAX).unwrap(), records);
}

#[test]
fn a_change_of_what_a_log_writes_breaks_every_disk_written_so_far() {
    let nonces = SimDisk::new(1);
    let drawn = [nonces.nonce(), nonces.nonce()];
    assert_eq!(drawn, NONCES, "the simulated disk differs, and not the format");

    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    commit(&wal, |wal, done| wal.save_vote(Bytes::from_static(b"vote 7"), done));
    append(&wal, vec![record(1, 1, b"first"), record(2, 1, b"second")]);
    wal.save_committed(Bytes::from_static(b"committed 1"));
    commit(&wal, |wal, done| wal.truncate_after(Some(1), done));
    append(&wal, vec![record(2, 2, b"second again")]);
    commit(&wal, |wal, done| wal.purge(at(1, 1), done));
    let bytes = disk.bytes(Path::new(PATHS[0])).unwrap();
    let (written, ahead) = bytes.split_at(unsealed().len());
    assert_eq!(written, unsealed());
    assert_eq!(ahead.iter().find(|byte| **byte != 0), None, "zeros written ahead");
    append(&wal, vec![long_entry()]);
    wal.close().unwrap();

    assert_eq!(segments(&disk), PATHS.map(PathBuf::from));
    let [first, second_file] = PATHS.map(|path| disk.bytes(Path::new(path)).unwrap());
    assert_parts(&first, &FIRST);
    assert_eq!(first, whole(&FIRST));
    assert_parts(&second_file, &SECOND);
    assert_eq!(second_file, second());
}

#[test]
fn a_change_of_what_a_log_reads_breaks_every_disk_written_so_far() {
    let again = record(2, 2, b"second again");
    for (files, records) in [
        (vec![unsealed()], vec![again.clone()]),
        (vec![whole(&FIRST), second()], vec![again, long_entry()]),
    ] {
        let disk = old_disk(&files);
        let (wal, recovery) = open(&disk).unwrap();
        expect_state(&wal, &records);
        let expected = Recovery {
            entries: records.len() as u64,
            segments: files.len() as u64,
            disk_bytes: files.iter().map(|file| file.len() as u64).sum(),
            ..Recovery::default()
        };
        assert_eq!(recovery, expected, "nothing was new, torn or unfinished");
        wal.close().unwrap();
        let kept: Vec<_> = segments(&disk).iter().map(|path| disk.bytes(path).unwrap()).collect();
        assert_eq!(kept, files, "opening changes no byte");

        let (wal, _) = open(&disk).unwrap();
        let next = records.last().unwrap().index + 1;
        append(&wal, entries(next..=next, 3));
        wal.close().unwrap();
        let grown = [records, entries(next..=next, 3)].concat();
        expect_state(&open(&disk).unwrap().0, &grown);
    }
}
