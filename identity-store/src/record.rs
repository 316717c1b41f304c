//! Accounts and sessions as they are kept: `AccountRecord` and `SessionRecord` of identity.proto.
//!
//! Reading believes nothing: a record that breaks an invariant of its type is damage.

use crate::account::{
    Account, Device, Holder, MAX_DEVICES, MAX_SEALED_KEY, Presence, Tombstone, is_device_name,
};
use crate::error::StoreError;
use crate::password_hash::PasswordHash;
use crate::session::{Session, SessionEnd};
use prost::Message as _;
use telegraph_proto::account::{AccountError, AccountId, DeviceId, PublicKey, Username};
use telegraph_proto::identity as proto;

const DAMAGED_ACCOUNT: StoreError = StoreError::Damaged("an account's record");
const DAMAGED_SESSION: StoreError = StoreError::Damaged("a session's record");

/// The bytes kept of whoever holds an account id.
pub(crate) fn encode_holder(holder: &Holder) -> Vec<u8> {
    match holder {
        Holder::Living(account) => living(account),
        Holder::Retired(tombstone) => proto::AccountRecord {
            account_id: tombstone.account_id.as_bytes().to_vec(),
            username: tombstone.username.to_string(),
            deleted_unix_ms: tombstone.deleted_unix_ms,
            ..proto::AccountRecord::default()
        },
    }
    .encode_to_vec()
}

fn living(account: &Account) -> proto::AccountRecord {
    let devices = account.devices.iter().map(|device| proto::Device {
        device_id: device.device_id.as_bytes().to_vec(),
        name: device.name.clone(),
        added_unix_ms: device.added_unix_ms,
        public_key: Vec::new(),
    });
    proto::AccountRecord {
        account_id: account.account_id.as_bytes().to_vec(),
        username: account.username.to_string(),
        public_key: account.public_key.as_bytes().to_vec(),
        register: Some(account.register.clone()),
        address: account.address.clone(),
        password_hash: account.password_hash.as_str().to_owned(),
        credential_version: account.credential_version,
        sealed_keys: Some(account.sealed_keys.clone()),
        sequence: account.sequence,
        devices: devices.collect(),
        active_device_id: account
            .active_device_id
            .map_or_else(Vec::new, |device| device.as_bytes().to_vec()),
        presence: match account.presence {
            Presence::Offline => proto::Presence::Offline.into(),
            Presence::Online => proto::Presence::Online.into(),
        },
        presence_version: account.presence_version,
        last_seen_unix_ms: account.last_seen_unix_ms,
        created_unix_ms: account.created_unix_ms,
        deleted_unix_ms: 0,
    }
}

/// Reads what [`encode_holder`] made. Fails with [`StoreError::Damaged`].
pub(crate) fn decode_holder(bytes: &[u8]) -> Result<Holder, StoreError> {
    let record = proto::AccountRecord::decode(bytes).map_err(|_| DAMAGED_ACCOUNT)?;
    if record.deleted_unix_ms == 0 {
        let account = account(record).map_err(|_| DAMAGED_ACCOUNT)?;
        return account.map(|account| Holder::Living(Box::new(account))).ok_or(DAMAGED_ACCOUNT);
    }
    let read = || -> Result<Tombstone, AccountError> {
        Ok(Tombstone {
            account_id: AccountId::from_slice(&record.account_id)?,
            username: username(&record.username)?,
            deleted_unix_ms: record.deleted_unix_ms,
        })
    };
    read().map(Holder::Retired).map_err(|_| DAMAGED_ACCOUNT)
}

/// `None` when a part is missing, or contradicts another.
fn account(record: proto::AccountRecord) -> Result<Option<Account>, AccountError> {
    let active_device_id = match record.active_device_id.as_slice() {
        [] => None,
        bytes => Some(DeviceId::from_slice(bytes)?),
    };
    let devices = record.devices.iter().map(device).collect::<Result<Vec<_>, _>>()?;
    let (Some(register), Some(sealed_keys)) = (record.register, record.sealed_keys) else {
        return Ok(None);
    };
    let Some(password_hash) = PasswordHash::parse(&record.password_hash) else { return Ok(None) };
    let presence = match proto::Presence::try_from(record.presence) {
        Ok(proto::Presence::Online) => Presence::Online,
        Ok(proto::Presence::Offline) => Presence::Offline,
        Ok(proto::Presence::Unspecified) | Err(_) => return Ok(None),
    };
    let account = Account {
        account_id: AccountId::from_slice(&record.account_id)?,
        username: username(&record.username)?,
        public_key: PublicKey::from_slice(&record.public_key)?,
        register,
        address: record.address,
        password_hash,
        credential_version: record.credential_version,
        sealed_keys,
        sequence: record.sequence,
        devices,
        active_device_id,
        presence,
        presence_version: record.presence_version,
        last_seen_unix_ms: record.last_seen_unix_ms,
        created_unix_ms: record.created_unix_ms,
    };
    let active_is_known = account
        .active_device_id
        .is_none_or(|active| account.devices.iter().any(|known| known.device_id == active));
    let sound = account.account_id == account.public_key.account_id()
        && account.devices.len() <= MAX_DEVICES
        && account.devices.iter().all(|device| is_device_name(&device.name))
        && active_is_known
        && are_sealed_keys(&account.sealed_keys);
    Ok(sound.then_some(account))
}

/// True when sealed keys are within their bounds.
pub(crate) fn are_sealed_keys(keys: &proto::SealedKeys) -> bool {
    keys.by_password.len() <= MAX_SEALED_KEY && keys.by_recovery_code.len() <= MAX_SEALED_KEY
}

fn device(device: &proto::Device) -> Result<Device, AccountError> {
    Ok(Device {
        device_id: DeviceId::from_slice(&device.device_id)?,
        name: device.name.clone(),
        added_unix_ms: device.added_unix_ms,
    })
}

/// A username that is kept as it is written.
fn username(text: &str) -> Result<Username, AccountError> {
    let username = Username::parse(text)?;
    if username.as_str() == text { Ok(username) } else { Err(AccountError::Username) }
}

/// The bytes kept of a session.
pub(crate) fn encode_session(session: &Session) -> Vec<u8> {
    proto::SessionRecord {
        session_id: session.session_id.to_vec(),
        token_hash: session.token_hash.to_vec(),
        account_id: session.account_id.as_bytes().to_vec(),
        device_id: session.device_id.as_bytes().to_vec(),
        device_name: session.device_name.clone(),
        credential_version: session.credential_version,
        created_unix_ms: session.created_unix_ms,
        expires_unix_ms: session.expires_unix_ms,
        ended: match session.ended {
            None => proto::SessionEnd::Unspecified,
            Some(SessionEnd::LoggedOut) => proto::SessionEnd::LoggedOut,
            Some(SessionEnd::Revoked) => proto::SessionEnd::Revoked,
            Some(SessionEnd::ReplacedByNewerLogin) => proto::SessionEnd::ReplacedByNewerLogin,
            Some(SessionEnd::PasswordChanged) => proto::SessionEnd::PasswordChanged,
        }
        .into(),
    }
    .encode_to_vec()
}

/// Reads what [`encode_session`] made. Fails with [`StoreError::Damaged`].
pub(crate) fn decode_session(bytes: &[u8]) -> Result<Session, StoreError> {
    let record = proto::SessionRecord::decode(bytes).map_err(|_| DAMAGED_SESSION)?;
    let ended = match proto::SessionEnd::try_from(record.ended) {
        Ok(proto::SessionEnd::Unspecified) => None,
        Ok(proto::SessionEnd::LoggedOut) => Some(SessionEnd::LoggedOut),
        Ok(proto::SessionEnd::Revoked) => Some(SessionEnd::Revoked),
        Ok(proto::SessionEnd::ReplacedByNewerLogin) => Some(SessionEnd::ReplacedByNewerLogin),
        Ok(proto::SessionEnd::PasswordChanged) => Some(SessionEnd::PasswordChanged),
        Err(_) => return Err(DAMAGED_SESSION),
    };
    if !is_device_name(&record.device_name) {
        return Err(DAMAGED_SESSION);
    }
    Ok(Session {
        session_id: record.session_id.try_into().map_err(|_| DAMAGED_SESSION)?,
        token_hash: record.token_hash.try_into().map_err(|_| DAMAGED_SESSION)?,
        account_id: AccountId::from_slice(&record.account_id).map_err(|_| DAMAGED_SESSION)?,
        device_id: DeviceId::from_slice(&record.device_id).map_err(|_| DAMAGED_SESSION)?,
        device_name: record.device_name,
        credential_version: record.credential_version,
        created_unix_ms: record.created_unix_ms,
        expires_unix_ms: record.expires_unix_ms,
        ended,
    })
}
