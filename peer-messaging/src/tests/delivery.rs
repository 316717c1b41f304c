//! Messages arrive: once, in order, whatever happens in between.

use super::{
    proxy::Proxy,
    world::{PATIENCE, Person, Town, eventually, next},
};
use crate::{ComposeError, Event, MAX_TEXT_BYTES, Messenger, MessengerError, Stage, StoreError};
use std::sync::atomic::Ordering;
use telegraph_proto::account::Username;

#[tokio::test]
async fn a_message_is_delivered_and_its_reading_is_told() {
    let town = Town::new();
    let (alice, bob) = (Person::online(&town, "alice").await, Person::online(&town, "bob").await);
    let mut events = bob.messenger().events();
    let id = alice.send(&bob, "hello").await;
    let message = next(&mut events, |event| match event {
        Event::Received(message) => Some(message),
        _ => None,
    })
    .await;
    assert_eq!((message.id, message.text.as_str(), message.sequence), (id, "hello", 1));
    alice.reaches(id, Stage::Delivered).await;
    // Bob had never heard of Alice: her name was found out by her key.
    let named = eventually("bob learns who wrote", async || {
        bob.history(None).await.pop().filter(|m| m.with.username.is_some())
    });
    let message = Box::pin(named).await;
    assert_eq!(message.with.username.as_ref(), Some(&alice.name));
    assert_eq!(message.with.account_id, alice.key.account_id());
    assert_eq!(alice.stage(id).await, Stage::Delivered, "nobody has looked at it yet");
    bob.messenger().mark_read(&alice.name).await.unwrap();
    alice.reaches(id, Stage::Read).await;
    assert!(alice.history(None).await[0].read_unix_ms.is_some());
    assert!(bob.history(Some(&alice)).await[0].read_unix_ms.is_some());
    // And back.
    let id = bob.send(&alice, "hello yourself").await;
    bob.reaches(id, Stage::Delivered).await;
    let messages = alice.history(Some(&bob)).await;
    alice.messenger().mark_shown(&messages).await.unwrap();
    bob.reaches(id, Stage::Read).await;
    assert_eq!(alice.messenger().pending() + bob.messenger().pending(), 0);
    let alice = &alice;
    eventually("alice knows that bob knows", async || {
        alice.messenger().waiting_for().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_waits_arrives_once_when_somebody_returns_on_another_port() {
    let town = Town::new();
    let alice = Person::online(&town, "alice").await;
    let mut bob = Person::online(&town, "bob").await;
    let id = alice.send(&bob, "first").await;
    alice.reaches(id, Stage::Delivered).await;
    let before = bob.messenger().local_addr();
    bob.stop().await;
    let id = alice.send(&bob, "second").await;
    assert_eq!(alice.messenger().pending(), 1);
    assert_eq!(alice.messenger().waiting_for(), [bob.name.clone()]);
    bob.start().await;
    assert_ne!(bob.messenger().local_addr(), before);
    alice.messenger().kick(&bob.name);
    alice.reaches(id, Stage::Delivered).await;
    assert_eq!(bob.received().await, ["first", "second"]);
}

#[tokio::test]
async fn who_returns_knocks_and_no_directory_is_needed() {
    let town = Town::new();
    let mut alice = Person::new(&town, "alice");
    // Without the timer: only the knock can do it.
    alice.config.first_retry = 100 * PATIENCE;
    alice.config.max_retry = 100 * PATIENCE;
    alice.start().await;
    let mut bob = Person::online(&town, "bob").await;
    for (from, to) in [(&alice, &bob), (&bob, &alice)] {
        let id = from.send(to, "we know each other").await;
        from.reaches(id, Stage::Delivered).await;
    }
    bob.stop().await;
    let asked = town.questions.load(Ordering::Relaxed);
    let id = alice.send(&bob, "where are you?").await;
    // Alice tries in vain, and waits.
    eventually("alice looks bob up", async || {
        (town.questions.load(Ordering::Relaxed) > asked).then_some(())
    })
    .await;
    town.closed.store(true, Ordering::Relaxed);
    bob.start().await;
    alice.reaches(id, Stage::Delivered).await;
    assert_eq!(bob.received().await, ["we know each other", "where are you?"]);
}

#[tokio::test]
async fn a_message_whose_receipt_was_lost_is_shown_once() {
    let town = Town::new();
    let alice = Person::online(&town, "alice").await;
    let mut bob = Person::new(&town, "bob");
    let behind = bob.start_quietly().await;
    let proxy = Proxy::to(behind).await;
    bob.tell(proxy.address);
    let mut events = bob.messenger().events();
    let id = alice.send(&bob, "first").await;
    alice.reaches(id, Stage::Delivered).await;
    // The connection is there. From now on Bob's answers are lost.
    proxy.swallow_answers(true);
    let id = alice.send(&bob, "second").await;
    next(&mut events, |event| match event {
        Event::Received(message) if message.id == id => Some(()),
        _ => None,
    })
    .await;
    assert!(alice.stage(id).await < Stage::Delivered);
    proxy.cut();
    proxy.swallow_answers(false);
    alice.reaches(id, Stage::Delivered).await;
    assert_eq!(bob.received().await, ["first", "second"]);
    let shown_again = std::iter::from_fn(|| events.try_recv().ok())
        .any(|event| matches!(event, Event::Received(message) if message.id == id));
    assert!(!shown_again);
}

#[tokio::test]
async fn a_restart_forgets_nothing_and_keeps_the_order() {
    let town = Town::new();
    let mut alice = Person::online(&town, "alice").await;
    let mut bob = Person::new(&town, "bob");
    let texts: Vec<String> = (0..70).map(|n| format!("message {n}")).collect();
    let id = alice.send(&bob, &texts[0]).await;
    for text in &texts[1..40] {
        alice.send(&bob, text).await;
    }
    alice.stop().await;
    alice.start().await;
    assert_eq!(alice.messenger().pending(), 40);
    assert_eq!(alice.stage(id).await, Stage::Pending);
    for text in &texts[40..] {
        alice.send(&bob, text).await;
    }
    bob.start().await;
    alice.messenger().kick(&bob.name);
    assert_eq!(bob.receives(70).await, texts);
    alice.reaches(id, Stage::Delivered).await;
    assert!(bob.history(None).await.iter().all(|message| !message.gap));
}

#[tokio::test]
async fn a_thousand_messages_flow_when_somebody_returns() {
    let town = Town::new();
    let alice = Person::online(&town, "alice").await;
    let mut bob = Person::new(&town, "bob");
    let texts: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    alice.send_all(&bob, texts.iter().cloned()).await;
    assert_eq!(alice.messenger().pending(), 1000);
    bob.start().await;
    alice.messenger().kick(&bob.name);
    assert_eq!(bob.receives(1000).await, texts);
    let alice = &alice;
    eventually("all receipts come", async || (alice.messenger().pending() == 0).then_some(()))
        .await;
    // Pages fit together, whichever way they are cut.
    let all = bob.history(Some(alice)).await;
    let newest = bob.messenger().history(Some(&alice.name), 300).await.unwrap();
    let older = bob.messenger().history_before(None, &newest[0], 700).await.unwrap();
    assert_eq!([older, newest].concat(), all);
}

#[tokio::test]
async fn reading_is_told_even_when_both_were_away_in_between() {
    let town = Town::new();
    let mut alice = Person::online(&town, "alice").await;
    let mut bob = Person::online(&town, "bob").await;
    let ids = [alice.send(&bob, "one").await, alice.send(&bob, "two").await];
    alice.reaches(ids[1], Stage::Delivered).await;
    bob.receives(2).await;
    alice.stop().await;
    let shown = bob.history(None).await;
    bob.messenger().mark_shown(&shown[..1]).await.unwrap();
    bob.stop().await;
    alice.start().await;
    bob.start().await;
    alice.reaches(ids[0], Stage::Read).await;
    assert_eq!(alice.stage(ids[1]).await, Stage::Delivered);
}

#[tokio::test]
async fn somebody_known_is_written_to_without_a_directory() {
    let town = Town::new();
    let (alice, bob) = (Person::online(&town, "alice").await, Person::online(&town, "bob").await);
    let id = alice.send(&bob, "while there are managers").await;
    alice.reaches(id, Stage::Delivered).await;
    town.closed.store(true, Ordering::Relaxed);
    let id = alice.send(&bob, "while there is none").await;
    alice.reaches(id, Stage::Delivered).await;
    let stranger = Username::parse("carol").unwrap();
    let refused = alice.messenger().compose(&stranger, "x".into()).await;
    assert!(matches!(refused, Err(ComposeError::DirectoryUnavailable(_))));
}

#[tokio::test]
async fn who_writes_first_is_named_as_soon_as_the_directory_answers() {
    let town = Town::new();
    let carol = Person::online(&town, "carol").await;
    let mut bob = Person::new(&town, "bob");
    // Bob asks elsewhere, and gets no answer yet.
    bob.town = Town::new();
    bob.town.register(&carol);
    bob.town.closed.store(true, Ordering::Relaxed);
    let address = bob.start_quietly().await;
    town.moved(&bob.name, address);
    let mut events = bob.messenger().events();
    let id = carol.send(&bob, "from a stranger").await;
    carol.reaches(id, Stage::Delivered).await;
    let account = carol.key.account_id();
    let nameless = bob.history(None).await.remove(0);
    assert_eq!(nameless.with.username, None);
    assert_eq!(nameless.with.to_string(), account.short());
    assert!(bob.history(Some(&carol)).await.is_empty());
    bob.town.closed.store(false, Ordering::Relaxed);
    let named = next(&mut events, |event| match event {
        Event::ContactNamed { account_id, username } => Some((account_id, username)),
        _ => None,
    });
    assert_eq!(named.await, (account, carol.name.clone()));
    assert_eq!(bob.history(Some(&carol)).await.len(), 1);
}

#[tokio::test]
async fn a_stranger_hears_of_the_reading_without_a_directory() {
    let town = Town::new();
    let (alice, bob) = (Person::online(&town, "alice").await, Person::online(&town, "bob").await);
    // Only Alice may ask, and only once.
    let id = alice.messenger().compose(&bob.name, "hello".into()).await.unwrap();
    town.closed.store(true, Ordering::Relaxed);
    bob.receives(1).await;
    let shown = bob.history(None).await;
    bob.messenger().mark_shown(&shown).await.unwrap();
    alice.reaches(id, Stage::Read).await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_and_not_kept() {
    let town = Town::new();
    let mut alice = Person::new(&town, "alice");
    alice.config.outbox_per_recipient = 3;
    alice.config.outbox = 4;
    alice.start().await;
    let (bob, carol) = (Person::new(&town, "bob"), Person::new(&town, "carol"));
    let compose = async |to: &Username, text: String| alice.messenger().compose(to, text).await;
    let nobody = Username::parse("nobody").unwrap();
    assert!(matches!(compose(&nobody, "x".into()).await, Err(ComposeError::UnknownUser(_))));
    assert!(matches!(compose(&bob.name, String::new()).await, Err(ComposeError::Empty)));
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    assert!(matches!(compose(&bob.name, long).await, Err(ComposeError::TooLong(16_385))));
    let own = compose(&alice.name, "x".into()).await;
    assert!(matches!(own, Err(ComposeError::ToYourself)));
    assert_eq!(alice.messenger().pending(), 0);
    compose(&bob.name, "x".repeat(MAX_TEXT_BYTES)).await.unwrap();
    for _ in 0..2 {
        compose(&bob.name, "x".into()).await.unwrap();
    }
    let full = compose(&bob.name, "x".into()).await;
    assert!(matches!(full, Err(ComposeError::OutboxFull { waiting: 3 })));
    compose(&carol.name, "x".into()).await.unwrap();
    let full = compose(&carol.name, "x".into()).await;
    assert!(matches!(full, Err(ComposeError::OutboxFull { waiting: 4 })));
    assert_eq!(alice.history(None).await.len(), 4);
    let unknown = crate::MessageId::generate();
    let stage = alice.messenger().stage(unknown).await;
    assert!(matches!(stage, Err(MessengerError::UnknownMessage)));
}

#[tokio::test]
async fn waiting_for_a_stage_ends_with_the_deadline() {
    let town = Town::new();
    let alice = Person::online(&town, "alice").await;
    let bob = Person::new(&town, "bob");
    let id = alice.send(&bob, "x").await;
    let short = std::time::Duration::from_millis(30);
    let reached = alice.messenger().wait_for(id, Stage::Delivered, short).await.unwrap();
    assert_eq!(reached, Stage::Pending);
}

#[tokio::test]
async fn messages_of_the_largest_size_fill_several_calls() {
    let town = Town::new();
    let alice = Person::online(&town, "alice").await;
    let mut bob = Person::new(&town, "bob");
    let texts: Vec<String> =
        (0..80).map(|n| format!("{n:>width$}", width = MAX_TEXT_BYTES)).collect();
    alice.send_all(&bob, texts.iter().cloned()).await;
    bob.start().await;
    alice.messenger().kick(&bob.name);
    assert_eq!(bob.receives(80).await, texts);
}

#[tokio::test]
async fn too_much_from_a_stranger_waits_at_the_sender() {
    let town = Town::new();
    let alice = Person::online(&town, "alice").await;
    let mut bob = Person::new(&town, "bob");
    bob.config.unread_per_stranger = 5;
    bob.start().await;
    alice.send_all(&bob, (0..9).map(|n| n.to_string())).await;
    assert_eq!(bob.receives(5).await, ["0", "1", "2", "3", "4"]);
    let alice = &alice;
    eventually("receipts of five", async || (alice.messenger().pending() == 4).then_some(())).await;
    assert_eq!(bob.received().await.len(), 5);
    // Who is read is no stranger any more.
    let shown = bob.history(None).await;
    bob.messenger().mark_shown(&shown).await.unwrap();
    assert_eq!(bob.receives(9).await.len(), 9);
}

#[tokio::test]
async fn a_store_has_one_owner_and_one_account() {
    let town = Town::new();
    let alice = Person::online(&town, "alice").await;
    let path = alice.files.path().join("messages.redb");
    let second = crate::Store::open(&path, super::world::STORE_KEY);
    assert!(matches!(second, Err(StoreError::InUse)), "{second:?}");
    let mut alice = alice;
    alice.stop().await;
    assert!(matches!(crate::Store::open(&path, [6; 32]), Err(StoreError::WrongKey)));
    let other = crate::AccountKey::generate().unwrap();
    let bound = Messenger::bind(
        alice.config.clone(),
        alice.open_store(),
        other,
        alice.device,
        town.clone(),
        super::world::CLUSTER,
    );
    let foreign = Box::pin(bound).await;
    assert!(matches!(foreign, Err(MessengerError::Store(StoreError::Foreign))));
    alice.start().await;
}
