//! The bytes of a snapshot file, pinned: what was written once must be read for ever.
//!
//! The constants follow from the table in `snapshot.rs` and from `raft.proto` alone. A new form
//! gets new constants and a new version of the format; none of these is ever changed.

use telegraph_proto::raft::{Member, Membership, StoredMembership, VoterSet};

use super::*;

const NAME: &str = "00000000000000000303-00000000000000000007.snap";
const BODY: &[u8] = b"the state machine's image";

/// Magic, version, room of 166 bytes, head of 157 bytes, checksum.
const FRONT: &str = "52414654534e415001000000a60000009d0000006134dcda";

/// The same in a snapshot that was received: no more room than the head needs.
const FRONT_RECEIVED: &str = "52414654534e4150010000009d0000009d0000005078d731";

/// The encoded `SnapshotMeta`.
const HEAD: &str = "\
    0a1854372d493330332d303030313032303330343035303630371205080710af021a690a05080710\
    ae0212600a040a0201020a040a020203121a0801120a686f7374313a37343030320a686f7374313a\
    37353030121a0802120a686f7374323a37343030320a686f7374323a37353030121a0803120a686f\
    7374333a37343030320a686f7374333a37353030200128193088d7ce8f033880d095ffbc31";

/// Room for the longest length and checksum: known only once the body is written.
const ROOM_LEFT: [u8; 9] = [0; 9];

/// The head of the golden file: a joint membership, and everything that a snapshot says of itself.
fn golden_meta() -> SnapshotMeta {
    let member = |node_id| Member {
        node_id,
        address: format!("host{node_id}:7400"),
        service_address: format!("host{node_id}:7500"),
        ..Member::default()
    };
    let membership = Membership {
        voter_sets: [[1, 2], [2, 3]].map(|ids| VoterSet { node_ids: ids.to_vec() }).to_vec(),
        members: [1, 2, 3].map(member).to_vec(),
        tombstones: Vec::new(),
    };
    SnapshotMeta {
        id: "T7-I303-0001020304050607".into(),
        last_applied: Some(Position { term: 7, index: 303 }),
        membership: Some(StoredMembership {
            position: Some(Position { term: 7, index: 302 }),
            membership: Some(membership),
        }),
        version: SNAPSHOT_VERSION,
        length: 25,
        checksum: 0x31f3_ab88,
        time_unix_ms: 1_700_000_000_000,
        ..SnapshotMeta::default()
    }
}

fn built() -> Vec<u8> {
    let (front, head) = (hex::decode(FRONT).unwrap(), hex::decode(HEAD).unwrap());
    [&front, &head, ROOM_LEFT.as_slice(), BODY].concat()
}

fn received() -> Vec<u8> {
    let (front, head) = (hex::decode(FRONT_RECEIVED).unwrap(), hex::decode(HEAD).unwrap());
    [&front, &head, BODY].concat()
}

#[test]
fn a_change_of_how_a_snapshot_is_written_breaks_every_disk_written_so_far() {
    let (_keep, directory) = directory();
    let blank = SnapshotMeta { length: 0, checksum: 0, ..golden_meta() };
    let file = directory.build::<io::Error>(blank, |to| to.write_all(BODY)).unwrap();
    assert_eq!(file.path, directory.path().join(NAME));
    assert_eq!(hex::encode(fs::read(&file.path).unwrap()), hex::encode(built()));

    let (_keep, directory) = self::directory();
    let mut incoming = Incoming::resume(&directory, &golden_meta()).unwrap();
    incoming.append(0, BODY, crc32c::crc32c(BODY)).unwrap();
    let file = directory.publish(incoming.finish().unwrap()).unwrap();
    assert_eq!(file.path, directory.path().join(NAME));
    assert_eq!(hex::encode(fs::read(&file.path).unwrap()), hex::encode(received()));
}

#[test]
fn a_change_of_how_a_snapshot_is_read_breaks_every_disk_written_so_far() {
    for bytes in [built(), received()] {
        let (_keep, directory) = directory();
        fs::write(directory.path().join(NAME), &bytes).unwrap();
        let found = directory.newest().unwrap().unwrap();
        assert_eq!(found.meta, golden_meta());
        assert_eq!(body_of(&found), BODY);
    }
}

#[test]
fn a_change_of_a_half_received_snapshot_makes_every_broken_transfer_begin_anew() {
    let (_keep, directory) = directory();
    let half = &received()[..received().len() - 20];
    fs::write(directory.path().join("incoming-65878cdc.part"), half).unwrap();
    let mut incoming = Incoming::resume(&directory, &golden_meta()).unwrap();
    assert_eq!(incoming.received(), 5);
    let rest = &BODY[5..];
    incoming.append(5, rest, crc32c::crc32c(rest)).unwrap();
    assert_eq!(body_of(&directory.publish(incoming.finish().unwrap()).unwrap()), BODY);
}

#[test]
fn a_later_format_is_not_read() {
    let (_keep, directory) = directory();
    let mut bytes = built();
    bytes[8] = 2;
    fs::write(directory.path().join(NAME), &bytes).unwrap();
    assert!(directory.newest().unwrap().is_none());
}
