//! A cluster in one process: real nodes on a network in memory.
//!
//! ```no_run
//! # async fn example<M: raft_core::OnDiskStateMachine>(open: fn(&std::path::Path) -> M) {
//! use raft_core::testing::Cluster;
//!
//! let cluster = Cluster::of(5).start(move |_, directory| open(directory)).await;
//! cluster.partition(&[&[1, 2, 3], &[4, 5]]);
//! let leader = cluster.leader_of(&[1, 2, 3]).await;
//! let limit = cluster.patience();
//! cluster.node(leader).propose(bytes::Bytes::from_static(b"a command"), limit).await.unwrap();
//! cluster.crash(leader).await;
//! cluster.heal();
//! cluster.start(leader).await;
//! cluster.agree().await;
//! # }
//! ```
//!
//! The nodes are whole: their own consensus, log, files, threads and wire format. What is replaced
//! is the network, the wall clock and the randomness, and on demand the disk below the log. Time is
//! real, or tokio's if the runtime pauses it; threads are real: a seed repeats what happens to the
//! cluster, and not how the nodes interleave.
//!
//! Everything that waits panics when its patience is over, and says what each node thinks then.

mod faults;
mod place;
pub(crate) mod plan;
pub(crate) mod typed;
mod waits;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tempfile::TempDir;

use crate::config::Config;
use crate::disk::sim::SimDisk;
use crate::environment::Environment;
use crate::error::{StartError, StopReason};
use crate::member::{Member, NodeId, cluster_id};
use crate::node::Node;
use crate::testing::cluster::place::{Adjust, LISTEN, Place, patient_timing};
use crate::testing::network::Network;
use crate::testing::seeded::ShiftedClock;

/// Starts a node: number, directory of its state machine, configuration, surroundings.
type Launch = Box<
    dyn Fn(NodeId, &Path, Config, Environment) -> BoxFuture<'static, Result<Node, StartError>>
        + Send
        + Sync,
>;

/// Members 1 to n, some of which are up. Clones share it; when the last is dropped, its files go.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    seed: u64,
    patience: Duration,
    network: Network,
    directory: TempDir,
    members: Vec<Member>,
    reserves: Vec<Member>,
    places: BTreeMap<NodeId, Place>,
    adjust: Adjust,
    launch: Launch,
    nodes: Mutex<BTreeMap<NodeId, Node>>,
}

impl Cluster {
    /// What its faults and its randomness follow from. Set `RAFT_TEST_SEED` to repeat a run.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// Time after which waiting is in vain.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.shared.patience
    }

    /// Those who form the cluster, up or not.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.shared.members
    }

    /// The nodes that belong to no cluster at first ([`ClusterPlan::reserves`]), up or not.
    ///
    /// [`ClusterPlan::reserves`]: crate::testing::ClusterPlan::reserves
    #[must_use]
    pub fn reserves(&self) -> &[Member] {
        &self.shared.reserves
    }

    /// The directory of a member; the node's files are in `node` below it, the state machine's in
    /// `machine`.
    #[must_use]
    pub fn directory(&self, id: NodeId) -> PathBuf {
        self.shared.directory.path().join(format!("member-{id}"))
    }

    /// The network, for faults that [`Cluster`] has no word for; members are the hosts `node-1`,
    /// `node-2` and so on.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.shared.network
    }

    /// The clock of a member, to be set wrong.
    #[must_use]
    pub fn clock(&self, id: NodeId) -> &ShiftedClock {
        &self.place(id).clock
    }

    /// The disk of a member's log, if it is simulated.
    #[must_use]
    pub fn disk(&self, id: NodeId) -> Option<&SimDisk> {
        self.place(id).disk.as_ref()
    }

    /// The members that are up.
    #[must_use]
    pub fn up(&self) -> Vec<NodeId> {
        self.nodes().keys().copied().collect()
    }

    /// A member's node, if it is up.
    #[must_use]
    pub fn find(&self, id: NodeId) -> Option<Node> {
        self.nodes().get(&id).cloned()
    }

    /// A member's node. Panics when it is down.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Node {
        self.find(id).unwrap_or_else(|| panic!("member {id} is down"))
    }

    /// The configuration with which a member starts.
    #[must_use]
    pub fn config(&self, id: NodeId) -> Config {
        let mut config = Config {
            node_id: id,
            data_dir: self.directory(id).join("node"),
            listen: LISTEN,
            members: self.shared.members.clone(),
            allow_plaintext: true,
            ..patient_timing()
        };
        if let Some(reserve) = self.reserves().iter().find(|reserve| reserve.id == id) {
            // It knows the cluster, and some of its members beside itself.
            config.cluster_id = Some(cluster_id(self.members()));
            config.members.push(reserve.clone());
        }
        (self.shared.adjust)(id, &mut config);
        config
    }

    /// Starts a member, with a machine from the factory. Fails as [`Node::start`] does.
    pub async fn try_start(&self, id: NodeId) -> Result<(), StartError> {
        assert!(self.find(id).is_none(), "member {id} is up already");
        let place = self.place(id);
        let machine = self.directory(id).join("machine");
        std::fs::create_dir_all(&machine)
            .map_err(|source| StartError::Io { path: machine.clone(), source })?;
        self.shared.network.switch_on(&place.host);
        let environment = place.environment.clone();
        let node = (self.shared.launch)(id, &machine, self.config(id), environment).await?;
        self.nodes().insert(id, node);
        Ok(())
    }

    /// Starts a member. Panics when it does not start.
    pub async fn start(&self, id: NodeId) {
        if let Err(error) = self.try_start(id).await {
            panic!("member {id} does not start: {error} (seed {})", self.seed());
        }
    }

    /// Starts every member that is down, and no reserve.
    pub async fn start_all(&self) {
        for member in self.members() {
            if self.find(member.id).is_none() {
                self.start(member.id).await;
            }
        }
    }

    /// Ends a member in good order, leadership handed over. Fails with the reason if its node had
    /// ended before.
    pub async fn shutdown(&self, id: NodeId) -> Result<(), StopReason> {
        self.take(id).shutdown().await
    }

    fn take(&self, id: NodeId) -> Node {
        self.nodes().remove(&id).unwrap_or_else(|| panic!("member {id} is down"))
    }

    fn place(&self, id: NodeId) -> &Place {
        self.shared.places.get(&id).unwrap_or_else(|| panic!("there is no member {id}"))
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<NodeId, Node>> {
        self.shared.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("seed", &self.seed())
            .field("up", &self.up())
            .finish_non_exhaustive()
    }
}
