use std::fs;
use std::io::{self, Read as _};

use telegraph_proto::raft::{Position, SnapshotMeta};

use super::directory::SnapshotDir;
use super::file::{SNAPSHOT_VERSION, SnapshotFile};
use super::incoming::Incoming;
use super::outgoing::SnapshotBody;

mod golden;

fn meta(index: u64) -> SnapshotMeta {
    SnapshotMeta {
        id: format!("snapshot {index}"),
        last_applied: Some(Position { term: 2, index }),
        version: SNAPSHOT_VERSION,
        time_unix_ms: 77,
        ..SnapshotMeta::default()
    }
}

fn build(directory: &SnapshotDir, index: u64, body: &[u8]) -> SnapshotFile {
    directory.build::<io::Error>(meta(index), |to| to.write_all(body)).unwrap()
}

fn directory() -> (tempfile::TempDir, SnapshotDir) {
    let temporary = tempfile::tempdir().unwrap();
    let directory = SnapshotDir::open(&temporary.path().join("snapshots")).unwrap();
    (temporary, directory)
}

fn body_of(file: &SnapshotFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.body_from(0).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_was_built_is_found_again_and_is_the_newest() {
    let (_keep, directory) = directory();
    build(&directory, 5, b"older");
    let newer = build(&directory, 50, &vec![7; 1_000_000]);
    let found = directory.newest().unwrap().unwrap();
    assert_eq!(found, newer);
    assert_eq!(body_of(&found), vec![7; 1_000_000]);
    assert_eq!(found.meta.time_unix_ms, 77);
    directory.retain(&found).unwrap();
    assert_eq!(directory.files("snap").unwrap().len(), 1);
}

#[test]
fn a_build_that_ends_late_does_not_remove_what_was_installed_meanwhile() {
    let (_keep, directory) = directory();
    build(&directory, 5, b"oldest");
    let built = build(&directory, 100, b"built");
    let installed = build(&directory, 200, b"installed");
    directory.retain(&built).unwrap();
    assert_eq!(directory.newest().unwrap().unwrap(), installed);
    assert_eq!(directory.files("snap").unwrap().len(), 2, "only what is older than both went");
    directory.retain(&installed).unwrap();
    assert_eq!(directory.files("snap").unwrap().len(), 1);
}

#[test]
fn a_build_that_fails_leaves_no_snapshot() {
    let (keep, directory) = directory();
    let failed = directory.build(meta(1), |to| {
        to.write_all(b"part")?;
        Err(io::Error::other("machine"))
    });
    assert!(failed.is_err());
    assert!(directory.newest().unwrap().is_none());
    SnapshotDir::open(&keep.path().join("snapshots")).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn damage_of_any_byte_is_found_and_the_older_snapshot_is_used() {
    let (_keep, directory) = directory();
    let older = build(&directory, 4, b"older");
    let file = build(&directory, 5, b"the body of the newer one");
    let whole = fs::read(&file.path).unwrap();
    for place in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[place] ^= 0x10;
        fs::write(&file.path, &flipped).unwrap();
        assert_eq!(directory.newest().unwrap(), Some(older.clone()), "byte {place}");
        assert!(!file.path.exists(), "byte {place}");
    }
    for length in 0..whole.len() {
        fs::write(&file.path, &whole[..length]).unwrap();
        assert_eq!(directory.newest().unwrap(), Some(older.clone()), "length {length}");
    }
}

#[test]
fn a_transfer_goes_on_where_it_broke_off() {
    let (_source_keep, source) = directory();
    let (_target_keep, target) = directory();
    let bytes: Vec<u8> = (0..1_500_000_u32).map(|at| (at % 251) as u8).collect();
    let file = build(&source, 9, &bytes);

    let mut incoming = Incoming::resume(&target, &file.meta).unwrap();
    let mut body = SnapshotBody::open(&file, 0).unwrap();
    let piece = body.next_piece().unwrap();
    incoming.append(piece.offset, &piece.data, piece.checksum).unwrap();
    drop(incoming);

    let mut incoming = Incoming::resume(&target, &file.meta).unwrap();
    assert_eq!(incoming.received(), piece.data.len() as u64);
    let mut body = SnapshotBody::open(&file, incoming.received()).unwrap();
    loop {
        let piece = body.next_piece().unwrap();
        if piece.data.is_empty() {
            break;
        }
        assert!(incoming.append(piece.offset + 1, &piece.data, piece.checksum).is_err());
        assert!(incoming.append(piece.offset, &piece.data, piece.checksum ^ 1).is_err());
        incoming.append(piece.offset, &piece.data, piece.checksum).unwrap();
    }
    let here = target.publish(incoming.finish().unwrap()).unwrap();
    assert_eq!(target.newest().unwrap(), Some(here.clone()));
    assert_eq!(body_of(&here), bytes);
    assert!(target.files("part").unwrap().is_empty());
}

#[test]
fn what_is_not_as_announced_is_refused_and_begun_anew() {
    let (_keep, target) = directory();
    let mut announced = meta(3);
    (announced.length, announced.checksum) = (4, 1);
    let mut incoming = Incoming::resume(&target, &announced).unwrap();
    assert!(incoming.append(0, b"too long", crc32c::crc32c(b"too long")).is_err());
    incoming.append(0, b"abcd", crc32c::crc32c(b"abcd")).unwrap();
    assert!(incoming.finish().is_err());
    assert_eq!(Incoming::resume(&target, &announced).unwrap().received(), 0);
    let broken_off = Incoming::resume(&target, &announced).unwrap();
    assert_eq!(broken_off.finish().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}
