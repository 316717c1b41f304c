use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;
use crate::position::Position;

/// Numbers by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    counts: BTreeMap<String, u64>,
    last_time: u64,
}

#[derive(Serialize, Deserialize)]
enum Change {
    Add(String, u64),
    Panic,
}

impl StateMachine for Tally {
    type Command = Change;
    type Reply = u64;

    const VERSION: u32 = 2;

    fn apply(&mut self, command: Change, context: &Context) -> u64 {
        self.last_time = context.time_unix_ms;
        let Change::Add(name, amount) = command else { panic!("as it was told") };
        let count = self.counts.entry(name).or_default();
        *count += amount;
        *count
    }

    fn decode_command(version: u32, bytes: &[u8]) -> Result<Change, Undecodable> {
        match version {
            // Version 1 knew names alone, and added one.
            1 => Ok(Change::Add(codec::decode(bytes)?, 1)),
            _ => codec::decode(bytes),
        }
    }
}

fn entry(index: u64, version: u32, payload: Vec<u8>) -> Entry {
    let position = Position { term: 1, index };
    Entry { position, time_unix_ms: 1000 + index, version, payload: payload.into() }
}

fn add(index: u64, name: &str, amount: u64) -> Entry {
    entry(index, 2, codec::encode(&Change::Add(name.into(), amount)).unwrap())
}

/// Changes of the engine's records.
type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// What the engine records, whatever was replied.
fn recording(value: &str) -> impl Fn(&[Bytes]) -> Changes {
    let records = record(value);
    move |_| records.clone()
}

fn record(value: &str) -> Changes {
    vec![(b"position".to_vec(), Some(value.as_bytes().to_vec()))]
}

fn value_of(adapter: &Adapter<Tally>) -> Option<Vec<u8>> {
    let records = adapter.records().unwrap();
    records.into_iter().find(|(key, _)| key == b"position").map(|(_, value)| value)
}

fn verdicts(replies: &[Bytes]) -> Vec<Verdict<u64>> {
    replies.iter().map(|reply| Verdict::decode(reply).unwrap()).collect()
}

fn written(adapter: &mut Adapter<Tally>) -> Vec<u8> {
    let mut bytes = Vec::new();
    adapter.snapshot().unwrap()(&mut bytes).unwrap();
    bytes
}

#[test]
fn commands_change_the_state_and_the_records_with_it() {
    let (mut adapter, state) = Adapter::<Tally>::new();
    assert!(adapter.records().unwrap().is_empty());
    let told = |replies: &[Bytes]| {
        assert_eq!(verdicts(replies), [Verdict::Reply(5), Verdict::Reply(11)]);
        record("two")
    };
    let replies = adapter.apply(&[add(1, "a", 5), add(2, "a", 6)], &told).unwrap();
    assert_eq!(verdicts(&replies), [Verdict::Reply(5), Verdict::Reply(11)]);
    assert_eq!(value_of(&adapter).unwrap(), b"two");
    assert_eq!(state.look(|tally| (tally.counts["a"], tally.last_time)), Some((11, 1002)));
    // The engine's own entries bring records alone.
    assert!(adapter.apply(&[], &recording("three")).unwrap().is_empty());
    assert_eq!(value_of(&adapter).unwrap(), b"three");
    adapter.apply(&[], &|_| vec![(b"position".to_vec(), None)]).unwrap();
    assert_eq!(value_of(&adapter), None);
}

#[test]
fn what_is_no_command_is_refused_and_changes_nothing() {
    let (mut adapter, state) = Adapter::<Tally>::new();
    let batch = [add(1, "a", 1), entry(2, 2, vec![0xff; 9]), entry(3, 2, vec![]), add(4, "a", 1)];
    let replies = adapter.apply(&batch, &recording("four")).unwrap();
    let refused = Verdict::Undecodable;
    let expected = [Verdict::Reply(1), refused.clone(), refused, Verdict::Reply(2)];
    assert_eq!(verdicts(&replies), expected);
    assert_eq!(state.look(|tally| tally.counts["a"]), Some(2));
    assert_eq!(value_of(&adapter).unwrap(), b"four");
}

#[test]
fn an_older_version_is_read_and_a_newer_one_stops_the_machine_before_it_moves() {
    let (mut adapter, state) = Adapter::<Tally>::new();
    let old = entry(1, 1, codec::encode("old").unwrap());
    let replies = adapter.apply(&[old], &recording("one")).unwrap();
    assert_eq!(verdicts(&replies), [Verdict::Reply(1)]);
    let newer = entry(3, 3, vec![]);
    let error = adapter.apply(&[add(2, "old", 1), newer], &recording("three")).unwrap_err();
    assert!(error.to_string().contains("of version 3; this build reads up to version 2"));
    assert_eq!(state.look(|tally| tally.counts["old"]), Some(1));
    assert_eq!(value_of(&adapter).unwrap(), b"one");
}

#[test]
fn an_image_is_a_moment_whatever_is_applied_while_it_is_written() {
    let (mut adapter, state) = Adapter::<Tally>::new();
    adapter.apply(&[add(1, "a", 1)], &recording("one")).unwrap();
    let image = adapter.snapshot().unwrap();
    adapter.apply(&[add(2, "a", 1), add(3, "b", 1)], &recording("three")).unwrap();
    let mut bytes = Vec::new();
    image(&mut bytes).unwrap();

    let (mut other, restored) = Adapter::<Tally>::new();
    other.apply(&[add(1, "other", 1)], &recording("other")).unwrap();
    other.restore(&mut bytes.as_slice(), &record("one")).unwrap();
    assert_eq!(other.records().unwrap(), [(b"position".to_vec(), b"one".to_vec())]);
    let counts = |state: &Shared<Tally>| state.look(|tally| tally.counts.clone()).unwrap();
    assert_eq!(counts(&restored), BTreeMap::from([("a".to_owned(), 1)]));
    // What is restored goes on as what was not.
    let batch = [add(2, "a", 1), add(3, "b", 1)];
    other.apply(&batch, &recording("three")).unwrap();
    assert_eq!(counts(&restored), counts(&state));
    assert_eq!(written(&mut other), written(&mut adapter));
}

#[test]
fn the_state_is_copied_only_for_an_image_that_is_still_there() {
    let (mut adapter, state) = Adapter::<Tally>::new();
    adapter.apply(&[add(1, "a", 1)], &|_| vec![]).unwrap();
    let place = |state: &Shared<Tally>| state.look(|tally| std::ptr::from_ref(tally).addr());
    let before = place(&state);
    drop(adapter.snapshot().unwrap());
    adapter.apply(&[add(2, "a", 1)], &|_| vec![]).unwrap();
    assert_eq!(place(&state), before);
    let image = adapter.snapshot().unwrap();
    adapter.apply(&[], &|_| vec![]).unwrap();
    assert_eq!(place(&state), before);
    adapter.apply(&[add(3, "a", 1)], &|_| vec![]).unwrap();
    assert_ne!(place(&state), before);
    drop(image);
}

#[test]
fn images_are_pinned_byte_for_byte() {
    let (mut adapter, _) = Adapter::<Tally>::new();
    adapter.apply(&[add(1, "a", 300)], &recording("one")).unwrap();
    // Format 1, version 2, one pair of "a" and 300, the time 1001.
    assert_eq!(hex::encode(written(&mut adapter)), "0100000002010161ac02e907");
}

#[test]
fn what_is_no_image_is_an_error_and_leaves_the_state() {
    let (mut adapter, state) = Adapter::<Tally>::new();
    adapter.apply(&[add(1, "a", 1)], &recording("one")).unwrap();
    let sound = written(&mut adapter);
    let mut newer = sound.clone();
    newer[4] = 3;
    let mut format = sound.clone();
    format[0] = 2;
    let long = [sound.as_slice(), &[0]].concat();
    for bytes in [&newer, &format, &long, &sound[..sound.len() - 1], &sound[..3], &[]] {
        assert!(adapter.restore(&mut &*bytes.to_vec(), &record("none")).is_err());
        assert_eq!(state.look(|tally| tally.counts["a"]), Some(1));
        assert_eq!(value_of(&adapter).unwrap(), b"one");
    }
    adapter.reset().unwrap();
    assert_eq!(state.look(Tally::clone), Some(Tally::default()));
    assert!(adapter.records().unwrap().is_empty());
}

#[test]
fn after_a_panic_the_state_is_not_shown() {
    let (mut adapter, state) = Adapter::<Tally>::new();
    let panic = entry(1, 2, codec::encode(&Change::Panic).unwrap());
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = adapter.apply(&[panic], &|_| vec![]);
    }));
    assert!(caught.is_err());
    assert_eq!(state.look(|tally| tally.last_time), None);
    assert!(adapter.apply(&[add(2, "a", 1)], &|_| vec![]).is_err());
    assert!(adapter.snapshot().is_err());
}
