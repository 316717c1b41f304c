//! The table of sessions as the engine's records: one of each session, one of each kept reply.
//!
//! | key | value |
//! |---|---|
//! | `session/`, client id (16 bytes) | an encoded `SessionState` without client id and replies |
//! | `reply/`, client id, sequence (8 bytes, big-endian) | an encoded `SessionReply` without it |

use bytes::Bytes;
use prost::Message as _;
use telegraph_proto::raft as proto;

use crate::engine::wire::{Misshapen, read_position, wire_position};
use crate::position::Position;

/// Whose session it is: chosen by the client.
pub(crate) type ClientId = [u8; 16];

/// A record's key and its new value, if it stays.
type Change = (Vec<u8>, Option<Vec<u8>>);

const SESSION: &[u8] = b"session/";
const REPLY: &[u8] = b"reply/";

/// What is known of a session besides its replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Log time of its last command.
    pub(crate) last_used_unix_ms: u64,
    /// Replies below this number were forgotten; never 0.
    pub(crate) lowest_unacknowledged: u64,
}

/// What a command was answered the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptReply {
    /// Its number in its session; never 0.
    pub(crate) sequence: u64,
    /// Where it was applied.
    pub(crate) position: Position,
    /// The reply; `None` if it was too long.
    pub(crate) reply: Option<Bytes>,
}

/// A record, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A session.
    Head(ClientId, Head),
    /// A reply.
    Reply(ClientId, KeptReply),
}

/// A session's record, or that it has none any more.
pub(crate) fn head(client: ClientId, head: Option<&Head>) -> Change {
    let value = head.map(|head| {
        let state = proto::SessionState {
            last_used_unix_ms: head.last_used_unix_ms,
            lowest_unacknowledged: head.lowest_unacknowledged,
            ..proto::SessionState::default()
        };
        state.encode_to_vec()
    });
    ([SESSION, &client].concat(), value)
}

/// A reply's record.
pub(crate) fn reply(client: ClientId, kept: &KeptReply) -> Change {
    let value = proto::SessionReply { sequence: 0, ..wire_reply(kept) };
    (reply_key(client, kept.sequence), Some(value.encode_to_vec()))
}

/// That a reply has no record any more.
pub(crate) fn no_reply(client: ClientId, sequence: u64) -> Change {
    (reply_key(client, sequence), None)
}

/// Reads a record; `None` if it is none of a session.
pub(crate) fn parse(key: &[u8], value: &[u8]) -> Result<Option<Parsed>, Misshapen> {
    if let Some(client) = key.strip_prefix(SESSION) {
        let state = proto::SessionState::decode(value)?;
        return Ok(Some(Parsed::Head(client_id(client)?, read_head(&state)?)));
    }
    let Some(rest) = key.strip_prefix(REPLY) else { return Ok(None) };
    let Some((client, sequence)) = rest.split_at_checked(16) else {
        return Err(Misshapen("a reply's key is too short".into()));
    };
    let sequence = <[u8; 8]>::try_from(sequence)
        .map_err(|_| Misshapen("a reply's key has the wrong length".into()))?;
    let wire = proto::SessionReply::decode(value)?;
    let wire = proto::SessionReply { sequence: u64::from_be_bytes(sequence), ..wire };
    Ok(Some(Parsed::Reply(client_id(client)?, read_reply(wire)?)))
}

/// A client id as it came.
pub(crate) fn client_id(bytes: &[u8]) -> Result<ClientId, Misshapen> {
    bytes.try_into().map_err(|_| Misshapen("a client id is not 16 bytes".into()))
}

/// A session as it came, without its replies.
pub(crate) fn read_head(wire: &proto::SessionState) -> Result<Head, Misshapen> {
    if wire.lowest_unacknowledged == 0 {
        return Err(Misshapen("a session's lowest sequence is 0".into()));
    }
    Ok(Head {
        last_used_unix_ms: wire.last_used_unix_ms,
        lowest_unacknowledged: wire.lowest_unacknowledged,
    })
}

/// A reply as it travels.
pub(crate) fn wire_reply(kept: &KeptReply) -> proto::SessionReply {
    proto::SessionReply {
        sequence: kept.sequence,
        position: Some(wire_position(kept.position)),
        reply: kept.reply.clone().unwrap_or_default(),
        omitted: kept.reply.is_none(),
    }
}

/// A reply as it came.
pub(crate) fn read_reply(wire: proto::SessionReply) -> Result<KeptReply, Misshapen> {
    let Some(position) = wire.position else {
        return Err(Misshapen("a reply has no position".into()));
    };
    if wire.sequence == 0 {
        return Err(Misshapen("a reply has no sequence".into()));
    }
    let reply = if wire.omitted { None } else { Some(Bytes::copy_from_slice(&wire.reply)) };
    Ok(KeptReply { sequence: wire.sequence, position: read_position(position), reply })
}

fn reply_key(client: ClientId, sequence: u64) -> Vec<u8> {
    [REPLY, &client, &sequence.to_be_bytes()].concat()
}
