//! A key that changes is a person's decision.

use super::world::{PATIENCE, Person, Town, next};
use crate::{AccountKey, Event, Stage};

#[tokio::test]
async fn a_new_key_holds_what_waits_until_it_is_accepted() {
    let town = Town::new();
    let alice = Person::online(&town, "alice").await;
    let mut bob = Person::online(&town, "bob").await;
    let id = alice.send(&bob, "to the bob i know").await;
    alice.reaches(id, Stage::Delivered).await;
    bob.stop().await;
    // The directory names another key for bob: a bad manager, or a new account.
    let mut other = Person::new(&town, "bob");
    other.start().await;
    let mut events = alice.messenger().events();
    let id = alice.send(&bob, "secret").await;
    alice.messenger().kick(&bob.name);
    let new = next(&mut events, |event| match event {
        Event::ContactHeld { new_account_id, .. } => Some(new_account_id),
        _ => None,
    });
    assert_eq!(new.await, other.key.account_id());
    let held = alice.messenger().wait_for(id, Stage::Delivered, PATIENCE).await.unwrap();
    assert!(matches!(held, Stage::Held(_)), "{held:?}");
    let also = alice.send(&bob, "secret too").await;
    let held = alice.messenger().wait_for(also, Stage::Delivered, PATIENCE).await.unwrap();
    assert!(matches!(held, Stage::Held(_)), "{held:?}");
    assert!(alice.messenger().waiting_for().is_empty());
    assert_eq!(other.received().await.len(), 0);
    alice.messenger().accept_new_key(&bob.name).await.unwrap();
    alice.reaches(id, Stage::Delivered).await;
    alice.reaches(also, Stage::Delivered).await;
    assert_eq!(other.received().await, ["secret", "secret too"]);
    let sequences: Vec<u64> = other.history(None).await.iter().map(|m| m.sequence).collect();
    assert_eq!(sequences, [1, 2]);
    // The conversation goes on where it was.
    let texts: Vec<String> = alice.history(Some(&bob)).await.into_iter().map(|m| m.text).collect();
    assert_eq!(texts, ["to the bob i know", "secret", "secret too"]);
}

#[tokio::test]
async fn what_is_held_goes_to_the_old_key_when_the_directory_comes_to_its_senses() {
    let town = Town::new();
    let alice = Person::online(&town, "alice").await;
    let mut bob = Person::online(&town, "bob").await;
    let id = alice.send(&bob, "one").await;
    alice.reaches(id, Stage::Delivered).await;
    bob.stop().await;
    let real = bob.key.clone();
    bob.key = AccountKey::generate().unwrap();
    town.register(&bob);
    let id = alice.send(&bob, "two").await;
    let held = alice.messenger().wait_for(id, Stage::Delivered, PATIENCE).await.unwrap();
    assert!(matches!(held, Stage::Held(_)), "{held:?}");
    bob.key = real;
    town.register(&bob);
    bob.start().await;
    alice.messenger().kick(&bob.name);
    let bob = &bob;
    bob.receives(2).await;
    let alice = &alice;
    super::world::eventually("the receipt", async || {
        (alice.stage(id).await == Stage::Delivered).then_some(())
    })
    .await;
}
