//! Processes that are killed: what is on disk at any moment is a state with its own records.

use super::{image_of, open};
use crate::tests::cast::{Dice, Person, entry};
use raft_core::OnDiskStateMachine as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Copies what the operating system has by now, as a kill would leave it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn record(n: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    vec![(b"position".to_vec(), n.to_be_bytes().to_vec())]
}

fn set(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    records.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect()
}

#[test]
fn a_killed_process_leaves_a_state_that_its_records_describe() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, reader) = open(dir.path());
    let mut history = BTreeMap::from([(Vec::new(), reader.digest().unwrap())]);
    let mut dice = Dice(5);
    let (mut positions, mut image) = (Vec::new(), Vec::new());
    for n in 1..=400_u64 {
        let person = Person::named(&format!("person{}", dice.below(150)));
        let command = match dice.below(3) {
            0 => person.register(),
            _ => person.login(["phone", "laptop"][dice.below(2)], &n.to_string()),
        };
        let records = record(n);
        store.apply(&[entry(n, 1000 * n, command.encode())], &|_| set(&records)).unwrap();
        history.insert(records, reader.digest().unwrap());
        if n == 120 {
            image = image_of(&mut store);
        }
        if n == 200 {
            let records = record(120);
            store.restore(&mut image.as_slice(), &set(&records)).unwrap();
            assert_eq!(reader.digest().unwrap(), history[&records]);
        }
        if n % 25 == 0 {
            let killed = tempfile::tempdir().unwrap();
            copy(&dir.path().join("view"), &killed.path().join("view"));
            let (store, reader) = open(killed.path());
            let records = store.records().unwrap();
            assert_eq!(reader.rebuilds(), 0, "killed at {n}");
            assert_eq!(history.get(&records), Some(&reader.digest().unwrap()), "killed at {n}");
            positions.push(records);
        }
    }
    assert!(positions.iter().any(|records| !records.is_empty()), "something survived");
}

#[test]
fn a_snapshot_keeps_the_view_from_falling_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _reader) = open(dir.path());
    for n in 1..=5_u64 {
        let command = Person::named(&format!("person{n}")).register();
        store.apply(&[entry(n, 1000 * n, command.encode())], &|_| set(&record(n))).unwrap();
    }
    image_of(&mut store);
    let killed = tempfile::tempdir().unwrap();
    copy(&dir.path().join("view"), &killed.path().join("view"));
    assert_eq!(open(killed.path()).0.records().unwrap(), record(5));
}
