//! Two people, talking.

use crate::harness::{PATIENCE, Site, anywhere, contains, name};
use peer_messaging::{Direction, Message, MessageId, Stage};
use std::{
    net::TcpListener,
    time::{Duration, Instant},
};
use telegraph_client::{client::Client, error::ClientError, event::ClientEvent, options::Options};

const CANARY: &str = "the canary sings at dawn";

/// The conversation, once it has at least `least` messages: somebody who writes first has no name
/// until a manager was asked for it.
async fn history(client: &Client, with: &str, least: usize) -> Vec<Message> {
    let end = Instant::now() + PATIENCE;
    loop {
        let messages = client.history(Some(&name(with)), 100).await.unwrap();
        if messages.len() >= least {
            return messages;
        }
        assert!(Instant::now() < end, "only {messages:?}");
        tokio::task::yield_now().await;
    }
}

async fn reaches(client: &Client, id: MessageId, stage: Stage) {
    let reached = client.wait_for(id, stage.clone(), PATIENCE).await.unwrap();
    assert!(reached >= stage, "wanted {stage:?}, is {reached:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_delivered_read_and_kept_on_both_sides_and_nowhere_in_the_clear() {
    let site = Site::new();
    let manager = site.manager().await;
    let (alice, bob) = (site.online("alice").await, site.online("bob").await);
    let id = alice.send(&name("bob"), CANARY).await.unwrap();
    reaches(&alice, id, Stage::Delivered).await;
    let received = history(&bob, "alice", 1).await;
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].text.as_str(), received[0].direction), (CANARY, Direction::Incoming));
    bob.mark_shown(&received).await.unwrap();
    reaches(&alice, id, Stage::Read).await;
    assert_eq!(history(&alice, "bob", 1).await[0].stage, Stage::Read);
    alice.go_offline().await.unwrap();
    bob.go_offline().await.unwrap();
    manager.shutdown().await.unwrap();
    for needle in [CANARY.as_bytes(), crate::harness::PASSWORD.as_bytes()] {
        assert_eq!(contains(site.directory.path(), needle), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_for_somebody_who_comes_back_elsewhere_and_arrives_once() {
    let site = Site::new();
    let _manager = site.manager().await;
    let (alice, bob) = (site.online("alice").await, site.online("bob").await);
    let first = bob.address().await.unwrap();
    reaches(&alice, alice.send(&name("bob"), "one").await.unwrap(), Stage::Delivered).await;
    bob.go_offline().await.unwrap();
    let waiting = alice.send(&name("bob"), "two").await.unwrap();
    let second = bob.go_online(anywhere(), None).await.unwrap();
    assert_ne!(first, second);
    reaches(&alice, waiting, Stage::Delivered).await;
    let texts: Vec<String> =
        history(&bob, "alice", 2).await.into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_on_without_any_manager() {
    let site = Site::new();
    let manager = site.manager().await;
    let (alice, bob) = (site.online("alice").await, site.online("bob").await);
    reaches(&alice, alice.send(&name("bob"), "one").await.unwrap(), Stage::Delivered).await;
    history(&bob, "alice", 1).await;
    manager.halt().await;
    reaches(&alice, alice.send(&name("bob"), "two").await.unwrap(), Stage::Delivered).await;
    reaches(&bob, bob.send(&name("alice"), "three").await.unwrap(), Stage::Delivered).await;
    // Even somebody who starts without managers reaches whom they know.
    alice.go_offline().await.unwrap();
    alice.go_online(anywhere(), None).await.unwrap();
    reaches(&alice, alice.send(&name("bob"), "four").await.unwrap(), Stage::Delivered).await;
    assert_eq!(history(&bob, "alice", 4).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_starts_anew_elsewhere_without_managers_is_found_by_their_knock() {
    let site = Site::new();
    let manager = site.manager().await;
    let (alice, bob) = (site.online("alice").await, site.online("bob").await);
    reaches(&alice, alice.send(&name("bob"), "one").await.unwrap(), Stage::Delivered).await;
    reaches(&bob, bob.send(&name("alice"), "two").await.unwrap(), Stage::Delivered).await;
    let first = bob.address().await.unwrap();
    bob.go_offline().await.unwrap();
    drop(bob);
    // Nobody else gets the old door.
    let _taken = TcpListener::bind(first).unwrap();
    manager.halt().await;
    drop(manager);
    let waiting = alice.send(&name("bob"), "three").await.unwrap();
    // A new process: nothing but the profile remembers which numbers were signed with.
    let bob = site.client("bob");
    bob.unlock(&crate::harness::password(crate::harness::PASSWORD)).await.unwrap();
    let begun = Instant::now();
    let second = bob.go_online(anywhere(), None).await.unwrap();
    assert_ne!(first, second);
    // The managers' deadline is 20 s: it is not waited for.
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    reaches(&alice, waiting, Stage::Delivered).await;
    let texts: Vec<String> =
        history(&bob, "alice", 3).await.into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["one", "two", "three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_to_the_device_of_the_newest_login_and_the_older_one_goes_offline() {
    let site = Site::new();
    let _manager = site.manager().await;
    let (alice, old) = (site.online("alice").await, site.online("bob").await);
    reaches(&alice, alice.send(&name("bob"), "one").await.unwrap(), Stage::Delivered).await;
    let mut told = old.events();
    let new = site.client("bob-elsewhere");
    let password = crate::harness::password(crate::harness::PASSWORD);
    new.login(Some(&name("bob")), &password).await.unwrap();
    let event = tokio::time::timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
    assert!(matches!(event, ClientEvent::SessionEnded { replaced: true, .. }), "{event:?}");
    assert_eq!(old.address().await, None);
    let id = alice.send(&name("bob"), "two").await.unwrap();
    new.go_online(anywhere(), None).await.unwrap();
    reaches(&alice, id, Stage::Delivered).await;
    let texts = |messages: Vec<Message>| -> Vec<String> {
        messages.into_iter().map(|message| message.text).collect()
    };
    assert_eq!(texts(history(&new, "alice", 1).await), ["two"]);
    assert_eq!(texts(history(&old, "alice", 1).await), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_managers_to_compare_at_first_contact_are_told_and_remembered() {
    let site = Site::new();
    let _manager = site.manager().await;
    let _bob = site.person("bob").await;
    let real = site.options("alice");
    let gone = TcpListener::bind(anywhere()).unwrap().local_addr().unwrap().to_string();
    let managers = vec![real.managers[0].clone(), gone];
    let alice = Client::open(Options { managers, ..real.clone() }).unwrap();
    let password = crate::harness::password(crate::harness::PASSWORD);
    alice.register(&name("alice"), &password).await.unwrap();
    alice.login(None, &password).await.unwrap();
    let told = async |client: &Client| {
        let mut events = client.events();
        client.send(&name("bob"), "hello").await.unwrap();
        events.try_recv().ok()
    };
    let expected = Some(ClientEvent::FewCompared { username: name("bob"), compared: 1, wanted: 2 });
    assert_eq!(told(&alice).await, expected);
    drop(alice);
    // The one manager there is says that it is alone. It was not, once.
    let alice = Client::open(real).unwrap();
    assert_eq!(alice.managers().voters(), 2);
    alice.managers().cluster().await.unwrap();
    assert_eq!(alice.managers().voters(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_delivered_survives_the_end_of_the_program() {
    let site = Site::new();
    let _manager = site.manager().await;
    let bob = site.person("bob").await;
    let alice = site.online("alice").await;
    let id = alice.send(&name("bob"), "kept").await.unwrap();
    alice.halt().await;
    drop(alice);
    let alice = site.client("alice");
    alice.unlock(&crate::harness::password(crate::harness::PASSWORD)).await.unwrap();
    alice.go_online(anywhere(), None).await.unwrap();
    bob.go_online(anywhere(), None).await.unwrap();
    reaches(&alice, id, Stage::Delivered).await;
    assert_eq!(history(&bob, "alice", 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_of_that_name_is_told_at_once() {
    let site = Site::new();
    let _manager = site.manager().await;
    let alice = site.online("alice").await;
    let error = alice.send(&name("nobody"), "hello").await.unwrap_err();
    assert!(matches!(error, ClientError::Compose(_)), "{error:?}");
    assert_eq!(error.exit_code(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_online_is_listed() {
    let site = Site::new();
    let _manager = site.manager().await;
    let (alice, bob) = (site.online("alice").await, site.online("bob").await);
    let address = bob.address().await.unwrap();
    let peers = alice.peers().await.unwrap();
    let row = peers.iter().find(|peer| peer.username == "bob").unwrap();
    assert_eq!(row.port, Some(address.port()));
    let names: Vec<&str> = peers.iter().map(|peer| peer.username.as_str()).collect();
    assert_eq!(names, ["alice", "bob"]);
}
