//! The names of people and their keys, validated.

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// Why bytes or text do not name an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// A username outside of its alphabet or bounds.
    #[error(
        "a username has {MIN_USERNAME} to {MAX_USERNAME} of a-z, 0-9, '.', '_' and '-', and starts \
         and ends with a letter or a digit"
    )]
    Username,
    /// An account id that is not 32 bytes (64 hexadecimal digits).
    #[error("an account id has 32 bytes")]
    AccountId,
    /// A device id that is not 16 bytes (32 hexadecimal digits).
    #[error("a device id has 16 bytes")]
    DeviceId,
    /// A public key that is not a point of order larger than 8.
    #[error("not an Ed25519 public key")]
    PublicKey,
}

/// Fewest characters of a username.
pub const MIN_USERNAME: usize = 2;
/// Most characters of a username: it fits a URL path and a terminal column.
pub const MAX_USERNAME: usize = 32;

/// What people call each other. Always lower case.
///
/// - 2 to 32 characters of `a-z 0-9 . _ -`, the first and the last a letter or a digit: nothing
///   that looks like another name, nothing that needs escaping in a URL, a log or a terminal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Username(String);

impl Username {
    /// Reads a username, folding ASCII upper case. Fails with [`AccountError::Username`].
    pub fn parse(text: &str) -> Result<Self, AccountError> {
        let folded = text.to_ascii_lowercase();
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = folded.as_bytes();
        let fits = (MIN_USERNAME..=MAX_USERNAME).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
            && edge(bytes.first())
            && edge(bytes.last());
        if fits { Ok(Self(folded)) } else { Err(AccountError::Username) }
    }

    /// The name, lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Username {
    type Err = AccountError;
    fn from_str(text: &str) -> Result<Self, AccountError> {
        Self::parse(text)
    }
}

/// An account: the SHA-256 of its Ed25519 public key. Names change hands, keys do not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId([u8; 32]);

impl AccountId {
    /// The account of a key.
    pub fn of(key: &PublicKey) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Reads 32 bytes. Fails with [`AccountError::AccountId`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, AccountError> {
        bytes.try_into().map(Self).map_err(|_| AccountError::AccountId)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight hexadecimal digits, for logs and people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountId({})", self.short())
    }
}

impl FromStr for AccountId {
    type Err = AccountError;
    fn from_str(text: &str) -> Result<Self, AccountError> {
        let bytes = hex::decode(text).map_err(|_| AccountError::AccountId)?;
        Self::from_slice(&bytes)
    }
}

/// One device of an account: 16 random bytes made with its profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId([u8; 16]);

impl DeviceId {
    /// Wraps 16 bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads 16 bytes. Fails with [`AccountError::DeviceId`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, AccountError> {
        bytes.try_into().map(Self).map_err(|_| AccountError::DeviceId)
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for DeviceId {
    type Err = AccountError;
    fn from_str(text: &str) -> Result<Self, AccountError> {
        let bytes = hex::decode(text).map_err(|_| AccountError::DeviceId)?;
        Self::from_slice(&bytes)
    }
}

/// An account's Ed25519 public key.
///
/// - A canonical encoding of a point that is not of small order: no two accounts share a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads 32 bytes. Fails with [`AccountError::PublicKey`] on a small-order or invalid point.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, AccountError> {
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| AccountError::PublicKey)?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| AccountError::PublicKey)?;
        // A non-canonical encoding would give one point two account ids.
        let canonical = key.to_edwards().compress().to_bytes() == *bytes;
        if key.is_weak() || !canonical {
            return Err(AccountError::PublicKey);
        }
        Ok(Self(key))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The account this key owns.
    pub fn account_id(&self) -> AccountId {
        AccountId::of(self)
    }

    pub(crate) fn verifying_key(&self) -> &VerifyingKey {
        &self.0
    }
}

impl From<VerifyingKey> for PublicKey {
    fn from(key: VerifyingKey) -> Self {
        Self(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_folded_and_bounded() {
        assert_eq!(Username::parse("Alice").unwrap().as_str(), "alice");
        assert!(Username::parse("a1").is_ok());
        let long = "a".repeat(33);
        for bad in ["", "a", ".ab", "ab-", "a b", "a/b", "ñandu", "a\0b", "a\u{202e}b", &long] {
            assert_eq!(Username::parse(bad), Err(AccountError::Username), "{bad:?}");
        }
    }

    #[test]
    fn small_order_and_non_canonical_keys_are_refused() {
        let mut identity = [0u8; 32];
        identity[0] = 1;
        assert_eq!(PublicKey::from_slice(&identity), Err(AccountError::PublicKey));
        assert_eq!(PublicKey::from_slice(&[0; 32]), Err(AccountError::PublicKey));
        // p + 1, a second encoding of the point y = 1.
        let mut second = [0xff; 32];
        second[0] = 0xee;
        second[31] = 0x7f;
        assert_eq!(PublicKey::from_slice(&second), Err(AccountError::PublicKey));
        assert_eq!(PublicKey::from_slice(&[7; 31]), Err(AccountError::PublicKey));
    }

    #[test]
    fn ids_survive_their_text() {
        let id = AccountId::from_slice(&[9; 32]).unwrap();
        assert_eq!(id.to_string().parse::<AccountId>().unwrap(), id);
        assert!("09".parse::<AccountId>().is_err());
        assert!("zz".repeat(32).parse::<AccountId>().is_err());
    }
}
