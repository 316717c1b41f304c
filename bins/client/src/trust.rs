//! Whom a client believes to be a manager: TLS by a private authority, never by an address.

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    version::TLS13,
};
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc};

/// The name every manager's certificate carries, whatever address was dialled: discovery proposes
/// addresses, this name under the cluster's authority decides.
pub(crate) const SERVER_NAME: &str = "telegraph-manager";

/// What tells a manager from anybody else. There is no third way, and none that accepts anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The certificates of the authority, PEM.
    Authority(Vec<u8>),
    /// The SHA-256 of the authority's certificate, which the managers then have to send along with
    /// their own.
    Fingerprint([u8; 32]),
}

/// Why a setting of trust cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// No certificate in the file, or one that is none.
    #[error("the authority's file holds no usable certificate: {0}")]
    Authority(String),
    /// Not 64 hexadecimal digits.
    #[error("a fingerprint is a SHA-256: 64 hexadecimal digits, colons allowed")]
    Fingerprint,
    /// The TLS library refuses the combination.
    #[error("TLS cannot be set up")]
    Tls(#[source] TlsError),
}

impl Trust {
    /// Reads a fingerprint as tools print it: hexadecimal, either case, with or without colons and
    /// a leading `sha256:`. Fails with [`TrustError::Fingerprint`].
    pub fn parse_fingerprint(text: &str) -> Result<Self, TrustError> {
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.strip_prefix("sha256:").unwrap_or(&lower).replace(':', "");
        let bytes = hex::decode(digits).map_err(|_| TrustError::Fingerprint)?;
        bytes.try_into().map(Self::Fingerprint).map_err(|_| TrustError::Fingerprint)
    }

    /// The TLS settings of every connection to a manager: TLS 1.3 only, the hybrid post-quantum
    /// key exchange first. Fails when the authority's file is not one.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(TrustError::Tls)?;
        let mut config = match self {
            Self::Authority(pem) => builder.with_root_certificates(roots(pem)?),
            Self::Fingerprint(fingerprint) => {
                let verifier = PinnedAuthority { fingerprint: *fingerprint, provider };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
        }
        .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| TrustError::Authority(e.to_string()))?;
        roots.add(certificate).map_err(|e| TrustError::Authority(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(TrustError::Authority("it is empty".into()));
    }
    Ok(roots)
}

/// Believes a chain that contains the authority with the pinned fingerprint, and then only what
/// that authority really signed, for the right name and at the right time.
///
/// - The pinned certificate is looked for among the *issuers*: a leaf is never its own authority.
struct PinnedAuthority {
    fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for PinnedAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedAuthority({})", hex::encode(self.fingerprint))
    }
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let authority = intermediates
            .iter()
            .filter(|issuer| *issuer != end_entity)
            .find(|issuer| <[u8; 32]>::from(Sha256::digest(issuer)) == self.fingerprint)
            .ok_or(TlsError::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|e| TlsError::General(e.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        // TLS 1.2 is not offered.
        Err(TlsError::InvalidCertificate(CertificateError::BadSignature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
