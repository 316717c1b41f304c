//! Damaged files are refused in words, or were damaged where it does not matter.

use super::world::{Person, STORE_KEY, Town, draw, seed};
use crate::{Message, Store, StoreError};
use std::path::Path;

/// Everything a messenger would read and change.
fn use_it(path: &Path) -> Result<Vec<Message>, StoreError> {
    let store = Store::open(path, STORE_KEY)?;
    let history = store.read_now(|view| {
        for peer in view.newest_peers(100)? {
            view.next_batch(peer.number)?;
            view.due(peer.number)?;
        }
        view.history(None, u64::MAX, 1000)
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.write(|view| view.mark_shown(1, u64::MAX, 1)))?;
    Ok(history)
}

#[test]
fn a_damaged_store_is_refused_and_never_read_wrongly() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let town = Town::new();
    let mut alice = Person::new(&town, "alice");
    let bob = Person::new(&town, "bob");
    runtime.block_on(async {
        alice.start().await;
        alice.send_all(&bob, (0..40).map(|n| n.to_string())).await;
        alice.stop().await;
    });
    let good = std::fs::read(alice.files.path().join("messages.redb")).unwrap();
    let texts: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let mut seed = seed();
    let path = alice.files.path().join("damaged.redb");
    let length = u64::try_from(good.len()).unwrap();
    let mut refused = 0;
    for round in 0..150 {
        let mut bytes = good.clone();
        let at = usize::try_from(draw(&mut seed, length)).unwrap();
        match round % 3 {
            // Early bytes are the ones that say where the others are.
            0 => bytes[at % 4096] ^= 1 << (round % 8),
            1 => bytes[at] ^= 1 << (round % 8),
            _ => bytes.truncate(at),
        }
        std::fs::write(&path, &bytes).unwrap();
        match use_it(&path) {
            Ok(history) => {
                let found: Vec<&str> = history.iter().map(|m| m.text.as_str()).collect();
                assert_eq!(found, texts, "round {round} at {at}");
            }
            Err(_) => refused += 1,
        }
        let _ = std::fs::remove_file(&path);
    }
    assert!(refused > 0);
}

#[test]
fn what_is_no_store_is_refused() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("x");
    std::fs::write(&path, b"these are notes of mine").unwrap();
    assert!(matches!(Store::open(&path, STORE_KEY), Err(StoreError::Disk(_))));
    assert_eq!(std::fs::read(&path).unwrap(), b"these are notes of mine");
    assert!(matches!(Store::open(files.path(), STORE_KEY), Err(StoreError::Disk(_))));
}
