//! The table of sessions at the beginning of a snapshot: an encoded `SessionTable`.

use std::io::{self, Read, Write};

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use telegraph_proto::raft as proto;

use super::record::{client_id, read_head, read_reply, wire_reply};
use super::{Kept, Session, Sessions};
use crate::engine::sessions::limits::LIMITS;
use crate::engine::sessions::record::ClientId;
use crate::engine::wire::Misshapen;

/// Number of `SessionTable.sessions`.
const SESSIONS_FIELD: u32 = 1;

/// The most bytes an encoded table can have: every session and every reply at its longest, with 64
/// bytes of names and numbers around each.
pub(crate) const TABLE_MAX_BYTES: u64 =
    (LIMITS.sessions * 64 + LIMITS.replies * (LIMITS.reply_bytes + 64)) as u64;

impl Sessions {
    /// Bytes of the encoded table; 0 when no session is open.
    pub(crate) fn encoded_len(&self) -> u64 {
        let lengths = self.open.iter().map(|(client, session)| {
            let mut front = Vec::new();
            let length = wire_session(client, session).encoded_len() as u64;
            put_front(length, &mut front);
            length + front.len() as u64
        });
        lengths.sum()
    }

    /// Writes the encoded table, one session after the other.
    pub(crate) fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (client, session) in &self.open {
            bytes.clear();
            let wire = wire_session(client, session);
            put_front(wire.encoded_len() as u64, &mut bytes);
            bytes.extend(wire.encode_to_vec());
            to.write_all(&bytes)?;
        }
        Ok(())
    }

    /// Reads an encoded table of so many bytes. Fails with `InvalidData` on anything that is none.
    pub(crate) fn load(from: &mut dyn Read, length: u64) -> io::Result<Sessions> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        if length > TABLE_MAX_BYTES {
            return Err(invalid(Misshapen("the table of sessions is too long".into())));
        }
        let mut bytes = Vec::new();
        from.take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let table = proto::SessionTable::decode(bytes.as_slice());
        table.map_err(Misshapen::from).and_then(read_table).map_err(invalid)
    }
}

fn put_front(length: u64, to: &mut Vec<u8>) {
    encode_key(SESSIONS_FIELD, WireType::LengthDelimited, to);
    encode_varint(length, to);
}

fn wire_session(client: &ClientId, session: &Session) -> proto::SessionState {
    let replies = session.replies.iter().map(|kept: &Kept| wire_reply(&kept.as_record()));
    proto::SessionState {
        client_id: client.to_vec().into(),
        last_used_unix_ms: session.head.last_used_unix_ms,
        lowest_unacknowledged: session.head.lowest_unacknowledged,
        replies: replies.collect(),
    }
}

fn read_table(table: proto::SessionTable) -> Result<Sessions, Misshapen> {
    let mut sessions = Sessions::default();
    for state in table.sessions {
        let client = client_id(&state.client_id)?;
        sessions.insert(client, read_head(&state)?)?;
        for reply in state.replies {
            sessions.insert_reply(client, read_reply(reply)?)?;
        }
    }
    Ok(sessions)
}
