//! Ends without warning, at any time: nothing accepted is lost, nothing is shown twice.

use super::world::{Person, Town, draw, eventually, seed};
use crate::{AccountKey, Messenger, Store, StoreError};
use std::{collections::BTreeSet, time::Duration};
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_when_either_side_dies_at_any_time() {
    let mut seed = seed();
    let town = Town::new();
    let mut alice = Person::online(&town, "alice").await;
    let mut bob = Person::online(&town, "bob").await;
    let mut accepted = Vec::new();
    for round in 0..25 {
        // Both talk while one of them dies somewhere in the middle.
        let burst = draw(&mut seed, 12);
        for n in 0..burst {
            let text = format!("{round}.{n}");
            if alice.messenger().compose(&bob.name, text.clone()).await.is_ok() {
                accepted.push(text);
            }
        }
        tokio::time::sleep(Duration::from_micros(draw(&mut seed, 4000))).await;
        let victim = if draw(&mut seed, 2) == 0 { &mut alice } else { &mut bob };
        Box::pin(victim.halt()).await;
        Box::pin(victim.start()).await;
    }
    alice.messenger().kick(&bob.name);
    let (alice, bob) = (&alice, &bob);
    eventually("everything is delivered", async || {
        (alice.messenger().pending() == 0).then_some(())
    })
    .await;
    let received = bob.received().await;
    let once: BTreeSet<&String> = received.iter().collect();
    assert_eq!(once.len(), received.len(), "something was shown twice");
    assert_eq!(received, accepted, "lost, invented or out of order");
    assert!(!accepted.is_empty());
}

/// Where a child finds its files and keys; absent in every other run of the tests.
const CHILD: &str = "PEER_MESSAGING_TEST_CHILD";
/// Seals keys on their way to the child.
const PASSED_ON: [u8; 32] = [8; 32];

/// The child of the test below: takes messages as fast as it can, and says which, until it is
/// killed.
#[expect(clippy::print_stdout, reason = "its parent reads what it says")]
#[tokio::test]
#[ignore = "only as a child of another test"]
async fn a_child_that_talks_until_it_is_killed() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let mut told = told.split(' ');
    let mut next = || told.next().unwrap().to_owned();
    let (path, round) = (next(), next());
    let mut key =
        || AccountKey::open_by_password(&hex::decode(next()).unwrap(), &PASSED_ON).unwrap();
    let town = Town::new();
    let (mut alice, mut bob) = (Person::new(&town, "alice"), Person::new(&town, "bob"));
    (alice.key, bob.key) = (key(), key());
    town.register(&bob);
    let store = Store::open(path.as_ref(), super::world::STORE_KEY).unwrap();
    let device = telegraph_proto::account::DeviceId::new([1; 16]);
    let (config, cluster) = (alice.config.clone(), super::world::CLUSTER);
    let bound = Messenger::bind(config, store, alice.key.clone(), device, town.clone(), cluster);
    let messenger = Box::pin(bound).await.unwrap();
    for n in 0.. {
        let text = format!("{round}.{n}");
        messenger.compose(&bob.name, text.clone()).await.unwrap();
        println!("accepted {text}");
    }
}

#[test]
fn nothing_accepted_is_lost_when_the_process_is_killed() {
    let mut seed = seed();
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("messages.redb");
    let keys = [AccountKey::generate().unwrap(), AccountKey::generate().unwrap()];
    let keys = keys.map(|key| hex::encode(key.seal_by_password(&PASSED_ON).unwrap()));
    let mut accepted: Vec<String> = Vec::new();
    for round in 0..10 {
        let told = format!("{} {round} {}", path.display(), keys.join(" "));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["tests::crash::a_child_that_talks_until_it_is_killed", "--exact"])
            .args(["--ignored", "--nocapture"])
            .env(CHILD, told)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let enough = 1 + draw(&mut seed, 20);
        let mut heard = 0;
        let mut said = |line: std::io::Result<String>| {
            let line = line.unwrap();
            let text = line.strip_prefix("accepted ").map(str::to_owned);
            let is_text = text.is_some();
            accepted.extend(text);
            is_text
        };
        while heard < enough {
            heard += u64::from(said(lines.next().expect("the child ended by itself")));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died, and we had not read yet.
        for line in lines {
            said(line);
        }
        let kept = texts_in(&path).unwrap();
        let kept: BTreeSet<&String> = kept.iter().collect();
        let lost: Vec<_> = accepted.iter().filter(|text| !kept.contains(text)).collect();
        assert!(lost.is_empty(), "lost in round {round}: {lost:?}");
        // At most the one it was taking.
        assert!(kept.len() <= accepted.len() + round + 1, "invented");
    }
}

fn texts_in(path: &std::path::Path) -> Result<Vec<String>, StoreError> {
    let store = Store::open(path, super::world::STORE_KEY)?;
    let history = store.read_now(|view| view.history(None, u64::MAX, 10_000))?;
    Ok(history.into_iter().map(|message| message.text).collect())
}
