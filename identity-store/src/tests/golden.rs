//! The disk formats, pinned: what was written once must be read for ever.
//!
//! `golden.txt` has a line for each form: its name and its bytes in hexadecimal. A new form gets a
//! new line; no line is ever changed.

use crate::account::{Account, Device, Holder, Presence, Tombstone};
use crate::command::{Command, EndWhich, Transition};
use crate::keys;
use crate::lookup::{Clock, Counts, encode_clock, encode_counts};
use crate::password_hash::PasswordHash;
use crate::record::{decode_holder, decode_session, encode_holder, encode_session};
use crate::reply::{Reason, Rejection, Reply};
use crate::session::{Session, SessionEnd};
use crate::tests::cast::{
    CLUSTER, Person, Twin, device, entries, hash, play, sealed, session, token, village,
};
use raft_core::Position;
use telegraph_proto::identity::SignedStatement;

const GOLDEN: &str = include_str!("golden.txt");

/// A statement of nothing, short enough to be read.
fn statement() -> SignedStatement {
    SignedStatement {
        cluster_id: CLUSTER.to_vec(),
        kind: 2,
        account_id: vec![0xac; 32],
        sequence: 5,
        body: vec![0xb0, 0xd1],
        signature: vec![0x51; 64],
    }
}

fn commands() -> Vec<(&'static str, Command)> {
    let account_id = Person::named("alice").id();
    let end = |which| Command::EndSession { account_id, which };
    let transition = |online, last_seen_unix_ms| Transition {
        account_id,
        online,
        presence_version: 3,
        last_seen_unix_ms,
    };
    let statement = statement();
    vec![
        (
            "command register",
            Command::Register {
                statement: statement.clone(),
                password_hash: hash(0),
                device_id: device("phone"),
                sealed_keys: sealed(6),
            },
        ),
        (
            "command create-session",
            Command::CreateSession {
                account_id,
                credential_version: 2,
                token_hash: token("t"),
                session_id: session("s"),
                device_id: device("phone"),
                device_name: "Alice's phone".into(),
                lifetime_ms: 86_400_000,
                address: Some(statement.clone()),
                password_hash: Some(hash(1)),
            },
        ),
        ("command end-session token", end(EndWhich::Token(token("t")))),
        ("command end-session name", end(EndWhich::Session(session("s")))),
        ("command end-session others", end(EndWhich::AllBut(session("s")))),
        (
            "command change-address",
            Command::ChangeAddress { statement: statement.clone(), token_hash: token("t") },
        ),
        (
            "command change-presence",
            Command::ChangePresence {
                term: 9,
                transitions: vec![transition(true, 1_700_000_000_000), transition(false, 0)],
            },
        ),
        (
            "command change-password",
            Command::ChangePassword {
                statement: statement.clone(),
                password_hash: hash(2),
                token_hash: token("t"),
                sealed_keys: sealed(6),
            },
        ),
        ("command delete-account", Command::DeleteAccount { statement }),
    ]
}

fn account() -> Account {
    let alice = Person::named("alice");
    Account {
        account_id: alice.id(),
        username: alice.username(),
        public_key: alice.public_key(),
        register: statement(),
        address: Some(statement()),
        password_hash: PasswordHash::parse(&hash(3)).unwrap(),
        credential_version: 4,
        sealed_keys: sealed(6),
        sequence: 5,
        devices: vec![Device {
            device_id: device("phone"),
            name: "phone".into(),
            added_unix_ms: 10,
        }],
        active_device_id: Some(device("phone")),
        presence: Presence::Online,
        presence_version: 11,
        last_seen_unix_ms: 12,
        created_unix_ms: 13,
    }
}

fn a_session(ended: Option<SessionEnd>) -> Session {
    Session {
        session_id: session("s"),
        token_hash: token("t"),
        account_id: Person::named("alice").id(),
        device_id: device("phone"),
        device_name: "phone".into(),
        credential_version: 2,
        created_unix_ms: 14,
        expires_unix_ms: 15,
        ended,
    }
}

fn holders() -> Vec<(&'static str, Holder)> {
    let alice = Person::named("alice");
    let tombstone =
        Tombstone { account_id: alice.id(), username: alice.username(), deleted_unix_ms: 16 };
    vec![
        ("record account", Holder::Living(Box::new(account()))),
        ("record tombstone", Holder::Retired(tombstone)),
    ]
}

fn sessions() -> Vec<(&'static str, Session)> {
    vec![
        ("record session live", a_session(None)),
        ("record session logged-out", a_session(Some(SessionEnd::LoggedOut))),
        ("record session revoked", a_session(Some(SessionEnd::Revoked))),
        ("record session replaced", a_session(Some(SessionEnd::ReplacedByNewerLogin))),
        ("record session password", a_session(Some(SessionEnd::PasswordChanged))),
    ]
}

fn replies() -> Vec<(&'static str, Reply)> {
    let account_id = Person::named("alice").id();
    vec![
        ("reply registered", Reply::Registered { account_id, repeated: true }),
        ("reply session-created", Reply::SessionCreated { expires_unix_ms: 9, ended_sessions: 2 }),
        ("reply done", Reply::Done),
        ("reply presence-changed", Reply::PresenceChanged { applied: 3, refused: 1 }),
        ("reply rejected", Reply::Rejected(Rejection::new(Reason::StaleTerm, "why"))),
    ]
}

fn key_layout() -> Vec<(&'static str, Vec<u8>)> {
    let alice = Person::named("alice");
    vec![
        ("key record", keys::record(b"position")),
        ("key clock", keys::clock()),
        ("key account", keys::account(&alice.id())),
        ("key session", keys::session(&token("t"))),
        ("key name", keys::name(&alice.username())),
        ("key online", keys::online(&alice.username())),
        ("key owned", keys::owned(&alice.id(), &session("s"))),
        ("key expiry", keys::expiry(0x0102_0304, &token("t"))),
        ("key counts", keys::counts()),
        ("key checksum", keys::checksum()),
    ]
}

#[test]
fn formats_are_what_they_always_were() {
    let clock = Clock { position: Position { term: 1, index: 2 }, time_unix_ms: 3 };
    let mut forms: Vec<(&str, Vec<u8>)> = Vec::new();
    forms.extend(commands().into_iter().map(|(name, form)| (name, form.encode().to_vec())));
    forms.extend(replies().into_iter().map(|(name, form)| (name, form.encode().to_vec())));
    forms.extend(holders().into_iter().map(|(name, form)| (name, encode_holder(&form))));
    forms.extend(sessions().into_iter().map(|(name, form)| (name, encode_session(&form))));
    forms.extend(key_layout());
    forms.push(("value clock", encode_clock(clock)));
    forms.push(("value counts", encode_counts(Counts { accounts: 1, online: 2, sessions: 3 })));
    let mut twin = Twin::new();
    play(&mut twin, &entries(&village()[..4]));
    forms.push(("digest of a small state", crate::digest::digest(&twin).unwrap().into()));
    let mut image = Vec::new();
    crate::image::export(&Twin::new(), &CLUSTER, &mut image).unwrap();
    forms.push(("image of nothing", image));
    let told: String =
        forms.iter().map(|(name, bytes)| format!("{name}: {}\n", hex::encode(bytes))).collect();
    assert!(told == GOLDEN, "the forms are now:\n{told}");
}

#[test]
fn formats_are_read_as_what_was_written() {
    for (name, command) in commands() {
        assert!(Command::decode(&command.encode()).as_ref() == Ok(&command), "{name}");
    }
    for (name, holder) in holders() {
        assert_eq!(decode_holder(&encode_holder(&holder)).unwrap(), holder, "{name}");
    }
    for (name, session) in sessions() {
        assert_eq!(decode_session(&encode_session(&session)).unwrap(), session, "{name}");
    }
    for (name, reply) in replies() {
        assert_eq!(Reply::decode(&reply.encode()).as_ref(), Ok(&reply), "{name}");
    }
}

#[test]
fn a_command_does_not_show_what_is_in_it() {
    for (name, command) in commands() {
        let shown = format!("{command:?}");
        assert_eq!(shown, format!("Command({})", command.name()));
        assert!(name.contains(command.name()), "{name}: {shown}");
    }
    assert!(!format!("{:?}", account()).contains(&hash(3)));
}
