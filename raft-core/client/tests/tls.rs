//! Who is let in, and who is believed, when the connection is encrypted.

#![allow(clippy::unwrap_used)] // In tests, and in what they share.

use std::sync::Arc;
use std::time::Duration;

use raft_core_client::{Client, ClientConfig, ClientError, Tls};
use raft_core_discovery::Discovery;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::kx_group::{X25519, X25519MLKEM768};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

const NAME: &str = "telegraph-manager";

struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str) -> Tls {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Tls {
            ca_pem: self.certificate.pem().into_bytes(),
            cert_pem: certificate.pem().into_bytes(),
            key_pem: key.serialize_pem().into_bytes(),
            server_name: NAME.to_owned(),
        }
    }
}

/// A TLS server that reports, for each connection, the first bytes that it decrypted.
async fn listen(
    authority: &Authority,
    name: &str,
    exchange: &'static dyn SupportedKxGroup,
    alpn: &[u8],
) -> (String, mpsc::Receiver<Result<Vec<u8>, String>>) {
    let own = authority.issue(name);
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![exchange];
    let provider = Arc::new(provider);
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let chain = rustls::pki_types::CertificateDer::pem_slice_iter(&own.cert_pem);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            chain.collect::<Result<_, _>>().unwrap(),
            PrivateKeyDer::from_pem_slice(&own.key_pem).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (report, reports) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let outcome = match acceptor.accept(tcp).await {
                Ok(mut stream) => {
                    let mut first = vec![0; 14];
                    let read = stream.read_exact(&mut first).await;
                    read.map(|_| first).map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            if report.send(outcome).await.is_err() {
                return;
            }
        }
    });
    (address, reports)
}

async fn attempt(address: &str, tls: Tls) -> ClientError {
    let config = ClientConfig {
        discovery: Discovery::fixed([address]),
        tls: Some(tls),
        connect_timeout: Duration::from_millis(500),
        ..ClientConfig::default()
    };
    Client::connect(config, Duration::from_secs(1)).await.unwrap_err()
}

#[tokio::test]
async fn a_member_of_our_authority_is_spoken_to_in_http2() {
    let authority = Authority::new();
    let (address, mut heard) = listen(&authority, NAME, X25519MLKEM768, b"h2").await;
    let error = attempt(&address, authority.issue("client")).await;
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert_eq!(heard.recv().await.unwrap().unwrap(), b"PRI * HTTP/2.0");
}

#[tokio::test]
async fn impostors_hear_not_one_byte() {
    let authority = Authority::new();
    let foreign = Authority::new();
    let (wrong_ca, mut a) = listen(&foreign, NAME, X25519MLKEM768, b"h2").await;
    let (wrong_name, mut b) = listen(&authority, "somebody-else", X25519MLKEM768, b"h2").await;
    let (old_exchange, mut c) = listen(&authority, NAME, X25519, b"h2").await;
    let (wrong_protocol, mut d) = listen(&authority, NAME, X25519MLKEM768, b"http/1.1").await;
    for (address, heard) in
        [(wrong_ca, &mut a), (wrong_name, &mut b), (old_exchange, &mut c), (wrong_protocol, &mut d)]
    {
        let error = attempt(&address, authority.issue("client")).await;
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
        assert!(heard.recv().await.unwrap().is_err(), "{address} heard us");
    }
}

#[tokio::test]
async fn a_client_whose_certificate_another_authority_signed_is_told_so_before_the_deadline() {
    let authority = Authority::new();
    let (address, mut heard) = listen(&authority, NAME, X25519MLKEM768, b"h2").await;
    let mut foreign = Authority::new().issue("client");
    foreign.ca_pem = authority.certificate.pem().into_bytes();
    let error = attempt(&address, foreign).await;
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(heard.recv().await.unwrap().is_err());
}
