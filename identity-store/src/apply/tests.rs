//! Stories: what people do, and what comes of it. `script.rs` plays them.

mod account;
mod presence;
mod register;
mod script;
mod session;

use super::apply;
use crate::directory::Directory;
use crate::error::StoreError;
use crate::reply::{Reason, Reply};
use crate::tests::cast::{CLUSTER, Dice, Person, Twin, entry, play, village};
use bytes::Bytes;
use script::play_script;

#[test]
fn what_is_no_command_is_refused_and_nothing_else() {
    play_script(
        "
        > bytes ff
        Malformed: not a command: it does not decode
        > bytes 9a0600
        Malformed: not a command: it is empty
        > bytes 0a00
        Malformed: not a command: the statement is missing
        > bytes 1a00
        Malformed: not a command: an account id has 32 bytes
        > bytes 2a0412020800
        Malformed: not a command: it does not decode
        > bytes 2a0412021000
        Malformed: not a command: somebody neither came nor went
        > counts
        0 accounts, 0 online, 0 sessions
        ",
    );
}

#[test]
fn no_bytes_make_a_replica_panic() {
    let mut twin = Twin::new();
    play(&mut twin, &crate::tests::cast::entries(&village()));
    let seeds: Vec<Bytes> = village().iter().map(crate::command::Command::encode).collect();
    for seed in 0..3000 {
        let mut dice = Dice(seed);
        let mut bytes = dice.pick(&seeds).to_vec();
        if dice.once_in(4) {
            bytes = (0..dice.below(80)).map(|_| dice.roll() as u8).collect();
        }
        for _ in 0..dice.below(4) {
            let at = dice.below(bytes.len().max(1));
            match dice.below(3) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), dice.roll() as u8),
                _ if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
                _ => {}
            }
        }
        play(&mut twin, &[entry(100 + seed, 20_000 + seed, bytes.into())]);
        if seed % 100 == 0 {
            crate::audit::audit(&twin).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    }
}

#[test]
fn a_command_of_a_later_version_stops_the_replica() {
    let twin = Twin::new();
    let mut newer = entry(1, 1000, Person::named("alice").register().encode());
    newer.version = 2;
    let outcome = apply(&newer, &CLUSTER, &mut Directory::new(&twin));
    assert!(matches!(outcome, Err(StoreError::NewerCommand { found: 2, known: 1 })));
}

#[test]
fn more_transitions_than_allowed_are_refused_together() {
    let transition = crate::command::Transition {
        account_id: Person::named("alice").id(),
        online: true,
        presence_version: 0,
        last_seen_unix_ms: 0,
    };
    for (count, fits) in [(4096, true), (4097, false)] {
        let transitions = vec![transition.clone(); count];
        let command = crate::command::Command::ChangePresence { term: 1, transitions };
        let reply = play(&mut Twin::new(), &[entry(1, 1000, command.encode())]).remove(0);
        assert_eq!(matches!(reply, Reply::PresenceChanged { .. }), fits, "{reply:?}");
    }
}

#[test]
fn a_crowd_of_expired_sessions_is_swept_a_few_at_a_time() {
    let mut twin = Twin::new();
    let people: Vec<Person> = (0..5).map(|n| Person::named(&format!("person{n}"))).collect();
    let mut index = 0;
    let mut run = |twin: &mut Twin, at: u64, payload: Bytes| {
        index += 1;
        play(twin, &[entry(index, at, payload)]).remove(0)
    };
    for person in &people {
        run(&mut twin, 1000, person.register().encode());
        for n in 0..8 {
            let login = person.login("phone", &format!("{} {n}", person.name));
            assert!(matches!(run(&mut twin, 1000, login.encode()), Reply::SessionCreated { .. }));
        }
    }
    let left = |twin: &Twin| crate::lookup::Lookup(twin).counts().unwrap().sessions;
    assert_eq!(left(&twin), 40);
    for expected in [24, 8, 0, 0] {
        run(&mut twin, 61_000, Bytes::new());
        assert_eq!(left(&twin), expected);
    }
}
