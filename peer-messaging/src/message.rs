//! A message as people see it.

use std::{fmt, str::FromStr};
use telegraph_proto::account::{AccountId, Username};
use uuid::Uuid;

/// The name of one message for ever: a UUIDv7 made when it was composed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(Uuid);

/// Text that is not a message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message id is a UUID of version 7")]
pub struct NotAMessageId;

impl MessageId {
    pub(crate) fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Reads 16 bytes. Fails with [`NotAMessageId`] on any but a UUIDv7.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, NotAMessageId> {
        let uuid = Uuid::from_slice(bytes).map_err(|_| NotAMessageId)?;
        if uuid.get_version_num() == 7 { Ok(Self(uuid)) } else { Err(NotAMessageId) }
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for MessageId {
    type Err = NotAMessageId;
    fn from_str(text: &str) -> Result<Self, NotAMessageId> {
        let uuid = Uuid::parse_str(text).map_err(|_| NotAMessageId)?;
        Self::from_slice(uuid.as_bytes())
    }
}

/// How far a message of ours has come. `Pending < Sent < Delivered < Read`; the other two compare
/// with nothing but themselves.
///
/// - The rank of the first four only rises, but for a restart, which makes `Sent` `Pending` again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Durable here; it leaves when the person can be reached.
    Pending,
    /// Handed to the person's program over a connection that proved to be theirs, and not answered
    /// yet. If no answer comes it is sent again.
    Sent,
    /// Durable at the person's.
    Delivered,
    /// Shown to the person.
    Read,
    /// Waits for a decision of ours, told in words; not one byte leaves before that.
    Held(String),
    /// Refused for good, for the reason given. It will not be tried again.
    Failed(String),
}

impl Stage {
    /// True when nothing more happens by itself.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self, Self::Read | Self::Held(_) | Self::Failed(_))
    }

    fn rank(&self) -> Option<u8> {
        match self {
            Self::Pending => Some(0),
            Self::Sent => Some(1),
            Self::Delivered => Some(2),
            Self::Read => Some(3),
            Self::Held(_) | Self::Failed(_) => None,
        }
    }
}

impl PartialOrd for Stage {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        match (self.rank(), other.rank()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => (self == other).then_some(std::cmp::Ordering::Equal),
        }
    }
}

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From somebody to us.
    Incoming,
    /// From us to somebody.
    Outgoing,
}

/// The other person of a conversation. Displayed by name, or by the account's short id while the
/// name of somebody who wrote first is not known yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Correspondent {
    /// Who it is; proven in TLS.
    pub account_id: AccountId,
    /// What they are called.
    pub username: Option<Username>,
}

impl fmt::Display for Correspondent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.username {
            Some(name) => name.fmt(f),
            None => f.write_str(&self.account_id.short()),
        }
    }
}

/// A message of the history.
#[derive(Clone, PartialEq)]
pub struct Message {
    /// Its name for ever.
    pub id: MessageId,
    /// Which way it went.
    pub direction: Direction,
    /// The other person.
    pub with: Correspondent,
    /// Its number among those of one sending device to one account, from 1.
    pub sequence: u64,
    /// True for one received when a message of that device before it is missing here.
    pub gap: bool,
    /// What it says: 1 to 16,384 bytes of anything; escape it before a terminal sees it.
    pub text: String,
    /// When it was composed, by the sender's clock.
    pub composed_unix_ms: u64,
    /// When it became durable at the addressee's: by our clock, when the receipt came or when it
    /// was received.
    pub delivered_unix_ms: Option<u64>,
    /// When it was shown to the addressee, by the addressee's clock.
    pub read_unix_ms: Option<u64>,
    /// How far it has come; `Delivered` or `Read` when it was received.
    pub stage: Stage,
}

impl fmt::Debug for Message {
    /// Without the text: messages end up in traces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id.to_string())
            .field("direction", &self.direction)
            .field("with", &self.with.to_string())
            .field("sequence", &self.sequence)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_rise_and_the_stuck_ones_compare_with_nothing() {
        assert!(Stage::Pending < Stage::Sent && Stage::Sent < Stage::Delivered);
        assert!(Stage::Delivered < Stage::Read);
        let held = Stage::Held("x".into());
        let failed = Stage::Failed("x".into());
        for other in [Stage::Pending, Stage::Sent, Stage::Delivered, Stage::Read, failed] {
            assert_eq!(held.partial_cmp(&other), None);
        }
    }

    #[test]
    fn only_version_seven_names_a_message() {
        let id = MessageId::generate();
        assert_eq!(id.to_string().parse::<MessageId>().unwrap(), id);
        assert!(MessageId::from_slice(&[0; 16]).is_err());
        assert!(MessageId::from_slice(&[0x77; 15]).is_err());
        assert!("67e55044-10b1-426f-9247-bb680e5fe0c8".parse::<MessageId>().is_err());
    }
}
