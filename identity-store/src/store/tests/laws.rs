//! What raft-core asks of every state machine, asked of this one.

use super::agreement::anything;
use super::open;
use crate::tests::cast::{Dice, Person, Twin, entry, play};
use bytes::Bytes;
use raft_core::testing::{MachineSuite, Random};

/// Makes what the people of a small town might do next, and now and then what is no command.
fn town() -> impl FnMut(&mut Random) -> Bytes {
    let people: Vec<Person> = (0..5).map(|n| Person::named(&format!("person{n}"))).collect();
    let mut twin = Twin::new();
    let mut n = 0;
    move |random| {
        n += 1;
        let mut dice = Dice(random.number());
        let payload = match dice.once_in(20) {
            true => vec![dice.roll() as u8; 9].into(),
            false => anything(&mut dice, &people, &twin, n).encode(),
        };
        play(&mut twin, &[entry(n, 1_000_000 + 500 * n, payload.clone())]);
        payload
    }
}

#[test]
fn the_store_keeps_the_laws_of_state_machines() {
    MachineSuite::new(|dir| open(dir).0, town()).commands(100).check().unwrap();
}
