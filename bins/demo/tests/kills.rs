//! kill -9 of any one process at any time loses no acknowledged write and no accepted message.
//!
//! Real programs, real sockets, real disks: three managers and two people. While one after the
//! other is killed, accounts are registered and messages sent. Afterwards every registration that
//! was acknowledged exists on all three managers, every message that was accepted is in the other
//! person's history exactly once, the managers hold the same state, and no file holds a password
//! or a message in the clear.

#[path = "kills/process.rs"]
mod process;
#[path = "kills/system.rs"]
mod system;

use identity_store::IdentityStore;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};
use system::{CANARY_PASSWORD, System, files_with, shown};
use telegraph_client::proto::account::Username;

/// Kills, round robin over everybody: managers 1 to 3, alice, bob.
const KILLS: usize = 25;

/// What every message begins with, so that one search finds all of them.
const CANARY_TEXT: &str = "canary-message-91c4";

/// Longest time for what was accepted to arrive once everybody is back: beyond any back-off that
/// a minute of kills can have led to.
const DELIVERY: Duration = Duration::from_secs(120);

#[derive(Default)]
struct Accepted {
    accounts: Vec<String>,
    messages: Vec<String>,
}

#[test]
fn killing_any_process_at_any_time_loses_nothing_that_was_acknowledged() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let mut system = System::start(root.path(), &["alice", "bob"]);
    let mut accepted = Accepted::default();
    for kill in 0..KILLS {
        let round = work_while_killing(&mut system, kill);
        accepted.accounts.extend(round.accounts);
        accepted.messages.extend(round.messages);
    }
    assert!(
        accepted.accounts.len() >= KILLS / 2,
        "registrations went on: {}",
        accepted.accounts.len()
    );
    assert!(accepted.messages.len() >= KILLS, "messages went on: {}", accepted.messages.len());

    let texts = await_messages(&system, &accepted.messages);
    for text in &accepted.messages {
        assert_eq!(texts.get(text), Some(&1), "{text} is shown once");
    }
    for manager in 0..3 {
        system.await_manager(manager);
    }
    for person in &mut system.people {
        assert!(person.terminate().success(), "a person's program stops cleanly");
    }
    for manager in &mut system.managers {
        assert!(manager.terminate().success(), "a manager stops cleanly");
    }
    check_managers(&system, &accepted.accounts);
    check_secrets(&system, root.path());
}

/// One round: both kinds of work under way, one victim killed and started again.
fn work_while_killing(system: &mut System, kill: usize) -> Accepted {
    let victim = kill % 5;
    let stop = AtomicBool::new(false);
    // The victim is taken out, so that the others can be talked to meanwhile.
    let mut process = match victim {
        0..=2 => system.managers.remove(victim),
        _ => system.people.remove(victim - 3),
    };
    let shared: &System = system;
    let accepted = thread::scope(|scope| {
        let registering = scope.spawn(|| register_until(shared, kill, &stop));
        let sending = scope.spawn(|| send_until(shared, kill, &stop));
        // Somewhere in the middle of it, a different moment each time.
        thread::park_timeout(Duration::from_millis(100 + 137 * (kill as u64 % 7)));
        process.kill();
        thread::park_timeout(Duration::from_millis(50 + 211 * (kill as u64 % 5)));
        process.start();
        stop.store(true, Ordering::Relaxed);
        let accounts = registering.join().expect("the registrar ends");
        let messages = sending.join().expect("the sender ends");
        Accepted { accounts, messages }
    });
    match victim {
        0..=2 => {
            system.managers.insert(victim, process);
            system.await_manager(victim);
        }
        _ => {
            system.people.insert(victim - 3, process);
            system.await_person(victim - 3);
        }
    }
    accepted
}

/// Registers people one after the other; returns those whose registration was acknowledged.
fn register_until(system: &System, kill: usize, stop: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let name = format!("user-{kill}-{number}");
        if system.register(&name) {
            acknowledged.push(name);
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    acknowledged
}

/// Sends messages one after the other; returns those that were accepted.
fn send_until(system: &System, kill: usize, stop: &AtomicBool) -> Vec<String> {
    let mut accepted = Vec::new();
    for number in 0.. {
        let text = format!("{CANARY_TEXT} {kill}-{number}");
        let sent = system.command("alice", &["send", "bob", &text, "--wait", "pending"]);
        if sent.status.success() {
            accepted.push(text);
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    accepted
}

/// Waits until bob has been shown everything alice was told is accepted.
fn await_messages(system: &System, accepted: &[String]) -> BTreeMap<String, usize> {
    let deadline = Instant::now() + DELIVERY;
    loop {
        let texts = received(system);
        let missing: Vec<&String> = accepted.iter().filter(|t| !texts.contains_key(*t)).collect();
        if missing.is_empty() {
            return texts;
        }
        if Instant::now() > deadline {
            let outbox = system.command("alice", &["read", "bob", "--limit", "1000", "--peek"]);
            panic!("not within {DELIVERY:?}: {missing:?}; alice has {}", shown(&outbox));
        }
        thread::park_timeout(Duration::from_millis(100));
    }
}

/// What bob was sent, with how often each is shown.
fn received(system: &System) -> BTreeMap<String, usize> {
    let read = system.command("bob", &["read", "alice", "--limit", "1000", "--peek"]);
    assert!(read.status.success(), "bob's history: {}", shown(&read));
    let value: serde_json::Value =
        serde_json::from_slice(&read.stdout).expect("the history is JSON");
    let mut texts = BTreeMap::new();
    for message in value["messages"].as_array().expect("a list of messages") {
        let text = message["text"].as_str().expect("a message has a text");
        *texts.entry(text.to_owned()).or_insert(0) += 1;
    }
    texts
}

/// Searches everything that was written: logs of programs, managers' logs, views and snapshots,
/// people's profiles. That a username is found shows that the search would find a secret.
fn check_secrets(system: &System, root: &Path) {
    for number in 1..=3 {
        let data = system.data(number);
        let snapshots = fs::read_dir(data.join("snapshots")).expect("the directory lists");
        assert!(snapshots.count() > 0, "manager {number} wrote a snapshot");
        let named = files_with(&data, &["user-0-0"]);
        assert!(!named.is_empty(), "the search finds what manager {number} does keep");
    }
    let leaks = files_with(root, &[CANARY_PASSWORD, CANARY_TEXT]);
    assert!(leaks.is_empty(), "secrets in the clear: {leaks:?}");
}

/// Opens the stopped managers' directories: the same state in all, every account in it.
fn check_managers(system: &System, accounts: &[String]) {
    let mut digests = Vec::new();
    for number in 1..=3 {
        let view = system.data(number).join("view");
        let (_store, reader) = IdentityStore::open(&view, [0; 16]).expect("the view opens");
        assert_eq!(reader.rebuilds(), 0, "manager {number}'s view opens as it was left");
        for name in accounts {
            let name = Username::parse(name).expect("a username");
            let found = reader.account_by_name(&name).expect("the view reads");
            assert!(found.is_some(), "manager {number} has {name}, which was acknowledged");
        }
        digests.push(reader.digest().expect("the view reads"));
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "managers agree: {digests:?}");
}
