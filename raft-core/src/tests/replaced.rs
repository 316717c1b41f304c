//! Files that are replaced whole, outside the log: identity, members met, snapshots.
//!
//! They do not lie behind the seam of `disk.rs`. That each crash leaves the old file or the new one
//! follows from two things shown here: the order of the calls (all of the new file is synced before
//! it gets its name, and the name is synced before anybody is told), and that whatever lies aside,
//! cut anywhere, changes nothing.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use telegraph_proto::raft::{Position, SnapshotMeta};

use super::traced::{Call, directory, run};
use crate::config::Config;
use crate::identity::DataDir;
use crate::identity::pins::Met;
use crate::member::Member;
use crate::snapshot::directory::SnapshotDir;
use crate::snapshot::incoming::Incoming;

fn config(path: &Path) -> Config {
    let member = |id| Member { id, address: format!("m{id}:1"), ..Member::default() };
    Config {
        node_id: 1,
        data_dir: path.join("data"),
        members: vec![member(1), member(2)],
        allow_plaintext: true,
        ..Config::default()
    }
}

fn met(incarnation: u8) -> Met {
    Met { incarnation: [incarnation; 16], start: None }
}

fn meta(index: u64, body: &[u8]) -> SnapshotMeta {
    SnapshotMeta {
        id: format!("snapshot {index}"),
        last_applied: Some(Position { term: 2, index }),
        version: 1,
        length: body.len() as u64,
        checksum: crc32c::crc32c(body),
        ..SnapshotMeta::default()
    }
}

#[test]
fn the_traced_process() {
    let Some(dir) = directory() else { return };
    let mut acknowledged = File::create(dir.join("acknowledged")).unwrap();
    let mut note = |what: &str| acknowledged.write_all(what.as_bytes()).unwrap();
    let mut data = DataDir::open(&config(&dir)).unwrap();
    note("identity");
    data.note_log_opened(true).unwrap();
    note("log begun");
    let pins = data.pins().unwrap();
    for id in 2..5 {
        pins.check(id, met(id as u8)).unwrap();
        note("member");
    }
    let snapshots = SnapshotDir::open(&data.snapshots_path()).unwrap();
    snapshots.build::<io::Error>(meta(3, b""), |to| to.write_all(&[7; 300_000])).unwrap();
    note("built");
    let mut incoming = Incoming::resume(&snapshots, &meta(9, b"body")).unwrap();
    incoming.append(0, b"body", crc32c::crc32c(b"body")).unwrap();
    snapshots.publish(incoming.finish().unwrap()).unwrap();
    note("received");
}

/// fluree/db#1459: a directory that was not synced lost its newest file.
#[test]
fn a_new_file_is_synced_before_it_gets_its_name_and_the_name_before_anybody_is_told() {
    let keep = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(keep.path()).unwrap();
    let Some(calls) = run("tests::replaced::the_traced_process", &dir) else { return };
    let data = dir.join("data").to_str().unwrap().to_owned();
    let (mut unsynced, mut unnamed) = (HashSet::new(), HashSet::new());
    let (mut renames, mut told) = (0, 0);
    for Call { name, path, line } in calls {
        match name.as_str() {
            "write" | "pwrite64" if path.starts_with(&data) => {
                unsynced.insert(path);
            }
            "fsync" | "fdatasync" => {
                unsynced.remove(&path);
                unnamed.remove(&path);
            }
            "rename" | "renameat" | "renameat2" if path.starts_with(&data) => {
                renames += 1;
                assert!(!unsynced.contains(&path), "{line} before its content is synced");
                let parent = Path::new(&path).parent().unwrap().to_str().unwrap();
                unnamed.insert(parent.to_owned());
            }
            "write" if path.ends_with("/acknowledged") => {
                told += 1;
                assert!(unsynced.is_empty(), "{line} before {unsynced:?} is synced");
                assert!(unnamed.is_empty(), "{line} before the names in {unnamed:?} are");
            }
            _ => {}
        }
    }
    assert_eq!(told, 7);
    assert!(renames >= 7, "{renames} files were replaced");
}

#[test]
fn what_an_interrupted_replacement_left_aside_changes_nothing_wherever_it_is_cut() {
    let keep = tempfile::tempdir().unwrap();
    let config = config(keep.path());
    let data = DataDir::open(&config).unwrap();
    data.pins().unwrap().check(2, met(5)).unwrap();
    let identity = data.identity;
    drop(data);
    for (name, aside) in [("identity", "identity.new"), ("peers", "peers.new")] {
        let mut newer = fs::read(config.data_dir.join(name)).unwrap();
        newer.reverse();
        for length in 0..=newer.len() {
            fs::write(config.data_dir.join(aside), &newer[..length]).unwrap();
            let data = DataDir::open(&config).unwrap();
            assert_eq!(data.identity, identity, "{aside} of {length} bytes");
            let known = data.pins().unwrap().all();
            assert_eq!(known.get(&2).map(|met| met.incarnation), Some([5; 16]));
        }
    }
    // And the next replacement is not led astray by it.
    DataDir::open(&config).unwrap().pins().unwrap().check(3, met(6)).unwrap();
    assert_eq!(DataDir::open(&config).unwrap().pins().unwrap().all().len(), 2);
}

#[test]
fn a_snapshot_cut_anywhere_while_it_was_written_or_received_is_no_snapshot() {
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("snapshots");
    let snapshots = SnapshotDir::open(&path).unwrap();
    let older = snapshots.build::<io::Error>(meta(3, b""), |to| to.write_all(b"older")).unwrap();
    let announced = meta(9, b"the newer body");
    let mut incoming = Incoming::resume(&snapshots, &announced).unwrap();
    incoming.append(0, b"the newer body", announced.checksum).unwrap();
    let part = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
    let part = part.into_iter().find(|path| path.extension().is_some_and(|e| e == "part")).unwrap();
    let whole = fs::read(&part).unwrap();
    let head = whole.len() - announced.length as usize;
    drop(incoming);
    for length in 0..=whole.len() {
        fs::write(&part, &whole[..length]).unwrap();
        fs::write(path.join("building-1.tmp"), &whole[..length]).unwrap();
        let snapshots = SnapshotDir::open(&path).unwrap();
        assert_eq!(snapshots.newest().unwrap(), Some(older.clone()), "cut to {length}");
        let received = Incoming::resume(&snapshots, &announced).unwrap().received();
        assert_eq!(received, length.saturating_sub(head) as u64, "cut to {length}");
    }
    let names = fs::read_dir(&path).unwrap().count();
    assert_eq!(names, 2, "the snapshot and the part; what was being built is gone");
}
