use std::fs;
use std::io::{self, Read as _};

use telegraph_proto::raft::{Position, SnapshotMeta};

use super::directory::SnapshotDir;
use super::file::{SNAPSHOT_VERSION, SnapshotFile};
use super::incoming::Incoming;
use super::outgoing::SnapshotBody;
use super::served::Served;

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
    directory.retain_served(&Served::new(Some(found))).unwrap();
    assert_eq!(directory.files("snap").unwrap().len(), 1);
}

#[test]
fn a_build_that_ends_late_does_not_remove_what_was_installed_meanwhile() {
    let (_keep, directory) = directory();
    build(&directory, 5, b"oldest");
    let built = build(&directory, 100, b"built");
    let installed = build(&directory, 200, b"installed");
    directory.retain_served(&Served::new(Some(built))).unwrap();
    assert_eq!(directory.newest().unwrap().unwrap(), installed);
    assert_eq!(directory.files("snap").unwrap().len(), 2, "only what is older than both went");
    directory.retain_served(&Served::new(Some(installed))).unwrap();
    assert_eq!(directory.files("snap").unwrap().len(), 1);
}

#[test]
fn what_is_being_sent_is_not_removed_before_it_is_there() {
    let (_keep, directory) = directory();
    let sent = build(&directory, 5, b"being sent");
    let served = Served::new(Some(sent.clone()));
    let sending = served.begin(2, &sent).unwrap();
    for index in [6, 7] {
        served.add(build(&directory, index, b"newer"));
        directory.retain_served(&served).unwrap();
        assert!(sent.path.exists());
        assert_eq!(directory.files("snap").unwrap().len(), 2);
    }
    sending.finish();
    directory.retain_served(&served).unwrap();
    assert_eq!(directory.files("snap").unwrap(), [served.newest().unwrap().path]);
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

#[test]
fn a_writer_that_outlives_its_node_changes_nothing_of_the_next_owner() {
    let (keep, directory) = directory();
    let older = build(&directory, 1, b"older");
    let (mut next, mut its_files) = (None, Vec::new());
    let names = |directory: &SnapshotDir| {
        let entries = fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let failed = directory.build::<io::Error>(meta(2), |to| {
        to.write_all(&[1; 1000])?;
        directory.close();
        let owner = SnapshotDir::open(&keep.path().join("snapshots")).unwrap();
        build(&owner, 3, b"the next owner's");
        its_files = names(&owner);
        next = Some(owner);
        to.write_all(&[2; 1000])
    });
    assert!(failed.is_err());
    let next = next.unwrap();
    assert_eq!(names(&next), its_files);
    // Nor does one that was as good as finished.
    assert!(directory.publish(SnapshotFile { path: "elsewhere".into(), ..older.clone() }).is_err());
    assert!(directory.retain_served(&Served::new(Some(build(&next, 4, b"newest")))).is_err());
    let mut part = meta(5);
    (part.length, part.checksum) = (1, crc32c::crc32c(b"x"));
    assert!(Incoming::resume(&directory, &part).is_err());
    assert!(older.path.exists());
}

#[test]
fn what_comes_in_for_a_node_that_has_ended_is_not_written() {
    let (_keep, directory) = directory();
    let mut announced = meta(3);
    (announced.length, announced.checksum) = (4, crc32c::crc32c(b"abcd"));
    let mut incoming = Incoming::resume(&directory, &announced).unwrap();
    incoming.append(0, b"ab", crc32c::crc32c(b"ab")).unwrap();
    directory.close();
    assert!(incoming.append(2, b"cd", crc32c::crc32c(b"cd")).is_err());
    assert_eq!(incoming.received(), 2);
}

#[test]
fn a_build_that_fails_gives_its_room_back_at_once() {
    let (_keep, directory) = directory();
    let failed = directory.build(meta(1), |to| {
        to.write_all(&[0; 1 << 20])?;
        Err(io::Error::other("machine"))
    });
    assert!(failed.is_err());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn two_who_let_go_of_the_same_snapshots_do_not_stumble_over_each_other() {
    let (_keep, directory) = directory();
    for round in 0..20 {
        for index in 0..20 {
            build(&directory, 100 * round + index, b"old");
        }
        let served = Served::new(Some(build(&directory, 100 * round + 50, b"newest")));
        std::thread::scope(|scope| {
            let one = scope.spawn(|| directory.retain_served(&served));
            directory.retain_served(&served).unwrap();
            one.join().unwrap().unwrap();
        });
        assert_eq!(directory.files("snap").unwrap().len(), 1);
    }
}
