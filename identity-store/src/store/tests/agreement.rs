//! Replicas that apply the same entries agree, however the entries were grouped.

use super::{image_of, open};
use crate::audit::audit;
use crate::command::{Command, EndWhich, Transition};
use crate::digest::digest;
use crate::lookup::Lookup;
use crate::reply::Reply;
use crate::tests::cast::{Dice, Person, Twin, device, entry, hash, play, sealed, session, token};
use raft_core::{Entry, OnDiskStateMachine as _};
use std::collections::BTreeMap;

const DEVICES: [&str; 3] = ["phone", "laptop", "tablet"];

/// Makes something that somebody might do, mostly as it should be done.
pub(super) fn anything(dice: &mut Dice, people: &[Person], state: &Twin, n: u64) -> Command {
    let who = dice.pick(people);
    let account = Lookup(state).living(&who.id()).unwrap();
    let sequence =
        account.as_ref().map_or(1, |account| account.sequence) + u64::from(!dice.once_in(8));
    let version = account.as_ref().map_or(1, |account| account.credential_version);
    let sessions = Lookup(state).sessions_of(&who.id()).unwrap();
    let active = account.as_ref().and_then(|account| account.active_device_id);
    let at = DEVICES.into_iter().find(|at| Some(device(at)) == active);
    let at = if dice.once_in(5) { *dice.pick(&DEVICES) } else { at.unwrap_or("phone") };
    let one = match sessions.is_empty() || dice.once_in(9) {
        true => (token("none"), session("none")),
        false => {
            let one = dice.pick(&sessions);
            (one.token_hash, one.session_id)
        }
    };
    match dice.below(24) {
        0..=4 => who.register(),
        5..=10 => {
            let name = n.saturating_sub(dice.below(2) as u64).to_string();
            a_login(dice, who, at, &name, (sequence, version))
        }
        11..=13 => Command::ChangeAddress {
            statement: who.address(sequence, at, &["10.0.0.2:8"]),
            token_hash: one.0,
        },
        14 | 15 => {
            let which = *dice.pick(&[
                EndWhich::Token(one.0),
                EndWhich::Session(one.1),
                EndWhich::AllBut(one.1),
            ]);
            Command::EndSession { account_id: who.id(), which }
        }
        16 => Command::ChangePassword {
            statement: who.new_password(sequence, version),
            password_hash: hash(dice.roll() as u8),
            token_hash: one.0,
            sealed_keys: sealed(9),
        },
        17 if dice.once_in(4) => Command::DeleteAccount { statement: who.deletion(sequence) },
        _ => {
            let transitions = people.iter().map(|who| Transition {
                account_id: who.id(),
                online: dice.once_in(2),
                presence_version: Lookup(state)
                    .living(&who.id())
                    .unwrap()
                    .map_or(0, |account| account.presence_version + u64::from(dice.once_in(4))),
                last_seen_unix_ms: dice.roll() % 1_000_000,
            });
            let transitions = transitions.collect();
            Command::ChangePresence { term: 1 + u64::from(dice.once_in(9)), transitions }
        }
    }
}

/// A login, with an address or without, by a password that may be an older one.
fn a_login(
    dice: &mut Dice,
    who: &Person,
    at: &str,
    name: &str,
    (sequence, version): (u64, u64),
) -> Command {
    Command::CreateSession {
        account_id: who.id(),
        credential_version: version - u64::from(dice.once_in(9)),
        token_hash: token(name),
        session_id: session(name),
        device_id: device(at),
        device_name: at.into(),
        lifetime_ms: 1000 * dice.below(90) as u64,
        address: dice.once_in(2).then(|| who.address(sequence, at, &["10.0.0.1:7"])),
        password_hash: dice.once_in(5).then(|| hash(dice.roll() as u8)),
    }
}

/// A history of `length` entries, what they were answered, and the state they end in.
fn history(seed: u64, length: u64) -> (Vec<Entry>, Vec<Reply>, Twin) {
    let mut dice = Dice(seed);
    let people: Vec<Person> = (0..7).map(|n| Person::named(&format!("person{n}"))).collect();
    let (mut entries, mut replies, mut twin) = (Vec::new(), Vec::new(), Twin::new());
    let mut now_unix_ms = 1_000_000;
    for n in 1..=length {
        now_unix_ms += [0, 10, 1000, 20_000][dice.below(4)];
        let payload = match dice.once_in(30) {
            true => vec![dice.roll() as u8; 9].into(),
            false => anything(&mut dice, &people, &twin, n).encode(),
        };
        entries.push(entry(n, now_unix_ms, payload));
        replies.extend(play(&mut twin, &entries[entries.len() - 1..]));
        audit(&twin).unwrap_or_else(|error| panic!("seed {seed}, entry {n}: {error}"));
    }
    (entries, replies, twin)
}

/// Cuts entries into batches of random lengths.
fn batches<'a>(entries: &'a [Entry], dice: &mut Dice) -> Vec<&'a [Entry]> {
    let mut rest = entries;
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let (batch, after) = rest.split_at((1 + dice.below(40)).min(rest.len()));
        batches.push(batch);
        rest = after;
    }
    batches
}

#[test]
fn a_history_visits_every_kind_of_reply() {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..4 {
        for reply in history(seed, 400).1 {
            let kind = match reply {
                Reply::Rejected(rejection) => format!("{:?}", rejection.reason),
                Reply::Registered { repeated, .. } => format!("registered {repeated}"),
                Reply::SessionCreated { ended_sessions, .. } => format!("session {ended_sessions}"),
                Reply::Done => "done".into(),
                Reply::PresenceChanged { applied, .. } => format!("presence {}", applied > 0),
            };
            *kinds.entry(kind).or_default() += 1;
        }
    }
    for wanted in [
        "registered false",
        "registered true",
        "session 0",
        "session 1",
        "done",
        "presence true",
        "UnknownAccount",
        "StaleCredential",
        "UnknownSession",
        "StaleSequence",
        "BadStatement",
        "StaleTerm",
        "Malformed",
        "UsernameRetired",
    ] {
        assert!(kinds.contains_key(wanted), "no {wanted} among {kinds:?}");
    }
}

#[test]
fn replicas_agree_however_the_entries_were_grouped() {
    for seed in 0..4 {
        let (entries, replies, twin) = history(seed, 400);
        let dir = tempfile::tempdir().unwrap();
        let (mut store, reader) = open(dir.path());
        let mut grouped = Twin::new();
        let (mut on_disk, mut in_groups) = (Vec::new(), Vec::new());
        let mut dice = Dice(seed + 100);
        for batch in batches(&entries, &mut dice) {
            in_groups.extend(play(&mut grouped, batch));
        }
        for batch in batches(&entries, &mut dice) {
            on_disk.extend(store.apply(batch, &|_| Vec::new()).unwrap());
        }
        assert_eq!(in_groups, replies, "seed {seed}");
        assert_eq!(grouped, twin, "seed {seed}");
        let on_disk: Vec<Reply> =
            on_disk.iter().map(|reply| Reply::decode(reply).unwrap()).collect();
        assert_eq!(on_disk, replies, "seed {seed}");
        assert_eq!(reader.digest().unwrap(), digest(&twin).unwrap(), "seed {seed}");
    }
}

#[test]
fn a_replica_that_began_with_a_snapshot_agrees_with_those_that_did_not() {
    for seed in 20..23 {
        let (entries, _, twin) = history(seed, 300);
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut elder, _) = open(first.path());
        let (mut newcomer, reader) = open(second.path());
        let (before, after) = entries.split_at(170);
        elder.apply(before, &|_| Vec::new()).unwrap();
        newcomer.restore(&mut image_of(&mut elder).as_slice(), &[]).unwrap();
        for store in [&mut elder, &mut newcomer] {
            store.apply(after, &|_| Vec::new()).unwrap();
        }
        assert_eq!(image_of(&mut elder), image_of(&mut newcomer), "seed {seed}");
        assert_eq!(reader.digest().unwrap(), digest(&twin).unwrap(), "seed {seed}");
    }
}

#[test]
fn replaying_everything_from_nothing_ends_in_the_same_state() {
    let (entries, replies, twin) = history(7, 300);
    let dir = tempfile::tempdir().unwrap();
    let (mut store, reader) = open(dir.path());
    store.apply(&entries[..211], &|_| Vec::new()).unwrap();
    store.reset().unwrap();
    let again = store.apply(&entries, &|_| Vec::new()).unwrap();
    let again: Vec<Reply> = again.iter().map(|reply| Reply::decode(reply).unwrap()).collect();
    assert_eq!(again, replies);
    assert_eq!(reader.digest().unwrap(), digest(&twin).unwrap());
}
