//! The account of an unlocked profile: its key, its session, and what it signs.

use crate::{
    managers::ManagerClient,
    profile::{
        Profile, ProfileError,
        vault::{Key, Vault, VaultError},
    },
};
use peer_messaging::AccountKey;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};
use telegraph_proto::{
    account::{AccountId, DeviceId, Username},
    identity::{AddressBody, SignedStatement, StatementKind},
    rest::{Base64, Secret},
};

/// Numbers of statements reserved by one write of the vault. A process that ends wastes those it
/// did not use; there are 2^64.
const RESERVED: u64 = 64;

/// Who this client is, with the means to prove it.
///
/// - `key` opens under the password alone, and never leaves this process.
/// - Numbers of statements only rise, over the ends of this process as well: the vault on disk
///   names a number that is at least as high before a statement leaves.
/// - What the managers have seen is caught up with when they say that a number was used.
pub(crate) struct Account {
    pub(crate) username: Username,
    pub(crate) device_id: DeviceId,
    pub(crate) cluster_id: [u8; 16],
    pub(crate) key: AccountKey,
    data_key: Key,
    secrets: Mutex<Secrets>,
    profile: Arc<Profile>,
}

/// What changes of an account.
///
/// - Up to `vault.sequence`, as it is on disk, numbers are reserved: what is signed stays below.
struct Secrets {
    vault: Vault,
    /// Highest number of a statement that may have been signed.
    signed: u64,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What an [`Account`] is made of.
pub(crate) struct Parts {
    pub(crate) username: Username,
    pub(crate) device_id: DeviceId,
    pub(crate) cluster_id: [u8; 16],
    pub(crate) key: AccountKey,
    pub(crate) data_key: Key,
    pub(crate) vault: Vault,
}

/// Why the account's secrets were not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The file could not be written.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// They could not be sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Account {
    pub(crate) fn new(parts: Parts, profile: Arc<Profile>) -> Self {
        let Parts { username, device_id, cluster_id, key, data_key, vault } = parts;
        let secrets = Mutex::new(Secrets { signed: vault.sequence, vault });
        Self { username, device_id, cluster_id, key, data_key, secrets, profile }
    }

    pub(crate) fn account_id(&self) -> AccountId {
        self.key.account_id()
    }

    /// The key of the message store.
    pub(crate) fn data_key(&self) -> [u8; 32] {
        *self.data_key
    }

    /// Signs that this device is reached at `addresses`, with a new number. Fails as
    /// [`Account::sign`] does.
    pub(crate) fn sign_address(
        &self,
        addresses: &[SocketAddr],
    ) -> Result<SignedStatement, KeepError> {
        let body = AddressBody {
            addresses: addresses.iter().map(SocketAddr::to_string).collect(),
            device_id: self.device_id.as_bytes().to_vec(),
            issued_unix_ms: unix_ms(),
        };
        self.sign(StatementKind::Address, &body)
    }

    /// Signs a statement about this account, with a number that no process on this profile has used
    /// before. Fails when that number cannot be reserved on disk: others drop what has an old one.
    pub(crate) fn sign<B: prost::Message>(
        &self,
        kind: StatementKind,
        body: &B,
    ) -> Result<SignedStatement, KeepError> {
        let mut secrets = self.secrets();
        let number = secrets.signed.checked_add(1).ok_or(VaultError::NoNumber)?;
        if number > secrets.vault.sequence {
            let mut vault = secrets.vault.clone();
            vault.sequence = number.saturating_add(RESERVED - 1);
            self.profile.save_vault(&vault)?;
            secrets.vault = vault;
        }
        secrets.signed = number;
        assert!(secrets.signed <= secrets.vault.sequence, "only reserved numbers are signed with");
        Ok(self.key.sign(self.cluster_id, kind, number, body))
    }

    /// Catches up with the number the managers have seen.
    pub(crate) fn raise_sequence(&self, seen: u64) {
        let mut secrets = self.secrets();
        secrets.signed = secrets.signed.max(seen);
    }

    /// The session's token, if there is a session.
    pub(crate) fn token(&self) -> Result<Option<Secret>, VaultError> {
        self.secrets().vault.token(&self.data_key)
    }

    /// Begins or ends the session here: in the vault, and in every request from now on.
    pub(crate) fn set_token(
        &self,
        managers: &ManagerClient,
        token: Option<Secret>,
    ) -> Result<(), KeepError> {
        let mut secrets = self.secrets();
        secrets.vault.set_token(&self.data_key, token.as_ref())?;
        managers.set_token(token);
        Ok(self.profile.save_vault(&secrets.vault)?)
    }

    /// Takes over a password change: the next unlock is by `store_key`.
    pub(crate) fn reseal(
        &self,
        store_key: &[u8; 32],
        sealed_by_password: Base64,
    ) -> Result<(), KeepError> {
        let mut secrets = self.secrets();
        secrets.vault.reseal(store_key, &self.data_key, sealed_by_password)?;
        Ok(self.profile.save_vault(&secrets.vault)?)
    }

    /// The managers have confirmed the registration.
    pub(crate) fn confirm(&self) -> Result<(), KeepError> {
        let mut secrets = self.secrets();
        secrets.vault.confirm();
        Ok(self.profile.save_vault(&secrets.vault)?)
    }

    /// The account's key as the password opens it.
    pub(crate) fn sealed_by_password(&self) -> Base64 {
        self.secrets().vault.sealed_by_password.clone()
    }

    /// The account's key as the recovery code opens it.
    pub(crate) fn sealed_by_recovery_code(&self) -> Base64 {
        self.secrets().vault.sealed_by_recovery_code.clone()
    }

    /// Writes the vault.
    pub(crate) fn keep(&self) -> Result<(), KeepError> {
        // Written under the lock: an older state must not come after a newer one.
        Ok(self.profile.save_vault(&self.secrets().vault)?)
    }

    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        // Every change to the vault is whole before it can panic.
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This machine's clock, for what people read and nothing is decided by.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(profile: &Arc<Profile>, vault: Vault, data_key: Key) -> Account {
        let parts = Parts {
            username: Username::parse("alice").unwrap(),
            device_id: DeviceId::new([1; 16]),
            cluster_id: [2; 16],
            key: AccountKey::generate().unwrap(),
            data_key,
            vault,
        };
        Account::new(parts, profile.clone())
    }

    #[test]
    fn a_number_is_signed_with_once_even_by_processes_that_end_without_a_word() {
        let directory = tempfile::tempdir().unwrap();
        let profile = Arc::new(Profile::open(directory.path()).unwrap());
        let sealed = || Base64(vec![3]);
        let (vault, data_key) = Vault::create(&[1; 32], &[2; 32], sealed(), sealed()).unwrap();
        profile.save_vault(&vault).unwrap();
        let here = ["127.0.0.1:7".parse().unwrap()];
        let mut last = 0;
        for process in 0..3_u64 {
            let vault = profile.vault().unwrap().unwrap();
            let account = account(&profile, vault, data_key.clone());
            account.raise_sequence(process * 1000);
            for _ in 0..=RESERVED {
                let number = account.sign_address(&here).unwrap().sequence;
                assert!(number > last && number > process * 1000, "{number} after {last}");
                assert!(number <= profile.vault().unwrap().unwrap().sequence, "not on disk");
                last = number;
            }
        }
    }

    #[test]
    fn without_a_number_nothing_is_signed() {
        let directory = tempfile::tempdir().unwrap();
        let profile = Arc::new(Profile::open(directory.path()).unwrap());
        let sealed = || Base64(vec![3]);
        let (vault, data_key) = Vault::create(&[1; 32], &[2; 32], sealed(), sealed()).unwrap();
        let account = account(&profile, vault, data_key);
        // Managers' word on it is signed by nobody.
        account.raise_sequence(u64::MAX);
        let refused = account.sign_address(&[]);
        assert!(matches!(refused, Err(KeepError::Vault(VaultError::NoNumber))), "{refused:?}");
    }
}
