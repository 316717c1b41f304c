//! Accounts by the million, and what their owners do.

use std::error::Error;
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use identity_store::{Command, IdentityStore};
use raft_core::{Entry, OnDiskStateMachine as _, Position};
use telegraph_proto::account::{DeviceId, PublicKey};
use telegraph_proto::identity::{RegisterBody, SealedKeys, StatementKind};
use telegraph_proto::statement::{sealed_keys_hash, sign};

/// Accounts registered with one write: enough that what a write costs once is not felt.
const BATCH: u64 = 4096;
/// Batches made ahead of their being applied.
const AHEAD: usize = 2;
/// How long a session lives.
const LIFETIME_MS: u64 = 24 * 60 * 60 * 1000;

/// The people of one cluster, numbered. They differ by name and key alone.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    cluster_id: [u8; 16],
}

impl Population {
    /// People who sign for this cluster.
    #[must_use]
    pub fn of(cluster_id: [u8; 16]) -> Population {
        Population { cluster_id }
    }

    /// The command by which a person registers, as it is proposed.
    #[must_use]
    pub fn register(&self, person: u64) -> Bytes {
        let key = key(person);
        // As long as real ones: a sealed key has 105 bytes.
        let sealed_keys = SealedKeys { by_password: vec![1; 105], by_recovery_code: vec![2; 105] };
        let body = RegisterBody {
            username: format!("person-{person}"),
            public_key: PublicKey::from(key.verifying_key()).as_bytes().to_vec(),
            sealed_keys_hash: sealed_keys_hash(&sealed_keys).into(),
            issued_unix_ms: 1,
        };
        let statement = sign(&key, self.cluster_id, StatementKind::Register, 1, &body);
        // In the form of a bcrypt hash, which nobody is going to compare with a password.
        let password_hash = format!("$2b$12${}", "a".repeat(53));
        let device_id = device();
        Command::Register { statement, password_hash, device_id, sealed_keys }.encode()
    }

    /// The command by which a registered person logs in; `login` is another number each time.
    #[must_use]
    pub fn log_in(&self, person: u64, login: u64) -> Bytes {
        let mut token_hash = [0; 32];
        token_hash[..8].copy_from_slice(&login.to_be_bytes());
        let mut session_id = [0; 16];
        session_id[..8].copy_from_slice(&login.to_be_bytes());
        let command = Command::CreateSession {
            account_id: PublicKey::from(key(person).verifying_key()).account_id(),
            credential_version: 1,
            token_hash,
            session_id,
            device_id: device(),
            device_name: "phone".into(),
            lifetime_ms: LIFETIME_MS,
            address: None,
            password_hash: None,
        };
        command.encode()
    }

    /// Registers the first `people` in a store that no member has yet.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub fn settle(&self, store: &mut IdentityStore, people: u64) -> Result<(), Box<dyn Error>> {
        let (sender, batches) = mpsc::sync_channel(AHEAD);
        thread::scope(|scope| {
            // Signing takes as long as applying: one goes on beside the other.
            scope.spawn(move || {
                for first in (0..people).step_by(BATCH as usize) {
                    let last = people.min(first + BATCH);
                    let batch = (first..last).map(|person| self.register(person));
                    if sender.send(entries(first + 1, batch)).is_err() {
                        return;
                    }
                }
            });
            for batch in batches {
                // Without records: to the engine it is a machine that has applied nothing yet.
                store.apply(&batch, &|_| Vec::new())?;
            }
            Ok(())
        })
    }
}

/// Commands as entries of the log, from index `first`.
#[must_use]
pub fn entries(first: u64, commands: impl Iterator<Item = Bytes>) -> Vec<Entry> {
    let numbered = (first..).zip(commands);
    let entry = |(index, payload)| Entry {
        position: Position { term: 1, index },
        time_unix_ms: 1,
        version: 1,
        payload,
    };
    numbered.map(entry).collect()
}

fn key(person: u64) -> SigningKey {
    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&person.to_be_bytes());
    SigningKey::from_bytes(&secret)
}

fn device() -> DeviceId {
    DeviceId::new([3; 16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity_store::Reply;

    #[test]
    fn people_register_and_log_in_and_none_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (mut store, reader) = IdentityStore::open(directory.path(), [7; 16]).unwrap();
        let population = Population::of([7; 16]);
        population.settle(&mut store, BATCH + 1).unwrap();
        assert_eq!(reader.counts().unwrap().accounts, BATCH + 1);
        let logins = (0..3).map(|login| population.log_in(BATCH, login));
        let replies = store.apply(&entries(BATCH + 2, logins), &|_| Vec::new()).unwrap();
        for reply in replies {
            let reply = Reply::decode(&reply).unwrap();
            assert!(matches!(reply, Reply::SessionCreated { .. }), "{reply:?}");
        }
    }
}
