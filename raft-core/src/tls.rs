//! A member's credentials, as they are given.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

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

impl Tls {
    /// Reads the credentials from PEM files: the authority's certificate, this member's
    /// certificate with its chain, and its key. The error names the file that cannot be read;
    /// whether they are credentials at all is seen at start. Blocks.
    pub fn from_files(
        ca: impl AsRef<Path>,
        cert: impl AsRef<Path>,
        key: impl AsRef<Path>,
        server_name: impl Into<String>,
    ) -> io::Result<Tls> {
        Ok(Tls {
            ca_pem: read(ca.as_ref())?,
            cert_pem: read(cert.as_ref())?,
            key_pem: read(key.as_ref())?,
            server_name: server_name.into(),
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    fs::read(path).map_err(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_from_files_and_a_missing_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["ca", "cert", "key"] {
            fs::write(path(name), name).unwrap();
        }
        let tls = Tls::from_files(path("ca"), path("cert"), path("key"), "cluster").unwrap();
        assert_eq!((tls.cert_pem, tls.server_name), (b"cert".to_vec(), "cluster".to_owned()));
        let error = Tls::from_files(path("ca"), path("gone"), path("key"), "cluster").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("gone"));
    }
}
