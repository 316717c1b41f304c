//! How typed commands, replies and states become bytes.
//!
//! The encoding is postcard's, a compact serde format with a published and frozen specification.
//! It does not describe itself: what is read must be of the type that was written. A variant may
//! be added at the end of an enum; any other change of a type is another version of it
//! ([`StateMachine::VERSION`](crate::StateMachine::VERSION)).

use std::io::Write;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A value that has no encoding: its own `Serialize` refused, or a sequence of unknown length.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("it cannot be encoded: {0}")]
pub struct Unencodable(String);

/// Bytes that are no value of the type asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("it cannot be decoded: {0}")]
pub struct Undecodable(String);

impl Undecodable {
    /// Says in words what is wrong with the bytes.
    pub fn new(why: impl Into<String>) -> Undecodable {
        Undecodable(why.into())
    }
}

/// A value's bytes. Equal values give equal bytes if their collections have an order: `BTreeMap`
/// has, `HashMap` has not.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Unencodable> {
    postcard::to_stdvec(value).map_err(|error| Unencodable(error.to_string()))
}

/// The value that was encoded so; it may borrow from the bytes. Refuses bytes that are left over;
/// allocates in proportion to the bytes there are, whatever lengths they claim. Recurses as deep
/// as the value does, hence no recursive type should be read from bytes of somebody who is not
/// trusted.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Undecodable> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(Undecodable(format!("{} bytes are left over", rest.len()))),
        Err(error) => Err(Undecodable(error.to_string())),
    }
}

/// Writes a value's bytes out as they arise, so that they need no memory.
pub(crate) fn encode_to<T: Serialize>(value: &T, to: impl Write) -> Result<(), Unencodable> {
    postcard::to_io(value, to).map(drop).map_err(|error| Unencodable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_pinned() {
        let value = (300_u32, "héllo".to_owned(), Some(-1_i64), vec![1_u8, 2]);
        let bytes = encode(&value).unwrap();
        assert_eq!(hex::encode(&bytes), "ac020668c3a96c6c6f0101020102");
        assert_eq!(decode::<(u32, String, Option<i64>, Vec<u8>)>(&bytes).unwrap(), value);
        let mut written = Vec::new();
        encode_to(&value, &mut written).unwrap();
        assert_eq!(written, bytes);
    }

    #[test]
    fn other_bytes_are_refused_and_their_claims_not_believed() {
        assert!(decode::<u32>(&[]).is_err());
        assert!(decode::<u32>(&[1, 2]).unwrap_err().to_string().contains("left over"));
        // A vector that claims four thousand million elements.
        assert!(decode::<Vec<u64>>(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]).is_err());
        assert!(decode::<String>(&[2, 0xc3, 0x28]).is_err());
    }
}
