use std::fs;
use std::path::Path;

use bytes::Bytes;
use prost::Message as _;
use telegraph_proto::raft::entry::Payload;
use telegraph_proto::raft::{BackupHead, Blank, Entry, Position, SnapshotMeta};

use super::reader::{BackupReader, Part};
use super::writer::BackupWriter;
use crate::offline::error::OfflineError;

/// A small backup, part by part, as every version must be able to read it.
const GOLDEN: [(&str, &str); 5] = [
    (
        "front and head",
        "52414654424b5550010000004c000000e8a125990a10070707070707070707070707070707071210\
         0909090909090909090909090909090918032087ad4b2a160a01731204080210052001280530bef9\
         efaf0938e70730023a04080210074003",
    ),
    ("the body", "af03303c0100000005000000696d616765"),
    ("entry 6", "9e78579f02000000080000000a04080210061200"),
    ("entry 7", "ced8d12f02000000080000000a04080210071200"),
    (
        "end",
        "7dc238e9030000002000000063f0f0d7cc2021d04a3e2115eb5c352c33402f83af790f3ff920d6f2\
         7deca229",
    ),
];

fn golden() -> Vec<u8> {
    GOLDEN.iter().flat_map(|(_, part)| hex::decode(part).unwrap()).collect()
}

fn entry(index: u64) -> Entry {
    let position = Some(Position { term: 2, index });
    Entry { position, payload: Some(Payload::Blank(Blank {})) }
}

fn head() -> BackupHead {
    BackupHead {
        backup_id: vec![7; 16].into(),
        cluster_id: vec![9; 16].into(),
        node_id: 3,
        time_unix_ms: 1_234_567,
        snapshot: Some(SnapshotMeta {
            id: "s".into(),
            last_applied: Some(Position { term: 2, index: 5 }),
            version: 1,
            length: 5,
            checksum: crc32c::crc32c(b"image"),
            time_unix_ms: 999,
            ..SnapshotMeta::default()
        }),
        entries: 2,
        last: Some(Position { term: 2, index: 7 }),
        term: 3,
        ..BackupHead::default()
    }
}

fn written(head: &BackupHead, body: &[u8], entries: &[Entry]) -> Vec<u8> {
    let mut writer = BackupWriter::begin(Vec::new(), head).unwrap();
    writer.body(&mut &*body).unwrap();
    for entry in entries {
        writer.entry(&entry.encode_to_vec()).unwrap();
    }
    writer.finish().unwrap()
}

fn whole() -> Vec<u8> {
    written(&head(), b"image", &[entry(6), entry(7)])
}

fn read(path: &Path, bytes: &[u8]) -> Result<(BackupHead, Vec<Part>), OfflineError> {
    fs::write(path, bytes).unwrap();
    let mut reader = BackupReader::open(path)?;
    let mut parts = Vec::new();
    while let Some(part) = reader.next()? {
        parts.push(part);
    }
    assert_eq!(reader.next()?, None, "the end stays the end");
    Ok((reader.head, parts))
}

fn damage(result: Result<(BackupHead, Vec<Part>), OfflineError>) -> u64 {
    match result {
        Err(OfflineError::Damaged { offset, .. }) => offset,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_backup_is_read_as_it_was_written() {
    let keep = tempfile::tempdir().unwrap();
    let (found, parts) = read(&keep.path().join("b"), &whole()).unwrap();
    assert_eq!(found, head());
    let encoded = |entry: Entry| Part::Entry(entry.clone(), entry.encode_to_vec().into());
    assert_eq!(
        parts,
        [Part::Body(Bytes::from_static(b"image")), encoded(entry(6)), encoded(entry(7))]
    );
}

#[test]
fn a_change_of_the_bytes_breaks_every_backup_made_so_far() {
    assert_eq!(hex::encode(whole()), hex::encode(golden()));
    let keep = tempfile::tempdir().unwrap();
    assert_eq!(read(&keep.path().join("b"), &golden()).unwrap().0, head());
}

#[test]
fn any_flipped_bit_any_cut_and_anything_behind_the_end_is_found_and_its_place_named() {
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("b");
    let whole = whole();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let result = read(&path, &bytes);
            let offset = damage(result);
            // A length that is too long now is found where the file ends.
            assert!(offset <= at as u64 || offset == whole.len() as u64, "bit {bit} of {at}");
        }
        assert!(damage(read(&path, &whole[..at])) <= at as u64, "cut to {at}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert_eq!(damage(read(&path, &longer)), whole.len() as u64);
}

#[test]
fn a_backup_that_contradicts_itself_is_damaged_though_its_checksums_are_right() {
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("b");
    let contradictions = [
        written(&head(), b"other", &[entry(6), entry(7)]),
        written(&head(), b"", &[entry(6), entry(7)]),
        written(&head(), b"image and more", &[entry(6), entry(7)]),
        written(&head(), b"image", &[entry(6)]),
        written(&head(), b"image", &[entry(7), entry(6)]),
        written(&head(), b"image", &[entry(6), entry(8)]),
        written(&head(), b"image", &[entry(6), entry(7), entry(8)]),
        written(&head(), b"image", &[Entry::default(), entry(7)]),
        written(&BackupHead { backup_id: Bytes::new(), ..head() }, b"image", &[entry(6), entry(7)]),
        written(&BackupHead { entries: 3, ..head() }, b"image", &[entry(6), entry(7)]),
        written(&BackupHead { last: None, ..head() }, b"image", &[entry(6), entry(7)]),
    ];
    for (number, bytes) in contradictions.into_iter().enumerate() {
        assert!(matches!(read(&path, &bytes), Err(OfflineError::Damaged { .. })), "{number}");
    }
}

#[test]
fn a_later_format_is_told_from_damage() {
    let keep = tempfile::tempdir().unwrap();
    let mut bytes = whole();
    bytes[8] = 2;
    let head_bytes = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize;
    let check = crc32c::crc32c(&bytes[8..16]);
    let check = crc32c::crc32c_append(check, &bytes[20..20 + head_bytes]);
    bytes[16..20].copy_from_slice(&check.to_le_bytes());
    let result = read(&keep.path().join("b"), &bytes);
    assert!(matches!(result, Err(OfflineError::Refused { .. })), "{result:?}");
}
