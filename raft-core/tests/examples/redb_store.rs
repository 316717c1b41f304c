//! The state machine of the key-value service by itself: what `OnDiskStateMachine` demands.

use bytes::Bytes;
use raft_core::{Entry, OnDiskStateMachine as _, Position};
use tempfile::TempDir;

use crate::change::{Change, Outcome};
use crate::store::{Reader, Store};

fn open(directory: &TempDir) -> (Store, Reader) {
    Store::open(&directory.path().join("pairs.redb")).unwrap()
}

fn entry(index: u64, payload: Bytes) -> Entry {
    let position = Position { term: 1, index };
    Entry { position, time_unix_ms: 1000, version: 1, payload }
}

fn put(index: u64, key: &str, value: &str) -> Entry {
    entry(index, Change::Put { key, value: value.as_bytes() }.encode().unwrap())
}

fn delete(index: u64, key: &str) -> Entry {
    entry(index, Change::Delete { key }.encode().unwrap())
}

/// Changes of the engine's records.
type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// What the engine records, whatever was replied.
fn recording(value: &str) -> impl Fn(&[Bytes]) -> Changes {
    let records = record(value);
    move |_| records.clone()
}

fn record(value: &str) -> Changes {
    vec![(b"position".to_vec(), Some(value.into()))]
}

fn kept(value: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    vec![(b"position".to_vec(), value.into())]
}

fn value(reader: &Reader, key: &str) -> Option<String> {
    reader.get(key).unwrap().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

fn image(store: &mut Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot().unwrap()(&mut bytes).unwrap();
    bytes
}

#[test]
fn changes_are_pinned_byte_for_byte() {
    let put = Change::Put { key: "k", value: &[7, 200] }.encode().unwrap();
    assert_eq!(put.as_ref(), [0, 1, b'k', 2, 7, 200]);
    assert_eq!(Change::Delete { key: "k" }.encode().unwrap().as_ref(), [1, 1, b'k']);
    assert_eq!(Change::decode(&put).unwrap(), Change::Put { key: "k", value: &[7, 200] });
}

#[test]
fn pairs_and_records_change_together_and_outlive_the_machine() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, reader) = open(&directory);
    assert!(store.records().unwrap().is_empty());
    let entries = [put(1, "a", "1"), put(2, "a", "2"), delete(3, "b"), entry(4, vec![9].into())];
    let replies = store.apply(&entries, &recording("four")).unwrap();
    let outcomes: Vec<_> = replies.iter().map(|reply| Outcome::decode(reply).unwrap()).collect();
    assert_eq!(outcomes, [Outcome::New, Outcome::Known, Outcome::New, Outcome::Refused]);
    assert_eq!(value(&reader, "a").unwrap(), "2");
    drop((store, reader));
    let (mut store, reader) = open(&directory);
    assert_eq!(value(&reader, "a").unwrap(), "2");
    assert_eq!(store.records().unwrap(), kept("four"));
    store.apply(&[], &|_| vec![(b"position".to_vec(), None)]).unwrap();
    assert!(store.records().unwrap().is_empty());
    store.reset().unwrap();
    assert_eq!(value(&reader, "a"), None);
}

#[test]
fn an_image_is_a_moment_and_fills_another_machine() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut store, _) = open(&one);
    let many: Vec<Entry> = (0..500).map(|n| put(n, &format!("key-{n}"), "old")).collect();
    store.apply(&many, &recording("500")).unwrap();
    let moment = store.snapshot().unwrap();
    store.apply(&[put(500, "key-7", "new"), delete(501, "key-8")], &recording("502")).unwrap();
    let mut bytes = Vec::new();
    moment(&mut bytes).unwrap();

    let (mut restored, reader) = open(&other);
    restored.apply(&[put(1, "stray", "1")], &recording("stray")).unwrap();
    restored.restore(&mut bytes.as_slice(), &record("500")).unwrap();
    assert_eq!(restored.records().unwrap(), kept("500"));
    assert_eq!(value(&reader, "key-7").unwrap(), "old");
    assert_eq!(value(&reader, "key-8").unwrap(), "old");
    assert_eq!(value(&reader, "stray"), None);
    // What is restored goes on as what was not.
    restored.apply(&[put(500, "key-7", "new"), delete(501, "key-8")], &recording("502")).unwrap();
    assert_eq!(image(&mut restored), image(&mut store));
}

#[test]
fn what_is_no_image_is_an_error_and_leaves_the_pairs() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, reader) = open(&directory);
    store.apply(&[put(1, "a", "1")], &recording("one")).unwrap();
    let sound = image(&mut store);
    let cut = &sound[..sound.len() - 1];
    let key_alone = &sound[..sound.len() - 5];
    let huge = [&sound[..4], &[0xff; 4]].concat();
    for bytes in [cut, key_alone, &huge, b"kv\0\x02", b"", &sound[..6]] {
        assert!(store.restore(&mut &*bytes, &record("none")).is_err(), "{bytes:?}");
        assert_eq!(value(&reader, "a").unwrap(), "1");
        assert_eq!(store.records().unwrap(), kept("one"));
    }
}

#[test]
fn a_damaged_file_is_set_aside() {
    // From its first byte on, and from where it tells where things are.
    for from in [0, 64] {
        let directory = tempfile::tempdir().unwrap();
        let (mut store, reader) = open(&directory);
        store.apply(&[put(1, "a", "1")], &recording("one")).unwrap();
        drop((store, reader));
        let path = directory.path().join("pairs.redb");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[from..].fill(0x5a);
        std::fs::write(&path, bytes).unwrap();
        let (store, reader) = open(&directory);
        assert_eq!(value(&reader, "a"), None);
        assert!(store.records().unwrap().is_empty());
        assert!(directory.path().join("pairs.damaged").exists());
    }
}

#[test]
fn what_is_gathered_is_written_aside_and_read_all_the_while() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pairs.redb");
    let (store, reader) = open(&directory);
    let mut store = store.gathering(2000);
    for n in 0..400_u64 {
        let key = format!("key-{}", n % 40);
        let replies = store.apply(&[put(n, &key, &n.to_string())], &recording(&n.to_string()));
        let known = if n < 40 { Outcome::New } else { Outcome::Known };
        assert_eq!(Outcome::decode(&replies.unwrap()[0]), Some(known), "{key}");
        assert_eq!(value(&reader, &key).unwrap(), n.to_string());
        assert_eq!(store.records().unwrap(), kept(&n.to_string()));
        let other = format!("key-{}", (n + 1) % 40);
        let before = (n + 1).checked_sub(40).map(|before| before.to_string());
        assert_eq!(value(&reader, &other), before, "{other}");
    }
    let replies = store.apply(&[delete(400, "key-3"), delete(401, "key-3")], &recording("401"));
    let outcomes: Vec<_> = replies.unwrap().iter().map(|reply| Outcome::decode(reply)).collect();
    assert_eq!(outcomes, [Some(Outcome::Known), Some(Outcome::New)]);
    assert_eq!(value(&reader, "key-3"), None);

    // A killed process leaves some earlier moment, with the records of that moment.
    let copy = tempfile::tempdir().unwrap();
    store.snapshot().unwrap()(&mut std::io::sink()).unwrap();
    for n in 402..410_u64 {
        store.apply(&[put(n, "late", &n.to_string())], &recording(&n.to_string())).unwrap();
    }
    std::fs::copy(&path, copy.path().join("pairs.redb")).unwrap();
    let (left, reader) = open(&copy);
    let at = left.records().unwrap();
    let at: u64 = String::from_utf8(at[0].1.clone()).unwrap().parse().unwrap();
    assert!((401..410).contains(&at), "not before the snapshot");
    assert_eq!(value(&reader, "late"), (at > 401).then(|| at.to_string()));
    assert_eq!(value(&reader, "key-3"), None);
}
