//! The people of the tests, what they sign, and dice that fall the same way every time.

use crate::apply::apply;
use crate::command::Command;
use crate::directory::Directory;
use crate::key_values::{KeyValues, Target};
use crate::keys::{self, Range};
use crate::reply::Reply;
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message;
use raft_core::{Entry, Position};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use telegraph_proto::account::{AccountId, DeviceId, PublicKey, Username};
use telegraph_proto::identity::{
    AddressBody, DeleteBody, PasswordBody, RegisterBody, SealedKeys, SignedStatement, StatementKind,
};
use telegraph_proto::statement::{self, sealed_keys_hash};

pub(crate) const CLUSTER: [u8; 16] = [0xc1; 16];

/// A state without a disk.
pub(crate) type Twin = BTreeMap<Vec<u8>, Vec<u8>>;

/// A bcrypt hash, of nothing; they differ by `n`.
pub(crate) fn hash(n: u8) -> String {
    format!("$2b$04${}", char::from(b'a' + n % 26).to_string().repeat(53))
}

fn bytes(of: &str) -> [u8; 32] {
    Sha256::digest(of).into()
}

pub(crate) fn device(name: &str) -> DeviceId {
    DeviceId::from_slice(&bytes(&format!("device {name}"))[..16]).unwrap()
}

pub(crate) fn token(name: &str) -> [u8; 32] {
    bytes(&format!("token {name}"))
}

pub(crate) fn session(name: &str) -> [u8; 16] {
    bytes(&format!("session {name}"))[..16].try_into().unwrap()
}

pub(crate) fn sealed(length: usize) -> SealedKeys {
    SealedKeys { by_password: vec![1; length], by_recovery_code: vec![2; 5] }
}

/// Somebody with a key made of a name.
pub(crate) struct Person {
    pub(crate) name: String,
    key: SigningKey,
}

impl Person {
    pub(crate) fn named(name: &str) -> Person {
        Person { name: name.into(), key: SigningKey::from_bytes(&bytes(&format!("key {name}"))) }
    }

    pub(crate) fn username(&self) -> Username {
        Username::parse(&self.name).unwrap()
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        PublicKey::from(self.key.verifying_key())
    }

    pub(crate) fn id(&self) -> AccountId {
        self.public_key().account_id()
    }

    pub(crate) fn sign<B: Message>(
        &self,
        kind: StatementKind,
        sequence: u64,
        body: &B,
    ) -> SignedStatement {
        statement::sign(&self.key, CLUSTER, kind, sequence, body)
    }

    pub(crate) fn register_body(&self) -> RegisterBody {
        RegisterBody {
            username: self.name.clone(),
            public_key: self.public_key().as_bytes().to_vec(),
            sealed_keys_hash: sealed_keys_hash(&sealed(7)).into(),
            issued_unix_ms: 3,
        }
    }

    pub(crate) fn register(&self) -> Command {
        Command::Register {
            statement: self.sign(StatementKind::Register, 1, &self.register_body()),
            password_hash: hash(0),
            device_id: device("phone"),
            sealed_keys: sealed(7),
        }
    }

    /// A login for a minute with the first password, without an address.
    pub(crate) fn login(&self, at: &str, name: &str) -> Command {
        Command::CreateSession {
            account_id: self.id(),
            credential_version: 1,
            token_hash: token(name),
            session_id: session(name),
            device_id: device(at),
            device_name: at.into(),
            lifetime_ms: 60_000,
            address: None,
            password_hash: None,
        }
    }

    pub(crate) fn address(&self, sequence: u64, at: &str, addresses: &[&str]) -> SignedStatement {
        let body = AddressBody {
            addresses: addresses.iter().map(|address| (*address).into()).collect(),
            device_id: device(at).as_bytes().to_vec(),
            issued_unix_ms: 4,
        };
        self.sign(StatementKind::Address, sequence, &body)
    }

    /// For `sealed(9)`.
    pub(crate) fn new_password(&self, sequence: u64, credential_version: u64) -> SignedStatement {
        let sealed_keys_hash = sealed_keys_hash(&sealed(9)).into();
        let body = PasswordBody { credential_version, sealed_keys_hash, issued_unix_ms: 5 };
        self.sign(StatementKind::Password, sequence, &body)
    }

    pub(crate) fn deletion(&self, sequence: u64) -> SignedStatement {
        let body = DeleteBody { username: self.name.clone(), issued_unix_ms: 6 };
        self.sign(StatementKind::Delete, sequence, &body)
    }
}

pub(crate) fn entry(index: u64, time_unix_ms: u64, payload: Bytes) -> Entry {
    Entry { position: Position { term: 1, index }, time_unix_ms, version: 1, payload }
}

/// Entries of term 1, from index 1, a second apart.
pub(crate) fn entries(commands: &[Command]) -> Vec<Entry> {
    let numbered = (1..).zip(commands);
    numbered.map(|(index, command)| entry(index, 1000 * index, command.encode())).collect()
}

/// Applies entries in one batch, and returns their replies.
pub(crate) fn play(twin: &mut Twin, entries: &[Entry]) -> Vec<Reply> {
    let mut directory = Directory::new(&*twin);
    let replies: Vec<Reply> =
        entries.iter().map(|entry| apply(entry, &CLUSTER, &mut directory).unwrap()).collect();
    let changes = directory.into_changes();
    twin.write(changes).unwrap();
    replies
}

/// A few people, and a bit of everything that is kept.
pub(crate) fn village() -> Vec<Command> {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(Person::named);
    vec![
        alice.register(),
        bob.register(),
        carol.register(),
        alice.login("phone", "a1"),
        alice.login("laptop", "a2"),
        bob.login("phone", "b1"),
        Command::ChangeAddress {
            statement: bob.address(2, "phone", &["127.0.0.1:9000", "[::1]:9000"]),
            token_hash: token("b1"),
        },
        Command::DeleteAccount { statement: carol.deletion(2) },
    ]
}

/// The state and its indexes: everything but records and checksum.
pub(crate) fn contents(state: &dyn KeyValues) -> Twin {
    let all = state.range(&Range::everything(), usize::MAX).unwrap().into_iter();
    all.filter(|(key, _)| ![keys::RECORD, keys::CHECKSUM].contains(&key[0])).collect()
}

/// Dice (splitmix64, Steele and others 2014).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `sides`, which is not 0.
    pub(crate) fn below(&mut self, sides: usize) -> usize {
        (self.roll() % sides as u64) as usize
    }

    /// True once in `sides`.
    pub(crate) fn once_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
