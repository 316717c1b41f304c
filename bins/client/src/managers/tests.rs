use super::*;
use crate::trust::SERVER_NAME;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

struct Authority {
    pem: Vec<u8>,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let (pem, der) = (certificate.pem().into_bytes(), certificate.der().clone());
    Authority { pem, der, issuer: Issuer::new(params, key) }
}

impl Authority {
    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone(), self.der.clone()], secret)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What a scripted manager does with a request.
#[derive(Clone)]
enum Does {
    Answers(u16, &'static str),
    /// Says this of the cluster, and that of everything else.
    Says(String, String),
    /// Takes the request and hangs up.
    HangsUp,
}

/// A manager that does as it is told, and keeps what it was sent.
struct Scripted {
    address: String,
    requests: Arc<AtomicUsize>,
    last: Arc<Mutex<String>>,
}

async fn manager(authority: &Authority, does: Does) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = authority.acceptor();
    let (requests, last) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::default()));
    let (counter, kept) = (requests.clone(), last.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, does) = (acceptor.clone(), does.clone());
            let (counter, kept) = (counter.clone(), kept.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = vec![0; 64 << 10];
                let length = stream.read(&mut request).await.unwrap_or(0);
                if length == 0 {
                    return;
                }
                *kept.lock().unwrap() = String::from_utf8_lossy(&request[..length]).into_owned();
                counter.fetch_add(1, Ordering::SeqCst);
                let (status, body) = match does {
                    Does::Answers(status, body) => (status, body.to_owned()),
                    Does::Says(body, _) if request.starts_with(b"GET /cluster ") => (200, body),
                    Does::Says(_, body) => (200, body),
                    Does::HangsUp => return,
                };
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
                let reply = format!("{head}connection: close\r\n\r\n{body}");
                let _ = stream.write_all(reply.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    Scripted { address, requests, last }
}

const SENTENCE: &str = r#"{"message":"done","status":200}"#;
const NO_LEADER: &str =
    r#"{"type":"/problems/no-leader","title":"","status":503,"detail":"d","request_id":"r"}"#;

fn client(trust: &Trust, addresses: &[&str], deadline: Duration) -> ManagerClient {
    let find = Discovery::fixed(addresses.iter().map(|&a| a.to_owned()));
    ManagerClient::new(trust, find, deadline).unwrap()
}

fn patient(authority: &Authority, addresses: &[&str]) -> ManagerClient {
    let trust = Trust::Authority(authority.pem.clone());
    client(&trust, addresses, Duration::from_secs(20))
}

fn delete_request() -> rest::DeleteRequest {
    rest::DeleteRequest { password: Secret("p".into()), statement: rest::Base64(Vec::new()) }
}

fn reconnect_request() -> rest::ReconnectRequest {
    rest::ReconnectRequest { port: 7, address_statement: rest::Base64(Vec::new()) }
}

fn alice() -> Username {
    Username::parse("alice").unwrap()
}

const LOOPBACK: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn a_manager_that_is_gone_or_has_no_leader_is_passed_over() {
    let ca = authority();
    // A port that was free a moment ago: nobody listens there.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let leaderless = manager(&ca, Does::Answers(503, NO_LEADER)).await;
    let good = manager(&ca, Does::Answers(200, SENTENCE)).await;
    let client = patient(&ca, &[&gone, &leaderless.address, &good.address]);
    // Not repeatable, and made elsewhere all the same: nothing had happened.
    client.delete_account(&delete_request()).await.unwrap();
    assert_eq!(leaderless.requests.load(Ordering::SeqCst), 1);
    // The one that worked comes first from now on.
    assert_eq!(client.addresses()[0], good.address);
    client.delete_account(&delete_request()).await.unwrap();
    assert_eq!(leaderless.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_only_when_that_does_no_harm() {
    let ca = authority();
    let cut = manager(&ca, Does::HangsUp).await;
    let good = manager(&ca, Does::Answers(200, SENTENCE)).await;
    let careful = patient(&ca, &[&cut.address, &good.address]);
    let outcome = careful.delete_account(&delete_request()).await;
    assert!(matches!(outcome, Err(ManagerError::OutcomeUnknown)), "{outcome:?}");
    assert_eq!(good.requests.load(Ordering::SeqCst), 0);
    careful.reconnect(&alice(), LOOPBACK, &reconnect_request()).await.unwrap();
    assert_eq!(good.requests.load(Ordering::SeqCst), 1);
}

/// A manager that says it is `node_id` of `voters`, and that `others` are managers, too.
async fn one_of(ca: &Authority, node_id: u64, voters: u32, others: &[&str]) -> Scripted {
    let cluster = rest::Cluster {
        cluster_id: "00".repeat(16),
        node_id,
        leader: 1,
        voters,
        managers: others.iter().map(|&other| other.to_owned()).collect(),
        version: String::new(),
    };
    let peer = rest::Peer {
        username: "alice".into(),
        account_id: String::new(),
        public_key: rest::Base64(Vec::new()),
        register_statement: rest::Base64(Vec::new()),
        ip: None,
        port: None,
        address_statement: None,
        status: rest::Status::Offline,
        last_seen: None,
        term: 1,
        index: 1,
    };
    let cluster = serde_json::json!({ "message": cluster, "status": 200 }).to_string();
    let peer = serde_json::json!({ "message": peer, "status": 200 }).to_string();
    manager(ca, Does::Says(cluster, peer)).await
}

#[tokio::test]
async fn a_manager_that_makes_the_cluster_small_does_not_spare_itself_a_comparison() {
    let ca = authority();
    let third = one_of(&ca, 3, 3, &[]).await;
    let honest = one_of(&ca, 2, 3, &[&third.address]).await;
    let liar = one_of(&ca, 1, 1, &[]).await;
    let listed = [liar.address.as_str(), &honest.address];
    // Alone among those that are known, it would be believed.
    let client = patient(&ca, &listed[..1]);
    client.cluster().await.unwrap();
    assert_eq!(client.user_from_several(&alice()).await.len(), 1);
    // What the list and what earlier answers said weighs more than its word.
    for remembered in [2, 3] {
        let client = patient(&ca, &listed);
        client.expect_voters(remembered);
        assert_eq!(client.cluster().await.unwrap().voters, 1);
        assert_eq!(client.user_from_several(&alice()).await.len(), 2);
        assert_eq!((client.voters(), client.majority()), (3, 2));
    }
    // One that was asked names another, which is asked as well.
    let client = patient(&ca, &listed);
    client.expect_voters(5);
    client.cluster().await.unwrap();
    assert_eq!((client.majority(), client.user_from_several(&alice()).await.len()), (3, 3));
    client.expect_voters(u32::MAX);
    assert_eq!(client.voters(), 64, "one lie cannot ask for more than there can be");
}

#[tokio::test]
async fn a_refusal_is_final_and_typed() {
    let ca = authority();
    let taken = r#"{"type":"/problems/username-taken","title":"","status":409,"detail":"taken",
        "request_id":"r"}"#;
    let first = manager(&ca, Does::Answers(409, taken)).await;
    let second = manager(&ca, Does::Answers(200, SENTENCE)).await;
    let client = patient(&ca, &[&first.address, &second.address]);
    let outcome = client.reconnect(&alice(), LOOPBACK, &reconnect_request()).await;
    assert!(matches!(outcome, Err(ManagerError::NameTaken(text)) if text == "taken"));
    assert_eq!(second.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_impostor_gets_no_request() {
    let (ca, other) = (authority(), authority());
    let impostor = manager(&other, Does::Answers(200, SENTENCE)).await;
    let trust = Trust::Authority(ca.pem.clone());
    let client = client(&trust, &[&impostor.address], Duration::from_millis(500));
    client.set_token(Some(Secret("tg_secret".into())));
    let outcome = client.user(&alice()).await;
    assert!(matches!(outcome, Err(ManagerError::Untrusted { .. })), "{outcome:?}");
    assert_eq!(impostor.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_fingerprint_does_for_the_authority_s_certificate() {
    use sha2::{Digest, Sha256};
    let (ca, other) = (authority(), authority());
    let good = manager(&ca, Does::Answers(200, SENTENCE)).await;
    let pinned = Trust::Fingerprint(Sha256::digest(&ca.der).into());
    let wrong = Trust::Fingerprint(Sha256::digest(&other.der).into());
    let long = Duration::from_secs(20);
    client(&pinned, &[&good.address], long).delete_account(&delete_request()).await.unwrap();
    let short = Duration::from_millis(500);
    let outcome = client(&wrong, &[&good.address], short).delete_account(&delete_request()).await;
    assert!(matches!(outcome, Err(ManagerError::Untrusted { .. })), "{outcome:?}");
}

#[tokio::test]
async fn requests_carry_token_path_and_query_as_they_should() {
    let ca = authority();
    let peers = r#"{"message":{"peers":[],"next":null},"status":200}"#;
    let good = manager(&ca, Does::Answers(200, peers)).await;
    let client = patient(&ca, &[&good.address]);
    client.set_token(Some(Secret("tg_secret".into())));
    client.peers(Some("a&b=c")).await.unwrap();
    let request = good.last.lock().unwrap().clone();
    assert!(request.starts_with("GET /peers?after=a%26b%3Dc HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer tg_secret\r\n"), "{request}");
    // A path segment stays one, whatever is in it.
    let _ = client.revoke("../login").await;
    let request = good.last.lock().unwrap().clone();
    assert!(request.starts_with("DELETE /sessions/..%2Flogin "), "{request}");
}

#[tokio::test]
async fn nonsense_and_too_much_of_it_are_an_error_and_not_believed() {
    let ca = authority();
    let nonsense = manager(&ca, Does::Answers(200, r#"{"message":{"peers":7}}"#)).await;
    let trust = Trust::Authority(ca.pem.clone());
    let client = client(&trust, &[&nonsense.address], Duration::from_millis(500));
    assert!(matches!(client.peers(None).await, Err(ManagerError::Malformed(_))));
}

#[tokio::test]
async fn without_managers_a_request_ends_when_its_time_is_up() {
    let trust = Trust::Fingerprint([1; 32]);
    let client = client(&trust, &["127.0.0.1:1"], Duration::from_millis(300));
    let begun = Instant::now();
    assert!(matches!(client.cluster().await, Err(ManagerError::Unavailable(_))));
    assert!(begun.elapsed() < Duration::from_secs(10));
}
