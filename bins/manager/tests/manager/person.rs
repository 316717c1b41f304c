//! Somebody with a key, a password and a device, and the JSON they would send.

use crate::harness::Running;
use ed25519_dalek::{Signer as _, SigningKey};
use prost::Message;
use serde_json::{Value, json};
use std::cell::Cell;
use telegraph_proto::account::PublicKey;
use telegraph_proto::identity::{
    AddressBody, DeleteBody, PasswordBody, RegisterBody, SealedKeys, SignedStatement, StatementKind,
};
use telegraph_proto::rest::Base64;
use telegraph_proto::statement::{self, sealed_keys_hash};

pub(crate) struct Person {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) key: SigningKey,
    pub(crate) device: [u8; 16],
    pub(crate) cluster: [u8; 16],
    /// The last sequence number used.
    pub(crate) sequence: Cell<u64>,
}

impl Person {
    /// The key is made of the name: the same name is the same person.
    pub(crate) fn new(username: &str, cluster: [u8; 16]) -> Self {
        let mut seed = [7; 32];
        seed[..username.len()].copy_from_slice(username.as_bytes());
        Self {
            username: username.into(),
            password: format!("the password of {username}"),
            key: SigningKey::from_bytes(&seed),
            device: [seed[0]; 16],
            cluster,
            sequence: Cell::new(0),
        }
    }

    /// Registered and logged in; returns the token.
    pub(crate) async fn settle(&self, at: &Running) -> String {
        self.register(at).await;
        self.login(at).await
    }

    pub(crate) async fn register(&self, at: &Running) {
        let answered = at.ask("POST", "/register", None, Some(self.register_body())).await;
        assert_eq!(answered.message()["account_id"], self.account_id(), "{answered:?}");
    }

    pub(crate) async fn login(&self, at: &Running) -> String {
        let answered = at.ask("POST", "/login", None, Some(self.login_body())).await;
        answered.message()["token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn account_id(&self) -> String {
        PublicKey::from(self.key.verifying_key()).account_id().to_string()
    }

    pub(crate) fn next(&self) -> u64 {
        self.sequence.set(self.sequence.get() + 1);
        self.sequence.get()
    }

    pub(crate) fn sign<B: Message>(&self, kind: StatementKind, body: &B) -> SignedStatement {
        statement::sign(&self.key, self.cluster, kind, self.next(), body)
    }

    /// What the secret key might look like when sealed; no part of it occurs anywhere by chance.
    pub(crate) fn sealed(&self) -> SealedKeys {
        self.sealed_at(0)
    }

    /// The same after a change of the password.
    pub(crate) fn resealed(&self) -> SealedKeys {
        let by_recovery_code = self.sealed().by_recovery_code;
        SealedKeys { by_recovery_code, ..self.sealed_at(1) }
    }

    fn sealed_at(&self, change: u8) -> SealedKeys {
        let signed = |by: u8| self.key.sign(&[by, change]).to_vec();
        SealedKeys { by_password: signed(1), by_recovery_code: signed(2) }
    }

    pub(crate) fn register_statement(&self) -> SignedStatement {
        let body = RegisterBody {
            username: self.username.clone(),
            public_key: self.key.verifying_key().to_bytes().to_vec(),
            sealed_keys_hash: sealed_keys_hash(&self.sealed()).into(),
            issued_unix_ms: 1,
        };
        self.sign(StatementKind::Register, &body)
    }

    pub(crate) fn register_body(&self) -> Value {
        self.register_body_with(&self.register_statement())
    }

    pub(crate) fn register_body_with(&self, statement: &SignedStatement) -> Value {
        json!({
            "username": self.username,
            "password": self.password,
            "public_key": text(Base64(self.key.verifying_key().to_bytes().to_vec())),
            "sealed_by_password": text(Base64(self.sealed().by_password)),
            "sealed_by_recovery_code": text(Base64(self.sealed().by_recovery_code)),
            "statement": text(Base64::statement(statement)),
            "device_id": hex::encode(self.device),
        })
    }

    pub(crate) fn login_body(&self) -> Value {
        json!({
            "username": self.username,
            "password": self.password,
            "device_id": hex::encode(self.device),
            "device_name": "a test",
        })
    }

    pub(crate) fn address_statement(&self, address: &str) -> SignedStatement {
        let body = AddressBody {
            addresses: vec![address.into()],
            device_id: self.device.to_vec(),
            issued_unix_ms: 1,
        };
        self.sign(StatementKind::Address, &body)
    }

    pub(crate) fn reconnect_body(&self, port: u16, statement: &SignedStatement) -> Value {
        json!({ "port": port, "address_statement": text(Base64::statement(statement)) })
    }

    pub(crate) fn password_statement(&self, credential_version: u64) -> SignedStatement {
        let sealed_keys_hash = sealed_keys_hash(&self.resealed()).into();
        let body = PasswordBody { credential_version, sealed_keys_hash, issued_unix_ms: 1 };
        self.sign(StatementKind::Password, &body)
    }

    pub(crate) fn password_body(&self, new: &str, statement: &SignedStatement) -> Value {
        json!({
            "old_password": self.password,
            "new_password": new,
            "sealed_by_password": text(Base64(self.resealed().by_password)),
            "sealed_by_recovery_code": text(Base64(self.resealed().by_recovery_code)),
            "statement": text(Base64::statement(statement)),
        })
    }

    pub(crate) fn delete_statement(&self) -> SignedStatement {
        let body = DeleteBody { username: self.username.clone(), issued_unix_ms: 1 };
        self.sign(StatementKind::Delete, &body)
    }

    pub(crate) fn delete_body(&self, statement: &SignedStatement) -> Value {
        json!({ "password": self.password, "statement": text(Base64::statement(statement)) })
    }

    pub(crate) fn heartbeat_body(&self) -> Value {
        json!({ "username": self.username })
    }
}

pub(crate) fn text(bytes: Base64) -> Value {
    serde_json::to_value(bytes).unwrap()
}
