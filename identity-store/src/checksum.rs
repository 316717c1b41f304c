//! Whether a view lost something.
//!
//! A batch is atomic, but damage in the middle of a file may still take one write away and leave
//! those after it. So every batch carries along a sum over everything that is then in the tree: a
//! record that is missing, or older than it should be, no longer adds up.

use crate::error::StoreError;
use crate::key_values::{Changes, KeyValues, for_each};
use crate::keys::{self, Range};
use sha2::{Digest as _, Sha256};

/// Adds to `changes` what the sum will be once they are made to `state`, and shows `see` what each
/// changed key holds until then.
pub(crate) fn seal(
    state: &dyn KeyValues,
    changes: &mut Changes,
    mut see: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut sum = stored(state)?;
    for (key, value) in changes.iter() {
        let before = state.get(key)?;
        see(key, before.as_deref())?;
        if let Some(before) = before {
            sum = sum.wrapping_sub(term(key, &before));
        }
        if let Some(value) = value {
            sum = sum.wrapping_add(term(key, value));
        }
    }
    changes.insert(keys::checksum(), Some(sum.to_be_bytes().to_vec()));
    Ok(())
}

/// Reads everything and adds it up. Fails with [`StoreError::Damaged`] when that is not the sum
/// that was stored with it.
pub(crate) fn verify(state: &dyn KeyValues) -> Result<(), StoreError> {
    let mut sum: u128 = 0;
    for_each(state, &Range::everything(), |key, value| {
        if key != keys::checksum() {
            sum = sum.wrapping_add(term(key, value));
        }
        Ok::<_, StoreError>(())
    })?;
    match sum == stored(state)? {
        true => Ok(()),
        false => Err(StoreError::Damaged("it lost something")),
    }
}

fn stored(state: &dyn KeyValues) -> Result<u128, StoreError> {
    let Some(bytes) = state.get(&keys::checksum())? else { return Ok(0) };
    let bytes = <[u8; 16]>::try_from(bytes.as_slice());
    bytes.map(u128::from_be_bytes).map_err(|_| StoreError::Damaged("its checksum"))
}

/// What a pair adds to the sum. Half of a SHA-256: against accidents, not against whoever can
/// write to the disk.
fn term(key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = Sha256::new();
    let length = u64::try_from(key.len()).unwrap_or(u64::MAX);
    hasher.update(length.to_be_bytes());
    hasher.update(key);
    hasher.update(value);
    let hash: [u8; 32] = hasher.finalize().into();
    let (half, _) = hash.split_first_chunk::<16>().expect("32 bytes have a first half");
    u128::from_be_bytes(*half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_values::Target as _;
    use std::collections::BTreeMap;

    #[test]
    fn a_sum_follows_every_change_and_misses_none() {
        let mut state = BTreeMap::new();
        verify(&state).unwrap();
        for n in 0..40_u8 {
            let mut changes = Changes::from([
                (vec![2, n % 7], Some(vec![n])),
                (vec![3, n % 5], (n % 3 == 0).then(|| vec![n; 9])),
                (vec![0], Some(vec![n])),
            ]);
            seal(&state, &mut changes, |_, _| Ok(())).unwrap();
            state.write(changes).unwrap();
            verify(&state).unwrap();
        }
        let keys: Vec<Vec<u8>> = state.keys().cloned().collect();
        for key in keys {
            let mut lost = state.clone();
            lost.remove(&key);
            assert!(verify(&lost).is_err(), "{key:?} is gone");
            let mut older = state.clone();
            older.insert(key.clone(), vec![99]);
            assert!(verify(&older).is_err(), "{key:?} is another");
        }
    }
}
