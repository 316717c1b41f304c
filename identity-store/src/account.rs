//! Leaf: accounts as the rules see them.

use crate::password_hash::PasswordHash;
use prost::Message as _;
use std::net::SocketAddr;
use telegraph_proto::account::{AccountId, DeviceId, PublicKey, Username};
use telegraph_proto::identity::{AddressBody, SealedKeys, SignedStatement};

/// Most addresses of an account: two families on a few interfaces.
pub const MAX_ADDRESSES: usize = 8;
/// Most bytes of each sealed key: a sealed 32-byte key is below 200 bytes, whatever seals it.
pub(crate) const MAX_SEALED_KEY: usize = 1024;
/// Most devices kept of an account; the one added longest ago makes room.
pub(crate) const MAX_DEVICES: usize = 16;
/// Most bytes of a device's name.
pub const MAX_DEVICE_NAME: usize = 64;

/// Somebody's account.
///
/// - `account_id` is the hash of `public_key`, and `register` binds it to `username`.
/// - `sequence` is at least that of every statement kept.
/// - `active_device_id`, if any, is one of `devices`, and every live session is that device's.
/// - `presence_version` rises with every change of presence, and with everything the owner does
///   that says where they are: what a leader decided before that is refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Hash of the key.
    pub account_id: AccountId,
    /// What people call it.
    pub username: Username,
    /// The key that signs for it.
    pub public_key: PublicKey,
    /// The statement that bound name and key.
    pub register: SignedStatement,
    /// The newest address statement; `None`: never announced.
    pub address: Option<SignedStatement>,
    /// What a password is verified against.
    pub password_hash: PasswordHash,
    /// 1 at first, one more with every password change.
    pub credential_version: u64,
    /// The account's secret key, sealed by the password and by the recovery code.
    pub sealed_keys: SealedKeys,
    /// The highest sequence of a statement accepted; the next one must be above.
    pub sequence: u64,
    /// Devices seen, the one added longest ago first; at most 16.
    pub devices: Vec<Device>,
    /// The device that is logged in; `None`: none is.
    pub active_device_id: Option<DeviceId>,
    /// Whether somebody is there.
    pub presence: Presence,
    /// Changes of presence so far.
    pub presence_version: u64,
    /// When the owner was last heard, milliseconds since 1970; 0: never.
    pub last_seen_unix_ms: u64,
    /// When it was registered, in log time, milliseconds since 1970.
    pub created_unix_ms: u64,
}

impl Account {
    /// True while somebody is there.
    pub fn is_online(&self) -> bool {
        self.presence == Presence::Online
    }

    /// Where it is reached, in the order to be tried; empty: not to be reached.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let Some(statement) = &self.address else { return Vec::new() };
        // Its shape was checked before it was accepted; if it is wrong all the same, nobody is
        // reached there.
        let body = AddressBody::decode(statement.body.as_slice()).unwrap_or_default();
        body.addresses.iter().filter_map(|address| address.parse().ok()).collect()
    }

    /// Forgets an address that leads to another device: what is sent there, the device that is
    /// active now would never see.
    pub(crate) fn forget_address_of_others(&mut self, device: DeviceId) {
        let leads_to = self.address.as_ref().map(|statement| {
            AddressBody::decode(statement.body.as_slice()).unwrap_or_default().device_id
        });
        if leads_to.is_some_and(|leads_to| leads_to != device.as_bytes()) {
            self.address = None;
        }
    }

    /// The owner was heard doing something: online, and older decisions about it are void.
    pub(crate) fn come_online(&mut self, now_unix_ms: u64) {
        self.presence = Presence::Online;
        self.presence_version = self.presence_version.saturating_add(1);
        self.seen(now_unix_ms);
    }

    /// Nobody is there any more; older decisions about it are void.
    pub(crate) fn go_offline(&mut self) {
        self.presence = Presence::Offline;
        self.presence_version = self.presence_version.saturating_add(1);
    }

    /// The owner was heard at that time.
    pub(crate) fn seen(&mut self, at_unix_ms: u64) {
        self.last_seen_unix_ms = self.last_seen_unix_ms.max(at_unix_ms);
    }

    /// Adds a device, or gives it its new name; the one that is logged in never makes room.
    pub(crate) fn see_device(&mut self, device_id: DeviceId, name: &str, now_unix_ms: u64) {
        if let Some(known) = self.devices.iter_mut().find(|known| known.device_id == device_id) {
            name.clone_into(&mut known.name);
            return;
        }
        if self.devices.len() >= MAX_DEVICES {
            let active = self.active_device_id;
            let spare = self.devices.iter().position(|known| Some(known.device_id) != active);
            if let Some(spare) = spare {
                self.devices.remove(spare);
            }
        }
        self.devices.push(Device { device_id, name: name.to_owned(), added_unix_ms: now_unix_ms });
        assert!(self.devices.len() <= MAX_DEVICES, "devices of an account are bounded");
    }
}

/// One device of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Made with its profile.
    pub device_id: DeviceId,
    /// What its owner calls it; at most 64 bytes without control characters, may be empty.
    pub name: String,
    /// When it was first seen, in log time, milliseconds since 1970.
    pub added_unix_ms: u64,
}

/// Whether somebody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Not heard for a lease, or logged out.
    Offline,
    /// Heard within a lease.
    Online,
}

/// What stays of a deleted account: enough that nobody else takes its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) account_id: AccountId,
    pub(crate) username: Username,
    /// In log time, milliseconds since 1970; never 0.
    pub(crate) deleted_unix_ms: u64,
}

/// Who holds a name and an id.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Holder {
    Living(Box<Account>),
    Retired(Tombstone),
}

/// True for what may be shown as a device's name.
pub(crate) fn is_device_name(name: &str) -> bool {
    name.len() <= MAX_DEVICE_NAME && !name.chars().any(char::is_control)
}
