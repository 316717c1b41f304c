//! Three durable members in one process.

use std::error::Error;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use raft_core::{Config, Member, Node, Tls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tonic::service::Routes;

use crate::counter::Counter;

const MEMBERS: u64 = 3;
/// The name in every member's certificate.
const SERVER_NAME: &str = "telegraph-manager";
/// An election takes half a second; a machine that cannot do it in this time measures nothing.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Three members that have elected a leader. Dropping it removes their data.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    leader: usize,
    /// Held for the sake of its end.
    _directory: TempDir,
}

impl Cluster {
    /// Starts the members, with their data in a folder of `parent`, and waits for a leader.
    ///
    /// # Errors
    ///
    /// If a member does not start, which happens when another program takes a port in between, or
    /// if none of them leads after half a minute.
    pub async fn start(parent: &Path) -> Result<Cluster, Box<dyn Error>> {
        let directory = tempfile::tempdir_in(parent)?;
        let members = members()?;
        let tls = credentials()?;
        let mut nodes = Vec::new();
        for member in &members {
            let config = Config {
                node_id: member.id,
                data_dir: directory.path().join(member.id.to_string()),
                listen: member.address.parse()?,
                members: members.clone(),
                tls: Some(tls.clone()),
                ..Config::default()
            };
            nodes.push(Node::start(config, Counter::default(), Routes::default()).await?);
        }
        for node in &nodes {
            node.bootstrap().await?;
        }
        let leader = tokio::time::timeout(ELECTION_TIMEOUT, leader(&nodes)).await??;
        Ok(Cluster { nodes, leader, _directory: directory })
    }

    /// The member that led when the cluster was started. A later election makes it forward what it
    /// is asked, and shows in the figures.
    pub fn leader(&self) -> &Node {
        &self.nodes[self.leader]
    }

    /// Stops all members.
    pub async fn shutdown(self) {
        for node in &self.nodes {
            node.halt().await;
        }
    }
}

/// Addresses that were free a moment ago: every member must know all of them before it starts.
fn members() -> Result<Vec<Member>, Box<dyn Error>> {
    let mut held = Vec::new();
    let mut members = Vec::new();
    for id in 1..=MEMBERS {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        members.push(Member { id, address, service_address: String::new() });
        held.push(listener);
    }
    Ok(members)
}

/// One certificate for all members, as in production, signed by an authority made for the purpose.
fn credentials() -> Result<Tls, rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate()?;
    let ca = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let member = CertificateParams::new(vec![SERVER_NAME.to_owned()])?.signed_by(&key, &issuer)?;
    Ok(Tls {
        ca_pem: ca.pem().into_bytes(),
        cert_pem: member.pem().into_bytes(),
        key_pem: key.serialize_pem().into_bytes(),
        server_name: SERVER_NAME.to_owned(),
    })
}

async fn leader(nodes: &[Node]) -> Result<usize, Box<dyn Error>> {
    let first = nodes.first().ok_or("a cluster has members")?;
    let mut status = first.watch_status();
    let known = status.wait_for(|status| status.leader.is_some()).await?;
    let leads = |node: &Node| Some(node.status().node_id) == known.leader;
    nodes.iter().position(leads).ok_or_else(|| "a stranger leads".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[tokio::test]
    async fn what_is_measured_is_applied_by_a_leader_of_three() {
        let parent = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(parent.path()).await.unwrap();
        let limit = Duration::from_secs(30);
        let first = cluster.leader().propose(Bytes::from_static(b"1"), limit).await.unwrap();
        let second = cluster.leader().propose(Bytes::from_static(b"2"), limit).await.unwrap();
        assert!(first.position < second.position);
        let status = cluster.leader().status();
        assert_eq!(status.voters.len(), 3);
        assert!(status.applied >= second.position, "{status:?}");
        cluster.shutdown().await;
    }
}
