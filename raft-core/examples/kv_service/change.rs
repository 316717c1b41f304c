//! What is replicated: changes of single keys, and what they answer.

use bytes::Bytes;
use raft_core::codec::{self, Undecodable, Unencodable};
use serde::{Deserialize, Serialize, Serializer};

/// A command. It borrows what it carries, so that applying it copies nothing but into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change<'a> {
    /// Gives a key a value.
    Put {
        key: &'a str,
        // The same encoding, without a look at each byte.
        #[serde(serialize_with = "as_bytes")]
        value: &'a [u8],
    },
    /// Takes a key away.
    Delete { key: &'a str },
}

impl<'a> Change<'a> {
    /// The bytes that are proposed.
    pub(crate) fn encode(&self) -> Result<Bytes, Unencodable> {
        codec::encode(self).map(Bytes::from)
    }

    /// Reads what was proposed.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Change<'a>, Undecodable> {
        codec::decode(bytes)
    }
}

fn as_bytes<S: Serializer>(value: &&[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(value)
}

/// What a change answers: one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The key was not there before.
    New = 0,
    /// The key was there before.
    Known = 1,
    /// It was no change of a form this program knows, on no member.
    Refused = 2,
}

impl Outcome {
    /// The reply's bytes.
    pub(crate) fn encode(self) -> Bytes {
        const BYTES: [u8; 3] = [0, 1, 2];
        let at = self as usize;
        Bytes::from_static(&BYTES[at..=at])
    }

    /// Reads a reply; none if it is no such thing.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Outcome> {
        match bytes {
            [0] => Some(Outcome::New),
            [1] => Some(Outcome::Known),
            [2] => Some(Outcome::Refused),
            _ => None,
        }
    }
}
