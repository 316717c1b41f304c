//! Certificates for a run over TLS, made for it and gone with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use hyper_util::rt::TokioIo;
use raft_core_client::Tls;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use telegraph_benches::Certificates;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

/// The DNS name in the certificate.
pub(crate) const SERVER_NAME: &str = "kv";

/// gRPC's protocol in TLS terms.
const ALPN: &[u8] = b"h2";

/// One certificate (P-256) for members and clients alike, and the authority that signed it.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// The same for a client.
    pub(crate) tls: Tls,
}

impl Credentials {
    /// Makes them, and writes them into a directory.
    pub(crate) fn make(directory: &Path) -> anyhow::Result<Credentials> {
        let Certificates { ca, cert, key } = Certificates::make(SERVER_NAME)?;
        let server_name = SERVER_NAME.to_owned();
        let tls = Tls { ca_pem: ca, cert_pem: cert, key_pem: key, server_name };
        let write = |name: &str, pem: &[u8]| -> io::Result<PathBuf> {
            let path = directory.join(name);
            fs::write(&path, pem)?;
            Ok(path)
        };
        Ok(Credentials {
            ca: write("ca.pem", &tls.ca_pem)?,
            cert: write("cert.pem", &tls.cert_pem)?,
            key: write("key.pem", &tls.key_pem)?,
            tls,
        })
    }

    /// A channel that connects to `address` when it is first used, over mutual TLS.
    pub(crate) fn channel(&self, address: &str) -> anyhow::Result<Channel> {
        let connector = self.connector()?;
        let name = ServerName::try_from(SERVER_NAME)?;
        let address: Arc<str> = address.into();
        let dial = tower::service_fn(move |_: Uri| {
            let (connector, name) = (connector.clone(), name.clone());
            let address = Arc::clone(&address);
            async move {
                let tcp = TcpStream::connect(&*address).await?;
                tcp.set_nodelay(true)?;
                connector.connect(name, tcp).await.map(TokioIo::new)
            }
        });
        Ok(Endpoint::from_static("http://member").connect_with_connector_lazy(dial))
    }

    fn connector(&self) -> anyhow::Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&self.tls.ca_pem)?)?;
        let chain = vec![CertificateDer::from_pem_slice(&self.tls.cert_pem)?];
        let key = PrivateKeyDer::from_pem_slice(&self.tls.key_pem)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .context("the client's certificate")?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}
