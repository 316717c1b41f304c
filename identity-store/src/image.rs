//! The whole state as a stream of bytes: what a snapshot contains. A disk format.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `TGACCTS` and a zero |
//! | 4 | format, big-endian |
//! | 16 | cluster id |
//! | … | for each key of the state, in order: 1, length of the key (2), of the value (4), both |
//! | 1 | 0: that was all |
//! | 8 | number of keys |
//! | 32 | digest of the state |
//!
//! The indexes are not in it: importing makes them again, so that they cannot contradict it.

use crate::account::Holder;
use crate::digest::Digest;
use crate::directory::Directory;
use crate::error::{ImageError, StoreError};
use crate::key_values::{KeyValues, Pair, Target, for_each};
use crate::keys::{self, Range};
use crate::lookup::decode_clock;
use crate::record::{decode_holder, decode_session, encode_holder, encode_session};
use crate::session::MAX_KEPT;
use std::io::{BufReader, BufWriter, Read, Write};

const MAGIC: [u8; 8] = *b"TGACCTS\0";
const FORMAT: u32 = 1;
const PAIR: u8 = 1;
const END: u8 = 0;

/// Longest key of the state: a prefix and a hash.
const MAX_KEY: usize = 33;
/// Most bytes of a value: the largest account is below 16 KiB.
const MAX_VALUE: usize = 64 << 10;
/// Pairs imported with one write: at most 16 MiB in memory, in practice far below 1 MiB.
const CHUNK: usize = 256;

/// Writes an image of a state that does not change meanwhile. Equal states have equal images.
pub(crate) fn export(
    state: &dyn KeyValues,
    cluster_id: &[u8; 16],
    to: &mut dyn Write,
) -> Result<(), StoreError> {
    let mut to = BufWriter::new(to);
    let mut put = |parts: &[&[u8]]| -> Result<(), ImageError> {
        Ok(parts.iter().try_for_each(|part| to.write_all(part))?)
    };
    put(&[&MAGIC, &FORMAT.to_be_bytes(), cluster_id])?;
    let mut digest = Digest::default();
    let mut count: u64 = 0;
    for_each(state, &Range::state(), |key, value| {
        let malformed = |_| StoreError::Damaged("a record is too large");
        let key_length = u16::try_from(key.len()).map_err(malformed)?;
        let value_length = u32::try_from(value.len()).map_err(malformed)?;
        let lengths = (&key_length.to_be_bytes(), &value_length.to_be_bytes());
        put(&[&[PAIR], lengths.0, lengths.1, key, value])?;
        digest.add(key, value);
        count = count.saturating_add(1);
        Ok::<_, StoreError>(())
    })?;
    put(&[&[END], &count.to_be_bytes(), &digest.finish()])?;
    to.flush().map_err(ImageError::from)?;
    Ok(())
}

/// Builds up in an empty `target` what an image holds. Fails, with part of it written, when the
/// image is not one that [`export`] can have written for this cluster: whoever calls throws the
/// target away then.
pub(crate) fn import(
    target: &mut dyn Target,
    cluster_id: &[u8; 16],
    from: &mut dyn Read,
) -> Result<(), StoreError> {
    let mut from = BufReader::new(from);
    read_head(&mut from, cluster_id)?;
    let mut digest = Digest::default();
    let mut count: u64 = 0;
    let mut last: Option<Vec<u8>> = None;
    let mut chunk: Vec<Pair> = Vec::with_capacity(CHUNK);
    while let Some((key, value)) = read_pair(&mut from)? {
        if last.as_ref().is_some_and(|last| *last >= key) {
            return Err(malformed("its keys are not in order"));
        }
        digest.add(&key, &value);
        count = count.saturating_add(1);
        last = Some(key.clone());
        chunk.push((key, value));
        if chunk.len() == CHUNK {
            adopt(target, &chunk)?;
            chunk.clear();
        }
    }
    adopt(target, &chunk)?;
    if u64::from_be_bytes(array(&mut from)?) != count {
        return Err(malformed("it does not have as many keys as it says"));
    }
    if array::<32>(&mut from)? != digest.finish() {
        return Err(ImageError::Checksum.into());
    }
    match from.read(&mut [0]).map_err(ImageError::from)? {
        0 => Ok(()),
        _ => Err(malformed("something follows its end")),
    }
}

fn read_head(from: &mut dyn Read, cluster_id: &[u8; 16]) -> Result<(), StoreError> {
    if array(from)? != MAGIC {
        return Err(malformed("it is no image of accounts"));
    }
    let found = u32::from_be_bytes(array(from)?);
    if found != FORMAT {
        return Err(ImageError::NewerFormat { found, known: FORMAT }.into());
    }
    if array(from)? != *cluster_id {
        return Err(ImageError::OtherCluster.into());
    }
    Ok(())
}

fn read_pair(from: &mut dyn Read) -> Result<Option<Pair>, StoreError> {
    match array(from)? {
        [END] => return Ok(None),
        [PAIR] => {}
        _ => return Err(malformed("there is neither a key nor its end")),
    }
    let key_length = usize::from(u16::from_be_bytes(array(from)?));
    let value_length = u32::from_be_bytes(array(from)?);
    let value_length = usize::try_from(value_length).unwrap_or(usize::MAX);
    if key_length > MAX_KEY || value_length > MAX_VALUE {
        return Err(malformed("a key or a value is too large"));
    }
    let mut key = vec![0; key_length];
    let mut value = vec![0; value_length];
    from.read_exact(&mut key).map_err(ImageError::from)?;
    from.read_exact(&mut value).map_err(ImageError::from)?;
    Ok(Some((key, value)))
}

fn array<const N: usize>(from: &mut dyn Read) -> Result<[u8; N], ImageError> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn malformed(what: &'static str) -> StoreError {
    ImageError::Malformed(what).into()
}

/// Takes pairs into the target, with the indexes that follow from them.
fn adopt(target: &mut dyn Target, chunk: &[Pair]) -> Result<(), StoreError> {
    let mut directory = Directory::new(&*target);
    for (key, value) in chunk {
        match key.first() {
            Some(&keys::CLOCK) => adopt_clock(&mut directory, key, value)?,
            Some(&keys::ACCOUNT) => adopt_holder(&mut directory, key, value)?,
            Some(&keys::SESSION) => adopt_session(&mut directory, key, value)?,
            _ => return Err(malformed("a key is none of the state's")),
        }
    }
    directory.accept();
    let changes = directory.into_changes();
    target.write(changes)
}

fn adopt_clock(directory: &mut Directory<'_>, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    if key != keys::clock() {
        return Err(malformed("a key is none of the state's"));
    }
    directory.set_clock(decode_clock(value).map_err(undecodable)?);
    Ok(())
}

fn adopt_holder(directory: &mut Directory<'_>, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    let holder = decode_holder(value).map_err(undecodable)?;
    let (id, username) = match &holder {
        Holder::Living(account) => (&account.account_id, &account.username),
        Holder::Retired(tombstone) => (&tombstone.account_id, &tombstone.username),
    };
    if key != keys::account(id) || encode_holder(&holder) != value {
        return Err(malformed("an account is not where it belongs, or not as it is written"));
    }
    if directory.look().id_of(username)?.is_some() {
        return Err(malformed("two accounts have one name"));
    }
    match holder {
        Holder::Living(account) => directory.put_account(&account),
        Holder::Retired(tombstone) => {
            directory.put_tombstone(tombstone);
            Ok(())
        }
    }
}

fn adopt_session(
    directory: &mut Directory<'_>,
    key: &[u8],
    value: &[u8],
) -> Result<(), StoreError> {
    let session = decode_session(value).map_err(undecodable)?;
    if key != keys::session(&session.token_hash) || encode_session(&session) != value {
        return Err(malformed("a session is not where it belongs, or not as it is written"));
    }
    let look = directory.look();
    if look.living(&session.account_id)?.is_none() {
        return Err(malformed("a session is of no account"));
    }
    if look.session_named(&session.account_id, &session.session_id)?.is_some() {
        return Err(malformed("two sessions of an account have one name"));
    }
    if look.sessions_of(&session.account_id)?.len() >= MAX_KEPT {
        return Err(malformed("an account has too many sessions"));
    }
    directory.put_session(&session)
}

/// Damage in what was read is the image's, not the view's.
fn undecodable(error: StoreError) -> StoreError {
    match error {
        StoreError::Damaged(what) => malformed(what),
        other => other,
    }
}

#[cfg(test)]
mod tests;
