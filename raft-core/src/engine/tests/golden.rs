//! The engine's messages as they lie on disk, pinned: what was written once must be read for ever.
//!
//! The constants follow from `raft.proto` and protobuf's encoding alone. A new field gets a new
//! constant beside the old one; none of these is ever changed.

use std::collections::{BTreeMap, BTreeSet};

use openraft::RaftLogReader as _;
use openraft::entry::RaftEntry as _;
use openraft::impls::leader_id_std::LeaderId;
use openraft::storage::RaftLogStorage as _;
use prost::Message as _;
use telegraph_proto::raft as proto;

use super::*;
use crate::engine::facts::Facts;
use crate::engine::types::{
    LogEntry, LogId, Membership, Payload, Place, Proposal, StoredMembership, Vote, log_id,
};
use crate::engine::wire::{decode_entry, encode_entry};
use crate::member::Member;
use crate::position::Position;

/// A new leader's no-op at T7-I300.
const BLANK: &str = "0a05080710ac021200";

/// A blank where every number is 0: T0-I0.
const BLANK_AT_ZERO: &str = "0a001200";

/// A command of a session at T7-I301.
const COMMAND: &str = "\
    0a05080710ad021a2c08031080d095ffbc311a180a10000102030405060708090a0b0c0d0e0f10ac\
    0218ab022207636f6d6d616e64";

/// A joint membership of {1, 2} and {2, 3} at T7-I302.
const MEMBERSHIP: &str = "\
    0a05080710ae0222600a040a0201020a040a020203121a0801120a686f7374313a37343030320a68\
    6f7374313a37353030121a0802120a686f7374323a37343030320a686f7374323a37353030121a08\
    03120a686f7374333a37343030320a686f7374333a37353030";

/// The same membership as a state machine keeps it, with the position that set it.
const STORED_MEMBERSHIP: &str = "\
    0a05080710ae0212600a040a0201020a040a020203121a0801120a686f7374313a37343030320a68\
    6f7374313a37353030121a0802120a686f7374323a37343030320a686f7374323a37353030121a08\
    03120a686f7374333a37343030320a686f7374333a37353030";

/// The same after 4 and 300 were removed.
const STORED_MEMBERSHIP_AFTER_REMOVALS: &str = "\
    0a05080710ae0212650a040a0201020a040a020203121a0801120a686f7374313a37343030320a68\
    6f7374313a37353030121a0802120a686f7374323a37343030320a686f7374323a37353030121a08\
    03120a686f7374333a37343030320a686f7374333a373530301a0304ac02";

/// The membership of an entry at T7-I303 with every field of `raft.proto`: names, incarnations,
/// keys, versions, and the tombstones 4 and 300.
const MEMBERSHIP_WITH_TOMBSTONES: &str = "\
    0a05080710af02229c020a040a0201020a040a02020312570801120a686f7374313a373430301a05\
    6e616d65312210a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a12a20b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1\
    b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1320a686f7374313a37353030380212570802120a686f73\
    74323a373430301a056e616d65322210a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a22a20b2b2b2b2b2b2\
    b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2320a686f7374323a373530303802\
    12570803120a686f7374333a373430301a056e616d65332210a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3\
    a32a20b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3320a686f73\
    74333a3735303038021a0304ac02";

/// Node 3 leads term 7.
const VOTE_COMMITTED: &str = "080710031801";

/// Node 2 stands for term 8.
const VOTE: &str = "08081002";

/// Committed up to T7-I300.
const COMMITTED: &str = "080710ac02";

fn bytes_of(golden: &str) -> Bytes {
    hex::decode(golden).unwrap().into()
}

fn at(index: u64) -> LogId {
    log_id(Position { term: 7, index })
}

fn membership() -> Membership {
    let place = |id| {
        let (address, service_address) = (format!("host{id}:7400"), format!("host{id}:7500"));
        (id, Place::of(&Member { id, address, service_address, ..Member::default() }))
    };
    let voters = vec![BTreeSet::from([1, 2]), BTreeSet::from([2, 3])];
    Membership::new(voters, BTreeMap::from([1, 2, 3].map(place))).unwrap()
}

/// Every entry this program writes, with its bytes.
fn entries() -> [(&'static str, LogEntry); 4] {
    let session = proto::Session {
        client_id: (0..16).collect::<Vec<u8>>().into(),
        sequence: 300,
        lowest_unacknowledged: 299,
    };
    let command = proto::Command {
        version: 3,
        time_unix_ms: 1_700_000_000_000,
        session: Some(session),
        payload: Bytes::from_static(b"command"),
    };
    [
        (BLANK, LogEntry::new(at(300), Payload::Blank)),
        (BLANK_AT_ZERO, LogEntry::new(log_id(Position::default()), Payload::Blank)),
        (COMMAND, LogEntry::new(at(301), Payload::Normal(Proposal::new(&command)))),
        (MEMBERSHIP, LogEntry::new(at(302), Payload::Membership(membership()))),
    ]
}

/// The message of [`MEMBERSHIP_WITH_TOMBSTONES`].
fn whole_membership() -> proto::Entry {
    let member = |id: u8| proto::Member {
        node_id: u64::from(id),
        address: format!("host{id}:7400"),
        name: format!("name{id}"),
        incarnation: vec![0xa0 + id; 16].into(),
        signing_key: vec![0xb0 + id; 32].into(),
        service_address: format!("host{id}:7500"),
        readable_version: 2,
    };
    let sets = [[1, 2], [2, 3]];
    let membership = proto::Membership {
        voter_sets: sets.map(|ids| proto::VoterSet { node_ids: ids.to_vec() }).to_vec(),
        members: [1, 2, 3].map(member).to_vec(),
        tombstones: vec![4, 300],
    };
    proto::Entry {
        position: Some(proto::Position { term: 7, index: 303 }),
        payload: Some(proto::entry::Payload::Membership(membership)),
    }
}

fn votes() -> [(&'static str, Vote); 2] {
    let vote = |term, voted_for, committed| {
        let leader_id = LeaderId { term, voted_for };
        Vote { leader_id, committed }
    };
    [(VOTE_COMMITTED, vote(7, 3, true)), (VOTE, vote(8, 2, false))]
}

#[test]
fn a_change_of_how_an_entry_is_encoded_breaks_every_disk_written_so_far() {
    for (golden, entry) in entries() {
        assert_eq!(hex::encode(encode_entry(&entry)), golden, "{entry}");
    }
    let whole = whole_membership();
    assert_eq!(hex::encode(whole.encode_to_vec()), MEMBERSHIP_WITH_TOMBSTONES);
}

#[test]
fn a_change_of_how_an_entry_is_decoded_breaks_every_disk_written_so_far() {
    for (golden, entry) in entries() {
        let decoded = decode_entry(bytes_of(golden)).unwrap();
        assert_eq!(decoded, entry);
        assert_eq!(decoded.encoded, bytes_of(golden));
    }
    let golden = bytes_of(MEMBERSHIP_WITH_TOMBSTONES);
    assert_eq!(proto::Entry::decode(golden.clone()).unwrap(), whole_membership());
    let decoded = decode_entry(golden.clone()).unwrap();
    let place = |id: u8| Place {
        address: format!("host{id}:7400"),
        service_address: format!("host{id}:7500"),
        name: format!("name{id}"),
        incarnation: vec![0xa0 + id; 16].into(),
        signing_key: vec![0xb0 + id; 32].into(),
        readable_version: 2,
    };
    let places = BTreeMap::from([1, 2, 3].map(|id| (u64::from(id), place(id))));
    let voters = membership().get_joint_config().clone();
    let whole = Membership::new(voters, places).unwrap();
    assert_eq!(decoded, LogEntry::new(at(303), Payload::Membership(whole)));
    assert_eq!(encode_entry(&decoded), golden, "passed on whole, also what is not used here");
}

#[tokio::test]
async fn a_change_of_votes_or_the_committed_pointer_breaks_every_disk_written_so_far() {
    let store: Arc<dyn LogStore> = Arc::new(MemoryLog::new());
    let mut log = Log::new(store.clone(), 1 << 20, 1, &Arc::default());
    for (golden, vote) in votes() {
        log.save_vote(&vote).await.unwrap();
        assert_eq!(hex::encode(store.state().vote.unwrap()), golden);
        store.save_vote(bytes_of(golden), Box::new(|result| result.unwrap()));
        assert_eq!(log.read_vote().await.unwrap(), Some(vote));
    }
    log.save_committed(Some(at(300))).await.unwrap();
    assert_eq!(hex::encode(store.state().committed.unwrap()), COMMITTED);
    store.save_committed(bytes_of(COMMITTED));
    assert_eq!(log.read_committed().await.unwrap(), Some(at(300)));
}

#[test]
fn a_change_of_the_engines_records_breaks_every_state_machine_written_so_far() {
    let golden = [
        ("membership", STORED_MEMBERSHIP),
        ("time", "0000018bcfe56800"),
        ("position", "080710af02"),
    ];
    let facts = Facts {
        applied: Some(at(303)),
        membership: StoredMembership::new(Some(at(302)), membership()),
        removed: BTreeSet::new(),
        time_unix_ms: 1_700_000_000_000,
        version: 1,
    };
    let written = kept(&facts.records());
    let readable = written.iter().map(|(key, value)| (key.as_slice(), hex::encode(value)));
    let expected = golden.map(|(key, value)| (key.as_bytes(), value.to_owned()));
    assert_eq!(readable.collect::<Vec<_>>(), expected);
    let records = golden.map(|(key, value)| (key.as_bytes().to_vec(), bytes_of(value).to_vec()));
    // Version 1 is not written: it has the same meaning as none.
    let facts = Facts { version: 0, ..facts };
    assert_eq!(Facts::read(&records).unwrap(), facts);
    let newer = Facts { version: 258, ..facts.clone() };
    let written = kept(&newer.records());
    let (_, version) = written.iter().find(|(key, _)| key == b"version").unwrap();
    assert_eq!(hex::encode(version), "00000102");
    assert_eq!(Facts::read(&written).unwrap(), newer);
    let facts = Facts { removed: BTreeSet::from([4, 300]), ..facts };
    let written = kept(&facts.records());
    let (_, membership) = written.iter().find(|(key, _)| key == b"membership").unwrap();
    assert_eq!(hex::encode(membership), STORED_MEMBERSHIP_AFTER_REMOVALS);
    assert_eq!(Facts::read(&written).unwrap(), facts);
}
