//! Mutual TLS 1.3 with the members of a cluster.

use std::io;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{RootCertStore, SupportedCipherSuite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::Tls;
use crate::error::ClientError;

/// gRPC's protocol in TLS terms (RFC 9113, section 3.2).
const ALPN: &[u8] = b"h2";

/// Makes and checks TLS connections to members.
///
/// - Nothing but TLS 1.3 with the hybrid X25519MLKEM768 exchange is offered.
/// - Whoever answers must show a certificate of the cluster's authority for the expected name.
#[derive(Clone)]
pub(crate) struct Dialer {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Dialer {
    pub(crate) fn new(tls: &Tls) -> Result<Dialer, ClientError> {
        let wrong = |error: &dyn std::fmt::Display| ClientError::Tls(error.to_string().into());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&tls.ca_pem) {
            roots.add(certificate.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
        }
        if roots.is_empty() {
            return Err(wrong(&"the authority's PEM holds no certificate"));
        }
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&tls.cert_pem)
            .collect::<Result<_, _>>()
            .map_err(|e| wrong(&e))?;
        let key = PrivateKeyDer::from_pem_slice(&tls.key_pem).map_err(|e| wrong(&e))?;
        let name = ServerName::try_from(tls.server_name.clone()).map_err(|e| wrong(&e))?;
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| wrong(&e))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|e| wrong(&e))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Dialer { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Performs the handshake. A member that refuses *us* shows only at the first call: in TLS 1.3
    /// the client finishes first.
    pub(crate) async fn secure(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.connector.connect(self.name.clone(), tcp).await?;
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() != Some(ALPN) {
            return Err(io::Error::other("the other side does not speak HTTP/2"));
        }
        Ok(stream)
    }
}

/// The one key exchange and the cipher suites we speak; whatever the process's default provider is.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768];
    provider.cipher_suites.retain(|suite| matches!(suite, SupportedCipherSuite::Tls13(_)));
    provider
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_are_none_are_refused_before_any_connection() {
        let empty = Tls {
            ca_pem: Vec::new(),
            cert_pem: Vec::new(),
            key_pem: Vec::new(),
            server_name: "telegraph-manager".to_owned(),
        };
        let garbage = Tls { ca_pem: b"-----BEGIN CERTIFICATE-----\n?".to_vec(), ..empty.clone() };
        for tls in [empty, garbage] {
            assert!(matches!(Dialer::new(&tls), Err(ClientError::Tls(_))));
        }
    }
}
