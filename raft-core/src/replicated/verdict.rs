//! What a typed machine answers to a command, as bytes.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, Undecodable};

/// The first byte of an answer: the machine's reply follows.
const REPLY: u8 = 0;

/// ... or: the command could not be decoded. Nothing follows: answers may be kept and compared, so
/// that they must not depend on how a build words its errors.
const UNDECODABLE: u8 = 1;

/// ... or: the command was carried out, and its reply has no encoding. Nothing follows.
const UNENCODABLE: u8 = 2;

/// What became of a command in a typed machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<R> {
    /// It was carried out.
    Reply(R),
    /// It was no command, and changed nothing.
    Undecodable,
    /// It was carried out, and what it replied is lost.
    Unencodable,
}

impl<R: Serialize> Verdict<R> {
    /// The verdict's bytes. A reply that has no encoding is said to have none.
    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Verdict::Reply(reply) => match codec::encode(reply) {
                Ok(body) => [&[REPLY], body.as_slice()].concat().into(),
                Err(_) => Bytes::from_static(&[UNENCODABLE]),
            },
            Verdict::Undecodable => Bytes::from_static(&[UNDECODABLE]),
            Verdict::Unencodable => Bytes::from_static(&[UNENCODABLE]),
        }
    }
}

impl<R: DeserializeOwned> Verdict<R> {
    /// Reads a verdict.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Verdict<R>, Undecodable> {
        match bytes.split_first() {
            Some((&REPLY, body)) => Ok(Verdict::Reply(codec::decode(body)?)),
            Some((&UNDECODABLE, [])) => Ok(Verdict::Undecodable),
            Some((&UNENCODABLE, [])) => Ok(Verdict::Unencodable),
            Some((kind, _)) => Err(Undecodable::new(format!("an answer of kind {kind}"))),
            None => Err(Undecodable::new("an empty answer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_pinned_byte_for_byte() {
        let pinned: [(Verdict<u64>, &[u8]); 3] = [
            (Verdict::Reply(300), &[0, 0xac, 2]),
            (Verdict::Undecodable, &[1]),
            (Verdict::Unencodable, &[2]),
        ];
        for (verdict, bytes) in pinned {
            assert_eq!(verdict.encode().as_ref(), bytes);
            assert_eq!(Verdict::decode(bytes).unwrap(), verdict);
        }
    }

    #[test]
    fn what_is_no_verdict_is_an_error() {
        for bytes in [&[][..], &[3], &[0], &[0, 1, 1], &[1, 1], &[2, 0]] {
            assert!(Verdict::<u64>::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
