//! An address that may lead to a member, and who proposed it.

use std::fmt;

use crate::error::DiscoveryError;

/// The longest host name there is, in bytes (RFC 1035, section 2.3.4, without the root).
const HOST_MAX_BYTES: usize = 253;

/// Where a member may be listening. A proposal: whoever is there must still prove who it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// `host:port`, or `[v6]:port`, of the service that the application offers its clients.
    pub address: String,
    /// Who proposed it.
    pub source: Source,
    /// What an answering member said its cluster is called; always `None` but from a sweep. Not
    /// authenticated: good for trying the right one first, never for trusting it.
    pub cluster_hint: Option<String>,
}

impl Candidate {
    pub(crate) fn new(address: String, source: Source) -> Candidate {
        Candidate { address, source, cluster_hint: None }
    }
}

/// Who proposed a candidate, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Source {
    /// The operator's list.
    Static,
    /// The name service.
    Dns,
    /// The addresses that worked last time.
    Cache,
    /// An answer by UDP.
    Sweep,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Static => "configuration",
            Source::Dns => "DNS",
            Source::Cache => "cache",
            Source::Sweep => "UDP sweep",
        })
    }
}

/// Checks that `address` is `host:port` with a port other than 0.
///
/// # Errors
///
/// [`DiscoveryError::Address`] if it is not.
pub(crate) fn check_address(address: &str) -> Result<(), DiscoveryError> {
    let wrong = |reason| Err(DiscoveryError::Address { address: address.to_owned(), reason });
    let Some((host, port)) = address.rsplit_once(':') else {
        return wrong("it has no port");
    };
    if !matches!(port.parse::<u16>(), Ok(1..)) || port.starts_with('+') {
        return wrong("the port is not a number from 1 to 65535");
    }
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(inner) = bracketed {
        return match inner.parse::<std::net::Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => wrong("what is in brackets is not an IPv6 address"),
        };
    }
    if host.is_empty() {
        return wrong("it has no host");
    }
    if host.len() > HOST_MAX_BYTES {
        return wrong("the host is longer than 253 bytes");
    }
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if host.bytes().all(named) {
        Ok(())
    } else {
        wrong("the host has characters that no name has (an IPv6 address goes in brackets)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_both_kinds_of_ip_address_with_a_port_are_addresses() {
        for address in ["manager-1:8000", "tg_manager.a:1", "10.0.0.1:65535", "[::1]:8000"] {
            check_address(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let long = format!("{}:1", "a".repeat(254));
        let wrong = ["", ":", "host", "host:", ":80", "host:0", "host:65536", "host:+1", "::1:80"];
        for address in wrong.into_iter().chain(["[::1:80", "[x]:80", "a b:80", "ü:80", &long]) {
            let outcome = check_address(address);
            assert!(matches!(outcome, Err(DiscoveryError::Address { .. })), "{address:?}");
        }
    }
}
