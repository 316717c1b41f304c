//! The client against a real member, over mutual TLS.

#![allow(clippy::unwrap_used)] // In tests, and in what they share.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    Config, Entry, Image, MachineError, Member, Node, OnDiskStateMachine, Records, RecordsFor, Tls,
};
use raft_core_client::{Client, ClientConfig, ClientError};
use raft_core_discovery::Discovery;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tonic::service::Routes;

const PATIENCE: Duration = Duration::from_secs(30);
const NAME: &str = "telegraph-manager";

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Replies with what it is told, and remembers nothing.
#[derive(Default)]
struct Echo {
    records: Pairs,
}

fn kept(records: &Records) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    records.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
}

impl OnDiskStateMachine for Echo {
    fn records(&self) -> Result<Pairs, MachineError> {
        Ok(self.records.clone())
    }

    fn apply(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, MachineError> {
        let replies: Vec<Bytes> = entries.iter().map(|entry| entry.payload.clone()).collect();
        let records = records(&replies);
        self.records.retain(|(key, _)| !records.iter().any(|(there, _)| there == key));
        self.records.extend(kept(&records));
        Ok(replies)
    }

    fn snapshot(&mut self) -> Result<Image, MachineError> {
        Ok(Box::new(|_| Ok(())))
    }

    fn restore(&mut self, _: &mut dyn Read, records: &Records) -> Result<(), MachineError> {
        self.records = kept(records).collect();
        Ok(())
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        *self = Echo::default();
        Ok(())
    }
}

fn credentials() -> Tls {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let ca = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    Tls {
        ca_pem: ca.pem().into_bytes(),
        cert_pem: certificate.pem().into_bytes(),
        key_pem: key.serialize_pem().into_bytes(),
        server_name: NAME.to_owned(),
    }
}

async fn single_node(directory: &Path, tls: &Tls) -> Node {
    let address = "127.0.0.1:0".to_owned();
    let config = Config {
        node_id: 1,
        data_dir: directory.to_owned(),
        members: vec![Member { id: 1, address, ..Member::default() }],
        tls: Some(tls.clone()),
        ..Config::default()
    };
    let node = Node::start(config, Echo::default(), Routes::default()).await.unwrap();
    node.bootstrap().await.unwrap();
    node
}

fn config(node: &Node, tls: &Tls) -> ClientConfig {
    ClientConfig {
        discovery: Discovery::fixed([node.local_addr().to_string()]),
        tls: Some(raft_core_client::Tls {
            ca_pem: tls.ca_pem.clone(),
            cert_pem: tls.cert_pem.clone(),
            key_pem: tls.key_pem.clone(),
            server_name: tls.server_name.clone(),
        }),
        ..ClientConfig::default()
    }
}

#[tokio::test]
async fn a_real_leader_applies_what_a_client_proposes_and_confirms_a_read_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let tls = credentials();
    let node = single_node(directory.path(), &tls).await;
    let client = Client::connect(config(&node, &tls), PATIENCE).await.unwrap();
    assert_eq!(client.cluster_id(), Some(node.cluster_id()));
    let command = Bytes::from_static(b"command");
    let applied = client.propose(command.clone(), PATIENCE).await.unwrap();
    assert_eq!(applied.reply, command);
    assert!(client.read_index(PATIENCE).await.unwrap() >= applied.position);
    let huge = Bytes::from(vec![0; (1 << 20) + 1]);
    let generous = ClientConfig { max_command_bytes: 2 << 20, ..config(&node, &tls) };
    let client = Client::connect(generous, PATIENCE).await.unwrap();
    let error = client.propose(huge, PATIENCE).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { .. }), "{error}");
    node.halt().await;
}

#[tokio::test]
async fn a_real_member_of_another_cluster_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let tls = credentials();
    let node = single_node(directory.path(), &tls).await;
    let other = ClientConfig { cluster_id: Some([9; 16]), ..config(&node, &tls) };
    let outcome = Client::connect(other, Duration::from_secs(1)).await;
    assert!(matches!(outcome, Err(ClientError::Unreachable { .. })), "{outcome:?}");
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_of_a_session_is_applied_once_also_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let tls = credentials();
    let node = single_node(directory.path(), &tls).await;
    let client = Client::connect(config(&node, &tls), PATIENCE).await.unwrap();
    let session = client.open_session(PATIENCE).await.unwrap();
    let first = session.propose("first", PATIENCE).await.unwrap();
    assert!(!first.replayed);
    let many = (0..1000).map(|number| format!("command {number}"));
    let outcomes = client.propose_batch(many, PATIENCE).await;
    assert!(outcomes.iter().all(Result::is_ok));
    node.halt().await;
    let node = single_node(directory.path(), &tls).await;
    let client = Client::connect(config(&node, &tls), PATIENCE).await.unwrap();
    let again = client.resume_session(session.client_id(), 1);
    let replayed = again.propose("first", PATIENCE).await.unwrap();
    assert!(replayed.replayed);
    assert_eq!((replayed.position, &replayed.reply), (first.position, &first.reply));
    let next = again.propose("second", PATIENCE).await.unwrap();
    assert!(!next.replayed && next.position > first.position);
    node.halt().await;
}
