//! A cluster in one process: every member with its own directory, port and state machine.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    Applied, BootstrapError, Config, Member, Node, NodeId, Role, StartError, Status, cluster_id,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tonic::service::Routes;

use super::journal::{Journal, Kept};
use super::proxy::Proxy;

/// Time for anything to happen, on a machine that is busy with everything else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    pub(crate) directory: TempDir,
    pub(crate) members: Vec<Member>,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) kept: Vec<Kept>,
    pub(crate) nodes: Vec<Option<Node>>,
    /// The cluster's id, once not all of `members` have formed it.
    pub(crate) founders: Option<[u8; 16]>,
    pub(crate) adjust: Box<dyn Fn(&mut Config) + Send + Sync>,
}

impl Cluster {
    /// Prepares members 1 to `size`; none is started.
    pub(crate) async fn prepare(
        size: u64,
        adjust: impl Fn(&mut Config) + Send + Sync + 'static,
    ) -> Cluster {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let mut members = Vec::new();
        let mut proxies = Vec::new();
        for id in 1..=size {
            let proxy = Proxy::start().await;
            let service_address = format!("service-{id}:1");
            let address = proxy.address.to_string();
            members.push(Member { id, address, service_address, ..Member::default() });
            proxies.push(proxy);
        }
        Cluster {
            directory: tempfile::tempdir().unwrap(),
            kept: members.iter().map(|_| Kept::default()).collect(),
            nodes: members.iter().map(|_| None).collect(),
            members,
            founders: None,
            proxies,
            adjust: Box::new(adjust),
        }
    }

    /// Starts three members and forms their cluster.
    pub(crate) async fn formed(adjust: impl Fn(&mut Config) + Send + Sync + 'static) -> Cluster {
        let mut cluster = Cluster::prepare(3, adjust).await;
        cluster.start_all().await;
        cluster.node(1).bootstrap().await.unwrap();
        cluster.leader().await;
        cluster
    }

    pub(crate) fn data_dir(&self, id: NodeId) -> PathBuf {
        self.directory.path().join(format!("node-{id}"))
    }

    pub(crate) fn config(&self, id: NodeId) -> Config {
        let mut config = Config {
            node_id: id,
            data_dir: self.data_dir(id),
            members: self.members.clone(),
            cluster_id: self.founders,
            allow_plaintext: true,
            heartbeat_interval: Duration::from_millis(100),
            election_timeout_min: Duration::from_millis(500),
            election_timeout_max: Duration::from_millis(900),
            quorum_loss_probe_interval: Duration::from_millis(1800),
            ..Config::default()
        };
        (self.adjust)(&mut config);
        config
    }

    pub(crate) async fn try_start(&mut self, id: NodeId) -> Result<(), StartError> {
        let machine = Journal(self.kept(id).clone());
        let node = Node::start(self.config(id), machine, Routes::default()).await?;
        self.proxies[place(id)].lead_to(node.local_addr());
        self.nodes[place(id)] = Some(node);
        Ok(())
    }

    pub(crate) async fn start(&mut self, id: NodeId) {
        self.try_start(id).await.unwrap();
    }

    pub(crate) async fn start_all(&mut self) {
        for id in 1..=self.members.len() as u64 {
            self.start(id).await;
        }
    }

    /// Starts one more node, the next, which knows the cluster and is no member of it yet.
    pub(crate) async fn newcomer(&mut self, id: NodeId) -> Member {
        assert_eq!(place(id), self.members.len());
        self.founders.get_or_insert_with(|| cluster_id(&self.members));
        let proxy = Proxy::start().await;
        let service_address = format!("service-{id}:1");
        let address = proxy.address.to_string();
        let member = Member { id, address, service_address, ..Member::default() };
        self.members.push(member.clone());
        self.proxies.push(proxy);
        self.kept.push(Kept::default());
        self.nodes.push(None);
        self.start(id).await;
        member
    }

    /// Starts a halted node again, at another address than before. Only its own configuration tells
    /// of it.
    pub(crate) async fn start_elsewhere(&mut self, id: NodeId) {
        self.founders.get_or_insert_with(|| cluster_id(&self.members));
        let proxy = Proxy::start().await;
        self.members[place(id)].address = proxy.address.to_string();
        self.proxies[place(id)] = proxy;
        self.start(id).await;
    }

    /// Waits until one of the running nodes leads, whether or not the others follow, and returns
    /// which.
    pub(crate) async fn leading(&self) -> NodeId {
        let mut found = None;
        wait("a leader", || {
            let leads = |id: &NodeId| self.node(*id).status().role == Role::Leader;
            found = self.running().into_iter().find(leads);
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        self.nodes[place(id)].as_ref().unwrap()
    }

    pub(crate) fn kept(&self, id: NodeId) -> &Kept {
        &self.kept[place(id)]
    }

    pub(crate) fn proxy(&self, id: NodeId) -> &Proxy {
        &self.proxies[place(id)]
    }

    pub(crate) fn running(&self) -> Vec<NodeId> {
        (1..).zip(&self.nodes).filter(|(_, node)| node.is_some()).map(|(id, _)| id).collect()
    }

    pub(crate) async fn halt(&mut self, id: NodeId) {
        let node = self.nodes[place(id)].take().unwrap();
        timeout(PATIENCE, node.halt()).await.unwrap();
    }

    /// Has a node form the cluster, in a task of its own.
    pub(crate) fn bootstrapping(&self, id: NodeId) -> JoinHandle<Result<(), BootstrapError>> {
        let node = self.node(id).clone();
        tokio::spawn(async move { node.bootstrap().await })
    }

    /// Waits until a node has asked all others so often whether to form the cluster.
    pub(crate) async fn asked(&self, id: NodeId, rounds: u64) {
        wait("rounds of questions", || {
            let metrics = self.node(id).metrics();
            let found =
                metrics.lines().find_map(|l| l.strip_prefix("raft_bootstrap_rounds_total "));
            found.unwrap().parse::<u64>().unwrap() >= rounds
        })
        .await;
    }

    /// Waits until one node leads and every running one follows it; returns which.
    pub(crate) async fn leader(&self) -> NodeId {
        let mut found = None;
        wait("a leader that all follow", || {
            let running = self.running();
            let views: Vec<Status> = running.iter().map(|id| self.node(*id).status()).collect();
            let leads: Vec<NodeId> = views
                .iter()
                .filter(|view| view.role == Role::Leader)
                .map(|view| view.node_id)
                .collect();
            found = leads.first().copied();
            leads.len() == 1 && views.iter().all(|view| view.leader == found)
        })
        .await;
        found.unwrap()
    }

    /// Waits for a node that follows and knows itself a voter: one that stops before it has heard
    /// of the members would come back as nobody's.
    pub(crate) async fn follower(&self) -> NodeId {
        self.leader().await;
        let follows = |id: &NodeId| self.node(*id).status().role == Role::Follower;
        let mut found = None;
        wait("a follower", || {
            found = self.running().into_iter().find(follows);
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    pub(crate) async fn propose(&self, id: NodeId, command: &str) -> Applied {
        self.node(id).propose(Bytes::copy_from_slice(command.as_bytes()), PATIENCE).await.unwrap()
    }

    /// Proposes a command until it is acknowledged, under another name whenever the outcome of
    /// the last try is unknown; returns the name.
    pub(crate) async fn insist(&self, id: NodeId, name: &str) -> String {
        for attempt in 0.. {
            let command = format!("{name}.{attempt}");
            match self.node(id).propose(Bytes::from(command.clone()), PATIENCE).await {
                Ok(_) => return command,
                Err(error) if error.may_have_happened() => {}
                Err(error) => panic!("{error}"),
            }
        }
        unreachable!("attempts are without end");
    }

    /// Proposes `count` commands at once and waits for all.
    pub(crate) async fn propose_many(&self, id: NodeId, name: &str, count: usize) -> Vec<String> {
        let commands: Vec<String> = (0..count).map(|number| format!("{name}-{number}")).collect();
        let proposals = commands.iter().map(|command| self.propose(id, command));
        futures_util::future::join_all(proposals).await;
        commands
    }

    /// Waits until all running members hold the same commands, these among them, each once.
    pub(crate) async fn agree_on(&self, commands: &[String]) {
        wait("agreement", || {
            let running = self.running();
            let first = self.kept(running[0]).commands();
            running.iter().all(|id| self.kept(*id).commands() == first)
                && commands.iter().all(|command| self.kept(running[0]).contains(command))
        })
        .await;
        let held = self.kept(self.running()[0]);
        assert!(commands.iter().all(|command| held.count(command) == 1));
    }
}

fn place(id: NodeId) -> usize {
    id as usize - 1
}

/// Looks for `time` whether a condition still holds: what must not come has no sign to wait for.
pub(crate) async fn stays(what: &str, time: Duration, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        assert!(holds(), "{what}, and no longer");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for a condition, however it comes about.
pub(crate) async fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(5)).await;
    }
}
