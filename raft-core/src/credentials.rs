//! Mutual TLS between members: 1.3 only, hybrid key exchange only, one private authority.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::error::StartError;
use crate::tls::Tls;

/// HTTP/2, the only protocol spoken on these connections.
pub(crate) const ALPN: &[u8] = b"h2";

/// Credentials, parsed and ready for both ends.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    /// For accepting connections.
    pub(crate) server: Arc<ServerConfig>,
    /// For making them.
    pub(crate) client: Arc<ClientConfig>,
    /// The name every member's certificate carries.
    pub(crate) name: ServerName<'static>,
}

impl Credentials {
    /// Parses credentials. Fails on garbled PEM, a key that is not the certificate's, and a name
    /// that is no DNS name.
    pub(crate) fn new(tls: &Tls) -> Result<Credentials, StartError> {
        let roots = Arc::new(authority(tls)?);
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&tls.cert_pem)
            .collect::<Result<_, _>>()
            .map_err(unusable("the certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&tls.key_pem).map_err(unusable("the key"))?;
        let provider = Arc::new(provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(unusable("the authority"))?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable("TLS 1.3"))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(unusable("the certificate"))?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable("TLS 1.3"))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(unusable("the certificate"))?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        client.alpn_protocols = vec![ALPN.to_vec()];
        let name =
            ServerName::try_from(tls.server_name.clone()).map_err(unusable("the server name"))?;
        Ok(Credentials { server: Arc::new(server), client: Arc::new(client), name })
    }
}

fn authority(tls: &Tls) -> Result<RootCertStore, StartError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&tls.ca_pem) {
        let certificate = certificate.map_err(unusable("the authority"))?;
        roots.add(certificate).map_err(unusable("the authority"))?;
    }
    if roots.is_empty() {
        return Err(StartError::Tls("the authority holds no certificate".into()));
    }
    Ok(roots)
}

/// Ours alone, whatever the process has installed: a recorded connection is to stay secret also
/// from a later quantum computer, and all members are of our own make.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    }
}

fn unusable<E: fmt::Display>(what: &'static str) -> impl FnOnce(E) -> StartError {
    move |error| StartError::Tls(format!("{what}: {error}"))
}
