use std::sync::Arc;

use raft_core::StartError;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use telegraph_proto::raft::HelloRequest;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Code;

use super::certificates::{Authority, NAME};
use super::harness::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_talk_over_mutual_tls() {
    let authority = Authority::new();
    let cluster = Cluster::formed(move |config| {
        config.allow_plaintext = false;
        config.tls = Some(authority.sign(NAME));
    })
    .await;
    let commands = cluster.propose_many(cluster.follower().await, "secret", 20).await;
    cluster.agree_on(&commands).await;

    // The application's own calls go the same way.
    let node = cluster.node(1);
    assert!(node.channel(1).is_none() && node.channel(9).is_none());
    let mut client = RaftServiceClient::new(node.channel(2).unwrap());
    let refused = client.hello(HelloRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

/// Whether a client gets as far as HTTP/2's first frame.
async fn is_served(
    cluster: &Cluster,
    authority: &raft_core::Tls,
    identity: Option<&raft_core::Tls>,
    hybrid: bool,
    alpn: &[u8],
) -> bool {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&authority.ca_pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = match hybrid {
        true => vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768],
        false => vec![rustls::crypto::aws_lc_rs::kx_group::X25519],
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(tls) => builder
            .with_client_auth_cert(
                CertificateDer::pem_slice_iter(&tls.cert_pem).map(Result::unwrap).collect(),
                PrivateKeyDer::from_pem_slice(&tls.key_pem).unwrap(),
            )
            .unwrap(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(cluster.node(1).local_addr()).await.unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, stream).await else {
        return false;
    };
    // In TLS 1.3 a client learns of its refusal only when it reads.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(preface).await.is_ok()
        && matches!(stream.read(&mut [0; 9]).await, Ok(count) if count > 0)
}

/// The type of a TLS record that ends a connection.
const ALERT: u8 = 21;

/// Everything the node says to these bytes until it hangs up.
async fn answer_to(cluster: &Cluster, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(cluster.node(1).local_addr()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// A hello that offers TLS 1.2 and one of its cipher suites, and knows no extensions.
fn client_hello_of_tls_1_2() -> Vec<u8> {
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    let length = hello.len() as u8;
    [vec![22, 3, 1, 0, length + 4, 1, 0, 0, length], hello].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_members_of_this_authority_with_this_tls_are_served() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (member, stranger) = (ours.sign(NAME), theirs.sign(NAME));
    let credentials = member.clone();
    let mut cluster = Cluster::prepare(1, move |config| {
        config.allow_plaintext = false;
        config.tls = Some(credentials.clone());
    })
    .await;
    cluster.start(1).await;
    assert!(is_served(&cluster, &member, Some(&member), true, b"h2").await);
    assert!(!is_served(&cluster, &member, None, true, b"h2").await, "no certificate");
    assert!(!is_served(&cluster, &member, Some(&stranger), true, b"h2").await, "foreign");
    assert!(!is_served(&cluster, &stranger, Some(&member), true, b"h2").await, "fooled");
    assert!(!is_served(&cluster, &member, Some(&member), false, b"h2").await, "classical");
    assert!(!is_served(&cluster, &member, Some(&member), true, b"http/1.1").await, "http/1");
    let answer = answer_to(&cluster, &client_hello_of_tls_1_2()).await;
    assert_eq!(answer.first(), Some(&ALERT), "TLS 1.2");
    let answer = answer_to(&cluster, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(matches!(answer.first(), None | Some(&ALERT)), "plaintext");
    cluster.node(1).bootstrap().await.unwrap();
    cluster.propose(1, "still here").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_a_foreign_certificate_stays_out() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let sound = ours.sign(NAME);
    let mut cluster = Cluster::formed(move |config| {
        config.allow_plaintext = false;
        config.tls = Some(sound.clone());
    })
    .await;
    cluster.halt(3).await;
    let foreign = theirs.sign(NAME);
    cluster.adjust = Box::new(move |config| {
        config.allow_plaintext = false;
        config.tls = Some(foreign.clone());
    });
    cluster.start(3).await;
    cluster.insist(1, "among ourselves").await;
    cluster.insist(2, "among ourselves, too").await;
    assert_eq!(cluster.kept(3).commands().len(), 0);
    let leads = |id| cluster.node(id).status().leader.is_some();
    assert!(leads(1) && leads(2) && !leads(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusable_credentials_are_refused_at_start() {
    let authority = Authority::new();
    let sound = authority.sign(NAME);
    let other = authority.sign(NAME);
    let faults: [fn(&mut raft_core::Tls, &raft_core::Tls); 5] = [
        |tls, _| tls.ca_pem.clear(),
        |tls, _| tls.cert_pem = b"garbage".to_vec(),
        |tls, _| tls.key_pem = b"garbage".to_vec(),
        |tls, other| tls.key_pem.clone_from(&other.key_pem),
        |tls, _| tls.server_name = "not a name".into(),
    ];
    for (number, spoil) in faults.into_iter().enumerate() {
        let mut tls = sound.clone();
        spoil(&mut tls, &other);
        let mut cluster = Cluster::prepare(1, move |config| config.tls = Some(tls.clone())).await;
        let refused = cluster.try_start(1).await;
        assert!(matches!(refused, Err(StartError::Tls(_))), "fault {number}: {refused:?}");
    }
}
