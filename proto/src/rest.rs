//! The managers' REST contract: JSON bodies of requests and replies.
//!
//! Every success is `{"message": …, "status": 200}`, the `message` being one of the types below or
//! a sentence; every failure is a [`Problem`] (RFC 9457). Bytes travel as base64 (standard
//! alphabet, padded), ids as hexadecimal, statements as the base64 of an encoded
//! `SignedStatement`, times as milliseconds since 1970.

use crate::identity::SignedStatement;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The envelope of every successful reply.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reply<T> {
    /// What was asked for.
    pub message: T,
    /// The HTTP status, repeated.
    pub status: u16,
}

/// Bytes as base64.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Base64(#[serde(with = "encoding")] pub Vec<u8>);

impl fmt::Debug for Base64 {
    // Sealed keys and tokens travel in this type: a log shows only how long they were.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base64({} bytes)", self.0.len())
    }
}

impl Base64 {
    /// Wraps a statement.
    pub fn statement(statement: &SignedStatement) -> Self {
        Self(statement.encode_to_vec())
    }

    /// Reads a statement; `None` when the bytes are not one. Nothing is verified here.
    pub fn to_statement(&self) -> Option<SignedStatement> {
        SignedStatement::decode(self.0.as_slice()).ok()
    }
}

mod encoding {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(|_| D::Error::custom("not base64"))
    }
}

/// `POST /register`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// The wished name.
    pub username: String,
    /// What stands for the password; at most 71 bytes, no NUL.
    pub password: Secret,
    /// The account's Ed25519 public key.
    pub public_key: Base64,
    /// The account's secret key, sealed under the password.
    pub sealed_by_password: Base64,
    /// The same, sealed under the recovery code.
    pub sealed_by_recovery_code: Base64,
    /// A `REGISTER` statement over name, key and the hash of the sealed keys.
    pub statement: Base64,
    /// 32 hexadecimal digits.
    pub device_id: String,
}

/// Answer to `POST /register`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registered {
    /// 64 hexadecimal digits.
    pub account_id: String,
}

/// `POST /login`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The registered name.
    pub username: String,
    /// What stands for the password.
    pub password: Secret,
    /// 32 hexadecimal digits.
    pub device_id: String,
    /// What the list of sessions calls this device; at most 64 bytes.
    #[serde(default)]
    pub device_name: String,
    /// Where this client listens; with `port` and the statement, or not at all.
    #[serde(default)]
    pub ip: Option<String>,
    /// Port of `ip`.
    #[serde(default)]
    pub port: Option<u16>,
    /// An `ADDRESS` statement; a new machine has no key yet and announces itself later.
    #[serde(default)]
    pub address_statement: Option<Base64>,
}

/// Answer to `POST /login`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoggedIn {
    /// The session's token: goes into `Authorization: Bearer …`.
    pub token: Secret,
    /// 32 hexadecimal digits; names the session in lists.
    pub session_id: String,
    /// When it ends by itself.
    pub expires_unix_ms: u64,
    /// The account, with what this client needs to restore its key.
    pub account: OwnAccount,
}

/// What only the owner sees: answer to login and `GET /account`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OwnAccount {
    /// What everybody sees.
    pub public: Peer,
    /// The secret key sealed under the password.
    pub sealed_by_password: Base64,
    /// The secret key sealed under the recovery code.
    pub sealed_by_recovery_code: Base64,
    /// The number the next statement must exceed.
    pub sequence: u64,
    /// The version the next password change replaces.
    pub credential_version: u64,
}

/// `GET /users/{username}` and the elements of `GET /peers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The name.
    pub username: String,
    /// 64 hexadecimal digits.
    pub account_id: String,
    /// The key that account id is the hash of.
    pub public_key: Base64,
    /// The statement that bound name and key.
    pub register_statement: Base64,
    /// First announced address; a convenience, the statement is what counts.
    pub ip: Option<String>,
    /// Port of `ip`.
    pub port: Option<u16>,
    /// The newest address statement.
    pub address_statement: Option<Base64>,
    /// `online` or `offline`.
    pub status: Status,
    /// The last sign of life a manager saw, RFC 3339.
    pub last_seen: Option<String>,
    /// Log term of the state this answer was read from.
    pub term: u64,
    /// Log index of the state this answer was read from.
    pub index: u64,
}

/// Whether a person is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A live lease.
    Online,
    /// None.
    Offline,
}

/// `GET /peers?after=NAME&limit=N`: who is online, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Peers {
    /// At most `limit` (default and most: 100).
    pub peers: Vec<Peer>,
    /// Pass as `after` for the next page; absent on the last.
    pub next: Option<String>,
}

/// `POST /heartbeat`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatRequest {
    /// Must be the session's own.
    pub username: String,
    /// Names whose presence the caller waits for; at most 100.
    #[serde(default)]
    pub watch: Vec<String>,
}

/// Answer to `POST /heartbeat`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Heartbeat {
    /// How long the renewed lease lasts.
    pub lease_ms: u64,
    /// How often the manager wishes to hear from this client.
    pub interval_ms: u64,
    /// The watched people that exist.
    pub watched: Vec<Peer>,
}

/// `PUT /users/reconnect/{ip}/{username}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconnectRequest {
    /// Port of the IP in the path.
    pub port: u16,
    /// An `ADDRESS` statement that names ip and port.
    pub address_statement: Base64,
}

/// `POST /account/password`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    /// What stood for the old password.
    pub old_password: Secret,
    /// What stands for the new one.
    pub new_password: Secret,
    /// The account's secret key, sealed under the new password.
    pub sealed_by_password: Base64,
    /// The same, sealed under the recovery code.
    pub sealed_by_recovery_code: Base64,
    /// A `PASSWORD` statement over the hash of the re-sealed keys.
    pub statement: Base64,
}

/// `DELETE /account`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteRequest {
    /// What stands for the password.
    pub password: Secret,
    /// A `DELETE` statement.
    pub statement: Base64,
}

/// One element of `GET /sessions`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    /// 32 hexadecimal digits; `DELETE /sessions/{id}` ends it.
    pub session_id: String,
    /// 32 hexadecimal digits.
    pub device_id: String,
    /// What the device called itself.
    pub device_name: String,
    /// When it began.
    pub created_unix_ms: u64,
    /// When it ends by itself.
    pub expires_unix_ms: u64,
    /// True for the session that asks.
    pub current: bool,
}

/// `GET /cluster`, open to all: what a client must know before it can sign anything.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cluster {
    /// 32 hexadecimal digits: what statements are signed for.
    pub cluster_id: String,
    /// The manager that answers.
    pub node_id: u64,
    /// The leader it knows; 0: none.
    pub leader: u64,
    /// Voting managers: 2k+1.
    pub voters: u32,
    /// REST addresses of all managers, host:port.
    pub managers: Vec<String>,
    /// The manager's version.
    pub version: String,
}

/// Every failure: `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `/problems/…`: what kind, for programs.
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind, for people.
    pub title: String,
    /// The HTTP status, repeated.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// Names the request in the manager's log.
    pub request_id: String,
}

/// Text that must never reach a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_bytes_are_not_printed() {
        let login = LoginRequest {
            username: "alice".into(),
            password: Secret("correct horse".into()),
            device_id: String::new(),
            device_name: String::new(),
            ip: None,
            port: None,
            address_statement: Some(Base64(b"battery".to_vec())),
        };
        let shown = format!("{login:?}");
        assert!(!shown.contains("horse") && !shown.contains("battery"), "{shown}");
    }

    #[test]
    fn bytes_survive_their_text_and_bad_text_is_refused() {
        let bytes = Base64(vec![0, 1, 254, 255]);
        let text = serde_json::to_string(&bytes).unwrap();
        assert_eq!(serde_json::from_str::<Base64>(&text).unwrap(), bytes);
        assert!(serde_json::from_str::<Base64>("\"*\"").is_err());
    }

    #[test]
    fn unknown_fields_are_refused() {
        let text = r#"{"username":"alice","watch":[],"more":1}"#;
        assert!(serde_json::from_str::<HeartbeatRequest>(text).is_err());
    }
}
