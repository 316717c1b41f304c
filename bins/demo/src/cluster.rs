//! Three managers in this process: directories, ports and sockets of their own.

use anyhow::{Context, Result, bail};
use raft_core::{Config, Member, Role};
use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use telegraph_manager::{Manager, ManagerConfig, certs};
use tempfile::TempDir;

/// Managers of the demo: the smallest number that survives the loss of one (2k + 1, k = 1).
pub(crate) const MANAGERS: usize = 3;

/// Silence after which somebody counts as offline: short, so that the story need not wait.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// Longest wait for anything in the story; a healthy machine needs a fraction of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The managers, by place; one that was stopped is `None`.
pub(crate) struct Cluster {
    directory: TempDir,
    ca_pem: Vec<u8>,
    configs: Vec<ManagerConfig>,
    managers: Vec<Option<Manager>>,
}

impl Cluster {
    /// Makes certificates and directories, and starts all managers.
    pub(crate) async fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("telegraph-demo-").tempdir()?;
        let authority = certs::generate_authority()?;
        let credentials = authority.issue(&["127.0.0.1".to_owned()])?;
        let ca_pem = authority.ca_pem().to_vec();
        std::fs::write(directory.path().join("ca.pem"), &ca_pem)?;
        let ports: Vec<(SocketAddr, SocketAddr)> = free_addresses()?;
        let members: Vec<Member> = (1..)
            .zip(&ports)
            .map(|(id, (raft, rest))| Member {
                id,
                address: raft.to_string(),
                service_address: rest.to_string(),
                ..Member::default()
            })
            .collect();
        let configs: Vec<ManagerConfig> = (1..)
            .zip(&ports)
            .map(|(node_id, (raft, rest))| ManagerConfig {
                node: Config {
                    node_id,
                    data_dir: directory.path().join(format!("manager-{node_id}")),
                    listen: *raft,
                    members: members.clone(),
                    tls: Some(credentials.clone().into()),
                    ..Config::default()
                },
                rest_listen: *rest,
                discovery_listen: None,
                lease: LEASE,
                ..ManagerConfig::default()
            })
            .collect();
        let mut managers = Vec::new();
        for config in &configs {
            managers.push(Some(Manager::bind(config.clone()).await?));
        }
        Ok(Self { directory, ca_pem, configs, managers })
    }

    /// The authority clients must trust.
    pub(crate) fn ca_pem(&self) -> &[u8] {
        &self.ca_pem
    }

    /// Where everything of this run lies.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The authority's file, for programs outside.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Where clients reach the managers.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.configs.iter().map(|config| config.rest_listen.to_string()).collect()
    }

    /// Waits until one of the running managers leads; returns its node id.
    pub(crate) async fn leader(&self) -> Result<u64> {
        self.poll("a leader", || {
            let statuses = self.running().map(|manager| manager.node().status());
            statuses.into_iter().find(|status| status.role == Role::Leader).map(|s| s.node_id)
        })
        .await
    }

    /// True while no running manager leads.
    pub(crate) fn is_leaderless(&self) -> bool {
        self.running().all(|manager| manager.node().status().role != Role::Leader)
    }

    /// Stops a manager as a killed process stops.
    pub(crate) async fn halt(&mut self, node_id: u64) -> Result<()> {
        let manager = self.slot(node_id)?.take().context("the manager is running")?;
        manager.halt().await;
        Ok(())
    }

    /// Starts a stopped manager again, with the directory it left.
    pub(crate) async fn restart(&mut self, node_id: u64) -> Result<()> {
        let config = self.configs.iter().find(|config| config.node.node_id == node_id);
        let config = config.context("no such manager")?.clone();
        let manager = Manager::bind(config).await?;
        *self.slot(node_id)? = Some(manager);
        Ok(())
    }

    /// Waits until all managers have applied the same; returns that index and their digests.
    pub(crate) async fn digests(&self) -> Result<(u64, Vec<String>)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let indexes = || self.running().map(|it| it.node().applied().index).collect::<Vec<_>>();
            let before = indexes();
            let mut digests = Vec::new();
            for manager in self.running() {
                let digest = manager.reader().digest()?;
                digests.push(digest.iter().map(|byte| format!("{byte:02x}")).collect());
            }
            let settled = before == indexes() && before.windows(2).all(|pair| pair[0] == pair[1]);
            if settled && before.len() == MANAGERS {
                return Ok((before[0], digests));
            }
            if Instant::now() > deadline {
                bail!("the managers do not come to the same position: {before:?}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops everything in order.
    pub(crate) async fn shutdown(&mut self) -> Result<()> {
        for manager in self.managers.iter_mut().filter_map(Option::take) {
            manager.shutdown().await?;
        }
        Ok(())
    }

    fn running(&self) -> impl Iterator<Item = &Manager> {
        self.managers.iter().flatten()
    }

    fn slot(&mut self, node_id: u64) -> Result<&mut Option<Manager>> {
        let at = self.configs.iter().position(|config| config.node.node_id == node_id);
        at.and_then(|at| self.managers.get_mut(at)).context("no such manager")
    }

    async fn poll<T>(&self, what: &str, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = probe() {
                return Ok(found);
            }
            if Instant::now() > deadline {
                bail!("{what} did not appear within {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Pairs of loopback addresses that were free a moment ago; members must know each other's before
/// the first of them listens.
fn free_addresses() -> Result<Vec<(SocketAddr, SocketAddr)>> {
    let bind = || TcpListener::bind(("127.0.0.1", 0));
    let held: Vec<TcpListener> = (0..2 * MANAGERS).map(|_| bind()).collect::<Result<_, _>>()?;
    let addresses: Vec<SocketAddr> =
        held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    Ok(addresses.chunks(2).map(|pair| (pair[0], pair[1])).collect())
}
