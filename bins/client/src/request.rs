//! What a command asks of a client, here or through the socket of the one that holds the profile.

use crate::{
    client::{Client, WhoAmI},
    error::ClientError,
    password::Password,
    row::{MessageRow, PeerRow, SessionRow},
};
use peer_messaging::Stage;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use telegraph_proto::{account::Username, rest::Secret};

/// One command.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    Whoami,
    Peers,
    Send { to: String, text: String, wait: Goal, timeout_ms: u64 },
    Read { with: Option<String>, limit: u32, peek: bool },
    Sessions,
    Revoke { session_id: String },
    Logout,
    Passwd { old: Secret, new: Secret },
    DeleteAccount { password: Secret },
}

/// How far a message must have come for `send` to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Goal {
    Pending,
    Sent,
    Delivered,
    Read,
}

/// What came of a command; with `--json` this is what is printed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Answer {
    Whoami(WhoAmI),
    Peers { peers: Vec<PeerRow> },
    Sent(Sent),
    Messages { messages: Vec<MessageRow> },
    Sessions { sessions: Vec<SessionRow> },
    Enrolled { username: String, account_id: Option<String>, recovery_code: String },
    Done { message: String },
}

/// Where a message stands when `send` returns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) message_id: String,
    pub(crate) to: String,
    /// `pending`, `sent`, `delivered`, `read`, `held` or `failed`.
    pub(crate) stage: String,
    /// True when it came as far as was asked for.
    pub(crate) done: bool,
    /// Why it is held or failed.
    pub(crate) reason: Option<String>,
}

/// Does what a command asks.
pub(crate) async fn perform(client: &Client, request: Request) -> Result<Answer, ClientError> {
    let done = |message: &str| Answer::Done { message: message.to_owned() };
    match request {
        Request::Whoami => Ok(Answer::Whoami(client.whoami().await?)),
        Request::Peers => {
            let peers = client.peers().await?;
            Ok(Answer::Peers { peers: peers.into_iter().map(PeerRow::from).collect() })
        }
        Request::Send { to, text, wait, timeout_ms } => {
            let deadline = Duration::from_millis(timeout_ms);
            Ok(Answer::Sent(send(client, &to, &text, wait, deadline).await?))
        }
        Request::Read { with, limit, peek } => read(client, with.as_deref(), limit, peek).await,
        Request::Sessions => {
            let sessions = client.sessions().await?;
            Ok(Answer::Sessions { sessions: sessions.into_iter().map(SessionRow::from).collect() })
        }
        Request::Revoke { session_id } => {
            client.revoke(&session_id).await?;
            Ok(done("session ended"))
        }
        Request::Logout => {
            client.logout().await?;
            Ok(done("logged out; account and messages stay in this profile"))
        }
        Request::Passwd { old, new } => {
            client.change_password(&Password::new(&old.0)?, &Password::new(&new.0)?).await?;
            Ok(done("password changed; every other session has ended"))
        }
        Request::DeleteAccount { password } => {
            client.delete_account(&Password::new(&password.0)?).await?;
            Ok(done("account deleted"))
        }
    }
}

async fn send(
    client: &Client,
    to: &str,
    text: &str,
    wait: Goal,
    deadline: Duration,
) -> Result<Sent, ClientError> {
    let to = Username::parse(to)?;
    let id = client.send(&to, text).await?;
    let reached = client.wait_for(id, wait.stage(), deadline).await?;
    let reason = crate::row::reason(&reached);
    let stage = crate::row::stage(&reached).to_owned();
    let done = reason.is_none() && reached >= wait.stage();
    Ok(Sent { message_id: id.to_string(), to: to.to_string(), stage, done, reason })
}

async fn read(
    client: &Client,
    with: Option<&str>,
    limit: u32,
    peek: bool,
) -> Result<Answer, ClientError> {
    let with = with.map(Username::parse).transpose()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let messages = client.history(with.as_ref(), limit).await?;
    let rows: Vec<MessageRow> = messages.iter().map(MessageRow::from).collect();
    if !peek {
        client.mark_shown(&messages).await?;
    }
    Ok(Answer::Messages { messages: rows })
}

impl Goal {
    pub(crate) fn stage(self) -> Stage {
        match self {
            Self::Pending => Stage::Pending,
            Self::Sent => Stage::Sent,
            Self::Delivered => Stage::Delivered,
            Self::Read => Stage::Read,
        }
    }
}
