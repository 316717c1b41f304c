//! What a command answers.

use crate::command::MalformedCommand;
use bytes::Bytes;
use prost::Message as _;
use telegraph_proto::account::AccountId;
use telegraph_proto::identity as proto;
use telegraph_proto::identity::rejected::Reason as WireReason;
use telegraph_proto::identity::reply::Reply as Wire;

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The account exists.
    Registered {
        /// Its id.
        account_id: AccountId,
        /// True when it had been registered before, by the same key under the same name.
        repeated: bool,
    },
    /// The session exists.
    SessionCreated {
        /// When it ends by itself, in log time, milliseconds since 1970.
        expires_unix_ms: u64,
        /// Sessions of other devices that it ended.
        ended_sessions: u32,
    },
    /// It was done.
    Done,
    /// Presence changed, of some.
    PresenceChanged {
        /// Transitions that were made.
        applied: u32,
        /// Transitions that came too late, or were nobody's.
        refused: u32,
    },
    /// It was refused, and nothing changed.
    Rejected(Rejection),
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Rejection {
    /// What the proposer can act on.
    pub reason: Reason,
    /// What a person can read.
    pub detail: String,
}

impl Rejection {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Rejection {
        Rejection { reason, detail: detail.into() }
    }
}

impl From<MalformedCommand> for Rejection {
    fn from(error: MalformedCommand) -> Rejection {
        Rejection::new(Reason::Malformed, error.to_string())
    }
}

/// Why a command was refused, by what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Another key holds the name.
    UsernameTaken,
    /// No such account, or none any more.
    UnknownAccount,
    /// The password was changed since it was checked.
    StaleCredential,
    /// No such session, or none that is live.
    UnknownSession,
    /// The statement's sequence is not above the last one.
    StaleSequence,
    /// The statement is not believed.
    BadStatement,
    /// The presence change was decided by a leader of another term.
    StaleTerm,
    /// The account has as many live sessions as it may.
    TooManySessions,
    /// Not a command, or one with a part out of its bounds.
    Malformed,
    /// The name belonged to an account that was deleted.
    UsernameRetired,
    /// The key holds another name, or held one.
    KeyInUse,
}

/// Every reason with its number on the wire.
const REASONS: [(Reason, WireReason); 11] = [
    (Reason::UsernameTaken, WireReason::UsernameTaken),
    (Reason::UnknownAccount, WireReason::UnknownAccount),
    (Reason::StaleCredential, WireReason::StaleCredential),
    (Reason::UnknownSession, WireReason::UnknownSession),
    (Reason::StaleSequence, WireReason::StaleSequence),
    (Reason::BadStatement, WireReason::BadStatement),
    (Reason::StaleTerm, WireReason::StaleTerm),
    (Reason::TooManySessions, WireReason::TooManySessions),
    (Reason::Malformed, WireReason::Malformed),
    (Reason::UsernameRetired, WireReason::UsernameRetired),
    (Reason::KeyInUse, WireReason::KeyInUse),
];

/// Bytes that are no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a reply: {0}")]
pub struct MalformedReply(&'static str);

impl Reply {
    /// The bytes that go back to the proposer.
    pub fn encode(&self) -> Bytes {
        let wire = match self {
            Reply::Registered { account_id, repeated } => Wire::Registered(proto::Registered {
                account_id: account_id.as_bytes().to_vec(),
                repeated: *repeated,
            }),
            Reply::SessionCreated { expires_unix_ms, ended_sessions } => {
                Wire::SessionCreated(proto::SessionCreated {
                    expires_unix_ms: *expires_unix_ms,
                    ended_sessions: *ended_sessions,
                })
            }
            Reply::Done => Wire::Done(proto::Done {}),
            Reply::PresenceChanged { applied, refused } => {
                Wire::PresenceChanged(proto::PresenceChanged {
                    applied: *applied,
                    refused: *refused,
                })
            }
            Reply::Rejected(rejection) => {
                let known = REASONS.iter().find(|(reason, _)| *reason == rejection.reason);
                let reason = known.map_or(WireReason::Unspecified, |(_, wire)| *wire);
                assert!(reason != WireReason::Unspecified, "every reason has its number");
                Wire::Rejected(proto::Rejected {
                    reason: reason.into(),
                    detail: rejection.detail.clone(),
                })
            }
        };
        proto::Reply { reply: Some(wire) }.encode_to_vec().into()
    }

    /// Reads what [`encode`](Reply::encode) made. Fails on anything else.
    pub fn decode(bytes: &[u8]) -> Result<Reply, MalformedReply> {
        let wire = proto::Reply::decode(bytes).map_err(|_| MalformedReply("it does not decode"))?;
        Ok(match wire.reply.ok_or(MalformedReply("it is empty"))? {
            Wire::Registered(wire) => Reply::Registered {
                account_id: AccountId::from_slice(&wire.account_id)
                    .map_err(|_| MalformedReply("an account id has 32 bytes"))?,
                repeated: wire.repeated,
            },
            Wire::SessionCreated(wire) => Reply::SessionCreated {
                expires_unix_ms: wire.expires_unix_ms,
                ended_sessions: wire.ended_sessions,
            },
            Wire::Done(_) => Reply::Done,
            Wire::PresenceChanged(wire) => {
                Reply::PresenceChanged { applied: wire.applied, refused: wire.refused }
            }
            Wire::Rejected(wire) => {
                let known = REASONS.iter().find(|(_, number)| i32::from(*number) == wire.reason);
                let (reason, _) = known.ok_or(MalformedReply("its reason is not known"))?;
                Reply::Rejected(Rejection { reason: *reason, detail: wire.detail })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reply_survives_its_bytes() {
        let account_id = AccountId::from_slice(&[7; 32]).unwrap();
        let mut replies = vec![
            Reply::Registered { account_id, repeated: true },
            Reply::SessionCreated { expires_unix_ms: 8, ended_sessions: 9 },
            Reply::Done,
            Reply::PresenceChanged { applied: 1, refused: 2 },
        ];
        let rejected = REASONS.iter().map(|(reason, _)| Rejection::new(*reason, "why"));
        replies.extend(rejected.map(Reply::Rejected));
        for reply in replies {
            assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for bad in [vec![], vec![0xff], vec![0x0a, 0], vec![0x22, 0], vec![0x22, 2, 8, 99]] {
            assert!(Reply::decode(&bad).is_err(), "{bad:?}");
        }
    }
}
