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

/// Who this client is, with the means to prove it.
///
/// - `key` opens under the password alone, and never leaves this process.
/// - Numbers of statements only rise; what the managers have seen is caught up with when they say
///   that a number was used.
pub(crate) struct Account {
    pub(crate) username: Username,
    pub(crate) device_id: DeviceId,
    pub(crate) cluster_id: [u8; 16],
    pub(crate) key: AccountKey,
    data_key: Key,
    vault: Mutex<Vault>,
    profile: Arc<Profile>,
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
        let vault = Mutex::new(vault);
        Self { username, device_id, cluster_id, key, data_key, vault, profile }
    }

    pub(crate) fn account_id(&self) -> AccountId {
        self.key.account_id()
    }

    /// The key of the message store.
    pub(crate) fn data_key(&self) -> [u8; 32] {
        *self.data_key
    }

    /// Signs that this device is reached at `addresses`, with a new number.
    pub(crate) fn sign_address(&self, addresses: &[SocketAddr]) -> SignedStatement {
        let body = AddressBody {
            addresses: addresses.iter().map(SocketAddr::to_string).collect(),
            device_id: self.device_id.as_bytes().to_vec(),
            issued_unix_ms: unix_ms(),
        };
        self.sign(StatementKind::Address, &body)
    }

    /// Signs a statement about this account, with a new number.
    pub(crate) fn sign<B: prost::Message>(&self, kind: StatementKind, body: &B) -> SignedStatement {
        let mut vault = self.vault();
        let before = vault.sequence;
        vault.sequence = before.saturating_add(1);
        debug_assert!(vault.sequence > before, "numbers of statements only rise");
        self.key.sign(self.cluster_id, kind, vault.sequence, body)
    }

    /// Catches up with the number the managers have seen.
    pub(crate) fn raise_sequence(&self, seen: u64) {
        let mut vault = self.vault();
        vault.sequence = vault.sequence.max(seen);
    }

    /// The session's token, if there is a session.
    pub(crate) fn token(&self) -> Result<Option<Secret>, VaultError> {
        self.vault().token(&self.data_key)
    }

    /// Begins or ends the session here: in the vault, and in every request from now on.
    pub(crate) fn set_token(
        &self,
        managers: &ManagerClient,
        token: Option<Secret>,
    ) -> Result<(), KeepError> {
        self.vault().set_token(&self.data_key, token.as_ref())?;
        managers.set_token(token);
        self.keep()
    }

    /// Takes over a password change: the next unlock is by `store_key`.
    pub(crate) fn reseal(
        &self,
        store_key: &[u8; 32],
        sealed_by_password: Base64,
    ) -> Result<(), KeepError> {
        self.vault().reseal(store_key, &self.data_key, sealed_by_password)?;
        self.keep()
    }

    /// The managers have confirmed the registration.
    pub(crate) fn confirm(&self) -> Result<(), KeepError> {
        self.vault().confirm();
        self.keep()
    }

    /// The account's key as the password opens it.
    pub(crate) fn sealed_by_password(&self) -> Base64 {
        self.vault().sealed_by_password.clone()
    }

    /// The account's key as the recovery code opens it.
    pub(crate) fn sealed_by_recovery_code(&self) -> Base64 {
        self.vault().sealed_by_recovery_code.clone()
    }

    /// Writes the vault.
    pub(crate) fn keep(&self) -> Result<(), KeepError> {
        let vault = self.vault().clone();
        Ok(self.profile.save_vault(&vault)?)
    }

    fn vault(&self) -> MutexGuard<'_, Vault> {
        // Every change to the vault is whole before it can panic.
        self.vault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This machine's clock, for what people read and nothing is decided by.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
