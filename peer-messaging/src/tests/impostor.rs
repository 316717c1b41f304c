//! Who is not who was pinned gets not one byte of a message.

use super::{
    proxy::Proxy,
    world::{Person, Town, eventually},
};
use crate::Stage;

/// The lengths of the TLS records (RFC 8446 section 5.1) of each type in what a caller said.
fn records(said: &[u8]) -> Vec<(u8, usize)> {
    let mut records = Vec::new();
    let mut rest = said;
    while let [kind, _, _, high, low, body @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        records.push((*kind, length));
        rest = body.get(length..).unwrap_or_default();
    }
    records
}

/// Asserts that a caller said hello and goodbye, and nothing else: a handshake record in the clear,
/// the change-cipher-spec that is there for old middle boxes, and one encrypted record of the size
/// of an alert.
fn assert_only_a_handshake(said: &[u8]) {
    for (kind, length) in records(said) {
        match kind {
            20..=22 => {}
            23 => assert!(length <= 19, "{length} bytes were sent encrypted"),
            other => panic!("a record of type {other}"),
        }
    }
}

#[tokio::test]
async fn two_people_who_exchange_ports_get_their_own_messages_only() {
    let town = Town::new();
    let alice = Person::online(&town, "alice").await;
    let (mut bob, mut carol) = (Person::new(&town, "bob"), Person::new(&town, "carol"));
    let (at_bob, at_carol) = (bob.start_quietly().await, carol.start_quietly().await);
    let (first, second) = (Proxy::to(at_bob).await, Proxy::to(at_carol).await);
    bob.tell(first.address);
    carol.tell(second.address);
    for person in [&bob, &carol] {
        let id = alice.send(person, "hello").await;
        alice.reaches(id, Stage::Delivered).await;
    }
    // Both go, and come back where the other one was; the directory does not know it yet.
    bob.stop().await;
    carol.stop().await;
    first.cut();
    second.cut();
    let heard_before = (first.said().len(), second.said().len());
    let for_bob = alice.send(&bob, "for bob only").await;
    let for_carol = alice.send(&carol, "for carol only").await;
    let (at_bob, at_carol) = (bob.start_quietly().await, carol.start_quietly().await);
    first.turn_to(at_carol);
    second.turn_to(at_bob);
    alice.messenger().kick(&bob.name);
    alice.messenger().kick(&carol.name);
    eventually("alice tries both addresses twice", async || {
        let tries = (first.said().len(), second.said().len());
        (tries.0 >= heard_before.0 + 2 && tries.1 >= heard_before.1 + 2).then_some(())
    })
    .await;
    for (proxy, before) in [(&first, heard_before.0), (&second, heard_before.1)] {
        let said = proxy.said();
        assert!(!said[before].is_empty());
        said[before..].iter().for_each(|said| assert_only_a_handshake(said));
    }
    for id in [for_bob, for_carol] {
        assert!(alice.stage(id).await < Stage::Delivered);
    }
    assert_eq!(
        (bob.received().await, carol.received().await),
        (vec!["hello".to_owned()], vec!["hello".to_owned()])
    );
    // Now they say where they are.
    bob.tell(second.address);
    carol.tell(first.address);
    alice.messenger().kick(&bob.name);
    alice.messenger().kick(&carol.name);
    alice.reaches(for_bob, Stage::Delivered).await;
    alice.reaches(for_carol, Stage::Delivered).await;
    assert_eq!(bob.received().await, ["hello", "for bob only"]);
    assert_eq!(carol.received().await, ["hello", "for carol only"]);
}

#[tokio::test]
async fn the_tap_would_have_noticed_a_message() {
    let town = Town::new();
    let alice = Person::online(&town, "alice").await;
    let mut bob = Person::new(&town, "bob");
    let proxy = Proxy::to(bob.start_quietly().await).await;
    bob.tell(proxy.address);
    let id = alice.send(&bob, "hello").await;
    alice.reaches(id, Stage::Delivered).await;
    let said = proxy.said().concat();
    assert!(records(&said).iter().any(|(kind, length)| *kind == 23 && *length > 19));
}
