//! The cluster's private certificate authority and the one certificate all its managers share.
//!
//! One stolen manager key is the cluster's key in this version: whoever has it can speak as any
//! manager. Keep `ca.key` off the managers; they need only the other three files.

use crate::clock;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The name in every manager's certificate, whatever its address: clients and managers ask for it.
pub const SERVER_NAME: &str = "telegraph-manager";

/// Years until the authority expires.
const AUTHORITY_YEARS: u64 = 20;
/// Years until a certificate expires: there is no automatic renewal yet, so it must not surprise.
const CERTIFICATE_YEARS: u64 = 10;

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A host is neither a DNS name nor an IP address.
    #[error("{0:?} is neither a host name nor an IP address")]
    Host(String),
    /// A file is there already: authorities are never overwritten.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What should be a certificate is none.
    #[error("not a PEM certificate")]
    NotACertificate,
    /// Generating or signing failed.
    #[error("certificate: {0}")]
    Generate(#[from] rcgen::Error),
}

/// What a manager needs to speak as one: PEM, all three.
#[derive(Clone)]
pub struct Credentials {
    /// The authority's certificate.
    pub ca_pem: Vec<u8>,
    /// The managers' certificate.
    pub cert_pem: Vec<u8>,
    /// The private key of that certificate, PKCS#8.
    pub key_pem: Vec<u8>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl From<Credentials> for raft_core::Tls {
    fn from(credentials: Credentials) -> Self {
        Self {
            ca_pem: credentials.ca_pem,
            cert_pem: credentials.cert_pem,
            key_pem: credentials.key_pem,
            server_name: SERVER_NAME.into(),
        }
    }
}

/// A private authority, able to sign.
pub struct Authority {
    cert_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(…)")
    }
}

/// Makes a new authority: a P-256 key and its self-signed certificate.
pub fn generate_authority() -> Result<Authority, CertificateError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Telegraph cluster authority");
    // It signs managers' certificates, never another authority's.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, AUTHORITY_YEARS);
    let cert_pem = params.self_signed(&key)?.pem();
    Ok(Authority { cert_pem, issuer: Issuer::new(params, key) })
}

impl Authority {
    /// The authority's certificate.
    pub fn ca_pem(&self) -> &[u8] {
        self.cert_pem.as_bytes()
    }

    /// Issues the managers' certificate: for [`SERVER_NAME`], `localhost`, the loopback addresses
    /// and `hosts` (DNS names or IP addresses), good for serving and for calling.
    pub fn issue(&self, hosts: &[String]) -> Result<Credentials, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, SERVER_NAME);
        params.subject_alt_names = vec![
            dns_name(SERVER_NAME)?,
            dns_name("localhost")?,
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ];
        for host in hosts {
            let name = match host.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => dns_name(host)?,
            };
            if !params.subject_alt_names.contains(&name) {
                params.subject_alt_names.push(name);
            }
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        valid_for(&mut params, CERTIFICATE_YEARS);
        let cert_pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Credentials {
            ca_pem: self.cert_pem.clone().into_bytes(),
            cert_pem: cert_pem.into_bytes(),
            key_pem: key.serialize_pem().into_bytes(),
        })
    }
}

/// The files of a certificate directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The authority's certificate: for managers and for every client.
    pub ca: PathBuf,
    /// The authority's key: for nobody but who issues certificates.
    pub ca_key: PathBuf,
    /// The managers' certificate.
    pub cert: PathBuf,
    /// The managers' key.
    pub key: PathBuf,
}

impl Files {
    /// `ca.pem`, `ca.key`, `manager.pem` and `manager.key` in a directory.
    pub fn of(directory: &Path) -> Self {
        Self {
            ca: directory.join("ca.pem"),
            ca_key: directory.join("ca.key"),
            cert: directory.join("manager.pem"),
            key: directory.join("manager.key"),
        }
    }

    /// Makes an authority and a certificate for `hosts` and writes them; keys are readable by their
    /// owner alone. Fails with [`CertificateError::Exists`] when any of the files is there.
    pub fn initialise(directory: &Path, hosts: &[String]) -> Result<Self, CertificateError> {
        let files = Self::of(directory);
        for path in [&files.ca, &files.ca_key, &files.cert, &files.key] {
            if path.exists() {
                return Err(CertificateError::Exists(path.clone()));
            }
        }
        let authority = generate_authority()?;
        let credentials = authority.issue(hosts)?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|source| CertificateError::Io { path: directory.into(), source })?;
        let ca_key = authority.issuer.key().serialize_pem();
        write(&files.ca_key, ca_key.as_bytes(), 0o600)?;
        write(&files.key, &credentials.key_pem, 0o600)?;
        write(&files.cert, &credentials.cert_pem, 0o644)?;
        write(&files.ca, &credentials.ca_pem, 0o644)?;
        Ok(files)
    }

    /// Reads what a manager needs; the authority's key is not touched.
    pub fn read(&self) -> Result<Credentials, CertificateError> {
        Ok(Credentials {
            ca_pem: read(&self.ca)?,
            cert_pem: read(&self.cert)?,
            key_pem: read(&self.key)?,
        })
    }
}

/// SHA-256 of the first certificate of a PEM text, as 64 hexadecimal digits: what a person compares
/// to trust an authority.
pub fn fingerprint(pem: &[u8]) -> Result<String, CertificateError> {
    let certificate = CertificateDer::from_pem_slice(pem);
    let certificate = certificate.map_err(|_| CertificateError::NotACertificate)?;
    Ok(hex::encode(Sha256::digest(&certificate)))
}

fn dns_name(host: &str) -> Result<SanType, CertificateError> {
    let sound = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let name = host.try_into().map_err(|_| CertificateError::Host(host.into()))?;
    if sound { Ok(SanType::DnsName(name)) } else { Err(CertificateError::Host(host.into())) }
}

/// From yesterday, so that a clock that is slow still believes it.
fn valid_for(params: &mut CertificateParams, years: u64) {
    let (year, month, day) = clock::civil_date(clock::unix_ms().saturating_sub(86_400_000));
    let year_of = |year: u64| i32::try_from(year).unwrap_or(4000);
    params.not_before = rcgen::date_time_ymd(year_of(year), month, day);
    // 28: a day that every month of every year has.
    params.not_after = rcgen::date_time_ymd(year_of(year + years), month, day.min(28));
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::Io { path: path.into(), source })
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CertificateError> {
    let failed = |source| CertificateError::Io { path: path.into(), source };
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_their_owners_alone_and_nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("certs");
        let files = Files::initialise(&directory, &["manager-1".into()]).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&files.key), 0o600);
        assert_eq!(mode(&files.ca_key), 0o600);
        assert_eq!(mode(&directory), 0o700);
        let again = Files::initialise(&directory, &[]);
        assert!(matches!(again, Err(CertificateError::Exists(_))), "{again:?}");
    }

    #[test]
    fn the_fingerprint_is_of_the_authority_and_stable() {
        let authority = generate_authority().unwrap();
        let credentials = authority.issue(&["10.0.0.1".into(), "a.example".into()]).unwrap();
        let first = fingerprint(authority.ca_pem()).unwrap();
        assert_eq!(first.len(), 64);
        assert_eq!(first, fingerprint(&credentials.ca_pem).unwrap());
        assert_ne!(first, fingerprint(&credentials.cert_pem).unwrap());
        assert!(fingerprint(b"nothing").is_err());
    }

    #[test]
    fn a_host_that_cannot_be_one_is_refused() {
        let authority = generate_authority().unwrap();
        for host in ["", "a b", "ñ", "a/b", &"a".repeat(254)] {
            let issued = authority.issue(&[host.into()]);
            assert!(matches!(issued, Err(CertificateError::Host(_))), "{host:?}");
        }
    }
}
