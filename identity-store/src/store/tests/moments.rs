//! Images that are written while the state moves on.

use super::{image_of, open};
use crate::error::StoreError;
use crate::image;
use crate::store::IdentityStore;
use crate::tests::cast::{CLUSTER, Dice, Person, Twin, contents, entry, play};
use raft_core::{Entry, Image, OnDiskStateMachine as _};
use std::io::{self, Write};
use tempfile::TempDir;

/// People enough for several pages of an image.
const CROWD: usize = 700;

struct Town {
    people: Vec<Person>,
    store: IdentityStore,
    twin: Twin,
    dice: Dice,
    at: u64,
    _dir: TempDir,
}

impl Town {
    fn founded(seed: u64) -> Town {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        let people: Vec<Person> = (0..CROWD).map(|n| Person::named(&format!("p{n}"))).collect();
        let twin = Twin::new();
        let mut town = Town { people, store, twin, dice: Dice(seed), at: 0, _dir: dir };
        for n in 0..CROWD {
            if n % 7 > 0 {
                let entry = town.entry(town.people[n].register().encode());
                town.apply(&[entry]);
            }
        }
        town
    }

    fn entry(&mut self, payload: bytes::Bytes) -> Entry {
        self.at += 1;
        entry(self.at, 1000 * self.at, payload)
    }

    fn apply(&mut self, entries: &[Entry]) {
        self.store.apply(entries, &|_| Vec::new()).unwrap();
        play(&mut self.twin, entries);
    }

    /// A few people come, log in here or there, or are deleted.
    fn moves_on(&mut self) {
        let entries: Vec<Entry> = (0..1 + self.dice.below(8))
            .map(|_| {
                let who = self.dice.below(CROWD);
                let command = match self.dice.below(4) {
                    0 => self.people[who].register(),
                    1 => crate::command::Command::DeleteAccount {
                        statement: self.people[who].deletion(2),
                    },
                    _ => self.people[who].login("phone", &self.at.to_string()),
                };
                self.entry(command.encode())
            })
            .collect();
        self.apply(&entries);
    }

    fn image_of_the_twin(&self) -> Vec<u8> {
        let mut image = Vec::new();
        image::export(&self.twin, &CLUSTER, &mut image).unwrap();
        image
    }
}

/// A file that is so slow that much happens between two writes.
struct Slow<'a, F: FnMut()> {
    meanwhile: &'a mut F,
    written: Vec<u8>,
}

impl<F: FnMut()> Write for Slow<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.meanwhile)();
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_slowly(image: Image, mut meanwhile: impl FnMut()) -> Vec<u8> {
    let mut slow = Slow { meanwhile: &mut meanwhile, written: Vec::new() };
    image(&mut slow).unwrap();
    slow.written
}

#[test]
fn an_image_is_of_its_moment_whatever_changes_while_it_is_written() {
    for seed in 0..6 {
        let mut town = Town::founded(seed);
        for _ in 0..2 {
            let at_the_moment = town.image_of_the_twin();
            let image = town.store.snapshot().unwrap();
            town.moves_on();
            let mut moves = 0;
            let written = write_slowly(image, || {
                town.moves_on();
                moves += 1;
            });
            assert!(moves > 20, "the image was written in {moves} pieces");
            assert!(written == at_the_moment, "seed {seed}: the image is not of its moment");
            assert!(written != town.image_of_the_twin(), "seed {seed}: nothing changed");
            assert!(image_of(&mut town.store) == town.image_of_the_twin(), "seed {seed}");
        }
        let on_disk = town.store.view.read(|tree| Ok(contents(tree))).unwrap();
        assert!(on_disk == contents(&town.twin), "seed {seed}");
    }
}

#[test]
fn an_image_is_of_its_moment_when_it_is_written_by_another_thread() {
    let mut town = Town::founded(77);
    for _ in 0..5 {
        let at_the_moment = town.image_of_the_twin();
        let image = town.store.snapshot().unwrap();
        let writing = std::thread::spawn(move || {
            let mut written = Vec::new();
            image(&mut written).unwrap();
            written
        });
        while !writing.is_finished() {
            town.moves_on();
        }
        assert!(writing.join().unwrap() == at_the_moment);
    }
}

#[test]
fn an_image_goes_on_over_a_restore_and_a_reset() {
    let mut town = Town::founded(3);
    let at_the_moment = town.image_of_the_twin();
    let (_elsewhere, mut other, _) = super::inhabited();
    let village = image_of(&mut other);
    let image = town.store.snapshot().unwrap();
    let mut step = 0;
    let written = write_slowly(image, || {
        match step {
            1 => town.store.restore(&mut village.as_slice(), &[]).unwrap(),
            3 => town.store.reset().unwrap(),
            n => drop(
                town.store
                    .apply(
                        &[town.people[n].register()].map(|c| entry(n as u64, 1, c.encode())),
                        &|_| Vec::new(),
                    )
                    .unwrap(),
            ),
        }
        step += 1;
    });
    assert!(step > 4);
    assert!(written == at_the_moment);
}

#[test]
fn an_image_that_is_given_up_leaves_nothing_behind() {
    let mut town = Town::founded(4);
    let before = town.store.view.read(|tree| Ok(tree.trees())).unwrap();
    let image = town.store.snapshot().unwrap();
    town.moves_on();
    assert_eq!(town.store.view.read(|tree| Ok(tree.trees())).unwrap(), before + 1);
    drop(image);
    assert_eq!(town.store.view.read(|tree| Ok(tree.trees())).unwrap(), before);
    // One that fails half way, too.
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let image = town.store.snapshot().unwrap();
    assert!(image(&mut Full(3)).is_err());
    assert_eq!(town.store.view.read(|tree| Ok(tree.trees())).unwrap(), before);
    assert!(image_of(&mut town.store) == town.image_of_the_twin());
}

#[test]
fn an_image_ends_with_its_store_and_does_not_keep_its_directory() {
    let mut town = Town::founded(5);
    let image = town.store.snapshot().unwrap();
    let Town { store, _dir: dir, twin, .. } = town;
    let mut store = Some(store);
    let mut meanwhile = || drop(store.take());
    let mut slow = Slow { meanwhile: &mut meanwhile, written: Vec::new() };
    let error = image(&mut slow).unwrap_err();
    assert!(error.to_string().contains(&StoreError::Closed.to_string()), "{error}");
    let (mut store, reader) = open(dir.path());
    assert_eq!(reader.rebuilds(), 0);
    assert_eq!(reader.digest().unwrap(), crate::digest::digest(&twin).unwrap());
    assert_eq!(store.view.read(|tree| Ok(tree.trees())).unwrap(), 2);
    image_of(&mut store);
}
