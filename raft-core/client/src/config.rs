//! What a client is told.

use std::fmt;
use std::time::Duration;

use raft_core_discovery::Discovery;

use crate::error::ClientError;

/// Credentials of somebody the cluster admits.
#[derive(Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM of the cluster's private certificate authority.
    pub ca_pem: Vec<u8>,
    /// PEM of the certificate to show, chain included.
    pub cert_pem: Vec<u8>,
    /// PEM of its private key, PKCS#8.
    pub key_pem: Vec<u8>,
    /// The DNS name every member's certificate carries, whatever its address.
    pub server_name: String,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// What a client is told.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where to look for members. The addresses are those of the consensus service.
    pub discovery: Discovery,
    /// Credentials for mutual TLS; `None` is refused unless `allow_plaintext`.
    pub tls: Option<Tls>,
    /// Permits talking without TLS, to whoever answers.
    pub allow_plaintext: bool,
    /// The cluster to talk to, 16 bytes; `None` takes the first that a trusted member names, and
    /// keeps to it.
    pub cluster_id: Option<[u8; 16]>,
    /// Time for one connection with its handshakes; default 1 s.
    pub connect_timeout: Duration,
    /// Longest command sent, in bytes; default 1 MiB, as members have it.
    pub max_command_bytes: usize,
}

impl Default for ClientConfig {
    fn default() -> ClientConfig {
        ClientConfig {
            discovery: Discovery::default(),
            tls: None,
            allow_plaintext: false,
            cluster_id: None,
            connect_timeout: Duration::from_secs(1),
            max_command_bytes: 1 << 20,
        }
    }
}

impl ClientConfig {
    /// Checks everything that can be checked without a network.
    ///
    /// # Errors
    ///
    /// [`ClientError::Config`] naming the first setting at fault.
    pub fn validate(&self) -> Result<(), ClientError> {
        let wrong = |what: &str| Err(ClientError::Config(what.to_owned()));
        if let Err(error) = self.discovery.validate() {
            return wrong(&format!("discovery: {error}"));
        }
        if self.discovery == Discovery::default() {
            return wrong("discovery: looks nowhere");
        }
        if self.tls.is_none() && !self.allow_plaintext {
            return wrong("tls: is missing, and plaintext is not allowed");
        }
        if self.connect_timeout.is_zero() {
            return wrong("connect_timeout: must not be 0");
        }
        if self.max_command_bytes == 0 {
            return wrong("max_command_bytes: must not be 0");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_and_named() {
        let sound = ClientConfig {
            discovery: Discovery::fixed(["manager:7000"]),
            allow_plaintext: true,
            ..ClientConfig::default()
        };
        sound.validate().unwrap();
        type Fault = (&'static str, fn(&mut ClientConfig));
        let faults: [Fault; 5] = [
            ("discovery", |config| config.discovery = Discovery::default()),
            ("discovery", |config| config.discovery = Discovery::fixed(["no port"])),
            ("tls", |config| config.allow_plaintext = false),
            ("connect_timeout", |config| config.connect_timeout = Duration::ZERO),
            ("max_command_bytes", |config| config.max_command_bytes = 0),
        ];
        for (field, spoil) in faults {
            let mut config = sound.clone();
            spoil(&mut config);
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
