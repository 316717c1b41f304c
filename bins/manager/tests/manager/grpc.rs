//! Every method that managers offer each other, with bad credentials and bad messages; the methods
//! are read from the descriptors, so that none can be forgotten.

use crate::harness::{Running, Site, client, leader, tls};
use prost::Message;
use prost_types::FileDescriptorSet;
use std::time::Duration;
use telegraph_manager::certs::{SERVER_NAME, generate_authority};
use telegraph_proto::identity::{RenewReply, RenewRequest, Renewal};

/// gRPC's status codes that are expected here.
const OK: u16 = 0;
const INVALID_ARGUMENT: u16 = 3;
const NOT_FOUND: u16 = 5;
const FAILED_PRECONDITION: u16 = 9;
const OUT_OF_RANGE: u16 = 11;
const UNIMPLEMENTED: u16 = 12;
const INTERNAL: u16 = 13;

/// The methods served beside consensus: `/package.Service/Method`.
fn methods() -> Vec<String> {
    let set = FileDescriptorSet::decode(telegraph_proto::DESCRIPTORS).unwrap();
    let mut methods = vec!["/grpc.health.v1.Health/Check".to_owned()];
    for file in set.file {
        // Consensus' own methods have their table in raft-core.
        if file.package() != "telegraph.identity.v1" {
            continue;
        }
        for service in &file.service {
            let name = |m: &str| format!("/{}.{}/{m}", file.package(), service.name());
            methods.extend(service.method.iter().map(|method| name(method.name())));
        }
    }
    methods
}

fn renewal() -> Renewal {
    Renewal { account_id: vec![1; 32], age_ms: 0 }
}

fn renew(at: &Running) -> RenewRequest {
    let cluster_id = at.manager.node().cluster_id().to_vec();
    RenewRequest { cluster_id, from_node_id: 2, renewals: vec![renewal()] }
}

/// Messages of a method and the status each is answered with, the first one good.
fn messages(method: &str, at: &Running) -> Vec<(&'static str, Vec<u8>, u16)> {
    let good = renew(at);
    let with = |renewals| RenewRequest { renewals, ..good.clone() }.encode_to_vec();
    let short = Renewal { account_id: vec![1; 31], age_ms: 0 };
    match method {
        "/telegraph.identity.v1.ManagerService/Renew" => vec![
            ("good", good.encode_to_vec(), OK),
            ("age", with(vec![Renewal { age_ms: u64::MAX, ..renewal() }]), OK),
            ("empty", Vec::new(), FAILED_PRECONDITION),
            ("garbage", vec![0xff; 50], INTERNAL),
            (
                "another cluster",
                RenewRequest { cluster_id: vec![9; 16], ..good.clone() }.encode_to_vec(),
                FAILED_PRECONDITION,
            ),
            (
                "a stranger",
                RenewRequest { from_node_id: 99, ..good.clone() }.encode_to_vec(),
                FAILED_PRECONDITION,
            ),
            ("a short id", with(vec![renewal(), short]), INVALID_ARGUMENT),
            ("too many", with(vec![renewal(); 4097]), INVALID_ARGUMENT),
            ("too much", with(vec![renewal(); 40_000]), OUT_OF_RANGE),
        ],
        "/grpc.health.v1.Health/Check" => vec![
            ("good", Vec::new(), OK),
            ("garbage", vec![0xff; 50], INTERNAL),
            ("no such service", [b"\x0a\x07".as_slice(), b"mallory"].concat(), NOT_FOUND),
        ],
        other => panic!("{other} is missing from this table"),
    }
}

/// One message in gRPC's frame: not compressed, length, bytes.
fn frame(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend((message.len() as u32).to_be_bytes());
    framed.extend(message);
    framed
}

async fn call(
    client: &reqwest::Client,
    base: &str,
    method: &str,
    body: Vec<u8>,
) -> reqwest::Result<(u16, Vec<u8>)> {
    let request = client
        .post(format!("{base}{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body);
    let response = request.send().await?;
    // A status in the head is a refusal; without one there is a message, which is a success.
    let status = response.headers().get("grpc-status").map(|s| s.to_str().unwrap().to_owned());
    let body = response.bytes().await?.to_vec();
    Ok((status.map_or(OK, |status| status.parse().unwrap()), body))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_method_refuses_strangers_and_bad_messages_and_changes_nothing() {
    let site = Site::new(3, Duration::from_secs(600));
    let all = site.start_all().await;
    let at = &all[leader(&all).await];
    let address = at.manager.raft_addr();
    let base = format!("https://{SERVER_NAME}:{}", address.port());
    let grpc = |shown: Option<&_>| {
        let mut config = tls(site.authority.ca_pem(), shown);
        config.alpn_protocols = vec![b"h2".to_vec()];
        client(config, address)
    };
    let member = site.authority.issue(&[]).unwrap();
    let foreign = generate_authority().unwrap().issue(&[]).unwrap();
    let (member, foreign, nobody) = (grpc(Some(&member)), grpc(Some(&foreign)), grpc(None));
    let before = at.manager.reader().digest().unwrap();
    for method in methods() {
        let messages = messages(&method, at);
        for (stranger, who) in [(&foreign, "a foreign authority's"), (&nobody, "no certificate")] {
            let refused = call(stranger, &base, &method, frame(&messages[0].1)).await;
            assert!(refused.is_err(), "{method} answers {who}: {refused:?}");
        }
        for (name, message, expected) in messages {
            let (status, _) = call(&member, &base, &method, frame(&message)).await.unwrap();
            assert_eq!(status, expected, "{method}, {name}");
        }
        // No frame, half a frame, a frame that promises a gibibyte.
        for broken in [vec![], vec![0, 0, 0], vec![0, 0x40, 0, 0, 0], vec![7; 5]] {
            let answer = call(&member, &base, &method, broken.clone()).await;
            let refused = answer.is_err() || answer.as_ref().is_ok_and(|(status, _)| *status != OK);
            assert!(refused, "{method}, {broken:?}: {answer:?}");
        }
    }
    let (status, _) =
        call(&member, &base, "/telegraph.identity.v1.ManagerService/Other", vec![]).await.unwrap();
    assert_eq!(status, UNIMPLEMENTED);
    assert_eq!(before, at.manager.reader().digest().unwrap());
    for running in all {
        running.manager.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_says_who_leads_and_keeps_nothing() {
    let site = Site::new(3, Duration::from_secs(600));
    let all = site.start_all().await;
    let leads = leader(&all).await;
    let at = &all[(leads + 1) % 3];
    let member = site.authority.issue(&[]).unwrap();
    let mut config = tls(site.authority.ca_pem(), Some(&member));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let client = client(config, at.manager.raft_addr());
    let base = format!("https://{SERVER_NAME}:{}", at.manager.raft_addr().port());
    let method = "/telegraph.identity.v1.ManagerService/Renew";
    let message = frame(&renew(at).encode_to_vec());
    let (status, body) = call(&client, &base, method, message).await.unwrap();
    assert_eq!(status, OK);
    let reply = RenewReply::decode(&body[5..]).unwrap();
    assert_eq!((reply.accepted, reply.leader_node_id), (false, all[leads].node_id()));
    for running in all {
        running.manager.shutdown().await.unwrap();
    }
}
