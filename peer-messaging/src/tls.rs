//! TLS 1.3 between two people, by their account keys and nothing else.
//!
//! Raw public keys (RFC 7250) both ways: there is no certificate, no authority and no name. The
//! hybrid X25519MLKEM768 is the only key exchange, HTTP/2 the only protocol above; a session is
//! never resumed, so that every connection proves both keys anew.

use crate::key::AccountKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, ClientConfig, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature_with_raw_key,
    },
    pki_types::{
        CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
    },
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage, ServerConfig,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use std::sync::Arc;
use telegraph_proto::account::PublicKey;

/// The protocol above.
pub(crate) const ALPN: &[u8] = b"h2";
/// An Ed25519 key as a SubjectPublicKeyInfo (RFC 8410 section 4) is this, and then the 32 bytes.
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];

/// This account's end of every connection.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    provider: Arc<CryptoProvider>,
    certified: Arc<CertifiedKey>,
}

impl Identity {
    /// Fails when the cryptographic library does not take the key, which is a fault of this
    /// program.
    pub(crate) fn new(key: &AccountKey) -> Result<Self, Error> {
        let pkcs8 = key.to_pkcs8();
        let signing = aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_slice()))?;
        let public = CertificateDer::from(to_spki(&key.public_key()));
        let certified = Arc::new(CertifiedKey::new(vec![public], signing));
        Ok(Self { provider: Arc::new(provider()), certified })
    }

    /// The end that is called: takes any well-formed Ed25519 key, which [`caller`] then names.
    pub(crate) fn server(&self) -> Result<ServerConfig, Error> {
        let verifier = Arc::new(AnyKey { algorithms: self.algorithms() });
        let resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(self.certified.clone()));
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// The end that calls: goes on only when the other end proves to have `pinned`.
    pub(crate) fn client(&self, pinned: &PublicKey) -> Result<ClientConfig, Error> {
        let verifier = PinnedKey { spki: to_spki(pinned), algorithms: self.algorithms() };
        let resolver = Arc::new(AlwaysResolvesClientRawPublicKeys::new(self.certified.clone()));
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(resolver);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        // Nobody on the way needs to know what is asked for.
        config.enable_sni = false;
        Ok(config)
    }

    fn algorithms(&self) -> WebPkiSupportedAlgorithms {
        self.provider.signature_verification_algorithms
    }
}

/// Who calls, once the handshake is done. `None`: no key was proven, or not by HTTP/2.
pub(crate) fn caller(connection: &rustls::ServerConnection) -> Option<PublicKey> {
    if connection.alpn_protocol() != Some(ALPN) {
        return None;
    }
    from_spki(connection.peer_certificates()?.first()?.as_ref())
}

/// True when `error` says that the other end has another key than the pinned one.
pub(crate) fn is_wrong_key(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(inner, Some(Error::InvalidCertificate(_)))
}

fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    provider.cipher_suites.retain(|suite| suite.tls13().is_some());
    provider
}

/// A key as TLS carries it.
pub(crate) fn to_spki(key: &PublicKey) -> Vec<u8> {
    [SPKI_HEAD.as_slice(), key.as_bytes()].concat()
}

fn from_spki(spki: &[u8]) -> Option<PublicKey> {
    PublicKey::from_slice(spki.strip_prefix(&SPKI_HEAD)?).ok()
}

/// Whatever is no TLS 1.3 is not spoken here.
fn no_tls12() -> Error {
    Error::General("TLS 1.2 is not spoken here".into())
}

fn verify_signature(
    message: &[u8],
    spki: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
    verify_tls13_signature_with_raw_key(message, &spki, signature, algorithms)
}

/// Takes any Ed25519 key that is not of small order, one point having one encoding.
#[derive(Debug)]
struct AnyKey {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if intermediates.is_empty() && from_spki(end_entity.as_ref()).is_some() {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::BadEncoding))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Takes one key.
#[derive(Debug)]
struct PinnedKey {
    spki: Vec<u8>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if intermediates.is_empty() && end_entity.as_ref() == self.spki {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
