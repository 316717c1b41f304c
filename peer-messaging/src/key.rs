//! The account's secret key: who somebody is, to managers and to people.

pub(crate) mod error;

use crate::{
    cipher::{self, Key},
    key::error::KeyError,
    recovery::RecoveryCode,
};
use ed25519_dalek::SigningKey;
use std::fmt;
use telegraph_proto::{
    account::{AccountId, PublicKey},
    identity::{SignedStatement, StatementKind},
    statement,
};
use zeroize::Zeroizing;

/// First byte of a sealed key; another one is another format.
const SEALED_VERSION: u8 = 1;
/// Version and account id, in the clear ahead of the sealed secret.
const SEALED_HEAD: usize = 33;
/// An Ed25519 secret in PKCS#8 (RFC 8410 section 7) is this, and then the 32 bytes.
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// An account's Ed25519 key. It signs what the account says of itself, and is the key its owner
/// proves in TLS, so that whoever has pinned the account talks to its owner and nobody else.
///
/// - Wiped from memory when dropped; never printed.
#[derive(Clone)]
pub struct AccountKey(SigningKey);

impl AccountKey {
    /// A new key. Fails with [`KeyError::Random`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut secret = Key::default();
        cipher::random(secret.as_mut_slice())?;
        Ok(Self(SigningKey::from_bytes(&secret)))
    }

    /// What everybody may know.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::from(self.0.verifying_key())
    }

    /// Whose key this is.
    pub fn account_id(&self) -> AccountId {
        self.public_key().account_id()
    }

    /// Signs a statement about this account; `sequence` must be above all it has used.
    pub fn sign<B: prost::Message>(
        &self,
        cluster_id: [u8; 16],
        kind: StatementKind,
        sequence: u64,
        body: &B,
    ) -> SignedStatement {
        statement::sign(&self.0, cluster_id, kind, sequence, body)
    }

    /// This key, sealed under [`crate::Derived::seal_key`]: 105 bytes, for the managers to keep.
    /// Fails with [`KeyError::Random`].
    pub fn seal_by_password(&self, seal_key: &[u8; 32]) -> Result<Vec<u8>, KeyError> {
        self.seal(seal_key, "password")
    }

    /// Opens what [`AccountKey::seal_by_password`] made. Fails with [`KeyError::WrongKey`] for
    /// another password, [`KeyError::Malformed`] for other bytes.
    pub fn open_by_password(sealed: &[u8], seal_key: &[u8; 32]) -> Result<Self, KeyError> {
        Self::open(sealed, seal_key, "password")
    }

    /// This key, sealed under a recovery code. Fails with [`KeyError::Random`].
    pub fn seal_by_recovery_code(&self, code: &RecoveryCode) -> Result<Vec<u8>, KeyError> {
        self.seal(&code.seal_key(), "recovery-code")
    }

    /// Opens what [`AccountKey::seal_by_recovery_code`] made. Fails as
    /// [`AccountKey::open_by_password`] does.
    pub fn open_by_recovery_code(sealed: &[u8], code: &RecoveryCode) -> Result<Self, KeyError> {
        Self::open(sealed, &code.seal_key(), "recovery-code")
    }

    /// A key that whoever has this one can make again, for sealing what only its owner may read on
    /// this machine. It tells nothing about this key.
    pub fn local_key(&self) -> Zeroizing<[u8; 32]> {
        cipher::subkey(self.0.as_bytes(), "telegraph/account/v1 local")
    }

    /// In PKCS#8, as TLS wants it.
    pub(crate) fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([PKCS8_HEAD.as_slice(), self.0.as_bytes()].concat())
    }

    fn seal(&self, key: &[u8; 32], purpose: &str) -> Result<Vec<u8>, KeyError> {
        let mut sealed = vec![SEALED_VERSION];
        sealed.extend_from_slice(self.account_id().as_bytes());
        let about = about(&sealed, purpose);
        sealed.extend(cipher::seal(key, &about, self.0.as_bytes())?);
        Ok(sealed)
    }

    fn open(sealed: &[u8], key: &[u8; 32], purpose: &str) -> Result<Self, KeyError> {
        let (head, body) = sealed.split_first_chunk::<SEALED_HEAD>().ok_or(KeyError::Malformed)?;
        if head[0] != SEALED_VERSION {
            return Err(KeyError::Malformed);
        }
        let secret = cipher::open(key, &about(head, purpose), body)?;
        let secret: &[u8; 32] = secret.as_slice().try_into().map_err(|_| KeyError::Malformed)?;
        let opened = Self(SigningKey::from_bytes(secret));
        if opened.account_id().as_bytes().as_slice() != &head[1..] {
            return Err(KeyError::Malformed);
        }
        Ok(opened)
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountKey({})", self.account_id().short())
    }
}

fn about(head: &[u8], purpose: &str) -> Vec<u8> {
    [b"telegraph/sealed-key/v1 ".as_slice(), purpose.as_bytes(), b"\0", head].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_by_password_and_by_code_and_by_nothing_else() {
        let key = AccountKey::generate().unwrap();
        let code = RecoveryCode::generate().unwrap();
        let by_password = key.seal_by_password(&[7; 32]).unwrap();
        let by_code = key.seal_by_recovery_code(&code).unwrap();
        assert_eq!(by_password.len(), 105);
        let opened = AccountKey::open_by_password(&by_password, &[7; 32]).unwrap();
        assert_eq!(opened.account_id(), key.account_id());
        let opened = AccountKey::open_by_recovery_code(&by_code, &code).unwrap();
        assert_eq!(opened.account_id(), key.account_id());
        let wrong = AccountKey::open_by_password(&by_password, &[8; 32]);
        assert_eq!(wrong.unwrap_err(), KeyError::WrongKey);
        // What was sealed for one purpose does not pass for the other.
        let crossed = AccountKey::open_by_password(&by_code, &code.seal_key());
        assert_eq!(crossed.unwrap_err(), KeyError::WrongKey);
    }

    #[test]
    fn every_changed_or_missing_byte_of_a_sealed_key_is_refused() {
        let sealed = AccountKey::generate().unwrap().seal_by_password(&[7; 32]).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(AccountKey::open_by_password(&changed, &[7; 32]).is_err(), "{at}");
            assert!(AccountKey::open_by_password(&sealed[..at], &[7; 32]).is_err(), "{at}");
        }
    }

    #[test]
    fn neither_key_nor_password_is_printed() {
        let key = AccountKey::generate().unwrap();
        let printed = format!("{key:?}");
        assert_eq!(printed, format!("AccountKey({})", key.account_id().short()));
    }
}
