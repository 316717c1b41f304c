//! Views that somebody or something spoiled.

use super::{inhabited, open, recorded};
use crate::tests::cast::{Dice, Person, entries, entry, village};
use raft_core::OnDiskStateMachine as _;
use std::fs;
use std::path::Path;

fn aside(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("view.corrupt-")).collect();
    names.sort();
    names
}

/// Flips bits of the file, of those bytes alone that hold something if it is `aimed`: most are
/// zeros that nobody has written yet.
fn spoil(path: &Path, dice: &mut Dice, flips: usize, aimed: bool) {
    let mut bytes = fs::read(path).unwrap();
    let held: Vec<usize> = (0..bytes.len()).filter(|at| !aimed || bytes[*at] != 0).collect();
    for _ in 0..flips {
        let at = held[dice.below(held.len())];
        bytes[at] ^= 1 << dice.below(8);
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_view_overwritten_with_garbage_is_set_aside_for_an_empty_one() {
    for file in ["view/db", "view/conf"] {
        let (dir, store, _reader) = inhabited();
        drop(store);
        let length = fs::metadata(dir.path().join(file)).unwrap().len() as usize;
        let mut dice = Dice(1);
        let garbage: Vec<u8> = (0..length.max(64)).map(|_| dice.roll() as u8).collect();
        fs::write(dir.path().join(file), &garbage).unwrap();
        let (mut store, reader) = open(dir.path());
        assert_eq!(reader.rebuilds(), 1, "{file}");
        assert!(store.records().unwrap().is_empty());
        assert_eq!(reader.counts().unwrap().accounts, 0);
        assert_eq!(aside(dir.path()), ["view.corrupt-1"]);
        store.apply(&entries(&village()), &|_| Vec::new()).unwrap();
        assert_eq!(reader.counts().unwrap().accounts, 2);
        drop(store);
        assert_eq!(open(dir.path()).1.rebuilds(), 0);
    }
}

#[test]
fn a_file_in_the_place_of_the_view_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("view"), b"in the way").unwrap();
    let (_store, reader) = open(dir.path());
    assert_eq!(reader.rebuilds(), 1);
    assert_eq!(fs::read(dir.path().join("view.corrupt-1")).unwrap(), b"in the way");
}

#[test]
fn flipped_bits_leave_an_older_state_or_none_and_never_a_false_one() {
    let (mut older, mut set_aside) = (0, 0);
    for seed in 0..40 {
        let (dir, mut store, reader) = inhabited();
        let nothing = crate::digest::digest(&crate::tests::cast::Twin::new()).unwrap();
        let mut known = vec![(Vec::new(), nothing)];
        known.push((store.records().unwrap(), reader.digest().unwrap()));
        let dave = [entry(9, 9000, Person::named("dave").register().encode())];
        store.apply(&dave, &|_| recorded(&dave)).unwrap();
        known.push((store.records().unwrap(), reader.digest().unwrap()));
        drop(store);
        let mut dice = Dice(seed);
        // A few anywhere, which mostly harm nothing, and many that hardly fail to.
        let aimed = seed % 2 == 0;
        let flips = if aimed { 100 } else { 1 + dice.below(8) };
        spoil(&dir.path().join("view/db"), &mut dice, flips, aimed);
        let (store, reader) = open(dir.path());
        let found = (store.records().unwrap(), reader.digest().unwrap());
        match reader.rebuilds() {
            0 => {
                older += 1;
                assert!(known.contains(&found), "seed {seed}: a state that never was");
            }
            _ => {
                set_aside += 1;
                assert!(found.0.is_empty(), "seed {seed}: an empty view with records");
            }
        }
    }
    assert!(set_aside > 0 && older > 0, "{set_aside} were set aside, {older} were sound");
}

#[test]
fn a_view_that_contradicts_itself_is_set_aside() {
    use crate::key_values::Changes;
    use crate::keys;
    let bob = Person::named("bob");
    let contradictions = [
        (keys::online(&bob.username()), None),
        (keys::name(&bob.username()), None),
        (keys::account(&bob.id()), None),
        (keys::account(&bob.id()), Some(vec![0xff])),
        (keys::counts(), Some(vec![0; 24])),
        (keys::session(&[1; 32]), Some(vec![])),
        (vec![0x40], Some(vec![])),
    ];
    for (key, value) in contradictions {
        let (dir, store, _reader) = inhabited();
        store.view.commit(Changes::from([(key.clone(), value)]), None).unwrap();
        drop(store);
        let (store, reader) = open(dir.path());
        assert_eq!(reader.rebuilds(), 1, "{}", hex::encode(key));
        assert!(store.records().unwrap().is_empty());
    }
}

#[test]
fn damage_met_while_running_rebuilds_the_view_at_the_next_start() {
    use crate::key_values::Changes;
    use crate::keys;
    let (dir, mut store, reader) = inhabited();
    let bob = Person::named("bob");
    let garbage = Changes::from([(keys::account(&bob.id()), Some(vec![0xff]))]);
    store.view.commit(garbage, None).unwrap();
    assert!(reader.account(&bob.id()).is_err());
    assert!(
        store.apply(&[entry(9, 9000, bob.login("phone", "b2").encode())], &|_| Vec::new()).is_err()
    );
    assert!(dir.path().join("view.suspect").exists());
    drop(store);
    assert_eq!(open(dir.path()).1.rebuilds(), 1);
    assert!(!dir.path().join("view.suspect").exists());
    assert_eq!(open(dir.path()).1.rebuilds(), 0);
}

#[test]
fn a_view_that_ended_its_process_while_it_was_opened_is_not_opened_again() {
    let (dir, store, _reader) = inhabited();
    drop(store);
    // What a process that aborts on panics leaves behind.
    fs::write(dir.path().join("view.suspect"), b"").unwrap();
    let (store, reader) = open(dir.path());
    assert_eq!(reader.rebuilds(), 1);
    assert!(store.records().unwrap().is_empty());
    drop(store);
    assert_eq!(open(dir.path()).1.rebuilds(), 0);
}

#[test]
fn no_more_than_two_views_are_kept_aside() {
    let (dir, store, _reader) = inhabited();
    drop(store);
    for _ in 0..4 {
        fs::write(dir.path().join("view/db"), [0xaa; 5000]).unwrap();
        assert_eq!(open(dir.path()).1.rebuilds(), 1);
    }
    assert_eq!(aside(dir.path()), ["view.corrupt-3", "view.corrupt-4"]);
}
