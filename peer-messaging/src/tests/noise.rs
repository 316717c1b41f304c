//! Bytes that make no sense, and callers who do not play by the rules.

use super::world::{CLUSTER, PATIENCE, Person, Town};
use crate::{
    AccountKey, Stage,
    envelope::{self, MAX_ENVELOPES, PROTOCOL_VERSION, Sender},
    link::{self, Calls},
    message::MessageId,
    tls::Identity,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName},
};
use std::{net::SocketAddr, sync::Arc};
use telegraph_proto::{
    account::{AccountId, DeviceId},
    identity::{SignedStatement, StatementKind},
    peer::{Content, DeliverRequest, Envelope, KnockRequest, MarkReadRequest, receipt::Outcome},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::Code;

/// Somebody who speaks the protocol by hand.
struct Caller {
    key: AccountKey,
    link: Calls,
    sender: Sender,
}

async fn caller(of: &Person) -> Caller {
    let key = AccountKey::generate().unwrap();
    let identity = Identity::new(&key).unwrap();
    let address = of.messenger().local_addr();
    let link =
        link::connect(&identity, &of.key.public_key(), address, PATIENCE).await.unwrap().calls;
    let sender = Sender { account_id: key.account_id(), device_id: DeviceId::new([9; 16]) };
    Caller { key, link, sender }
}

impl Caller {
    fn envelope(&self, to: &AccountId, sequence: u64) -> Envelope {
        let link = (sequence, [].as_slice());
        envelope::compose(&self.sender, to, MessageId::generate(), link, 1, "noise".into())
    }

    async fn deliver(&mut self, envelopes: Vec<Envelope>) -> Result<Vec<Outcome>, Code> {
        let request = DeliverRequest { protocol_version: PROTOCOL_VERSION, envelopes };
        let reply = self.link.deliver(request).await.map_err(|status| status.code())?;
        Ok(reply.into_inner().receipts.iter().map(|receipt| receipt.outcome()).collect())
    }
}

#[tokio::test]
async fn envelopes_that_are_wrong_in_any_field_are_refused_and_not_kept() {
    let town = Town::new();
    let bob = Person::online(&town, "bob").await;
    let mut mallory = caller(&bob).await;
    let own = bob.key.account_id();
    let good = mallory.envelope(&own, 1);
    type Spoil = fn(&mut Envelope);
    let spoilt: [(&str, Spoil, Outcome); 20] = [
        ("no id", |e| e.message_id.clear(), Outcome::Refused),
        ("a long id", |e| e.message_id = vec![0x77; 4000], Outcome::Refused),
        ("an id of another kind", |e| e.message_id = vec![0; 16], Outcome::Refused),
        ("no sender", |e| e.from_account_id.clear(), Outcome::Refused),
        ("a short sender", |e| e.from_account_id.truncate(31), Outcome::Refused),
        ("another sender", |e| e.from_account_id = vec![1; 32], Outcome::Refused),
        ("no device", |e| e.from_device_id.clear(), Outcome::Refused),
        ("a long device", |e| e.from_device_id.push(0), Outcome::Refused),
        ("no addressee", |e| e.to_account_id.clear(), Outcome::Refused),
        ("another addressee", |e| e.to_account_id = vec![1; 32], Outcome::NotAddressee),
        ("number zero", |e| e.sequence = 0, Outcome::Refused),
        ("the highest number", |e| e.sequence = u64::MAX, Outcome::Refused),
        ("a number out of bounds", |e| e.sequence = (1 << 48) + 1, Outcome::Refused),
        ("no hash", |e| e.previous.clear(), Outcome::Refused),
        ("a long hash", |e| e.previous.push(0), Outcome::Refused),
        ("no content", |e| e.content = None, Outcome::Refused),
        ("content of no kind", |e| e.content = Some(Content::default()), Outcome::Refused),
        ("no text", |e| set_text(e, ""), Outcome::Refused),
        ("a long text", |e| set_text(e, &"x".repeat(16_385)), Outcome::Refused),
        (
            "an answer to nothing",
            |e| e.content.as_mut().unwrap().in_reply_to = vec![1; 15],
            Outcome::Refused,
        ),
    ];
    for (what, spoil, outcome) in spoilt {
        let mut envelope = good.clone();
        spoil(&mut envelope);
        assert_eq!(mallory.deliver(vec![envelope]).await, Ok(vec![outcome]), "{what}");
    }
    assert!(bob.history(None).await.is_empty());
    // The good one is taken, and taken once.
    assert_eq!(mallory.deliver(vec![good.clone()]).await, Ok(vec![Outcome::Delivered]));
    assert_eq!(mallory.deliver(vec![good]).await, Ok(vec![Outcome::Delivered]));
    assert_eq!(bob.history(None).await.len(), 1);
}

#[tokio::test]
async fn latecomers_take_their_place_and_what_is_missing_is_marked() {
    let town = Town::new();
    let bob = Person::online(&town, "bob").await;
    let mut mallory = caller(&bob).await;
    let own = bob.key.account_id();
    for sequence in [7, 9, 8, 5] {
        let mut envelope = mallory.envelope(&own, sequence);
        set_text(&mut envelope, &sequence.to_string());
        assert_eq!(mallory.deliver(vec![envelope]).await, Ok(vec![Outcome::Delivered]));
    }
    assert_eq!(bob.received().await, ["5", "7", "8", "9"]);
    let history = bob.history(None).await;
    let gaps = history.iter().filter(|message| message.gap).map(|message| message.sequence);
    assert_eq!(gaps.collect::<Vec<u64>>(), [9], "8 was missing when 9 came");
}

fn set_text(envelope: &mut Envelope, text: &str) {
    let kind = Some(telegraph_proto::peer::content::Kind::Text(text.to_owned()));
    envelope.content = Some(Content { kind, in_reply_to: Vec::new() });
}

#[tokio::test]
async fn calls_of_the_wrong_shape_are_refused_and_change_nothing() {
    let town = Town::new();
    let bob = Person::online(&town, "bob").await;
    let mut mallory = caller(&bob).await;
    let own = bob.key.account_id();
    let many: Vec<Envelope> = (1..=40).map(|n| mallory.envelope(&own, n)).collect();
    assert_eq!(mallory.deliver(Vec::new()).await, Err(Code::InvalidArgument));
    let too_many = many[..=MAX_ENVELOPES].to_vec();
    assert_eq!(mallory.deliver(too_many).await, Err(Code::InvalidArgument));
    let falling = vec![many[1].clone(), many[0].clone()];
    assert_eq!(mallory.deliver(falling).await, Err(Code::InvalidArgument));
    let mut other_device = many[..2].to_vec();
    other_device[1].from_device_id = vec![8; 16];
    assert_eq!(mallory.deliver(other_device).await, Err(Code::InvalidArgument));
    let envelopes = vec![many[0].clone()];
    let newer = DeliverRequest { protocol_version: 2, envelopes };
    let status = mallory.link.deliver(newer).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    // More than 1 MiB.
    let mut large = mallory.envelope(&own, 1);
    set_text(&mut large, &"x".repeat(1 << 20));
    let mut link = mallory.link.clone().max_encoding_message_size(usize::MAX);
    let request = DeliverRequest { protocol_version: PROTOCOL_VERSION, envelopes: vec![large] };
    assert_eq!(link.deliver(request).await.unwrap_err().code(), Code::OutOfRange);
    assert!(bob.history(None).await.is_empty());
}

#[tokio::test]
async fn watermarks_that_cannot_be_are_refused_and_change_nothing() {
    let town = Town::new();
    let (alice, bob) = (Person::online(&town, "alice").await, Person::online(&town, "bob").await);
    let id = alice.send(&bob, "hello").await;
    alice.reaches(id, Stage::Delivered).await;
    let mut mallory = caller(&alice).await;
    let read = MarkReadRequest {
        protocol_version: PROTOCOL_VERSION,
        reader_account_id: mallory.key.account_id().as_bytes().to_vec(),
        sender_account_id: alice.key.account_id().as_bytes().to_vec(),
        sender_device_id: alice.device.as_bytes().to_vec(),
        read_up_to: 1,
        read_unix_ms: 5,
    };
    let bob_id = bob.key.account_id().as_bytes().to_vec();
    let mut cases = vec![
        (read.clone(), Code::NotFound, "nothing was sent to mallory"),
        (
            MarkReadRequest { reader_account_id: bob_id.clone(), ..read.clone() },
            Code::PermissionDenied,
            "in bob's name",
        ),
        (
            MarkReadRequest { sender_account_id: bob_id, ..read.clone() },
            Code::NotFound,
            "about bob's messages",
        ),
        (
            MarkReadRequest { sender_device_id: vec![1; 16], ..read.clone() },
            Code::NotFound,
            "another device",
        ),
        (
            MarkReadRequest { protocol_version: 0, ..read.clone() },
            Code::FailedPrecondition,
            "no version",
        ),
    ];
    for bytes in [0, 31, 33] {
        let odd = MarkReadRequest { reader_account_id: vec![1; bytes], ..read.clone() };
        cases.push((odd, Code::InvalidArgument, "a reader of odd size"));
        let odd = MarkReadRequest { sender_account_id: vec![1; bytes], ..read.clone() };
        cases.push((odd, Code::InvalidArgument, "a sender of odd size"));
        let odd = MarkReadRequest { sender_device_id: vec![1; bytes], ..read.clone() };
        cases.push((odd, Code::InvalidArgument, "a device of odd size"));
    }
    for (request, code, what) in cases {
        assert_eq!(mallory.link.mark_read(request).await.unwrap_err().code(), code, "{what}");
    }
    assert_eq!(alice.stage(id).await, Stage::Delivered);
    // Bob himself cannot have read what was never sent.
    let identity = Identity::new(&bob.key).unwrap();
    let address = alice.messenger().local_addr();
    let mut link =
        link::connect(&identity, &alice.key.public_key(), address, PATIENCE).await.unwrap().calls;
    let reader_account_id = bob.key.account_id().as_bytes().to_vec();
    let read = MarkReadRequest { reader_account_id, ..read };
    for read_up_to in [0, 2, u64::MAX] {
        let request = MarkReadRequest { read_up_to, ..read.clone() };
        let status = link.mark_read(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{read_up_to}");
    }
    assert_eq!(alice.stage(id).await, Stage::Delivered);
    assert_eq!(link.mark_read(read).await.unwrap().into_inner().marked, 1);
    assert_eq!(alice.stage(id).await, Stage::Read);
}

#[tokio::test]
async fn a_knock_moves_nobody_but_the_caller() {
    let town = Town::new();
    let (alice, bob) = (Person::online(&town, "alice").await, Person::online(&town, "bob").await);
    let id = alice.send(&bob, "hello").await;
    alice.reaches(id, Stage::Delivered).await;
    let mut mallory = caller(&alice).await;
    let elsewhere: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let stolen = bob.address_statement(elsewhere, 99);
    let mut damaged = stolen.clone();
    damaged.signature[0] ^= 1;
    let body = telegraph_proto::identity::DeleteBody::default();
    let wrong_kind = mallory.key.sign(CLUSTER, StatementKind::Delete, 99, &body);
    let wrong_cluster = mallory.key.sign([4; 16], StatementKind::Address, 99, &body);
    let wrongs = [stolen, damaged, wrong_kind, wrong_cluster, SignedStatement::default()];
    for address in wrongs.map(Some) {
        let request = KnockRequest { protocol_version: PROTOCOL_VERSION, address };
        let status = mallory.link.knock(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    let id = alice.send(&bob, "still there?").await;
    alice.reaches(id, Stage::Delivered).await;
}

/// "protocol_version" (RFC 8446 section 6.2).
const PROTOCOL_VERSION_ALERT: u8 = 70;

/// Says hello as TLS 1.2 does: without the extension that names versions.
async fn answer_to_tls_1_2(address: SocketAddr) -> Vec<u8> {
    // Signature algorithms and groups, without which nobody says hello.
    let extensions = [0, 13, 0, 4, 0, 2, 8, 7, 0, 10, 0, 4, 0, 2, 0, 29];
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0, 0, 16]);
    body.extend(extensions);
    let length = u8::try_from(body.len()).unwrap();
    let mut hello = vec![0x16, 3, 1, 0, length + 4, 1, 0, 0, length];
    hello.extend(body);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    answer
}

/// A certificate as the rest of the world has them, with its key.
fn certificate() -> (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["telegraph-peer".into()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.der().clone(), key.serialize_der().into())
}

/// What a server does with a caller of `config`: `Ok` when a call was answered.
async fn try_to_call(config: ClientConfig, address: SocketAddr) -> Result<(), String> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("telegraph-peer").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await.map_err(|e| e.to_string())?;
    // HTTP/2 begins with a preface and settings; a server that accepts answers with its own.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.map_err(|e| e.to_string())?;
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.map_err(|e| e.to_string())?;
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).await.map_err(|e| e.to_string())?;
    Ok(())
}

#[tokio::test]
async fn only_raw_keys_over_tls_1_3_with_hybrid_key_exchange_and_http_2_come_in() {
    let town = Town::new();
    let bob = Person::online(&town, "bob").await;
    let address = bob.messenger().local_addr();
    let key = AccountKey::generate().unwrap();
    let identity = Identity::new(&key).unwrap();
    let fitting = || identity.client(&bob.key.public_key()).unwrap();
    try_to_call(fitting(), address).await.unwrap();

    let mut no_alpn = fitting();
    no_alpn.alpn_protocols.clear();
    try_to_call(no_alpn, address).await.expect_err("without ALPN");
    let mut other_alpn = fitting();
    other_alpn.alpn_protocols = vec![b"http/1.1".to_vec()];
    try_to_call(other_alpn, address).await.expect_err("with another protocol");

    let verifier = || Arc::new(Trusting);
    let builder = |provider: rustls::crypto::CryptoProvider, version| {
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    };
    let provider = aws_lc_rs::default_provider;
    let no_key = builder(provider(), &rustls::version::TLS13);
    try_to_call(no_key, address).await.expect_err("without a key");
    assert_eq!(
        answer_to_tls_1_2(address).await[..7],
        [0x15, 3, 3, 0, 2, 2, PROTOCOL_VERSION_ALERT]
    );

    let mut classical = aws_lc_rs::default_provider();
    classical.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let mut config = fitting();
    let resolver = config.client_auth_cert_resolver.clone();
    config = builder(classical, &rustls::version::TLS13);
    config.client_auth_cert_resolver = resolver;
    try_to_call(config, address).await.expect_err("with a classical key exchange");

    let mut x509 = builder(provider(), &rustls::version::TLS13);
    let (certificate, der) = certificate();
    let signing = aws_lc_rs::sign::any_supported_type(&der.into()).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![certificate], signing);
    x509.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    try_to_call(x509, address).await.expect_err("with a certificate");

    let roots = RootCertStore::empty();
    let mut no_raw_keys = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    no_raw_keys.alpn_protocols = vec![b"h2".to_vec()];
    try_to_call(no_raw_keys, address).await.expect_err("by certificates");
    try_to_call(fitting(), address).await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_not_the_signers_is_refused_both_ways() {
    let town = Town::new();
    let bob = Person::online(&town, "bob").await;
    let address = bob.messenger().local_addr();
    let (mine, other) = (AccountKey::generate().unwrap(), AccountKey::generate().unwrap());
    // Shows one key, signs with another.
    let pkcs8 = other.to_pkcs8();
    let signing =
        aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_slice())).unwrap();
    let shown = vec![crate::tls::to_spki(&mine.public_key()).into()];
    let certified = Arc::new(rustls::sign::CertifiedKey::new(shown, signing));
    let mut config = Identity::new(&mine).unwrap().client(&bob.key.public_key()).unwrap();
    config.client_auth_cert_resolver =
        Arc::new(rustls::client::AlwaysResolvesClientRawPublicKeys::new(certified));
    try_to_call(config, address).await.expect_err("another key signs");
    // And a caller that expects another key goes away.
    let identity = Identity::new(&mine).unwrap();
    let wrong = link::connect(&identity, &other.public_key(), address, PATIENCE).await;
    assert!(matches!(wrong, Err(link::LinkError::WrongKey)), "{wrong:?}");
}

#[tokio::test]
async fn random_bytes_and_half_handshakes_hurt_nobody() {
    let town = Town::new();
    let mut bob = Person::new(&town, "bob");
    bob.config.handshake_timeout = std::time::Duration::from_millis(200);
    bob.config.handshakes = 4;
    bob.start().await;
    let address = bob.messenger().local_addr();
    // More silent callers than handshakes at a time: they time out and make room.
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    for length in [1, 5, 64, 1000, 70_000] {
        let mut bytes = vec![0; length];
        getrandom::fill(&mut bytes).unwrap();
        for first in [bytes[0], 0x16] {
            bytes[0] = first;
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let mut rest = Vec::new();
            let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
        }
    }
    // Noise inside of TLS, where HTTP/2 should be.
    let key = AccountKey::generate().unwrap();
    let config = Identity::new(&key).unwrap().client(&bob.key.public_key()).unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::from(address.ip());
    let mut stream = connector.connect(name, stream).await.unwrap();
    let mut bytes = vec![0; 100_000];
    getrandom::fill(&mut bytes).unwrap();
    let _ = stream.write_all(&bytes).await;
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
    drop(silent);
    let alice = Person::online(&town, "alice").await;
    let id = alice.send(&bob, "still there?").await;
    alice.reaches(id, Stage::Delivered).await;
}

/// Somebody who would believe any server: a test must fail at the server's door, not at its own.
#[derive(Debug)]
struct Trusting;

impl rustls::client::danger::ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
