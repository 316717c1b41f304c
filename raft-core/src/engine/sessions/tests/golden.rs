//! The table as it lies in records and snapshots, pinned: what was written once must be read for
//! ever. The constants follow from `record.rs` and `raft.proto` alone.

use super::*;

/// `session/`, client id; a log time of 1,700,000,000,000 and replies from number 299 on.
const SESSION: (&str, &str) =
    ("73657373696f6e2f000102030405060708090a0b0c0d0e0f", "1080d095ffbc3118ab02");

/// `reply/`, client id, number 299: applied at T7-I301, and the reply was too long.
const OMITTED: (&str, &str) =
    ("7265706c792f000102030405060708090a0b0c0d0e0f000000000000012b", "1205080710ad022001");

/// The same, number 300: applied at T7-I302, with a reply.
const REPLY: (&str, &str) = (
    "7265706c792f000102030405060708090a0b0c0d0e0f000000000000012c",
    "1205080710ae021a057265706c79",
);

/// The encoded `SessionTable` of that session.
const TABLE: &str = "\
    0a3d0a10000102030405060708090a0b0c0d0e0f1080d095ffbc3118ab02220c08ab02120508071\
    0ad022001221108ac021205080710ae021a057265706c79";

fn bytes_of(golden: &str) -> Vec<u8> {
    hex::decode(golden).unwrap()
}

fn golden_records() -> Vec<(Vec<u8>, Vec<u8>)> {
    [SESSION, OMITTED, REPLY].map(|(key, value)| (bytes_of(key), bytes_of(value))).to_vec()
}

fn golden_sessions() -> Sessions {
    let mut sessions = Sessions::default();
    let client: ClientId = std::array::from_fn(|at| at as u8);
    let head = Head { last_used_unix_ms: 1_700_000_000_000, lowest_unacknowledged: 299 };
    sessions.insert(client, head).unwrap();
    let position = |index| Position { term: 7, index };
    let omitted = KeptReply { sequence: 299, position: position(301), reply: None };
    sessions.insert_reply(client, omitted).unwrap();
    let reply = Some(Bytes::from_static(b"reply"));
    let kept = KeptReply { sequence: 300, position: position(302), reply };
    sessions.insert_reply(client, kept).unwrap();
    sessions
}

#[test]
fn a_change_of_the_sessions_records_breaks_every_state_machine_written_so_far() {
    let written = golden_sessions().records().into_iter();
    let written: Vec<_> = written.map(|(key, value)| (key, value.unwrap())).collect();
    let readable = |records: &[(Vec<u8>, Vec<u8>)]| {
        records
            .iter()
            .map(|(key, value)| (hex::encode(key), hex::encode(value)))
            .collect::<Vec<_>>()
    };
    assert_eq!(readable(&written), readable(&golden_records()));
    assert_eq!(Sessions::read(&golden_records()).unwrap(), golden_sessions());
}

#[test]
fn a_change_of_the_table_in_a_snapshot_breaks_every_snapshot_written_so_far() {
    let mut written = Vec::new();
    golden_sessions().write(&mut written).unwrap();
    assert_eq!(hex::encode(&written), TABLE);
    assert_eq!(golden_sessions().encoded_len(), written.len() as u64);
    let mut golden = bytes_of(TABLE);
    let length = golden.len() as u64;
    golden.extend(b"the state machine's image");
    let mut body = golden.as_slice();
    assert_eq!(Sessions::load(&mut body, length).unwrap(), golden_sessions());
    assert_eq!(body, b"the state machine's image", "what follows is left alone");
}

#[test]
fn the_limits_are_part_of_the_format() {
    let expected = Limits {
        sessions: 131_072,
        window: 1024,
        replies: 262_144,
        reply_bytes: 2048,
        lifetime_ms: 86_400_000,
        idle_ms: 300_000,
    };
    assert_eq!(LIMITS, expected, "replicas with other limits disagree: a new version is needed");
}

#[test]
fn garbled_records_and_tables_are_an_error_and_no_panic() {
    let golden = golden_records();
    for (place, (key, value)) in golden.iter().enumerate() {
        let mut records = golden.clone();
        for cut in 0..key.len() {
            records[place].0 = key[..cut].to_vec();
            let _ = Sessions::read(&records);
        }
        records[place].0 = [key.as_slice(), b"x"].concat();
        assert!(Sessions::read(&records).is_err());
        records[place] = (key.clone(), value[..value.len() - 1].to_vec());
        let _ = Sessions::read(&records);
    }
    assert!(Sessions::read(&golden[1..]).is_err(), "replies without their session");
    let table = bytes_of(TABLE);
    for cut in 0..table.len() {
        let mut flipped = table.clone();
        flipped[cut] ^= 0x81;
        let _ = Sessions::load(&mut flipped.as_slice(), table.len() as u64);
        if cut > 0 {
            assert!(Sessions::load(&mut &table[..cut], cut as u64).is_err());
        }
        assert!(Sessions::load(&mut &table[..cut], table.len() as u64).is_err());
    }
    assert!(Sessions::load(&mut table.as_slice(), u64::MAX).is_err());
    let twice = [table.as_slice(), &table].concat();
    assert!(Sessions::load(&mut twice.as_slice(), twice.len() as u64).is_err());
}
