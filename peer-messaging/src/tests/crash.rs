//! Ends without warning, at any time: nothing accepted is lost, nothing is shown twice.

use super::world::{Person, Town, draw, eventually, seed};
use std::{collections::BTreeSet, time::Duration};

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
