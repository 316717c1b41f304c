//! Nothing that people say or are called can be read on disk.

use super::world::{Person, Town};
use crate::Stage;

/// Where `needle` lies in any file of `person`.
fn finds(person: &Person, needle: &[u8]) -> bool {
    let mut files = 0;
    let mut found = false;
    for entry in std::fs::read_dir(person.files.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        files += 1;
        found |= bytes.windows(needle.len()).any(|window| window == needle);
    }
    assert!(files > 0);
    found
}

#[tokio::test]
async fn neither_texts_nor_names_nor_keys_are_readable_in_the_store() {
    const CANARY: &str = "canary-8c1f-the-butler-did-it";
    let town = Town::new();
    let mut alice = Person::online(&town, "alice-canary-name").await;
    let mut bob = Person::online(&town, "bob-canary-name").await;
    let mut absent = Person::new(&town, "carol-canary-name");
    let id = alice.send(&bob, CANARY).await;
    alice.send(&absent, CANARY).await;
    alice.reaches(id, Stage::Delivered).await;
    bob.messenger().mark_shown(&bob.history(None).await).await.unwrap();
    alice.reaches(id, Stage::Read).await;
    alice.stop().await;
    bob.halt().await;
    absent.start().await;
    absent.stop().await;
    for person in [&alice, &bob] {
        for name in ["alice-canary", "bob-canary", "carol-canary", "canary"] {
            assert!(!finds(person, name.as_bytes()), "{name}");
        }
        for other in [&alice, &bob] {
            assert!(!finds(person, other.key.account_id().as_bytes()));
            assert!(!finds(person, other.key.public_key().as_bytes()));
            assert!(!finds(person, other.device.as_bytes()));
        }
        assert!(!finds(person, id.as_bytes()));
        // The search itself works: the tables' names are in the clear.
        assert!(finds(person, b"conversations"));
    }
}

#[tokio::test]
async fn the_store_is_closed_to_other_users() {
    use std::os::unix::fs::PermissionsExt;
    let town = Town::new();
    let alice = Person::online(&town, "alice").await;
    let file = std::fs::metadata(alice.files.path().join("messages.redb")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}
