//! A profile's secrets at rest: what is in `vault.json`, and the keys that open it.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use serde::{Deserialize, Serialize};
use telegraph_proto::rest::{Base64, Secret};
use zeroize::Zeroizing;

/// Version of `vault.json` this program writes and reads.
const VERSION: u32 = 1;
/// Bytes of an XChaCha20 nonce: long enough to be drawn at random.
const NONCE_BYTES: usize = 24;

/// A key of 32 bytes, wiped when dropped.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// Why the vault does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Another key than the one it was sealed under, or changed bytes: the two look alike.
    #[error("it was sealed under another key")]
    WrongKey,
    /// Written by a newer program.
    #[error("it is of version {0}, this program reads {VERSION}")]
    Version(u32),
    /// Every number a statement can have was used.
    #[error("there is no number left for another statement")]
    NoNumber,
    /// The system has no randomness, or the cipher refuses.
    #[error("the system gave no random bytes")]
    Random,
}

/// `vault.json`.
///
/// - The *data key* is random and made once; it seals the message store and the session's token, so
///   that a new password changes one small file and not every message.
/// - The data key is sealed twice: under the store key of the password (the everyday way), and
///   under a key of the account, so that a password changed on another device does not lock the
///   history.
/// - The account's secret key lies here as the managers have it, sealed under the password and
///   under the recovery code.
/// - Nothing here is readable without the password.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vault {
    version: u32,
    data_key_by_password: Base64,
    data_key_by_account: Base64,
    /// As registered, or as re-sealed by the last password change.
    pub(crate) sealed_by_password: Base64,
    /// As registered.
    pub(crate) sealed_by_recovery_code: Base64,
    /// No statement of this profile has a higher number: what is signed is reserved here first.
    pub(crate) sequence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<Base64>,
    /// The recovery code, until the managers have confirmed the registration: a registration whose
    /// answer was lost is repeated with the very same keys and code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unconfirmed_code: Option<Base64>,
}

impl Vault {
    /// A vault for an account, with a new data key. Fails without randomness.
    pub(crate) fn create(
        store_key: &[u8; 32],
        account_key: &[u8; 32],
        sealed_by_password: Base64,
        sealed_by_recovery_code: Base64,
    ) -> Result<(Self, Key), VaultError> {
        let mut data_key = Key::default();
        getrandom::fill(data_key.as_mut_slice()).map_err(|_| VaultError::Random)?;
        let vault = Self {
            version: VERSION,
            data_key_by_password: seal(store_key, "data-key/password", data_key.as_slice())?,
            data_key_by_account: seal(account_key, "data-key/account", data_key.as_slice())?,
            sealed_by_password,
            sealed_by_recovery_code,
            sequence: 0,
            token: None,
            unconfirmed_code: None,
        };
        Ok((vault, data_key))
    }

    /// The data key, for who knows the password. Fails with [`VaultError::WrongKey`].
    pub(crate) fn open_by_password(&self, store_key: &[u8; 32]) -> Result<Key, VaultError> {
        self.readable()?;
        to_key(open(store_key, "data-key/password", &self.data_key_by_password)?)
    }

    /// The data key, for who has the account's key. Fails with [`VaultError::WrongKey`].
    pub(crate) fn open_by_account(&self, account_key: &[u8; 32]) -> Result<Key, VaultError> {
        self.readable()?;
        to_key(open(account_key, "data-key/account", &self.data_key_by_account)?)
    }

    /// Puts a new password in the place of the old one.
    pub(crate) fn reseal(
        &mut self,
        store_key: &[u8; 32],
        data_key: &Key,
        sealed_by_password: Base64,
    ) -> Result<(), VaultError> {
        self.data_key_by_password = seal(store_key, "data-key/password", data_key.as_slice())?;
        self.sealed_by_password = sealed_by_password;
        Ok(())
    }

    /// The session's token, if there is a session.
    pub(crate) fn token(&self, data_key: &Key) -> Result<Option<Secret>, VaultError> {
        let Some(sealed) = &self.token else { return Ok(None) };
        let text = open(data_key, "token", sealed)?;
        let text = std::str::from_utf8(&text).map_err(|_| VaultError::WrongKey)?;
        Ok(Some(Secret(text.to_owned())))
    }

    /// True when there is a session, for who cannot open the token.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Keeps the session's token, or forgets it.
    pub(crate) fn set_token(
        &mut self,
        data_key: &Key,
        token: Option<&Secret>,
    ) -> Result<(), VaultError> {
        self.token = match token {
            Some(Secret(text)) => Some(seal(data_key, "token", text.as_bytes())?),
            None => None,
        };
        Ok(())
    }

    /// Keeps the recovery code until [`Vault::confirm`].
    pub(crate) fn set_unconfirmed(&mut self, data_key: &Key, code: &str) -> Result<(), VaultError> {
        self.unconfirmed_code = Some(seal(data_key, "recovery-code", code.as_bytes())?);
        Ok(())
    }

    /// True while the managers have not confirmed the registration.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.unconfirmed_code.is_some()
    }

    /// The recovery code of a registration that is not confirmed yet.
    pub(crate) fn unconfirmed_code(
        &self,
        data_key: &Key,
    ) -> Result<Option<Zeroizing<String>>, VaultError> {
        let Some(sealed) = &self.unconfirmed_code else { return Ok(None) };
        let text = open(data_key, "recovery-code", sealed)?;
        let text = std::str::from_utf8(&text).map_err(|_| VaultError::WrongKey)?;
        Ok(Some(Zeroizing::new(text.to_owned())))
    }

    /// The registration is confirmed: the code is forgotten here.
    pub(crate) fn confirm(&mut self) {
        self.unconfirmed_code = None;
    }

    fn readable(&self) -> Result<(), VaultError> {
        if self.version == VERSION { Ok(()) } else { Err(VaultError::Version(self.version)) }
    }
}

fn to_key(bytes: Zeroizing<Vec<u8>>) -> Result<Key, VaultError> {
    let mut key = Key::default();
    if bytes.len() != key.len() {
        return Err(VaultError::WrongKey);
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}

/// `nonce | XChaCha20-Poly1305(key, nonce, purpose, plain)`.
fn seal(key: &[u8; 32], purpose: &str, plain: &[u8]) -> Result<Base64, VaultError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|_| VaultError::Random)?;
    let payload = Payload { msg: plain, aad: purpose.as_bytes() };
    let sealed = XChaCha20Poly1305::new(key.into())
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| VaultError::Random)?;
    Ok(Base64([nonce.as_slice(), &sealed].concat()))
}

fn open(key: &[u8; 32], purpose: &str, sealed: &Base64) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let (nonce, sealed) =
        sealed.0.split_first_chunk::<NONCE_BYTES>().ok_or(VaultError::WrongKey)?;
    let payload = Payload { msg: sealed, aad: purpose.as_bytes() };
    XChaCha20Poly1305::new(key.into())
        .decrypt(&XNonce::from(*nonce), payload)
        .map(Zeroizing::new)
        .map_err(|_| VaultError::WrongKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: [u8; 32] = [1; 32];
    const ACCOUNT: [u8; 32] = [2; 32];

    fn vault() -> (Vault, Key) {
        Vault::create(&PASSWORD, &ACCOUNT, Base64(vec![3]), Base64(vec![4])).unwrap()
    }

    #[test]
    fn either_key_opens_the_vault_and_no_other_does() {
        let (vault, key) = vault();
        assert_eq!(vault.open_by_password(&PASSWORD).unwrap(), key);
        assert_eq!(vault.open_by_account(&ACCOUNT).unwrap(), key);
        assert_eq!(vault.open_by_password(&ACCOUNT), Err(VaultError::WrongKey));
        assert_eq!(vault.open_by_account(&PASSWORD), Err(VaultError::WrongKey));
    }

    #[test]
    fn a_new_password_opens_the_same_data_and_the_old_one_nothing() {
        let (mut vault, key) = vault();
        vault.reseal(&[9; 32], &key, Base64(vec![5])).unwrap();
        assert_eq!(vault.open_by_password(&[9; 32]).unwrap(), key);
        assert_eq!(vault.open_by_password(&PASSWORD), Err(VaultError::WrongKey));
    }

    #[test]
    fn the_token_is_not_readable_in_the_file() {
        let (mut vault, key) = vault();
        let token = Secret("tg_canary".into());
        vault.set_token(&key, Some(&token)).unwrap();
        let json = serde_json::to_string(&vault).unwrap();
        assert!(!json.contains("canary"), "{json}");
        let back: Vault = serde_json::from_str(&json).unwrap();
        assert_eq!(back.token(&key).unwrap(), Some(token));
        assert_eq!(back.token(&[8; 32].into()), Err(VaultError::WrongKey));
    }

    #[test]
    fn every_changed_or_missing_byte_is_refused() {
        let (vault, _) = vault();
        let good = vault.data_key_by_password.0.clone();
        for at in 0..good.len() {
            let mut changed = vault.clone();
            changed.data_key_by_password.0[at] ^= 1;
            assert_eq!(changed.open_by_password(&PASSWORD), Err(VaultError::WrongKey), "{at}");
            changed.data_key_by_password.0.truncate(at);
            assert_eq!(changed.open_by_password(&PASSWORD), Err(VaultError::WrongKey), "{at}");
        }
    }

    #[test]
    fn a_part_cannot_stand_in_for_another() {
        let (mut vault, key) = vault();
        vault.token = Some(seal(&key, "data-key/password", b"tg_").unwrap());
        assert_eq!(vault.token(&key), Err(VaultError::WrongKey));
    }
}
