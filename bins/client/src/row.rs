//! Messages, people and sessions as they are shown: the shapes of `--json`.

use peer_messaging::{Direction, Message, Stage};
use serde::{Deserialize, Serialize};
use telegraph_proto::rest;

/// One message of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageRow {
    /// UUIDv7.
    pub(crate) message_id: String,
    /// The other person.
    pub(crate) with: String,
    /// `in` or `out`.
    pub(crate) direction: String,
    pub(crate) text: String,
    /// The sender's clock.
    pub(crate) composed_unix_ms: u64,
    /// Of a message sent: how far it has come. Of one received: `read` or `unread`.
    pub(crate) stage: String,
    /// Why it is held or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delivered_unix_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) read_unix_ms: Option<u64>,
}

/// Somebody who is online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerRow {
    pub(crate) username: String,
    pub(crate) account_id: String,
    /// ip:port, as the managers tell it.
    pub(crate) address: Option<String>,
    /// RFC 3339.
    pub(crate) last_seen: Option<String>,
}

/// A session of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionRow {
    pub(crate) session_id: String,
    pub(crate) device_id: String,
    pub(crate) device_name: String,
    pub(crate) created_unix_ms: u64,
    pub(crate) expires_unix_ms: u64,
    pub(crate) current: bool,
}

impl From<rest::Peer> for PeerRow {
    fn from(peer: rest::Peer) -> Self {
        let address = peer.ip.zip(peer.port).map(|(ip, port)| {
            if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
        });
        let rest::Peer { username, account_id, last_seen, .. } = peer;
        Self { username, account_id, address, last_seen }
    }
}

impl From<rest::Session> for SessionRow {
    fn from(session: rest::Session) -> Self {
        Self {
            session_id: session.session_id,
            device_id: session.device_id,
            device_name: session.device_name,
            created_unix_ms: session.created_unix_ms,
            expires_unix_ms: session.expires_unix_ms,
            current: session.current,
        }
    }
}

impl From<&Message> for MessageRow {
    fn from(message: &Message) -> Self {
        let (direction, stage) = match message.direction {
            Direction::Outgoing => ("out", stage(&message.stage)),
            Direction::Incoming if is_unread(message) => ("in", "unread"),
            Direction::Incoming => ("in", "read"),
        };
        Self {
            message_id: message.id.to_string(),
            with: message.with.to_string(),
            direction: direction.to_owned(),
            text: message.text.clone(),
            composed_unix_ms: message.composed_unix_ms,
            stage: stage.to_owned(),
            reason: reason(&message.stage),
            delivered_unix_ms: message.delivered_unix_ms,
            read_unix_ms: message.read_unix_ms,
        }
    }
}

/// True for a message received and not shown yet.
pub(crate) fn is_unread(message: &Message) -> bool {
    message.direction == Direction::Incoming && message.read_unix_ms.is_none()
}

/// A stage in one word.
pub(crate) fn stage(stage: &Stage) -> &'static str {
    match stage {
        Stage::Pending => "pending",
        Stage::Sent => "sent",
        Stage::Delivered => "delivered",
        Stage::Read => "read",
        Stage::Held(_) => "held",
        Stage::Failed(_) => "failed",
    }
}

/// Why a message is held or failed.
pub(crate) fn reason(stage: &Stage) -> Option<String> {
    match stage {
        Stage::Held(why) | Stage::Failed(why) => Some(why.to_string()),
        _ => None,
    }
}
