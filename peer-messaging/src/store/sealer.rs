//! What stands between values and the disk.

use crate::{
    cipher::{self, CipherError, Key, subkey},
    store::table::Table,
};
use hkdf::hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a hashed key: no two names of one store meet by chance.
pub(crate) const HASH_BYTES: usize = 16;

/// Seals values and hashes names, under two keys that come from the store key.
///
/// - A value opens only in the table and under the key it was sealed for: rows cannot be exchanged.
///   That an old value is put back in its own place is not noticed.
pub(crate) struct Sealer {
    values: Key,
    names: Key,
}

impl Sealer {
    pub(crate) fn new(store_key: &[u8; 32]) -> Self {
        Self {
            values: subkey(store_key, "telegraph/store/v1 values"),
            names: subkey(store_key, "telegraph/store/v1 names"),
        }
    }

    pub(crate) fn seal(
        &self,
        table: Table,
        key: &[u8],
        plain: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        cipher::seal(&self.values, &about(table, key), plain)
    }

    pub(crate) fn open(
        &self,
        table: Table,
        key: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CipherError> {
        cipher::open(&self.values, &about(table, key), sealed)
    }

    /// HMAC-SHA256 of parts that are told apart, cut to 16 bytes.
    pub(crate) fn hash(&self, kind: &str, parts: &[&[u8]]) -> [u8; HASH_BYTES] {
        let mut hmac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.names.as_slice())
            .expect("HMAC takes keys of any length");
        for part in [kind.as_bytes()].iter().chain(parts) {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            hmac.update(&length.to_be_bytes());
            hmac.update(part);
        }
        let hash: [u8; 32] = hmac.finalize().into_bytes().into();
        let mut cut = [0; HASH_BYTES];
        cut.copy_from_slice(&hash[..HASH_BYTES]);
        cut
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

fn about(table: Table, key: &[u8]) -> Vec<u8> {
    [table.name().as_bytes(), b"\0", key].concat()
}
