//! The store on a real disk: what survives, what is set aside, what replicas agree on.

mod agreement;
mod crash;
mod damage;
mod laws;
mod moments;

use super::*;
use crate::reply::Reply;
use crate::session::SessionEnd;
use crate::tests::cast::{
    CLUSTER, Person, Twin, contents, entries, entry, play, session, token, village,
};
use raft_core::{Position, Records};
use tempfile::TempDir;

pub(super) fn open(dir: &Path) -> (IdentityStore, IdentityReader) {
    IdentityStore::open(dir, CLUSTER).unwrap()
}

/// Records as an engine would have them: how far it is.
pub(super) fn recorded(entries: &[Entry]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let last = entries.last().map_or(0, |entry| entry.position.index);
    vec![
        (b"position".to_vec(), Some(last.to_be_bytes().to_vec())),
        (b"time".to_vec(), Some(vec![7])),
    ]
}

/// What is stored of records.
pub(super) fn kept(records: &Records) -> Vec<(Vec<u8>, Vec<u8>)> {
    records.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect()
}

/// A store with the village in it.
pub(super) fn inhabited() -> (TempDir, IdentityStore, IdentityReader) {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, reader) = open(dir.path());
    let entries = entries(&village());
    store.apply(&entries, &|_| recorded(&entries)).unwrap();
    (dir, store, reader)
}

pub(super) fn image_of(store: &mut IdentityStore) -> Vec<u8> {
    let mut image = Vec::new();
    store.snapshot().unwrap()(&mut image).unwrap();
    image
}

#[test]
fn a_reader_sees_what_was_applied_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, reader) = open(dir.path());
    assert_eq!(reader.position(), Position::default());
    let alice = Person::named("alice");
    let replies = store.apply(&entries(&[alice.register()]), &|_| Vec::new()).unwrap();
    let registered = Reply::Registered { account_id: alice.id(), repeated: false };
    assert_eq!(Reply::decode(&replies[0]), Ok(registered));
    assert_eq!(reader.account(&alice.id()).unwrap().unwrap().username, alice.username());
    assert_eq!(reader.account_by_name(&alice.username()).unwrap().unwrap().account_id, alice.id());
    assert_eq!(reader.position(), Position { term: 1, index: 1 });
    assert_eq!(reader.log_time_unix_ms(), 1000);
    assert_eq!(reader.counts().unwrap().accounts, 1);
    assert_eq!(reader.rebuilds(), 0);
}

#[test]
fn a_reader_finds_people_and_sessions_by_whatever_they_are_known() {
    let (_dir, _store, reader) = inhabited();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(Person::named);
    let names = |accounts: Vec<crate::account::Account>| -> Vec<String> {
        accounts.iter().map(|account| account.username.to_string()).collect()
    };
    assert_eq!(names(reader.online(None, 9).unwrap()), ["alice", "bob"]);
    assert_eq!(names(reader.online(None, 1).unwrap()), ["alice"]);
    assert_eq!(names(reader.online(Some(&alice.username()), 9).unwrap()), ["bob"]);
    assert!(reader.online(Some(&bob.username()), 9).unwrap().is_empty());
    let mut seen = Vec::new();
    reader.for_each_online(|account| seen.push(account.account_id)).unwrap();
    assert_eq!(seen, [alice.id(), bob.id()]);

    let over = reader.session(&token("a1")).unwrap().unwrap();
    assert_eq!(over.session_id, session("a1"));
    assert_eq!(over.ended, Some(SessionEnd::ReplacedByNewerLogin));
    assert!(!over.live(reader.log_time_unix_ms()));
    assert!(reader.session(&token("a2")).unwrap().unwrap().live(reader.log_time_unix_ms()));
    assert_eq!(reader.session(&token("nobody's")).unwrap(), None);
    assert_eq!(reader.sessions_of(&alice.id()).unwrap().len(), 2);

    assert_eq!(reader.account(&carol.id()).unwrap(), None);
    assert_eq!(reader.account_by_name(&carol.username()).unwrap(), None);
    assert!(reader.is_retired(&carol.username()).unwrap());
    assert!(!reader.is_retired(&bob.username()).unwrap());
    assert!(!reader.is_retired(&Person::named("dave").username()).unwrap());
    let addresses = reader.account(&bob.id()).unwrap().unwrap().addresses();
    assert_eq!(addresses, ["127.0.0.1:9000".parse().unwrap(), "[::1]:9000".parse().unwrap()]);
}

#[test]
fn state_and_records_come_back_together() {
    let (dir, store, reader) = inhabited();
    let (digest, position) = (reader.digest().unwrap(), reader.position());
    let mut records = store.records().unwrap();
    drop(store);
    for _ in 0..10 {
        let (store, reader) = open(dir.path());
        assert_eq!(reader.digest().unwrap(), digest);
        assert_eq!((reader.position(), reader.log_time_unix_ms()), (position, 8000));
        assert_eq!(store.records().unwrap(), records);
        assert_eq!(reader.rebuilds(), 0);
    }
    records.sort();
    assert_eq!(records, kept(&recorded(&entries(&village()))));
}

#[test]
fn entries_that_are_no_commands_move_the_records_alone() {
    let (_dir, mut store, reader) = inhabited();
    let (digest, position) = (reader.digest().unwrap(), reader.position());
    let further = vec![(b"position".to_vec(), Some(b"further".to_vec()))];
    assert!(store.apply(&[], &|_| further.clone()).unwrap().is_empty());
    assert!(store.records().unwrap().contains(&kept(&further)[0]));
    assert_eq!((reader.digest().unwrap(), reader.position()), (digest, position));
}

#[test]
fn a_reset_empties_state_and_records_and_readers_go_on() {
    let (dir, mut store, reader) = inhabited();
    store.reset().unwrap();
    assert!(store.records().unwrap().is_empty());
    assert_eq!(reader.counts().unwrap(), crate::lookup::Counts::default());
    assert_eq!(reader.position(), Position::default());
    assert_eq!(reader.account(&Person::named("alice").id()).unwrap(), None);
    store.apply(&entries(&village()), &|_| Vec::new()).unwrap();
    assert_eq!(reader.counts().unwrap().accounts, 2);
    store.reset().unwrap();
    drop(store);
    assert!(open(dir.path()).0.records().unwrap().is_empty());
}

#[test]
fn a_restore_replaces_everything_and_readers_go_on() {
    let (_source_dir, mut source, source_reader) = inhabited();
    let image = image_of(&mut source);
    let dir = tempfile::tempdir().unwrap();
    let (mut store, reader) = open(dir.path());
    store.apply(&entries(&[Person::named("dave").register()]), &|_| recorded(&[])).unwrap();
    let records = vec![(b"position".to_vec(), Some(b"new".to_vec()))];
    store.restore(&mut &*image, &records).unwrap();
    assert_eq!(reader.digest().unwrap(), source_reader.digest().unwrap());
    assert_eq!(reader.position(), source_reader.position());
    assert_eq!(reader.account(&Person::named("dave").id()).unwrap(), None);
    assert_eq!(store.records().unwrap(), kept(&records));
    assert_eq!(image_of(&mut store), image);
    drop(store);
    let (store, reader) = open(dir.path());
    assert_eq!(reader.digest().unwrap(), source_reader.digest().unwrap());
    assert_eq!(store.records().unwrap(), kept(&records));
}

#[test]
fn an_image_that_is_refused_leaves_the_state_and_its_records() {
    let (_dir, mut store, reader) = inhabited();
    let before = (reader.digest().unwrap(), store.records().unwrap());
    let image = image_of(&mut store);
    let mut flipped = image.clone();
    flipped[image.len() / 2] ^= 4;
    let cut = &image[..image.len() - 1];
    for bad in [&flipped[..], cut, b"", b"nonsense"] {
        assert!(store.restore(&mut &*bad, &[(vec![1], Some(vec![2]))]).is_err());
        assert_eq!((reader.digest().unwrap(), store.records().unwrap()), before);
    }
    store.restore(&mut &*image, &recorded(&[])).unwrap();
    assert_eq!(reader.digest().unwrap(), before.0);
}

#[test]
fn an_image_holds_what_the_twin_without_a_disk_holds() {
    let (_dir, mut store, reader) = inhabited();
    let mut twin = Twin::new();
    play(&mut twin, &entries(&village()));
    assert_eq!(reader.digest().unwrap(), crate::digest::digest(&twin).unwrap());
    let mut image = Vec::new();
    image::export(&twin, &CLUSTER, &mut image).unwrap();
    assert_eq!(image_of(&mut store), image);
    let on_disk = store.view.read(|tree| Ok(contents(tree))).unwrap();
    assert_eq!(on_disk, contents(&twin));
}

#[test]
fn a_directory_has_one_store_and_a_second_one_disturbs_nothing() {
    let (dir, store, reader) = inhabited();
    let digest = reader.digest().unwrap();
    let second = IdentityStore::open(dir.path(), CLUSTER);
    assert!(matches!(second, Err(StoreError::InUse(_))));
    assert_eq!(reader.digest().unwrap(), digest);
    drop(store);
    assert_eq!(open(dir.path()).1.digest().unwrap(), digest);
}

#[test]
fn readers_end_with_their_store_and_do_not_keep_its_directory() {
    let (dir, store, reader) = inhabited();
    let position = reader.position();
    drop(store);
    assert!(matches!(reader.digest(), Err(StoreError::Closed)));
    assert!(matches!(reader.account(&Person::named("bob").id()), Err(StoreError::Closed)));
    assert_eq!(reader.position(), position);
    let (_store, again) = open(dir.path());
    assert_eq!(again.position(), position);
}

#[test]
fn a_command_of_a_later_version_stops_the_store_before_it_changes_anything() {
    let (_dir, mut store, reader) = inhabited();
    let digest = reader.digest().unwrap();
    let plain = entry(9, 9000, Person::named("dave").register().encode());
    let mut newer = entry(10, 10_000, Person::named("erin").register().encode());
    newer.version = 2;
    let error = store.apply(&[plain, newer], &|_| Vec::new()).unwrap_err();
    assert!(error.to_string().contains("format 2"), "{error}");
    assert_eq!(reader.digest().unwrap(), digest);
}

#[cfg(unix)]
#[test]
fn nobody_else_may_look_into_the_view() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, _store, _reader) = inhabited();
    let mode = std::fs::metadata(dir.path().join("view")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
