//! One hash over the whole state, for comparing replicas.

use crate::error::StoreError;
use crate::key_values::{KeyValues, for_each};
use crate::keys::Range;
use sha2::{Digest as _, Sha256};

/// SHA-256 over the state's keys and values in the order of the keys, each behind its length in 4
/// bytes, big-endian. The engine's records and the indexes are no part of it.
#[derive(Default)]
pub(crate) struct Digest(Sha256);

impl Digest {
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        for part in [key, value] {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            self.0.update(length.to_be_bytes());
            self.0.update(part);
        }
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The digest of a state that does not change meanwhile.
pub(crate) fn digest(state: &dyn KeyValues) -> Result<[u8; 32], StoreError> {
    let mut digest = Digest::default();
    for_each(state, &Range::state(), |key, value| {
        digest.add(key, value);
        Ok::<_, StoreError>(())
    })?;
    Ok(digest.finish())
}
