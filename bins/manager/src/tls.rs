//! TLS of the REST edge, and of the small client that asks managers how they are: TLS 1.3 alone.

use crate::certs::Credentials;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use rustls::{ClientConfig, RootCertStore, ServerConfig, version::TLS13};
use std::sync::Arc;

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or not what was expected in it.
    #[error("{what}: {source}")]
    Pem {
        /// Which of the files.
        what: &'static str,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A file without any certificate.
    #[error("{0} holds no certificate")]
    Empty(&'static str),
    /// Key and certificate do not fit, or are of a kind that cannot be used.
    #[error("credentials: {0}")]
    Unusable(#[from] rustls::Error),
}

/// The REST edge's side. Clients show no certificate: they show a session token.
pub(crate) fn server(credentials: &Credentials) -> Result<ServerConfig, TlsError> {
    let mut chain = certificates("the manager's certificate", &credentials.cert_pem)?;
    // Sent along for clients that know the authority by its fingerprint alone.
    chain.extend(certificates("the authority's certificate", &credentials.ca_pem)?);
    let key = PrivateKeyDer::from_pem_slice(&credentials.key_pem)
        .map_err(|source| TlsError::Pem { what: "the manager's key", source })?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A client that believes this authority and nobody else.
pub(crate) fn client(ca_pem: &[u8]) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("the authority's certificate", ca_pem)? {
        roots.add(certificate)?;
    }
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Named here and handed on, so that no other library's choice of a process-wide one matters. It
/// prefers the hybrid X25519MLKEM768 and lets those who do not know it in with X25519.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|source| TlsError::Pem { what, source })?;
    if all.is_empty() { Err(TlsError::Empty(what)) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs;

    #[test]
    fn issued_credentials_serve_and_their_authority_is_believed() {
        let credentials = certs::generate_authority().unwrap().issue(&[]).unwrap();
        assert!(server(&credentials).is_ok());
        assert!(client(&credentials.ca_pem).is_ok());
    }

    #[test]
    fn a_key_of_another_certificate_and_what_is_no_pem_are_refused() {
        let authority = certs::generate_authority().unwrap();
        let (one, other) = (authority.issue(&[]).unwrap(), authority.issue(&[]).unwrap());
        let mixed = Credentials { key_pem: other.key_pem, ..one.clone() };
        assert!(matches!(server(&mixed), Err(TlsError::Unusable(_))));
        let empty = Credentials { cert_pem: Vec::new(), ..one.clone() };
        assert!(matches!(server(&empty), Err(TlsError::Empty(_))));
        let keyless = Credentials { key_pem: b"no key".to_vec(), ..one };
        assert!(matches!(server(&keyless), Err(TlsError::Pem { .. })));
        assert!(client(b"").is_err());
    }
}
