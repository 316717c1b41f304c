//! A member's credentials, as they are given.

use std::fmt;

/// The credentials of a member: everybody whose certificate this authority signed is a member.
#[derive(Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM of the cluster's private certificate authority.
    pub ca_pem: Vec<u8>,
    /// PEM of this member's certificate, chain included.
    pub cert_pem: Vec<u8>,
    /// PEM of the certificate's private key, PKCS#8.
    pub key_pem: Vec<u8>,
    /// The DNS name every member's certificate carries, whatever its address.
    pub server_name: String,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}
