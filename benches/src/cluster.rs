//! Members of one cluster, all in this process.

use std::error::Error;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raft_core::testing::{Environment, MemoryLogs, start};
use raft_core::{Config, Member, Node, NodeId, StartError, Tls, cluster_id};
use tempfile::TempDir;
use tonic::service::Routes;
use tonic::transport::Channel;

use crate::certificates::Certificates;
use crate::counter::Counter;
use crate::echo;

/// The name in every member's certificate.
const SERVER_NAME: &str = "telegraph-manager";
/// An election takes half a second; a machine that cannot do it in this time measures nothing.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// More entries, or bytes, than any bench writes.
const NEVER: u64 = 1 << 40;

/// What a cluster is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many members; at least 1.
    pub members: u64,
    /// Whether they talk over mutual TLS.
    pub encrypted: bool,
    /// Whether they write snapshots as they go, and let go of the log behind them.
    pub snapshots: bool,
}

impl Default for Plan {
    /// Three members as in production.
    fn default() -> Plan {
        Plan { members: 3, encrypted: true, snapshots: true }
    }
}

/// Members that have elected a leader. Dropping it removes their data.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    leader: usize,
    plan: Plan,
    tls: Tls,
    members: Vec<Member>,
    directory: TempDir,
}

impl Cluster {
    /// Starts members that count, with their data in a folder of `parent`, and waits for a leader.
    ///
    /// # Errors
    ///
    /// If a member does not start, which happens when another program takes a port in between, or
    /// if none of them leads after half a minute.
    pub async fn start(parent: &Path, plan: Plan) -> Result<Cluster, Box<dyn Error>> {
        let start = async |config, services| start_counter(config, services).await;
        Box::pin(Cluster::start_with(parent, plan, start)).await
    }

    /// The same, where `start` starts a member with the configuration and services given.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start`].
    pub async fn start_with(
        parent: &Path,
        plan: Plan,
        start: impl AsyncFn(Config, Routes) -> Result<Node, StartError>,
    ) -> Result<Cluster, Box<dyn Error>> {
        let directory = tempfile::tempdir_in(parent)?;
        let (members, tls) = (members(1..=plan.members)?, credentials()?);
        let mut cluster = Cluster { nodes: Vec::new(), leader: 0, plan, tls, members, directory };
        for member in &cluster.members {
            let config = cluster.config(member, &cluster.members)?;
            cluster.nodes.push(start(config, echo::service()).await?);
        }
        for node in &cluster.nodes {
            node.bootstrap().await?;
        }
        cluster.leader = tokio::time::timeout(ELECTION_TIMEOUT, leader(&cluster.nodes)).await??;
        Ok(cluster)
    }

    /// The member that led when the cluster was started. A later election makes it forward what it
    /// is asked, and shows in the figures.
    pub fn leader(&self) -> &Node {
        &self.nodes[self.leader]
    }

    /// A member that did not lead when the cluster was started; the leader where it is alone.
    pub fn follower(&self) -> &Node {
        &self.nodes[(self.leader + 1) % self.nodes.len()]
    }

    /// The leader's kept connection to a follower; `None` where it is alone. See
    /// [`round_trips`](crate::round_trips).
    pub fn channel(&self) -> Option<Channel> {
        self.leader().channel(self.follower().status().node_id)
    }

    /// Starts a node that the cluster is yet to take in
    /// ([`add_learner`](Node::add_learner)). Its number must be new, and it is the caller's.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub async fn newcomer(
        &self,
        id: NodeId,
        start: impl AsyncFn(Config, Routes) -> Result<Node, StartError>,
    ) -> Result<(Node, Member), Box<dyn Error>> {
        let member = members(id..=id)?.pop().ok_or("a node has an address")?;
        let known = [self.members.as_slice(), std::slice::from_ref(&member)].concat();
        let mut config = self.config(&member, &known)?;
        config.cluster_id = Some(cluster_id(&self.members));
        Ok((start(config, echo::service()).await?, member))
    }

    /// Stops all members.
    pub async fn shutdown(self) {
        for node in &self.nodes {
            node.halt().await;
        }
    }

    fn config(&self, member: &Member, members: &[Member]) -> Result<Config, Box<dyn Error>> {
        let mut config = Config {
            node_id: member.id,
            data_dir: self.directory.path().join(member.id.to_string()),
            listen: member.address.parse()?,
            members: members.to_vec(),
            tls: self.plan.encrypted.then(|| self.tls.clone()),
            allow_plaintext: !self.plan.encrypted,
            ..Config::default()
        };
        if !self.plan.snapshots {
            config.snapshot_after_entries = NEVER;
            config.snapshot_after_bytes = NEVER;
        }
        Ok(config)
    }
}

/// Starts a durable member that counts.
///
/// # Errors
///
/// As [`Node::start`].
pub async fn start_counter(config: Config, services: Routes) -> Result<Node, StartError> {
    Node::start(config, Counter::default(), services).await
}

/// Starts a member that counts, with a log in memory: it has nothing left after its end.
///
/// # Errors
///
/// As [`Node::start`].
pub async fn start_counter_in_memory(config: Config, services: Routes) -> Result<Node, StartError> {
    let logs = Arc::new(MemoryLogs::default());
    let environment = Environment { logs, ..Environment::default() };
    start(config, Counter::default(), services, environment).await
}

/// Addresses that were free a moment ago: every member must know all of them before it starts.
fn members(ids: impl Iterator<Item = NodeId>) -> Result<Vec<Member>, Box<dyn Error>> {
    let mut held = Vec::new();
    let mut members = Vec::new();
    for id in ids {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        members.push(Member::new(id, listener.local_addr()?.to_string()));
        held.push(listener);
    }
    Ok(members)
}

/// One certificate for all members, as in production, signed by an authority made for the purpose.
fn credentials() -> Result<Tls, Box<dyn Error>> {
    let Certificates { ca, cert, key } = Certificates::make(SERVER_NAME)?;
    let server_name = SERVER_NAME.to_owned();
    Ok(Tls { ca_pem: ca, cert_pem: cert, key_pem: key, server_name })
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
    use crate::echo::round_trips;
    use bytes::Bytes;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn what_is_measured_is_applied_by_a_leader_of_three() {
        let parent = tempfile::tempdir().unwrap();
        let cluster = Box::pin(Cluster::start(parent.path(), Plan::default())).await.unwrap();
        let first = cluster.leader().propose(Bytes::from_static(b"1"), LIMIT).await.unwrap();
        let second = cluster.leader().propose(Bytes::from_static(b"2"), LIMIT).await.unwrap();
        assert!(first.position < second.position);
        let status = cluster.leader().status();
        assert_eq!(status.voters.len(), 3);
        assert!(status.applied >= second.position, "{status:?}");
        assert_ne!(cluster.follower().status().node_id, status.node_id);
        let taken = round_trips(cluster.channel().unwrap(), 256, 2).await.unwrap();
        assert!(!taken.is_empty());
        cluster.shutdown().await;
    }

    #[tokio::test]
    async fn a_newcomer_is_brought_up_to_date_by_one_that_was_alone() {
        let parent = tempfile::tempdir().unwrap();
        let plan = Plan { members: 1, encrypted: false, snapshots: false };
        let cluster = Box::pin(Cluster::start(parent.path(), plan)).await.unwrap();
        assert!(cluster.channel().is_none());
        let applied = cluster.leader().propose(Bytes::from_static(b"1"), LIMIT).await.unwrap();
        let start = async |config, services| start_counter(config, services).await;
        let (node, member) = Box::pin(cluster.newcomer(2, start)).await.unwrap();
        cluster.leader().add_learner(member, LIMIT).await.unwrap();
        let mut status = node.watch_status();
        let reached = status.wait_for(|status| status.applied >= applied.position);
        tokio::time::timeout(LIMIT, reached).await.unwrap().unwrap();
        node.halt().await;
        cluster.shutdown().await;
    }
}
