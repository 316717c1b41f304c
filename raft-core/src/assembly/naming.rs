//! What names and addresses of nodes may be.

use thiserror::Error;

/// The longest name, in bytes: that of a host.
pub(crate) const NAME_MAX_BYTES: usize = 64;

/// The longest address, in bytes: the longest host name, a port, and a scheme before them.
pub(crate) const ADDRESS_MAX_BYTES: usize = 280;

/// A node that says of itself what nobody can use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct Unsound(pub(crate) &'static str);

/// Refuses a name that is too long, empty, or would need escaping somewhere.
pub(crate) fn check_name(name: &str) -> Result<(), Unsound> {
    let fits = (1..=NAME_MAX_BYTES).contains(&name.len());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if fits && name.bytes().all(plain) {
        return Ok(());
    }
    Err(Unsound("a name is 1 to 64 letters, digits, dots, dashes and underscores"))
}

/// Refuses an address that is too long or has blanks in it.
pub(crate) fn check_address(address: &str) -> Result<(), Unsound> {
    let fits = address.len() <= ADDRESS_MAX_BYTES;
    if fits && address.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Unsound("an address is at most 280 visible ASCII characters"))
}
